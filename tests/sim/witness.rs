//! A second opinion: counts the durable events for itself and shares no code with decide, fold or fingerprints.
//!
//! OneLive, LastWord, OneCommit, EpochFenced and PublishedInOrder are held event by event; what the last word is, and
//! what was applied, is known here by the time the simulation has come to rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lastword::core::vocabulary::{
    AbortReason, Admission, AttemptRef, Built, CollectionId, Duties, EndReason, Event, Fingerprint, Generation, Kind,
    Name, Recorded, RefreshReason, RejectReason, Seq, TaskId, Timestamp, Token, Version,
};

/// Everything that the events say.
#[derive(Clone, Default)]
pub(crate) struct Witness {
    pub(crate) last: Seq,
    at: Timestamp,
    pub(crate) of: BTreeMap<CollectionId, Witnessed>,
    names: BTreeMap<Name, CollectionId>,
    /// Attempts that hold a worker.
    open: BTreeMap<Token, (AttemptRef, Duties)>,
    /// The highest token ever given out, also in a log that was lost and replaced by a backup.
    pub(crate) highest: Option<Token>,
    highest_epoch: u64,
    /// The same within a backup that is gone through once more.
    highest_here: Option<Token>,
    epoch_here: u64,
    /// Commits, by collection and fingerprint and token: none is repeated.
    commits: BTreeSet<Token>,
    pub(crate) met: BTreeMap<&'static str, u64>,
}

/// One collection, as the events tell it.
#[derive(Clone)]
pub(crate) struct Witnessed {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) versioned: bool,
    pub(crate) latest: InputsSeen,
    wanted: InputsSeen,
    held: bool,
    pub(crate) paused: bool,
    pub(crate) parked: bool,
    generation: Generation,
    /// Where its source was changed: a spec that is changed by the very next event was declared with it, and the two
    /// are one change.
    sourced: Seq,
    pub(crate) applied: Option<Commit>,
    live: Option<(TaskId, Fingerprint)>,
    unpublished: VecDeque<(Seq, Token, Fingerprint)>,
    /// Its only attempt that is not told to stop.
    attempt: Option<Token>,
}

/// What was committed.
#[derive(Clone)]
pub(crate) struct Commit {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) token: Token,
    pub(crate) result: Built,
}

/// What a collection is to be built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputsSeen {
    pub(crate) source: String,
    pub(crate) spec: String,
    pub(crate) content: Content,
}

/// What is known of a source's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Unversioned,
    Unknown,
    Known(Version),
}

impl InputsSeen {
    /// As log-format.md says it, from scratch.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        let mut bytes = Vec::new();
        let mut text = |text: &[u8]| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text);
        };
        text(self.source.as_bytes());
        text(self.spec.as_bytes());
        match &self.content {
            Content::Unknown => return None,
            Content::Unversioned => bytes.push(0),
            Content::Known(version) => {
                bytes.push(1);
                bytes.extend((version.as_bytes().len() as u64).to_le_bytes());
                bytes.extend(version.as_bytes());
            }
        }
        Some(Fingerprint(blake3::derive_key("lastword 2026-11-23 fingerprint v1", &bytes)))
    }
}

impl Witnessed {
    fn admit(&mut self, admission: Admission) {
        let Admission::Admitted { wanted, generation } = admission else { return };
        let before = self.wanted.fingerprint();
        self.wanted = self.latest.clone();
        self.follow(before, wanted, generation);
    }

    /// What is wanted has become this: the number of its generation says whether it is something else.
    fn follow(&mut self, before: Option<Fingerprint>, wanted: Option<Fingerprint>, generation: Generation) {
        assert_eq!(self.wanted.fingerprint(), wanted, "LastWord: what is admitted is not the last word");
        assert!(generation >= self.generation, "LastWord: a generation went back");
        let changed = before.is_some() && wanted.is_some() && before != wanted;
        assert!(!changed || generation > self.generation, "LastWord: another word under the same generation");
        self.generation = generation;
        if before != wanted {
            self.parked = false;
        }
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.applied.as_ref().is_some_and(|applied| Some(applied.fingerprint) == self.latest.fingerprint())
    }
}

impl Witness {
    /// The witness of a log that a backup has replaced: it starts anew, but for what was given out.
    pub(crate) fn forget_all(&mut self) {
        let Witness { highest, highest_epoch, met, .. } = std::mem::take(self);
        *self = Witness { highest, highest_epoch, met, ..Witness::default() };
    }

    pub(crate) fn id_of(&self, name: &Name) -> Option<CollectionId> {
        self.names.get(name).copied()
    }

    /// Whether the attempt holds a worker.
    pub(crate) fn is_open(&self, token: Token) -> bool {
        self.open.contains_key(&token)
    }

    /// Looks at the next durable event. Those of a backup that was put back were seen before and are no news.
    pub(crate) fn see_again(&mut self, recorded: &Recorded) {
        let (highest, epoch) = (self.highest.take(), std::mem::take(&mut self.highest_epoch));
        self.highest = self.highest_here;
        self.highest_epoch = self.epoch_here;
        self.see(recorded);
        (self.highest_here, self.epoch_here) = (self.highest, self.highest_epoch);
        (self.highest, self.highest_epoch) = (highest.max(self.highest), epoch.max(self.highest_epoch));
    }

    /// Looks at the next durable event.
    pub(crate) fn see(&mut self, recorded: &Recorded) {
        assert_eq!(recorded.seq, self.last.next(), "an event is missing or repeated");
        assert!(recorded.at >= self.at, "time went back");
        (self.last, self.at) = (recorded.seq, recorded.at);
        *self.met.entry(recorded.event.type_name()).or_insert(0) += 1;
        match &recorded.event {
            Event::WriterOpened { .. } => {
                assert!(recorded.epoch.0 > self.highest_epoch, "EpochFenced: an epoch was given out twice");
                self.highest_epoch = recorded.epoch.0;
            }
            Event::CollectionDeclared { name, kind, source, spec, versioned, wanted, .. } => {
                let content = if *versioned { Content::Unknown } else { Content::Unversioned };
                let latest = InputsSeen { source: source.as_str().into(), spec: spec.as_str().into(), content };
                assert_eq!(latest.fingerprint(), *wanted, "LastWord: a new collection wants something else");
                let id = CollectionId(recorded.seq);
                assert_eq!(self.names.insert(name.clone(), id), None, "a name was given to two collections");
                self.of.insert(id, Witnessed::declared(name, kind, *versioned, latest));
            }
            event => {
                self.see_word(event, recorded.seq);
                self.see_task(recorded);
                self.see_end(recorded);
            }
        }
    }

    fn see_word(&mut self, event: &Event, seq: Seq) {
        let Some(seen) = event.collection(seq).and_then(|id| self.of.get_mut(&id)) else { return };
        match event {
            Event::SourceChanged { source, admission, .. } => {
                seen.latest.content = if seen.versioned { Content::Unknown } else { Content::Unversioned };
                seen.latest.source = source.as_str().into();
                seen.held = false;
                seen.sourced = seq;
                seen.admit(*admission);
            }
            Event::SpecChanged { spec, admission, .. } => {
                seen.latest.spec = spec.as_str().into();
                if seen.sourced.next() == seq {
                    seen.generation = Generation(seen.generation.0.saturating_sub(1));
                }
                let is_applied = seen.is_fresh();
                if !seen.held || is_applied {
                    seen.held = false;
                    seen.admit(*admission);
                    return;
                }
                // What is held stays out of what is wanted.
                let before = seen.wanted.fingerprint();
                let same_source = seen.wanted.source == seen.latest.source;
                let content = if same_source { seen.wanted.content.clone() } else { Content::Unknown };
                seen.wanted = InputsSeen { content, ..seen.latest.clone() };
                if let Admission::Admitted { wanted, generation } = *admission {
                    seen.follow(before, wanted, generation);
                }
            }
            Event::SourceObserved { observed, admission, .. } => {
                assert!(seen.versioned, "an unversioned collection was observed");
                seen.latest.content = Content::Known(observed.version.clone());
                seen.held = false;
                seen.admit(*admission);
            }
            Event::CollectionHeld { observed, fingerprint, .. } => {
                seen.latest.content = Content::Known(observed.version.clone());
                seen.held = true;
                assert_eq!(seen.latest.fingerprint(), Some(*fingerprint), "what is held has another fingerprint");
            }
            Event::HoldConfirmed { fingerprint, generation, .. } => {
                assert!(seen.held, "something was confirmed that was not held");
                let before = seen.wanted.fingerprint();
                seen.held = false;
                seen.wanted = seen.latest.clone();
                seen.follow(before, Some(*fingerprint), *generation);
            }
            Event::RefreshRequested { reason: RefreshReason::Asked | RefreshReason::Drift(_), .. } => {
                seen.parked = false;
            }
            Event::CollectionPaused { .. } => seen.paused = true,
            Event::CollectionResumed { .. } => seen.paused = false,
            _ => {}
        }
    }

    fn see_task(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::TaskCreated { collection, fingerprint, not_before, .. } => {
                assert!(*not_before >= recorded.at, "a task that was ready before it was created jumps the queue");
                let seen = self.of.get_mut(collection).unwrap();
                let before = seen.live.replace((TaskId(recorded.seq), *fingerprint));
                assert_eq!(before, None, "OneLive");
                assert_eq!(seen.wanted.fingerprint(), Some(*fingerprint), "LastWord: the task builds something else");
                seen.parked = false;
            }
            Event::TaskStarted { collection, task, attempt, duties, .. } => {
                let seen = self.of.get_mut(collection).unwrap();
                assert_eq!(seen.live.map(|(live, _)| live), Some(*task), "OneLive");
                assert!(!seen.paused, "an attempt was started while its collection was paused");
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                assert!(self.highest < Some(token), "EpochFenced: a token was given out twice, or a lower one later");
                assert_eq!(recorded.epoch.0, self.highest_epoch, "EpochFenced: another writer's epoch");
                self.highest = Some(token);
                assert_eq!(seen.attempt.replace(token), None, "an attempt was started beside another one");
                let alone = !self.open.values().any(|(open, _)| open.collection == *collection);
                assert!(alone, "an attempt was started before the last one had let go");
                let attempt = AttemptRef { collection: *collection, task: *task, attempt: *attempt, token };
                self.open.insert(token, (attempt, *duties));
            }
            Event::TaskCompleted { collection, task, attempt, token, fingerprint, result, .. } => {
                let seen = self.of.get_mut(collection).unwrap();
                assert_eq!(seen.live.take(), Some((*task, *fingerprint)), "LastWord: not the live task");
                assert_eq!(seen.attempt.take(), Some(*token), "LastWord: not the token of the current attempt");
                assert_eq!(seen.wanted.fingerprint(), Some(*fingerprint), "LastWord: not what is wanted");
                let named = AttemptRef { collection: *collection, task: *task, attempt: *attempt, token: *token };
                let (known, duties) = self.open[token];
                assert_eq!(known, named, "LastWord: the commit names another attempt");
                assert!(self.commits.insert(*token), "OneCommit: one attempt committed twice");
                if duties.publish {
                    seen.unpublished.push_back((recorded.seq, *token, *fingerprint));
                }
                let (fingerprint, token, result) = (*fingerprint, *token, (**result).clone());
                seen.applied = Some(Commit { fingerprint, token, result });
            }
            Event::TaskAborted { collection, task, reason, stopping } => {
                let seen = self.of.get_mut(collection).unwrap();
                assert_eq!(seen.live.take().map(|(live, _)| live), Some(*task), "OneLive");
                assert_eq!(
                    seen.attempt.take(),
                    stopping.map(|stopping| stopping.token),
                    "the wrong attempt is stopped"
                );
                seen.parked = *reason == AbortReason::Cancelled;
            }
            Event::TaskParked { collection, task, .. } => {
                let seen = self.of.get_mut(collection).unwrap();
                assert_eq!(seen.live.take().map(|(live, _)| live), Some(*task), "OneLive");
                assert_eq!(seen.attempt, None, "a task was parked under its attempt");
                seen.parked = true;
            }
            Event::AttemptFailed { collection, token, .. } => {
                let seen = self.of.get_mut(collection).unwrap();
                assert_eq!(seen.attempt.take(), Some(*token), "an attempt failed that was not the current one");
            }
            Event::CollectionDropped { collection } => {
                let seen = self.of.remove(collection).expect("something unknown was dropped");
                assert_eq!(seen.live, None, "a drop leaves no task behind");
                assert_eq!(self.names.remove(&seen.name), Some(*collection), "a drop leaves its name behind");
            }
            _ => {}
        }
    }

    fn see_end(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::AttemptEnded { collection, task, attempt, token, reason } => {
                let named = AttemptRef { collection: *collection, task: *task, attempt: *attempt, token: *token };
                let open = self.open.remove(token).map(|(open, _)| open);
                assert_eq!(open, Some(named), "an attempt ends once, under its own name");
                let seen = self.of.get_mut(collection);
                if let Some(seen) = seen.filter(|seen| seen.attempt == Some(*token)) {
                    assert_ne!(*reason, EndReason::Abandoned, "an attempt was abandoned that nobody had told to stop");
                    seen.attempt = None;
                }
            }
            Event::CompletionRejected { collection, task, token, reason, fingerprint, wanted, .. } => {
                let seen = self.of.get(collection);
                let now = seen.and_then(|seen| seen.wanted.fingerprint());
                assert_eq!(now, *wanted, "a rejection names something else than what is wanted");
                let current = seen.is_some_and(|seen| seen.attempt == Some(*token));
                let could = current && now == Some(*fingerprint);
                let live = seen.and_then(|seen| seen.live).map(|(live, _)| live);
                assert!(!could || live != Some(*task), "the completion of the current attempt was refused");
                let committed = |seen: &&Witnessed| {
                    seen.applied.as_ref().is_some_and(|done| (done.token, done.fingerprint) == (*token, *fingerprint))
                };
                let expected = match seen {
                    None => RejectReason::UnknownCollection,
                    Some(seen) if committed(&seen) => RejectReason::Duplicate,
                    Some(_) if now == Some(*fingerprint) => RejectReason::NotLive,
                    Some(_) => RejectReason::Stale,
                };
                assert_eq!(*reason, expected, "a rejection has the wrong reason");
            }
            Event::Published { collection, commit, token, fingerprint } => {
                let seen = self.of.get_mut(collection).expect("PublishedInOrder: what is gone is not published");
                let first = seen.unpublished.pop_front();
                assert_eq!(first, Some((*commit, *token, *fingerprint)), "PublishedInOrder");
            }
            _ => {}
        }
    }

    /// Everything that was committed was published, and every attempt has let go.
    pub(crate) fn assert_delivered(&self) {
        for (id, seen) in &self.of {
            assert!(seen.unpublished.is_empty(), "PublishedInOrder: {id} owes {:?}", seen.unpublished);
        }
        assert!(self.open.is_empty(), "an attempt never ended: {:?}", self.open);
    }
}

impl Witnessed {
    fn declared(name: &Name, kind: &Kind, versioned: bool, latest: InputsSeen) -> Witnessed {
        Witnessed {
            name: name.clone(),
            kind: kind.clone(),
            versioned,
            wanted: latest.clone(),
            latest,
            held: false,
            paused: false,
            parked: false,
            generation: Generation(1),
            sourced: Seq::ZERO,
            applied: None,
            live: None,
            unpublished: VecDeque::new(),
            attempt: None,
        }
    }
}
