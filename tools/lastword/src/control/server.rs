//! The answering side, in `lastword run`: a thread that accepts, and one for each connection.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Scope};
use std::time::{Duration, Instant};

use lastword::Handle;
use lastword::core::vocabulary::{By, CollectionId, Name, Rejection, Timestamp};
use lastword::core::{CollectionView, Lag};
use lastword::describe;
use lastword::engine::{CollectionStatus, CommandError, WatchItem};
use serde_json::{Value, json};

use super::protocol::{Answer, Request};
use super::run_file::absolute;
use super::socket::{Socket, SocketPlace};
use super::steer::{Verb, carry_out};
use super::waiting::Waiting;
use super::{MOST_CONNECTIONS, MOST_REQUEST, MOST_ROWS, MOST_WAIT, MOST_WAITING, REQUEST_WITHIN, Unmanaged};
use crate::config::Config;
use crate::dropped::waiting;
use crate::fail::{CANNOT_OPEN, Fail, USAGE};
use crate::metrics::Metrics;
use crate::told::Told;

/// How long an answer may take to be taken: it is a line, and who does not read it is gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What connections and the run have in common.
pub(crate) struct Desk {
    pub(crate) handle: Handle,
    /// What is paused because it is gone from the file.
    unmanaged: Mutex<Unmanaged>,
    /// The names in the file.
    managed: Mutex<BTreeSet<Name>>,
    /// What the file says at its top.
    told: Mutex<Told>,
    /// The file that is read again.
    file: Mutex<Option<String>>,
    reloads: SyncSender<Reload>,
    stopping: AtomicBool,
    /// How long an observation may take.
    observe_timeout: Duration,
    metrics: Metrics,
}

/// A wish that only the run itself can fulfil.
pub(crate) struct Reload {
    pub(crate) by: By,
    pub(crate) answer: SyncSender<Result<Answer, Fail>>,
}

impl Desk {
    pub(crate) fn new(
        handle: Handle,
        unmanaged: Unmanaged,
        observe_timeout: Duration,
        metrics: Metrics,
    ) -> (Arc<Desk>, Receiver<Reload>) {
        // One at a time: who comes meanwhile waits.
        let (reloads, wishes) = sync_channel(1);
        let desk = Desk {
            handle,
            unmanaged: Mutex::new(unmanaged),
            managed: Mutex::default(),
            told: Mutex::default(),
            file: Mutex::default(),
            reloads,
            stopping: AtomicBool::new(false),
            observe_timeout,
            metrics,
        };
        (Arc::new(desk), wishes)
    }

    /// The list of what is gone; only the thread that holds it pauses, resumes or drops.
    pub(crate) fn unmanaged(&self) -> MutexGuard<'_, Unmanaged> {
        // A panic between two changes leaves the list as it was before or after: both are right.
        self.unmanaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file is this one now.
    pub(crate) fn manages(&self, config: &Config) {
        *self.managed.lock().unwrap_or_else(PoisonError::into_inner) = config.names().collect();
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Told::of(config);
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(absolute(&config.file).display().to_string());
    }

    /// What the log does not have.
    fn volatile(&self, status: &CollectionStatus) -> Value {
        let mut live = status.live();
        live["name"] = status.view.name.as_str().into();
        live["since"] = json!(self.since(&status.view).map(|since| since.to_string()));
        live
    }

    /// Since when something is to be done for a collection that is not behind, such as a rebuild that was asked for.
    fn since(&self, view: &CollectionView) -> Option<Timestamp> {
        if view.parked_since.is_some() || matches!(view.lag, Lag::Since(_)) {
            return view.parked_since;
        }
        let created = view.task?.0;
        let mut watch = self.handle.watch(created);
        let mut next = || watch.next_within(Duration::ZERO).ok();
        let found = match next()? {
            // It is far behind, and comes next.
            WatchItem::Lagged { .. } => next()?,
            found => found,
        };
        match found {
            WatchItem::Event(event) => (event.seq == created).then_some(event.at),
            WatchItem::Lagged { .. } => None,
        }
    }

    /// `next`: those that follow are asked for with it.
    fn rows(&self, page: &[CollectionStatus], next: Option<CollectionId>) -> Answer {
        let rows: Vec<String> = page.iter().map(|status| describe::view_json(&status.view, status.at)).collect();
        let looks: Vec<Value> = page.iter().map(|status| self.volatile(status)).collect();
        Answer::new(json!({"rows": rows, "looks": looks, "next": next.map(|next| next.0.0)}))
    }

    /// The engine's time, and an observation soon that begins after it.
    fn look_after_now(&self, name: &Name) -> Result<Timestamp, Fail> {
        let now = self.handle.stats()?.at;
        match self.handle.hint(name.clone()).wait() {
            // Its source is not observed: then only its log can say how it is.
            Ok(()) | Err(CommandError::Refused(Rejection::Field(_))) => Ok(now),
            Err(error) => Err(error.into()),
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn answer(&self, request: Request) -> Result<Answer, Fail> {
        match request {
            Request::Steer(steer) => {
                let answer = carry_out(&self.handle, &steer, &mut self.unmanaged())?;
                let in_file = || self.managed.lock().unwrap_or_else(PoisonError::into_inner).contains(&steer.name);
                let note = (steer.verb == Verb::Drop && in_file())
                    .then(|| "it is still in the configuration: the next start or reload declares it anew".to_owned());
                Ok(answer.with_note(note))
            }
            Request::Wait { name, generation, since, within } => {
                let since = match since {
                    Some(since) => since,
                    None => self.look_after_now(&name)?,
                };
                let gone = |view: &CollectionView| self.unmanaged().get(&view.name, view.id).cloned();
                let (timeout, within) =
                    (self.observe_timeout, within.map_or(MOST_WAIT, |within| within.min(MOST_WAIT)));
                let waiting = Waiting { handle: &self.handle, name: &name, generation, since, timeout, within };
                waiting.wait(|| self.is_stopping(), gone)
            }
            Request::Reload(by) => {
                let (answer, answered) = sync_channel(1);
                self.reloads.send(Reload { by, answer }).map_err(|_| shutting_down())?;
                answered.recv().unwrap_or_else(|_| Err(shutting_down()))
            }
            Request::Look { name: Some(name) } => {
                let found = self.handle.status(name.clone())?;
                let found = found.ok_or_else(|| Fail::new(USAGE, format!("there is no collection {name:?}")))?;
                Ok(Answer::new(json!({"looks": [self.volatile(&found)]})))
            }
            Request::Status { name: Some(name), .. } => {
                let found = self.handle.status(name.clone())?;
                let found = found.ok_or_else(|| Fail::new(USAGE, format!("there is no collection {name:?}")))?;
                Ok(self.rows(&[found], None))
            }
            Request::Status { name: None, after } => {
                let page = self.handle.list_page(after, MOST_ROWS)?;
                let next = page.last().filter(|_| page.len() == MOST_ROWS).map(|last| last.view.id);
                Ok(self.rows(&page, next))
            }
            Request::Metrics => Ok(Answer::new(json!({"text": self.metrics.render()?}))),
            Request::Settings => {
                let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).json();
                Ok(Answer::new(told).with("file", json!(file)))
            }
            Request::Dropped => {
                let (mut rows, mut after) = (Vec::new(), None);
                loop {
                    let page = self.handle.list_dropped(after, MOST_ROWS)?;
                    after = page.last().map(|last| last.id);
                    let now = self.handle.stats()?.at;
                    rows.extend(page.iter().filter_map(|view| waiting(view, now)));
                    if after.is_none() || rows.len() >= MOST_ROWS {
                        break;
                    }
                }
                rows.truncate(MOST_ROWS);
                Ok(Answer::new(json!({"rows": rows})))
            }
            Request::Look { name: None } => {
                let all: Vec<Value> = self.handle.list()?.iter().map(|status| self.volatile(status)).collect();
                Ok(Answer::new(json!({"looks": all})))
            }
        }
    }
}

fn shutting_down() -> Fail {
    Fail::new(CANNOT_OPEN, "lastword is shutting down")
}

/// The socket and its threads. Dropping it closes every connection and takes the socket away.
pub(crate) struct Server {
    desk: Arc<Desk>,
    /// Wakes the thread that accepts.
    waker: UnixStream,
    place: SocketPlace,
    open: Arc<Open>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to answer. Only for who holds the lock of the log.
    pub(crate) fn start(state: &Path, desk: Arc<Desk>) -> io::Result<Server> {
        let socket = Socket::bind(state)?;
        let (waker, place) = socket.end()?;
        let open = Arc::new(Open::default());
        let (served, streams) = (Arc::clone(&desk), Arc::clone(&open));
        let accept = move || accept(socket, &served, &streams);
        let thread = thread::Builder::new().name("lastword-control".to_owned()).spawn(accept)?;
        Ok(Server { desk, waker, place, open, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.desk.stopping.store(true, Ordering::Release);
        // By its own end and not by a connection: the path may lead to the socket of another by now.
        let woken = self.waker.shutdown(Shutdown::Both).is_ok();
        self.place.remove();
        // A thread that waits for a request sees the end; one that is answering still can.
        lock(&self.open).values().for_each(|served| drop(served.stream.shutdown(Shutdown::Read)));
        if let (true, Some(thread)) = (woken, self.thread.take()) {
            // A panic in it has harmed nothing else.
            let _ = thread.join();
        }
    }
}

type Open = Mutex<BTreeMap<u64, Served>>;

/// A connection.
struct Served {
    stream: UnixStream,
    /// It has asked to wait, and takes no place of who gives commands.
    waits: bool,
}

fn lock(open: &Open) -> MutexGuard<'_, BTreeMap<u64, Served>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(open: &BTreeMap<u64, Served>, waits: bool) -> usize {
    open.values().filter(|served| served.waits == waits).count()
}

/// Gives a connection a place among those that wait.
fn let_wait(open: &Open, number: u64) -> Result<(), Fail> {
    let mut open = lock(open);
    let is_new = open.get(&number).is_some_and(|served| !served.waits);
    if is_new && count(&open, true) >= MOST_WAITING {
        return Err(Fail::new(CANNOT_OPEN, format!("{MOST_WAITING} clients wait already, try again")));
    }
    if let Some(served) = open.get_mut(&number) {
        served.waits = true;
    }
    Ok(())
}

fn accept(mut socket: Socket, desk: &Desk, open: &Open) {
    // Without descriptors accepting fails at once, again and again.
    const REST: Duration = Duration::from_millis(100);
    thread::scope(|scope| {
        for number in 0.. {
            let served = match socket.accept() {
                Ok(None) => return,
                _ if desk.is_stopping() => return,
                Ok(Some(stream)) => serve(scope, number, stream, desk, open),
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::warn!(target: "lastword::control", %error, "a connection was not served");
                thread::sleep(REST);
            }
        }
    });
}

fn serve<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    number: u64,
    mut stream: UnixStream,
    desk: &'env Desk,
    open: &'env Open,
) -> io::Result<()> {
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    if count(&lock(open), false) >= MOST_CONNECTIONS {
        let busy = Fail::new(CANNOT_OPEN, format!("{MOST_CONNECTIONS} connections are open, try again"));
        return say(&mut stream, &Answer::failed(&busy));
    }
    lock(open).insert(number, Served { stream: stream.try_clone()?, waits: false });
    // A stop that came in between has not seen this stream.
    if desk.is_stopping() {
        stream.shutdown(Shutdown::Read)?;
    }
    let converse = move || {
        // A client that hangs up in the middle of a line gets no answer.
        let _ = converse(&mut stream, desk, || let_wait(open, number));
        lock(open).remove(&number);
    };
    let spawned = thread::Builder::new().name("lastword-control".to_owned()).spawn_scoped(scope, converse);
    if spawned.is_err() {
        lock(open).remove(&number);
    }
    spawned.map(drop)
}

/// Answers requests until there are none, or one that is none. `let_wait` finds a place for who wants to wait.
fn converse(stream: &mut UnixStream, desk: &Desk, let_wait: impl Fn() -> Result<(), Fail>) -> io::Result<()> {
    let mut read = Vec::new();
    loop {
        let line = match next_line(stream, &mut read) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(fail) => return say(stream, &Answer::failed(&fail)),
        };
        let request = match Request::parse(&line) {
            Ok(request) => request,
            // A client that does not speak the protocol is not served a second time.
            Err(fail) => return say(stream, &Answer::failed(&fail)),
        };
        if matches!(request, Request::Wait { .. })
            && let Err(fail) = let_wait()
        {
            return say(stream, &Answer::failed(&fail));
        }
        say(stream, &desk.answer(request).unwrap_or_else(|fail| Answer::failed(&fail)))?;
    }
}

fn say(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    stream.write_all(format!("{answer}\n").as_bytes())
}

/// The next line; nothing at the end, also in the middle of a line: half a command is none.
fn next_line(stream: &mut UnixStream, read: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Fail> {
    let begun = Instant::now();
    loop {
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = read.drain(..=end).collect();
            line.pop();
            return Ok(Some(line));
        }
        if read.len() >= MOST_REQUEST {
            return Err(Fail::new(USAGE, format!("a request has at most {MOST_REQUEST} bytes")));
        }
        let left = REQUEST_WITHIN.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(Fail::new(USAGE, format!("a request arrives within {} s", REQUEST_WITHIN.as_secs())));
        }
        let mut some = [0; 1024];
        match stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut some)) {
            Ok(0) => return Ok(None),
            Ok(count) => read.extend_from_slice(&some[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return Ok(None),
        }
    }
}
