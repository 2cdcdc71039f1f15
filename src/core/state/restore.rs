//! A state taken apart, and put together again: for whoever keeps one elsewhere.

use std::collections::BTreeMap;

use super::fold::deadlines_of;
use super::{Draining, Orphan, State};
use crate::core::collection::{Applied, Collection};
use crate::core::obligations::{Obligations, Owed};
use crate::core::vocabulary::{
    Built, CollectionId, Content, Deadline, Epoch, Limits, ObjectHash, Seq, Timestamp, Token, Word,
};

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
    pub collections: &'s BTreeMap<CollectionId, Collection>,
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
    pub collections: BTreeMap<CollectionId, Collection>,
    /// What is left of dropped ones.
    pub orphans: BTreeMap<CollectionId, Orphan>,
    /// Attempts that were told to stop.
    pub draining: BTreeMap<Token, Draining>,
}

impl State {
    /// Everything but the indices.
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        let State {
            last,
            epoch,
            at,
            limits,
            collections,
            orphans,
            draining,
            names: _,
            ready: _,
            deadlines: _,
            drains: _,
            owed: _,
            haunted: _,
        } = self;
        Parts { last: *last, epoch: *epoch, at: *at, limits, collections, orphans, draining }
    }

    /// The state of these parts. Its indices follow from them.
    ///
    /// # Errors
    /// When they are not the parts of a state: what is wrong with them. An invariant that does not hold is for
    /// [`check`](State::check) to find.
    pub fn restore(parts: Restored) -> Result<State, &'static str> {
        let Restored { last, epoch, at, limits, collections, orphans, draining } = parts;
        let mut state = State { last, epoch, at, limits, collections, orphans, draining, ..State::default() };
        for (id, collection) in &state.collections {
            if state.names.insert(collection.name.clone(), *id).is_some() {
                return Err("two collections have one name");
            }
            state.deadlines.extend(deadlines_of(*id, collection).into_iter().flatten());
        }
        for (token, draining) in &state.draining {
            state.drains.insert((draining.attempt.collection, *token));
            state.deadlines.extend(draining.grace_until.map(|until| (until, Deadline::Grace(*token))));
        }
        for (id, obligations) in obligations_of(&state.collections, &state.orphans) {
            state.owed.extend(obligations.first().map(|first| (first.due, id)));
            if !obligations.zombies.is_empty() {
                state.haunted.insert(id);
            }
        }
        state.ready = state.expected_ready();
        Ok(state)
    }

    /// The roots of all objects that are named by this state, each as often as it is named: for each collection what
    /// it has heard, wants and has applied, then what it owes; then the same of what is left of dropped ones.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectHash> {
        let mut roots = Vec::new();
        for collection in self.collections.values() {
            roots.extend(set_of(&collection.latest));
            roots.extend(collection.wanted.as_ref().and_then(|wanted| set_of(&wanted.word)));
            if let Some(applied) = &collection.applied {
                roots.extend(of_commit(applied));
            }
            roots.extend(collection.obligations.iter().flat_map(|obligations| of_obligations(obligations)));
        }
        roots.extend(self.orphans.values().flat_map(|orphan| of_obligations(&orphan.obligations)));
        roots
    }
}

fn obligations_of<'s>(
    collections: &'s BTreeMap<CollectionId, Collection>,
    orphans: &'s BTreeMap<CollectionId, Orphan>,
) -> impl Iterator<Item = (CollectionId, &'s Obligations)> {
    let owed = collections.iter().filter_map(|(id, collection)| Some((*id, collection.obligations.as_deref()?)));
    owed.chain(orphans.iter().map(|(id, orphan)| (*id, &orphan.obligations)))
}

fn set_of(word: &Word) -> Option<ObjectHash> {
    match &word.content {
        Content::Observed(observed) => observed.set.map(|set| set.root),
        Content::Unversioned | Content::Unknown => None,
    }
}

fn of_commit(applied: &Applied) -> impl Iterator<Item = ObjectHash> {
    set_of(&applied.word).into_iter().chain(applied.result.manifest)
}

fn of_obligations(obligations: &Obligations) -> Vec<ObjectHash> {
    let manifest = |built: &Option<Built>| built.as_ref().and_then(|built| built.manifest);
    let of = |owed: &Owed| match owed {
        Owed::Publish(applied) => of_commit(applied).collect::<Vec<_>>(),
        Owed::Discard(leaving) => manifest(&leaving.before).into_iter().chain(manifest(&leaving.after)).collect(),
    };
    obligations.owed.iter().flat_map(|obligation| of(&obligation.owed)).collect()
}
