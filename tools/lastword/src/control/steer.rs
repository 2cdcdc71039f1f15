//! What people ask of a collection, and how it is carried out, by a run or on a log without a running writer.

use lastword::Handle;
use lastword::core::vocabulary::{By, Command, Fingerprint, Name, Seq, TaskId, Timestamp};
use lastword::core::{Events, State, decide};
use lastword::engine::CommandError;

use super::Unmanaged;
use crate::door::Answer;
use crate::fail::{CANNOT_OPEN, Fail};

/// A command to one collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steer {
    pub(crate) name: Name,
    pub(crate) verb: Verb,
    pub(crate) by: By,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Observe again, and wake what is parked; `force`: build all of it anew; `seen`: only if no refresh was
    /// asked for since.
    Refresh {
        force: bool,
        seen: Option<Seq>,
    },
    /// Observe again, believing nothing: what is known of it only the run knows.
    Verify,
    /// Abort the live task and park; with a task only that one.
    Cancel {
        task: Option<TaskId>,
    },
    Pause,
    Resume,
    /// Accept what is held.
    Confirm {
        fingerprint: Fingerprint,
    },
    Drop,
}

/// Carries it out, and keeps the list of what is gone from the file: a person's command about a collection comes before
/// what the file implied.
pub(crate) fn carry_out(handle: &Handle, steer: &Steer, unmanaged: &mut Unmanaged) -> Result<Answer, Fail> {
    if steer.verb == Verb::Pause {
        unmanaged.stay_paused(&steer.name)?;
    }
    if steer.verb == Verb::Verify {
        handle.refresh_verify(steer.name.clone()).wait()?;
    }
    let receipt = as_asked(handle, &steer.by).submit(steer.command())?.wait()?;
    let is_gone = unmanaged.has(&steer.name);
    if steer.verb == Verb::Drop {
        unmanaged.remove(&steer.name)?;
    }
    let again = || "it is gone from the configuration: the next start or reload pauses it again".to_owned();
    Ok(Answer::receipt(&receipt).with_note((steer.verb == Verb::Resume && is_gone).then(again)))
}

/// The one place where who asks and why enters the library.
pub(crate) fn as_asked(handle: &Handle, by: &By) -> Handle {
    tracing::info!(target: "lastword::control", actor = by.actor(), cause = by.cause(), "asked");
    handle.by(by.clone())
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Refresh { .. } | Verb::Verify => "refresh",
            Verb::Cancel { .. } => "cancel",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Confirm { .. } => "confirm",
            Verb::Drop => "drop",
        }
    }
}

impl Steer {
    /// Refuses what a log without a running writer would refuse, without opening it.
    pub(super) fn foresee(&self, state: &State, now: Timestamp) -> Result<(), Fail> {
        if self.verb == Verb::Verify {
            let problem = "refresh --verify: no run has the log open, and only a run reads the content of a source";
            return Err(Fail::new(CANNOT_OPEN, problem));
        }
        let verdict = decide(state, &self.command(), now, &mut Events::new());
        verdict.map_err(|rejection| CommandError::Refused(rejection).into())
    }

    fn command(&self) -> Command {
        let name = self.name.clone();
        match self.verb {
            Verb::Refresh { force, seen } => Command::Refresh { name, force, seen },
            Verb::Verify => Command::Refresh { name, force: false, seen: None },
            Verb::Cancel { task } => Command::Cancel { name, task },
            Verb::Pause => Command::Pause { name },
            Verb::Resume => Command::Resume { name },
            Verb::Confirm { fingerprint } => Command::Confirm { name, fingerprint },
            Verb::Drop => Command::Drop { name },
        }
    }
}
