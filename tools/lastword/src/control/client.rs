//! The asking side: it reaches a run, or opens the log itself. It must not know what a command does.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lastword::Reconciler;
use lastword::engine::StartError;
use lastword::log::OpenError;

use super::protocol::{Answer, Request};
use super::{Steer, socket};
use crate::fail::{CANNOT_OPEN, DEFECT, Fail};
use crate::inspect::Inspected;

/// How long a log may be taken by a writer that has no socket: a run that starts has to replay its log first, half a
/// million events in half a second, and one that ends has taken its socket away and writes its last events.
pub(crate) const TAKEN_WITHIN: Duration = Duration::from_secs(3);

/// Between two tries: a twentieth of a second, which a person does not notice.
pub(crate) const RETRY: Duration = Duration::from_millis(50);

/// A command is durable within milliseconds; a disk that takes longer than this has other problems.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

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
        if let Ok(inspected) = Inspected::open(state)
            && !inspected.copy.writer_active()
        {
            steer.foresee(&inspected.state, inspected.now)?;
        }
        match open_log(state) {
            Err(StartError::Log(OpenError::Busy { .. })) if begun.elapsed() < TAKEN_WITHIN => {
                thread::sleep(RETRY);
            }
            Err(StartError::Log(OpenError::Busy { .. })) => return Err(taken(state)),
            opened => return Ok(Reached::Opened(opened?)),
        }
    }
}

/// The log is taken by a writer without a socket.
pub(crate) fn taken(state: &Path) -> Fail {
    let state = state.display();
    Fail::new(CANNOT_OPEN, format!("{state}: another program has the log open, and takes no commands from here"))
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

/// A conversation with a run.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
    /// A request was not answered: the run is gone.
    pub(crate) is_lost: bool,
}

impl Connection {
    /// `None` if no run answers.
    pub(crate) fn open(state: &Path) -> Result<Option<Connection>, Fail> {
        let Some(stream) = socket::connect(state)? else { return Ok(None) };
        let timeouts =
            stream.set_read_timeout(Some(ANSWER_WITHIN)).and_then(|()| stream.set_write_timeout(Some(ANSWER_WITHIN)));
        timeouts.map_err(|error| Fail::new(CANNOT_OPEN, format!("the socket of the run: {error}")))?;
        Ok(Some(Connection { stream: BufReader::new(stream), is_lost: false }))
    }

    /// With a shorter timeout than usual for each answer.
    pub(crate) fn within(self, timeout: Duration) -> Connection {
        // It has been set before; if it cannot be set again, the longer one stays.
        let _ = self.stream.get_ref().set_read_timeout(Some(timeout));
        self
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, Fail> {
        // Until there is an answer.
        self.is_lost = true;
        // If the run hung up before it had read everything, what it said instead is the better answer.
        let sent = self.stream.get_mut().write_all(format!("{}\n", request.line()).as_bytes());
        let mut line = Vec::new();
        let read = (&mut self.stream).take(MOST_ANSWER).read_until(b'\n', &mut line);
        match (sent, read) {
            (_, Ok(_)) if line.ends_with(b"\n") => {
                self.is_lost = false;
                let garbage = || Err(Fail::new(DEFECT, "the run answered what this program does not understand"));
                Answer::parse(&line).unwrap_or_else(garbage)
            }
            (Err(error), _) | (Ok(()), Err(error)) => Err(unanswered(&error.to_string())),
            (Ok(()), Ok(_)) => Err(unanswered("it ended")),
        }
    }
}

fn unanswered(why: &str) -> Fail {
    let text = format!("the run gave no answer ({why}): whether the command was logged is unknown; give it again");
    Fail::new(CANNOT_OPEN, text)
}
