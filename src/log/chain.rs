//! Whether a frame continues the one before it. Every reader and every writer asks here.

use super::{Frame, FrameError, Position};
use crate::core::vocabulary::Timestamp;

/// Takes frames in order and checks that each continues its predecessor: numbers without a gap, the
/// predecessor's hash, an epoch and a time that never go back.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    last: Option<(Position, Timestamp)>,
}

impl Chain {
    /// The chain of a whole log: its first frame has to be the first of all.
    #[must_use]
    pub fn from_start() -> Self {
        Chain { last: Some((Position::START, Timestamp(0))) }
    }

    /// A chain that begins with whatever frame comes first.
    #[must_use]
    pub fn anywhere() -> Self {
        Chain { last: None }
    }

    /// The chain that goes on behind `position`, whose frame has the time `time`.
    #[must_use]
    pub fn after(position: Position, time: Timestamp) -> Self {
        Chain { last: Some((position, time)) }
    }

    /// Whether `frame` comes next; if so it is the last one from now on, if not nothing changes.
    ///
    /// # Errors
    /// [`Gap`](FrameError::Gap), [`Chain`](FrameError::Chain), [`EpochWentBack`](FrameError::EpochWentBack) or
    /// [`TimeWentBack`](FrameError::TimeWentBack), in this order.
    pub fn check(&mut self, frame: &Frame<'_>) -> Result<(), FrameError> {
        let header = frame.header();
        if let Some((last, time)) = self.last {
            if header.base != last.seq.next() {
                return Err(FrameError::Gap { expected: last.seq.next(), found: header.base });
            }
            if header.previous != last.hash {
                return Err(FrameError::Chain { expected: last.hash, found: header.previous });
            }
            if header.epoch < last.epoch {
                return Err(FrameError::EpochWentBack { last: last.epoch, found: header.epoch });
            }
            if header.time < time {
                return Err(FrameError::TimeWentBack { last: time, found: header.time });
            }
        }
        self.last = Some((Position::of(frame), header.time));
        Ok(())
    }

    /// The last frame; the start if there was none.
    #[must_use]
    pub fn position(&self) -> Position {
        self.last.map_or(Position::START, |(position, _)| position)
    }

    /// The time of the last frame; zero if there was none.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.last.map_or(Timestamp(0), |(_, time)| time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::vocabulary::{Epoch, Seq};
    use crate::log::{FrameBuilder, FrameHash};

    /// Numbers (base, epoch, time) of a frame behind `previous`.
    fn check(chain: &mut Chain, (base, epoch, time): (u64, u64, u64), previous: FrameHash) -> Result<(), FrameError> {
        let mut builder = FrameBuilder::new();
        builder.push(1, 1, b"x").unwrap();
        builder.push(1, 1, b"y").unwrap();
        let frame = builder.seal(Seq(base), Epoch(epoch), Timestamp(time), Timestamp(0), previous).unwrap();
        chain.check(&frame)
    }

    #[test]
    fn every_way_not_to_continue_has_its_name() {
        let mut chain = Chain::from_start();
        let gap = FrameError::Gap { expected: Seq(1), found: Seq(2) };
        assert_eq!(check(&mut chain, (2, 5, 50), FrameHash::ZERO), Err(gap));
        check(&mut chain, (1, 5, 50), FrameHash::ZERO).unwrap();
        let last = chain.position();
        assert_eq!((last.seq, chain.time()), (Seq(2), Timestamp(50)));

        let other = FrameError::Chain { expected: last.hash, found: FrameHash::ZERO };
        assert_eq!(check(&mut chain, (3, 5, 50), FrameHash::ZERO), Err(other));
        let epoch = FrameError::EpochWentBack { last: Epoch(5), found: Epoch(4) };
        assert_eq!(check(&mut chain, (3, 4, 50), last.hash), Err(epoch));
        let time = FrameError::TimeWentBack { last: Timestamp(50), found: Timestamp(49) };
        assert_eq!(check(&mut chain, (3, 5, 49), last.hash), Err(time));

        assert_eq!(chain.position(), last);
        check(&mut chain, (3, 5, 50), last.hash).unwrap();
        check(&mut Chain::after(last, Timestamp(50)), (3, 6, 51), last.hash).unwrap();
        check(&mut Chain::anywhere(), (99, 1, 1), FrameHash([9; 32])).unwrap();
    }
}
