//! `--checkpoint`: where the log ends is noted elsewhere from time to time, so that it can be proved later that the record goes on
//! from there.
//!
//! ```text
//!   clock --asks--> Noting, on a thread that may hang --answers--> clock, which says what failed or does not end
//! ```
//!
//! *It must not hold up the run*: what fails is said and tried again the next time, and what hangs is said and left behind.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use humantime::format_duration;
use lastword::clock::{Clock, SystemClock};
use log_dump::proof::{Checkpoint, SigningKey, origin_of};
use log_dump::whole;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::answering::read_named;
use crate::config::Config;
use crate::console::note;
use crate::fail::{Fail, USAGE};

/// What a command begins with.
const COMMAND: char = '|';

/// How long one may take: a command that takes longer is ended, a file that does is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// A note that takes longer, which no command does, is said.
const NOTED_WITHIN: Duration = Duration::from_secs(70);

/// How long what was begun before the end and then the last one may take, when the run has ended.
const LAST: Duration = Duration::from_secs(10);

/// How often it is looked whether a command has ended.
const TURN: Duration = Duration::from_millis(20);

/// What was asked for.
#[derive(Debug)]
pub(super) struct Noting {
    state: PathBuf,
    /// What the run reads: it stays as it is.
    reads: Vec<PathBuf>,
    to: Target,
    every: Duration,
    key: Option<SigningKey>,
    /// How the log is named, once that is known.
    origin: Option<String>,
    /// The run has ended: a command has as long as that waits.
    is_ending: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
enum Target {
    File(PathBuf),
    Command(String),
}

/// The thread that says when.
pub(super) struct Noter {
    stop: Sender<Heard>,
    thread: JoinHandle<()>,
}

/// What that thread hears.
enum Heard {
    /// A note was made, or was not.
    Ended(Result<(), String>),
    /// So has the run.
    Stop,
}

/// What that thread knows.
struct Timing {
    ask: SyncSender<()>,
    heard: Receiver<Heard>,
    /// Since when a note is under way.
    since: Option<Instant>,
    /// It was said that it does not come to its end.
    is_told: bool,
}

impl Timing {
    /// Asks for a note, unless one is under way. Whether there is one now.
    fn ask(&mut self) -> bool {
        if self.since.is_none() && self.ask.try_send(()).is_ok() {
            self.since = Some(Instant::now());
        }
        self.since.is_some()
    }

    /// Lets time pass. Whether the run has ended meanwhile.
    fn pass(&mut self, span: Duration) -> bool {
        let begun = Instant::now();
        loop {
            match self.heard.recv_timeout(span.saturating_sub(begun.elapsed())) {
                Ok(Heard::Ended(ended)) => self.has_ended(ended),
                Ok(Heard::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// Waits for the end of what is under way, and a little longer than a command is given. Whether nothing is.
    fn settle(&mut self) -> bool {
        while self.since.is_some()
            && let Ok(heard) = self.heard.recv_timeout(LAST + TURN * 50)
        {
            if let Heard::Ended(ended) = heard {
                self.has_ended(ended);
            }
        }
        self.since.is_none()
    }

    /// Says of a note that does not come to its end that there is no other.
    fn watch(&mut self) {
        let is_late = self.since.is_some_and(|since| since.elapsed() >= NOTED_WITHIN);
        if is_late && !self.is_told {
            let long = format_duration(NOTED_WITHIN);
            note(&format!(
                "the checkpoint has not been noted for {long}, and there is no other before it has come to its end"
            ));
        }
        self.is_told = is_late;
    }

    fn has_ended(&mut self, ended: Result<(), String>) {
        self.since = None;
        if let Err(problem) = ended {
            note(&format!("the checkpoint of now is not noted, the next one is tried in its time: {problem}"));
        }
    }
}

impl Noting {
    /// `to`: a file, or a command behind a `|`.
    pub(super) fn new(config: &Config, to: &str, every: Duration, key: Option<&Path>) -> Result<Noting, Fail> {
        let state = config.state.clone();
        let reads = [Some(config.file.as_path()), key].into_iter().flatten().map(Path::to_owned).collect::<Vec<_>>();
        let key = key.map(|key| read_named(key, |key| SigningKey::read(key).map_err(Fail::of_log_dump))).transpose()?;
        let to = match to.strip_prefix(COMMAND).map(str::trim) {
            Some("") => return Err(Fail::new(USAGE, "--checkpoint: there is no command behind the |")),
            Some(command) => Target::Command(command.to_owned()),
            None => Target::File(PathBuf::from(to)),
        };
        let noting = Noting { state, reads, to, every, key, origin: None, is_ending: Arc::default() };
        noting.check()?;
        Ok(noting)
    }

    /// What would be refused later is refused before anything is begun. A place that does not answer may do so later.
    fn check(&self) -> Result<(), Fail> {
        let Target::File(file) = &self.to else { return Ok(()) };
        let (file, spared) = (file.clone(), self.spared());
        let checked = crate::patience::within(LAST, move || {
            let spared: Vec<&Path> = spared.iter().map(PathBuf::as_path).collect();
            whole::check(&file, &spared)
        });
        let fail = checked.and_then(Result::err).map(Fail::of_log_dump);
        match fail {
            Some(fail) if fail.code == USAGE => Err(Fail::new(USAGE, format!("--checkpoint: {fail}"))),
            _ => Ok(()),
        }
    }

    fn spared(&self) -> Vec<PathBuf> {
        [&self.reads[..], std::slice::from_ref(&self.state)].concat()
    }

    /// Notes at once, and then from time to time.
    pub(super) fn start(self) -> Option<Noter> {
        let (say, heard) = channel();
        let stop = say.clone();
        let run = move || self.keep_time(&say, heard);
        let started = thread::Builder::new().name("lastword-checkpoint".to_owned()).spawn(run);
        let thread = started.inspect_err(|error| note(&format!("checkpoints are not noted: {error}"))).ok()?;
        Some(Noter { stop, thread })
    }

    /// Asks for a note at once, from time to time, and when the run ends; for none before the one before has ended.
    fn keep_time(mut self, say: &Sender<Heard>, heard: Receiver<Heard>) {
        let (every, is_ending) = (self.every, Arc::clone(&self.is_ending));
        let (ask, asked) = sync_channel(1);
        let say = say.clone();
        let work = move || asked.iter().for_each(|()| drop(say.send(Heard::Ended(self.try_note()))));
        if let Err(error) = thread::Builder::new().name("lastword-note".to_owned()).spawn(work) {
            return note(&format!("checkpoints are not noted: {error}"));
        }
        let mut clock = Timing { ask, heard, since: None, is_told: false };
        let soon = every.min(NOTED_WITHIN);
        loop {
            clock.ask();
            if clock.pass(soon) {
                break;
            }
            clock.watch();
            if clock.pass(every - soon) {
                break;
            }
        }
        is_ending.store(true, Ordering::Relaxed);
        if !(clock.settle() && clock.ask() && clock.settle()) {
            note("the last checkpoint is not noted: it, or the one before it, has not come to its end");
        }
    }

    fn try_note(&mut self) -> Result<(), String> {
        let told = |failure: log_dump::Failure| failure.told().1;
        let origin = match &self.origin {
            Some(origin) => origin.clone(),
            None => {
                let noted = match &self.to {
                    Target::File(file) => Some(file.as_path()).filter(|file| file.is_file()),
                    Target::Command(_) => None,
                };
                self.origin.insert(origin_of(&self.state, noted).map_err(told)?).clone()
            }
        };
        let checkpoint = Checkpoint::of_anchor(&self.state, &origin, SystemClock::new().wall()).map_err(told)?;
        let text = checkpoint.note(self.key.as_ref());
        match &self.to {
            Target::File(file) => {
                let spared = self.spared();
                let spared: Vec<&Path> = spared.iter().map(PathBuf::as_path).collect();
                whole::write(file, 0o644, text.as_bytes(), &spared).map_err(told)
            }
            Target::Command(command) => self.pipe(command, &text),
        }
    }

    fn pipe(&self, command: &str, text: &str) -> Result<(), String> {
        let failed = |what: &dyn std::fmt::Display| format!("{command:?}: {what}");
        let mut shell = Command::new("sh");
        // What it prints is none of the events of the run. In a group of its own all of it can be ended, and what ends the run
        // does not end it.
        shell.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        let mut child = shell.spawn().map_err(|error| failed(&error))?;
        // One that reads nothing may be as content as one that does: its code says so. A note is shorter than what a pipe holds.
        let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes()));
        drop(written);
        let begun = Instant::now();
        let mut ending_since = None;
        loop {
            if let Some(status) = child.try_wait().map_err(|error| failed(&error))? {
                return if status.success() { Ok(()) } else { Err(failed(&status)) };
            }
            if self.is_ending.load(Ordering::Relaxed) {
                ending_since = ending_since.or_else(|| Some(Instant::now()));
            }
            let patience = ending_since.map_or(PATIENCE, |_| LAST);
            if ending_since.unwrap_or(begun).elapsed() >= patience {
                end(&mut child);
                return Err(failed(&format!(
                    "was ended, because it had not come to its end for {}",
                    format_duration(patience)
                )));
            }
            thread::sleep(TURN);
        }
    }
}

/// Ends a command and all that it has started.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

impl Noter {
    /// Notes the end of a log that was closed.
    pub(super) fn finish(self) {
        let _ = self.stop.send(Heard::Stop);
        // It waits for nothing that may hang.
        let _ = self.thread.join();
    }
}
