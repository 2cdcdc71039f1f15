//! The oracle of `tests/support`, as a part of a point: what of it makes two points different.

use std::hash::{Hash, Hasher};
use std::ops::Deref;

use lastword::core::State;
use lastword::core::vocabulary::Recorded;
use test_support::oracle;

use super::point::Broken;
use super::world::{Heard, index_of};

pub(crate) type Known = oracle::Known;

#[derive(Clone, Default)]
pub(crate) struct Oracle(oracle::Oracle);

impl Deref for Oracle {
    type Target = oracle::Oracle;

    fn deref(&self) -> &oracle::Oracle {
        &self.0
    }
}

impl Oracle {
    /// Looks at an event and at the state that was made of it.
    pub(crate) fn see(&mut self, recorded: &Recorded, state: &State) -> Result<(), Broken> {
        self.0.see(recorded)?;
        let id = recorded.event.collection(recorded.seq);
        id.map_or(Ok(()), |id| self.0.hold_commit_against(id, state))
    }
}

/// What is only compared with what comes (the last event, tokens, what was published, policies and limits, which a world
/// does not change) makes no difference, nor does what follows from the rest.
impl Hash for Oracle {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.known.len().hash(hasher);
        for (id, known) in &self.known {
            (id, index_of(&known.name)).hash(hasher);
            (Heard::of(known.latest.inputs()), Heard::of(known.wanted.inputs())).hash(hasher);
            (known.held, known.paused, known.generation, known.attempts).hash(hasher);
            known.live.map(|(task, _)| task).hash(hasher);
            hash_commits(known.applied.iter(), hasher);
            hash_commits(known.unpublished.iter(), hasher);
        }
        self.open.len().hash(hasher);
        self.open_attempts().for_each(|attempt| attempt.hash(hasher));
    }
}

fn hash_commits<'c>(commits: impl ExactSizeIterator<Item = &'c oracle::Commit>, hasher: &mut impl Hasher) {
    commits.len().hash(hasher);
    commits.for_each(|commit| (commit.seq, commit.token, commit.fingerprint).hash(hasher));
}
