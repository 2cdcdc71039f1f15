// What the list shows of a collection at a moment. There are thousands at each step: what few of them need is looked up then.
class Brief {
  constructor(store, place, row, lag, word, parts, until, rank) {
    this.store = store;
    this.place = place;
    this.row = row;
    this.lag = lag;
    this.word = word;
    this.parts = parts;
    this.until = until;
    this.rank = rank;
  }

  get name() {
    return this.store.name(this.place);
  }

  get commit() {
    return this.store.commit(this.row);
  }
}

// The data, and every question about it: all are look-ups of the last row at or before a moment. Nothing is folded here.
class Store {
  constructor(data) {
    Object.assign(this, data);
    this.sentences = null;
    this.files = {};
    this.first = this.log.before + 1;
    this.know(this.besides ?? []);
    let at = 0;
    this.times = this.events.at.map((step) => (at += step));
    const { of, seq } = this.rows;
    this.rowsOf = this.collections.map(() => []);
    this.rowTime = new Array(seq.length);
    for (let row = 0; row < seq.length; row++) {
      this.rowsOf[of[row]].push(row);
      this.rowTime[row] = this.timeOf(seq[row]);
    }
    this.limitsOf = [];
    this.limits.group.forEach((group, place) => (this.limitsOf[group] ??= []).push(place));
    this.eventsOf = null;
    this.briefs = new Array(this.collections.length);
    this.serial = ++Store.made;
    this.byName = new Map();
    this.collections.forEach(([, name], place) => {
      if (!this.byName.has(name)) this.byName.set(name, []);
      this.byName.get(name).push(place);
    });
    this.order = this.collections.map((_, place) => place);
    this.order.sort((a, b) => Store.less(this.name(a), this.name(b)));
    this.attemptsOf = this.collections.map(() => []);
    this.attempts.forEach((attempt, place) => this.attemptsOf[attempt[0]].push(place));
  }

  // What only the run knows of collections, at the newest moment.
  know(besides) {
    this.besides = new Map(besides.map((found) => [found.id, found]));
  }

  beside(row, moment) {
    return moment.isNewest === true && this.besides.size > 0 ? this.besides.get(this.collections[this.rows.of[row]][0]) : undefined;
  }

  // The order of UTF-8, which is that of the log: characters beyond U+FFFF come last.
  static less(a, b) {
    const weight = (unit) => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800);
    for (let at = 0; at < a.length && at < b.length; at++) {
      const differs = weight(a.charCodeAt(at)) - weight(b.charCodeAt(at));
      if (differs !== 0) return differs;
    }
    return a.length - b.length;
  }

  // The last place in `places` whose `key` is not greater; -1 if there is none.
  static last(places, key, most) {
    let low = 0;
    let high = places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (key(places[middle]) <= most) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  name(place) {
    return this.collections[place][1];
  }

  text(place) {
    return place < 0 ? null : this.texts[place];
  }

  timeOf(seq) {
    const place = Math.min(seq - this.first, this.times.length - 1);
    return place < 0 ? this.log.before_at : this.times[place];
  }

  // A moment: the state after an event, at its time or at a later one before the next.
  atEvent(seq) {
    const event = Math.max(this.log.before, Math.min(seq, this.log.last));
    return { seq: event, now: this.timeOf(event) };
  }

  atTime(time) {
    const place = Store.last(this.times, (at) => at, time);
    const seq = this.log.before + place + 1;
    return { seq, now: Math.max(time, this.timeOf(seq)) };
  }

  // The row of a collection at a moment; -1 if it is not there then.
  row(place, seq) {
    const rows = this.rowsOf[place];
    const seqs = this.rows.seq;
    // Thousands of times at each step: without a call for each look.
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (seqs[rows[middle]] <= seq) low = middle + 1;
      else high = middle;
    }
    return low === 0 || this.rows.declared[rows[low - 1]] < 0 ? -1 : rows[low - 1];
  }

  // The condition of a row at a moment: one word, why, until when, and how much it needs somebody.
  condition(row, moment) {
    const { rows } = this;
    const at = this.rowTime[row];
    let said = this.said[rows.said[row]];
    let until = rows.until[row] === null ? null : at + rows.until[row];
    let rank = rows.ranks[row] & 7;
    let waits = true;
    if (rows.switch[row] !== null) {
      const ends = at + rows.switch[row];
      if (moment.now >= ends) {
        said = this.said[rows.later[row]];
        rank = (rows.ranks[row] >> 3) & 7;
      } else {
        until = ends;
        waits = false;
      }
    }
    let [word, cause, parts] = said;
    if (waits && rows.group[row] >= 0) {
      const limits = this.limitsOf[rows.group[row]] ?? [];
      const found = Store.last(limits, (place) => this.limits.seq[place], moment.seq);
      const limit = found < 0 ? -1 : this.limits.said[limits[found]];
      if (limit >= 0) {
        [word, , parts] = this.said[limit];
        rank = (rows.ranks[row] >> 6) & 7;
      }
    }
    const beside = this.beside(row, moment);
    if (beside && (beside.condition === word || Store.HEARD.has(word))) {
      return { word: beside.condition, cause: beside.cause, parts: beside.because, until: beside.condition === word ? until : null, rank: beside.rank };
    }
    return { word, cause: this.text(cause), parts, until, rank };
  }

  sentence(row, { parts, until }) {
    if (typeof parts === "string") return parts;
    const started = this.rowTime[row] - this.rows.started[row];
    return parts.map((part) => (typeof part === "string" ? part : Words.time(part === 0 ? until : started))).join("");
  }

  // In microseconds; 0 if it is fresh, null if nobody knows.
  lag(row, moment) {
    const since = this.rows.since[row];
    if (this.beside(row, moment)?.lag_is_known === false) return null;
    if (since === -1) return 0;
    return since === -2 ? null : Math.max(0, moment.now - (this.rowTime[row] - since));
  }

  commit(row) {
    const place = this.rows.commit[row];
    if (place < 0) return null;
    const [fingerprint, at, seq, token, segments, rows, manifest, output, task] = this.commits[place];
    return { fingerprint, at, seq, token, segments, rows, manifest, output, task };
  }

  // The commit that an event made, as the tables have it.
  commitOf(seq) {
    this.bySeq ??= new Map(this.commits.map((commit) => [commit[2], commit]));
    return this.bySeq.get(seq);
  }

  // What the list shows of a collection; null if it is not there.
  brief(place, moment) {
    const row = this.row(place, moment.seq);
    if (row < 0) return null;
    const { word, parts, until, rank } = this.condition(row, moment);
    return new Brief(this, place, row, this.lag(row, moment), word, parts, until, rank);
  }

  // Every view of a moment asks for them, and some more than once.
  all(moment) {
    if (this.kept?.moment !== moment) {
      const all = [];
      for (const place of this.order) {
        const found = this.again(place, moment);
        if (found !== null) all.push(found);
      }
      this.kept = { moment, all };
    }
    return this.kept.all;
  }

  // From one moment to the next few collections get another row: of the others only the lag is another.
  again(place, moment) {
    const { rows } = this;
    const row = this.row(place, moment.seq);
    if (row < 0) return null;
    const before = this.briefs[place];
    const stays = rows.switch[row] === null && rows.group[row] < 0 && (this.besides.size === 0 || !moment.isNewest);
    if (stays && before !== undefined && before.row === row) {
      before.lag = this.lag(row, moment);
      return before;
    }
    const found = this.brief(place, moment);
    this.briefs[place] = stays ? found : undefined;
    return found;
  }

  // The object that `log-dump state --at` prints, key by key.
  view(place, moment) {
    const row = this.row(place, moment.seq);
    if (row < 0) return null;
    const { rows } = this;
    const at = this.rowTime[row];
    const [id, name, kind] = this.collections[place];
    const [source, spec, policy, versioned] = this.declared[rows.declared[row]];
    const condition = this.condition(row, moment);
    const commit = this.commit(row);
    const later = (time) => (time === null ? null : Words.time(at + time));
    const maybe = (value) => (value < 0 ? null : value);
    const lag = this.lag(row, moment);
    const failure = this.failures[rows.failure[row]];
    const hidden = this.unobservable[rows.unobservable[row]];
    const outbox = this.outboxes[rows.outbox[row]];
    const [published, unpublished, waitsSince, undiscarded, delivery] = outbox ?? [null, null, null, null, null];
    const segments = commit?.segments ?? [null, null, null];
    return {
      v: 1,
      name,
      incarnation: id,
      kind,
      source: this.text(source),
      spec: JSON.parse(this.text(spec)),
      versioned,
      generation: rows.generation[row],
      latest: this.text(rows.latest[row]),
      wanted: this.text(rows.wanted[row]),
      applied: commit ? this.text(commit.fingerprint) : null,
      condition: condition.word,
      cause: condition.cause,
      because: this.sentence(row, condition),
      until: condition.until === null ? null : Words.time(condition.until),
      paused: rows.paused[row] === 1,
      task: maybe(rows.task[row]),
      attempt: maybe(rows.attempt[row]),
      attempts: rows.attempts[row],
      worker: this.text(rows.worker[row]),
      failures: rows.failures[row],
      last_failure: failure ? { reason: failure[0], message: this.text(failure[1]), time: Words.time(failure[2]) } : null,
      held: this.text(rows.held[row]),
      unobservable: hidden ? { since: Words.time(hidden[0]), cause: this.text(hidden[1]) } : null,
      not_observed: this.beside(row, moment)?.not_observed ?? null,
      lag_seconds: lag === null ? null : Words.seconds(lag),
      applied_at: commit ? Words.time(commit.at) : null,
      applied_seq: commit ? commit.seq : null,
      token: commit ? commit.token : null,
      segments_kept: segments[0],
      segments_new: segments[1],
      segments_dropped: segments[2],
      rows: commit ? commit.rows : null,
      manifest: commit ? this.text(commit.manifest) : null,
      output: commit ? this.text(commit.output) : null,
      published,
      unpublished,
      published_lag_seconds: outbox ? (waitsSince === null ? 0 : Words.seconds(Math.max(0, moment.now - waitsSince))) : null,
      undiscarded,
      delivery_failure: delivery
        ? { delivery: delivery[0], cause: this.text(delivery[1]), failures: delivery[2], retry_at: Words.time(delivery[3]) }
        : null,
      resync_at: later(rows.resync[row]),
      policy: JSON.parse(this.text(policy)),
      time: Words.time(moment.now),
    };
  }

  views(moment) {
    return this.order.map((place) => this.view(place, moment)).filter((found) => found !== null);
  }

  // The collection that has a name at a moment, or had or will have it.
  find(name, moment) {
    const places = this.byName.get(name) ?? [];
    const there = places.find((place) => this.row(place, moment.seq) >= 0);
    return there ?? places.findLast((place) => this.collections[place][0] <= moment.seq) ?? places[0] ?? -1;
  }

  // An event, as far as it is shown.
  event(seq) {
    const place = seq - this.first;
    if (!(place >= 0 && place < this.times.length)) return null;
    const { events } = this;
    const [actor, cause] = this.by[events.by[place]] ?? [-1, -1];
    const [built, wanted] = this.by[events.built[place]] ?? [-1, -1];
    return {
      seq,
      at: this.times[place],
      type: this.types[events.type[place]],
      of: events.of[place],
      task: events.task[place],
      actor: this.text(actor),
      cause: this.text(cause),
      because: events.because[place],
      built: this.text(built),
      wanted: this.text(wanted),
      sentence: this.sentences?.[place] ?? "",
    };
  }

  // The events that are shown, oldest first: all but those of collections that are left out.
  shownEvents() {
    if (!this.shownSeqs) {
      this.shownSeqs = [];
      this.events.of.forEach((of, event) => {
        if (of !== -2) this.shownSeqs.push(this.first + event);
      });
    }
    return this.shownSeqs;
  }

  // The events of a collection, oldest first.
  eventsAbout(place) {
    if (!this.eventsOf) {
      this.eventsOf = this.collections.map(() => []);
      this.events.of.forEach((of, event) => {
        if (of >= 0) this.eventsOf[of].push(this.first + event);
      });
    }
    return this.eventsOf[place] ?? [];
  }

  // An attempt as it was at a moment; null if it had not started.
  attempt(place, moment) {
    const [of, task, number, worker, seq, at, how, decided, decidedAt, ended, endedAt, rejected, message] =
      this.attempts[place];
    if (seq > moment.seq) return null;
    const isDecided = decided > 0 && decided <= moment.seq;
    const isRejected = rejected > 0 && rejected <= moment.seq;
    const isEnded = ended > 0 && ended <= moment.seq;
    return {
      place, of, task, number, seq, at,
      worker: this.text(worker),
      end: isRejected ? "rejected" : isDecided ? how : "running",
      // The event that tells most of it.
      told: isRejected ? rejected : isDecided ? decided : seq,
      until: isEnded ? endedAt : moment.now,
      untilSeq: isEnded ? ended : moment.seq,
      holds: !isEnded,
      message: isDecided ? this.text(message) : null,
    };
  }
}

// So many stores were made: what was drawn from one is not drawn from another.
Store.made = 0;

// What a log says of a collection of which only a run can know that more is the matter. What has come since stands.
Store.HEARD = new Set(["fresh", "awaiting_observation", "waiting_for_worker", "undelivered"]);
