//! Which files an observation found added, changed or removed: the first of them, by name.

use std::collections::BTreeMap;

use lastword::core::State;
use lastword::core::vocabulary::{CollectionId, Content, Event, ObjectHash, Recorded, SourceState};
use lastword::external::PathSet;
use lastword::external::SourcePath;
use lastword::objects::{Objects, tree};
use serde_json::{Value, json};

/// As many as a person reads of one observation; the rest is counted.
const MOST_SHOWN: usize = 20;

/// As many as a page names in all, the newest observations first.
const MOST_NAMED: usize = 20_000;

/// As many differences as are looked at for that: a source may hold millions of files.
const MOST_READ: usize = 1_000_000;

/// The observations and the sets behind them.
#[derive(Default)]
pub(super) struct Files {
    sets: BTreeMap<CollectionId, ObjectHash>,
    found: Vec<(u64, Option<ObjectHash>, ObjectHash)>,
}

impl Files {
    pub(super) fn begin(&mut self, state: &State) {
        let set = |content: &Content| match content {
            Content::Observed(observed) => root(observed),
            Content::Unversioned | Content::Unknown => None,
        };
        let sets = state.by_name().filter_map(|(id, collection)| Some((id, set(&collection.latest.content)?)));
        self.sets = sets.collect();
    }

    pub(super) fn follow(&mut self, recorded: &Recorded) {
        if let Event::SourceChanged { collection, .. } = &recorded.event {
            // What another source holds differs from nothing.
            self.sets.remove(collection);
        }
        if let Event::SourceObserved { collection, observed, .. } | Event::CollectionHeld { collection, observed, .. } =
            &recorded.event
            && let Some(after) = root(observed)
        {
            let before = self.sets.insert(*collection, after);
            if before != Some(after) {
                self.found.push((recorded.seq.0, before, after));
            }
        }
    }

    /// An object: the number of an event, and what it found. What is older than what may be named is not in it.
    pub(super) fn json(&self, objects: Result<Box<dyn Objects>, String>) -> (String, Option<String>) {
        let objects = match objects {
            Ok(objects) => objects,
            Err(problem) => return ("{}".to_owned(), Some(problem)),
        };
        let (mut named, mut read, mut problem) = (0, 0, None);
        let mut all = Vec::new();
        for (seq, before, after) in self.found.iter().rev() {
            if named >= MOST_NAMED || read >= MOST_READ {
                break;
            }
            let found = between(&*objects, *before, *after);
            named += found.files.len();
            read += usize::try_from(found.counts.iter().sum::<u64>()).unwrap_or(usize::MAX);
            problem = problem.or(found.problem);
            all.push(format!("\"{seq}\":{}", json!([found.counts, found.files])));
        }
        (format!("{{{}}}", all.join(",")), problem)
    }
}

struct Between {
    /// Added, changed, removed.
    counts: [u64; 3],
    files: Vec<Value>,
    problem: Option<String>,
}

fn between(objects: &dyn Objects, before: Option<ObjectHash>, after: ObjectHash) -> Between {
    let mut found = Between { counts: [0; 3], files: Vec::new(), problem: None };
    // The first set has nothing before it: all that it has was added.
    let changes: Box<dyn Iterator<Item = Result<tree::Change, tree::TreeError>>> = match before {
        Some(before) => Box::new(tree::diff(objects, before, after)),
        None => {
            let added = |(key, value)| tree::Change::Added { key, value };
            Box::new(tree::read(objects, after).map(move |entry| entry.map(added)))
        }
    };
    for change in changes {
        match change.map_err(|error| error.to_string()).and_then(of) {
            Ok(Some((kind, file))) => {
                if let Some(count) = found.counts.get_mut(kind) {
                    *count += 1;
                }
                if found.files.len() < MOST_SHOWN {
                    found.files.push(file);
                }
            }
            // What is known of a file beside its content.
            Ok(None) => {}
            Err(problem) => {
                found.problem = Some(format!("the files of some observations cannot be named: {problem}"));
                break;
            }
        }
    }
    found
}

fn root(observed: &SourceState) -> Option<ObjectHash> {
    observed.set.as_ref().map(|set| set.root)
}

/// A difference between two trees as one between files: its kind, and `[kind, path, before, after]`.
fn of(change: tree::Change) -> Result<Option<(usize, Value)>, String> {
    let file = |key: &[u8], value: Vec<u8>| {
        let (_, file) = PathSet::from_entry((key.to_vec(), value)).map_err(str::to_owned)?;
        Ok::<_, String>(json!([file.version.name(), file.version.stat.size]))
    };
    let (key, kind, before, after) = match change {
        tree::Change::Added { key, value } => {
            let after = file(&key, value)?;
            (key, 0, None, Some(after))
        }
        tree::Change::Changed { key, before, after } => {
            let (before, after) = (file(&key, before)?, file(&key, after)?);
            if before.get(0) == after.get(0) {
                return Ok(None);
            }
            (key, 1, Some(before), Some(after))
        }
        tree::Change::Removed { key, value } => {
            let before = file(&key, value)?;
            (key, 2, Some(before), None)
        }
    };
    Ok(Some((kind, json!([kind, SourcePath(key).to_string(), before, after]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_objects_a_page_says_why_no_files_are_named() {
        let (json, problem) = Files::default().json(Err("it is a stream".to_owned()));
        assert_eq!((json.as_str(), problem.as_deref()), ("{}", Some("it is a stream")));
    }
}
