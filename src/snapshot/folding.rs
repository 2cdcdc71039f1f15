//! Replaying a log while it is opened.

use std::collections::BTreeSet;

use super::{SnapshotError, Snapshots};
use crate::core::State;
use crate::core::vocabulary::{CollectionId, Seq};
use crate::log::{Frame, FrameIter, LogError, Position, Start, Visitor};
use crate::replay::{ReplayError, decoded, find_checkpoint, state_of_checkpoint};
use crate::unwind;

/// Folds a log as it is shown, so that opening and replaying are one pass: from the last snapshot that can be used, or
/// else from where the log begins.
#[derive(Debug, Default)]
pub struct Folding {
    snapshots: Option<Snapshots>,
    state: State,
    resumed: Seq,
    /// What has changed since the snapshot: the rest of it was checked when it was loaded.
    touched: BTreeSet<CollectionId>,
    error: Option<ReplayError>,
}

impl Folding {
    /// Goes on from one of these snapshots if it can. One that cannot be used is passed over: it is a cache.
    #[must_use]
    pub fn from_snapshots(snapshots: Snapshots) -> Folding {
        Folding { snapshots: Some(snapshots), ..Folding::default() }
    }

    /// The event of the snapshot from which it went on; 0 without one.
    #[must_use]
    pub fn resumed(&self) -> Seq {
        self.resumed
    }

    /// The state that the log adds up to.
    ///
    /// # Errors
    /// The first error.
    pub fn finish(self) -> Result<State, ReplayError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let violation = |violation| ReplayError::Violation { seq: self.state.last(), violation };
        if self.resumed == Seq::ZERO {
            self.state.check().map_err(violation)?;
        } else {
            self.touched.iter().try_for_each(|id| self.state.check_settled(*id)).map_err(violation)?;
            self.state.check_draining().map_err(violation)?;
        }
        Ok(self.state)
    }

    fn fold(&mut self, frame: &Frame<'_>) -> Result<(), ReplayError> {
        for event in decoded(frame) {
            let event = event?;
            self.state.fold(&event).map_err(ReplayError::Illegal)?;
            if self.resumed > Seq::ZERO {
                self.touched.extend(event.event.collection(event.seq));
            }
        }
        Ok(())
    }
}

/// After an error nothing is folded any more.
impl Visitor for Folding {
    fn known(&mut self) -> Vec<Position> {
        let Some(snapshots) = &self.snapshots else { return Vec::new() };
        let all = snapshots.list().inspect_err(|error| pass_over(Seq::ZERO, error)).unwrap_or_default();
        let position = |seq| snapshots.usable_header(seq).inspect_err(|error| pass_over(seq, error));
        all.into_iter().filter_map(|seq| Some(position(seq).ok()?.position)).collect()
    }

    fn resume(&mut self, position: Position) -> bool {
        let Some(snapshots) = &self.snapshots else { return false };
        match snapshots.load(position.seq) {
            Ok((_, state)) => {
                (self.state, self.resumed) = (state, position.seq);
                true
            }
            Err(error) => {
                pass_over(position.seq, &error);
                false
            }
        }
    }

    fn checkpoint(&mut self, start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError> {
        match state_of_checkpoint(&find_checkpoint(start, frames)?) {
            Ok(state) => self.state = state,
            Err(error) => self.error = Some(error),
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        if self.error.is_none() {
            self.error = self.fold(frame).err();
        }
    }
}

fn pass_over(seq: Seq, error: &SnapshotError) {
    unwind::tell(|| {
        tracing::warn!(target: "lastword::snapshot", seq = seq.0, %error, "a snapshot cannot be used");
    });
}
