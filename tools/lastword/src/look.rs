//! The commands that look at what a log has recorded: `log-dump`'s, which also take the configuration that names the log.
//! *It must not know* what they show.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use log_dump::{Failure, Look, speak_as};

use crate::command::state_of;
use crate::console::note;
use crate::fail::Fail;

pub(crate) fn look(question: Look) -> Result<ExitCode, Fail> {
    speak_as(|text| note(&format!("lastword: {text}")));
    // An exported log is as good as a directory here.
    let state: PathBuf = match is_exported(question.state()) {
        true => question.state().to_owned(),
        false => state_of(question.state())?.into_owned(),
    };
    match log_dump::look(&question.at(state)) {
        Ok(()) | Err(Failure::OutputClosed) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(Fail::of_look(failure)),
    }
}

fn is_exported(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "evlog") && path.is_file()
}

impl Fail {
    fn of_look(failure: Failure) -> Fail {
        let (code, text) = failure.told();
        Fail::new(code, text)
    }
}
