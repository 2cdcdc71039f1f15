//! The asking side: it reaches a run, or opens the log itself. It must not know what a command does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lastword::Reconciler;
use lastword::engine::StartError;
use lastword::log::OpenError;
use rustix::net::sockopt::socket_peercred;

use super::protocol::{Answer, Request};
use super::{Steer, socket, taken};
use crate::answering::is_silent;
use crate::console::note;
use crate::fail::{CANNOT_OPEN, DEFECT, Fail, unopened};
use crate::inspect::Inspected;
use crate::patience::within;
use crate::record::{LastRun, NOT_IN_ORDER};

/// How long a log may be taken by a writer that has no socket: a run that starts has to replay its log first, half a
/// million events in half a second, and one that ends has taken its socket away and writes its last events.
pub(crate) const TAKEN_WITHIN: Duration = Duration::from_secs(3);

/// Between two tries: a twentieth of a second, which a person does not notice.
pub(crate) const RETRY: Duration = Duration::from_millis(50);

/// A command is durable within milliseconds; a disk that takes longer than this has other problems.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A run that is well takes a connection at once.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// A person who waits for longer than this is told what for.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// The longest answer: a line about each of many collections.
const MOST_ANSWER: u64 = 64 << 20;

/// Who carries out a command.
pub(crate) enum Reached {
    /// A run that answers.
    Running(Connection),
    /// No run has the log open: this process has opened it, without workers.
    Opened(Reconciler),
}

/// Finds a run, or opens the log, which has to be there, unless it would refuse the command: who opens a log begins an
/// epoch in it, and a command that comes to nothing is to leave nothing behind.
pub(crate) fn reach(state: &Path, steer: &Steer) -> Result<Reached, Fail> {
    let begun = Instant::now();
    loop {
        if let Some(connection) = Connection::open(state)? {
            return Ok(Reached::Running(connection));
        }
        // A writer judges a command itself, as soon as it has a socket; and what cannot be read is told by
        // the opening.
        let inspected = match Inspected::open(state) {
            // It would be opened as a new one.
            Err(fail) if !state.join("HEAD").exists() => return Err(fail),
            inspected => inspected.ok().filter(|inspected| !inspected.copy.writer_active()),
        };
        if let Some(inspected) = &inspected {
            steer.foresee(&inspected.state, inspected.now)?;
        }
        match open_log(state) {
            Err(StartError::Log(OpenError::Busy { .. })) if begun.elapsed() < TAKEN_WITHIN => {
                thread::sleep(RETRY);
            }
            Err(StartError::Log(OpenError::Busy { .. })) => return Err(taken(state)),
            opened => {
                let reconciler = opened.map_err(|error| unopened(error, state))?;
                if inspected.is_some_and(|inspected| !inspected.copy.anchor().clean) {
                    note(&found_open(state));
                }
                return Ok(Reached::Opened(reconciler));
            }
        }
    }
}

/// What is said of a log that its last writer did not close: who opens it for a command closes it, and hides that.
fn found_open(state: &Path) -> String {
    let last = LastRun::read(state).filter(LastRun::is_open);
    let what = last.map_or_else(|| format!("the log was {NOT_IN_ORDER}"), |last| last.crashed());
    format!("{what}; nothing that was acknowledged is lost, and this command closes it")
}

fn open_log(state: &Path) -> Result<Reconciler, StartError> {
    // What a command acts on is not to be created by it.
    if !state.join("HEAD").exists() {
        return Err(StartError::Log(OpenError::Absent { path: state.to_owned() }));
    }
    Reconciler::open(state)
        .workers(1)
        .observer_threads(1)
        .software(concat!("lastword-cli ", env!("CARGO_PKG_VERSION")))
        .start()
}

/// What there is at the place of a socket.
pub(crate) enum Found {
    /// Nobody who answers there.
    Nobody,
    /// A run that takes no connection in time.
    Silent,
    /// A run, as far as can be seen before it has answered.
    Run(Connection),
}

/// A conversation with a run.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
    /// The process on the other side.
    pub(crate) pid: Option<u32>,
    /// A request was not answered: the run is gone, or silent.
    pub(crate) is_lost: bool,
    /// A request was not answered in time.
    pub(crate) is_silent: bool,
    patience: Duration,
}

impl Connection {
    /// `None` if there is no run.
    pub(crate) fn open(state: &Path) -> Result<Option<Connection>, Fail> {
        match Connection::find(state, CONNECTED_WITHIN)? {
            Found::Run(run) => Ok(Some(run)),
            Found::Nobody => Ok(None),
            Found::Silent => Err(Fail::new(CANNOT_OPEN, silent(None))),
        }
    }

    /// Looks for a run, for so long at most: a process that is stopped takes no connections once some wait.
    pub(crate) fn find(state: &Path, timeout: Duration) -> Result<Found, Fail> {
        let place = state.to_owned();
        let Some(stream) = within(timeout, move || socket::connect(&place)) else { return Ok(Found::Silent) };
        let Some(stream) = stream? else { return Ok(Found::Nobody) };
        stream
            .set_write_timeout(Some(ANSWER_WITHIN))
            .map_err(|error| Fail::new(CANNOT_OPEN, format!("the socket of the run: {error}")))?;
        let pid = socket_peercred(&stream).ok().and_then(|found| u32::try_from(found.pid.as_raw_nonzero().get()).ok());
        let stream = BufReader::new(stream);
        Ok(Found::Run(Connection { stream, pid, is_lost: false, is_silent: false, patience: ANSWER_WITHIN }))
    }

    /// Waits so long for each answer.
    pub(crate) fn be_patient_for(&mut self, timeout: Duration) {
        self.patience = timeout;
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, Fail> {
        // Until there is an answer.
        self.is_lost = true;
        let _sent = Unanswered::note(request);
        // If the run hung up before it had read everything, what it said instead is the better answer.
        let sent = self.stream.get_mut().write_all(format!("{}\n", request.line()).as_bytes());
        let mut line = Vec::new();
        let read = self.read_line(&mut line);
        match (sent, read) {
            (_, Ok(())) if line.ends_with(b"\n") => {
                self.is_lost = false;
                let garbage = || Err(Fail::new(DEFECT, "the run answered what this program does not understand"));
                Answer::parse(&line).unwrap_or_else(garbage)
            }
            (_, Err(_)) if self.is_silent => Err(unanswered(&silent(self.pid), request, true)),
            (Err(error), _) | (Ok(()), Err(error)) => Err(unanswered(&error.to_string(), request, false)),
            (Ok(()), Ok(())) => Err(unanswered("it ended", request, false)),
        }
    }

    /// Reads a line, and says so if that takes long.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        let (begun, mut is_told) = (Instant::now(), self.patience <= TOLD_AFTER);
        loop {
            let until = if is_told { self.patience } else { TOLD_AFTER };
            // A timeout of zero would be none.
            let left = until.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
            self.stream.get_ref().set_read_timeout(Some(left))?;
            let most = MOST_ANSWER.saturating_sub(line.len() as u64);
            match (&mut self.stream).take(most).read_until(b'\n', line) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(error) if begun.elapsed() >= self.patience => {
                    self.is_silent = true;
                    return Err(error);
                }
                Err(_) if !is_told && begun.elapsed() >= TOLD_AFTER => {
                    is_told = true;
                    let left = humantime::format_duration(self.patience.saturating_sub(TOLD_AFTER));
                    note(&format!("{}; waiting for {left} more", silent(self.pid)));
                }
                Err(_) => {}
            }
        }
    }
}

/// What is said of a run that does not answer, and what to do.
pub(crate) fn silent(pid: Option<u32>) -> String {
    if pid.is_none() && is_silent() {
        return "the state directory does not answer".to_owned();
    }
    let run = pid.map_or_else(|| "the run".to_owned(), |pid| format!("the run (pid {pid})"));
    format!("{run} {}", silence(pid))
}

/// The same without its subject.
pub(crate) fn silence(pid: Option<u32>) -> String {
    let Some(pid) = pid else { return "does not answer: it is stopped or stuck".to_owned() };
    if is_stopped(pid) {
        return format!("does not answer: it is stopped; kill -CONT {pid} lets it go on");
    }
    format!(
        "does not answer: it is stuck, or waits for something; ps -o stat,wchan -p {pid} shows for what (T: kill -CONT {pid} \
         lets it go on)"
    )
}

/// Whether a process has been stopped by a signal; false where that cannot be found out.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which is in parentheses and may hold any.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['T', 't']))
}

/// What is said of a request that was not answered. `is_silent`: its run is there.
fn unanswered(why: &str, request: &Request, is_silent: bool) -> Fail {
    let what = if request.is_command() { format!("; {}", unknown(request, is_silent)) } else { String::new() };
    Fail::new(CANNOT_OPEN, format!("the run gave no answer ({why}){what}"))
}

/// What is not known of a command, and what to do.
fn unknown(request: &Request, is_silent: bool) -> String {
    let what = match is_silent {
        true => "it is not withdrawn: the run carries it out as soon as it goes on",
        false => "whether it was carried out is not known",
    };
    let then = match (request.is_harmless_twice(), is_silent) {
        (true, true) => "",
        (true, false) => "; give it again, which does no harm",
        (false, _) => "; look first (lastword status, log-dump why): giving it once more would do it twice",
    };
    format!("{what}{then}")
}

/// What was sent and has no answer yet.
static UNANSWERED: Mutex<Option<String>> = Mutex::new(None);

/// The command that waits for its answer, and what becomes of it if nobody waits any more.
pub(crate) fn interrupted() -> Option<String> {
    UNANSWERED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A request is under way as long as this is there.
struct Unanswered;

impl Unanswered {
    fn note(request: &Request) -> Unanswered {
        let text = request.is_command().then(|| format!("{}: sent, and {}", request, unknown(request, true)));
        *UNANSWERED.lock().unwrap_or_else(PoisonError::into_inner) = text;
        Unanswered
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        *UNANSWERED.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
