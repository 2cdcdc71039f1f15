// Numbers, times and conditions as people read them. It must not know the data.
const Words = {
  LAST: 253402300799999999,

  // A time in microseconds, as every tool prints it.
  time(micros) {
    const at = Math.min(micros, this.LAST);
    const whole = new Date(Math.floor(at / 1000)).toISOString().slice(0, 19);
    return `${whole}.${String(at % 1000000).padStart(6, "0")}Z`;
  },

  // The same without what a person skips.
  clock(micros, beside) {
    const text = this.time(micros);
    const day = beside !== undefined && this.time(beside).slice(0, 10) === text.slice(0, 10);
    return day ? text.slice(11, 19) : `${text.slice(0, 10)} ${text.slice(11, 19)}`;
  },

  // What a person typed as a time; null if it is none.
  parse(text) {
    const found = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6})\d*)?Z?$/.exec(text.trim());
    if (!found) return null;
    const millis = Date.parse(`${found[1]}T${found[2].length === 5 ? found[2] + ":00" : found[2]}Z`);
    return Number.isNaN(millis) ? null : millis * 1000 + Number((found[3] ?? "").padEnd(6, "0") || 0);
  },

  seconds(micros) {
    return Math.floor(micros / 1000000) + (micros % 1000000) / 1000000;
  },

  // Tenths below a minute, then two units.
  span(micros) {
    const s = micros / 1000000;
    if (s < 0.0995) return `${Math.round(micros / 1000)}ms`;
    if (s < 60) return `${s.toFixed(1)}s`;
    const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
    const first = units.findIndex(([, size]) => s >= size);
    const [name, size] = units[first];
    const rest = units[first + 1] ? Math.floor((s % size) / units[first + 1][1]) : 0;
    return `${Math.floor(s / size)}${name}${rest ? ` ${rest}${units[first + 1][0]}` : ""}`;
  },

  number(value) {
    return value === null || value === undefined ? "–" : String(value).replace(/\B(?=(\d{3})+$)/g, ",");
  },

  // Three digits of a large number.
  about(value) {
    if (value === null || value === undefined || value < 1e5) return Words.number(value);
    const [size, unit] = value < 1e6 ? [1e3, "k"] : value < 1e9 ? [1e6, "M"] : [1e9, "G"];
    return `${(value / size).toPrecision(3)}${unit}`;
  },

  counted(count, noun) {
    return `${this.number(count)} ${noun}${count === 1 ? "" : "s"}`;
  },

  short(hex) {
    return hex ? hex.slice(0, 12) : "–";
  },

  plain(word) {
    return word.replaceAll("_", " ");
  },

  // A sentence for a narrow place: times of the same day without the day, and the beginnings of fingerprints.
  brief(text, beside) {
    const times = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/g;
    return text.replace(times, (time) => this.clock(this.parse(time), beside)).replace(/\b([0-9a-f]{12})[0-9a-f]{52}\b/g, "$1");
  },

  // By the rank of a row, from what needs somebody to what needs nobody.
  HEALTH: [
    { key: "you", word: "needs you", mark: "●" },
    { key: "trouble", word: "in trouble", mark: "▲" },
    { key: "paused", word: "paused", mark: "‖" },
    { key: "doubt", word: "in doubt", mark: "?" },
    { key: "work", word: "at work", mark: "◐" },
    { key: "well", word: "well", mark: "✓" },
  ],

  // How an attempt ended; the colour has the same name.
  ENDS: ["committed", "superseded", "rejected", "failed", "lost", "moved", "cancelled", "dropped", "returned", "running"],
};
