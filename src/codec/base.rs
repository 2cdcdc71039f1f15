//! The parts of a base, type 3: the state that stands for a deleted prefix of the log.

use bincode::Options;
use serde::{Deserialize, Serialize};

use super::records::Hash32;
use super::{CodecError, Tag, options};
use crate::core::vocabulary::Seq;

/// The type of a record that holds a part of a base.
pub const BASE_FRAME: u16 = 3;

/// The version of the payload and of the state in it.
pub const BASE_VERSION: u16 = 1;

/// 256 KiB of the state in one record: four records stay within the megabyte at which a frame is closed, so that
/// what is committed beside them does not wait for long.
pub const MOST_PART_BYTES: usize = 256 << 10;

/// A part of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasePart<'a> {
    /// The last event for which the base stands.
    pub at: Seq,
    /// The hash of the frame that ends with it.
    pub hash: [u8; 32],
    /// Plain BLAKE3 of the whole state.
    pub body_hash: [u8; 32],
    /// The number of this part, from 0.
    pub part: u32,
    /// How many there are, at least 1.
    pub parts: u32,
    /// This part of the encoded state.
    pub bytes: &'a [u8],
}

/// Type 3, version 1.
#[derive(Serialize, Deserialize)]
struct BaseFrameV1<'a> {
    at: u64,
    hash: Hash32,
    body_hash: Hash32,
    part: u32,
    parts: u32,
    #[serde(borrow)]
    bytes: &'a [u8],
}

/// Appends the payload of `part` to `out`.
///
/// # Errors
/// When it is too long.
pub fn encode_part(part: &BasePart<'_>, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    let BasePart { at, hash, body_hash, part, parts, bytes } = *part;
    let tag = Tag { event_type: BASE_FRAME, version: BASE_VERSION };
    let record = BaseFrameV1 { at: at.0, hash, body_hash, part, parts, bytes };
    options().serialize_into(out, &record).map_err(|error| CodecError::Payload { tag, problem: error.to_string() })?;
    Ok(tag)
}

/// Reads the payload of a part.
///
/// # Errors
/// When the version is not known or the payload is damaged.
pub fn decode_part(version: u16, payload: &[u8]) -> Result<BasePart<'_>, CodecError> {
    let tag = Tag { event_type: BASE_FRAME, version };
    if version != BASE_VERSION {
        return Err(CodecError::Unknown(tag));
    }
    let damaged = |problem: String| CodecError::Payload { tag, problem };
    let record: BaseFrameV1<'_> = options().deserialize(payload).map_err(|error| damaged(error.to_string()))?;
    let BaseFrameV1 { at, hash, body_hash, part, parts, bytes } = record;
    if part >= parts {
        return Err(damaged(format!("part {part} of {parts} does not exist")));
    }
    Ok(BasePart { at: Seq(at), hash, body_hash, part, parts, bytes })
}
