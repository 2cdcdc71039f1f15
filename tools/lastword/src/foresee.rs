//! What the log would make of a scan: the core decides, on a state that is thrown away.

use lastword::core::vocabulary::{
    Command, EngineCommand, Epoch, HoldCause, Input, ObservationOutcome, PathSetRef, Recorded, SourceState, Timestamp,
    Version,
};
use lastword::core::{Events, Pending, State, decide};
use lastword::external::{Scan, store_set};
use lastword::objects::MemoryObjects;

use crate::config::Entry;

/// Why a run would hold what was found, if it would; `state` is what the log adds up to.
pub(crate) fn held(state: State, entry: &Entry, scan: &Scan, at: Timestamp) -> Result<Option<HoldCause>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stored = store_set(&MemoryObjects::new(), &scan.set, None).map_err(|error| text(&error))?;
    let version = Version::new(&scan.version).map_err(|error| text(&error))?;
    let set = PathSetRef { root: stored.root, files: stored.files, bytes: stored.bytes };
    let observed = SourceState { version, set: Some(set) };
    let declaration = entry.declaration().map_err(|error| text(&error))?;
    let outcome = ObservationOutcome::Content { state: observed, delta: None, missing: scan.missing };
    let open = EngineCommand::Open { software: "plan".into() };
    let declare = Command::Declare(Box::new(declaration));
    let observe = Command::Observe { name: entry.name.clone(), outcome };
    let inputs: [Input<'_>; 3] = [(&open).into(), (&declare).into(), (&observe).into()];
    let (mut state, mut events) = (state, Events::new());
    let epoch = Epoch(state.epoch().0.saturating_add(1));
    for input in inputs {
        decide(&state, input, at, &mut events).map_err(|rejection| text(&rejection))?;
        for (seq, event) in events.drain() {
            let recorded = Recorded { seq, at, epoch, by: None, event };
            state.fold(&recorded).map_err(|illegal| text(&illegal))?;
        }
    }
    let pending = state.id_of(&entry.name).and_then(|id| state.collection(id)).and_then(|found| found.pending);
    Ok(match pending {
        Some(Pending::Held { cause, .. }) => Some(cause),
        Some(Pending::Settling { .. } | Pending::Waiting { .. }) | None => None,
    })
}
