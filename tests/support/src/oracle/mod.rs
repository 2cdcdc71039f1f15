//! The oracle: what the recorded events mean, counted a second time. It folds them by itself, shares no code with the
//! core's `decide`, fold and fingerprints, and says by name which invariant an event breaks.
//!
//! | invariant | what is held |
//! |---|---|
//! | `OneLive` | one task of a collection is live, one attempt of it runs, and none begins before the last one has let go; attempts are numbered through and end once |
//! | `LastWord` | a task is for what is wanted, what is wanted is what was heard last and admitted, and only that is committed, by the attempt that runs; a completion is rejected for the reason that is true |
//! | `OneCommit` | what is applied changes with a commit, as a whole, and no attempt commits twice |
//! | `LatestNotLost` | what was heard last is known, a change of what is wanted has a generation of its own, and no loss is admitted that was to wait for a person |
//! | `NothingWaitsSilently` | a pause is kept, limits are kept, a task is not ready before it was created, an attempt of an isolated collection runs alone; and [`Oracle::next`] says which attempt is to start |
//! | `EpochFenced` | epochs and tokens only rise, also over a log that a backup has replaced |
//! | `PublishedInOrder` | commits are published one by one, in their order, and none of what is gone |
//! | `Recorded` | no event is missing, none comes twice, and time does not go back |
//!
//! [`ledger`] has the destination on paper: what may be discarded. [`compare`] holds a state of the core against it.
//!
//! What is special to a test stays there: what is said to the core (`tests/core/said.rs`), what the world of a model holds,
//! what files of a lake hold.

pub mod compare;
mod inputs;
mod known;
pub mod ledger;
mod queue;
mod tasks;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lastword::core::vocabulary::{
    AttemptRef, CollectionId, Duties, Event, Kind, Limits, Name, Recorded, Seq, Timestamp, Token,
};

pub use inputs::InputsSeen;
pub use known::{Commit, Known};

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broken {
    pub invariant: &'static str,
    pub found: Cow<'static, str>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.invariant, self.found)
    }
}

pub type Verdict = Result<(), Broken>;

/// `found` says what is there instead.
pub fn hold(holds: bool, invariant: &'static str, found: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(Broken { invariant, found: found.into() }) }
}

/// Everything that the events say.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// The collections that there are.
    pub known: BTreeMap<CollectionId, Known>,
    /// Attempts that were started and have not ended, also of collections that are gone.
    pub open: BTreeMap<Token, Open>,
    names: BTreeMap<Name, CollectionId>,
    limits: Limits,
    last: Seq,
    at: Timestamp,
    commits: BTreeSet<Token>,
    /// Also by a log that was lost and replaced by a backup.
    given_out: GivenOut,
    /// The same within a backup that is gone through once more.
    given_out_here: GivenOut,
}

/// An attempt that holds a worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Open {
    pub attempt: AttemptRef,
    pub duties: Duties,
    /// It runs in a process of its own.
    pub leased: bool,
    kind: Kind,
    name: Name,
}

/// The highest of what is never given out twice.
#[derive(Clone, Copy, Debug, Default)]
struct GivenOut {
    token: Option<Token>,
    epoch: u64,
}

impl GivenOut {
    fn highest(self, other: GivenOut) -> GivenOut {
        GivenOut { token: self.token.max(other.token), epoch: self.epoch.max(other.epoch) }
    }
}

impl Oracle {
    /// The last event that was seen.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The highest token that was ever given out.
    pub fn highest_token(&self) -> Option<Token> {
        self.given_out.token
    }

    pub fn id_of(&self, name: &Name) -> Option<CollectionId> {
        self.names.get(name).copied()
    }

    /// The attempts that were started and have not ended.
    pub fn open_attempts(&self) -> impl Iterator<Item = AttemptRef> {
        self.open.values().map(|open| open.attempt)
    }

    /// A backup has replaced the log: everything begins anew, but for what was given out.
    pub fn forget_all(&mut self) {
        *self = Oracle { given_out: self.given_out, ..Oracle::default() };
    }

    /// Looks at the next event of a backup that was put back: it was seen before, and gives out nothing new.
    pub fn see_again(&mut self, recorded: &Recorded) -> Verdict {
        let before = std::mem::replace(&mut self.given_out, self.given_out_here);
        let verdict = self.see(recorded);
        self.given_out_here = self.given_out;
        self.given_out = before.highest(self.given_out);
        verdict
    }

    /// Looks at the next event.
    pub fn see(&mut self, recorded: &Recorded) -> Verdict {
        hold(recorded.seq == self.last.next(), "Recorded", "an event is missing, or comes twice")?;
        hold(recorded.at >= self.at, "Recorded", "time goes back")?;
        (self.last, self.at) = (recorded.seq, recorded.at);
        match &recorded.event {
            Event::WriterOpened { .. } => {
                hold(recorded.epoch.0 > self.given_out.epoch, "EpochFenced", "an epoch is given out twice")?;
                self.given_out.epoch = recorded.epoch.0;
            }
            Event::LimitsChanged { limits } => self.limits = limits.clone(),
            Event::CollectionDeclared { .. } => self.see_declared(recorded)?,
            _ => {
                self.see_inputs(recorded)?;
                self.see_task(recorded)?;
                self.see_delivery(recorded)?;
            }
        }
        if let Event::CollectionDropped { collection } = &recorded.event {
            return self.see_dropped(*collection);
        }
        Ok(())
    }

    fn see_declared(&mut self, recorded: &Recorded) -> Verdict {
        let Some(known) = Known::declared(&recorded.event) else { return Ok(()) };
        let Event::CollectionDeclared { name, wanted, .. } = &recorded.event else { return Ok(()) };
        hold(known.wanted.fingerprint() == *wanted, "LastWord", "a new collection wants something else")?;
        let id = CollectionId(recorded.seq);
        hold(self.names.insert(name.clone(), id).is_none(), "OneLive", "two collections have one name")?;
        self.known.insert(id, known);
        Ok(())
    }

    fn see_inputs(&mut self, recorded: &Recorded) -> Verdict {
        let id = recorded.event.collection(recorded.seq);
        match id.and_then(|id| self.known.get_mut(&id)) {
            Some(known) => known.see_inputs(recorded),
            None => Ok(()),
        }
    }

    fn see_dropped(&mut self, id: CollectionId) -> Verdict {
        let Some(known) = self.known.remove(&id) else {
            return hold(false, "LatestNotLost", "something is dropped that is not there");
        };
        hold(known.live.is_none(), "OneLive", "a drop leaves a task behind")?;
        hold(self.names.remove(&known.name) == Some(id), "OneLive", "a drop leaves its name behind")
    }

    /// Nothing is left to do: every commit was published, and every attempt has ended.
    pub fn delivered(&self) -> Verdict {
        let owes = self.known.values().any(Known::owes);
        hold(!owes, "PublishedInOrder", "a commit is not published")?;
        hold(self.open.is_empty(), "OneLive", "an attempt never ends")
    }
}
