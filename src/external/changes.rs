//! What an attempt has to bring about, file by file: the difference between what was observed and what is applied. It
//! must not know how either came about, and holds no set in memory: it walks two trees of objects.

use std::fmt;

use super::{PathSet, SourceError, SourceFile};
use crate::core::Applied;
use crate::core::vocabulary::{ObjectHash, PathSetRef};
use crate::objects::tree::{self, Diff, Entries, Entry, TreeError};
use crate::objects::{Objects, object_hash};
use crate::worker::{Context, observed_of};

/// One file in which what is to be built differs from what the result is built on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Added(SourceFile),
    /// It has another content; this is the new one.
    Changed(SourceFile),
    /// It is not there any more; this is what it was.
    Removed(SourceFile),
}

impl Change {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &SourceFile {
        match self {
            Change::Added(file) | Change::Changed(file) | Change::Removed(file) => file,
        }
    }
}

/// The changes from what is applied to what an attempt is to build, in ascending order of their paths: see
/// [`Context::changes`]. It takes the memory of a few nodes of two trees, however many files there are, and reads of them
/// only where they differ. After an error it ends.
pub struct Changes<'a> {
    base: Option<&'a Applied>,
    steps: Steps<'a>,
}

enum Steps<'a> {
    /// Everything is new.
    All(Entries<'a>),
    Since(Diff<'a>),
    Ended,
}

impl<'a> Steps<'a> {
    fn new(objects: &'a dyn Objects, before: Option<ObjectHash>, wanted: ObjectHash) -> Steps<'a> {
        match before {
            Some(before) => Steps::Since(tree::diff(objects, before, wanted)),
            None => Steps::All(tree::read(objects, wanted)),
        }
    }
}

impl Context {
    /// Which files of the source were added, changed and removed since the last commit, by what was *observed* of it: the
    /// source may have moved on since. For collections whose observer names files: [`Directory`](super::Directory),
    /// [`Observation::files`](crate::Observation::files), [`External`](super::External).
    ///
    /// What the result is to be built on says [`Changes::base`]. Without a base every file is added: at the first build,
    /// in a rebuild, and after source or spec have changed, when the same file may have to be built in another way.
    ///
    /// ```
    /// use lastword::sources::{Change, Directory};
    /// use lastword::{Built, Context, Failure};
    /// # fn load(_output: Option<&str>) -> Result<std::collections::BTreeMap<String, Vec<u8>>, Failure> { Ok(Default::default()) }
    ///
    /// fn run(directory: &Directory, context: &Context) -> Result<Built, Failure> {
    ///     let changes = context.changes()?;
    ///     let mut index = match changes.base() {
    ///         Some(applied) => load(applied.result.output.as_deref())?, // built on what is there
    ///         None => load(None)?,                                      // or anew
    ///     };
    ///     for change in changes {
    ///         context.check_stop()?;
    ///         match change? {
    ///             Change::Added(file) | Change::Changed(file) => {
    ///                 index.insert(file.path.encode(), directory.read(context, &file.path)?);
    ///             }
    ///             Change::Removed(file) => drop(index.remove(&file.path.encode())),
    ///         }
    ///     }
    ///     Ok(Built { rows: Some(index.len() as u64), ..Built::default() })
    /// }
    /// # let _ = run;
    /// ```
    ///
    /// # Errors
    /// [`SourceError::NoFiles`] when no files were observed; what cannot be read is met on the way.
    pub fn changes(&self) -> Result<Changes<'_>, SourceError> {
        let wanted = self.observed().and_then(|observed| observed.set).ok_or(SourceError::NoFiles)?.root;
        // A rebuild is told of nothing that is applied.
        let base = self.applied().and_then(|applied| Some((applied, self.base_set(applied)?)));
        let steps = Steps::new(self.objects(), base.map(|(_, before)| before.root), wanted);
        Ok(Changes { base: base.map(|(applied, _)| applied), steps })
    }

    /// The files of a commit, if the same of them would be built the same way.
    fn base_set(&self, applied: &Applied) -> Option<PathSetRef> {
        let is_alike = applied.inputs.source == *self.source() && applied.inputs.spec == *self.spec();
        observed_of(&applied.inputs).filter(|_| is_alike)?.set
    }
}

impl<'a> Changes<'a> {
    /// The commit that the changes are counted from, whose result is to be built on; `None` if everything is built anew.
    #[must_use]
    pub fn base(&self) -> Option<&'a Applied> {
        self.base
    }

    fn step(&mut self) -> Option<Result<Change, SourceError>> {
        loop {
            let change = match &mut self.steps {
                Steps::All(entries) => {
                    entries.next()?.map_err(SourceError::from).and_then(|entry| Ok(Some(Change::Added(read(entry)?))))
                }
                Steps::Since(diff) => diff.next()?.map_err(SourceError::from).and_then(of_tree),
                Steps::Ended => return None,
            };
            // Of some only what `stat` says has moved.
            if let Some(change) = change.transpose() {
                return Some(change);
            }
        }
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<Change, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step();
        if !matches!(next, Some(Ok(_))) {
            self.steps = Steps::Ended;
        }
        next
    }
}

/// What is left to be compared is left out: it may be long.
impl fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("base", &self.base.map(|base| base.seq)).finish_non_exhaustive()
    }
}

fn of_tree(change: tree::Change) -> Result<Option<Change>, SourceError> {
    Ok(match change {
        tree::Change::Added { key, value } => Some(Change::Added(read((key, value))?)),
        tree::Change::Removed { key, value } => Some(Change::Removed(read((key, value))?)),
        tree::Change::Changed { key, before, after } => {
            let (before, after) = (read((key.clone(), before))?, read((key, after))?);
            (before.version != after.version).then_some(Change::Changed(after))
        }
    })
}

/// A file from an entry of the tree of a set.
fn read(entry: Entry) -> Result<SourceFile, SourceError> {
    let hash = object_hash(&entry.1);
    let (path, file) = PathSet::from_entry(entry).map_err(|problem| TreeError::Malformed { hash, problem })?;
    Ok(SourceFile::of(path, &file))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::external::{FileVersion, Instant, ObservedFile, SourcePath, Stat, store_set};
    use crate::objects::{MemoryObjects, ObjectError};

    /// Counts what is read, and loses what it is told to.
    #[derive(Default)]
    struct Counting {
        objects: MemoryObjects,
        reads: AtomicUsize,
        most: AtomicUsize,
    }

    impl Objects for Counting {
        fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
            self.objects.put(objects)
        }
        fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
            if self.reads.fetch_add(1, Ordering::Relaxed) >= self.most.load(Ordering::Relaxed) {
                return Err(ObjectError::Missing(hash));
            }
            self.objects.get(hash)
        }
        fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
            self.objects.list()
        }
        fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
            self.objects.remove(hash)
        }
    }

    fn set(files: u32, seen: impl Fn(u32) -> Option<ObservedFile>) -> PathSet {
        let path = |n: u32| SourcePath(format!("{n:06}").into_bytes());
        PathSet::new((0..files).filter_map(|n| Some((path(n), seen(n)?))))
    }

    fn file(size: u64) -> ObservedFile {
        ObservedFile::of(FileVersion::of(Stat { size, ..Stat::default() }))
    }

    fn told(steps: Steps<'_>) -> Vec<String> {
        let changes = Changes { base: None, steps };
        let told = changes.map(|change| match change {
            Ok(Change::Added(file)) => format!("+{} {}", file.path, file.size),
            Ok(Change::Changed(file)) => format!("~{} {}", file.path, file.size),
            Ok(Change::Removed(file)) => format!("-{} {}", file.path, file.size),
            Err(error) => error.to_string(),
        });
        told.collect()
    }

    #[test]
    fn defect_34_changes_read_what_differs_and_nothing_else() {
        let objects = Counting { most: AtomicUsize::new(usize::MAX), ..Counting::default() };
        let before = store_set(&objects, &set(20_000, |n| Some(file(n.into()))), None).unwrap().root;
        // One changed, one gone, one that was only touched, and one that is new.
        let touched = Stat { size: 300, ctime: Instant { seconds: 9, nanoseconds: 0 }, ..Stat::default() };
        let after = set(20_001, |n| match n {
            7_000 => Some(file(1)),
            12_000 => None,
            300 => Some(ObservedFile { last_stat: touched, ..file(300) }),
            _ => Some(file(n.into())),
        });
        let after = store_set(&objects, &after, None).unwrap().root;
        objects.reads.store(0, Ordering::Relaxed);
        let changes = told(Steps::new(&objects, Some(before), after));
        assert_eq!(changes, ["~007000 1", "-012000 12000", "+020000 20000"]);
        let reads = objects.reads.load(Ordering::Relaxed);
        assert!(reads < 40, "{reads} objects were read of {}", objects.list().unwrap().len());
        assert_eq!(told(Steps::new(&objects, None, after)).len(), 20_000);
        assert_eq!(told(Steps::new(&objects, Some(after), after)), [""; 0]);

        // What cannot be read is an error, once, and never the end of the changes.
        objects.reads.store(0, Ordering::Relaxed);
        objects.most.store(3, Ordering::Relaxed);
        let changes = told(Steps::new(&objects, None, after));
        let last = changes.last().unwrap();
        assert!(last.starts_with("the files that were observed cannot be read back: object "), "{last}");
        assert!(changes.iter().rev().skip(1).all(|change| change.starts_with('+')));
    }
}
