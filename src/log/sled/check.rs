//! What is checked when a log is opened: its files before sled may touch them, and its frames up to `HEAD`. It changes nothing,
//! and must not know who opens a log or why.

use std::fs;
use std::io;

use super::reader::Frames;
use super::store::SledStore;
use crate::core::vocabulary::Seq;
use crate::log::anchor::Anchor;
use crate::log::directory::Directory;
use crate::log::{Chain, OpenError, Position, Visitor};

/// What a check came to.
pub(super) struct Checked {
    pub(super) chain: Chain,
    /// How many frames were read for it.
    pub(super) frames: u64,
}

/// Walks the frames of `store`, from where the visitor goes on or else from the first one, and holds their end against
/// `anchor`.
pub(super) fn check(store: &SledStore, anchor: &Anchor, visitor: &mut dyn Visitor) -> Result<Checked, OpenError> {
    store.read_start()?;
    let named = anchor.position;
    let mut read = 0;
    let resumed = begin(store, visitor, &mut read)?;
    // From HEAD on if the visitor goes on behind it: what HEAD names has to be there, and chained to the end.
    let mut frames = Frames::new(store, resumed.min(named.seq), None);
    while let Some(frame) = frames.next().transpose()? {
        read += 1;
        let frame = frame.as_frame();
        if frame.first() <= named.seq && named.seq <= frame.last() && Position::of(&frame) != named {
            return Err(OpenError::OtherThanAnchor { seq: named.seq, expected: named.hash, found: frame.hash() });
        }
        if frame.first() > resumed {
            visitor.frame(&frame);
        }
    }
    let (anchor_seq, found) = (named.seq, frames.so_far().position().seq);
    if found < anchor_seq {
        return Err(OpenError::ShorterThanAnchor { anchor: anchor_seq, found });
    }
    if found > anchor_seq && (anchor.clean || !anchor.complete) {
        return Err(OpenError::LongerThanAnchor { anchor: anchor_seq, found });
    }
    Ok(Checked { chain: frames.so_far(), frames: read })
}

/// Finds out from where the visitor goes on: the event after which it wants to see frames.
fn begin(store: &SledStore, visitor: &mut dyn Visitor, read: &mut u64) -> Result<Seq, OpenError> {
    let start = store.start();
    for known in visitor.known() {
        if known.seq < start.first() {
            continue;
        }
        *read += 1;
        let there = Frames::new(store, known.seq, None).next();
        let there = there.is_some_and(|frame| frame.is_ok_and(|frame| Position::of(&frame.as_frame()) == known));
        if there && visitor.resume(known) {
            return Ok(known.seq);
        }
    }
    if !start.is_whole() {
        visitor.checkpoint(start, &mut Frames::new(store, start.checkpoint, None).inspect(|_| *read += 1))?;
    }
    Ok(Seq::ZERO)
}

/// What can be known before sled touches the files. `db` may rightly be shorter than an unclean `HEAD` says, because
/// sled gives free segments at its end back; after a clean close it may not.
pub(super) fn check_files(directory: &Directory, anchor: &Anchor) -> Result<(), OpenError> {
    let path = directory.db();
    let found = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::FileMissing { path }),
        Err(error) => return Err(OpenError::io("looking at", &path)(error)),
    };
    let expected = if anchor.clean { anchor.db_length } else { 0 };
    if found == 0 || found < expected {
        return Err(OpenError::FileShorterThanAnchor { path, expected: anchor.db_length, found });
    }
    Ok(())
}
