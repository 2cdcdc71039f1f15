//! Reading frames back: parts joined, checked, chained. It must not know where a log has to end: `check.rs` does.

use std::ops::Bound;
use std::sync::Arc;

use ::sled::{IVec, Iter};

use super::store::{PART_LENGTH, SledStore, key};
use crate::core::vocabulary::Seq;
use crate::log::frame::array;
use crate::log::{Chain, Frame, FrameBuf, FrameError, LogError, LogReader, MAX_FRAME_LENGTH, Start};

/// A frame never has more parts than this.
const MAX_PARTS: usize = MAX_FRAME_LENGTH.div_ceil(PART_LENGTH);

/// Reads the frames of an open store.
pub(super) struct SledReader(pub(super) Arc<SledStore>);

impl LogReader for SledReader {
    fn start(&self) -> Start {
        self.0.start()
    }

    fn frames(&self, from: Seq) -> Box<dyn Iterator<Item = Result<FrameBuf, LogError>> + Send + '_> {
        Box::new(Frames::new(&self.0, from, Some(self.0.appended())))
    }

    fn another(&self) -> Box<dyn LogReader> {
        Box::new(SledReader(Arc::clone(&self.0)))
    }
}

/// The frames from one that holds a given `Seq`.
pub(super) struct Frames<'a> {
    store: &'a SledStore,
    state: State,
    /// The last `Seq` that has to be there; without it, the entries say where the end is.
    until: Option<Seq>,
    /// The event that comes next.
    from: Seq,
    chain: Chain,
}

enum State {
    Start,
    /// Boxed for its 280 bytes.
    Reading(Box<Iter>),
    Ended,
}

/// One entry: the frame's first `Seq`, the number of the part, its bytes.
struct Part {
    base: Seq,
    number: u32,
    bytes: IVec,
}

impl<'a> Frames<'a> {
    /// The frames from the one that holds `from`; with 0 from where the log begins.
    pub(super) fn new(store: &'a SledStore, from: Seq, until: Option<Seq>) -> Self {
        let start = store.start();
        let from = if from == Seq::ZERO { start.first() } else { from };
        let chain = if from == start.first() { start.chain() } else { Chain::anywhere() };
        Frames { store, state: State::Start, until, from, chain }
    }

    /// The chain of what was read so far.
    pub(super) fn so_far(&self) -> Chain {
        self.chain
    }

    fn read(&mut self) -> Result<Option<FrameBuf>, LogError> {
        if let State::Start = self.state {
            self.check_there(self.from)?;
            if self.until.is_some_and(|until| until < self.from) {
                return Ok(None);
            }
            self.state = State::Reading(Box::new(self.seek(self.from)?));
        }
        if self.until.is_some_and(|until| self.chain.position().seq >= until) {
            return Ok(None);
        }
        let expected = self.chain.position().seq.next();
        let Some((base, bytes)) = self.join()? else {
            return match self.until {
                None => Ok(None),
                Some(_) => Err(LogError::Damaged { at: expected, found: FrameError::Missing }),
            };
        };
        let read = FrameBuf::parse(bytes).map_err(|found| LogError::Damaged { at: base, found })?;
        let frame = read.as_frame();
        if frame.first() != base {
            let found = FrameError::Gap { expected: base, found: frame.first() };
            return Err(LogError::Damaged { at: base, found });
        }
        self.chain.check(&frame).map_err(|found| LogError::Damaged { at: expected, found })?;
        // Only now is it certain that nothing was deleted while it was read.
        self.check_there(self.from)?;
        self.from = frame.last().next();
        Ok(Some(read))
    }

    /// An event that was deleted is not one that is missing.
    fn check_there(&self, seq: Seq) -> Result<(), LogError> {
        let begins = self.store.start().first();
        if seq < begins { Err(LogError::PrefixGone { begins }) } else { Ok(()) }
    }

    /// The entries from the frame that holds `from`: the last one that begins there or before.
    fn seek(&self, from: Seq) -> Result<Iter, LogError> {
        self.guard(|tree| {
            let frames = key(Seq(1), 0)..=key(from, u32::MAX);
            let before = tree.range(frames).next_back().transpose()?;
            let first = match before.as_ref().and_then(|(name, _)| name.first_chunk::<8>()) {
                Some(base) => base.to_vec(),
                None => key(Seq(1), 0).to_vec(),
            };
            Ok(tree.range::<Vec<u8>, _>((Bound::Included(first), Bound::Unbounded)))
        })
    }

    /// All parts of the next frame.
    fn join(&mut self) -> Result<Option<(Seq, Vec<u8>)>, LogError> {
        let Some(first) = self.part()? else { return Ok(None) };
        let at = first.base;
        check_number(at, 0, Some(first.number))?;
        let whole = Frame::length_from(&first.bytes).map_err(|found| LogError::Damaged { at, found })?;
        let mut bytes = first.bytes.to_vec();
        for expected in 1..whole.div_ceil(PART_LENGTH).min(MAX_PARTS) {
            let expected = u32::try_from(expected).unwrap_or(u32::MAX);
            let part = self.part()?.filter(|part| part.base == at);
            check_number(at, expected, part.as_ref().map(|part| part.number))?;
            if let Some(part) = part {
                bytes.extend_from_slice(&part.bytes);
            }
        }
        Ok(Some((at, bytes)))
    }

    fn part(&mut self) -> Result<Option<Part>, LogError> {
        let State::Reading(entries) = &mut self.state else { return Ok(None) };
        let next = self.store.guard(|_, _| entries.next().transpose()).map_err(LogError::from)?;
        let Some((name, bytes)) = next else { return Ok(None) };
        if name.len() != key(Seq::ZERO, 0).len() {
            let at = self.chain.position().seq.next();
            return Err(LogError::Damaged { at, found: FrameError::Key { length: name.len() } });
        }
        let (base, number) = (Seq(u64::from_be_bytes(array(&name, 0))), u32::from_be_bytes(array(&name, 8)));
        Ok(Some(Part { base, number, bytes }))
    }

    fn guard<T>(&self, work: impl FnOnce(&::sled::Tree) -> ::sled::Result<T>) -> Result<T, LogError> {
        self.store.guard(|_, tree| work(tree)).map_err(LogError::from)
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<FrameBuf, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.state, State::Ended) {
            return None;
        }
        // The prefix may have been deleted under the reader, which is no damage.
        let read = self.read().or_else(|error| self.check_there(self.from).and(Err(error)));
        let next = read.transpose();
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Ended;
        }
        next
    }
}

fn check_number(at: Seq, expected: u32, found: Option<u32>) -> Result<(), LogError> {
    if found == Some(expected) {
        return Ok(());
    }
    Err(LogError::Damaged { at, found: FrameError::Parts { expected, found } })
}
