//! The commands that look at what a log has recorded: `log-dump`'s, which also take the configuration that names the log.
//! *It must not know* what they show.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use log_dump::{Failure, Look, named_by, speak_as};

use crate::command::state_of;
use crate::console::note;
use crate::fail::{CANNOT_OPEN, Fail, is_absent};
use crate::words::is_exported;

pub(crate) fn look(question: Look) -> Result<ExitCode, Fail> {
    speak_as(|text| note(&format!("lastword: {text}")));
    // An exported log is as good as a directory here.
    let state: PathBuf = match is_exported(question.state()) {
        true => question.state().to_owned(),
        false => state_of(question.state())?.into_owned(),
    };
    if question.state().is_file() {
        named_by(question.state());
    }
    match log_dump::look(&question.at(state.clone())) {
        Ok(()) | Err(Failure::OutputClosed) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(Fail::of_look(failure, &state)),
    }
}

impl Fail {
    fn of_look(failure: Failure, state: &Path) -> Fail {
        let fail = Fail::of_log_dump(failure);
        if fail.code == CANNOT_OPEN && is_absent(state) {
            fail.of_absent()
        } else if fail.code == CANNOT_OPEN {
            fail.of_owner(state)
        } else {
            fail
        }
    }
}
