//! A whole state as bytes, for snapshots and for checkpoints: a stream of items, each with its length, so that neither a
//! writer nor a reader needs more than one of them at a time and no number of collections is too large.
//!
//! ```text
//! item   u8 tag   u32 length   so many bytes: a bincode struct like any payload
//! head   (word*  collection  obligation*)*   (word*  orphan  obligation*)*   draining*   end
//! ```
//!
//! Collections, orphans and draining attempts come in ascending order of their ids and tokens. The words of a
//! collection stand before it, each once, and are named by their place. Indices are left out: they follow.
//!
//! A checkpoint in a log has to be readable for ever, so this is as frozen as the payloads: a change is a new version.

mod decode;
mod encode;
mod records;

use std::fmt;

use crate::error::ErrorKind;

pub use decode::{decode_state, decode_state_of};
pub use encode::{encode_state, encode_state_in_parts};

/// The version that is written, which is that of the payload of `base_frame`. Older ones are read.
pub const STATE_VERSION: u16 = 2;

/// Bytes in front of each item.
const ITEM_HEADER_LENGTH: usize = 5;

/// What kind of item comes. Numbers only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Item {
    Head = 1,
    Inputs = 2,
    Collection = 3,
    OutboxEntry = 4,
    Orphan = 5,
    Draining = 6,
    End = 7,
}

/// Why a state could not be encoded or decoded: what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError(String);

impl StateError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Damaged
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the encoded state is damaged: {}", self.0)
    }
}

impl std::error::Error for StateError {}
