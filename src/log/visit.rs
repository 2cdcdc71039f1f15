//! What somebody makes of a log while it is opened.

use super::{Base, Frame, Position};

/// Is shown a log while it is opened, so that checking it and replaying it are one pass. A closure that takes frames
/// is shown all of them.
///
/// What is shown is whole and chained, but whether the log reaches its anchor is known only at the end: on an error
/// throw away what was made of it.
pub trait Visitor {
    /// Positions from which this visitor could go on without the frames before, best first.
    fn known(&mut self) -> Vec<Position> {
        Vec::new()
    }

    /// The log holds the frame that ends at `position`, one of those that are known. If it goes on from there, only
    /// the frames behind it are read and shown; otherwise the next known one is tried, and then all of the log.
    fn resume(&mut self, position: Position) -> bool {
        let _ = position;
        false
    }

    /// The log begins behind a deleted prefix, for which this stands. Comes before the first frame, and not at all
    /// after a [`resume`](Visitor::resume).
    fn base(&mut self, base: &Base) {
        let _ = base;
    }

    /// The next frame.
    fn frame(&mut self, frame: &Frame<'_>);
}

impl<F: FnMut(&Frame<'_>)> Visitor for F {
    fn frame(&mut self, frame: &Frame<'_>) {
        self(frame);
    }
}
