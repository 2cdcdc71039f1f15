//! Everything about a log that can be checked.

use std::collections::{BTreeMap, BTreeSet};

use super::{ReplayError, begin, decoded};
use crate::core::State;
use crate::core::vocabulary::{ObjectHash, Seq};
use crate::log::{FrameHash, LogReader, Position, Start};
use crate::objects::Objects;
use crate::objects::tree;
use crate::snapshot::{SnapshotError, SnapshotHeader, Snapshots};

/// What a verification has gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Where the log begins; a checkpoint that stands for deleted events was decoded and keeps the invariants.
    pub start: Start,
    /// Frames whose CRC, hash and place in the chain hold.
    pub frames: u64,
    /// Events that decode, follow from each other and keep the invariants.
    pub events: u64,
    /// Objects that are there and undamaged.
    pub objects: u64,
    /// Bytes of all frames.
    pub bytes: u64,
    /// The last event.
    pub last: Seq,
    /// The hash of the last frame.
    pub head: FrameHash,
    /// The digest of the state that it all adds up to.
    pub digest: [u8; 32],
}

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

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unusable::File(error) => error.fmt(f),
            Unusable::OfAnotherLog => f.write_str("the snapshot was not made of what this log holds"),
        }
    }
}

/// Verifies all of a log: frames, chain, legality of every event, the invariants after every frame, the checkpoint if a
/// prefix was deleted, and, with `objects`, that everything that events and checkpoint name is there.
///
/// # Errors
/// The first defect found.
pub fn verify(reader: &dyn LogReader, objects: Option<&dyn Objects>) -> Result<Verified, ReplayError> {
    VerifyRequest::begin(reader, objects, BTreeMap::new())?.run(reader).map(|(verified, _)| verified)
}

/// The same, and holds every snapshot against the state that the events up to it lead to.
///
/// # Errors
/// The first defect found; [`ReplayError::Snapshot`] for a whole snapshot of this log that holds another state.
pub fn verify_with_snapshots(
    reader: &dyn LogReader,
    objects: Option<&dyn Objects>,
    snapshots: &Snapshots,
) -> Result<(Verified, Vec<VerifiedSnapshot>), ReplayError> {
    let (mut pending, mut verdicts) = (BTreeMap::new(), Vec::new());
    match snapshots.list() {
        Ok(all) => all.into_iter().for_each(|seq| match snapshots.load_unchecked(seq) {
            Ok(loaded) => drop(pending.insert(seq, loaded)),
            Err(error) => verdicts.push(VerifiedSnapshot { seq, verdict: Err(Unusable::File(error)) }),
        }),
        Err(error) => verdicts.push(VerifiedSnapshot { seq: Seq::ZERO, verdict: Err(Unusable::File(error)) }),
    }
    let (verified, more) = VerifyRequest::begin(reader, objects, pending)?.run(reader)?;
    verdicts.extend(more);
    verdicts.sort_by_key(|verdict| verdict.seq);
    Ok((verified, verdicts))
}

struct VerifyRequest<'v> {
    state: State,
    objects: Option<&'v dyn Objects>,
    seen: BTreeSet<ObjectHash>,
    /// Snapshots whose event has not come yet.
    pending: BTreeMap<Seq, (SnapshotHeader, State)>,
    verdicts: Vec<VerifiedSnapshot>,
}

impl<'v> VerifyRequest<'v> {
    fn begin(
        reader: &dyn LogReader,
        objects: Option<&'v dyn Objects>,
        pending: BTreeMap<Seq, (SnapshotHeader, State)>,
    ) -> Result<VerifyRequest<'v>, ReplayError> {
        let state = begin(reader)?;
        let mut verification = VerifyRequest { state, objects, seen: BTreeSet::new(), pending, verdicts: Vec::new() };
        let (seq, roots) = (verification.state.last(), verification.state.objects());
        roots.into_iter().try_for_each(|root| verification.object(seq, root))?;
        let start = reader.start();
        verification.snapshots_at(Position { seq: start.seq, hash: start.hash, epoch: verification.state.epoch() })?;
        Ok(verification)
    }

    fn run(mut self, reader: &dyn LogReader) -> Result<(Verified, Vec<VerifiedSnapshot>), ReplayError> {
        let start = reader.start();
        let (last, head, digest) = (start.seq, start.hash, [0; 32]);
        let mut found = Verified { start, frames: 0, events: 0, objects: 0, bytes: 0, last, head, digest };
        for frame in reader.frames(self.state.last().next()) {
            let frame = frame?;
            let frame = frame.as_frame();
            let (position, mut touched) = (Position::of(&frame), Vec::new());
            for event in decoded(&frame) {
                let event = event?;
                self.state.fold(&event).map_err(ReplayError::Illegal)?;
                event.event.object().map_or(Ok(()), |root| self.object(event.seq, root))?;
                touched.extend(event.event.collection(event.seq));
            }
            for id in touched {
                let violation = |violation| ReplayError::Violation { seq: position.seq, violation };
                self.state.check_settled(id).map_err(violation)?;
            }
            self.snapshots_at(position)?;
            found.frames += 1;
            found.events += u64::from(frame.header().count);
            found.bytes += frame.bytes().len() as u64;
            found.head = position.hash;
        }
        let violation = |violation| ReplayError::Violation { seq: self.state.last(), violation };
        self.state.check().map_err(violation)?;
        for seq in std::mem::take(&mut self.pending).into_keys() {
            self.verdicts.push(VerifiedSnapshot { seq, verdict: Err(Unusable::OfAnotherLog) });
        }
        found.objects = self.seen.len() as u64;
        found.last = self.state.last();
        found.digest = self.state.digest();
        Ok((found, self.verdicts))
    }

    /// Read, not only named: a leaf that is missing or damaged is found here or when it is needed.
    fn object(&mut self, seq: Seq, root: ObjectHash) -> Result<(), ReplayError> {
        let (Some(objects), seen) = (self.objects, &mut self.seen) else { return Ok(()) };
        tree::walk(objects, root, &mut |hash| seen.insert(hash), &mut |_, _| Ok(()))
            .map_err(|error| ReplayError::Object { seq, error })
    }

    /// Holds the snapshots up to this frame against the state after it.
    fn snapshots_at(&mut self, position: Position) -> Result<(), ReplayError> {
        while let Some(entry) = self.pending.first_entry().filter(|entry| *entry.key() <= position.seq) {
            let (seq, (header, state)) = entry.remove_entry();
            let verdict = if header.position != position { Err(Unusable::OfAnotherLog) } else { Ok(()) };
            if verdict.is_ok() && state != self.state {
                return Err(ReplayError::Snapshot { seq });
            }
            // The digest may be that of another compiler; then this program does not use the snapshot.
            let verdict = verdict.and_then(|()| header.check_digest(&state).map_err(Unusable::File));
            self.verdicts.push(VerifiedSnapshot { seq, verdict });
        }
        Ok(())
    }
}
