//! Which files made an observation another one. It must not know what is asked.

use std::collections::BTreeMap;

use lastword::core::State;
use lastword::core::vocabulary::{CollectionId, Content, Event, ObjectHash, Recorded, SourceState};
use lastword::describe::counted;
use lastword::external::{ObservedFile, PathSet, SourcePath};
use lastword::objects::{Objects, tree};
use serde::Serialize;

use super::form::Form;
use crate::fail::Failure;
use crate::input::Input;
use crate::output::{Output, printable};

/// As many as a person reads of one observation; the rest is counted.
const MOST_SHOWN: usize = 20;

/// The sets of files that the collections of a name had, as far as the events were read.
pub(super) struct Files {
    /// What they are named by, or why they cannot be named.
    objects: Result<Box<dyn Objects>, String>,
    sets: BTreeMap<CollectionId, ObjectHash>,
    shows_all: bool,
}

/// What one file became.
#[derive(Serialize)]
struct Changed {
    path: String,
    change: &'static str,
    before: Option<FileLine>,
    after: Option<FileLine>,
}

/// A content of a file. `version` is what `manifest` names it by.
#[derive(Serialize)]
struct FileLine {
    version: String,
    bytes: u64,
}

/// What follows an observation in JSON.
#[derive(Serialize)]
struct FilesLine {
    kind: &'static str,
    seq: u64,
    added: u64,
    changed: u64,
    removed: u64,
    files: Vec<Changed>,
    /// Why they cannot be named.
    problem: Option<String>,
}

impl Files {
    /// Those that `state` knows. The answer does not depend on the objects of the log, which may be gone.
    pub(super) fn behind(state: &State, input: &Input, form: Form) -> Files {
        let objects = match input.objects() {
            Ok(Some(objects)) => Ok(objects),
            Ok(None) => Err("an exported stream does not name its files: import it".to_owned()),
            Err(Failure::Error(_, problem)) => Err(format!("its files cannot be named: {problem}")),
            Err(Failure::OutputClosed) => Err("its files cannot be named".to_owned()),
        };
        let set = |content: &Content| match content {
            Content::Observed(observed) => root(observed),
            Content::Unversioned | Content::Unknown => None,
        };
        let sets = state.by_name().filter_map(|(id, collection)| Some((id, set(&collection.latest.content)?)));
        Files { objects, sets: sets.collect(), shows_all: form.files }
    }

    /// Takes note of an event; gives the set before and the set that it found, if it found one.
    pub(super) fn follow(&mut self, recorded: &Recorded) -> Option<(Option<ObjectHash>, ObjectHash)> {
        if let Event::SourceChanged { collection, .. } = &recorded.event {
            // What another source holds differs from nothing.
            self.sets.remove(collection);
        }
        let (Event::SourceObserved { collection, observed, .. } | Event::CollectionHeld { collection, observed, .. }) =
            &recorded.event
        else {
            return None;
        };
        let after = root(observed)?;
        let before = self.sets.insert(*collection, after);
        (before != Some(after)).then_some((before, after))
    }

    /// Writes which files lie between two sets, below the event that found the second.
    pub(super) fn write(
        &self,
        output: &mut Output,
        recorded: &Recorded,
        sets: (Option<ObjectHash>, ObjectHash),
        json: bool,
    ) -> Result<(), Failure> {
        // The keys of events are promised to be alone unless files were asked for.
        if json && !self.shows_all {
            return Ok(());
        }
        let most = if self.shows_all { usize::MAX } else { MOST_SHOWN };
        let line = self.between(recorded.seq.0, sets, most);
        if json {
            return output.object(&line);
        }
        for file in &line.files {
            output.line(&format!("      {}", printable(&file.text())))?;
        }
        let left = line.added + line.changed + line.removed - line.files.len() as u64;
        if left > 0 {
            output.line(&format!("      ... and {left} more; --files names them ..."))?;
        }
        line.problem.map_or(Ok(()), |problem| output.line(&printable(&format!("      {problem}"))))
    }

    fn between(&self, seq: u64, (before, after): (Option<ObjectHash>, ObjectHash), most: usize) -> FilesLine {
        let mut line =
            FilesLine { kind: "files", seq, added: 0, changed: 0, removed: 0, files: Vec::new(), problem: None };
        let objects = match &self.objects {
            Ok(objects) => &**objects,
            Err(problem) => {
                line.problem = Some(problem.clone());
                return line;
            }
        };
        // The first set has nothing before it: all that it has was added.
        let changes: Box<dyn Iterator<Item = Result<tree::Change, tree::TreeError>>> = match before {
            Some(before) => Box::new(tree::diff(objects, before, after)),
            None => Box::new(
                tree::read(objects, after).map(|entry| entry.map(|(key, value)| tree::Change::Added { key, value })),
            ),
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

fn root(observed: &SourceState) -> Option<ObjectHash> {
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
