//! Who has a log open without a socket in its place, as far as that can be found out.

use std::fmt;
use std::path::{Path, PathBuf};

use lastword::log::lock_holder;

use super::{RunFile, is_stopped};
use crate::fail::{CANNOT_OPEN, Fail};
use crate::record::LastRun;

/// A process that has the log open and cannot be reached.
#[derive(Clone, Debug)]
pub(crate) struct WithoutSocket {
    /// `None` where the system does not tell.
    pub(crate) pid: Option<u32>,
    /// It has said itself that it is a run.
    is_run: bool,
    /// What it reads, if it has said it.
    pub(crate) file: Option<RunFile>,
    socket: PathBuf,
}

impl WithoutSocket {
    pub(crate) fn find(state: &Path) -> WithoutSocket {
        let pid = lock_holder(&state.join("LOCK"));
        let is_run = LastRun::read(state).is_some_and(|last| last.is_open() && Some(last.pid) == pid);
        WithoutSocket { pid, is_run, file: RunFile::recorded(state, pid), socket: state.join("control.sock") }
    }
    /// The process, if it was stopped by a signal: nothing comes of waiting for it.
    pub(crate) fn stopped(&self) -> Option<u32> {
        self.pid.filter(|pid| is_stopped(*pid))
    }
}

/// `pid 412 is a run that takes no commands: ..`
impl fmt::Display for WithoutSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(pid) = self.pid.filter(|_| self.is_run) else {
            let pid = self.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            let who = "or a lastword that starts or ends";
            write!(f, "another program has the log open{pid}, {who}; it takes no commands from here")?;
            return match self.stopped() {
                Some(pid) => write!(f, ": process {pid} is stopped; kill -CONT {pid} lets it go on"),
                None => Ok(()),
            };
        };
        let is_there = self.socket.symlink_metadata().is_ok();
        let what = if is_there { "is not its socket any more" } else { "was removed, or could not be made" };
        write!(f, "a run (pid {pid}) has the log open and takes no commands: its control.sock {what}")?;
        write!(f, ", unless it starts or ends just now; ")?;
        if is_stopped(pid) {
            write!(f, "it is stopped: kill -CONT {pid} lets it go on; ")?;
        }
        write!(f, "it makes a new one within seconds where it can; if not, kill -TERM {pid} ends it in order")
    }
}

/// The log is taken by a writer without a socket.
pub(crate) fn taken(state: &Path) -> Fail {
    Fail::new(CANNOT_OPEN, format!("{}: {}", state.display(), WithoutSocket::find(state)))
}
