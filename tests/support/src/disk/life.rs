//! What the recorded processes do: a real reconciler on a real directory, with small commits, frames of several parts,
//! path sets and manifests of hundreds of objects, snapshots, and a past that is let go.
//!
//! Everything is told on stdout, each with one write and only after the reconciler has acknowledged it:
//! `ack SEQ` (this event is in the log), `digest SEQ HEX` (this was the state after it), and at the end how it went.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lastword::clock::{Clock, ManualClock, SystemClock};
use lastword::core::vocabulary::*;
use lastword::engine::{
    CommandError, CompactError, EngineError, Handle, Reconciler, Retention, StartError, WaitOutcome,
};
use lastword::objects::{Objects, tree};
use lastword::worker::{Context, Failure, Observation, ObserveError, ObserveRequest, Observer, Worker};

/// Longer than anything takes; only a mistake takes as long.
const LONG: Duration = Duration::from_secs(30);

/// How much happens in one life.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// The number of the first declaration, so that the next life goes on where this one ended.
    pub first: u64,
    /// How many declarations of small collections.
    pub declarations: u64,
    /// How many large ones before that: 60 KB each in the log.
    pub fillers: u64,
    /// Files of the source of the large one.
    pub files: u64,
    /// Segments of its manifest.
    pub segments: u64,
    /// Every so many declarations its source changes.
    pub changes_every: u64,
    /// Every so many declarations all but the last 40 events are let go.
    pub forgets_every: u64,
    /// After so many events a snapshot is taken.
    pub snapshot_every: u64,
    pub shuts_down: bool,
}

/// Why a life ended early.
#[derive(Debug)]
pub enum Trouble {
    Start(StartError),
    Command(CommandError),
    Compact(CompactError),
    /// The large collection came to nothing, and shows why.
    Waits(String),
    Shutdown(EngineError),
}

/// Lives. After a failure it makes sure that nothing is acknowledged any more, and says `failed: ...`.
pub fn live(state: &Path, life: &Life) {
    match try_to_live(state, life) {
        Ok(()) => tell("well"),
        Err(trouble) => tell(&format!("failed: {trouble:?}")),
    }
}

fn try_to_live(state: &Path, life: &Life) -> Result<(), Trouble> {
    let clock = ManualClock::at(SystemClock::new().wall());
    let lake = Lake { content: Arc::new(AtomicU64::new(life.first)), files: life.files, segments: life.segments };
    let content = Arc::clone(&lake.content);
    let reconciler = Reconciler::open(state)
        .kind(kind("echo"), Echo)
        .kind(kind("lake"), lake)
        .clock(clock.clone())
        .snapshot_every(life.snapshot_every)
        .start()
        .map_err(Trouble::Start)?;
    let living = Living { handle: reconciler.handle(), clock, content };
    let ended = living.through(life);
    let is_dead = match &ended {
        Err(Trouble::Command(CommandError::Unknown(_) | CommandError::NotAccepted(_))) => true,
        Err(Trouble::Compact(CompactError::Closed)) => true,
        Err(Trouble::Command(error)) => panic!("{error:?}"),
        _ => false,
    };
    if is_dead {
        // Dead is dead: whatever is asked from now on is not acknowledged.
        let again = living.handle.declare(small(life.first));
        assert!(matches!(again, Err(CommandError::NotAccepted(_))), "{again:?}");
        assert!(living.handle.list().is_err() && living.handle.digest().is_err());
        assert!(living.handle.compact(Retention { events: Some(1), age: None }).is_err());
        let shutdown = reconciler.shutdown(LONG);
        assert!(shutdown.is_err(), "a reconciler that died was shut down in order");
        return ended;
    }
    if let Err(trouble) = ended {
        // It waits for something, and works: it can be shut down, or dies of the same.
        let _ = reconciler.shutdown(LONG);
        return Err(trouble);
    }
    if !life.shuts_down {
        // Gone without a word, as after SIGKILL: nothing is dropped.
        tell("gone");
        std::process::exit(0);
    }
    reconciler.shutdown(LONG).map_err(Trouble::Shutdown)
}

struct Living {
    handle: Handle,
    clock: ManualClock,
    content: Arc<AtomicU64>,
}

impl Living {
    fn through(&self, life: &Life) -> Result<(), Trouble> {
        self.declare(large(life))?;
        for n in 0..life.fillers {
            self.declare(filler(n))?;
        }
        for n in life.first..life.first + life.declarations {
            self.declare(small(n))?;
            if n % 3 == 0 {
                self.clock.advance(Duration::from_millis(700));
            }
            if n % life.changes_every == 0 {
                self.change()?;
            }
            if n % life.forgets_every == life.forgets_every - 1 {
                let keep = Retention { events: Some(40), age: None };
                match self.handle.compact(keep) {
                    Ok(first) => acknowledge(first),
                    // Nothing is lost by that, and the next one may succeed.
                    Err(CompactError::Failed(_)) => {}
                    Err(closed) => return Err(Trouble::Compact(closed)),
                }
            }
            if n % 5 == 0 {
                let (seq, digest) = self.handle.digest().map_err(Trouble::Command)?;
                tell(&format!("digest {seq} {}", Fingerprint(digest)));
            }
        }
        Ok(())
    }

    /// Declares, and every other time waits for the commit.
    fn declare(&self, declaration: Declaration) -> Result<(), Trouble> {
        let (name, versioned) = (declaration.name.clone(), declaration.versioned != Some(false));
        let receipt = self.handle.declare(declaration).map_err(Trouble::Command)?;
        acknowledge(receipt.seq.unwrap_or_default());
        if versioned || receipt.generation.0 % 2 == 0 {
            return Ok(());
        }
        match self.handle.wait_applied(name, receipt.generation, LONG).map_err(Trouble::Command)? {
            WaitOutcome::Applied { seq, .. } => acknowledge(seq),
            other => return Err(Trouble::Waits(format!("{other:?}"))),
        }
        Ok(())
    }

    /// The source of the large one changes, and is waited for.
    fn change(&self) -> Result<(), Trouble> {
        let content = self.content.fetch_add(1, Ordering::SeqCst) + 1;
        let name = Name::new("lake").unwrap();
        self.handle.refresh(name.clone()).map_err(Trouble::Command)?;
        // The clock goes ahead, so that whatever is tried again is tried.
        for _ in 0..400 {
            let status = self.handle.status(name.clone()).map_err(Trouble::Command)?.unwrap();
            let applied = status.view.applied.as_ref().and_then(|applied| applied.result.output.as_deref());
            if applied == Some(content.to_string().as_str()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
            self.clock.advance(Duration::from_millis(25));
        }
        let view = self.handle.status(name).map_err(Trouble::Command)?.unwrap().view;
        let cause = view.unobservable.map(|unobservable| format!("{unobservable:?}"));
        let cause = cause.or(view.last_failure.map(|failure| format!("{failure:?}")));
        Err(Trouble::Waits(cause.unwrap_or_else(|| panic!("waits silently: {:?}", view.condition))))
    }
}

fn acknowledge(seq: Seq) {
    tell(&format!("ack {seq}"));
}

/// One write of one line, past the test harness's capture.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

pub fn kind(name: &str) -> Kind {
    Kind::new(name).unwrap()
}

/// Every eleventh has a spec that takes several parts of a frame.
pub fn small(n: u64) -> Declaration {
    noisy(n, if n % 11 == 5 { 5_000 } else { 3 })
}

fn filler(n: u64) -> Declaration {
    noisy(n, 30_000)
}

fn noisy(n: u64, bytes: usize) -> Declaration {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut noise);
    let noise: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut declaration = Declaration::new(Name::new(&format!("c{}", n % 7)).unwrap());
    declaration.kind = Some(kind("echo"));
    declaration.source = Some(Source::new("nowhere").unwrap());
    declaration.versioned = Some(false);
    declaration.spec = Some(Spec::parse(&format!(r#"{{"n":{n},"noise":"{noise}"}}"#)).unwrap());
    declaration
}

fn large(life: &Life) -> Declaration {
    let mut declaration = Declaration::new(Name::new("lake").unwrap());
    declaration.kind = Some(kind("lake"));
    declaration.source = Some(Source::new("lake").unwrap());
    declaration.spec = Some(Spec::parse(&format!(r#"{{"segments":{}}}"#, life.segments)).unwrap());
    let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
    let retry = Retry { max_attempts: 1_000, max_lost_alone: None, ..Retry::default() };
    declaration.policy = Some(Policy { coalesce, retry, ..Policy::default() });
    declaration
}

/// Builds nothing, at once.
pub struct Echo;

impl Worker for Echo {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        Ok(Built { rows: Some(context.spec().as_str().len() as u64), ..Built::default() })
    }
}

/// A source of many files whose content is one number: some of the files and segments change with it.
struct Lake {
    content: Arc<AtomicU64>,
    files: u64,
    segments: u64,
}

impl Lake {
    fn tree(objects: &dyn Objects, entries: u64, content: u64) -> Result<tree::Root, String> {
        let value = |n: u64| if n % 101 == content % 101 { content } else { 0 };
        let entries =
            (0..entries).map(|n| (format!("part-{n:06}").into_bytes(), [value(n); 8].map(|v| v as u8).to_vec()));
        tree::build(objects, entries).map_err(|error| error.to_string())
    }
}

impl Observer for Lake {
    fn observe(&self, look: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        let content = self.content.load(Ordering::SeqCst);
        let version = Version::new(&content.to_le_bytes()).unwrap();
        if let Some(known) = look.known.filter(|known| known.version == version) {
            return Ok(Observation::new(known.clone(), None));
        }
        let root = Lake::tree(look.objects, self.files, content).map_err(ObserveError)?;
        let set = PathSetRef { root: root.hash, files: root.entries, bytes: content };
        Ok(Observation::new(SourceState { version, set: Some(set) }, Some(Delta { changed: 1, ..Delta::default() })))
    }
}

impl Worker for Lake {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let version = context.version().unwrap().as_bytes();
        let content = u64::from_le_bytes(version.try_into().unwrap());
        let root = Lake::tree(context.objects(), self.segments, content).map_err(Failure::Transient)?;
        Ok(Built { manifest: Some(root.hash), output: Some(content.to_string().into()), ..Built::default() })
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}
