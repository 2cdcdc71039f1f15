// Waiting for you: what is held or parked, what would be dropped, and what to type.
class Waiting {
  constructor(page) {
    this.page = page;
    this.node = el("section", { class: "view waiting", "aria-label": "Waiting for you" });
    this.shown = "";
  }

  // Held, parked and paused, in this order.
  find(store, moment) {
    const kinds = { held: [], parked: [], paused: [] };
    for (const item of store.all(moment)) {
      if (store.rows.held[item.row] >= 0) kinds.held.push(item);
      if (item.word === "parked") kinds.parked.push(item);
      else if (store.rows.paused[item.row] === 1) kinds.paused.push(item);
    }
    return kinds;
  }

  show() {
    const { store, moment } = this.page;
    const { held, parked, paused } = this.find(store, moment);
    const most = document.body.classList.contains("printing") ? Infinity : Waiting.MOST;
    const group = (title, items, card) => (items.length === 0 ? [] : [el("h2", {}, `${title} `, el("span", { class: "quiet" }, Words.number(items.length))),
      el("ul", { class: "cards" }, items.slice(0, most).map((item) => el("li", { class: "card" }, ...card(item)))),
      items.length > most ? el("p", { class: "note" }, `and ${Words.number(items.length - most)} more, which are printed and in `, link(this.page.place, { view: "fleet", is: title === "Paused" ? "paused" : "you" }, "Fleet")) : null]);
    const all = [...group("Held", held, (item) => this.held(item)), ...group("Parked", parked, (item) => this.parked(item)),
      ...group("Paused", paused, (item) => this.paused(item))];
    this.node.replaceChildren(...(all.length ? all : [el("p", { class: "empty" }, "Nothing waits for you at this moment.")]).filter((part) => part !== null));
    this.count = held.length + parked.length + paused.length;
  }

  head(item) {
    const { place } = this.page;
    const since = item.lag ? `behind for ${Words.span(item.lag)}` : "";
    return el("h3", {}, link(place, { view: "collection", of: item.name, event: "" }, said(item.name)), el("span", { class: "when" }, ` ${since}`));
  }

  // What stands for it now, which stays until somebody decides.
  stays(item) {
    const { commit } = item;
    if (!commit) return "Nothing was committed yet, so nothing is lost.";
    const what = [commit.rows === null ? null : Words.counted(commit.rows, "row"),
      commit.segments ? Words.counted(commit.segments[0] + commit.segments[1], "segment") : null].filter((part) => part !== null);
    return `Committed ${Words.span(Math.max(0, this.page.moment.now - commit.at))} ago${what.length ? `: ${what.join(" in ")}` : ""}.`;
  }

  held(item) {
    const { store, moment, place } = this.page;
    const fingerprint = store.text(store.rows.held[item.row]);
    const events = store.eventsAbout(item.place);
    let at = Store.last(events, (seq) => seq, moment.seq);
    while (at >= 0 && store.event(events[at]).type !== "collection_held") at--;
    const event = at < 0 ? null : store.event(events[at]);
    const files = event ? store.files[event.seq] : null;
    const target = store.collections[item.place][3];
    return [this.head(item),
      el("p", { class: "sentence" }, item.word === "held" ? said(Words.brief(store.sentence(item.row, item), moment.now)) : "An observation that looks like a loss waits for a person."),
      el("p", {}, el("b", {}, "Would be dropped: "), files && files[0][2] > 0 ? `what was built from ${Words.counted(files[0][2], "file")} that are gone. ` : "what was built from the files that are gone. ", this.stays(item)),
      files ? filesTable(files, `lastword why ${target} --at ${event.seq}`) : null,
      event ? el("p", { class: "note" }, link(place, { view: "why", of: item.name, event: String(event.seq) }, `Held by event ${event.seq}`), ` at ${Words.clock(event.at, moment.now)}`) : null,
      el("p", { class: "do" }, "If the loss is meant, accept it; if it is not, put the files back, and it goes on by itself."),
      copyable(`lastword confirm ${target} ${fingerprint}`)].filter((part) => part !== null);
  }

  parked(item) {
    const { store, place, moment } = this.page;
    const failure = store.failures[store.rows.failure[item.row]];
    const lines = failure ? store.text(failure[1]) : "";
    return [this.head(item), el("p", { class: "sentence" }, said(Words.brief(store.sentence(item.row, item), moment.now))),
      failure && lines.includes("\n") ? el("pre", {}, said(lines)) : null,
      el("p", {}, el("b", {}, "Would be dropped: "), "nothing. ", this.stays(item)),
      el("p", { class: "note" }, link(place, { view: "why", of: item.name, event: "" }, "Why"), failure ? ` · failed at ${Words.clock(failure[2], moment.now)}, ${Words.counted(store.rows.failures[item.row], "failure")} in a row` : ""),
      el("p", { class: "do" }, "Mend what is wrong; a change of its source starts it again, and so does"),
      copyable(`lastword refresh ${store.collections[item.place][3]}`)].filter((part) => part !== null);
  }

  paused(item) {
    const { store } = this.page;
    return [this.head(item), el("p", { class: "sentence" }, "Paused by a person: no further attempt starts. ", this.stays(item)),
      copyable(`lastword resume ${store.collections[item.place][3]}`)];
  }
}

// As many of each as a person goes through at once.
Waiting.MOST = 12;
