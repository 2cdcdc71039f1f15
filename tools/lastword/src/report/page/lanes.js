// Collection: one collection over time. Changes of its source are points, its attempts bars, its commits strips of segments.
class Lanes {
  constructor(page) {
    this.page = page;
    this.facts = el("div", { class: "facts" });
    this.canvas = el("canvas", { role: "img", tabindex: "0", id: "lanes", "aria-label": "Lanes" });
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("mousemove", (event) => this.hover(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.legend = el("p", { class: "legend" });
    this.scale = el("div", { class: "chips", role: "group", "aria-label": "Scale" });
    this.tip = el("p", { class: "tip", "aria-hidden": "true" });
    this.list = new List({
      label: "Attempts, newest first", height: 26, columns: "8rem 8rem 10rem 6rem 6rem minmax(10rem,1fr)",
      head: el("div", { class: "row head", role: "row", "aria-rowindex": "1" },
        ["Attempt", "End", "Started", "Held", "Worker", "What its worker said"].map((title) => el("span", { role: "columnheader" }, title))),
      draw: (row, item) => this.draw(row, item), open: (item) => page.go({ view: "why", event: String(item.told) }),
    });
    this.list.box.id = "attempts";
    this.empty = el("p", { class: "empty" });
    this.node = el("section", { class: "view lanes", "aria-label": "Collection" }, this.facts,
      el("div", { class: "tools" }, this.scale, this.legend), this.canvas, this.tip, this.list.box, this.empty);
    new ResizeObserver(() => this.paint()).observe(this.canvas);
    this.hits = [];
  }

  show() {
    const { store, moment } = this.page;
    const of = this.page.chosen();
    this.node.classList.toggle("none", of < 0);
    this.empty.textContent = of < 0 ? "No collection is chosen: open one in Fleet." : "";
    if (of < 0) return;
    const view = store.view(of, moment);
    this.facts.replaceChildren(...this.about(of, view));
    this.drawScale();
    const attempts = store.attemptsOf[of].map((attempt) => store.attempt(attempt, moment)).filter((found) => found !== null);
    this.attempts = attempts;
    this.list.show(attempts.slice().reverse());
    this.list.box.hidden = attempts.length === 0;
    const ends = new Map();
    for (const { end } of attempts) ends.set(end, (ends.get(end) ?? 0) + 1);
    const legend = Words.ENDS.filter((end) => ends.has(end));
    this.legend.replaceChildren(...legend.map((end) => el("span", { class: `key end-${end}` }, `${end} ${Words.number(ends.get(end))}`)));
    this.canvas.setAttribute("aria-label", `${store.name(of)} over time: ${Words.counted(attempts.length, "attempt")}` +
      legend.map((end) => `, ${ends.get(end)} ${end}`).join("") + ". The arrow keys go from event to event.");
    this.of = of;
    this.paint();
  }

  about(of, view) {
    const { page } = this;
    const { store, place } = page;
    const head = el("h2", {}, said(store.name(of)), " ");
    if (!view) return [head, el("p", { class: "empty" }, "It is not there at this moment.")];
    const brief = store.brief(of, page.moment);
    const { key, word, mark } = Words.HEALTH[brief.rank];
    head.append(el("span", { class: `badge health-${key}` }, el("span", { class: "mark", "aria-hidden": "true" }, mark), ` ${word}`));
    const fact = (name, ...value) => el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
    const fingerprint = (hex) => el("code", { title: hex ?? "" }, Words.short(hex));
    const strip = view.segments_kept === null ? null : segments([view.segments_kept, view.segments_new, view.segments_dropped]);
    return [head, el("p", { class: "because" }, el("b", {}, Words.plain(view.condition)), ": ", said(Words.brief(view.because, page.moment.now)), " ",
      link(place, { view: "why", of: view.name, event: "" }, "why")),
      el("dl", {},
        fact("source", said(view.source)), fact("lag", view.lag_seconds === null ? "unknown" : view.lag_seconds === 0 ? "0" : Words.span(view.lag_seconds * 1e6)),
        fact("generation", Words.number(view.generation)), fact("wanted", fingerprint(view.wanted)), fact("applied", fingerprint(view.applied)),
        fact("rows", Words.number(view.rows)), strip ? fact("last commit", strip) : null,
        fact("committed", view.applied_at ? link(place, { view: "why", event: String(view.applied_seq) }, view.applied_at.slice(0, 19).replace("T", " ")) : "never"),
        view.unpublished === null ? null : fact("to publish", Words.number(view.unpublished)),
        fact("kind", view.kind))];
  }

  drawScale() {
    const { place } = this.page;
    const now = place.scale || "time";
    if (this.scaleText === now) return;
    this.scaleText = now;
    this.scale.replaceChildren(...["time", "events"].map((scale) => el("button", { type: "button", class: "chip",
      "aria-pressed": String(scale === now), onclick: () => this.page.go({ scale: scale === "time" ? "" : scale }) }, `by ${scale}`)));
  }

  draw(row, item) {
    const [which, end, started, held, worker, message] = cells(row, 6);
    const { moment } = this.page;
    write(which, `${item.task}.${item.number}`);
    write(end, item.end);
    dress(end, `key end-${item.end}`);
    write(started, Words.clock(item.at, moment.now));
    started.title = Words.time(item.at);
    write(held, Words.span(Math.max(0, item.until - item.at)) + (item.holds ? " …" : ""));
    dress(held, "figure");
    fill(worker, item.worker, () => [said(item.worker)]);
    const first = (item.message ?? "").split("\n")[0];
    fill(message, first, () => [said(first)]);
    message.title = message.textContent;
    dress(message, "cause");
  }

  // Attempts that hold workers at the same time lie one below the other.
  lanes() {
    const ends = [];
    return this.attempts.map((attempt) => {
      let lane = ends.findIndex((end) => end <= attempt.seq);
      if (lane < 0) lane = ends.length < 6 ? ends.length : 5;
      ends[lane] = attempt.holds ? Infinity : attempt.untilSeq;
      return lane;
    });
  }

  paint() {
    const { store, moment, place } = this.page;
    if (this.of === undefined || !this.canvas.clientWidth || !this.attempts) return;
    const events = store.eventsAbout(this.of);
    const shown = events.slice(0, Store.last(events, (seq) => seq, moment.seq) + 1);
    const lanes = this.lanes();
    const depth = Math.max(1, ...lanes.map((lane) => lane + 1));
    const [width, height] = [this.canvas.clientWidth, 58 + depth * 20 + 52];
    const ratio = devicePixelRatio || 1;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const ink = (name) => Inks.get(name);
    const byEvents = place.scale === "events";
    const [left, right] = [74, width - 14];
    const begin = byEvents ? (shown[0] ?? 0) : store.timeOf(shown[0] ?? store.log.before);
    const end = byEvents ? Math.max(moment.seq, begin + 1) : Math.max(moment.now, begin + 1);
    const x = (seq, at) => left + ((byEvents ? seq : at) - begin) / (end - begin) * (right - left);
    this.hits = [];
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const rows = { changes: 30, attempts: 52, commits: 58 + depth * 20 + 18 };
    pen.fillStyle = ink("muted");
    pen.fillText("changes", 0, rows.changes);
    pen.fillText("attempts", 0, rows.attempts + 10);
    pen.fillText("commits", 0, rows.commits);
    pen.strokeStyle = ink("rule");
    pen.lineWidth = 1;
    // Four times along the axis.
    for (let tick = 0; tick <= 4; tick++) {
      const at = left + (right - left) * tick / 4;
      pen.beginPath();
      pen.moveTo(Math.round(at) + 0.5, 14);
      pen.lineTo(Math.round(at) + 0.5, height - 2);
      pen.stroke();
      const value = begin + (end - begin) * tick / 4;
      pen.textAlign = tick === 0 ? "left" : tick === 4 ? "right" : "center";
      pen.fillText(byEvents ? `#${Math.round(value)}` : this.tick(value, end - begin), at, 6);
    }
    pen.textAlign = "left";
    this.attempts.forEach((attempt, index) => {
      const [from, to] = [x(attempt.seq, attempt.at), x(attempt.untilSeq, attempt.until)];
      const y = rows.attempts + lanes[index] * 20;
      const wide = Math.max(3, to - from);
      pen.fillStyle = ink(`end-${attempt.end}`);
      pen.globalAlpha = attempt.end === "running" ? 0.65 : 1;
      pen.fillRect(from, y, wide, 15);
      pen.globalAlpha = 1;
      if (wide > 54) {
        pen.fillStyle = ink("paper");
        pen.fillText(attempt.end, from + 5, y + 8, wide - 8);
      }
      this.hits.push({ from: from - 2, to: from + wide + 2, top: y, bottom: y + 16, seq: attempt.told,
        text: `attempt ${attempt.task}.${attempt.number} ${attempt.end}, ${Words.span(Math.max(0, attempt.until - attempt.at))} on ${attempt.worker}` });
    });
    for (const seq of shown) {
      const event = store.event(seq);
      const point = Lanes.POINTS[event.type];
      const at = x(seq, event.at);
      if (point) {
        this.point(pen, point, at, rows.changes, ink);
        this.hits.push({ from: at - 6, to: at + 6, top: rows.changes - 9, bottom: rows.changes + 9, seq, text: event.sentence });
      }
      if (event.type === "task_completed") this.commit(pen, event, at, rows.commits, ink);
    }
    if (place.event) {
      const chosen = store.event(Number(place.event));
      if (chosen && chosen.of === this.of && chosen.seq <= moment.seq) {
        const at = Math.round(x(chosen.seq, chosen.at)) + 0.5;
        pen.strokeStyle = ink("ink");
        pen.setLineDash([2, 3]);
        pen.beginPath();
        pen.moveTo(at, 14);
        pen.lineTo(at, height);
        pen.stroke();
        pen.setLineDash([]);
      }
    }
    this.drawn = { attempts: this.attempts.length, points: shown.length };
  }

  tick(micros, span) {
    const text = Words.time(micros);
    return span < 20e6 ? text.slice(11, 23) : span < 86400e6 ? text.slice(11, 19) : text.slice(0, 16).replace("T", " ");
  }

  point(pen, [shape, colour], x, y, ink) {
    pen.fillStyle = ink(colour);
    pen.beginPath();
    if (shape === "round") pen.arc(x, y, 4, 0, 7);
    else if (shape === "square") pen.rect(x - 4, y - 4, 8, 8);
    else {
      pen.moveTo(x, y - 6);
      pen.lineTo(x + 5, y + 4);
      pen.lineTo(x - 5, y + 4);
    }
    pen.fill();
  }

  // One strip: what was kept, what is new, what was dropped, by their counts.
  commit(pen, event, x, y, ink) {
    const found = this.page.store.commitOf(event.seq);
    const counts = found?.[4] ?? [0, 1, 0];
    const all = Math.max(1, counts[0] + counts[1] + counts[2]);
    let top = y - 16;
    ["kept", "new", "gone"].forEach((name, place) => {
      const high = counts[place] / all * 32;
      pen.fillStyle = ink(`seg-${name}`);
      pen.fillRect(x - 3, top, 7, high);
      top += high;
    });
    this.hits.push({ from: x - 6, to: x + 6, top: y - 18, bottom: y + 18, seq: event.seq, text: event.sentence });
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return this.hits.findLast((hit) => x >= hit.from && x <= hit.to && y >= hit.top && y <= hit.bottom);
  }

  hover(event) {
    const hit = this.at(event);
    this.canvas.style.cursor = hit ? "pointer" : "default";
    this.tip.replaceChildren(hit ? said(`#${hit.seq} ${hit.text}`) : "");
  }

  click(event) {
    const hit = this.at(event);
    if (hit) this.page.go({ view: "why", event: String(hit.seq) });
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const { place, moment, store } = this.page;
    if (event.key === "Enter" && place.event) this.page.go({ view: "why" });
    if (!step || this.of === undefined) return;
    event.preventDefault();
    const events = store.eventsAbout(this.of);
    const last = Store.last(events, (seq) => seq, moment.seq);
    const now = place.event ? Store.last(events, (seq) => seq, Number(place.event)) : last + 1;
    const next = events[Math.max(0, Math.min(last, now + step))];
    if (next === undefined) return;
    this.page.go({ event: String(next) }, true);
    this.tip.replaceChildren(said(`#${next} ${store.event(next).sentence}`));
    aloud(`event ${next}: ${store.event(next).sentence}`);
  }
}

// What is told in the lane of changes: its shape and its colour.
Lanes.POINTS = {
  collection_declared: ["square", "ink"], source_changed: ["square", "ink"], spec_changed: ["square", "ink"],
  policy_changed: ["square", "muted"], source_observed: ["round", "accent"], observation_failed: ["corner", "end-failed"],
  collection_held: ["corner", "trouble"], hold_confirmed: ["square", "end-committed"], refresh_requested: ["square", "accent"],
  collection_paused: ["square", "trouble"], collection_resumed: ["square", "end-committed"], collection_dropped: ["corner", "ink"],
};

// The strip of a commit, as text and as a picture of it.
function segments([kept, fresh, dropped]) {
  const strip = el("span", { class: "strip", "aria-hidden": "true" });
  [["kept", kept], ["new", fresh], ["gone", dropped]].forEach(([name, count]) => {
    if (count === 0) return;
    const part = el("i", { class: `seg-${name}` });
    part.style.flexGrow = String(count);
    strip.append(part);
  });
  return el("span", { class: "segments" }, strip, ` ${Words.number(kept)} kept, ${Words.number(fresh)} new, ${Words.number(dropped)} dropped`);
}
