//! What the log asks of the layers that know what its records mean.

use super::{Frame, FrameBuf, LogError, Position, Start};

/// Frames in the order of the log; the last item may be an error.
pub type FrameIter<'f> = dyn Iterator<Item = Result<FrameBuf, LogError>> + 'f;

/// Says whether the checkpoint of a start is whole in frames that begin with the one that holds its first part. A log
/// asks before it deletes a prefix, for that cannot be taken back.
pub type CheckpointCheck = fn(Start, &mut FrameIter<'_>) -> Result<(), LogError>;

/// Is shown a log while it is opened, so that checking it and replaying it are one pass.
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

    /// The log begins behind a deleted prefix. What stands for it is in `frames`, which begin with the one that holds
    /// its first part. Comes before the first frame, and not at all after a [`resume`](Visitor::resume).
    ///
    /// # Errors
    /// When the checkpoint is not there or cannot be read; the log is not opened then. There is no default: only a
    /// visitor knows what a checkpoint looks like.
    fn checkpoint(&mut self, start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError>;

    /// The next frame.
    fn frame(&mut self, frame: &Frame<'_>);
}
