// What is looked at, as the address holds it: view, moment, search, filters and selection. Whoever has the address has the
// same picture. It must not know the data.
const VIEWS = [
  { key: "fleet", title: "Fleet" },
  { key: "collection", title: "Collection" },
  { key: "why", title: "Why" },
  { key: "time", title: "Time" },
  { key: "waiting", title: "Waiting for you" },
];

const Place = {
  KEYS: ["at", "q", "is", "sort", "of", "event", "since", "scale"],

  read() {
    const text = location.hash.slice(1);
    const [view, rest] = text.includes("?") ? [text.slice(0, text.indexOf("?")), text.slice(text.indexOf("?") + 1)] : [text, ""];
    const found = new URLSearchParams(rest);
    const place = { view: VIEWS.some(({ key }) => key === view) ? view : "fleet" };
    for (const key of this.KEYS) place[key] = found.get(key) ?? "";
    return place;
  },

  text(place) {
    const found = new URLSearchParams();
    for (const key of this.KEYS) if (place[key]) found.set(key, place[key]);
    const rest = found.toString();
    return `#${place.view}${rest ? `?${rest}` : ""}`;
  },

  // Steps of the slider and letters of a search are no pages of their own, and come faster than a browser takes addresses.
  write(place, replaces) {
    clearTimeout(this.waiting);
    const text = this.text(place);
    if (text === location.hash) return;
    if (!replaces) {
      history.pushState(null, "", text);
      return;
    }
    const now = performance.now();
    const rest = Math.max(0, this.REST - (now - this.written));
    const write = () => {
      this.written = performance.now();
      history.replaceState(null, "", text);
    };
    if (rest === 0) write();
    else this.waiting = setTimeout(write, rest);
  },

  REST: 150,
  written: 0,
  waiting: 0,
};
