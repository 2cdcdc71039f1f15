// Parts of a page. What comes from the log becomes text, and never markup.
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// A text of the log: in its own direction, and with what cannot be seen made visible.
function said(text, attributes = {}) {
  const shown = String(text ?? "").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  return el("bdi", attributes, shown);
}

// A link to another picture.
function link(place, change, child, attributes = {}) {
  return el("a", { href: Place.text({ ...place, ...change }), ...attributes }, child);
}

function copyable(command) {
  const button = el("button", { type: "button", class: "copy" }, "copy");
  const code = el("code", {}, said(command));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
    aloud(`${button.textContent}: ${command}`);
    setTimeout(() => (button.textContent = "copy"), 2000);
  });
  return el("div", { class: "command" }, code, button);
}

function aloud(text) {
  document.getElementById("said").textContent = text;
}

// A list of any length of which only what is seen has nodes. `draw` fills a row for an item.
class List {
  constructor({ label, height, columns, draw, open, head, role }) {
    Object.assign(this, { height, draw, open, items: [], rows: [], from: -1, current: 0 });
    this.body = el("div", { class: "rows" });
    this.box = el("div", { class: "scroll", tabindex: "0", role: role ?? "grid", "aria-label": label, "aria-readonly": "true" });
    this.box.append(...(head ? [head] : []), this.body);
    this.box.style.setProperty("--columns", columns);
    this.box.style.setProperty("--height", `${height}px`);
    this.hasHead = head ? 1 : 0;
    this.box.addEventListener("scroll", () => this.paint(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.body.addEventListener("click", (event) => {
      if (event.target.closest("a")) return;
      const row = event.target.closest("[data-place]");
      if (row) this.open(this.get(Number(row.dataset.place)));
    });
    new ResizeObserver(() => this.paint()).observe(this.box);
  }

  // `items` is an array, or has only a length; then `get` gives what is at a place.
  show(items, get = (at) => items[at]) {
    this.items = items;
    this.get = get;
    this.current = Math.min(this.current, Math.max(0, items.length - 1));
    if (this.length !== items.length) {
      this.length = items.length;
      this.body.style.height = `${items.length * this.height}px`;
      this.box.setAttribute("aria-rowcount", String(items.length + this.hasHead));
    }
    this.from = -1;
    this.paint();
  }

  paint() {
    const printing = document.body.classList.contains("printing");
    const seen = printing ? this.items.length : Math.ceil((this.box.clientHeight || 600) / this.height) + 4;
    const from = printing ? 0 : Math.max(0, Math.floor(this.box.scrollTop / this.height) - 2);
    const count = Math.min(seen, this.items.length - from);
    if (from === this.from && count === this.count) return;
    this.from = from;
    this.count = count;
    while (this.rows.length < count) {
      const row = el("div", { class: "row", role: "row" });
      this.rows.push(row);
      this.body.append(row);
    }
    this.rows.forEach((row, place) => {
      row.hidden = place >= count;
      if (place >= count) return;
      const at = from + place;
      if (row.at !== at) {
        row.at = at;
        row.dataset.place = String(at);
        row.id = `${this.box.id || "list"}-${at}`;
        row.style.transform = `translateY(${at * this.height}px)`;
        row.setAttribute("aria-rowindex", String(at + 1 + this.hasHead));
      }
      const isCurrent = at === this.current;
      if (row.isCurrent !== isCurrent) row.setAttribute("aria-selected", String(row.isCurrent = isCurrent));
      row.classList.toggle("current", isCurrent);
      this.draw(row, this.get(at), at);
    });
    this.box.setAttribute("aria-activedescendant", `${this.box.id || "list"}-${this.current}`);
  }

  // Scrolls no further than it takes to see an item.
  reveal(place) {
    if (place < 0) return;
    const [top, head] = [place * this.height, this.hasHead * this.height];
    const room = this.box.clientHeight - head - this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.target !== this.box) return;
    if (event.key === "Enter" && this.current < this.items.length) {
      event.preventDefault();
      this.open(this.get(this.current));
    } else if (steps[event.key] !== undefined && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      this.current = Math.max(0, Math.min(this.items.length - 1, this.current + steps[event.key]));
      this.reveal(this.current);
      this.from = -1;
      this.paint();
    }
  }
}

// A text that is there already is not written: a browser would lay it out anew.
function write(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

// The same of what is made of parts; `key` stands for all that they depend on.
function fill(cell, key, parts) {
  if (cell.filled === key) return;
  cell.filled = key;
  cell.replaceChildren(...parts());
}

function dress(node, name) {
  if (node.className !== name) node.className = name;
}

// The colours of the style sheet, which change with its scheme alone: to ask for one makes a browser compute styles.
const Inks = {
  known: new Map(),
  get(name) {
    if (!this.known.has(name)) this.known.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
    return this.known.get(name);
  },
};

// Cells that stay while what they say changes: a row is drawn often.
function cells(row, count) {
  while (row.children.length < count) row.append(el("span", { role: "gridcell" }));
  return row.children;
}
