//! Code of users that runs on the engine's own thread, or is held by it: it cannot wait for the engine, and its panics end
//! nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context as TaskContext, Wake, Waker};
use std::thread;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{
    CommandError, CompactError, Handle, Reconciler, Response, Retention, SettleOutcome, WaitOutcome, WatchError,
};
use lastword::log::{CheckpointCheck, Frame, FrameBuf, Log, LogError, LogReader, MemoryLog, Position, Start};
use lastword::objects::MemoryObjects;
use lastword::worker::{Context, Failure, Observation, ObserveError, ObserveRequest, Observer, Worker};

use crate::support::*;

/// Everything that waits for the engine, and what came of it.
fn everything_that_waits(handle: &Handle) -> Vec<String> {
    let own = |result: Result<(), CommandError>| format!("{result:?}");
    let mut said = vec![
        own(handle.declare(declaration("b", "{}")).map(drop)),
        own(handle.refresh(name("a")).map(drop)),
        own(handle.batch(Vec::new()).map(drop)),
        own(handle.status(name("a")).map(drop)),
        own(handle.list().map(drop)),
        own(handle.list_running().map(drop)),
        own(handle.stats().map(drop)),
        own(handle.digest().map(drop)),
        own(handle.submit(Command::Pause { name: name("a") }).map(drop)),
        own(handle.wait_applied(name("a"), Generation(1), LONG).map(drop)),
        own(handle.wait_settled(name("a"), LONG).map(drop)),
        own(handle.request().stats().wait().map(drop)),
        own(handle.hint(name("a")).wait()),
    ];
    let compacted = handle.compact(Retention { events: Some(1), age: None });
    assert!(matches!(compacted, Err(CompactError::Failed(_))), "{compacted:?}");
    // What has a bound of its own just has nothing yet, but for a watch, which is asked again and again.
    assert_eq!(handle.request().stats().wait_timeout(LONG), None);
    assert!(matches!(handle.watch(Seq(1 << 40)).next_within(LONG), Err(WatchError::OwnThread)));
    let by = WorkerName::new("w").unwrap();
    assert!(handle.next_assignment(&[kind("far")], &by, LONG, LONG).unwrap().is_none());
    said.retain(|said| *said != "Err(OwnThread)");
    said
}

/// Calls the engine that it serves while it checks.
#[derive(Clone, Default)]
struct Calls {
    handle: Arc<OnceLock<Handle>>,
    said: Arc<Mutex<Option<Vec<String>>>>,
    later: Arc<Mutex<Option<Response<Receipt>>>>,
}

impl Worker for Calls {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn check(&self, _: &Source, _: &Spec) -> Result<(), FieldError> {
        if let Some(handle) = self.handle.get() {
            *self.said.lock().unwrap() = Some(everything_that_waits(handle));
            // What does not wait is asked.
            *self.later.lock().unwrap() = Some(handle.try_submit(Command::Pause { name: name("a") }).unwrap());
        }
        Ok(())
    }
}

fn in_memory() -> lastword::engine::Builder {
    Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()))
}

#[test]
fn defect_09_a_check_that_calls_its_own_engine_is_refused_and_hangs_nobody() {
    let calls = Calls::default();
    let reconciler = in_memory().kind(kind("puppet"), calls.clone()).start().unwrap();
    calls.handle.set(reconciler.handle()).ok().unwrap();
    let (handle, (told, declared)) = (reconciler.handle(), mpsc::channel());
    thread::spawn(move || told.send(handle.declare(declaration("a", "{}"))));
    declared.recv_timeout(LONG).expect("a declaration whose check calls the engine was not answered").unwrap();
    assert_eq!(calls.said.lock().unwrap().take().unwrap(), Vec::<String>::new());
    let later = calls.later.lock().unwrap().take().unwrap();
    assert!(later.wait().is_ok(), "what it asked without waiting is done");
    reconciler.shutdown(LONG).unwrap();
}

/// A waker that calls the engine that wakes it.
struct CallsBack {
    handle: Handle,
    said: Mutex<Option<Vec<String>>>,
}

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        *self.said.lock().unwrap() = Some(everything_that_waits(&self.handle));
    }
}

#[test]
fn defect_09_a_waker_that_calls_its_own_engine_is_refused() {
    let lab = Lab::start();
    let back = Arc::new(CallsBack { handle: lab.handle.clone(), said: Mutex::default() });
    let waker = Waker::from(Arc::clone(&back));
    let mut applied = lab.handle.applied(name("a"), Generation(2));
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    let mut first = lab.handle.applied(name("a"), Generation(1));
    assert!(Pin::new(&mut first).poll(&mut TaskContext::from_waker(&waker)).is_pending());
    lab.puppet.open("g");
    until("the waker being called", || back.said.lock().unwrap().is_some());
    assert_eq!(back.said.lock().unwrap().take().unwrap(), Vec::<String>::new());
    assert!(matches!(first.wait_timeout(LONG), Some(Ok(WaitOutcome::Applied { .. }))));
    assert!(applied.try_wait().is_some_and(|answer| answer == Ok(WaitOutcome::Dropped)));
    assert_eq!(lab.handle.wait_settled(name("nobody"), LONG), Ok(SettleOutcome::Dropped));
}

/// Drops the engine that it serves, on that engine's thread.
struct Ends(Arc<Mutex<Option<Reconciler>>>);

impl Worker for Ends {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn check(&self, _: &Source, _: &Spec) -> Result<(), FieldError> {
        let reconciler = self.0.lock().unwrap().take();
        let ended = reconciler.map(|reconciler| reconciler.shutdown(LONG).unwrap_err().to_string());
        assert!(ended.is_some_and(|ended| ended.contains("own thread")));
        Ok(())
    }
}

#[test]
fn defect_09_an_engine_that_is_shut_down_by_its_own_thread_ends() {
    let held = Arc::new(Mutex::new(None));
    let reconciler = in_memory().kind(kind("puppet"), Ends(Arc::clone(&held))).start().unwrap();
    let handle = reconciler.handle();
    *held.lock().unwrap() = Some(reconciler);
    let (told, answered) = mpsc::channel();
    let asks = handle.clone();
    thread::spawn(move || told.send(asks.declare(declaration("a", "{}"))));
    answered.recv_timeout(LONG).expect("the declaration was not answered").unwrap();
    until("the engine having ended", || matches!(handle.stats(), Err(CommandError::NotAccepted(_))));
}

struct PanicsWhenDropped;

impl Worker for PanicsWhenDropped {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a worker that panics when it is dropped");
    }
}

#[test]
fn defect_05_a_worker_that_panics_when_it_is_dropped_ends_nothing() {
    let reconciler = in_memory().kind(kind("puppet"), PanicsWhenDropped).start().unwrap();
    reconciler.handle().declare(declaration("a", "{}")).unwrap();
    reconciler.shutdown(LONG).unwrap();
}

/// What a reader does on the thread that makes snapshots: as it begins to read, and when it has read everything.
#[derive(Clone)]
struct Doing {
    begin: fn(),
    end: Arc<dyn Fn() + Send + Sync>,
}

fn is_snapshotter() -> bool {
    thread::current().name() == Some("lastword-history")
}

/// A log whose readers do something on that thread.
struct Watched(MemoryLog, Doing);

struct WatchedReader(Box<dyn LogReader>, Doing);

impl LogReader for WatchedReader {
    fn start(&self) -> Start {
        self.0.start()
    }

    fn frames(&self, from: Seq) -> Box<dyn Iterator<Item = Result<FrameBuf, LogError>> + Send + '_> {
        if !is_snapshotter() {
            return self.0.frames(from);
        }
        (self.1.begin)();
        let end = std::iter::from_fn(|| {
            (self.1.end)();
            None
        });
        Box::new(self.0.frames(from).chain(end))
    }

    fn another(&self) -> Box<dyn LogReader> {
        Box::new(WatchedReader(self.0.another(), self.1.clone()))
    }
}

impl Log for Watched {
    fn append(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        self.0.append(frame)
    }

    fn barrier(&mut self) -> Result<(), LogError> {
        self.0.barrier()
    }

    fn appended(&self) -> Position {
        self.0.appended()
    }

    fn durable(&self) -> Position {
        self.0.durable()
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(WatchedReader(self.0.reader(), self.1.clone()))
    }

    fn truncate_prefix(&mut self, start: Start, check: CheckpointCheck) -> Result<(), LogError> {
        self.0.truncate_prefix(start, check)
    }

    fn close(self: Box<Self>) -> Result<(), LogError> {
        Box::new(self.0).close()
    }
}

#[test]
fn defect_05_a_panic_in_the_thread_that_takes_snapshots_is_an_answer() {
    let doing = Doing { begin: || panic!("a reader that panics"), end: Arc::new(|| ()) };
    let log = Box::new(Watched(MemoryLog::new(), doing));
    let reconciler = Reconciler::on(log, Arc::new(MemoryObjects::new())).start().unwrap();
    let handle = reconciler.handle();
    for round in 0..2 {
        handle.declare(declaration(&format!("c{round}"), "{}")).unwrap();
        let mut compacting = handle.request().compact(Retention { events: Some(1), age: None });
        let compacted = compacting.wait_timeout(LONG).expect("the compaction was not answered").unwrap();
        let Err(CompactError::Failed(why)) = compacted else { panic!("{compacted:?}") };
        assert!(why.contains("a reader that panics"), "{why}");
    }
    assert_eq!(handle.stats().unwrap().counters.snapshots_failed, 2);
    reconciler.shutdown(Duration::from_secs(1)).unwrap();
}

/// The snapshotter waits for the parts of a checkpoint to be taken, and what takes them lies in a report that is heard no
/// more.
#[test]
fn defect_25_a_shutdown_while_a_checkpoint_is_begun_comes_to_its_end() {
    let (reached, at_the_end) = mpsc::channel();
    let (go_on, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let end = move || {
        let _ = reached.send(());
        // Until the test is over, if it comes to that.
        let _ = gate.lock().unwrap().recv_timeout(LONG);
    };
    let log = Box::new(Watched(MemoryLog::new(), Doing { begin: || (), end: Arc::new(end) }));
    let reconciler = Reconciler::on(log, Arc::new(MemoryObjects::new())).start().unwrap();
    let handle = reconciler.handle();
    // Two megabytes are more parts than wait to be taken.
    let long = |n: u64| declaration(&format!("c{n}"), &format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000)));
    handle.batch((0..200).map(|n| Command::Declare(Box::new(long(n)))).collect()).unwrap();
    let mut watch = handle.watch(Seq(u64::MAX));
    let compacting = handle.request().compact(Retention { events: Some(0), age: None });
    at_the_end.recv_timeout(LONG).expect("the log is read to its end");
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(reconciler.shutdown(Duration::from_secs(1))));
    // The engine's loop is over: it hears no report any more.
    while !matches!(watch.next_within(LONG), Err(WatchError::Closed)) {}
    go_on.send(()).unwrap();
    end.recv_timeout(LONG).expect("the shutdown has come to its end").unwrap();
    drop(compacting);
}

/// Waits for a compaction whose log does not answer, and says how that ended.
struct Compacts(Arc<OnceLock<Handle>>, Mutex<mpsc::Sender<Result<Seq, CompactError>>>);

impl Worker for Compacts {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        // The second waits behind the first.
        let request = || self.0.wait().request().compact(Retention { events: Some(0), age: None });
        let both = [request(), request()];
        for compacting in both {
            let _ = self.1.lock().unwrap().send(compacting.wait().unwrap_or(Err(CompactError::Closed)));
        }
        Ok(Built::default())
    }
}

#[test]
fn defect_09_a_worker_that_waits_for_a_compaction_holds_up_no_shutdown() {
    let (reached, begun) = mpsc::channel();
    let (go_on, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let end = move || {
        let _ = reached.send(());
        let _ = gate.lock().unwrap().recv_timeout(LONG * 3);
    };
    let log = Box::new(Watched(MemoryLog::new(), Doing { begin: || (), end: Arc::new(end) }));
    let (cell, (told, answered)) = (Arc::default(), mpsc::channel());
    let worker = Compacts(Arc::clone(&cell), Mutex::new(told));
    let reconciler = Reconciler::on(log, Arc::new(MemoryObjects::new())).kind(kind("puppet"), worker).start().unwrap();
    let handle = reconciler.handle();
    cell.set(handle.clone()).ok().unwrap();
    handle.declare(declaration("a", "{}")).unwrap();
    begun.recv_timeout(LONG).expect("the log is read for the compaction");
    let ending = thread::spawn(move || reconciler.shutdown(Duration::from_secs(3600)).map_err(|e| e.to_string()));
    for _ in 0..2 {
        let ended = answered.recv_timeout(LONG).expect("the wait for the compaction ends");
        assert!(matches!(ended, Err(CompactError::Closed)), "{ended:?}");
    }
    // Only now does the log answer.
    drop(go_on);
    ending.join().unwrap().unwrap();
}

/// Asks for a look whenever it is asked where its source lies, and cannot wait for it.
#[derive(Clone, Default)]
struct AsksAgain {
    handle: Arc<OnceLock<Handle>>,
    asked: Arc<AtomicU64>,
}

impl Worker for AsksAgain {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for AsksAgain {
    fn observe(&self, _: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        Ok(Observation::opaque(Version::new(b"1").unwrap()))
    }

    fn domain(&self, _: &Source) -> Option<String> {
        if let Some(handle) = self.handle.get() {
            self.asked.fetch_add(1, SeqCst);
            assert!(matches!(handle.settled(name("a")).wait(), Err(CommandError::OwnThread)));
        }
        None
    }
}

#[test]
fn a_look_that_nobody_can_wait_for_is_not_made_again_and_again() {
    let asks = AsksAgain::default();
    let reconciler = in_memory().kind(kind("puppet"), asks.clone()).observe_interval(LONG * 60).start().unwrap();
    let handle = reconciler.handle();
    asks.handle.set(handle.clone()).ok().unwrap();
    let source = Source::new("source").unwrap();
    handle.declare(Declaration::new(name("a")).kind(kind("puppet")).source(source)).unwrap();
    assert!(matches!(handle.wait_applied(name("a"), Generation(1), LONG), Ok(WaitOutcome::Applied { .. })));
    handle.refresh(name("a")).unwrap();
    until("the question where the source lies", || asks.asked.load(SeqCst) > 0);
    // Each answer is of a turn of the engine, which would have begun another look.
    for _ in 0..500 {
        handle.stats().unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    let asked = asks.asked.load(SeqCst);
    assert!(asked < 20, "it was asked {asked} times");
    reconciler.shutdown(LONG).unwrap();
}
