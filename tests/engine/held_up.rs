//! Code of users that does not come back, on the engine's own thread: a shutdown ends all the same, and comes before what
//! still waits to be asked.

use std::cell::RefCell;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context as TaskContext, Wake, Waker};
use std::thread;
use std::time::Duration;

use lastword::ErrorKind;
use lastword::core::vocabulary::*;
use lastword::engine::{CommandError, EngineError, Handle, Reconciler, Response, StartError};
use lastword::worker::{
    Context, Failure, Hint, Observation, ObserveError, ObserveRequest, Observer, SourceWatch, Worker,
};

use crate::executor::block_on;
use crate::support::*;

/// Where a call stays until it is let go.
#[derive(Clone, Default)]
struct Stay(Arc<(AtomicBool, AtomicBool)>);

impl Stay {
    fn stay(&self) {
        self.0.0.store(true, SeqCst);
        until("the call being let go", || self.0.1.load(SeqCst));
    }

    fn until_reached(&self) {
        until("the call that stays", || self.0.0.load(SeqCst));
    }

    fn let_go(&self) {
        self.0.1.store(true, SeqCst);
    }
}

struct StaysInDrop(Stay);

impl Drop for StaysInDrop {
    fn drop(&mut self) {
        self.0.stay();
    }
}

thread_local! {
    static OF_THE_THREAD: RefCell<Option<StaysInDrop>> = const { RefCell::new(None) };
}

/// Stays in one place.
struct Stays(&'static str, Stay);

impl Stays {
    fn at(&self, place: &str) {
        if self.0 == place {
            self.1.stay();
        }
    }
}

impl Worker for Stays {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        if self.0 == "waker of a stop" {
            let mut stopped = Box::pin(context.stopped());
            let waker = Waker::from(Arc::new(StaysInWake(self.1.clone())));
            assert!(stopped.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending());
            until("the engine's thread", || self.1.0.0.load(SeqCst));
        }
        Ok(Built::default())
    }

    fn check(&self, _: &Source, _: &Spec) -> Result<(), FieldError> {
        if self.0 == "thread" {
            OF_THE_THREAD.set(Some(StaysInDrop(self.1.clone())));
        }
        self.at("check");
        Ok(())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Stays {
    fn observe(&self, _: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        Ok(Observation::opaque(Version::new(b"1").unwrap()))
    }

    fn watch(&self, _: &Source, _: &Spec, _: Hint) -> Option<Box<dyn SourceWatch>> {
        (self.0 == "watch").then(|| Box::new(WatchThatStays { _drop: StaysInDrop(self.1.clone()) }) as Box<_>)
    }

    fn domain(&self, _: &Source) -> Option<String> {
        self.at("domain");
        None
    }
}

struct WatchThatStays {
    _drop: StaysInDrop,
}

impl SourceWatch for WatchThatStays {
    fn is_alive(&self) -> bool {
        true
    }
}

struct StaysInWake(Stay);

impl Wake for StaysInWake {
    fn wake(self: Arc<Self>) {
        self.0.stay();
    }
}

fn watched(of: &str) -> Declaration {
    Declaration::new(name(of)).kind(kind("puppet")).source(Source::new("there").unwrap())
}

/// Starts, and has the engine's thread stay in `place`.
fn stays(state: &Path, place: &'static str, stay: &Stay) -> Reconciler {
    let reconciler = Reconciler::open(state).kind(kind("puppet"), Stays(place, stay.clone())).start().unwrap();
    let (handle, in_waker) = (reconciler.handle(), stay.clone());
    let ask = move || -> Result<(), CommandError> {
        let declared = watched("a");
        handle.declare(if place == "waker of a stop" { declared.unversioned() } else { declared })?;
        match place {
            "check" | "domain" | "thread" => return Ok(()),
            "waker of a stop" => until("the attempt", || handle.stats().is_ok_and(|stats| stats.attempts == 1)),
            _ => until("a look", || {
                handle.status(name("a")).is_ok_and(|a| a.is_some_and(|a| a.last_observation.is_some()))
            }),
        }
        let mut never = handle.applied(name("a"), Generation(99));
        if place == "waker" {
            let waker = Waker::from(Arc::new(StaysInWake(in_waker)));
            let _ = Pin::new(&mut never).poll(&mut TaskContext::from_waker(&waker));
        }
        handle.drop_collection(name("a")).map(drop)
    };
    let asks = thread::spawn(ask);
    if place == "thread" {
        asks.join().unwrap().unwrap();
    } else {
        stay.until_reached();
    }
    reconciler
}

const PLACES: [&str; 5] = ["check", "domain", "watch", "waker", "waker of a stop"];

fn ends<T: Send + 'static>(what: &str, end: impl FnOnce() -> T + Send + 'static) -> T {
    let (told, ended) = mpsc::channel();
    thread::spawn(move || told.send(end()));
    ended.recv_timeout(LONG).unwrap_or_else(|_| panic!("{what} did not end"))
}

#[test]
fn defect_09_a_shutdown_ends_while_code_of_the_program_holds_the_engines_thread() {
    for place in PLACES {
        let (dir, stay) = (tempfile::tempdir().unwrap(), Stay::default());
        let reconciler = stays(dir.path(), place, &stay);
        let ended = ends(place, move || reconciler.shutdown(Duration::ZERO)).expect_err(place);
        assert!(ended.to_string().contains("holds the engine's thread"), "{place}: {ended}");
        assert_eq!(ended.kind(), ErrorKind::TimedOut);
        // It says that the log stays locked, and so it does until the call is let go.
        let open = || Reconciler::open(dir.path()).any_kind().start();
        assert!(matches!(open(), Err(StartError::Log(error)) if error.kind() == ErrorKind::Busy), "{place}");
        stay.let_go();
        until("the log being free", || open().is_ok());
    }
}

#[test]
fn defect_09_a_drop_ends_while_code_of_the_program_holds_the_engines_thread() {
    for place in PLACES {
        let (dir, stay) = (tempfile::tempdir().unwrap(), Stay::default());
        let reconciler = stays(dir.path(), place, &stay);
        ends(place, move || drop(reconciler));
        stay.let_go();
    }
}

/// The log is closed by then, so nothing is wrong but that the thread is still there.
#[test]
fn defect_09_a_shutdown_waits_for_no_destructor_of_a_thread_local() {
    let (dir, stay) = (tempfile::tempdir().unwrap(), Stay::default());
    let reconciler = stays(dir.path(), "thread", &stay);
    ends("the shutdown", move || reconciler.shutdown(LONG)).unwrap();
    stay.until_reached();
    Reconciler::open(dir.path()).any_kind().start().unwrap().shutdown(LONG).unwrap();
    stay.let_go();
}

/// Asks the engine on its own thread, and awaits the answer there.
struct Awaits(Handle, Arc<Mutex<Vec<Result<(), CommandError>>>>);

impl Awaits {
    fn ask(&self) {
        let answer = block_on(self.0.request().stats()).map(drop);
        self.1.lock().unwrap().push(answer);
    }
}

impl Wake for Awaits {
    fn wake(self: Arc<Self>) {
        self.ask();
    }
}

struct AwaitsInDrop(Arc<OnceLock<Awaits>>);

impl Drop for AwaitsInDrop {
    fn drop(&mut self) {
        self.0.get().unwrap().ask();
    }
}

impl SourceWatch for AwaitsInDrop {
    fn is_alive(&self) -> bool {
        true
    }
}

struct Watches(Arc<OnceLock<Awaits>>);

impl Worker for Watches {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Watches {
    fn observe(&self, _: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        Ok(Observation::opaque(Version::new(b"1").unwrap()))
    }

    fn watch(&self, _: &Source, _: &Spec, _: Hint) -> Option<Box<dyn SourceWatch>> {
        Some(Box::new(AwaitsInDrop(Arc::clone(&self.0))))
    }
}

#[test]
fn defect_09_what_a_waker_or_the_drop_of_a_watch_awaits_of_its_engine_is_refused() {
    let (dir, awaits, said) = (tempfile::tempdir().unwrap(), Arc::default(), Arc::<Mutex<Vec<_>>>::default());
    let reconciler = Reconciler::open(dir.path()).kind(kind("puppet"), Watches(Arc::clone(&awaits))).start().unwrap();
    let handle = reconciler.handle();
    awaits.set(Awaits(handle.clone(), Arc::clone(&said))).ok().unwrap();
    handle.declare(watched("a")).unwrap();
    until("a look", || handle.status(name("a")).unwrap().is_some_and(|a| a.last_observation.is_some()));
    let mut never = handle.applied(name("a"), Generation(99));
    let waker = Waker::from(Arc::new(Awaits(handle.clone(), Arc::clone(&said))));
    assert!(Pin::new(&mut never).poll(&mut TaskContext::from_waker(&waker)).is_pending());
    let mut dropping = handle.request().command(Command::Drop { name: name("a") });
    dropping.wait_timeout(LONG).expect("a drop whose waker and watch await the engine").unwrap();
    until("both being answered", || said.lock().unwrap().len() == 2);
    assert_eq!(*said.lock().unwrap(), [Err(CommandError::OwnThread), Err(CommandError::OwnThread)]);
    ends("the shutdown", move || reconciler.shutdown(LONG)).unwrap();
}

/// Shuts its engine down in its first check, when so much waits behind it.
struct ShutsDown {
    reconciler: Arc<OnceLock<Mutex<Option<Reconciler>>>>,
    waits: u64,
    checks: Arc<AtomicUsize>,
}

impl Worker for ShutsDown {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn check(&self, _: &Source, _: &Spec) -> Result<(), FieldError> {
        if self.checks.fetch_add(1, SeqCst) == 0 {
            let reconciler = self.reconciler.wait().lock().unwrap().take().unwrap();
            let handle = reconciler.handle();
            until("what waits", || format!("{handle:?}").contains(&format!("queued: {}", self.waits)));
            assert!(matches!(reconciler.shutdown(LONG), Err(EngineError::OwnThread)));
        }
        Ok(())
    }
}

#[test]
fn defect_09_a_shutdown_comes_before_what_waits_in_the_queue() {
    const WAITING: u64 = 8;
    let (dir, cell, checks) = (tempfile::tempdir().unwrap(), Arc::default(), Arc::<AtomicUsize>::default());
    let worker = ShutsDown { reconciler: Arc::clone(&cell), waits: WAITING, checks: Arc::clone(&checks) };
    // Full, so that nothing more would find room.
    let builder = Reconciler::open(dir.path()).kind(kind("puppet"), worker).queue(WAITING as usize);
    let reconciler = builder.start().unwrap();
    let handle = reconciler.handle();
    let submit = |n: u64| handle.submit(Command::Declare(Box::new(declaration(&format!("c{n}"), "{}")))).unwrap();
    let first = submit(0);
    until("the first check", || checks.load(SeqCst) == 1);
    let behind: Vec<Response<Receipt>> = (1..=WAITING).map(submit).collect();
    cell.set(Mutex::new(Some(reconciler))).ok().unwrap();
    first.wait().expect("what was taken before is acknowledged");
    for response in behind {
        let answer = response.wait();
        assert!(matches!(answer, Err(CommandError::NotAccepted(_))), "{answer:?}");
    }
    assert_eq!(checks.load(SeqCst), 1, "what was not taken is not looked at");
    until("the log being free", || Reconciler::open(dir.path()).any_kind().start().is_ok());
    let again = Reconciler::open(dir.path()).any_kind().start().unwrap();
    let names: Vec<String> = again.handle().list().unwrap().into_iter().map(|c| c.view.name.to_string()).collect();
    assert_eq!(names, ["c0"], "what was acknowledged is there, and what was refused is not");
    again.shutdown(LONG).unwrap();
}
