//! The harness that users have, with a worker that does what its spec says.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lastword::clock::ManualClock;
use lastword::core::vocabulary::*;
use lastword::engine::{Builder, CommandError, Handle, Response, WaitOutcome};
use lastword::log::{Keep, LogReader, MemoryDisk};
use lastword::objects::{MemoryObjects, tree};
use lastword::testing::{Harness, Sources};
use lastword::worker::{
    Context, Failure, Hint, Observation, ObserveError, ObserveRequest, ObserveSignals, Observer, SourceWatch, Worker,
};

pub use test_support::history::{LONG, until};

/// What a test waits for, and what comes of it. No test waits for ever: what does not come in a time in which nothing takes
/// as long fails it, and is named.
pub trait Bounded {
    type Ended;

    /// Waits for `what`.
    #[track_caller]
    fn within(self, what: &str) -> Self::Ended;
}

impl<T> Bounded for Response<T> {
    type Ended = Result<T, CommandError>;

    #[track_caller]
    fn within(mut self, what: &str) -> Result<T, CommandError> {
        self.wait_timeout(LONG).unwrap_or_else(|| panic!("{what} did not come"))
    }
}

impl<T> Bounded for JoinHandle<T> {
    type Ended = std::thread::Result<T>;

    #[track_caller]
    fn within(self, what: &str) -> std::thread::Result<T> {
        until(what, || self.is_finished());
        self.join()
    }
}

impl<T> Bounded for &Receiver<T> {
    type Ended = T;

    #[track_caller]
    fn within(self, what: &str) -> T {
        self.recv_timeout(LONG).unwrap_or_else(|error| panic!("{what} did not come: {error}"))
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

pub fn observed(version: &str) -> SourceState {
    SourceState { version: Version::new(version.as_bytes()).unwrap(), set: None }
}

/// A directory without files, as a look would see it.
pub fn empty(version: &str) -> SourceState {
    let set = PathSetRef { root: empty_set(&MemoryObjects::new()), files: 0, bytes: 0 };
    SourceState { set: Some(set), ..observed(version) }
}

/// Stores the set of a directory without files.
pub fn empty_set(objects: &MemoryObjects) -> ObjectHash {
    tree::build(objects, std::iter::empty()).unwrap().hash
}

/// A harness with the puppet at work, and what tests of the engine ask of it beside that.
pub struct Lab {
    pub harness: Harness,
    pub puppet: Puppet,
    pub handle: Handle,
    pub clock: ManualClock,
    pub disk: MemoryDisk,
    pub reader: Box<dyn LogReader>,
}

impl Lab {
    pub fn start() -> Lab {
        Lab::with(|builder| builder)
    }

    pub fn with(settings: impl Fn(Builder) -> Builder + Send + 'static) -> Lab {
        let puppet = Puppet::new();
        let (blind, seeing) = (puppet.clone(), puppet.with_eyes());
        let harness = Harness::with(move |builder| {
            let builder = builder.kind(kind("puppet"), blind.clone()).kind(kind("seen"), seeing.clone());
            // Tests declare what nobody builds, too.
            settings(builder.any_kind())
        });
        empty_set(harness.objects());
        let (handle, clock, disk) = (harness.handle().clone(), harness.clock().clone(), harness.disk().clone());
        let reader = harness.reader().another();
        Lab { harness, puppet, handle, clock, disk, reader }
    }

    /// The process ends without a word, and another one begins.
    pub fn crash(mut self) -> Lab {
        self.harness.crash_and_reopen(Keep::None);
        self.handle = self.harness.handle().clone();
        self
    }

    /// An end in order, with no time for workers, and another beginning.
    pub fn restart(mut self) -> Lab {
        self.harness.reopen();
        self.handle = self.harness.handle().clone();
        self
    }

    pub fn declare(&self, of: &str, json: &str) -> Receipt {
        self.harness.declare(declaration(of, json))
    }

    /// Waits until a collection's condition has this name.
    #[track_caller]
    pub fn until_condition(&self, of: &str, condition: &str) {
        until(&format!("{of} being {condition}"), || self.view(of).condition.name() == condition);
    }

    #[track_caller]
    pub fn applied(&self, of: &str, generation: u64) {
        let waited = self.handle.wait_applied(name(of), Generation(generation), LONG).unwrap();
        assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
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
        until(&format!("{count} asleep"), || self.stats().sleeping == count);
    }
}

impl Deref for Lab {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.harness
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Harness {
        &mut self.harness
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Whoever still waits on a stage that nobody watches any more.
        self.puppet.open("*");
    }
}

/// A worker that does what the spec says: `do` is `wait` for a gate, `deaf` (waits and does not listen), `fail`,
/// `permanent`, `panic`, `moved`; anything else builds at once.
#[derive(Clone)]
pub struct Puppet {
    stage: Arc<Stage>,
    pub sources: Sources,
    eyes: bool,
    /// Of the last look that began.
    signals: Arc<Mutex<ObserveSignals>>,
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
    checks: usize,
    refuses: bool,
}

/// An attempt that has reached its worker.
#[derive(Clone, Debug)]
pub struct Begun {
    pub name: String,
    pub attempt: AttemptRef,
}

impl Puppet {
    pub fn new() -> Puppet {
        Puppet { stage: Arc::default(), sources: Sources::new(), eyes: false, signals: Arc::default() }
    }

    /// The same puppet, which also looks at sources.
    pub fn with_eyes(&self) -> Puppet {
        Puppet { eyes: true, ..self.clone() }
    }

    /// From here on no source and no spec passes its check.
    pub fn refuse_everything(&self) {
        self.acts().refuses = true;
    }

    /// How many threads, engines and settings still hold the stage, this one included.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.stage)
    }

    pub fn begun(&self) -> Vec<Begun> {
        self.acts().begun.clone()
    }

    /// Whose attempts have begun, in the order in which they were given out: two threads that were given work at the same
    /// time begin in any order.
    pub fn given_out(&self) -> Vec<String> {
        let mut begun = self.begun();
        begun.sort_by_key(|begun| begun.attempt.token);
        begun.into_iter().map(|begun| begun.name).collect()
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

    /// Opens a gate; `*` opens all, now and later, and lets all looks come back.
    pub fn open(&self, gate: &str) {
        self.acts().open.insert(gate.to_owned());
        self.stage.moved.notify_all();
        if gate == "*" {
            self.release_looks();
        }
    }

    /// Stands before a gate until it is open, whatever happens.
    pub fn pass(&self, gate: &str) {
        let _ = self.wait(gate, || false);
    }

    /// What looks at a source see from now on.
    pub fn show(&self, source: &str, observation: Result<SourceState, &str>) {
        match observation {
            Ok(observed) => self.sources.show(source, observed),
            Err(why) => self.sources.fail(source, why),
        }
    }

    /// Looks that begin from now on do not come back before `release_looks`.
    pub fn hold_looks(&self) {
        self.sources.hold_observations();
    }

    pub fn release_looks(&self) {
        self.sources.release_observations();
    }

    /// The last look that began gives a sign of life.
    pub fn sign(&self) {
        self.signals.lock().unwrap().sign();
    }

    /// How many looks have begun.
    pub fn looks(&self) -> u64 {
        self.sources.observations()
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
            "moved" => return Err(Failure::moved("it")),
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
        if self.acts().refuses {
            return Err(FieldError::new("spec", "is refused"));
        }
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
    fn observe(&self, look: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        *self.signals.lock().unwrap() = look.signals.clone();
        let seen = self.sources.observe(look);
        assert_ne!(seen, Err(ObserveError("panic".to_owned())), "a look that panics");
        seen
    }

    fn watch(&self, source: &Source, spec: &Spec, hint: Hint) -> Option<Box<dyn SourceWatch>> {
        assert!(!source.as_str().contains("panics"), "a watch that panics");
        self.sources.watch(source, spec, hint)
    }
}
