//! The commands that look at what a log has recorded: `log-dump`'s, which also take the configuration that names the log.
//! A run that has the log open is asked, and else the log is read, by the same code. *It must not know* what they show.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use log_dump::{Asked, Failure, Look, named_by, speak_as};
use serde_json::Value;

use crate::command::state_of;
use crate::console::note;
use crate::control::{Connection, Found};
use crate::door::{Answer, NOT_FOUND, Request};
use crate::fail::{CANNOT_OPEN, Fail, is_absent};
use crate::words::is_exported;

/// A run that is well answers at once; one that does not is not waited for by who can read the log.
const WELL_WITHIN: Duration = Duration::from_secs(2);

/// How long one that is well may read its log: as long as it may take to carry out a command.
const READ_WITHIN: Duration = Duration::from_secs(60);

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
    let answered = match Asked::of(&question).and_then(|asked| ask(asked, &state)) {
        Some(answer) => log_dump::print(&answer?),
        None => log_dump::look(&question.at(state.clone())),
    };
    match answered {
        Ok(()) | Err(Failure::OutputClosed) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(Fail::of_look(failure, &state)),
    }
}

/// What a run answers. Nothing if there is none, if it knows the question not or has no place for it, or if it has no answer:
/// then the log is read, which says what is wrong.
fn ask(asked: Asked, state: &Path) -> Option<Result<String, Fail>> {
    let Ok(Found::Run(mut run)) = Connection::find(state, WELL_WITHIN) else { return None };
    run.be_patient_for(WELL_WITHIN);
    run.ask(&Request::Alive).ok()?;
    run.be_patient_for(READ_WITHIN);
    let (is_answer, body) = run.answered(&Request::Look(asked)).ok()?;
    if is_answer {
        let text = String::from_utf8(body.into()).ok()?;
        // That of an older version may lack it.
        let end = if text.ends_with('\n') { "" } else { "\n" };
        return Some(Ok(text + end));
    }
    let refusal: Value = serde_json::from_slice(&body).ok()?;
    let is_known = refusal["error"]["kind"] == NOT_FOUND;
    is_known.then(|| Answer::parse(&body)).flatten()?.err().map(Err)
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
