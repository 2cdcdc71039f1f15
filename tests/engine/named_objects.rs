//! What names objects that are not there is never committed: later nobody could show or check it.

use lastword::core::vocabulary::*;
use lastword::engine::{CommandError, Handle};
use lastword::objects::{MemoryObjects, Objects, tree};
use lastword::testing::Harness;
use lastword::worker::{Context, Failure, Observation, ObserveError, ObserveRequest, Observer, Worker};

use crate::support::{Bounded, LONG, kind, name, observed};

/// Names as its manifest, or as the files of its source, what its spec says.
struct Claims;

fn root_of(spec: &Spec) -> ObjectHash {
    let value: serde_json::Value = serde_json::from_str(spec.as_str()).unwrap();
    ObjectHash::from_hex(value["root"].as_str().unwrap()).unwrap()
}

impl Worker for Claims {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        Ok(Built { manifest: Some(root_of(context.spec())), ..Built::default() })
    }
}

struct ClaimsFiles;

impl Worker for ClaimsFiles {
    fn run(&self, _context: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for ClaimsFiles {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        Ok(Observation::new(of_set(root_of(request.spec), 2), None))
    }
}

fn of_set(root: ObjectHash, files: u64) -> SourceState {
    SourceState { set: Some(PathSetRef { root, files, bytes: 0 }), ..observed("1") }
}

fn declaration(of: &str, by: &str, root: ObjectHash) -> Declaration {
    let mut declaration = Declaration::new(name(of));
    declaration.kind = Some(kind(by));
    declaration.source = Some(Source::new("s3").unwrap());
    declaration.versioned = Some(by != "claims");
    declaration.spec = Some(Spec::parse(&format!(r#"{{"root":"{root}"}}"#)).unwrap());
    declaration
}

/// Of two entries; one that was never stored; and an object that is no tree.
fn roots(objects: &MemoryObjects) -> (ObjectHash, ObjectHash, ObjectHash) {
    let entries = |objects: &MemoryObjects, value: u8| {
        tree::build(objects, [(vec![1], vec![value]), (vec![2], vec![value])]).unwrap().hash
    };
    (entries(objects, 1), entries(&MemoryObjects::new(), 2), objects.put(&[b"no tree".to_vec()]).unwrap()[0])
}

fn harness() -> Harness {
    Harness::with(|engine| engine.kind(kind("claims"), Claims).kind(kind("files"), ClaimsFiles).driven(kind("lent")))
}

#[test]
fn defect_12_a_worker_whose_manifest_was_not_stored_is_parked_with_the_name_of_the_field() {
    let harness = harness();
    let (good, absent, no_tree) = roots(harness.objects());
    harness.declare(declaration("good", "claims", good));
    harness.handle().wait_applied(name("good"), Generation(1), LONG).unwrap();
    assert!(harness.view("good").applied.is_some());
    for (of, root) in [("absent", absent), ("no-tree", no_tree)] {
        harness.declare(declaration(of, "claims", root));
        harness.handle().wait_applied(name(of), Generation(1), LONG).unwrap();
        let view = harness.view(of);
        assert_eq!((view.condition.name(), view.applied.is_some()), ("parked", false), "{of}");
        assert!(view.condition.to_string().contains("manifest"), "{of}: {}", view.condition);
    }
}

#[test]
fn defect_12_an_observer_whose_files_were_not_stored_observes_nothing() {
    let harness = harness();
    let (good, absent, no_tree) = roots(harness.objects());
    harness.declare(declaration("good", "files", good));
    harness.handle().wait_applied(name("good"), Generation(1), LONG).unwrap();
    for (of, root) in [("absent", absent), ("no-tree", no_tree)] {
        harness.declare(declaration(of, "files", root));
        crate::support::until(&format!("{of} is unobservable"), || harness.view(of).condition.name() == "unobservable");
        assert!(harness.view(of).condition.to_string().contains("set.root"), "{}", harness.view(of).condition);
    }
}

fn refused(handle: &Handle, of: &str, state: SourceState) -> String {
    match handle.observe(name(of), state) {
        Err(CommandError::Refused(Rejection::Field(error))) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defect_12_a_caller_cannot_name_what_was_not_stored() {
    let harness = harness();
    let (good, absent, no_tree) = roots(harness.objects());
    let handle = harness.handle();
    let mut lent = declaration("lent", "lent", good);
    lent.versioned = Some(true);
    harness.declare(lent);
    for root in [absent, no_tree] {
        assert!(refused(handle, "lent", of_set(root, 2)).contains("set.root"));
    }
    // Another number of files than the tree has entries.
    assert!(refused(handle, "lent", of_set(good, 3)).contains("tree of 3 files"));
    handle.observe(name("lent"), of_set(good, 2)).unwrap();

    let worker = WorkerName::new("w").unwrap();
    let job = handle.next_assignment(&[kind("lent")], &worker, LONG, LONG).unwrap().unwrap();
    for root in [absent, no_tree] {
        let built = Built { manifest: Some(root), ..Built::default() };
        let refused = handle.complete(job.attempt(), job.fingerprint(), built).within("an answer");
        assert!(
            matches!(&refused, Err(CommandError::Refused(Rejection::Field(error))) if error.field == "manifest"),
            "{refused:?}"
        );
        let moved =
            Failure::SourceMoved { what: None, observation: Some(Box::new(Observation::new(of_set(root, 2), None))) };
        assert!(handle.fail(job.attempt(), moved).within("an answer").is_err());
    }
    // It may still say what is there.
    let built = Built { manifest: Some(good), ..Built::default() };
    handle.complete(job.attempt(), job.fingerprint(), built).within("an answer").unwrap();
    assert!(harness.view("lent").applied.is_some());
}
