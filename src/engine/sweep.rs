//! Collecting orphans: objects that no event names, left behind by attempts that were superseded or killed.
//!
//! A sweep runs beside the work. It marks what the events of the log name, and removes the rest. An object that is
//! stored while it runs (anew, or found to be there already) is *pinned*: an event may be about to name it.
//!
//! *Architecture invariant:* it removes what no event names, and knows neither the reducer nor the loop: a store that
//! is swept is a store.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::core::vocabulary::{ObjectHash, Seq};
use crate::log::LogReader;
use crate::objects::{ObjectError, Objects, object_hash, tree};
use crate::replay::{self, ReplayError};

/// The thread that collects orphaned objects after opening. Dropped, it is stopped, and waited for: its reader keeps the
/// log open.
#[derive(Debug)]
pub(super) struct Sweep {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sweep {
    pub(super) fn start(objects: Arc<Sweepable>, reader: Box<dyn LogReader>, durable: Seq) -> io::Result<Sweep> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sweep = move || match objects.sweep(&*reader, durable, &stopped) {
            Ok(removed) => tracing::debug!(target: "lastword::sweep", removed, "orphaned objects collected"),
            Err(error) => tracing::warn!(target: "lastword::sweep", %error, "orphaned objects were not collected"),
        };
        let thread = thread::Builder::new().name("lastword-sweep".to_owned()).spawn(sweep)?;
        Ok(Sweep { stop, thread: Some(thread) })
    }

    /// Has it end early.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // It reports its own errors; a panic in it has harmed nothing.
            let _ = thread.join();
        }
    }
}

/// A store of objects that can be swept while it is used.
pub(super) struct Sweepable {
    objects: Arc<dyn Objects>,
    pinned: Mutex<BTreeSet<ObjectHash>>,
    sweeping: AtomicBool,
}

impl Sweepable {
    /// A store with a sweep about to begin: from here on everything stored is pinned until the sweep is over.
    pub(super) fn new(objects: Arc<dyn Objects>) -> Sweepable {
        Sweepable { objects, pinned: Mutex::new(BTreeSet::new()), sweeping: AtomicBool::new(true) }
    }

    /// Removes what no event up to `durable` names and that was not stored since this store was made. Says how many
    /// objects that were. Ends early, having removed less, when `stop` is set.
    ///
    /// # Errors
    /// When the log or an object cannot be read; nothing was removed then, or only true orphans.
    pub(super) fn sweep(&self, reader: &dyn LogReader, durable: Seq, stop: &AtomicBool) -> Result<u64, ReplayError> {
        let result = self.mark(reader, durable, stop).and_then(|orphans| self.remove_all(&orphans, stop));
        self.sweeping.store(false, Ordering::Release);
        self.pins().clear();
        result
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
        // What is below an object that cannot be read is unknown, so such an object ends the sweep.
        let mut mark = |seq, root| {
            let mut visit = |hash| named_or_below.insert(hash) && !stop.load(Ordering::Acquire);
            tree::reachable(&*self.objects, root, &mut visit).map_err(|error| ReplayError::Object { seq, error })
        };
        // If a prefix was deleted, what its events had led to still names what they named. Should more of it be deleted
        // now, the events behind this state are gone, which ends the sweep as well.
        let begins = replay::begin(reader)?;
        begins.objects().into_iter().try_for_each(|root| mark(begins.last(), root))?;
        for event in replay::events(reader, begins.last().next()) {
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
            let pinned = self.pins();
            if !pinned.contains(orphan) {
                self.objects
                    .remove(*orphan)
                    .map_err(|error| ReplayError::Object { seq: Seq::ZERO, error: error.into() })?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn pins(&self) -> MutexGuard<'_, BTreeSet<ObjectHash>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects for Sweepable {
    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        if self.sweeping.load(Ordering::Acquire) {
            // Pinned before it is looked for: a sweep that comes first removes it, and it is written anew.
            self.pins().extend(objects.iter().map(|object| object_hash(object)));
        }
        self.objects.put(objects)
    }

    fn state_directory(&self) -> Option<&Path> {
        self.objects.state_directory()
    }

    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        self.objects.get(hash)
    }

    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        self.objects.list()
    }

    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
        self.objects.remove(hash)
    }
}

#[cfg(test)]
mod tests {
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
        let sweepable = Sweepable::new(Arc::clone(&objects) as Arc<dyn Objects>);
        sweepable.put(&[pinned_bytes]).unwrap();
        let removed = sweepable.sweep(&*log.reader(), Seq(3), &AtomicBool::new(false)).unwrap();
        assert!(removed > 0);
        assert_eq!(before as u64 - removed, objects.len() as u64);
        // The two trees share objects; everything of the named one is there.
        assert_eq!(objects.len(), kept + 1);
        assert_eq!(tree::verify(&*objects, named).unwrap().entries, 500);
    }

    #[test]
    fn a_missing_object_stops_the_sweep_before_anything_is_removed() {
        let objects = Arc::new(MemoryObjects::new());
        let named = a_tree(&*objects, 500);
        a_tree(&*objects, 300);
        objects.remove(named).unwrap();
        let before = objects.len();
        let log = log_naming(named);
        let sweepable = Sweepable::new(Arc::clone(&objects) as Arc<dyn Objects>);
        assert!(sweepable.sweep(&*log.reader(), Seq(3), &AtomicBool::new(false)).is_err());
        assert_eq!(objects.len(), before);
    }
}
