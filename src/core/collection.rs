//! One collection: the last word heard, the word admitted, what was applied, and what its task is doing.

use std::sync::Arc;

use super::status::Status;
use super::vocabulary::{
    Admission, Built, Content, Event, FailReason, Fingerprint, Generation, HoldCause, Kind, Name, Observed, Policy,
    Recorded, Seq, Source, Spec, TaskId, Timestamp, Token, Word,
};

/// Everything known of one collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Collection {
    /// Its name.
    pub name: Name,
    /// Which worker builds it.
    pub kind: Kind,
    /// Whether the content of its source counts.
    pub versioned: bool,
    /// How it is treated.
    pub policy: Policy,
    /// The caller's number of the last declaration that had one.
    pub revision: Option<u64>,
    /// The last word heard.
    pub latest: Arc<Word>,
    /// The word admitted, or nothing while the content of the source is unknown.
    pub wanted: Option<Wanted>,
    /// Counts the changes of `wanted`.
    pub generation: Generation,
    /// The last commit.
    pub applied: Option<Box<Applied>>,
    /// Why the last word heard is not the one admitted.
    pub pending: Option<Pending>,
    /// What its task is doing.
    pub status: Status,
    /// The last accepted declaration or observation.
    pub heard: Seq,
    /// No new attempts.
    pub paused: bool,
    /// Failures since the last commit or refresh: the exponent of the backoff.
    pub failures: u32,
    /// Attempts in a row under which the source moved.
    pub moves: u32,
    /// Attempts of ended tasks that still hold a worker. The next attempt waits for them.
    pub draining: u32,
    /// When the first word that is not applied was heard.
    pub unapplied_since: Option<Timestamp>,
    /// Why the source cannot be observed.
    pub unobservable: Option<Box<Unobservable>>,
}

/// The word that was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The word.
    pub word: Arc<Word>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Applied {
    /// What it was built from.
    pub fingerprint: Fingerprint,
    /// The newest generation that it satisfies.
    pub generation: Generation,
    /// The task that built it.
    pub task: TaskId,
    /// The token of the attempt that built it.
    pub token: Token,
    /// The event that committed it.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// What was built.
    pub result: Built,
}

/// Why the last word heard is not admitted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pending {
    /// It waits until the source was quiet.
    Settling {
        /// When the first observation that is not admitted was made.
        since: Timestamp,
        /// When the last one will be admitted.
        until: Timestamp,
    },
    /// It waits until the live task has ended.
    Waiting {
        /// When the first word that waits was heard.
        since: Timestamp,
    },
    /// It looks like a loss and waits for a person.
    Held {
        /// Since when.
        since: Timestamp,
        /// Why.
        cause: HoldCause,
        /// What confirming it would make wanted.
        fingerprint: Fingerprint,
    },
}

/// Why a source cannot be observed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unobservable {
    /// Since when.
    pub since: Timestamp,
    /// The cause.
    pub cause: Box<str>,
}

impl Pending {
    /// Since when.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        match self {
            Pending::Settling { since, .. } | Pending::Waiting { since } | Pending::Held { since, .. } => *since,
        }
    }
}

impl Collection {
    /// The collection that a declaration makes.
    pub(super) fn declared(recorded: &Recorded) -> Result<Collection, &'static str> {
        let Event::CollectionDeclared { name, kind, source, spec, versioned, policy, revision, wanted } =
            &recorded.event
        else {
            return Err("it is not a declaration");
        };
        let content = if *versioned { Content::Unknown } else { Content::Unversioned };
        let latest = Arc::new(Word { source: source.clone(), spec: spec.clone(), content });
        let mut collection = Collection {
            name: name.clone(),
            kind: kind.clone(),
            versioned: *versioned,
            policy: policy.clone(),
            revision: *revision,
            latest: Arc::clone(&latest),
            wanted: None,
            generation: Generation(1),
            applied: None,
            pending: None,
            status: Status::Idle,
            heard: recorded.seq,
            paused: false,
            failures: 0,
            moves: 0,
            draining: 0,
            unapplied_since: Some(recorded.at),
            unobservable: None,
        };
        collection.want(latest, *wanted, Generation(1))?;
        Ok(collection)
    }

    /// The fingerprint of what was admitted.
    #[must_use]
    pub fn wanted_fingerprint(&self) -> Option<Fingerprint> {
        self.wanted.as_ref().map(|wanted| wanted.fingerprint)
    }

    /// The fingerprint of what was applied.
    #[must_use]
    pub fn applied_fingerprint(&self) -> Option<Fingerprint> {
        self.applied.as_ref().map(|applied| applied.fingerprint)
    }

    /// The last observation of the source as it is declared now.
    #[must_use]
    pub fn observed(&self) -> Option<&Observed> {
        match &self.latest.content {
            Content::Observed(observed) => Some(observed),
            Content::Unversioned | Content::Unknown => None,
        }
    }

    /// The generation under which the last word heard is wanted, or will be: what to wait for.
    #[must_use]
    pub fn latest_generation(&self) -> Generation {
        match self.pending {
            Some(Pending::Waiting { .. }) => self.generation.next(),
            Some(Pending::Settling { .. } | Pending::Held { .. }) | None => self.generation,
        }
    }

    /// Whether everything heard is applied.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.pending.is_none() && self.wanted.is_some() && self.wanted_fingerprint() == self.applied_fingerprint()
    }

    /// The word that a changed spec makes wanted: what is held stays out of it, unless it becomes what is applied.
    pub(super) fn respecified(&self, spec: &Spec) -> Word {
        let heard = Word { spec: spec.clone(), ..(*self.latest).clone() };
        if self.applied.is_some() && heard.fingerprint() == self.applied_fingerprint() {
            return heard;
        }
        let content = match (&self.pending, &self.wanted) {
            // Nothing that was observed under another source counts under this one.
            (Some(Pending::Held { .. }), Some(wanted)) if wanted.word.source == self.latest.source => {
                wanted.word.content.clone()
            }
            (Some(Pending::Held { .. }), Some(_) | None) => Content::Unknown,
            (Some(Pending::Settling { .. } | Pending::Waiting { .. }) | None, _) => return heard,
        };
        Word { content, ..heard }
    }

    /// The word that a changed source makes wanted: nothing observed under the old one counts.
    pub(super) fn resourced(&self, source: &Source) -> Word {
        let content = if self.versioned { Content::Unknown } else { Content::Unversioned };
        Word { source: source.clone(), spec: self.latest.spec.clone(), content }
    }

    /// The word that an observation makes.
    pub(super) fn observed_as(&self, observed: &Observed) -> Word {
        let Word { source, spec, .. } = &*self.latest;
        Word { source: source.clone(), spec: spec.clone(), content: Content::Observed(observed.clone()) }
    }

    /// What `recorded` makes of this collection, its status included.
    pub(super) fn fold(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        self.status = std::mem::take(&mut self.status).after(recorded)?;
        self.fold_word(recorded)?;
        self.fold_task(recorded)?;
        self.measure_lag(recorded.at);
        Ok(())
    }

    /// The part of an event that is about words.
    fn fold_word(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        match &recorded.event {
            Event::SourceChanged { source, admission, .. } => {
                let word = Arc::new(self.resourced(source));
                let pending = self.pending;
                self.hear(recorded.seq, Arc::clone(&word), pending);
                self.unobservable = None;
                self.admit(word, *admission, recorded.at)
            }
            Event::SpecChanged { spec, admission, .. } => {
                let word = Arc::new(self.respecified(spec));
                let heard = Word { spec: spec.clone(), ..(*self.latest).clone() };
                match self.pending {
                    Some(Pending::Held { since, cause, .. }) if heard != *word => {
                        let fingerprint = heard.fingerprint().ok_or("nothing that was observed is held")?;
                        self.hear(recorded.seq, Arc::new(heard), self.pending);
                        self.admit(word, *admission, recorded.at)?;
                        self.pending = Some(Pending::Held { since, cause, fingerprint });
                        Ok(())
                    }
                    pending => {
                        self.hear(recorded.seq, Arc::clone(&word), pending);
                        self.admit(word, *admission, recorded.at)
                    }
                }
            }
            Event::SourceObserved { observed, admission, .. } => {
                if self.is_known_and_waits(observed) && matches!(admission, Admission::Admitted { .. }) {
                    // Nobody has looked: what was heard earlier is admitted now.
                    return self.admit(Arc::clone(&self.latest), *admission, recorded.at);
                }
                let word = self.observe(recorded.seq, observed)?;
                self.admit(word, *admission, recorded.at)
            }
            Event::CollectionHeld { observed, cause, fingerprint, .. } => {
                if self.observe(recorded.seq, observed)?.fingerprint() != Some(*fingerprint) {
                    return Err("its fingerprint is not that of what it says");
                }
                let again = |held: &Pending| matches!(held, Pending::Held { fingerprint: f, .. } if f == fingerprint);
                let since = self.pending.filter(again).map_or(recorded.at, |held| held.since());
                self.pending = Some(Pending::Held { since, cause: *cause, fingerprint: *fingerprint });
                Ok(())
            }
            Event::HoldConfirmed { fingerprint, generation, .. } => {
                if !matches!(self.pending, Some(Pending::Held { fingerprint: held, .. }) if held == *fingerprint) {
                    return Err("this is not held");
                }
                self.pending = None;
                self.heard = recorded.seq;
                self.want(Arc::clone(&self.latest), Some(*fingerprint), *generation)
            }
            Event::ObservationFailed { cause, .. } => {
                self.unobservable = Some(Box::new(Unobservable { since: recorded.at, cause: cause.clone() }));
                Ok(())
            }
            Event::PolicyChanged { policy, revision, .. } => {
                if *revision < self.revision {
                    return Err("its revision goes back");
                }
                self.policy = policy.clone();
                self.revision = *revision;
                Ok(())
            }
            Event::WriterOpened { .. }
            | Event::DataLossAccepted { .. }
            | Event::CollectionDeclared { .. }
            | Event::CollectionDropped { .. }
            | Event::CollectionPaused { .. }
            | Event::CollectionResumed { .. }
            | Event::RefreshRequested { .. }
            | Event::TaskCreated { .. }
            | Event::TaskStarted { .. }
            | Event::TaskAborted { .. }
            | Event::TaskCompleted { .. }
            | Event::AttemptFailed { .. }
            | Event::AttemptEnded { .. }
            | Event::TaskParked { .. }
            | Event::CompletionRejected { .. } => Ok(()),
        }
    }

    /// The part of an event that is about tasks; the status has followed it already.
    fn fold_task(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        match &recorded.event {
            Event::CollectionPaused { .. } => self.paused = true,
            Event::CollectionResumed { .. } => self.paused = false,
            Event::RefreshRequested { .. } => {
                (self.failures, self.moves) = (0, 0);
            }
            Event::TaskCreated { fingerprint, generation, .. } => {
                if self.wanted_fingerprint() != Some(*fingerprint) || self.generation != *generation {
                    return Err("it is not what is wanted");
                }
            }
            Event::TaskStarted { .. } => {
                if self.paused {
                    return Err("the collection is paused");
                }
                if self.draining > 0 {
                    return Err("an attempt of an ended task has not stopped yet");
                }
            }
            Event::TaskCompleted { task, token, fingerprint, result, .. } => {
                if self.wanted_fingerprint() != Some(*fingerprint) {
                    return Err("it is not what is wanted");
                }
                self.applied = Some(Box::new(Applied {
                    fingerprint: *fingerprint,
                    generation: self.generation,
                    task: *task,
                    token: *token,
                    seq: recorded.seq,
                    at: recorded.at,
                    result: result.clone(),
                }));
                (self.failures, self.moves) = (0, 0);
                // The first word that is not applied is now the one that is pending, if any.
                self.unapplied_since = self.pending.map(|pending| pending.since());
            }
            Event::AttemptFailed { reason, failures, .. } => {
                self.failures = *failures;
                self.moves = if *reason == FailReason::SourceMoved { self.moves.saturating_add(1) } else { 0 };
            }
            Event::WriterOpened { .. }
            | Event::DataLossAccepted { .. }
            | Event::CollectionDeclared { .. }
            | Event::SourceChanged { .. }
            | Event::SpecChanged { .. }
            | Event::PolicyChanged { .. }
            | Event::SourceObserved { .. }
            | Event::ObservationFailed { .. }
            | Event::CollectionHeld { .. }
            | Event::HoldConfirmed { .. }
            | Event::CollectionDropped { .. }
            | Event::TaskAborted { .. }
            | Event::AttemptEnded { .. }
            | Event::TaskParked { .. }
            | Event::CompletionRejected { .. } => {}
        }
        Ok(())
    }

    /// Whether this is the last observation, which waits to be admitted.
    fn is_known_and_waits(&self, observed: &Observed) -> bool {
        let waits = matches!(self.pending, Some(Pending::Settling { .. } | Pending::Waiting { .. }));
        waits && self.observed() == Some(observed)
    }

    fn observe(&mut self, seq: Seq, observed: &Observed) -> Result<Arc<Word>, &'static str> {
        if !self.versioned {
            return Err("the collection is unversioned");
        }
        let word = Arc::new(self.observed_as(observed));
        let pending = self.pending;
        self.hear(seq, Arc::clone(&word), pending);
        self.unobservable = None;
        Ok(word)
    }

    fn hear(&mut self, seq: Seq, latest: Arc<Word>, pending: Option<Pending>) {
        self.heard = seq;
        self.latest = latest;
        self.pending = pending;
    }

    /// Makes `word` wanted, or notes what it waits for.
    fn admit(&mut self, word: Arc<Word>, admission: Admission, at: Timestamp) -> Result<(), &'static str> {
        self.pending = match (admission, self.pending) {
            (Admission::Admitted { wanted, generation }, _) => {
                self.pending = None;
                return self.want(word, wanted, generation);
            }
            (Admission::Settling { until }, Some(Pending::Settling { since, .. })) => {
                Some(Pending::Settling { since, until })
            }
            (Admission::Settling { until }, _) => Some(Pending::Settling { since: at, until }),
            (Admission::Waiting, _) if self.status.live().is_none() => return Err("no task is live that could end"),
            (Admission::Waiting, Some(Pending::Settling { since, .. } | Pending::Waiting { since })) => {
                Some(Pending::Waiting { since })
            }
            (Admission::Waiting, Some(Pending::Held { .. }) | None) => Some(Pending::Waiting { since: at }),
        };
        Ok(())
    }

    /// Makes `word` wanted. The event carries its fingerprint, and it has to be the one that the word has.
    fn want(
        &mut self,
        word: Arc<Word>,
        wanted: Option<Fingerprint>,
        generation: Generation,
    ) -> Result<(), &'static str> {
        if word.fingerprint() != wanted {
            return Err("its fingerprint is not that of what it says");
        }
        if generation < self.generation {
            return Err("its generation goes back");
        }
        self.generation = generation;
        self.wanted = wanted.map(|fingerprint| Wanted { fingerprint, word });
        if let Some(applied) = self.applied.as_mut().filter(|applied| Some(applied.fingerprint) == wanted) {
            applied.generation = generation;
        }
        Ok(())
    }

    fn measure_lag(&mut self, at: Timestamp) {
        if self.is_fresh() {
            self.unapplied_since = None;
        } else {
            self.unapplied_since.get_or_insert(at);
        }
    }
}
