//! Which configuration a run reads, held against the one that a person named: two files may name one log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::console::quoted;
use crate::door::Answer;
use crate::record::LastRun;
use crate::words::{how_to_start, is_config};

/// What a run reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunFile {
    pub(crate) pid: Option<u32>,
    /// Absolute, as it was when the run began.
    pub(crate) file: PathBuf,
}

/// A file so that it means the same wherever it is said. A link stays one: it may lead elsewhere when it is read again.
pub(crate) fn absolute(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(parent), file.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => file.to_owned(),
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
