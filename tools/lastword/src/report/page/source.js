// Where the data comes from: what stands in the page. It must not know what the data means.
// A live page has `#live` instead of `#data` and fetches the same pieces.
const Source = {
  parse(id) {
    const block = document.getElementById(id);
    return block ? JSON.parse(block.textContent) : null;
  },

  // What the first picture needs.
  data() {
    return this.parse("data");
  },

  // The sentences of the events and the files of the observations, which stand behind the script.
  later() {
    const read = () => ({ sentences: this.parse("sentences") ?? [], files: this.parse("files") ?? {} });
    return new Promise((done) => {
      const whole = () => setTimeout(() => done(read()), 0);
      if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", whole);
      else whole();
    });
  },
};
