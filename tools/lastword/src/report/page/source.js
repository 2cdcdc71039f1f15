// Where the data comes from: what stands in the page, or the run that serves it. It must not know what the data means.
//
// A recorded page has `#data`, and behind the script `#sentences` and `#files`. A live one has `#live`: it asks
// `/v1/report` for the same three in one answer, asks for what is new with `?from=NEXT&before=FIRST`, and loads those up to an older event with
// `?to=SEQ`. `besides` is what only the run knows of collections now.
const Source = {
  isLive: document.getElementById("live") !== null,
  // A run is asked so often, in milliseconds; a page that nobody sees less often.
  REST: 2000,
  HIDDEN_REST: 20000,
  // How many events behind one that is looked for are loaded with it.
  AROUND: 5000,

  parse(id) {
    const block = document.getElementById(id);
    return block ? JSON.parse(block.textContent) : null;
  },

  // `take` gets what the first picture needs, `complete` the rest, `tell` what a person has to know.
  begin(told) {
    Object.assign(this, told);
    if (this.isLive) {
      this.follow();
      return;
    }
    this.take(this.parse("data"));
    const whole = () => setTimeout(() => this.complete({ sentences: this.parse("sentences") ?? [], files: this.parse("files") ?? {} }), 0);
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", whole);
    else whole();
  },

  // An older event than those that are loaded, or the end again: null.
  want(seq) {
    if (!this.isLive || seq === this.wanted) return;
    this.wanted = seq;
    this.next = null;
    this.wake?.();
  },

  wanted: null,
  next: null,
  // The end as it was told last, also while something older is shown.
  newest: null,
  isNewest: false,
  token: "",

  query() {
    if (this.wanted !== null) return `?to=${this.wanted + this.AROUND}`;
    return this.newest ? `?from=${this.newest.next}&before=${this.newest.data.log.before}` : "";
  },

  async follow() {
    for (;;) {
      const wanted = this.wanted;
      let rest = document.hidden ? this.HIDDEN_REST : this.REST;
      try {
        // What is past does not change: only the end is followed.
        if (wanted === null || this.next === null) await this.load(wanted);
        this.tell("");
      } catch (error) {
        this.tell(error.message);
        if (error.needsToken) rest = await this.askToken();
      }
      if (this.wanted !== wanted) continue;
      await new Promise((wake) => {
        this.wake = wake;
        setTimeout(wake, rest);
      });
    }
  },

  async load(wanted) {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    let response;
    try {
      response = await fetch(`/v1/report${this.query()}`, { headers, cache: "no-store" });
    } catch {
      throw new Error("the run does not answer: what is shown is what it said last");
    }
    const answer = await response.json().catch(() => null);
    if (!response.ok || answer === null) {
      const error = new Error(answer?.error?.message ?? `the run answers with status ${response.status}`);
      error.needsToken = response.status === 401;
      throw error;
    }
    if (this.wanted !== wanted) return;
    this.next = answer.next;
    if (wanted !== null) {
      this.isNewest = false;
      this.take(answer.data);
      this.complete(answer);
      return;
    }
    if (answer.data) this.newest = answer;
    else if (answer.more) this.extend(this.newest, answer);
    this.newest.next = answer.next;
    if (answer.same && this.isNewest) {
      this.pass(answer.now, answer.besides);
      return;
    }
    this.isNewest = true;
    this.newest.data.log.now = answer.now;
    this.newest.data.besides = answer.besides;
    this.take(this.newest.data);
    this.complete(this.newest);
  },

  // What has come since stands at the ends of tables and columns. Of attempts more may be known by now.
  extend(newest, { more, sentences, files }) {
    const add = (list, items) => {
      for (const item of items) list.push(item);
    };
    for (const [name, part] of Object.entries(more)) {
      const held = newest.data[name];
      if (name === "attempts") for (const [place, attempt] of part) held[place] = attempt;
      else if (Array.isArray(part)) add(held, part);
      else if (name === "log" || name === "v") newest.data[name] = part;
      else for (const column of Object.keys(part)) add(held[column], part[column]);
    }
    add(newest.sentences, sentences);
    Object.assign(newest.files, files);
  },

  // Kept for this tab alone, and sent to nobody but the run that served the page.
  askToken() {
    return new Promise((done) => this.ask((token) => {
      this.token = token;
      done(0);
    }));
  },
};
