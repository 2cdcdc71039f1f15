//! Which files made an observation another one. It must not know what is asked.

use std::collections::BTreeMap;

use lastword::core::State;
use lastword::core::vocabulary::{CollectionId, Event, ObjectHash, Recorded};
use serde::Serialize;

use super::form::Form;
use crate::changed_files::{FilesLine, MOST_SHOWN, Named, root, set_of};
use crate::fail::Failure;
use crate::input::Input;
use crate::output::Output;

/// The sets of files that the collections of a name had, as far as the events were read.
pub(super) struct Files {
    named: Named,
    sets: BTreeMap<CollectionId, ObjectHash>,
    shows_all: bool,
}

/// What follows an observation in JSON.
#[derive(Serialize)]
struct ObservedLine {
    kind: &'static str,
    seq: u64,
    #[serde(flatten)]
    files: FilesLine,
}

impl Files {
    /// Those that `state` knows. The answer does not depend on the objects of the log, which may be gone.
    pub(super) fn behind(state: &State, input: &Input, form: Form) -> Files {
        let sets = state.by_name().filter_map(|(id, collection)| Some((id, set_of(&collection.latest.content)?)));
        Files { named: Named::of(input), sets: sets.collect(), shows_all: form.files }
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
        let files = self.named.between((sets.0, Some(sets.1)), most);
        if json {
            return output.object(&ObservedLine { kind: "files", seq: recorded.seq.0, files });
        }
        files.write(output, "      ")
    }
}
