//! A checkpoint on its way into the log: the encoded state in place of a prefix that is to go, one part after the other.
//! The snapshotter makes a part when the one before it is taken, so that no more than a few are in memory.
//!
//! *Architecture invariant:* it makes events of parts. It does not know what the state looks like.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::core::vocabulary::{Event, Seq};
use crate::log::{Position, Start};

/// 256 KiB of a checkpoint in one event: a few of them fill a frame, and what is committed beside them waits for no
/// more.
pub(super) const PART_BYTES: usize = 256 << 10;

/// Parts that may wait for their frame.
const MOST_WAITING: usize = 2;

/// What takes the parts where they are made: it waits until there is room, and fails once nobody wants them.
pub(super) type PartSender = Sender<Vec<u8>>;

#[derive(Debug)]
pub(in crate::engine) struct Checkpoint {
    at: Position,
    made: Receiver<Vec<u8>>,
    part: u32,
    parts: u32,
    first: Option<Seq>,
}

impl Checkpoint {
    /// Of the state at the end of the frame `at`, in so many parts.
    pub(super) fn new(at: Position, parts: u32) -> (PartSender, Checkpoint) {
        let (sender, made) = bounded(MOST_WAITING);
        (sender, Checkpoint { at, made, part: 0, parts, first: None })
    }

    /// The next part; none if it is not made yet, or all are written.
    pub(super) fn next_part(&mut self) -> Option<Event> {
        let bytes = self.made.try_recv().ok()?;
        let (at, hash) = (self.at.seq, self.at.hash.0);
        Some(Event::CheckpointPart { at, hash, part: self.part, parts: self.parts, bytes: bytes.into() })
    }

    /// Whether there is one.
    pub(super) fn is_ready(&self) -> bool {
        !self.made.is_empty()
    }

    /// The part has this number in the log.
    pub(super) fn written(&mut self, seq: Seq) {
        self.first.get_or_insert(seq);
        self.part += 1;
    }

    /// Where the log may begin, once every part is written.
    pub(super) fn start(&self) -> Option<Start> {
        let checkpoint = self.first.filter(|_| self.part == self.parts)?;
        Some(Start { seq: self.at.seq, hash: self.at.hash, checkpoint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_25_parts_are_made_as_they_are_taken() {
        let (sender, mut checkpoint) = Checkpoint::new(Position::START, 3);
        assert!(checkpoint.next_part().is_none() && !checkpoint.is_ready());
        for part in 0..MOST_WAITING {
            sender.try_send(vec![part as u8]).unwrap();
        }
        assert!(sender.try_send(vec![9]).is_err(), "more than a few are kept");
        assert!(checkpoint.is_ready());
        for seq in 1..=3 {
            let _ = sender.try_send(vec![2]);
            assert!(checkpoint.start().is_none());
            let Some(Event::CheckpointPart { part, parts, .. }) = checkpoint.next_part() else { panic!("no part") };
            assert_eq!((u64::from(part) + 1, parts), (seq, 3));
            checkpoint.written(Seq(seq));
        }
        assert_eq!(checkpoint.start().map(|start| start.checkpoint), Some(Seq(1)));
        drop(checkpoint);
        assert!(sender.send(vec![]).is_err());
    }
}
