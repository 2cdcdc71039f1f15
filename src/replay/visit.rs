//! A closure as a visitor of a log that is opened.

use super::check_checkpoint;
use crate::log::{Frame, FrameIter, LogError, Start, Visitor};

/// A closure that takes frames is shown all of them. Of a checkpoint it only learns that it is whole.
impl<F: FnMut(&Frame<'_>)> Visitor for F {
    fn checkpoint(&mut self, start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError> {
        check_checkpoint(start, frames)
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self(frame);
    }
}
