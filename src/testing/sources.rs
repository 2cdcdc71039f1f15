//! Sources in memory, with files that tests put, remove and make unreadable.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::core::vocabulary::{Delta, PathSetRef, Source, SourceState, Spec, Version};
use crate::objects::tree::{self, Change, TreeError};
use crate::objects::{Objects, object_hash};
use crate::watch_cell::WatchCell;
use crate::worker::{Context, Failure, Hint, Observation, ObserveError, ObserveRequest, Observer, SourceWatch};

/// Sources by their names, each a set of files. Clones are the same sources: give one to the worker as its
/// [`Observer`] and keep one in the test.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    world: Arc<WatchCell<World>>,
}

#[derive(Debug, Default)]
struct World {
    sources: BTreeMap<String, Content>,
    observations: u64,
    held: bool,
    watchable: bool,
    /// Who watches which source. One that is dropped takes itself out.
    watchers: BTreeMap<u64, (String, Hint)>,
    watches: u64,
}

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
enum Content {
    Files(Files),
    Shown(SourceState),
    Failing(String),
}

impl Sources {
    /// No sources. One that was never set cannot be observed.
    #[must_use]
    pub fn new() -> Sources {
        Sources::default()
    }

    /// From now on the sources can be watched: each change is hinted at, whichever way it is made.
    pub fn announce_changes(&self) {
        self.world.notify(|world| world.watchable = true);
    }

    /// The watches that there are give no hint any more, and say that they have ended; the engine has to begin others.
    /// As when the system ends a watch.
    pub fn break_watches(&self) {
        let broken = self.world.notify(|world| std::mem::take(&mut world.watchers));
        drop(broken);
    }

    /// Hints at a change where there may be none, as after an overflow.
    pub fn hint(&self, source: &str) {
        let watchers = self.world.with(|world| world.watchers.clone());
        watchers.into_values().filter(|(of, _)| of == source).for_each(|(_, hint)| hint.give());
    }

    /// How many watch now.
    #[must_use]
    pub fn watching(&self) -> usize {
        self.world.with(|world| world.watchers.len())
    }

    /// How many have ever begun to watch.
    #[must_use]
    pub fn watches(&self) -> u64 {
        self.world.with(|world| world.watches)
    }

    /// From now on a source has exactly these files.
    pub fn set<P: Into<String>, B: Into<Vec<u8>>>(&self, source: &str, files: impl IntoIterator<Item = (P, B)>) {
        let files = files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect();
        self.place(source, Content::Files(files));
    }

    /// Adds a file to a source, or changes it. A source that had no files has this one then.
    pub fn put(&self, source: &str, path: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.change(source, |files| drop(files.insert(path.to_owned(), bytes)));
    }

    /// Removes a file from a source.
    pub fn remove(&self, source: &str, path: &str) {
        self.change(source, |files| drop(files.remove(path)));
    }

    /// From now on a source has no files.
    pub fn empty(&self, source: &str) {
        self.place(source, Content::Files(Files::new()));
    }

    /// From now on a source cannot be observed or read. Its files are gone; `set` them again.
    pub fn fail(&self, source: &str, why: &str) {
        self.place(source, Content::Failing(why.to_owned()));
    }

    /// From now on observations of a source find this and nothing else; it has no files to read.
    pub fn show(&self, source: &str, observed: SourceState) {
        self.place(source, Content::Shown(observed));
    }

    /// The files of a source, for the worker.
    ///
    /// # Errors
    /// A transient failure if it has none to be read.
    pub fn read(&self, source: &Source) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        match self.content(source).map_err(|error| Failure::Transient(error.0))? {
            Content::Files(files) => Ok(files),
            Content::Shown(_) | Content::Failing(_) => {
                Err(Failure::Transient(format!("the source {} has no files", source.as_str())))
            }
        }
    }

    /// Observes again after the work: the source still holds what the attempt was told to build.
    ///
    /// # Errors
    /// [`Failure::SourceMoved`], with what it holds now; a transient failure if it cannot be observed.
    pub fn unmoved(&self, context: &Context) -> Result<(), Failure> {
        let content = self.content(context.source()).map_err(|error| Failure::Transient(error.0))?;
        let observation = observation(&content, context.observed(), context.objects());
        let observation = observation.map_err(|error| Failure::Transient(error.0))?;
        if context.observed() == Some(&observation.state) {
            Ok(())
        } else {
            Err(Failure::SourceMoved { what: None, observation: Some(Box::new(observation)) })
        }
    }

    /// How many observations have begun.
    #[must_use]
    pub fn observations(&self) -> u64 {
        self.world.with(|world| world.observations)
    }

    /// Observations that begin from now on find what is there then, and do not return before
    /// [`release_observations`](Sources::release_observations).
    pub fn hold_observations(&self) {
        self.world.notify(|world| world.held = true);
    }

    /// Lets the observations return that were held.
    pub fn release_observations(&self) {
        self.world.notify(|world| world.held = false);
    }

    fn place(&self, source: &str, content: Content) {
        self.world.notify(|world| world.sources.insert(source.to_owned(), content));
        self.hint(source);
    }

    fn change(&self, source: &str, change: impl FnOnce(&mut Files)) {
        self.world.notify(|world| {
            let content = world.sources.entry(source.to_owned()).or_insert_with(|| Content::Files(Files::new()));
            if !matches!(content, Content::Files(_)) {
                *content = Content::Files(Files::new());
            }
            if let Content::Files(files) = content {
                change(files);
            }
        });
        self.hint(source);
    }

    fn content(&self, source: &Source) -> Result<Content, ObserveError> {
        match self.world.with(|world| world.sources.get(source.as_str()).cloned()) {
            Some(Content::Failing(why)) => Err(ObserveError(why)),
            Some(content) => Ok(content),
            None => Err(ObserveError(format!("there is no source {}", source.as_str()))),
        }
    }
}

impl Observer for Sources {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        self.world.notify(|world| world.observations += 1);
        let content = self.content(request.source);
        self.world.wait(|world| if world.held { ControlFlow::Continue(None) } else { ControlFlow::Break(()) });
        observation(&content?, request.known, request.objects)
    }

    fn watch(&self, source: &Source, _: &Spec, hint: Hint) -> Option<Box<dyn SourceWatch>> {
        let number = self.world.notify(|world| {
            if !world.watchable {
                return None;
            }
            world.watches += 1;
            world.watchers.insert(world.watches, (source.as_str().to_owned(), hint));
            Some(world.watches)
        });
        number.map(|number| Box::new(FileWatch { sources: self.clone(), number }) as Box<dyn SourceWatch>)
    }
}

struct FileWatch {
    sources: Sources,
    number: u64,
}

impl SourceWatch for FileWatch {
    fn is_alive(&self) -> bool {
        self.sources.world.with(|world| world.watchers.contains_key(&self.number))
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        let hint = self.sources.world.notify(|world| world.watchers.remove(&self.number));
        drop(hint);
    }
}

fn observation(
    content: &Content,
    known: Option<&SourceState>,
    objects: &dyn Objects,
) -> Result<Observation, ObserveError> {
    let observed = match content {
        Content::Files(files) => observe(files, objects),
        Content::Shown(observed) => Ok(observed.clone()),
        Content::Failing(why) => return Err(ObserveError(why.clone())),
    };
    let observed = observed.map_err(|error| ObserveError(error.to_string()))?;
    let delta = delta(known, &observed, objects);
    Ok(Observation::of(observed, delta))
}

/// The set of files as a tree, path -> version of the content; its name is the version.
fn observe(files: &Files, objects: &dyn Objects) -> Result<SourceState, TreeError> {
    let root = tree::build(objects, files.iter().map(|(path, bytes)| entry(path, bytes)))?;
    let bytes = files.values().map(|bytes| bytes.len() as u64).sum();
    let set = PathSetRef { root: root.hash, files: root.entries, bytes };
    let version = Version::new(&root.hash.0).unwrap_or_else(|error| panic!("a hash is a version: {error}"));
    Ok(SourceState { version, set: Some(set) })
}

/// As observers of files write it, so that `Context::changes` reads it.
#[cfg(feature = "sources")]
fn entry(path: &str, bytes: &[u8]) -> tree::Entry {
    let file = crate::external::SourceFile::new(path, bytes.len() as u64, &object_hash(bytes).0);
    file.unwrap_or_else(|error| panic!("{path:?} is no path: {error}")).into_entry()
}

#[cfg(not(feature = "sources"))]
fn entry(path: &str, bytes: &[u8]) -> tree::Entry {
    (path.as_bytes().to_vec(), object_hash(bytes).0.to_vec())
}

/// What differs from what was known. A set that was shown by hand is in no store, and cannot be compared.
fn delta(known: Option<&SourceState>, now: &SourceState, objects: &dyn Objects) -> Option<Delta> {
    let (before, after) = (known?.set?, now.set?);
    let mut delta = Delta::default();
    for change in tree::diff(objects, before.root, after.root) {
        match change.ok()? {
            Change::Added { .. } => delta.added += 1,
            Change::Removed { .. } => delta.removed += 1,
            Change::Changed { .. } => delta.changed += 1,
        }
    }
    Some(delta)
}
