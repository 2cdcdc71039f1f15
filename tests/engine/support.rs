//! A reconciler on a disk in memory, under a clock that moves by hand, with a worker that does what its spec says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lastword::clock::ManualClock;
use lastword::core::vocabulary::*;
use lastword::core::{CollectionView, State};
use lastword::engine::{Builder, CollectionStatus, Handle, Reconciler, Waited};
use lastword::log::{Keep, Log, LogReader, MemoryDisk};
use lastword::objects::MemoryObjects;
use lastword::replay::{self, Until};
use lastword::worker::{Context, Failure, Look, LookError, Observer, Sight, Worker};

/// How long a test waits for what has to come. Nothing takes nearly as long.
pub const LONG: Duration = Duration::from_secs(60);

/// Waits until `holds` does.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn kind(text: &str) -> Kind {
    Kind::new(text).unwrap()
}

pub fn spec(json: &str) -> Spec {
    Spec::parse(json).unwrap()
}

/// An unversioned collection of the puppet's.
pub fn declaration(of: &str, json: &str) -> Declaration {
    let mut declaration = Declaration::new(name(of));
    declaration.kind = Some(kind("puppet"));
    declaration.source = Some(Source::new("there").unwrap());
    declaration.spec = Some(spec(json));
    declaration.versioned = Some(false);
    declaration
}

/// A versioned collection of a kind.
pub fn versioned(of: &str, by: &str, source: &str) -> Declaration {
    let mut declaration = Declaration::new(name(of));
    declaration.kind = Some(kind(by));
    declaration.source = Some(Source::new(source).unwrap());
    declaration
}

pub fn observed(version: &str) -> Observed {
    Observed { version: Version::new(version.as_bytes()).unwrap(), set: None }
}

/// A directory without files, as a look would see it.
pub fn empty(version: &str) -> Observed {
    let set = PathSet { root: ObjectHash([7; 32]), files: 0, bytes: 0 };
    Observed { set: Some(set), ..observed(version) }
}

pub struct Lab {
    pub disk: MemoryDisk,
    pub objects: Arc<MemoryObjects>,
    pub clock: ManualClock,
    pub puppet: Puppet,
    pub reader: Box<dyn LogReader>,
    pub handle: Handle,
    pub reconciler: Option<Reconciler>,
    /// Another lab goes on with the same puppet.
    left: bool,
}

impl Lab {
    pub fn start() -> Lab {
        Lab::with(|builder| builder)
    }

    pub fn with(settings: impl FnOnce(Builder) -> Builder) -> Lab {
        let clock = ManualClock::at(Timestamp(1_800_000_000_000_000));
        Lab::on(MemoryDisk::new(), Arc::default(), clock, Puppet::new(), settings)
    }

    pub fn on(
        disk: MemoryDisk,
        objects: Arc<MemoryObjects>,
        clock: ManualClock,
        puppet: Puppet,
        settings: impl FnOnce(Builder) -> Builder,
    ) -> Lab {
        let log = disk.open();
        let reader = log.reader();
        let builder = Reconciler::on(Box::new(log), Arc::<MemoryObjects>::clone(&objects) as _)
            .kind(kind("puppet"), puppet.clone())
            .kind(kind("seen"), puppet.with_eyes())
            .clock(clock.clone());
        let reconciler = settings(builder).start().unwrap();
        let handle = reconciler.handle();
        // From here on the epoch is durable.
        handle.stats().unwrap();
        Lab { disk, objects, clock, puppet, reader, handle, reconciler: Some(reconciler), left: false }
    }

    /// The process ends without a word, and another one begins.
    pub fn crash(self) -> Lab {
        self.disk.crash(Keep::None);
        self.restart()
    }

    /// An end in order, with no time for workers, and another beginning.
    pub fn restart(mut self) -> Lab {
        drop(self.reconciler.take());
        self.left = true;
        self.clock.advance(Duration::from_millis(5));
        Lab::on(self.disk.clone(), Arc::clone(&self.objects), self.clock.clone(), self.puppet.clone(), |b| b)
    }

    pub fn declare(&self, of: &str, json: &str) -> Receipt {
        self.handle.declare(declaration(of, json)).unwrap()
    }

    pub fn status(&self, of: &str) -> CollectionStatus {
        self.handle.status(name(of)).unwrap().unwrap()
    }

    pub fn view(&self, of: &str) -> CollectionView {
        self.status(of).view
    }

    /// Waits until a collection's condition has this name.
    #[track_caller]
    pub fn until_condition(&self, of: &str, condition: &str) {
        until(&format!("{of} being {condition}"), || self.view(of).condition.name() == condition);
    }

    #[track_caller]
    pub fn applied(&self, of: &str, generation: u64) {
        let waited = self.handle.wait_applied(name(of), Generation(generation), LONG).unwrap();
        assert!(matches!(waited, Waited::Applied { .. }), "{waited:?}");
    }

    pub fn events(&self) -> Vec<Recorded> {
        replay::events(&*self.reader, Seq::ZERO).collect::<Result<_, _>>().unwrap()
    }

    /// The types of all events, in order.
    pub fn types(&self) -> Vec<&'static str> {
        self.events().iter().map(|recorded| recorded.event.type_name()).collect()
    }

    pub fn count(&self, type_name: &str) -> usize {
        self.types().iter().filter(|found| **found == type_name).count()
    }

    /// Waits until there are so many events of a type.
    #[track_caller]
    pub fn until_count(&self, type_name: &str, count: usize) {
        until(&format!("{count} {type_name}"), || self.count(type_name) >= count);
    }

    /// Waits until so many attempts sleep.
    #[track_caller]
    pub fn until_asleep(&self, count: u64) {
        until(&format!("{count} asleep"), || self.handle.stats().unwrap().asleep == count);
    }

    pub fn state(&self) -> State {
        replay::state_at(&*self.reader, Until::End).unwrap()
    }

    /// Everything that is in the log keeps every invariant, and the live state is what it adds up to.
    #[track_caller]
    pub fn verify(&self) {
        replay::verify(&*self.reader, None).unwrap();
        let (seq, digest) = self.handle.digest().unwrap();
        assert_eq!(replay::state_at(&*self.reader, Until::Seq(seq)).unwrap().digest(), digest);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Whoever still waits on a stage that nobody watches any more.
        if !self.left {
            self.puppet.open("*");
        }
    }
}

/// A worker that does what the spec says: `do` is `wait` for a gate, `deaf` (waits and does not listen), `fail`,
/// `permanent`, `panic`, `moved`; anything else builds at once.
#[derive(Clone)]
pub struct Puppet {
    stage: Arc<Stage>,
    eyes: bool,
}

#[derive(Default)]
pub struct Stage {
    acts: Mutex<Acts>,
    moved: Condvar,
}

#[derive(Default)]
struct Acts {
    begun: Vec<Begun>,
    returned: usize,
    open: BTreeSet<String>,
    world: BTreeMap<String, Result<Observed, String>>,
    checks: usize,
    looks: usize,
    looks_held: bool,
}

/// An attempt that has reached its worker.
#[derive(Clone, Debug)]
pub struct Begun {
    pub name: String,
    pub attempt: AttemptRef,
}

impl Puppet {
    pub fn new() -> Puppet {
        Puppet { stage: Arc::default(), eyes: false }
    }

    /// The same puppet, which also looks at sources.
    pub fn with_eyes(&self) -> Puppet {
        Puppet { stage: Arc::clone(&self.stage), eyes: true }
    }

    /// How many threads and builders still hold the stage, this one included.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.stage)
    }

    pub fn begun(&self) -> Vec<Begun> {
        self.acts().begun.clone()
    }

    #[track_caller]
    pub fn until_begun(&self, count: usize) {
        until(&format!("{count} attempts"), || self.acts().begun.len() >= count);
    }

    #[track_caller]
    pub fn until_returned(&self, count: usize) {
        until(&format!("{count} returns"), || self.acts().returned >= count);
    }

    /// Waits until the reducer is in a check that waits for a gate: nothing else happens on its thread until then.
    #[track_caller]
    pub fn until_checks(&self, count: usize) {
        until(&format!("{count} checks"), || self.acts().checks >= count);
    }

    /// Opens a gate; `*` opens all, now and later.
    pub fn open(&self, gate: &str) {
        let mut acts = self.acts();
        acts.open.insert(gate.to_owned());
        acts.looks_held &= gate != "*";
        self.stage.moved.notify_all();
    }

    /// What looks at a source see from now on.
    pub fn show(&self, source: &str, sight: Result<Observed, &str>) {
        self.acts().world.insert(source.to_owned(), sight.map_err(str::to_owned));
    }

    /// Looks that begin from now on do not come back before `release_looks`.
    pub fn hold_looks(&self) {
        self.acts().looks_held = true;
    }

    pub fn release_looks(&self) {
        self.acts().looks_held = false;
        self.stage.moved.notify_all();
    }

    /// How many looks have begun.
    pub fn looks(&self) -> usize {
        self.acts().looks
    }

    fn acts(&self) -> MutexGuard<'_, Acts> {
        self.stage.acts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, gate: &str, stops: impl Fn() -> bool) -> Result<(), Failure> {
        let mut acts = self.acts();
        while !acts.open.contains(gate) && !acts.open.contains("*") {
            if stops() {
                return Err(Failure::Stopped);
            }
            acts = self.stage.moved.wait_timeout(acts, Duration::from_millis(2)).unwrap().0;
        }
        Ok(())
    }

    fn act(&self, context: &Context) -> Result<Built, Failure> {
        let script = context.spec().to_value();
        let text = |key: &str| script.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        match text("do").as_str() {
            "wait" => self.wait(&text("gate"), || context.is_stopping())?,
            "deaf" => self.wait(&text("gate"), || false)?,
            "fail" => return Err(Failure::Transient(text("say"))),
            "permanent" => return Err(Failure::Permanent(text("say"))),
            "moved" => return Err(Failure::SourceMoved(None)),
            "panic" => panic!("{}", text("say")),
            "progress" => {
                context.progress(3, 10);
                self.wait(&text("gate"), || context.is_stopping())?;
            }
            _ => {}
        }
        let version = context.version().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default();
        Ok(Built { output: Some(version.into()), ..Built::default() })
    }
}

impl Worker for Puppet {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        self.acts().begun.push(Begun { name: context.name().to_string(), attempt: context.attempt() });
        let result = self.act(context);
        self.acts().returned += 1;
        result
    }

    fn check(&self, _: &Source, spec: &Spec) -> Result<(), FieldError> {
        let script = spec.to_value();
        match script.get("check").and_then(|check| check.as_str()) {
            Some("refuse") => Err(FieldError::new("spec.check", "must be anything else")),
            Some("panic") => panic!("a check that panics"),
            Some(gate) => {
                self.acts().checks += 1;
                self.wait(gate, || false).map_err(|_| FieldError::new("spec.check", "stopped"))
            }
            None => Ok(()),
        }
    }

    fn observer(&self) -> Option<&dyn Observer> {
        self.eyes.then_some(self as &dyn Observer)
    }
}

impl Observer for Puppet {
    fn look(&self, look: &Look<'_>) -> Result<Sight, LookError> {
        let mut acts = self.acts();
        acts.looks += 1;
        // What is seen is seen when the look begins.
        let seen = acts.world.get(look.source.as_str()).cloned().unwrap_or(Err("nothing there".to_owned()));
        while acts.looks_held {
            acts = self.stage.moved.wait_timeout(acts, Duration::from_millis(2)).unwrap().0;
        }
        assert_ne!(seen, Err("panic".to_owned()), "a look that panics");
        seen.map(|observed| Sight { observed, delta: None }).map_err(LookError)
    }
}
