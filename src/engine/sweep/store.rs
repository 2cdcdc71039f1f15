//! A store of objects that can be swept while it is used: what may be about to be named is *pinned*.
//!
//! Whoever stores for a job does it through [`Pinning`], which pins all that it stores until the job has ended and
//! reported, and the loop has heard of it. So a sweep may begin at any time. What is then released and was named by no
//! event meanwhile is counted: it is an orphan, however the job has ended.
//!
//! *Architecture invariant:* it removes what nothing names and nobody has pinned. When that is done it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::vocabulary::{ObjectHash, Seq};
use crate::log::LogReader;
use crate::objects::tree::{self, TreeError};
use crate::objects::{ObjectError, Objects, object_hash};
use crate::replay::{self, ReplayError};
use crate::unwind;

/// A store of objects that can be swept while it is used.
pub(in crate::engine) struct Sweepable {
    objects: Arc<dyn Objects>,
    pins: Mutex<Pins>,
}

/// What must not go, though nothing names it yet.
#[derive(Default)]
struct Pins {
    held: BTreeMap<ObjectHash, Pin>,
    /// Jobs that may still store.
    jobs: usize,
    /// Of jobs that have ended since the last batch, and since the one before. Their reports are heard in the next one, so
    /// the latter can go.
    ended: Vec<Stored>,
    ended_before: Vec<Stored>,
    /// Bytes of what was released and had not been named, since the last sweep began.
    unnamed: u64,
}

/// What holds one object.
#[derive(Default)]
struct Pin {
    /// How often it is pinned.
    count: usize,
    /// An event has named it since.
    is_named: bool,
}

/// What a job has stored.
#[derive(Default)]
struct Stored {
    pinned: BTreeSet<ObjectHash>,
    /// What these have directly below them: named with them.
    below: BTreeSet<ObjectHash>,
    bytes: u64,
}

impl Pins {
    fn release(&mut self, stored: &Stored) {
        let is_named = |hash| self.held.get(hash).is_some_and(|pin| pin.is_named);
        if !stored.pinned.difference(&stored.below).all(is_named) {
            self.unnamed = self.unnamed.saturating_add(stored.bytes.max(1));
        }
        for hash in &stored.pinned {
            if let Some(pin) = self.held.get_mut(hash) {
                pin.count -= 1;
                if pin.count == 0 {
                    self.held.remove(hash);
                }
            }
        }
    }
}

impl Sweepable {
    pub(in crate::engine) fn new(objects: Arc<dyn Objects>) -> Sweepable {
        Sweepable { objects, pins: Mutex::default() }
    }

    /// The store for one job.
    pub(in crate::engine) fn pinning(self: &Arc<Sweepable>) -> Pinning {
        self.pins().jobs += 1;
        Pinning { store: Arc::clone(self), stored: Mutex::default() }
    }

    /// Removes what no event up to `durable` names, nor what deleted events had led to, and nobody has pinned. Says how
    /// many objects that were. Ends early, having removed less, when `stop` is set.
    ///
    /// # Errors
    /// When the log or an object cannot be read; nothing was removed then, or only true orphans.
    pub(super) fn sweep(&self, reader: &dyn LogReader, durable: Seq, stop: &AtomicBool) -> Result<u64, ReplayError> {
        self.mark(reader, durable, stop).and_then(|orphans| self.remove_all(&orphans, stop))
    }

    /// Behind the commit of a batch, and while no sweep runs: everything that had ended when this was called last is in the
    /// log, or named by nothing, and is not pinned any more.
    pub(super) fn release_ended(&self) {
        let mut pins = self.pins();
        let ended = std::mem::take(&mut pins.ended);
        let before = std::mem::replace(&mut pins.ended_before, ended);
        before.iter().for_each(|pinned| pins.release(pinned));
    }

    /// An event names this object, and so what is below it.
    pub(super) fn name(&self, root: ObjectHash) {
        if let Some(pin) = self.pins().held.get_mut(&root) {
            pin.is_named = true;
        }
    }

    /// Bytes of what jobs had stored that has been released without being named since this was last
    /// [forgotten](Self::forget_unnamed). At least one if there is anything.
    pub(super) fn unnamed(&self) -> u64 {
        self.pins().unnamed
    }

    /// Whether jobs have ended of which it is not known yet whether what they had stored is named.
    pub(super) fn has_ended(&self) -> bool {
        let pins = self.pins();
        !pins.ended.is_empty() || !pins.ended_before.is_empty()
    }

    /// A sweep begins, which finds all that is unnamed so far.
    pub(super) fn forget_unnamed(&self) {
        self.pins().unnamed = 0;
    }

    /// When nothing more is heard of any job: whether some have stored, or may still store, what nothing names.
    pub(super) fn leaves_unnamed(&self) -> bool {
        (0..2).for_each(|_| self.release_ended());
        let pins = self.pins();
        pins.unnamed > 0 || pins.jobs > 0
    }

    /// What no event names.
    fn mark(
        &self,
        reader: &dyn LogReader,
        durable: Seq,
        stop: &AtomicBool,
    ) -> Result<BTreeSet<ObjectHash>, ReplayError> {
        let unread = |error: ObjectError| ReplayError::Object { seq: durable, error: error.into() };
        let listed = self.objects.list().map_err(unread)?;
        let mut named_or_below = BTreeSet::new();
        if listed.is_empty() {
            return Ok(named_or_below);
        }
        let mut mark = |seq, root| {
            let mut visit = |hash| named_or_below.insert(hash) && !stop.load(Ordering::Acquire);
            let reached = tree::reachable(&*self.objects, root, &mut visit);
            reached.or_else(|error| pass_over(seq, root, error))
        };
        // If a prefix was deleted, what its events had led to still names what they named. Should more of it be deleted
        // now, the events behind this state are gone, which ends the sweep; another one follows.
        let begins = replay::begin(reader)?;
        begins.objects().into_iter().try_for_each(|root| mark(begins.last(), root))?;
        let first = begins.last().next();
        drop(begins);
        for event in replay::events(reader, first) {
            let event = event?;
            if event.seq > durable {
                break;
            }
            if stop.load(Ordering::Acquire) {
                return Ok(BTreeSet::new());
            }
            event.event.object().map_or(Ok(()), |root| mark(event.seq, root))?;
        }
        if stop.load(Ordering::Acquire) {
            return Ok(BTreeSet::new());
        }
        Ok(listed.into_iter().filter(|hash| !named_or_below.contains(hash)).collect())
    }

    fn remove_all(&self, orphans: &BTreeSet<ObjectHash>, stop: &AtomicBool) -> Result<u64, ReplayError> {
        let mut removed = 0;
        for orphan in orphans {
            if stop.load(Ordering::Acquire) {
                break;
            }
            // Held until it is gone: who stores it after this finds it missing, and writes it.
            let pins = self.pins();
            if !pins.held.contains_key(orphan) {
                self.objects
                    .remove(*orphan)
                    .map_err(|error| ReplayError::Object { seq: Seq::ZERO, error: error.into() })?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn pins(&self) -> MutexGuard<'_, Pins> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A root that was never stored, or is no tree, leads to nothing, and one of them does not keep the store from being swept.
/// What is below an object that cannot be read for another reason is unknown, so such an object ends the sweep.
fn pass_over(seq: Seq, root: ObjectHash, error: TreeError) -> Result<(), ReplayError> {
    let names_nothing = match &error {
        TreeError::Object(ObjectError::Missing(hash)) | TreeError::Malformed { hash, .. } => *hash == root,
        _ => false,
    };
    if !names_nothing {
        return Err(ReplayError::Object { seq, error });
    }
    unwind::tell(|| {
        tracing::warn!(target: "lastword::sweep", %seq, %error, "what an event names is not there");
    });
    Ok(())
}

/// A store for one job: what is stored through it is pinned until it is dropped, and a little longer.
pub(in crate::engine) struct Pinning {
    store: Arc<Sweepable>,
    stored: Mutex<Stored>,
}

impl Objects for Pinning {
    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        let hashed: Vec<_> = objects.iter().map(|object| (object_hash(object), object)).collect();
        let mut mine = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        // Pinned before it is looked for: a sweep that comes first removes it, and it is written anew.
        let mut pins = self.store.pins();
        let mut new = Vec::new();
        for (hash, object) in hashed {
            if mine.pinned.insert(hash) {
                pins.held.entry(hash).or_default().count += 1;
                new.push((hash, object));
            }
        }
        drop(pins);
        for (hash, object) in new {
            mine.below.extend(tree::children(hash, object));
            mine.bytes = mine.bytes.saturating_add(object.len() as u64);
        }
        drop(mine);
        self.store.objects.put(objects)
    }

    fn state_directory(&self) -> Option<&Path> {
        self.store.objects.state_directory()
    }

    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        self.store.objects.get(hash)
    }

    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        self.store.objects.list()
    }

    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
        Err(ObjectError::NotRemoved(hash))
    }
}

impl Drop for Pinning {
    fn drop(&mut self) {
        let mine = std::mem::take(self.stored.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut pins = self.store.pins();
        pins.jobs -= 1;
        if !mine.pinned.is_empty() {
            pins.ended.push(mine);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Sweeps;
    use super::*;
    use crate::core::vocabulary::{
        Admission, CollectionId, Content, Epoch, Event, Generation, Inputs, Kind, Name, PathSetRef, Policy, Source,
        SourceState, Spec, Timestamp, Version,
    };
    use crate::log::{FrameBuilder, Log, MemoryLog};
    use crate::objects::MemoryObjects;

    /// A log of one collection whose source was observed to hold `set`.
    fn log_naming(set: ObjectHash) -> MemoryLog {
        let (source, spec) = (Source::new("s").unwrap(), Spec::default());
        let set = PathSetRef { root: set, files: 1, bytes: 1 };
        let observed = SourceState { version: Version::new(b"v").unwrap(), set: Some(set) };
        let content = Content::Observed(observed.clone().into());
        let fingerprint = Inputs { source: source.clone(), spec: spec.clone(), content }.fingerprint().unwrap();
        let declared = Event::CollectionDeclared {
            name: Name::new("n").unwrap(),
            kind: Kind::new("k").unwrap(),
            source,
            spec,
            versioned: true,
            policy: Policy::default().into(),
            revision: None,
            wanted: None,
        };
        let admission = Admission::Admitted { wanted: Some(fingerprint), generation: Generation(1) };
        let collection = CollectionId(Seq(2));
        let seen = Event::SourceObserved { collection, observed: observed.into(), delta: None, admission };
        let mut log = MemoryLog::new();
        let mut frame = FrameBuilder::new();
        for event in [Event::WriterOpened { software: "t".into() }, declared, seen] {
            let mut payload = Vec::new();
            let tag = crate::codec::encode(&event, None, &mut payload).unwrap();
            frame.push(tag.event_type, tag.version, &payload).unwrap();
        }
        let previous = log.appended().hash;
        log.append(&frame.seal(Seq(1), Epoch(1), Timestamp(1), Timestamp(1), previous).unwrap()).unwrap();
        log.barrier().unwrap();
        log
    }

    fn a_tree(objects: &dyn Objects, files: u32) -> ObjectHash {
        let entries = (0..files).map(|n| (format!("{n:08}").into_bytes(), vec![7; 40]));
        tree::build(objects, entries).unwrap().hash
    }

    #[test]
    fn orphans_go_and_what_is_named_or_pinned_stays() {
        let objects = Arc::new(MemoryObjects::new());
        let named = a_tree(&*objects, 500);
        let kept = objects.len();
        let _orphan = a_tree(&*objects, 300);
        let pinned_bytes = b"stored before the sweep and stored again while it runs".to_vec();
        objects.put(std::slice::from_ref(&pinned_bytes)).unwrap();
        let before = objects.len();

        let log = log_naming(named);
        let sweepable = Arc::new(Sweepable::new(Arc::clone(&objects) as Arc<dyn Objects>));
        let job = sweepable.pinning();
        job.put(&[pinned_bytes]).unwrap();
        sweepable.release_ended();
        let removed = sweepable.sweep(&*log.reader(), Seq(3), &AtomicBool::new(false)).unwrap();
        assert!(removed > 0);
        assert_eq!(before as u64 - removed, objects.len() as u64);
        // The two trees share objects; everything of the named one is there.
        assert_eq!(objects.len(), kept + 1);
        assert_eq!(tree::verify(&*objects, named).unwrap().entries, 500);
        // The job has ended: what it says of it may not have been heard before the next sweep begins, and is before the
        // one after that.
        drop(job);
        for left in [1, 0] {
            sweepable.release_ended();
            sweepable.sweep(&*log.reader(), Seq(3), &AtomicBool::new(false)).unwrap();
            assert_eq!(objects.len(), kept + left);
        }
    }

    /// The sweep of the start has ended.
    fn swept(sweepable: &Arc<Sweepable>, log: &MemoryLog, is_bounded: bool) -> Sweeps {
        let begin = (false, log.durable());
        let mut sweeps = Sweeps::new(Arc::clone(sweepable), log.reader(), None, begin, is_bounded);
        for _ in 0..60_000 {
            sweeps.begin_due(Seq(3), Duration::ZERO);
            if sweeps.running.is_none() {
                return sweeps;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("a sweep of a few objects takes longer than a minute");
    }

    #[test]
    fn under_a_retention_much_that_nothing_names_is_swept_at_once_and_little_of_it_later() {
        const LATER: Duration = Duration::from_secs(600);
        let begins = |is_bounded: bool, bytes: usize, now: Duration| {
            let objects = Arc::new(MemoryObjects::new());
            let log = log_naming(a_tree(&*objects, 5));
            let sweepable = Arc::new(Sweepable::new(objects as Arc<dyn Objects>));
            let mut sweeps = swept(&sweepable, &log, is_bounded);
            let job = sweepable.pinning();
            (0..bytes.div_ceil(32 << 20)).for_each(|n| drop(job.put(&[vec![n as u8; bytes.min(32 << 20)]]).unwrap()));
            drop(job);
            (0..4).any(|_| {
                sweeps.begin_due(Seq(3), now);
                sweeps.running.is_some()
            })
        };
        let little = Duration::from_secs(599);
        assert!(!begins(true, 0, LATER), "nothing was stored");
        assert!(!begins(true, 1, little) && begins(true, 1, LATER));
        assert!(!begins(true, 32 << 20, little) && begins(true, 64 << 20, little));
        assert!(!begins(false, 64 << 20, LATER), "everything is kept");
    }

    #[test]
    fn what_was_named_before_its_job_is_forgotten_is_no_orphan_with_all_that_is_below() {
        let is_unnamed = |named: &dyn Fn(ObjectHash) -> Option<ObjectHash>, beside: Option<Vec<u8>>| {
            let sweepable = Arc::new(Sweepable::new(Arc::new(MemoryObjects::new()) as Arc<dyn Objects>));
            let job = sweepable.pinning();
            let root = a_tree(&job, 5_000);
            beside.into_iter().for_each(|object| drop(job.put(&[object]).unwrap()));
            named(root).into_iter().for_each(|root| sweepable.name(root));
            drop(job);
            sweepable.leaves_unnamed()
        };
        assert!(!is_unnamed(&Some, None));
        assert!(is_unnamed(&|_| None, None));
        assert!(is_unnamed(&Some, Some(b"beside it".to_vec())));
        assert!(is_unnamed(&|_| Some(object_hash(b"another")), None));
        let sweepable = Arc::new(Sweepable::new(Arc::new(MemoryObjects::new()) as Arc<dyn Objects>));
        let job = sweepable.pinning();
        assert!(sweepable.leaves_unnamed(), "it may still store");
        drop(job);
        assert!(!sweepable.leaves_unnamed());
    }

    #[test]
    fn defect_28_what_jobs_had_pinned_is_released_though_nothing_is_swept() {
        let objects = Arc::new(MemoryObjects::new());
        let log = log_naming(a_tree(&*objects, 5));
        let sweepable = Arc::new(Sweepable::new(objects as Arc<dyn Objects>));
        let mut sweeps = swept(&sweepable, &log, false);
        for job in 0..10_u8 {
            sweepable.pinning().put(&[vec![job; 100]]).unwrap();
            sweeps.begin_due(Seq(3), Duration::ZERO);
        }
        assert!(sweepable.pins().held.len() <= 2, "of each batch until the one after the next");
    }

    #[test]
    fn defect_28_what_two_jobs_have_stored_stays_until_both_have_ended() {
        let objects = Arc::new(MemoryObjects::new());
        let log = log_naming(a_tree(&*objects, 5));
        let kept = objects.len();
        let sweepable = Arc::new(Sweepable::new(Arc::clone(&objects) as Arc<dyn Objects>));
        let sweep = || {
            sweepable.release_ended();
            sweepable.sweep(&*log.reader(), Seq(3), &AtomicBool::new(false)).unwrap();
        };
        let (one, other) = (sweepable.pinning(), sweepable.pinning());
        for job in [&one, &other, &other] {
            job.put(&[b"of both".to_vec()]).unwrap();
        }
        drop(one);
        (0..3).for_each(|_| sweep());
        assert_eq!(objects.len(), kept + 1);
        drop(other);
        (0..2).for_each(|_| sweep());
        assert_eq!(objects.len(), kept);
    }

    #[test]
    fn defect_12_a_root_that_was_never_stored_or_is_no_tree_does_not_end_the_sweep() {
        for is_there in [false, true] {
            let objects = Arc::new(MemoryObjects::new());
            let named = crate::objects::object_hash(b"no tree");
            if is_there {
                objects.put(&[b"no tree".to_vec()]).unwrap();
            }
            a_tree(&*objects, 300);
            let sweepable = Sweepable::new(Arc::clone(&objects) as Arc<dyn Objects>);
            sweepable.sweep(&*log_naming(named).reader(), Seq(3), &AtomicBool::new(false)).unwrap();
            assert_eq!(objects.len(), usize::from(is_there));
        }
    }

    #[test]
    fn a_part_that_is_missing_stops_the_sweep_before_anything_is_removed() {
        let objects = Arc::new(MemoryObjects::new());
        let named = a_tree(&*objects, 50_000);
        a_tree(&*objects, 300);
        let mut nodes = Vec::new();
        tree::walk(&*objects, named, &mut |_| true, &mut |hash, bytes| {
            // A node, and not the root.
            nodes.extend((bytes[6] == 2 && hash != named).then_some(hash));
            Ok::<(), TreeError>(())
        })
        .unwrap();
        objects.remove(nodes[0]).unwrap();
        let before = objects.len();
        let log = log_naming(named);
        let sweepable = Sweepable::new(Arc::clone(&objects) as Arc<dyn Objects>);
        assert!(sweepable.sweep(&*log.reader(), Seq(3), &AtomicBool::new(false)).is_err());
        assert_eq!(objects.len(), before);
    }
}
