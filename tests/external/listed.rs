//! Observers of one's own: whether the loss of most of a source is noticed is asked of each, and can be had by each.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{ObjectHash, SourceState, Spec, Timestamp};
use lastword::objects::{MemoryObjects, ObjectError, Objects as _};
use lastword::policy::{Coalesce, Policy};
use lastword::sources::{Change, SourceFile};
use lastword::{
    Built, Context, Declaration, Failure, FileCounts, Handle, Kind, Name, Observation, ObserveError, ObserveRequest,
    ObserveSignals, Observer, Reconciler, Source, Version, Worker,
};

const LONG: Duration = Duration::from_secs(60);

/// What a bucket holds: keys and ETags.
type Objects = Arc<Mutex<Vec<(String, String)>>>;

#[derive(Clone, Copy)]
enum Says {
    /// All objects.
    Files,
    /// How many there are and are missing.
    Counts,
    /// A version alone.
    Version,
}

/// A bucket, and a worker that notes what it is told.
struct Bucket {
    objects: Objects,
    says: Says,
    /// The objects of the last commit, for an observer that counts by itself.
    applied: Objects,
    told: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Observer for Bucket {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        let objects = self.objects.lock().unwrap().clone();
        let version = || Version::new(blake3::hash(format!("{objects:?}").as_bytes()).as_bytes());
        match self.says {
            Says::Files => {
                let files = objects.iter().map(|(key, etag)| SourceFile::new(key.as_bytes(), 7, etag.as_bytes()));
                Observation::files(request, files.collect::<Result<Vec<_>, _>>()?)
            }
            Says::Counts => {
                let applied = self.applied.lock().unwrap();
                let is_missing = |(key, _): &&(String, String)| !objects.iter().any(|(other, _)| other == key);
                let missing = applied.iter().filter(is_missing).count() as u64;
                let counts =
                    FileCounts { files: objects.len() as u64, missing: missing.into(), of: applied.len() as u64 };
                Ok(Observation::counted(version()?, counts))
            }
            Says::Version => Ok(Observation::opaque(version()?)),
        }
    }
}

impl Worker for Bucket {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        if matches!(self.says, Says::Files) {
            let line = |change| match change {
                Change::Added(file) => format!("+{}", file.path),
                Change::Changed(file) => format!("~{}", file.path),
                Change::Removed(file) => format!("-{}", file.path),
            };
            let told = context.changes()?.map(|change| change.map(line)).collect::<Result<_, _>>()?;
            self.told.lock().unwrap().push(told);
        } else {
            assert!(context.changes().is_err(), "a version says nothing of files");
        }
        *self.applied.lock().unwrap() = self.objects.lock().unwrap().clone();
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

struct World {
    reconciler: Reconciler,
    handle: Handle,
    name: Name,
    objects: Objects,
    told: Arc<Mutex<Vec<Vec<String>>>>,
    _dir: tempfile::TempDir,
}

impl World {
    /// A bucket with so many objects, and a collection that is built from it.
    fn new(says: Says, count: usize) -> World {
        let dir = tempfile::tempdir().unwrap();
        let (objects, told) = (Objects::default(), Arc::<Mutex<Vec<Vec<String>>>>::default());
        let (kind, name) = (Kind::new("bucket").unwrap(), Name::new("objects").unwrap());
        let bucket =
            Bucket { objects: Arc::clone(&objects), says, applied: Objects::default(), told: Arc::clone(&told) };
        let reconciler = Reconciler::open(dir.path().join("state"))
            .kind(kind.clone(), bucket)
            .observe_interval(Duration::from_millis(10))
            .start()
            .unwrap();
        let world = World { handle: reconciler.handle(), reconciler, name, objects, told, _dir: dir };
        world.put(count, "1");
        let policy = Policy { coalesce: Coalesce::NONE, ..Policy::default() };
        let declaration = Declaration::new(world.name.clone()).kind(kind).policy(policy);
        world.handle.declare(declaration.source(Source::new("s3://bucket").unwrap())).unwrap();
        world.wait("fresh", None);
        world
    }

    fn put(&self, count: usize, etag: &str) {
        *self.objects.lock().unwrap() = (0..count).map(|n| (format!("{n:03}"), etag.to_owned())).collect();
    }

    fn wait(&self, condition: &str, cause: Option<&str>) {
        let begun = Instant::now();
        loop {
            let view = self.handle.status(self.name.clone()).unwrap().unwrap().view;
            if view.condition.name() == condition && view.cause() == cause {
                return;
            }
            assert!(begun.elapsed() < LONG, "waited for {condition} {cause:?}: {view:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn generation(&self) -> u64 {
        self.handle.status(self.name.clone()).unwrap().unwrap().view.generation.0
    }
}

#[test]
fn defect_36_an_observer_that_lists_files_has_the_guard_against_losses() {
    let world = World::new(Says::Files, 30);
    world.put(12, "1");
    world.wait("held", Some("most_gone"));
    world.put(0, "1");
    world.wait("held", Some("empty"));
    // A few that go are how sources live. The collection is fresh by what it has when they are told.
    world.put(28, "1");
    let held = world.told.lock().unwrap().len();
    assert_eq!(held, 1);
    let begun = Instant::now();
    while world.told.lock().unwrap().len() == held {
        assert!(begun.elapsed() < LONG, "waited for the next attempt");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(world.told.lock().unwrap()[1], ["-028", "-029"]);
    world.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_36_an_observer_that_counts_has_the_guard_against_losses() {
    let world = World::new(Says::Counts, 30);
    let generation = world.generation();
    world.put(12, "1");
    world.wait("held", Some("most_gone"));
    world.put(0, "1");
    world.wait("held", Some("empty"));
    assert_eq!(world.generation(), generation);
    world.put(30, "1");
    world.wait("fresh", None);
    world.put(25, "1");
    let begun = Instant::now();
    while world.generation() == generation {
        assert!(begun.elapsed() < LONG, "waited for the loss of a few to be followed");
        std::thread::sleep(Duration::from_millis(2));
    }
    world.reconciler.shutdown(LONG).unwrap();
}

/// What the documentation of `Observation::opaque` warns of.
#[test]
fn defect_36_whoever_says_a_version_alone_is_followed_into_every_loss() {
    let world = World::new(Says::Version, 30);
    let generation = world.generation();
    world.put(0, "1");
    let begun = Instant::now();
    while world.generation() == generation {
        assert!(begun.elapsed() < LONG, "waited for the loss to be followed");
        std::thread::sleep(Duration::from_millis(2));
    }
    world.reconciler.shutdown(LONG).unwrap();
}

/// What was observed last says what differs and nothing else: without it the next observation stands all the same. What the
/// disk refuses says nothing at all.
#[test]
fn defect_36_what_was_observed_before_may_be_missing_and_may_not_be_refused() {
    struct Refusing<'a>(&'a MemoryObjects);
    impl lastword::objects::Objects for Refusing<'_> {
        fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
            self.0.put(objects)
        }
        fn get(&self, _: ObjectHash) -> Result<Vec<u8>, ObjectError> {
            Err(ObjectError::Io("read".to_owned(), std::io::Error::other("refused")))
        }
        fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
            self.0.list()
        }
        fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
            self.0.remove(hash)
        }
    }

    let (name, source, spec) =
        (Name::new("a").unwrap(), Source::new("s3://bucket").unwrap(), Spec::parse("{}").unwrap());
    let (objects, signals) = (MemoryObjects::new(), ObserveSignals::default());
    let observe = |objects: &dyn lastword::objects::Objects, known: Option<&SourceState>, etag: &str| {
        let request = ObserveRequest {
            name: &name,
            source: &source,
            spec: &spec,
            known,
            applied: None,
            objects,
            wall: Timestamp(0),
            verify: false,
            signals: &signals,
        };
        let files = ["a", "b"].map(|key| SourceFile::new(key, 7, etag.as_bytes()).unwrap());
        Observation::files(&request, files)
    };
    let first = observe(&objects, None, "1").unwrap();
    let changed = observe(&objects, Some(&first.state), "2").unwrap();
    assert_eq!(changed.delta.unwrap().changed, 2);
    let error = observe(&Refusing(&objects), Some(&first.state), "2").unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
    objects.remove(first.state.set.unwrap().root).unwrap();
    let again = observe(&objects, Some(&first.state), "2").unwrap();
    assert_eq!((again.delta, &again.state), (None, &changed.state), "there is nothing to compare with");
    // The same as before needs no comparison.
    assert_eq!(observe(&objects, Some(&first.state), "1").unwrap().state, first.state);
}
