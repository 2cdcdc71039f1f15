//! Who would read a configuration again: the run of a log, if there is one.

use std::path::Path;
use std::time::Duration;

use lastword::log::lock_holder;

use super::client::{Connection, Found};
use super::run_file::RunFile;
use crate::door::Request;
use crate::fail::Fail;

/// A run that is well says it at once.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Who would read a file again.
pub(crate) enum Hearer {
    /// No process has the log open.
    Nobody,
    /// One has; what it reads, if that can be found out.
    Run(Option<RunFile>),
}

impl Hearer {
    /// Asks the run of a log, or takes what it has left word of.
    pub(crate) fn find(state: &Path) -> Result<Hearer, Fail> {
        let pid = match Connection::find(state, ANSWERED_WITHIN)? {
            Found::Run(mut run) => {
                run.be_patient_for(ANSWERED_WITHIN);
                let answer = run.ask(&Request::Run).ok();
                if let Some(found) = answer.and_then(|answer| RunFile::of(&answer, run.pid)) {
                    return Ok(Hearer::Run(Some(found)));
                }
                run.pid
            }
            Found::Silent => lock_holder(&state.join("LOCK")),
            Found::Nobody => match lock_holder(&state.join("LOCK")) {
                Some(pid) => Some(pid),
                None => return Ok(Hearer::Nobody),
            },
        };
        Ok(Hearer::Run(RunFile::recorded(state, pid)))
    }

    /// What is to be said to who named `place`, if the run reads another file.
    pub(crate) fn differs(&self, place: &Path) -> Option<String> {
        match self {
            Hearer::Run(Some(file)) => file.differs(place),
            Hearer::Run(None) | Hearer::Nobody => None,
        }
    }
}
