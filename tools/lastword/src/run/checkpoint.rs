//! `--checkpoint`: where the log ends is noted elsewhere from time to time, so that it can be proved later that the record goes on
//! from there. *It must not hold up the run*: it is on a thread of its own, and what fails is said and tried again the next time.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lastword::clock::{Clock, SystemClock};
use log_dump::proof::{Checkpoint, SigningKey, origin_of};

use crate::console::{note, quoted};
use crate::fail::{Fail, USAGE};
use crate::patience::within;

/// What a command begins with.
const COMMAND: char = '|';

/// How long the last one may take, when the run has ended.
const LAST: Duration = Duration::from_secs(10);

/// What was asked for.
#[derive(Debug)]
pub(super) struct Noting {
    state: PathBuf,
    to: Target,
    every: Duration,
    key: Option<SigningKey>,
    /// How the log is named, once that is known.
    origin: Option<String>,
}

#[derive(Clone, Debug)]
enum Target {
    File(PathBuf),
    Command(String),
}

/// The thread that notes.
pub(super) struct Noter {
    stop: SyncSender<()>,
    thread: JoinHandle<Noting>,
}

impl Noting {
    /// `to`: a file, or a command behind a `|`.
    pub(super) fn new(state: &Path, to: &str, every: Duration, key: Option<&Path>) -> Result<Noting, Fail> {
        let key = key.map(SigningKey::read).transpose().map_err(|failure| {
            let (code, text) = failure.told();
            Fail::new(code, text)
        })?;
        let to = match to.strip_prefix(COMMAND).map(str::trim) {
            Some("") => return Err(Fail::new(USAGE, "--checkpoint: there is no command behind the |")),
            Some(command) => Target::Command(command.to_owned()),
            None => Target::File(PathBuf::from(to)),
        };
        Ok(Noting { state: state.to_owned(), to, every, key, origin: None })
    }

    /// Notes at once, and then from time to time.
    pub(super) fn start(mut self) -> Option<Noter> {
        let (stop, stopped) = sync_channel(1);
        let work = move || {
            loop {
                self.note();
                match stopped.recv_timeout(self.every) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return self,
                }
            }
        };
        let started = thread::Builder::new().name("lastword-checkpoint".to_owned()).spawn(work);
        let thread = started.inspect_err(|error| note(&format!("checkpoints are not noted: {error}"))).ok()?;
        Some(Noter { stop, thread })
    }

    fn note(&mut self) {
        if let Err(problem) = self.try_note() {
            note(&format!("the checkpoint of now is not noted, the next one is tried in its time: {problem}"));
        }
    }

    fn try_note(&mut self) -> Result<(), String> {
        let told = |failure: log_dump::Failure| failure.told().1;
        let origin = match &self.origin {
            Some(origin) => origin.clone(),
            None => {
                let noted = match &self.to {
                    Target::File(file) => Some(file.as_path()),
                    Target::Command(_) => None,
                };
                self.origin.insert(origin_of(&self.state, noted).map_err(told)?).clone()
            }
        };
        let checkpoint = Checkpoint::of_anchor(&self.state, &origin, SystemClock::new().wall()).map_err(told)?;
        let text = checkpoint.note(self.key.as_ref());
        match &self.to {
            Target::File(file) => replace(file, &text).map_err(|error| format!("{}: {error}", quoted(file))),
            Target::Command(command) => pipe(command, &text),
        }
    }
}

impl Noter {
    /// Notes the end of a log that was closed, unless what was begun before it takes too long.
    pub(super) fn finish(self) {
        let Noter { stop, thread } = self;
        let _ = stop.try_send(());
        let ended = within(LAST, move || thread.join().map(|mut noting| noting.note()));
        if ended.is_none() {
            note("the last checkpoint is not noted: the one before it has not come to its end");
        }
    }
}

/// Whole or not at all.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new).and_then(|mut opened| {
            opened.write_all(text.as_bytes())?;
            opened.sync_all()
        });
    written.and_then(|()| fs::rename(&new, file)).inspect_err(|_| drop(fs::remove_file(&new)))
}

fn pipe(command: &str, text: &str) -> Result<(), String> {
    let failed = |what: &dyn std::fmt::Display| format!("{command:?}: {what}");
    let mut shell = Command::new("sh");
    // What it prints is none of the events of the run.
    shell.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = shell.spawn().map_err(|error| failed(&error))?;
    // One that reads nothing may be as content as one that does: its code says so.
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes()));
    drop(written);
    let status = child.wait().map_err(|error| failed(&error))?;
    if status.success() { Ok(()) } else { Err(failed(&status)) }
}
