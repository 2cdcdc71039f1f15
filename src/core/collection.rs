//! One collection: the latest inputs, the inputs that are wanted, what was applied, and what its task is doing.

mod fold;

use std::sync::Arc;

use super::commit::Applied;
use super::outbox::Outbox;
use super::status::Status;
use super::vocabulary::{
    Content, Event, Fingerprint, Generation, HoldCause, Inputs, Kind, Name, Policy, Recorded, Retry, Seq, Source,
    SourceState, Spec, Timestamp, Token,
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
    pub policy: Arc<Policy>,
    /// The caller's number of the last declaration that had one.
    pub revision: Option<u64>,
    /// The latest inputs that were accepted.
    pub latest: Arc<Inputs>,
    /// The inputs that were admitted, or nothing while the content of the source is unknown.
    pub wanted: Option<Wanted>,
    /// Counts the changes of `wanted`.
    pub generation: Generation,
    /// The last commit.
    pub applied: Option<Box<Applied>>,
    /// What is applied is to be replaced by something built anew, on nothing of it. The next commit ends that.
    pub rebuild: bool,
    /// Why the latest inputs are not the admitted ones.
    pub pending: Option<Pending>,
    /// What its task is doing.
    pub status: Status,
    /// The last accepted declaration or observation.
    pub last_input: Seq,
    /// No new attempts.
    pub paused: bool,
    /// Failures since the last commit or refresh: the exponent of the backoff.
    pub failures: u32,
    /// Attempts in a row under which the source moved.
    pub moves: u32,
    /// Attempts of its last task that panicked.
    pub panics: u32,
    /// Attempts that ended with the process that ran them, since the last commit. Those of leased attempts are not known.
    pub crashes: u32,
    /// Attempts of ended tasks that still hold a worker. The next attempt waits for them.
    pub draining: u32,
    /// When the first inputs that are not applied were accepted.
    pub unapplied_since: Option<Timestamp>,
    /// Why the source cannot be observed.
    pub unobservable: Option<Box<Unobservable>>,
    /// The event of the last refresh that a caller asked for.
    pub refreshed: Seq,
    /// When what is applied is checked again.
    pub resync_at: Option<Timestamp>,
    /// What is to be delivered to its destination, once its kind has one.
    pub outbox: Option<Box<Outbox>>,
}

/// The inputs that were admitted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Their fingerprint.
    pub fingerprint: Fingerprint,
    /// The inputs.
    pub inputs: Arc<Inputs>,
}

/// Why the latest inputs are not admitted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pending {
    /// They wait until the source was quiet.
    Settling {
        /// When the first observation that is not admitted was made.
        since: Timestamp,
        /// When the last one will be admitted.
        until: Timestamp,
    },
    /// They wait until the live task has ended.
    Waiting {
        /// When the first inputs that wait were accepted.
        since: Timestamp,
    },
    /// They look like a loss and wait for a person.
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
        let latest = Arc::new(Inputs { source: source.clone(), spec: spec.clone(), content });
        let mut collection = Collection {
            name: name.clone(),
            kind: kind.clone(),
            versioned: *versioned,
            policy: Arc::clone(policy),
            revision: *revision,
            latest: Arc::clone(&latest),
            wanted: None,
            generation: Generation(1),
            applied: None,
            rebuild: false,
            pending: None,
            status: Status::Idle,
            last_input: recorded.seq,
            paused: false,
            failures: 0,
            moves: 0,
            panics: 0,
            crashes: 0,
            draining: 0,
            unapplied_since: Some(recorded.at),
            unobservable: None,
            refreshed: Seq::ZERO,
            resync_at: None,
            outbox: None,
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
    pub fn observed(&self) -> Option<&Arc<SourceState>> {
        match &self.latest.content {
            Content::Observed(observed) => Some(observed),
            Content::Unversioned | Content::Unknown => None,
        }
    }

    /// The files of what is applied.
    #[must_use]
    pub fn applied_observed(&self) -> Option<&Arc<SourceState>> {
        match &self.applied.as_ref()?.inputs.content {
            Content::Observed(observed) => Some(observed),
            Content::Unversioned | Content::Unknown => None,
        }
    }

    /// The attempts whose outputs the next one may take over.
    #[must_use]
    pub fn leftovers(&self) -> &[Token] {
        self.outbox.as_ref().map_or(&[], |outbox| &outbox.leftovers)
    }

    /// The generation under which the latest inputs are wanted, or will be: what to wait for.
    #[must_use]
    pub fn latest_generation(&self) -> Generation {
        match self.pending {
            Some(Pending::Waiting { .. }) => self.generation.next(),
            Some(Pending::Settling { .. } | Pending::Held { .. }) | None => self.generation,
        }
    }

    /// Whether what its task was to build is gone, and what is there instead waits for a person: until one
    /// decides, or the source goes back, an attempt could only fail.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        self.moves > 0 && matches!(self.pending, Some(Pending::Held { .. }))
    }

    /// Whether a task that waits may start an attempt, as far as the collection itself is concerned: its time, limits
    /// and workers are checked elsewhere.
    ///
    /// # Errors
    /// What has to happen first.
    pub(super) fn may_start(&self) -> Result<(), &'static str> {
        if self.paused {
            return Err("the collection is paused");
        }
        if self.is_held_up() {
            return Err("what it was to build is gone, and what is there waits for a person");
        }
        if self.draining > 0 {
            return Err("an attempt of an ended task has not stopped yet");
        }
        Ok(())
    }

    /// Whether nothing more is built before some of what it has to deliver was delivered, unless its kind has no duties any
    /// more, which is not known before an attempt starts. A log whose writer went further is still one, so this is asked then
    /// and not when it is folded.
    #[must_use]
    pub fn is_undelivered(&self) -> bool {
        self.outbox.as_deref().is_some_and(Outbox::is_full)
    }

    /// Whether its attempts run alone, because too many before them ended with the process that ran them.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.crashes >= Retry::ISOLATED_AFTER
    }

    /// Whether its live task has used up its attempts and is retried slowly, without an end.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let Retry { max_attempts, slow, .. } = self.policy.retry;
        slow.is_some() && self.status.live().is_some_and(|task| task.charged >= max_attempts)
    }

    /// Whether it has been behind for so long, because what it builds was superseded, that changes that are observed let a
    /// running attempt finish. What has been built for so long since the first change may as well hang.
    pub(super) fn is_starved(&self, at: Timestamp) -> bool {
        let applied = self.applied.as_ref().map_or(Generation(0), |applied| applied.generation);
        let was_superseded = self.generation > applied.next();
        let since = self.policy.max_lag.0.zip(self.unapplied_since);
        was_superseded && since.is_some_and(|(most, since)| at.since(since) >= most)
    }

    /// Whether the latest inputs are applied.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.pending.is_none() && self.wanted.is_some() && self.wanted_fingerprint() == self.applied_fingerprint()
    }

    /// The inputs that a changed spec makes wanted: what is held stays out of them, unless they become what is applied.
    pub(super) fn respecified(&self, spec: &Spec) -> Inputs {
        let last_input = Inputs { spec: spec.clone(), ..(*self.latest).clone() };
        if self.applied.is_some() && last_input.fingerprint() == self.applied_fingerprint() {
            return last_input;
        }
        let content = match (&self.pending, &self.wanted) {
            // Nothing that was observed under another source counts under this one.
            (Some(Pending::Held { .. }), Some(wanted)) if wanted.inputs.source == self.latest.source => {
                wanted.inputs.content.clone()
            }
            (Some(Pending::Held { .. }), Some(_) | None) => Content::Unknown,
            (Some(Pending::Settling { .. } | Pending::Waiting { .. }) | None, _) => return last_input,
        };
        Inputs { content, ..last_input }
    }

    /// The inputs that a changed source makes wanted: nothing observed under the old one counts.
    pub(super) fn resourced(&self, source: &Source) -> Inputs {
        let content = if self.versioned { Content::Unknown } else { Content::Unversioned };
        Inputs { source: source.clone(), spec: self.latest.spec.clone(), content }
    }

    /// The latest inputs with this observation.
    pub(super) fn observed_as(&self, observed: &Arc<SourceState>) -> Inputs {
        let Inputs { source, spec, .. } = &*self.latest;
        Inputs { source: source.clone(), spec: spec.clone(), content: Content::Observed(Arc::clone(observed)) }
    }
}
