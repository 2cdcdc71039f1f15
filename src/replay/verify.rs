//! Everything about a log that can be checked.

use std::collections::BTreeSet;

use super::{ReplayError, begin, decoded};
use crate::core::State;
use crate::core::vocabulary::{ObjectHash, Seq};
use crate::log::{FrameHash, LogReader, Position, Start};
use crate::objects::Objects;
use crate::objects::tree::{self, TreeError};

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
    /// Objects that are there and undamaged. Of more than half a million some may be counted again.
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

/// Verifies all of a log: frames, chain, legality of every event, the invariants after every frame, the checkpoint if a
/// prefix was deleted, and, with `objects`, that everything that events and checkpoint name is there.
///
/// # Errors
/// The first defect found. Objects come last: all of them are looked at, and the first ten that are wrong are named.
pub fn verify(reader: &dyn LogReader, objects: Option<&dyn Objects>) -> Result<Verified, ReplayError> {
    verify_watching(reader, objects, &mut |_, _| Ok(()))
}

/// The same, and shows `watch` the state where the log begins and after every frame.
pub(crate) fn verify_watching(
    reader: &dyn LogReader,
    objects: Option<&dyn Objects>,
    watch: &mut Watch<'_>,
) -> Result<Verified, ReplayError> {
    let mut verification = Verification {
        state: begin(reader)?,
        objects,
        seen: Seen::default(),
        unreadable: Vec::new(),
        all_unreadable: 0,
        watch,
    };
    verification.begin(reader.start())?;
    verification.run(reader)
}

/// What else is to hold of a state at the end of a frame.
pub(crate) type Watch<'w> = dyn FnMut(Position, &State) -> Result<(), ReplayError> + 'w;

/// Objects that were read, in memory that does not grow with the log. One that nothing has named for long is forgotten, and read
/// again if something does.
#[derive(Default)]
struct Seen {
    young: BTreeSet<ObjectHash>,
    old: BTreeSet<ObjectHash>,
    all: u64,
}

impl Seen {
    /// How many are young before they grow old.
    const MOST: usize = 1 << 18;

    /// Whether it was not known.
    fn insert(&mut self, hash: ObjectHash) -> bool {
        let is_new = !self.old.contains(&hash) && !self.young.contains(&hash);
        self.young.insert(hash);
        self.all += u64::from(is_new);
        if self.young.len() >= Self::MOST {
            self.old = std::mem::take(&mut self.young);
        }
        is_new
    }
}

struct Verification<'v, 'w> {
    state: State,
    objects: Option<&'v dyn Objects>,
    seen: Seen,
    /// The first objects that cannot be read, and how many there are. Everything else is checked all the same.
    unreadable: Vec<(Seq, TreeError)>,
    all_unreadable: u64,
    watch: &'v mut Watch<'w>,
}

impl Verification<'_, '_> {
    fn begin(&mut self, start: Start) -> Result<(), ReplayError> {
        let (seq, roots) = (self.state.last(), self.state.objects());
        roots.into_iter().for_each(|root| self.object(seq, root));
        (self.watch)(Position { seq: start.seq, hash: start.hash, epoch: self.state.epoch() }, &self.state)
    }

    fn run(mut self, reader: &dyn LogReader) -> Result<Verified, ReplayError> {
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
                event.event.object().into_iter().for_each(|root| self.object(event.seq, root));
                touched.extend(event.event.collection(event.seq));
            }
            for id in touched {
                let violation = |violation| ReplayError::Violation { seq: position.seq, violation };
                self.state.check_settled(id).map_err(violation)?;
            }
            (self.watch)(position, &self.state)?;
            found.frames += 1;
            found.events += u64::from(frame.header().count);
            found.bytes += frame.bytes().len() as u64;
            found.head = position.hash;
        }
        let violation = |violation| ReplayError::Violation { seq: self.state.last(), violation };
        self.state.check().map_err(violation)?;
        self.check_objects()?;
        found.objects = self.seen.all;
        found.last = self.state.last();
        found.digest = self.state.digest();
        Ok(found)
    }

    /// Read, not only named: a leaf that is missing or damaged is found here or when it is needed.
    fn object(&mut self, seq: Seq, root: ObjectHash) {
        let (Some(objects), seen) = (self.objects, &mut self.seen) else { return };
        let walked: Result<(), TreeError> =
            tree::walk(objects, root, &mut |hash| seen.insert(hash), &mut |_, _| Ok(()));
        if let Err(error) = walked {
            self.all_unreadable += 1;
            if self.unreadable.len() < ReplayError::MOST_OBJECTS {
                self.unreadable.push((seq, error));
            }
        }
    }

    fn check_objects(&mut self) -> Result<(), ReplayError> {
        let (mut first, all) = (std::mem::take(&mut self.unreadable), self.all_unreadable);
        match (first.pop(), all) {
            (None, _) => Ok(()),
            (Some((seq, error)), 1) => Err(ReplayError::Object { seq, error }),
            (Some(last), _) => {
                first.push(last);
                Err(ReplayError::Objects { first, all })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_known_as_long_as_something_names_it() {
        let hash = |number: u64| ObjectHash(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let mut seen = Seen::default();
        let most = Seen::MOST as u64;
        for number in 1..3 * most {
            assert!(seen.insert(hash(number)));
            // Named again and again.
            assert_eq!(seen.insert(hash(0)), number == 1);
            assert!(seen.young.len() + seen.old.len() <= 2 * Seen::MOST);
        }
        assert_eq!(seen.all, 3 * most);
        assert!(seen.insert(hash(1)), "what nothing names is forgotten");
    }
}
