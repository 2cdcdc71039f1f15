//! What people ask of a collection, and how it is carried out, by a run or on a resting log.

use lastword::Handle;
use lastword::core::vocabulary::{Command, Fingerprint, Name, Receipt, Seq, TaskId};

use super::Unmanaged;
use crate::fail::{Fail, USAGE};

/// A command to one collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Steer {
    pub(crate) name: Name,
    pub(crate) verb: Verb,
    pub(crate) by: By,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Look again, and wake what is parked; `force`: build all of it anew; `seen`: only if no refresh was
    /// asked for since.
    Refresh {
        force: bool,
        seen: Option<Seq>,
    },
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

/// Who asks, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) actor: String,
    pub(crate) cause: Option<String>,
}

impl By {
    /// The most bytes of each.
    const MOST: usize = 256;

    pub(crate) fn new(actor: &str, cause: Option<&str>) -> Result<By, Fail> {
        check("actor", actor)?;
        cause.map_or(Ok(()), |cause| check("cause", cause))?;
        Ok(By { actor: actor.to_owned(), cause: cause.map(str::to_owned) })
    }
}

fn check(field: &str, text: &str) -> Result<(), Fail> {
    if text.is_empty() || text.len() > By::MOST {
        let (most, found) = (By::MOST, text.len());
        return Err(Fail::new(USAGE, format!("{field}: must have 1 to {most} bytes, found {found}")));
    }
    if text.chars().any(char::is_control) {
        return Err(Fail::new(USAGE, format!("{field}: must not hold control characters")));
    }
    Ok(())
}

/// Carries it out, and keeps the list of what is paused because it is gone from the file: a person's word about a
/// collection comes before what the file implied.
pub(crate) fn carry_out(handle: &Handle, steer: &Steer, unmanaged: &mut Unmanaged) -> Result<Receipt, Fail> {
    if steer.verb == Verb::Pause {
        unmanaged.stay_paused(&steer.name)?;
    }
    let receipt = give(handle, &steer.by, steer.command())?;
    if steer.verb == Verb::Drop {
        unmanaged.forget(&steer.name)?;
    }
    Ok(receipt)
}

/// The one place where a person's command enters the library.
fn give(handle: &Handle, by: &By, command: Command) -> Result<Receipt, Fail> {
    let receipt = handle.submit(command)?.wait()?;
    let seq = receipt.seq.map(|seq| seq.0);
    tracing::info!(target: "lastword::control", seq, actor = by.actor, cause = by.cause, "carried out");
    Ok(receipt)
}

impl Steer {
    fn command(&self) -> Command {
        let name = self.name.clone();
        match self.verb {
            Verb::Refresh { force, seen } => Command::Refresh { name, force, seen },
            Verb::Cancel { task } => Command::Cancel { name, task },
            Verb::Pause => Command::Pause { name },
            Verb::Resume => Command::Resume { name },
            Verb::Confirm { fingerprint } => Command::Confirm { name, fingerprint },
            Verb::Drop => Command::Drop { name },
        }
    }
}
