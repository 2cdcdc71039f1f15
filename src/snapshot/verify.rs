//! Holding snapshots against the log that they were made of.

use std::collections::BTreeMap;

use super::{SnapshotError, SnapshotHeader, Snapshots};
use crate::core::State;
use crate::core::vocabulary::Seq;
use crate::error::ErrorKind;
use crate::log::{LogReader, Position};
use crate::objects::Objects;
use crate::replay::{ReplayError, Verified, verify_watching};

/// What was found of one snapshot. None of it is a defect of the log: a snapshot that cannot be used is a cache that
/// is not there.
#[derive(Debug)]
#[non_exhaustive]
pub struct VerifiedSnapshot {
    /// The event after which it says to be the state.
    pub seq: Seq,
    /// Whether it can be used; the state in it is then the one that the events lead to.
    pub verdict: Result<(), Unusable>,
}

/// Why a snapshot is not used.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unusable {
    /// The file cannot be read, is damaged, or was made by another version of fold.
    File(SnapshotError),
    /// No frame of this log ends there with the hash that the snapshot names.
    OfAnotherLog,
}

impl Unusable {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Unusable::File(error) => error.kind(),
            Unusable::OfAnotherLog => ErrorKind::Diverged,
        }
    }
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unusable::File(error) => error.fmt(f),
            Unusable::OfAnotherLog => f.write_str("the snapshot was not made of what this log holds"),
        }
    }
}

impl std::error::Error for Unusable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Unusable::File(error) => Some(error),
            Unusable::OfAnotherLog => None,
        }
    }
}

/// Verifies a log like [`verify`](crate::replay::verify), and holds every snapshot against the state that the events up
/// to it lead to.
///
/// # Errors
/// The first defect found; [`ReplayError::Snapshot`] for a whole snapshot of this log that holds another state.
pub fn verify_with_snapshots(
    reader: &dyn LogReader,
    objects: Option<&dyn Objects>,
    snapshots: &Snapshots,
) -> Result<(Verified, Vec<VerifiedSnapshot>), ReplayError> {
    let mut comparison = Comparison::default();
    match snapshots.list() {
        Ok(all) => all.into_iter().for_each(|seq| comparison.load(snapshots, seq)),
        Err(error) => comparison.push(Seq::ZERO, Err(Unusable::File(error))),
    }
    let verified = verify_watching(reader, objects, &mut |position, state| comparison.at(position, state))?;
    Ok((verified, comparison.finish()))
}

#[derive(Default)]
struct Comparison {
    /// Snapshots whose event has not come yet.
    pending: BTreeMap<Seq, (SnapshotHeader, State)>,
    verdicts: Vec<VerifiedSnapshot>,
}

impl Comparison {
    fn load(&mut self, snapshots: &Snapshots, seq: Seq) {
        match snapshots.load_unchecked(seq) {
            Ok(loaded) => drop(self.pending.insert(seq, loaded)),
            Err(error) => self.push(seq, Err(Unusable::File(error))),
        }
    }

    /// Holds the snapshots up to the frame that ends at `position` against the state after it.
    fn at(&mut self, position: Position, now: &State) -> Result<(), ReplayError> {
        while let Some(entry) = self.pending.first_entry().filter(|entry| *entry.key() <= position.seq) {
            let (seq, (header, state)) = entry.remove_entry();
            let verdict = if header.position != position { Err(Unusable::OfAnotherLog) } else { Ok(()) };
            if verdict.is_ok() && state != *now {
                return Err(ReplayError::Snapshot { seq });
            }
            // The digest may be that of another compiler; then this program does not use the snapshot.
            self.push(seq, verdict.and_then(|()| header.check_digest(&state).map_err(Unusable::File)));
        }
        Ok(())
    }

    /// Those whose event never came are of another log.
    fn finish(mut self) -> Vec<VerifiedSnapshot> {
        for seq in std::mem::take(&mut self.pending).into_keys() {
            self.push(seq, Err(Unusable::OfAnotherLog));
        }
        self.verdicts.sort_by_key(|verdict| verdict.seq);
        self.verdicts
    }

    fn push(&mut self, seq: Seq, verdict: Result<(), Unusable>) {
        self.verdicts.push(VerifiedSnapshot { seq, verdict });
    }
}
