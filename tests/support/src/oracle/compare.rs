//! A state of the core against the oracle. The one part of it that knows what a state is.

use lastword::core::vocabulary::CollectionId;
use lastword::core::{Collection, State};

use super::known::Known;
use super::{Oracle, Verdict, hold};

impl Oracle {
    /// What the state says of every collection is what was counted here. The state is that of the last event.
    pub fn hold_against(&self, state: &State) -> Verdict {
        hold(self.known.len() == state.len(), "LatestNotLost", "a collection is lost, or back")?;
        for (id, known) in &self.known {
            let Some(collection) = state.collection(*id) else {
                return hold(false, "LatestNotLost", "a collection is lost");
            };
            known.hold_against(collection)?;
            let running = collection.status.running().map(|running| running.attempt_of(*id));
            let is_open =
                running.is_none_or(|attempt| self.open.get(&attempt.token).map(|o| o.attempt) == Some(attempt));
            hold(is_open, "OneLive", "an attempt runs that has ended")?;
        }
        let held = state.running().count() + state.all_draining().count();
        hold(held == self.open.len(), "OneLive", "an attempt is forgotten, or counted twice")
    }

    /// What is applied changes with a commit, all of it at once, and with nothing else.
    pub fn hold_commit_against(&self, id: CollectionId, state: &State) -> Verdict {
        match (self.known.get(&id), state.collection(id)) {
            (Some(known), Some(collection)) => known.hold_commit_against(collection),
            _ => Ok(()),
        }
    }
}

impl Known {
    fn hold_against(&self, collection: &Collection) -> Verdict {
        let is_latest = *collection.latest == *self.latest.inputs();
        hold(is_latest, "LatestNotLost", "the last word is not the one that was said last")?;
        let wanted = collection.wanted_fingerprint();
        hold(wanted == self.wanted.fingerprint(), "LastWord", "what is wanted is not what was admitted")?;
        let live = collection.status.live().map(|task| task.id);
        hold(live == self.live.map(|(task, _)| task), "OneLive", "the live task is another one")?;
        hold(collection.paused == self.paused, "NothingWaitsSilently", "a pause that nobody asked for")?;
        hold(self.generation <= collection.generation, "LatestNotLost", "a generation goes back")?;
        self.hold_commit_against(collection)
    }

    fn hold_commit_against(&self, collection: &Collection) -> Verdict {
        let found = collection.applied.as_deref().map(|at| (at.seq, at.token, at.fingerprint));
        let counted = self.applied.as_ref().map(|at| (at.seq, at.token, at.fingerprint));
        hold(found == counted, "OneCommit", "what is applied is not what the last commit said")
    }
}
