// Why: a card for one event: what it says, who asked, what made it necessary, what it changed, and what it cost.
class Why {
  constructor(page) {
    this.page = page;
    this.card = el("div", { class: "card" });
    this.list = new List({
      label: "Events that led there, newest first", height: 26, columns: "3.2rem 4.4rem 9rem minmax(8rem,1fr)",
      draw: (row, seq) => drawEvent(page, row, seq), open: (seq) => page.go({ event: String(seq) }),
    });
    this.list.box.id = "story";
    this.head = el("h3", {});
    this.node = el("section", { class: "view why", "aria-label": "Why" }, this.card, el("div", { class: "story" }, this.head, this.list.box));
  }

  show() {
    const { store, moment, place } = this.page;
    const of = this.page.chosen();
    let seq = Number(place.event) || 0;
    if (!seq && of >= 0) {
      const events = store.eventsAbout(of);
      seq = events[Store.last(events, (seq) => seq, moment.seq)] ?? 0;
    }
    const event = store.event(seq);
    const shown = event && event.of !== -2 ? event : null;
    this.card.replaceChildren(...(shown ? this.about(shown) : [el("p", { class: "empty" },
      place.event ? `Event ${place.event} is not in this report: it has ${Words.number(store.first)} to ${Words.number(store.log.last)}.`
        : "Nothing is chosen: click a collection, a bar, a point or an event.")]));
    const about = shown && shown.of >= 0 ? store.eventsAbout(shown.of) : [];
    const last = Store.last(about, (seq) => seq, moment.seq);
    const story = { length: last + 1 };
    this.head.replaceChildren(...(shown && shown.of >= 0 ? ["The events of ", said(store.name(shown.of)), ` up to this moment, ${Words.number(story.length)}`] : []));
    this.list.show(story, (at) => about[last - at]);
    this.list.box.hidden = story.length === 0;
    const chosen = shown ? Store.last(about, (seq) => seq, shown.seq) : -1;
    this.list.reveal(chosen >= 0 ? last - chosen : -1);
  }

  about(event) {
    const { page } = this;
    const { store, place, moment } = page;
    const of = event.of >= 0 ? store.name(event.of) : null;
    const parts = [el("h2", {}, Words.plain(event.type), el("span", { class: "when" }, ` event ${event.seq}, `, el("time", {}, Words.time(event.at)))),
      el("p", { class: "sentence" }, said(event.sentence))];
    const rows = [];
    const add = (name, ...value) => rows.push(el("div", {}, el("dt", {}, name), el("dd", {}, ...value)));
    if (of !== null) add("collection", link(place, { view: "collection", of, event: String(event.seq) }, said(of)));
    if (event.actor || event.cause) add("asked by", said(event.actor ?? "somebody"), event.cause ? said(`: ${event.cause}`) : null);
    else if (of !== null) add("asked by", el("span", { class: "quiet" }, "nobody: decided by lastword"));
    const because = store.event(event.because);
    if (because) add("because of", link(place, { view: "why", event: String(because.seq) }, `event ${because.seq}`), " ", said(because.sentence));
    else if (event.because) add("because of", `event ${event.because}, which is before this report`);
    this.fingerprints(event, add);
    this.cost(event, add);
    parts.push(el("dl", {}, rows));
    parts.push(...this.files(event));
    if (event.of >= 0) parts.push(...this.changed(event));
    if (event.seq > moment.seq) parts.push(el("p", { class: "note" }, `This event is later than the moment shown (${moment.seq}). `, link(place, { at: String(event.seq) }, "Go there")));
    else if (event.seq !== moment.seq) parts.push(el("p", { class: "note" }, link(place, { at: String(event.seq) }, "Go to this moment")));
    if (of !== null) parts.push(el("h3", {}, "In a terminal"), copyable(this.command(event.of, event.seq)));
    return parts;
  }

  // What it was built from, and what was wanted then.
  fingerprints(event, add) {
    const { store } = this.page;
    const row = event.of >= 0 ? store.row(event.of, event.seq) : -1;
    const wanted = event.wanted ?? (row >= 0 ? store.text(store.rows.wanted[row]) : null);
    const code = (hex) => el("code", { class: "hex" }, hex);
    if (event.built) add(event.type === "collection_held" ? "to confirm" : event.type === "task_created" ? "to build" : "built from", code(event.built));
    if (wanted) add("wanted", code(wanted), event.built ? (event.built === wanted ? " the same" : el("b", { class: "differs" }, " another")) : null);
  }

  // How long its attempt held a worker, and whether that was for nothing.
  cost(event, add) {
    const { store, page } = { store: this.page.store, page: this.page };
    if (event.task < 0 || event.of < 0) return;
    const end = store.atEvent(store.log.last);
    const attempts = store.attemptsOf[event.of].map((place) => store.attempt(place, end)).filter((attempt) => attempt && attempt.task === event.task);
    if (attempts.length === 0) return;
    add(attempts.length === 1 ? "attempt" : "attempts", attempts.map((attempt, place) => el("span", { class: "attempt" }, place ? ", " : "",
      link(page.place, { view: "why", event: String(attempt.told) }, `${attempt.task}.${attempt.number}`), " ",
      el("span", { class: `key end-${attempt.end}` }, attempt.end), ` ${Words.span(Math.max(0, attempt.until - attempt.at))}${attempt.holds ? " so far" : ""}`)));
    const wasted = attempts.filter(({ end }) => !["committed", "running"].includes(end)).reduce((sum, attempt) => sum + attempt.until - attempt.at, 0);
    if (wasted > 0) add("thrown away", el("b", {}, `${Words.span(wasted)} of work`));
  }

  files(event) {
    const { store } = this.page;
    const found = store.files[event.seq];
    const cause = found ? null : this.cause(event);
    if (cause) {
      return [el("h3", {}, "Files that ", link(this.page.place, { view: "why", event: String(cause) }, `event ${cause}`), " found"), filesTable(store.files[cause], this.command(event.of, cause))];
    }
    if (!found) {
      const isObserved = ["source_observed", "collection_held"].includes(event.type);
      return isObserved && store.log.files_problem ? [el("p", { class: "note" }, said(store.log.files_problem))] : [];
    }
    return [el("h3", {}, "Files"), filesTable(found, this.command(event.of, event.seq))];
  }

  // What to type for the same.
  command(of, seq) {
    return `lastword why ${this.page.store.collections[of][3]} --at ${seq}`;
  }

  // The observation behind an event of a task: the last that found other files before what made the event necessary.
  cause(event) {
    const { store } = this.page;
    if (event.of < 0 || event.task < 0 || !event.because) return null;
    const because = store.event(event.because);
    const last = because?.because || event.because;
    const about = store.eventsAbout(event.of);
    for (let at = Store.last(about, (seq) => seq, last); at >= 0; at--) {
      if (store.files[about[at]]) return about[at];
    }
    return null;
  }

  // What is another in the row of the collection, before and after.
  changed(event) {
    const { store } = this.page;
    const before = event.seq - 1 >= store.log.before ? store.view(event.of, store.atEvent(event.seq - 1)) : null;
    const after = store.view(event.of, store.atEvent(event.seq));
    const shown = (value) => (value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));
    const skipped = new Set(["time", "lag_seconds", "published_lag_seconds", "v", "policy"]);
    const keys = Object.keys(after ?? before ?? {}).filter((key) => !skipped.has(key) && shown(before?.[key]) !== shown(after?.[key]));
    if (keys.length === 0) return [];
    const cut = (value) => (/^[0-9a-f]{64}$/.test(value) ? value.slice(0, 12) : value);
    return [el("h3", {}, "What it changed"), el("table", { class: "changed" },
      el("thead", {}, el("tr", {}, ["", "before", "after"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, keys.map((key) => el("tr", {}, el("th", { scope: "row" }, Words.plain(key)),
        el("td", {}, said(cut(shown(before?.[key])))), el("td", {}, said(cut(shown(after?.[key]))))))))];
  }
}

// Which files an observation found added, changed and removed, and the command that tells of it.
function filesTable([counts, files], command) {
  const signs = ["+", "~", "−"];
  const names = ["added", "changed", "removed"];
  const left = counts[0] + counts[1] + counts[2] - files.length;
  const side = (file) => (file ? [el("code", { title: file[0] }, Words.short(file[0])), ` ${Words.counted(file[1], "byte")}`] : ["–"]);
  return el("div", { class: "files" },
    el("p", {}, names.map((name, place) => `${signs[place]} ${Words.number(counts[place])} ${name}`).join("   ")),
    el("table", {}, el("thead", {}, el("tr", {}, ["", "file", "before", "after"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, files.map(([kind, path, before, after]) => el("tr", { class: `file-${names[kind]}` },
        el("td", { "aria-label": names[kind] }, signs[kind]), el("td", {}, said(path)), el("td", {}, ...side(before)), el("td", {}, ...side(after)))))),
    left > 0 ? [el("p", { class: "note" }, `and ${Words.number(left)} more, which this names:`), copyable(`${command} --files`)] : null);
}

// One event in a list.
function drawEvent(page, row, seq) {
  const [number, at, type, sentence] = cells(row, 4);
  const event = page.store.event(seq);
  row.classList.toggle("chosen", String(seq) === page.place.event);
  write(number, String(seq));
  dress(number, "figure");
  write(at, Words.clock(event.at, page.store.log.last_at));
  at.title = Words.time(event.at);
  write(type, Words.plain(event.type));
  dress(type, `type type-${event.type}`);
  dress(sentence, "cause");
  fill(sentence, `${page.store.serial} ${seq} ${event.sentence.length}`, () => {
    sentence.title = event.sentence;
    return [...(page.naming && event.of >= 0 ? [said(page.store.name(event.of), { class: "name" }), " "] : []), said(event.sentence)];
  });
}
