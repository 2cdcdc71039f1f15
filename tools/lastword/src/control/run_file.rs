//! Which configuration a run reads, held against the one that a person named: two files may name one log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lastword::log::lock_holder;

use super::client::{Connection, Found};
use super::protocol::{Answer, Request};
use crate::console::quoted;
use crate::fail::Fail;
use crate::record::LastRun;
use crate::words::{how_to_start, is_config};

/// A run that is well says it at once.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// What a run reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunFile {
    pub(crate) pid: Option<u32>,
    /// Absolute, as it was when the run began.
    pub(crate) file: PathBuf,
}

/// Who would read a file again.
pub(crate) enum Hearer {
    /// No process has the log open.
    Nobody,
    /// One has; what it reads, if that can be found out.
    Run(Option<RunFile>),
}

/// A file so that it means the same wherever it is said. A link stays one: it may lead elsewhere when it is read again.
pub(crate) fn absolute(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(parent), file.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => file.to_owned(),
    }
}

impl Hearer {
    /// Asks the run of a log, or takes what it has left word of.
    pub(crate) fn find(state: &Path) -> Result<Hearer, Fail> {
        let pid = match Connection::find(state, ANSWERED_WITHIN)? {
            Found::Run(mut run) => {
                run.be_patient_for(ANSWERED_WITHIN);
                let answer = run.ask(&Request::Settings).ok();
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

impl RunFile {
    /// What a run has answered; `None` of one that does not say it.
    pub(crate) fn of(answer: &Answer, pid: Option<u32>) -> Option<RunFile> {
        Some(RunFile { pid, file: PathBuf::from(answer.text("file")?) })
    }

    /// What the run has left word of when it began.
    pub(crate) fn recorded(state: &Path, pid: Option<u32>) -> Option<RunFile> {
        let last = LastRun::read(state).filter(|last| last.is_open() && Some(last.pid) == pid)?;
        Some(RunFile { pid, file: PathBuf::from(last.file?) })
    }

    /// `pid 412 runs /etc/lake.toml, not other.toml; ..`. `place`: the configuration that a person named, or the directory of
    /// the log, of which only a file that is gone is told.
    pub(crate) fn differs(&self, place: &Path) -> Option<String> {
        let run = self.pid.map_or_else(|| "the run".to_owned(), |pid| format!("pid {pid}"));
        let (file, named) = (quoted(&self.file), quoted(place));
        let found = fs::canonicalize(&self.file);
        let is_gone = found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let again = || {
            let end = self.pid.map_or_else(|| "end it".to_owned(), |pid| format!("end it with: kill {pid}"));
            format!("{end}, and {}", how_to_start(place))
        };
        match (is_gone, is_config(place)) {
            (true, false) => {
                Some(format!("{run} runs {file}, which is gone: it goes on as it is, and cannot read it again"))
            }
            (true, true) => Some(format!("{run} runs {file}, which is gone, not {named}; {}", again())),
            (false, true) => {
                let named_is = fs::canonicalize(place).ok()?;
                let is_same = named_is == found.unwrap_or_else(|_| self.file.clone());
                (!is_same).then(|| format!("{run} runs {file}, not {named}; for that one {}", again()))
            }
            (false, false) => None,
        }
    }
}
