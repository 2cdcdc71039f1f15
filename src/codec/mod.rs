//! Events to bytes and back, exactly as `log-format.md` says. The only module that names bincode.
//!
//! A payload is bincode 2.0 in its standard configuration (little-endian varints), read from a slice whose frame was
//! verified, with a limit, and with nothing left over.

mod decode;
mod encode;
mod records;
pub mod state;

use std::fmt;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::{BorrowDecode, Encode};

use crate::error::ErrorKind;

pub use decode::decode;
pub use encode::encode;

/// No payload is longer: the largest event that a person causes is a declaration with a spec of 64 KiB and a source of
/// 4 KiB; the parts of a checkpoint are cut to fit.
const MOST_PAYLOAD: usize = 1 << 20;

/// Set in a record's version: its payload begins with who asked for the event, and why.
const ATTRIBUTED: u16 = 1 << 15;

/// Numbers on disk have no sign: one that has is moved up by this, so that the order stays.
const SIGN: u16 = 1 << 15;

/// The number of an event's type, and the version of its payload. Both stand outside the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The type. Numbers only grow; a retired one is never used again.
    pub event_type: u16,
    /// The version of its payload. The highest bit says that who asked for the event, and why, stands before it.
    pub version: u16,
}

impl Tag {
    /// The version without what the highest bit says.
    #[must_use]
    pub fn payload_version(self) -> u16 {
        self.version & !ATTRIBUTED
    }

    /// Whether the record holds a part of a checkpoint.
    #[must_use]
    pub fn is_checkpoint_part(self) -> bool {
        self.event_type == BASE_FRAME
    }
}

/// Declares the registry of event types. Numbers 1-15 are control records, 16-31 declarations and what people ask
/// for, 32-47 observations, 48-63 tasks, 64-79 deliveries to destinations.
macro_rules! registry {
    ($($number:literal $version:literal $constant:ident $name:literal,)*) => {
        $(const $constant: u16 = $number;)*

        /// Every event type that this program writes: number, version, name. Older versions are read.
        pub const REGISTRY: &[(u16, u16, &str)] = &[$(($number, $version, $name),)*];
    };
}

registry! {
    1 1 WRITER_OPENED "writer_opened",
    2 1 DATA_LOSS_ACCEPTED "data_loss_accepted",
    3 2 BASE_FRAME "base_frame",
    4 1 LIMITS_CHANGED "limits_changed",
    16 2 COLLECTION_DECLARED "collection_declared",
    17 1 SOURCE_CHANGED "source_changed",
    18 1 SPEC_CHANGED "spec_changed",
    19 2 POLICY_CHANGED "policy_changed",
    20 1 COLLECTION_DROPPED "collection_dropped",
    21 1 COLLECTION_PAUSED "collection_paused",
    22 1 COLLECTION_RESUMED "collection_resumed",
    23 1 REFRESH_REQUESTED "refresh_requested",
    32 1 SOURCE_OBSERVED "source_observed",
    33 1 OBSERVATION_FAILED "observation_failed",
    34 1 COLLECTION_HELD "collection_held",
    35 1 HOLD_CONFIRMED "hold_confirmed",
    48 1 TASK_CREATED "task_created",
    49 1 TASK_STARTED "task_started",
    50 1 TASK_ABORTED "task_aborted",
    51 1 TASK_COMPLETED "task_completed",
    52 1 ATTEMPT_FAILED "attempt_failed",
    53 1 ATTEMPT_ENDED "attempt_ended",
    54 1 TASK_PARKED "task_parked",
    55 1 COMPLETION_REJECTED "completion_rejected",
    56 1 TASK_WOKEN "task_woken",
    64 1 PUBLISHED "published",
    65 1 PUBLISH_FAILED "publish_failed",
    66 1 DISCARDED "discarded",
}

/// Why an event could not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The type or its version is none that this program knows: the log was written by a newer one.
    Unknown(Tag),
    /// The payload does not have the layout of its type.
    Payload {
        /// Which type.
        tag: Tag,
        /// What is wrong with it.
        problem: String,
    },
}

impl CodecError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            CodecError::Unknown(_) => ErrorKind::TooNew,
            CodecError::Payload { .. } => ErrorKind::Damaged,
        }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Unknown(tag) => {
                write!(f, "event type {} version {} is not known to this program", tag.event_type, tag.version)
            }
            CodecError::Payload { tag, problem } => {
                write!(f, "the payload of event type {} version {} is damaged: {problem}", tag.event_type, tag.version)
            }
        }
    }
}

impl std::error::Error for CodecError {}

/// How every payload is written and read. The limit is one for what is read: it bounds what a length that is damaged
/// can reserve.
const LAYOUT: Configuration<LittleEndian, Varint, Limit<MOST_PAYLOAD>> =
    bincode::config::standard().with_limit::<MOST_PAYLOAD>();

/// Appends a record to `out`.
fn put<R: Encode>(record: &R, out: &mut Vec<u8>) -> Result<(), String> {
    let begin = out.len();
    bincode::encode_into_writer(record, Appending(out), LAYOUT).map_err(|error| error.to_string())?;
    let length = out.len() - begin;
    if length > MOST_PAYLOAD {
        out.truncate(begin);
        return Err(format!("it has {length} bytes, and at most {MOST_PAYLOAD} are allowed"));
    }
    Ok(())
}

/// Reads a record that `bytes` begin with, and what is behind it.
fn take<'a, R: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(R, &'a [u8]), String> {
    let (record, length) = bincode::borrow_decode_from_slice(bytes, LAYOUT).map_err(|error| error.to_string())?;
    Ok((record, bytes.get(length..).unwrap_or_default()))
}

/// Reads a record that is all of `bytes`.
fn take_all<'a, R: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<R, String> {
    match take(bytes)? {
        (record, []) => Ok(record),
        (_, rest) => Err(format!("{} bytes are left over", rest.len())),
    }
}

struct Appending<'o>(&'o mut Vec<u8>);

impl Writer for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
