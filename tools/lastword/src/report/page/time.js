// Time: how busy the log was, its events up to the moment, and what changed since another.
class Time {
  constructor(page) {
    this.page = page;
    this.canvas = el("canvas", { id: "busy", role: "img", "aria-label": "Events over time; a click goes to that moment" });
    this.canvas.addEventListener("click", (event) => this.click(event));
    new ResizeObserver(() => this.paint()).observe(this.canvas);
    this.since = el("input", { type: "text", id: "since", size: "28", spellcheck: "false", autocomplete: "off", "aria-label": "Since: number of an event, or a time", placeholder: "event or time" });
    this.since.addEventListener("change", () => page.go({ since: this.since.value.trim() }));
    this.changes = new List({
      label: "What changed since", height: 28, columns: "minmax(7rem,1fr) 7.2rem 7.2rem 4.4rem 7.6rem",
      head: el("div", { class: "row head", role: "row", "aria-rowindex": "1" },
        ["Collection", "Was", "Is", "Generation", "Rows"].map((title) => el("span", { role: "columnheader" }, title))),
      draw: (row, item) => this.draw(row, item), open: (item) => page.go({ view: "collection", of: item.name }),
    });
    this.changes.box.id = "changes";
    this.events = new List({
      label: "Events up to this moment, newest first", height: 26, columns: "3.2rem 4.4rem 9rem minmax(8rem,1fr)",
      draw: (row, seq) => { page.naming = true; drawEvent(page, row, seq); page.naming = false; },
      open: (seq) => page.go({ view: "why", event: String(seq), of: "" }),
    });
    this.events.box.id = "events";
    this.told = el("p", { class: "count", role: "status" });
    this.node = el("section", { class: "view time", "aria-label": "Time" }, this.canvas,
      el("div", { class: "halves" },
        el("div", {}, el("div", { class: "tools" }, el("h3", {}, "What changed since "), this.since,
          el("button", { type: "button", id: "mark", onclick: () => page.go({ since: String(page.moment.seq) }) }, "this moment")), this.told, this.changes.box),
        el("div", {}, el("div", { class: "tools" }, el("h3", {}, "Events")), this.events.box)));
  }

  show() {
    const { store, moment, place } = this.page;
    const since = place.since ? this.page.momentOf(place.since) : store.atEvent(store.log.before);
    if (document.activeElement !== this.since) this.since.value = place.since;
    const [from, to] = since.seq <= moment.seq ? [since, moment] : [moment, since];
    const changed = [];
    for (const of of store.order) {
      const [before, after] = [store.row(of, from.seq), store.row(of, to.seq)];
      if (before === after) continue;
      changed.push(of);
    }
    this.changed = changed;
    this.told.textContent = `${Words.number(to.seq - from.seq)} events from ${from.seq} to ${to.seq} (${Words.span(to.now - from.now)}) changed ${Words.counted(changed.length, "collection")}`;
    // Only what is seen is looked up.
    this.changes.show(changed, (at) => {
      const of = changed[at];
      return { of, name: store.name(of), before: store.brief(of, from), after: store.brief(of, to) };
    });
    const all = store.shownEvents();
    const count = Store.last(all, (seq) => seq, moment.seq) + 1;
    this.events.show({ length: count }, (at) => all[count - 1 - at]);
    this.paint();
  }

  draw(row, { name, before, after }) {
    const { store } = this.page;
    const [which, was, is, generation, rows] = cells(row, 5);
    fill(which, name, () => [said(name, { class: "name" })]);
    const word = (cell, found) => {
      write(cell, found ? Words.plain(found.word) : "not there");
      dress(cell, found ? `health-${Words.HEALTH[found.rank].key}` : "quiet");
    };
    word(was, before);
    word(is, after);
    const of = (found) => (found ? store.rows.generation[found.row] : null);
    const between = (cell, a, b, written = Words.number) => {
      write(cell, a === b ? written(b) : `${written(a)} → ${written(b)}`);
      cell.title = `${Words.number(a)} → ${Words.number(b)}`;
      dress(cell, "figure");
    };
    between(generation, of(before), of(after));
    between(rows, before?.commit?.rows ?? null, after?.commit?.rows ?? null, Words.about);
  }

  bins(count) {
    const { store } = this.page;
    if (this.binned?.length === count) return this.binned;
    const [begin, end] = [store.times[0] ?? 0, store.log.last_at];
    const bad = new Set(["attempt_failed", "completion_rejected", "task_parked", "collection_held", "observation_failed", "publish_failed"].map((type) => store.types.indexOf(type)));
    const bins = Array.from({ length: count }, () => [0, 0]);
    store.times.forEach((at, place) => {
      const bin = Math.min(count - 1, Math.floor((at - begin) / Math.max(1, end - begin) * count));
      bins[bin][bad.has(store.events.type[place]) ? 1 : 0]++;
    });
    this.binned = bins;
    return bins;
  }

  paint() {
    const { store, moment } = this.page;
    const width = this.canvas.clientWidth;
    if (!width || !store) return;
    const [height, ratio] = [72, devicePixelRatio || 1];
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const ink = (name) => Inks.get(name);
    const bins = this.bins(Math.max(1, Math.floor(width / 6)));
    const most = Math.max(1, ...bins.map(([good, bad]) => good + bad));
    const [begin, end] = [store.times[0] ?? 0, store.log.last_at];
    const here = (moment.now - begin) / Math.max(1, end - begin) * width;
    bins.forEach(([good, bad], place) => {
      const x = place * width / bins.length;
      const scale = (count) => (count === 0 ? 0 : Math.max(2, count / most * (height - 18)));
      pen.globalAlpha = x <= here ? 1 : 0.3;
      pen.fillStyle = ink("bar");
      pen.fillRect(x, height - 14 - scale(good + bad), 4, scale(good + bad));
      pen.fillStyle = ink("end-failed");
      pen.fillRect(x, height - 14 - scale(bad), 4, scale(bad));
    });
    pen.globalAlpha = 1;
    pen.fillStyle = ink("ink");
    pen.fillRect(Math.min(width - 2, Math.max(0, here - 1)), 0, 2, height - 14);
    pen.fillStyle = ink("muted");
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "bottom";
    pen.fillText(Words.clock(begin), 0, height);
    pen.textAlign = "right";
    pen.fillText(Words.clock(end), width, height);
  }

  click(event) {
    const { store } = this.page;
    const box = this.canvas.getBoundingClientRect();
    const [begin, end] = [store.times[0] ?? 0, store.log.last_at];
    const at = begin + (event.clientX - box.left) / box.width * (end - begin);
    this.page.go({ at: String(store.atTime(Math.round(at)).seq) });
  }
}
