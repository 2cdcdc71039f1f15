//! Which files lie between two sets, and how one is told. It must not know whose sets they are.

use lastword::core::vocabulary::{Content, ObjectHash, SourceState};
use lastword::describe::counted;
use lastword::external::{ObservedFile, PathSet, SourcePath};
use lastword::objects::{Objects, tree};
use serde::Serialize;

use crate::fail::Failure;
use crate::input::Input;
use crate::output::{Output, printable};

/// As many as a person reads of one observation; the rest is counted.
pub const MOST_SHOWN: usize = 20;

/// What one file became.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// Below its source.
    pub path: String,
    /// `added`, `changed` or `removed`.
    pub change: &'static str,
    /// What it was, unless it was added.
    pub before: Option<FileLine>,
    /// What it is, unless it was removed.
    pub after: Option<FileLine>,
}

/// A content of a file. `version` is what `manifest` names it by.
#[derive(Debug, Serialize)]
pub struct FileLine {
    /// Another for each content.
    pub version: String,
    /// Its size.
    pub bytes: u64,
}

/// How two sets differ.
#[derive(Debug, Serialize)]
pub struct FilesLine {
    /// So many were added.
    pub added: u64,
    /// So many have another content.
    pub changed: u64,
    /// So many are gone.
    pub removed: u64,
    /// The first of them.
    pub files: Vec<Changed>,
    /// Why they cannot be named.
    pub problem: Option<String>,
}

/// What names the files of a set: the objects of the log, or why they cannot be named.
#[allow(missing_debug_implementations, reason = "objects have none")]
pub struct Named(Result<Box<dyn Objects>, String>);

impl Named {
    /// By these objects, or not at all because of this.
    pub fn by(objects: Result<Box<dyn Objects>, String>) -> Named {
        Named(objects)
    }

    /// By the objects of this log. An answer does not depend on them; they may be gone.
    pub(crate) fn of(input: &Input) -> Named {
        Named(match input.objects() {
            Ok(Some(objects)) => Ok(objects),
            Ok(None) => Err("an exported stream does not name its files: import it".to_owned()),
            Err(Failure::Error(_, problem)) => Err(format!("its files cannot be named: {problem}")),
            Err(Failure::OutputClosed) => Err("its files cannot be named".to_owned()),
        })
    }

    pub(crate) fn objects(&self) -> Result<&dyn Objects, &str> {
        self.0.as_deref().map_err(String::as_str)
    }

    /// What lies between two sets; the first `most` of it are named.
    pub fn between(&self, (before, after): (Option<ObjectHash>, Option<ObjectHash>), most: usize) -> FilesLine {
        let mut line = FilesLine { added: 0, changed: 0, removed: 0, files: Vec::new(), problem: None };
        let objects = match self.objects() {
            Ok(objects) => objects,
            Err(problem) => {
                line.problem = Some(problem.to_owned());
                return line;
            }
        };
        let all = |set: ObjectHash, of: fn(tree::Entry) -> tree::Change| {
            tree::read(objects, set).map(move |entry| entry.map(of))
        };
        // The first set has nothing before it: all that it has was added.
        let changes: Box<dyn Iterator<Item = Result<tree::Change, tree::TreeError>>> = match (before, after) {
            (Some(before), Some(after)) => Box::new(tree::diff(objects, before, after)),
            (None, Some(after)) => Box::new(all(after, |(key, value)| tree::Change::Added { key, value })),
            (Some(before), None) => Box::new(all(before, |(key, value)| tree::Change::Removed { key, value })),
            (None, None) => Box::new(std::iter::empty()),
        };
        for change in changes {
            let changed = match change.map_err(|error| error.to_string()).and_then(of) {
                Ok(Some(changed)) => changed,
                // What is known of it beside its content.
                Ok(None) => continue,
                Err(problem) => {
                    line.problem = Some(format!("its files cannot be named: {problem}"));
                    break;
                }
            };
            match changed.change {
                "added" => line.added += 1,
                "removed" => line.removed += 1,
                _ => line.changed += 1,
            }
            if line.files.len() < most {
                line.files.push(changed);
            }
        }
        line
    }
}

/// The set of files of a content, if it has one.
pub fn set_of(content: &Content) -> Option<ObjectHash> {
    match content {
        Content::Observed(observed) => root(observed),
        Content::Unversioned | Content::Unknown => None,
    }
}

/// The set of files of an observation, if it names files.
pub fn root(observed: &SourceState) -> Option<ObjectHash> {
    observed.set.as_ref().map(|set| set.root)
}

/// A difference between two trees as one between files.
fn of(change: tree::Change) -> Result<Option<Changed>, String> {
    let file = |key: &[u8], value: Vec<u8>| PathSet::from_entry((key.to_vec(), value)).map_err(str::to_owned);
    let line = |(_, file): &(SourcePath, ObservedFile)| FileLine {
        version: file.version.name(),
        bytes: file.version.stat.size,
    };
    let (key, change, before, after) = match change {
        tree::Change::Added { key, value } => {
            let after = file(&key, value)?;
            (key, "added", None, Some(after))
        }
        tree::Change::Removed { key, value } => {
            let before = file(&key, value)?;
            (key, "removed", Some(before), None)
        }
        tree::Change::Changed { key, before, after } => {
            let (before, after) = (file(&key, before)?, file(&key, after)?);
            if before.1.version == after.1.version {
                return Ok(None);
            }
            (key, "changed", Some(before), Some(after))
        }
    };
    let (before, after) = (before.as_ref().map(line), after.as_ref().map(line));
    Ok(Some(Changed { path: SourcePath(key).to_string(), change, before, after }))
}

impl FilesLine {
    pub(crate) fn is_nothing(&self) -> bool {
        self.added + self.changed + self.removed == 0 && self.problem.is_none()
    }

    /// For people, each line behind `indent`.
    pub(crate) fn write(&self, output: &mut Output, indent: &str) -> Result<(), Failure> {
        for file in &self.files {
            output.line(&format!("{indent}{}", printable(&file.text())))?;
        }
        let left = self.added + self.changed + self.removed - self.files.len() as u64;
        if left > 0 {
            output.line(&format!("{indent}... and {left} more; --files names them ..."))?;
        }
        self.problem.as_ref().map_or(Ok(()), |problem| output.line(&printable(&format!("{indent}{problem}"))))
    }
}

impl Changed {
    fn text(&self) -> String {
        let content = |file: &FileLine| format!("version {}, {}", file.version, counted(file.bytes, "byte"));
        let sides: Vec<String> = self.before.iter().chain(&self.after).map(content).collect();
        let sign = match self.change {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        format!("{sign} {} ({})", self.path, sides.join(" -> "))
    }
}
