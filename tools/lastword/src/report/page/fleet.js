// Fleet: every collection in a line, those first that need somebody.
class Fleet {
  constructor(page) {
    this.page = page;
    this.chips = el("div", { class: "chips", role: "group", "aria-label": "Filters" });
    this.search = el("input", {
      type: "search", id: "search", placeholder: "name or source", "aria-label": "Search collections", spellcheck: "false",
    });
    this.search.addEventListener("input", () => page.go({ q: this.search.value }, true));
    const heads = [["Collection", "name"], ["Freshness", ""], ["Health", ""], ["Lag", "lag"], ["Cause", ""],
      ["Next try", ""], ["Rows", "rows"], ["Last commit", "commit"]];
    this.heads = heads.map(([title, sort]) => {
      const cell = el("span", { role: "columnheader" });
      cell.append(sort ? el("button", { type: "button", onclick: () => page.go({ sort: page.place.sort === sort ? "" : sort }) }, title) : title);
      cell.dataset.sort = sort;
      return cell;
    });
    this.list = new List({
      label: "Collections", height: 28, head: el("div", { class: "row head", role: "row", "aria-rowindex": "1" }, this.heads),
      columns: "minmax(9rem,1.2fr) 5rem 6.2rem 4.4rem minmax(14rem,5fr) 4.4rem 6.2rem 6.2rem",
      draw: (row, item) => this.draw(row, item), open: (item) => page.go({ view: "collection", of: item.name, event: "" }),
    });
    this.list.box.id = "collections";
    this.count = el("p", { class: "count", role: "status", id: "count" });
    this.node = el("section", { class: "view fleet", "aria-label": "Fleet" },
      el("div", { class: "tools" }, this.search, this.chips), this.list.box, this.count);
  }

  show() {
    const { store, moment, place } = this.page;
    if (document.activeElement !== this.search) this.search.value = place.q;
    const all = store.all(moment);
    const counts = new Map(Words.HEALTH.map(({ key }) => [key, 0]));
    for (const item of all) counts.set(Words.HEALTH[item.rank].key, counts.get(Words.HEALTH[item.rank].key) + 1);
    const behind = all.filter(({ lag }) => lag !== 0).length;
    this.drawChips(counts, behind);
    const wanted = place.is ? place.is.split(",") : [];
    const text = place.q.toLowerCase();
    const shown = wanted.length === 0 && !text ? all.slice() : all.filter((item) => {
      const health = Words.HEALTH[item.rank].key;
      const holds = wanted.every((word) =>
        Words.HEALTH.some(({ key }) => key === word) ? wanted.includes(health) : word === "behind" ? item.lag !== 0 : item.word === word);
      if (!holds) return false;
      if (!text || item.name.toLowerCase().includes(text)) return true;
      return store.text(store.declared[store.rows.declared[item.row]][0]).toLowerCase().includes(text);
    });
    const far = (item) => (item.lag === null ? Infinity : item.lag);
    const orders = {
      name: () => 0,
      lag: (a, b) => far(b) - far(a) || 0,
      rows: (a, b) => (b.commit?.rows ?? -1) - (a.commit?.rows ?? -1),
      commit: (a, b) => (b.commit?.at ?? 0) - (a.commit?.at ?? 0),
      "": (a, b) => a.rank - b.rank || far(b) - far(a) || 0,
    };
    // Names are in order already, and sorting keeps what is equal as it is.
    shown.sort(orders[place.sort] ?? orders[""]);
    for (const head of this.heads) {
      const isSorted = head.dataset.sort !== "" && head.dataset.sort === place.sort;
      head.setAttribute("aria-sort", isSorted ? (place.sort === "name" ? "ascending" : "descending") : "none");
    }
    this.list.show(shown);
    this.shown = shown;
    this.count.textContent = shown.length === all.length
      ? Words.counted(all.length, "collection")
      : `${Words.number(shown.length)} of ${Words.counted(all.length, "collection")}`;
  }

  drawChips(counts, behind) {
    const { place } = this.page;
    const wanted = place.is ? place.is.split(",") : [];
    const chips = Words.HEALTH.filter(({ key }) => counts.get(key) > 0 || wanted.includes(key))
      .map(({ key, word, mark }) => [key, `${mark} ${word}`, counts.get(key)]);
    chips.push(["behind", "behind", behind]);
    // A condition in the address that is none of these is a filter as well.
    for (const word of wanted) if (!chips.some(([key]) => key === word)) chips.push([word, Words.plain(word), null]);
    const text = chips.map(([key, word, count]) => `${key}${word}${count}${wanted.includes(key)}`).join();
    if (text === this.chipsText) return;
    this.chipsText = text;
    const focus = document.activeElement?.dataset?.chip;
    this.chips.replaceChildren(...chips.map(([key, word, count]) => {
      const change = wanted.includes(key) ? wanted.filter((other) => other !== key) : [...wanted, key];
      const chip = el("button", { type: "button", class: `chip health-${key}`, "aria-pressed": String(wanted.includes(key)),
        onclick: () => this.page.go({ is: change.join(",") }) }, said(word), count === null ? null : el("b", {}, ` ${Words.number(count)}`));
      chip.dataset.chip = key;
      return chip;
    }));
    if (focus) this.chips.querySelector(`[data-chip="${CSS.escape(focus)}"]`)?.focus();
  }

  draw(row, item) {
    const { store, moment } = this.page;
    const [name, fresh, health, lag, cause, next, rows, commit] = cells(row, 8);
    const { mark, word, key } = Words.HEALTH[item.rank];
    dress(row, `row health-${key}${row.classList.contains("current") ? " current" : ""}`);
    fill(name, item.name, () => [said(item.name, { class: "name" })]);
    write(fresh, item.lag === null ? "unknown" : item.lag === 0 ? "fresh" : "behind");
    dress(fresh, item.lag === 0 ? "quiet" : "strong");
    fill(health, word, () => [el("span", { class: "mark", "aria-hidden": "true" }, mark), ` ${word}`]);
    dress(health, "health");
    write(lag, item.lag === null ? "unknown" : item.lag === 0 ? "0" : Words.span(item.lag));
    dress(lag, "figure");
    dress(cause, "cause");
    // A row says the same until it waits for something else, but for times, which are without their day on that day.
    const unseen = store.beside(item.row, moment)?.not_observed?.cause ?? "";
    const parts = typeof item.parts === "string" ? item.parts : "";
    const told = [store.serial, item.row, item.word, item.until, Math.floor(moment.now / 86400e6), parts, unseen].join();
    fill(cause, told, () => {
      cause.title = item.word === "fresh" ? "" : store.sentence(item.row, item);
      return causes(store, item, moment);
    });
    const wait = item.until === null || item.word === "running" ? "–" : item.until > moment.now ? `in ${Words.span(item.until - moment.now)}` : "now";
    write(next, wait);
    next.title = item.until === null ? "" : Words.time(item.until);
    dress(next, "figure");
    write(rows, Words.number(item.commit?.rows));
    dress(rows, "figure");
    write(commit, item.commit ? `${Words.span(Math.max(0, moment.now - item.commit.at))} ago` : "never");
    commit.title = item.commit ? Words.time(item.commit.at) : "";
    dress(commit, "figure");
  }
}

// Why a collection is not fresh, or may not be; nothing if it is.
function causes(store, item, moment) {
  const found = [];
  if (item.word !== "fresh") found.push(el("b", {}, Words.plain(item.word)), " ", said(Words.brief(store.sentence(item.row, item), moment.now)));
  const more = (text) => found.push(el("span", { class: "more" }, found.length ? "; " : "", said(text)));
  const hidden = store.unobservable[store.rows.unobservable[item.row]];
  if (hidden && item.word !== "unobservable") {
    more(`its source cannot be observed since ${Words.clock(hidden[0], moment.now)}: ${store.text(hidden[1])}`);
  }
  const unseen = store.beside(item.row, moment)?.not_observed;
  if (unseen && item.word !== "not_observed") more(`nobody has looked at its source since ${Words.clock(Words.parse(unseen.since), moment.now)}: ${unseen.cause}`);
  if (store.rows.paused[item.row] === 1 && item.word !== "paused") more("paused by a person: no further attempt starts");
  const delivery = store.outboxes[store.rows.outbox[item.row]]?.[4];
  if (delivery && item.word !== "undelivered") more(`its last ${delivery[0]} failed: ${store.text(delivery[1])}`);
  return found;
}
