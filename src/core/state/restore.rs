//! A state taken apart, and put together again: for snapshots and checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::indices::Indices;
use super::{Draining, Orphan, State};
use crate::core::collection::Collection;
use crate::core::commit::Applied;
use crate::core::outbox::{Outbox, OutboxItem};
use crate::core::vocabulary::{Built, CollectionId, Content, Epoch, Inputs, Limits, ObjectHash, Seq, Timestamp, Token};

/// Everything in a state but its indices.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'s> {
    /// The position of the last event.
    pub last: Seq,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its time.
    pub at: Timestamp,
    /// How many attempts may hold a worker.
    pub limits: &'s Limits,
    /// The collections.
    pub collections: &'s BTreeMap<CollectionId, Box<Collection>>,
    /// What is left of dropped ones.
    pub orphans: &'s BTreeMap<CollectionId, Orphan>,
    /// Attempts that were told to stop.
    pub draining: &'s BTreeMap<Token, Draining>,
}

/// The same, to be made a state.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The position of the last event.
    pub last: Seq,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its time.
    pub at: Timestamp,
    /// How many attempts may hold a worker.
    pub limits: Limits,
    /// The collections.
    pub collections: BTreeMap<CollectionId, Box<Collection>>,
    /// What is left of dropped ones.
    pub orphans: BTreeMap<CollectionId, Orphan>,
    /// Attempts that were told to stop.
    pub draining: BTreeMap<Token, Draining>,
}

impl State {
    /// Everything but the indices.
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        let State { last, epoch, at, limits, collections, orphans, draining, indices: _ } = self;
        Parts { last: *last, epoch: *epoch, at: *at, limits, collections, orphans, draining }
    }

    /// The state of these parts. Its indices follow from them.
    ///
    /// # Errors
    /// When they are not the parts of a state: what is wrong with them. An invariant that does not hold is for
    /// [`check`](State::check) to find.
    pub fn restore(parts: Restored) -> Result<State, &'static str> {
        let Restored { last, epoch, at, limits, collections, orphans, draining } = parts;
        let indices = Indices::of((at, &limits), &collections, &orphans, &draining)?;
        Ok(State { last, epoch, at, limits, collections, orphans, draining, indices })
    }

    /// The roots of all objects that are named by this state, each as often as it is named: for each collection what
    /// latest and wanted inputs name and what is applied, then the outbox; then the outboxes of dropped ones.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectHash> {
        let mut roots = Vec::new();
        for collection in self.collections.values() {
            roots.extend(set_of(&collection.latest));
            roots.extend(collection.wanted.as_ref().and_then(|wanted| set_of(&wanted.inputs)));
            if let Some(applied) = &collection.applied {
                roots.extend(of_commit(applied));
            }
            roots.extend(collection.outbox.iter().flat_map(|outbox| of_outbox(outbox)));
        }
        roots.extend(self.orphans.values().flat_map(|orphan| of_outbox(&orphan.outbox)));
        roots
    }
}

fn set_of(inputs: &Inputs) -> Option<ObjectHash> {
    match &inputs.content {
        Content::Observed(observed) => observed.set.map(|set| set.root),
        Content::Unversioned | Content::Unknown => None,
    }
}

fn of_commit(applied: &Applied) -> impl Iterator<Item = ObjectHash> {
    set_of(&applied.inputs).into_iter().chain(applied.result.manifest)
}

fn of_outbox(outbox: &Outbox) -> Vec<ObjectHash> {
    let manifest = |built: &Option<Arc<Built>>| built.as_ref().and_then(|built| built.manifest);
    let of = |item: &OutboxItem| match item {
        OutboxItem::Publish(applied) => of_commit(applied).collect::<Vec<_>>(),
        OutboxItem::Discard(leaving) => manifest(&leaving.before).into_iter().chain(manifest(&leaving.after)).collect(),
    };
    outbox.entries.iter().flat_map(|entry| of(&entry.item)).collect()
}
