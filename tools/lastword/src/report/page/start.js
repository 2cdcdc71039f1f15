// The page: the moment, the views, the keyboard, and the address that holds them together.
class Page {
  constructor(data) {
    this.store = new Store(data);
    this.place = Place.read();
    this.node = (id) => document.getElementById(id);
    this.views = {
      fleet: new Fleet(this), collection: new Lanes(this), why: new Why(this), time: new Time(this), waiting: new Waiting(this),
    };
    this.slider = this.node("slider");
    this.slider.addEventListener("input", () => this.slide(Number(this.slider.value)));
    this.node("earlier").addEventListener("click", () => this.slide(this.moment.seq - 1));
    this.node("later").addEventListener("click", () => this.slide(this.moment.seq + 1));
    this.node("end").addEventListener("click", () => this.go({ at: "" }));
    this.node("moment").addEventListener("change", (event) => this.go({ at: event.target.value.trim() }));
    this.node("skip").addEventListener("click", (event) => {
      event.preventDefault();
      this.node("main").focus();
    });
    this.tabs = VIEWS.map(({ key, title }, place) => {
      const tab = el("a", { href: "#", "aria-keyshortcuts": String(place + 1), title: `${title} (key ${place + 1})` }, title);
      tab.dataset.view = key;
      tab.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.go({ view: key });
      });
      return tab;
    });
    this.count = el("b", { class: "waits" });
    this.tabs[4].append(" ", this.count);
    this.node("views").append(...this.tabs);
    addEventListener("hashchange", () => this.move(Place.read()));
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      Inks.known.clear();
      this.show();
    });
    this.renew();
  }

  // Other data: the same place in it is shown.
  renew(data) {
    if (data) this.store = new Store(data);
    const { log } = this.store;
    this.node("where").replaceChildren(said(log.place), Source.isLive ? el("span", { class: "live" }, " live") : "");
    document.title = `lastword: ${log.place}`;
    [this.first, this.last] = Source.isLive ? [log.begins - 1, log.end] : [log.before, log.last];
    this.slider.min = String(this.first);
    this.slider.max = String(this.last);
    this.node("foot").replaceChildren(el("span", {}, `${log.software}, log up to event ${log.end} of ${Words.time(log.end_at)}`),
      ...(log.head ? [el("span", {}, "head ", el("code", {}, log.head))] : []),
      el("span", { class: "keys" }, "keys: 1–5 views, / search, [ ] one event, { } a hundred, arrows and Enter in lists"));
    this.notices = [log.left_out, log.patterns.length ? `only collections that match ${log.patterns.join(", ")}` : null];
    this.views.time.binned = null;
    this.tell();
  }

  // What a person has to know beside the data.
  tell(trouble = this.trouble ?? "") {
    this.trouble = trouble;
    const text = [trouble, ...this.notices].filter((text) => text).join("; ");
    const notice = this.node("notice");
    notice.hidden = text === "";
    if (notice.textContent !== text) notice.textContent = text;
  }

  // A moment that was typed: the number of an event, or a time; the end if it is neither.
  momentOf(text) {
    const { store } = this;
    if (/^\d+$/.test(text)) return store.atEvent(Number(text));
    const time = Words.parse(text);
    if (time !== null) return store.atTime(time);
    // Of a run the end is now.
    const end = store.atEvent(store.log.last);
    return { seq: end.seq, now: Math.max(end.now, store.log.now ?? 0), isNewest: true };
  }

  // The collection that is chosen, by its name or by that of its event; -1 if there is none.
  chosen() {
    const { store, place, moment } = this;
    if (place.of) return store.find(place.of, moment);
    const event = place.event ? store.event(Number(place.event)) : null;
    if (event && event.of >= 0) return event.of;
    return store.collections.length === 1 ? 0 : -1;
  }

  slide(seq) {
    const to = Math.max(this.first, Math.min(this.last, seq));
    this.go({ at: to === this.last ? "" : String(to) }, true);
  }

  go(change, replaces) {
    const place = { ...this.place, ...change };
    Place.write(place, replaces);
    this.move(place);
  }

  move(place) {
    const from = this.place;
    this.place = place;
    this.show();
    if (from.view !== place.view) aloud(VIEWS.find(({ key }) => key === place.view).title);
  }

  show() {
    const { store, place } = this;
    this.moment = this.momentOf(place.at);
    const { now } = this.moment;
    // What is not there yet is shown as near as it can be, and the slider stays where it was put.
    const asked = this.loadMoment();
    const seq = asked ?? this.moment.seq;
    if (document.activeElement !== this.slider || Number(this.slider.value) !== seq) this.slider.value = String(seq);
    this.slider.setAttribute("aria-valuetext", `event ${seq}, ${Words.time(now)}`);
    if (document.activeElement !== this.node("moment")) this.node("moment").value = place.at.includes(":") ? Words.time(now) : String(seq);
    const back = (this.last === store.log.last ? store.log.last_at : store.log.end_at) - now;
    this.node("told").textContent = asked !== null ? `event ${seq} is being loaded`
      : seq === this.last && back <= 0
        ? `${Words.time(now)}, the end`
        : `${Words.time(now)}, ${Words.number(this.last - seq)} events (${Words.span(Math.max(0, back))}) before the end`;
    const waiting = this.views.waiting.find(store, this.moment);
    const waits = waiting.held.length + waiting.parked.length;
    this.count.textContent = waits ? Words.number(waits) : "";
    for (const tab of this.tabs) {
      tab.href = Place.text({ ...place, view: tab.dataset.view });
      if (tab.dataset.view === place.view) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    const view = this.views[place.view];
    if (this.node("main").firstChild !== view.node) this.node("main").replaceChildren(view.node);
    view.show();
    document.documentElement.dataset.shown = asked === null ? `${place.view} ${seq}` : "";
  }

  // Of a run only a part is there: an older event is loaded, and so is the end when one goes back to it. Gives the event that
  // is on its way; null if what is asked for is there.
  loadMoment() {
    const { log } = this.store;
    const at = /^\d+$/.test(this.place.at) ? Number(this.place.at) : null;
    if (!Source.isLive) return null;
    if (at === null) {
      if (!this.place.at) Source.want(null);
      return this.place.at || log.last === log.end ? null : log.end;
    }
    const isThere = at >= Math.max(log.before, log.begins - 1) && (at <= log.last || log.last === log.end);
    if (isThere || at < log.begins - 1) return null;
    Source.want(at);
    return at;
  }

  // What stands behind the script: sentences and files.
  complete({ sentences, files }) {
    this.store.sentences = sentences;
    this.store.files = files;
    if (this.place.view !== "fleet") this.show();
    document.documentElement.dataset.complete = "yes";
  }

  print(begins) {
    document.body.classList.toggle("printing", begins);
    this.show();
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = event.target.matches?.("input[type=text], input[type=search], input[type=password]");
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing) return;
    const steps = { "[": -1, "]": 1, "{": -100, "}": 100 };
    if (/^[1-5]$/.test(event.key)) this.go({ view: VIEWS[Number(event.key) - 1].key });
    else if (steps[event.key]) this.slide(this.moment.seq + steps[event.key]);
    else if (event.key === "/") {
      this.go({ view: "fleet" });
      this.views.fleet.search.focus();
    } else return;
    event.preventDefault();
  }
}

let page = null;
Source.begin({
  take(data) {
    if (page === null) page = new Page(data);
    else page.renew(data);
    page.show();
    performance.mark("lastword-shown");
  },
  complete: (later) => page.complete(later),
  // Time goes by without an event.
  pass(now, besides) {
    if (page.store.log.now === undefined) return;
    page.store.log.now = now;
    page.store.know(besides);
    if (page.place.at === "") page.show();
  },
  tell(trouble) {
    if (page !== null) page.tell(trouble);
    else if (trouble) {
      document.getElementById("notice").hidden = false;
      document.getElementById("notice").textContent = trouble;
    }
  },
  ask(take) {
    const input = el("input", { type: "password", id: "token", autocomplete: "off", "aria-label": "Token of the run" });
    const form = el("form", { class: "view" }, el("label", {}, "This run asks for its token: ", input), " ", el("button", { type: "submit" }, "go on"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.remove();
      take(input.value);
    });
    document.getElementById("main").prepend(form);
    input.focus();
  },
});
// For whoever wants the numbers and not the picture: the rows of a moment, as `log-dump state --at` prints them.
window.lastword = Object.freeze({
  rows: (at) => page.store.views(page.momentOf(String(at))),
  shown: () => page.views.fleet.shown?.map(({ name }) => name) ?? [],
});
