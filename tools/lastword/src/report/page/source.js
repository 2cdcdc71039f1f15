// Where the data comes from: what stands in the page, or the run that serves it. It must not know what the data means.
//
// A recorded page has `#data`, and behind the script `#sentences` and `#files`. A live one has `#live`: it asks
// `/v1/report` for the same three in one answer, follows with `?from=NEXT`, and loads those up to an older event with
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
  token: "",

  query() {
    if (this.next !== null) return `?from=${this.next}`;
    return this.wanted === null ? "" : `?to=${this.wanted + this.AROUND}`;
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
    if (answer.same) {
      this.pass(answer.now, answer.besides);
      return;
    }
    if (wanted === null) answer.data.log.now = answer.now;
    answer.data.besides = answer.besides;
    this.take(answer.data);
    this.complete(answer);
  },

  // Kept for this tab alone, and sent to nobody but the run that served the page.
  askToken() {
    return new Promise((done) => this.ask((token) => {
      this.token = token;
      done(0);
    }));
  },
};
