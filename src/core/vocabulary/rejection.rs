//! How the reducer may refuse.

use std::fmt;

use super::{CollectionId, FieldError, Fingerprint, Kind, Name, Scope, Seq, TaskId};
use crate::error::ErrorKind;

/// Why a command was refused. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// Bad input.
    Field(FieldError),
    /// No worker of the engine's process builds this kind, and it was not said that a caller drives it.
    UnknownKind {
        /// What was declared.
        kind: Kind,
        /// The kinds that are known.
        known: Box<[Kind]>,
    },
    /// No collection has this name.
    UnknownCollection(Name),
    /// This incarnation is gone.
    UnknownIncarnation(CollectionId),
    /// The observation began before the last inputs were accepted.
    ObservationTooOld {
        /// Where it began.
        began: Seq,
        /// The event that accepted the last inputs.
        last_input: Seq,
    },
    /// The collection is unversioned: what its source holds does not count.
    NotVersioned(Name),
    /// There is no live task, or not this one.
    NoSuchTask {
        /// The live task, if there is one.
        live: Option<TaskId>,
    },
    /// The declaration is older than one that was accepted, or says something else under the same number.
    RevisionTooLow {
        /// What it says.
        declared: u64,
        /// The last one that was accepted.
        known: u64,
    },
    /// A task is live, and the policy refuses declarations meanwhile.
    TaskIsLive {
        /// Which.
        task: Option<TaskId>,
    },
    /// Nothing is held, or not this.
    NotHeld {
        /// What is held, if anything.
        held: Option<Fingerprint>,
    },
    /// The task cannot start an attempt now.
    NotReady(CollectionId),
    /// As many attempts hold a worker as the limit allows.
    LimitReached {
        /// Which limit.
        scope: Scope,
        /// How many it allows.
        most: u32,
    },
    /// This is not the first entry of the collection's outbox.
    NotOwed(CollectionId),
    /// This deadline is not due.
    NotDue,
}

impl Rejection {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Rejection::Field(error) => error.kind(),
            Rejection::UnknownKind { .. } => ErrorKind::InvalidInput,
            Rejection::UnknownCollection(_)
            | Rejection::UnknownIncarnation(_)
            | Rejection::ObservationTooOld { .. }
            | Rejection::NotVersioned(_)
            | Rejection::NoSuchTask { .. }
            | Rejection::RevisionTooLow { .. }
            | Rejection::TaskIsLive { .. }
            | Rejection::NotHeld { .. }
            | Rejection::NotReady(_)
            | Rejection::LimitReached { .. }
            | Rejection::NotOwed(_)
            | Rejection::NotDue => ErrorKind::Refused,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Field(error) => error.fmt(f),
            Rejection::UnknownKind { kind, known } => {
                let known: Vec<&str> = known.iter().map(Kind::as_str).collect();
                write!(f, "kind: nobody builds {:?}; the kinds that are known are {}", kind.as_str(), known.join(", "))
            }
            Rejection::UnknownCollection(name) => write!(f, "there is no collection {name:?}"),
            Rejection::UnknownIncarnation(id) => write!(f, "the collection declared at event {id} is gone"),
            Rejection::ObservationTooOld { began, last_input } => {
                write!(f, "the observation began at event {began}, before the inputs of event {last_input}")
            }
            Rejection::NotVersioned(name) => {
                write!(f, "collection {name:?} is unversioned: what its source holds does not count")
            }
            Rejection::NoSuchTask { live: Some(live) } => write!(f, "the live task is {live}"),
            Rejection::NoSuchTask { live: None } => f.write_str("there is no live task"),
            Rejection::RevisionTooLow { declared, known } if declared == known => {
                write!(f, "revision {known} was declared before and says something else")
            }
            Rejection::RevisionTooLow { declared, known } => {
                write!(f, "revision {declared} is older than {known}, which was accepted")
            }
            Rejection::TaskIsLive { task: Some(task) } => {
                write!(f, "task {task} is live, and the policy on_change = reject refuses declarations meanwhile")
            }
            Rejection::TaskIsLive { task: None } => f.write_str("a task is live"),
            Rejection::NotHeld { held: Some(held) } => write!(f, "what is held is {held}"),
            Rejection::NotHeld { held: None } => f.write_str("nothing is held"),
            Rejection::NotReady(id) => write!(f, "collection {id} has no task that may start now"),
            Rejection::LimitReached { scope, most } => scope.write_most(*most, f),
            Rejection::NotOwed(id) => write!(f, "this is not the first entry in the outbox of collection {id}"),
            Rejection::NotDue => f.write_str("this deadline is not due"),
        }
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Rejection::Field(error) => Some(error),
            _ => None,
        }
    }
}

impl From<FieldError> for Rejection {
    fn from(error: FieldError) -> Rejection {
        Rejection::Field(error)
    }
}
