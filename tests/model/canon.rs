//! When two points are the same: numbers that only name or order things are replaced by their rank.
//!
//! Sequence numbers and epochs count everything that ever happened, so no two histories would lead to the same state.
//! Nothing in the core depends on them but their order, so what is hashed is their order. Times count relative to now,
//! and all that are older than anything is ever measured from are the same. The one thing that does depend on a number
//! itself, the jitter of a backoff, is kept below one step of time; see `act.rs`.
//!
//! The numbers are recognised by their size: the world begins with sequence numbers, epochs and times in ranges of
//! their own, and counts nothing else that far.

use std::hash::{Hash, Hasher};
use std::ops::Range;

use lastword::core::vocabulary::Timestamp;

pub(crate) const SEQS: Range<u64> = 1000..1 << 20;
pub(crate) const EPOCHS: Range<u64> = 1 << 32..1 << 33;
pub(crate) const TIMES: Range<u64> = 1 << 50..1 << 51;
/// The only span that is measured from a time in the past: the longest that a world's policies let a change settle. What
/// waits for ten minutes and more, for which a process is drained, is beyond every world.
pub(crate) const HORIZON_MICROS: u64 = 3_000_000;

/// A hash of `value` in which every number of an event stands for its place in their order.
pub(crate) fn canonical_hash(value: &impl Hash, now: Timestamp) -> u64 {
    let mut tape = Tape::default();
    value.hash(&mut tape);
    tape.hash_at(now.0)
}

/// Everything that was hashed, in order. Long texts and few calls: in a debug build this is most of what the model does.
#[derive(Default)]
struct Tape {
    bytes: Vec<u8>,
    /// Numbers that stand for something else, and where.
    seqs: Vec<(u64, usize)>,
    epochs: Vec<(u64, usize)>,
    times: Vec<(u64, usize)>,
}

impl Tape {
    fn hash_at(mut self, now: u64) -> u64 {
        for (first, mut numbers) in
            [(SEQS.start, std::mem::take(&mut self.seqs)), (EPOCHS.start, std::mem::take(&mut self.epochs))]
        {
            numbers.sort_unstable();
            let (mut rank, mut last) = (first, 0);
            for (number, place) in numbers {
                rank += u64::from(number != last);
                last = number;
                self.put(place, rank);
            }
        }
        for (time, place) in std::mem::take(&mut self.times) {
            self.put(place, TIMES.start + offset(time, now));
        }
        let mut hash = [0; 8];
        hash.copy_from_slice(&blake3::hash(&self.bytes).as_bytes()[..8]);
        u64::from_le_bytes(hash)
    }

    fn put(&mut self, place: usize, number: u64) {
        self.bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
    }
}

/// In whole milliseconds, the least step of time; 0 for everything that is too old to matter.
fn offset(time: u64, now: u64) -> u64 {
    const MICROS_PER_MILLI: u64 = 1000;
    (time + HORIZON_MICROS + MICROS_PER_MILLI).saturating_sub(now) / MICROS_PER_MILLI
}

impl Hasher for Tape {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        let found = (number, self.bytes.len());
        if SEQS.contains(&number) {
            self.seqs.push(found);
        } else if EPOCHS.contains(&number) {
            self.epochs.push(found);
        } else if TIMES.contains(&number) {
            self.times.push(found);
        }
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        unreachable!("a tape is hashed once it is complete")
    }
}
