//! Which files an observation found added, changed or removed: the first of them, by name.

use std::collections::BTreeMap;

use lastword::core::State;
use lastword::core::vocabulary::{CollectionId, Event, ObjectHash, Recorded, Seq};
use lastword::objects::Objects;
use log_dump::changed_files::{Changed, FileLine, MOST_SHOWN, Named, root, set_of};
use serde_json::{Value, json};

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
        let sets = state.by_name().filter_map(|(id, collection)| Some((id, set_of(&collection.latest.content)?)));
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

    /// An object: the number of an event from `from` on, and what it found. What is older than what may be named is not in it.
    pub(super) fn json(&self, from: Seq, objects: Result<Box<dyn Objects>, String>) -> (String, Option<String>) {
        let objects = match objects {
            Ok(objects) => Named::by(Ok(objects)),
            Err(problem) => return ("{}".to_owned(), Some(problem)),
        };
        let (mut named, mut read, mut problem) = (0, 0, None);
        let mut all = Vec::new();
        for (seq, before, after) in self.found.iter().rev() {
            if *seq < from.0 || named >= MOST_NAMED || read >= MOST_READ {
                break;
            }
            let found = objects.between((*before, Some(*after)), MOST_SHOWN);
            let counts = [found.added, found.changed, found.removed];
            named += found.files.len();
            read += usize::try_from(counts.iter().sum::<u64>()).unwrap_or(usize::MAX);
            let unnamed = |problem| format!("some observations are not told whole: {problem}");
            problem = problem.or(found.problem.map(unnamed));
            all.push(format!("\"{seq}\":{}", json!([counts, found.files.iter().map(of).collect::<Vec<_>>()])));
        }
        (format!("{{{}}}", all.join(",")), problem)
    }
}

/// `[kind, path, before, after]`.
fn of(file: &Changed) -> Value {
    let side = |side: &Option<FileLine>| side.as_ref().map(|side| json!([side.version, side.bytes]));
    let kind = match file.change {
        "added" => 0,
        "removed" => 2,
        _ => 1,
    };
    json!([kind, file.path, side(&file.before), side(&file.after)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_objects_a_page_says_why_no_files_are_named() {
        let (json, problem) = Files::default().json(Seq(1), Err("it is a stream".to_owned()));
        assert_eq!((json.as_str(), problem.as_deref()), ("{}", Some("it is a stream")));
    }
}
