//! The asking side: it reaches a run, or opens the log itself. It must not know what a command does.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request as Asked};
use hyper_util::rt::TokioIo;
use lastword::Reconciler;
use lastword::engine::StartError;
use lastword::log::OpenError;
use rustix::net::sockopt::socket_peercred;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::{Steer, socket, taken};
use crate::answering::is_silent;
use crate::console::note;
use crate::door::{Answer, Message, Request};
use crate::fail::{CANNOT_OPEN, DEFECT, Fail, unopened};
use crate::inspect::Inspected;
use crate::patience::within;
use crate::record::{LastRun, NOT_IN_ORDER};
use crate::words::short;

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
const MOST_ANSWER: usize = 64 << 20;

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
    /// What moves it on while it is asked.
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    /// The process on the other side.
    pub(crate) pid: Option<u32>,
    /// A request was not answered: the run is gone, or silent.
    pub(crate) is_lost: bool,
    /// A request was not answered in time.
    pub(crate) is_silent: bool,
    patience: Duration,
}

/// Why there is no answer.
enum Unheard {
    /// The run hung up, or what it has answered is no HTTP.
    Http(hyper::Error),
    /// The answer is longer than any.
    TooLong,
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
    pub(crate) fn find(state: &Path, for_most: Duration) -> Result<Found, Fail> {
        let place = state.to_owned();
        let Some(stream) = within(for_most, move || socket::connect(&place)) else { return Ok(Found::Silent) };
        let Some(stream) = stream? else { return Ok(Found::Nobody) };
        let pid = socket_peercred(&stream).ok().and_then(|found| u32::try_from(found.pid.as_raw_nonzero().get()).ok());
        let (runtime, sender) =
            begin(stream).map_err(|error| Fail::new(CANNOT_OPEN, format!("the socket of the run: {error}")))?;
        let patience = ANSWER_WITHIN;
        Ok(Found::Run(Connection { runtime, sender, pid, is_lost: false, is_silent: false, patience }))
    }

    /// Waits so long for each answer.
    pub(crate) fn be_patient_for(&mut self, timeout: Duration) {
        self.patience = timeout;
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, Fail> {
        Answer::parse(&self.ask_body(request)?).unwrap_or_else(|| Err(garbage()))
    }

    /// The same as it was written; what says that something went wrong becomes that.
    pub(crate) fn ask_body(&mut self, request: &Request) -> Result<Bytes, Fail> {
        match self.answered(request)? {
            (true, body) => Ok(body),
            (false, body) => Err(Answer::parse(&body).and_then(Result::err).unwrap_or_else(garbage)),
        }
    }

    /// What was answered as it was written, and whether it is what was asked for.
    pub(crate) fn answered(&mut self, request: &Request) -> Result<(bool, Bytes), Fail> {
        // Until there is an answer.
        self.is_lost = true;
        let _sent = Unanswered::note(request);
        let answered = self.exchange(request);
        let answered = match answered {
            Some(Ok(answered)) => answered,
            None => {
                self.is_silent = true;
                return Err(unanswered(&silent(self.pid), request, true));
            }
            Some(Err(Unheard::TooLong)) => return Err(garbage()),
            Some(Err(Unheard::Http(error))) if error.is_parse() => {
                self.is_lost = false;
                return Err(garbage());
            }
            Some(Err(Unheard::Http(error))) => {
                let why = if error.is_incomplete_message() { "it ended".to_owned() } else { error.to_string() };
                return Err(unanswered(&why, request, false));
            }
        };
        self.is_lost = false;
        Ok(answered)
    }

    /// Sends a request and waits for its answer, and says so if that takes long; nothing if it takes too long.
    fn exchange(&mut self, request: &Request) -> Option<Result<(bool, Bytes), Unheard>> {
        let (pid, patience) = (self.pid, self.patience);
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let mut answered = pin!(send(sender, request.message()));
            let told_after = TOLD_AFTER.min(patience);
            if let Ok(answered) = timeout(told_after, &mut answered).await {
                return Some(answered);
            }
            let left = patience.saturating_sub(told_after);
            if !left.is_zero() {
                let waits = short(left);
                let what = match request {
                    Request::Look(_) if !pid.is_some_and(is_stopped) => "the run still reads its log".to_owned(),
                    _ => silent(pid),
                };
                note(&format!("{what}; waiting for {waits} more"));
            }
            timeout(left, answered).await.ok()
        })
    }
}

/// A connection over HTTP, and the runtime that it is on.
fn begin(stream: UnixStream) -> io::Result<(Runtime, SendRequest<Full<Bytes>>)> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    stream.set_nonblocking(true)?;
    let sender = runtime.block_on(async {
        let stream = TokioIo::new(tokio::net::UnixStream::from_std(stream)?);
        let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        // It moves on while an answer is waited for, and its end is the end of that.
        drop(runtime.spawn(connection));
        Ok::<_, io::Error>(sender)
    })?;
    Ok((runtime, sender))
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, message: Message) -> Result<(bool, Bytes), Unheard> {
    let Message { method, target, body } = message;
    let mut asked = Asked::new(Full::from(body));
    *asked.method_mut() = if method == "GET" { Method::GET } else { Method::POST };
    // Encoded as it is, it cannot be refused.
    *asked.uri_mut() = target.parse().unwrap_or_default();
    asked.headers_mut().insert(HOST, HeaderValue::from_static("lastword"));
    asked.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    sender.ready().await.map_err(Unheard::Http)?;
    let answered = sender.send_request(asked).await.map_err(Unheard::Http)?;
    let is_done = answered.status().is_success();
    let body = Limited::new(answered.into_body(), MOST_ANSWER).collect().await;
    let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => Unheard::Http(*error),
        Err(_) => Unheard::TooLong,
    })?;
    Ok((is_done, body.to_bytes()))
}

fn garbage() -> Fail {
    let why = "the run answered what this program does not understand; if it is of another version, end it and start it again";
    Fail::new(DEFECT, why)
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
        (false, _) => "; look first (lastword status, lastword why): giving it once more would do it twice",
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
