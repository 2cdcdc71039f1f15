//! What an attempt has to bring about, file by file: the difference between what was observed and what is applied. It
//! must not know how either came about, and holds no set in memory: it walks two trees of objects.

use std::fmt;

use super::{PathSet, SourceError, SourceFile};
use crate::core::Applied;
use crate::core::vocabulary::PathSetRef;
use crate::objects::object_hash;
use crate::objects::tree::{self, Diff, Entries, Entry, TreeError};
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
        let steps = match base {
            Some((_, before)) => Steps::Since(tree::diff(self.objects(), before.root, wanted)),
            None => Steps::All(tree::read(self.objects(), wanted)),
        };
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
