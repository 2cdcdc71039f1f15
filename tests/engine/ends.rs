//! Code of users that waits for what has ended: an attempt that has returned, an engine that shuts down below it, an engine
//! that has died of a panic.

use std::process::Command as Process;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{CommandError, Handle, Reconciler};
use lastword::log::{CheckpointCheck, Frame, Log, LogError, LogReader, MemoryLog, Position, Start};
use lastword::objects::MemoryObjects;
use lastword::worker::{Context, Failure, Stopped, Worker};
use tracing::span::{Attributes, Id, Record};

use crate::executor::block_on;
use crate::support::*;

fn in_memory() -> lastword::engine::Builder {
    Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()))
}

/// Hands out the future of its stop, and returns.
#[derive(Clone, Default)]
struct Keeps(Arc<Mutex<Option<Stopped>>>);

impl Worker for Keeps {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        *self.0.lock().unwrap() = Some(context.stopped());
        Ok(Built::default())
    }
}

#[test]
fn defect_05_whoever_waits_for_the_stop_of_an_attempt_that_has_returned_waits_no_longer() {
    let keeps = Keeps::default();
    let reconciler = in_memory().kind(kind("puppet"), keeps.clone()).start().unwrap();
    let handle = reconciler.handle();
    handle.declare(declaration("a", "{}")).unwrap();
    handle.wait_applied(name("a"), Generation(1), LONG).unwrap();
    let stopped = keeps.0.lock().unwrap().take().unwrap();
    thread::spawn(move || block_on(stopped)).within("the stop of an attempt that has returned").unwrap();
    reconciler.shutdown(LONG).unwrap();
}

/// Shuts down the engine that it works for, and waits for that.
struct ShutsDown {
    held: Arc<Mutex<Option<Reconciler>>>,
    told: Mutex<Sender<String>>,
}

impl Worker for ShutsDown {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        let reconciler = self.held.lock().unwrap().take();
        let ended = reconciler.map(|reconciler| reconciler.shutdown(Duration::from_secs(20)));
        let _ = self.told.lock().unwrap().send(format!("{ended:?}"));
        Ok(Built::default())
    }
}

#[test]
fn defect_09_a_shutdown_by_a_worker_of_the_engine_is_refused_and_the_engine_ends() {
    let (held, (told, ended)) = (Arc::default(), channel());
    let worker = ShutsDown { held: Arc::clone(&held), told: Mutex::new(told) };
    let reconciler = in_memory().kind(kind("puppet"), worker).start().unwrap();
    let handle = reconciler.handle();
    let mut lock = held.lock().unwrap();
    handle.declare(declaration("a", "{}")).unwrap();
    *lock = Some(reconciler);
    drop(lock);
    let ended = (&ended).within("the answer to the shutdown");
    assert!(ended.contains("OwnCrew"), "{ended}");
    until("the engine having ended", || matches!(handle.stats(), Err(CommandError::NotAccepted(_))));
}

/// Waits for what does not come, in the way that its spec names.
#[derive(Clone)]
struct Waits(Arc<OnceLock<Handle>>, Arc<Mutex<Sender<()>>>);

impl Worker for Waits {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let handle = self.0.wait();
        let (never, hour) = (name("never"), Duration::from_secs(3600));
        let _ = self.1.lock().unwrap().send(());
        match context.spec().as_str() {
            r#"{"how":"applied"}"# => drop(handle.wait_applied(never, Generation(1), hour)),
            r#"{"how":"published"}"# => drop(handle.published(never, Generation(1)).wait()),
            r#"{"how":"settled"}"# => drop(handle.wait_settled(never, hour)),
            r#"{"how":"future"}"# => drop(block_on(handle.applied(never, Generation(1)))),
            r#"{"how":"watched"}"# => drop(handle.watch(Seq(1 << 40)).next_within(hour)),
            _ => drop(block_on(handle.watch(Seq(1 << 40)).next_event())),
        }
        Ok(Built::default())
    }
}

#[test]
fn defect_09_a_worker_that_waits_for_its_engine_holds_up_no_shutdown() {
    for how in ["applied", "published", "settled", "future", "watched", "event"] {
        let (cell, (told, begun)) = (Arc::default(), channel());
        let waits = Waits(Arc::clone(&cell), Arc::new(Mutex::new(told)));
        let reconciler = in_memory().kind(kind("puppet"), waits).driven(kind("far")).start().unwrap();
        let handle = reconciler.handle();
        cell.set(handle.clone()).ok().unwrap();
        let mut never = declaration("never", "{}");
        never.kind = Some(kind("far"));
        handle.declare(never).unwrap();
        handle.declare(declaration("a", &format!(r#"{{"how":"{how}"}}"#))).unwrap();
        (&begun).within("the attempt");
        // A watch is no request: it waits by itself.
        let is_known = || handle.stats().unwrap().waiters > 0 || matches!(how, "watched" | "event");
        until("the engine knows who waits", is_known);
        let ending = thread::spawn(move || reconciler.shutdown(Duration::from_secs(3600)).map_err(|e| e.to_string()));
        ending.within(&format!("a shutdown while a worker waits ({how})")).unwrap().unwrap();
    }
}

/// A log that panics when it is told to.
struct Panicking(MemoryLog, Arc<AtomicBool>);

impl Log for Panicking {
    fn append(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        assert!(!self.1.load(SeqCst), "a log that panics");
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
        self.0.reader()
    }

    fn truncate_prefix(&mut self, start: Start, check: CheckpointCheck) -> Result<(), LogError> {
        self.0.truncate_prefix(start, check)
    }

    fn close(self: Box<Self>) -> Result<(), LogError> {
        Box::new(self.0).close()
    }
}

#[test]
fn defect_05_callers_hear_that_the_engine_has_panicked() {
    let panics = Arc::<AtomicBool>::default();
    let log = Box::new(Panicking(MemoryLog::new(), Arc::clone(&panics)));
    let reconciler = Reconciler::on(log, Arc::new(MemoryObjects::new())).kind(kind("puppet"), Keeps::default());
    let reconciler = reconciler.start().unwrap();
    let handle = reconciler.handle();
    // What it writes at its start is written.
    handle.stats().unwrap();
    let mut waiting = handle.settled(name("a"));
    panics.store(true, SeqCst);
    let asked = handle.request().declare(declaration("a", "{}")).within("the answer").unwrap_err();
    assert!(matches!(&asked, CommandError::Unknown(why) if why.contains("panicked: a log that panics")), "{asked:?}");
    let later = handle.stats().unwrap_err();
    assert!(matches!(&later, CommandError::NotAccepted(why) if why.contains("a log that panics")), "{later:?}");
    assert!(waiting.wait_timeout(LONG).is_some());
    let ended = reconciler.shutdown(LONG).unwrap_err().to_string();
    assert!(ended.contains("the engine panicked: a log that panics"), "{ended}");
}

/// A subscriber that panics over everything that the library says, once it is told to.
struct Panics;

static PANICS: AtomicBool = AtomicBool::new(false);

impl tracing::Subscriber for Panics {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        assert!(!PANICS.load(SeqCst), "a subscriber that panics over {}", event.metadata().target());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

const IN_CHILD: &str = "LASTWORD_TEST_SUBSCRIBER_PANICS";

/// What is said of: an attempt that is abandoned, a verification that fails, the end.
#[test]
fn child_whose_subscriber_panics() {
    if std::env::var_os(IN_CHILD).is_none() {
        return;
    }
    tracing::subscriber::set_global_default(Panics).unwrap();
    let lab = Lab::start();
    let mut deaf = declaration("deaf", r#"{"do":"deaf","gate":"g"}"#);
    deaf.policy = Some(Policy { grace: Grace(Duration::ZERO), ..Policy::default() });
    lab.handle.declare(deaf).unwrap();
    until("the attempt", || lab.stats().attempts == 1);
    PANICS.store(true, SeqCst);
    lab.handle.cancel(name("deaf"), None).unwrap();
    until("the attempt being abandoned", || {
        lab.clock.advance(Duration::from_millis(1));
        lab.handle.stats().unwrap().abandoned_workers == 1
    });
    lab.puppet.open("g");
    until("its return", || lab.handle.stats().unwrap().abandoned_workers == 0);
    println!("it lives");
    // The harness reads the log at its end, which is not in question.
    std::process::exit(0);
}

#[test]
fn defect_06_a_subscriber_that_panics_ends_no_engine() {
    let arguments = ["--exact", "ends::child_whose_subscriber_panics", "--nocapture"];
    let ended = Process::new(std::env::current_exe().unwrap()).args(arguments).env(IN_CHILD, "1").output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ended.status.success() && said.contains("it lives"), "{:?}: {said}", ended.status);
}
