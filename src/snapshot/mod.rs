//! Snapshots: what a log adds up to at some of its events, kept so that opening costs the last one and the tail.
//!
//! A cache of plain files beside the log. Each is made by a background snapshotter, not by the reducer: it takes the
//! snapshot before and folds the durable frames since. Opening uses one only if the file is whole, the same version of
//! fold made it, the frame that it names is in the log, and the state in it has the digest it had. Whatever is wrong
//! with it, the next older one is tried, and then all of the log is replayed.

mod directory;
mod file;
mod folding;
mod take;
mod verify;

use crate::codec::state::{decode_state, encode_state};
use crate::core::State;
use crate::core::vocabulary::Seq;
use crate::log::Position;

pub use directory::Snapshots;
pub use file::{SNAPSHOT_HEADER_LENGTH, SnapshotError, SnapshotHeader};
pub use folding::Folding;
pub use take::{Folded, Limit, TakeError, fold_until, take};
pub use verify::{Unusable, VerifiedSnapshot, verify_with_snapshots};

/// Counts the changes of fold and of the encoding of a state that make old snapshots useless: whatever changes what
/// the same events add up to. A fixture in `tests/log/snapshots.rs` fails when one was not counted.
pub const FOLD_VERSION: u32 = 2;

/// The last two are kept: should the last one be damaged, the other still spares most of the log.
pub const KEPT: usize = 2;

impl SnapshotHeader {
    /// The header of a snapshot of `state`, which is the one after the frame at `position`.
    #[must_use]
    pub fn of(state: &State, body: &[u8], position: Position) -> SnapshotHeader {
        SnapshotHeader {
            fold_version: FOLD_VERSION,
            position,
            time: state.at(),
            length: body.len() as u64,
            body_hash: *blake3::hash(body).as_bytes(),
            digest: state.digest(),
        }
    }

    /// Whether `state` is the one of which this header was made.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] if not.
    pub fn check_digest(&self, state: &State) -> Result<(), SnapshotError> {
        let same = state.digest() == self.digest;
        if same { Ok(()) } else { Err(SnapshotError::Damaged("its state has another digest than it states")) }
    }

    fn check_state(&self, state: &State) -> Result<(), SnapshotError> {
        let SnapshotHeader { position, time, .. } = *self;
        if (state.last(), state.epoch(), state.at()) == (position.seq, position.epoch, time) {
            return Ok(());
        }
        Err(SnapshotError::Damaged("its state is that of another event than it states"))
    }
}

impl Snapshots {
    /// The header of the snapshot at `seq`, if this program can use what is behind it.
    ///
    /// # Errors
    /// When the header is damaged, or another version of fold made it.
    pub fn usable_header(&self, seq: Seq) -> Result<SnapshotHeader, SnapshotError> {
        usable(self.header(seq)?)
    }

    /// The state in the snapshot at `seq`.
    ///
    /// # Errors
    /// When the file is not whole, another version of fold made it, or its state is not the one that it was.
    pub fn load(&self, seq: Seq) -> Result<(SnapshotHeader, State), SnapshotError> {
        let (header, state) = self.load_unchecked(seq)?;
        header.check_digest(&state)?;
        state.check_parts().map_err(|_| SnapshotError::Damaged("an invariant does not hold in its state"))?;
        Ok((header, state))
    }

    /// The state as the file has it, whatever its digest: for verification, which compares it with the real one.
    pub(crate) fn load_unchecked(&self, seq: Seq) -> Result<(SnapshotHeader, State), SnapshotError> {
        let (header, body) = self.read(seq)?;
        let header = usable(header)?;
        let state = decode_state(&body).map_err(SnapshotError::State)?;
        header.check_state(&state)?;
        Ok((header, state))
    }

    /// Writes a snapshot of `state`, which is the one after the frame at `position`, and removes those that are of no
    /// use any more: all but the last two, and those before `begins`, the first event of the log.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn store(&self, state: &State, position: Position, begins: Seq) -> Result<SnapshotHeader, SnapshotError> {
        let mut body = Vec::new();
        encode_state(state, &mut body).map_err(SnapshotError::State)?;
        let header = SnapshotHeader::of(state, &body, position);
        self.write(&header, &body)?;
        self.prune(KEPT, begins)?;
        Ok(header)
    }
}

fn usable(header: SnapshotHeader) -> Result<SnapshotHeader, SnapshotError> {
    let fold_version = header.fold_version;
    if fold_version == FOLD_VERSION { Ok(header) } else { Err(SnapshotError::OtherFold { fold_version }) }
}
