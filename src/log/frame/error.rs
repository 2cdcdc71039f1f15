//! What can be wrong with a frame, alone or behind its predecessor.

use std::fmt;

use super::FrameHash;
use crate::core::vocabulary::{Epoch, Seq, Timestamp};
use crate::error::ErrorKind;

/// What is wrong with a frame. Every variant carries what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Fewer bytes than a header has.
    TooShort {
        /// The bytes needed.
        needed: usize,
        /// The bytes there.
        found: usize,
    },
    /// Not the beginning of a frame.
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// Whole, but written by a newer program.
    TooNew {
        /// Its format version.
        version: u16,
    },
    /// Format version 0, which was never written.
    NoVersion,
    /// Whole, but its payloads are encoded in a way this program does not know.
    UnknownCodec {
        /// The codec's number.
        codec: u16,
    },
    /// The header states another length than is there.
    Length {
        /// The bytes stated for the whole frame.
        stated: usize,
        /// The bytes there.
        found: usize,
    },
    /// Longer than a frame may be.
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The most bytes allowed.
        limit: usize,
    },
    /// The CRC32C does not hold.
    Crc {
        /// The one stored.
        expected: u32,
        /// The one of the bytes there.
        found: u32,
    },
    /// The BLAKE3 hash does not hold.
    Hash {
        /// The one stored.
        expected: FrameHash,
        /// The one of the bytes there.
        found: FrameHash,
    },
    /// Reserved bytes are not zero.
    Reserved,
    /// No records, or more than a frame may have.
    Count {
        /// The number of records.
        count: u32,
    },
    /// A first `Seq` of 0, or one from which the records would pass the last number.
    Base {
        /// The first `Seq`.
        found: Seq,
    },
    /// A record goes on past the end of the frame.
    RecordCut {
        /// Its index in the frame, from 0.
        record: u32,
        /// The bytes left for it.
        left: usize,
    },
    /// Bytes are left behind the last record.
    RecordsLeftOver {
        /// How many.
        left: usize,
    },
    /// A payload is longer than it may be.
    PayloadTooLong {
        /// Its length in bytes.
        length: usize,
        /// The most bytes allowed.
        limit: usize,
    },
    /// A frame of the log is not there.
    Missing,
    /// The parts in which the frame is stored are not all there, or not the right ones.
    Parts {
        /// The number of the part that should come next, from 0.
        expected: u32,
        /// The number of the part found, or none.
        found: Option<u32>,
    },
    /// The storage engine holds an entry under a name that no frame has.
    Key {
        /// The length of that name in bytes.
        length: usize,
    },
    /// It does not begin where its predecessor ended.
    Gap {
        /// The `Seq` that comes next.
        expected: Seq,
        /// The `Seq` it begins with.
        found: Seq,
    },
    /// It names another predecessor.
    Chain {
        /// The hash of the frame before.
        expected: FrameHash,
        /// The hash it names.
        found: FrameHash,
    },
    /// Its writer's epoch is lower than its predecessor's.
    EpochWentBack {
        /// The predecessor's.
        last: Epoch,
        /// Its own.
        found: Epoch,
    },
    /// Its time is before its predecessor's.
    TimeWentBack {
        /// The predecessor's.
        last: Timestamp,
        /// Its own.
        found: Timestamp,
    },
    /// What the storage engine has stored of the start of the log is damaged.
    Start,
    /// A part of a checkpoint cannot be read.
    CheckpointPart {
        /// The event that holds it.
        at: Seq,
        /// The version of its payload.
        version: u16,
        /// The newest version that this program reads.
        newest: u16,
    },
    /// The events before this one were deleted, and what they had added up to is not in the log.
    NoCheckpoint {
        /// The last of them.
        seq: Seq,
        /// The hash of the frame that ended with it.
        hash: FrameHash,
    },
}

impl FrameError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        if self.is_too_new() { ErrorKind::TooNew } else { ErrorKind::Damaged }
    }

    /// Whether a newer program may be able to read this: it is whole, and not damaged.
    #[must_use]
    pub fn is_too_new(&self) -> bool {
        match self {
            FrameError::TooNew { .. } | FrameError::UnknownCodec { .. } => true,
            FrameError::CheckpointPart { version, newest, .. } => version > newest,
            _ => false,
        }
    }
}

/// A count of bytes with its noun, in the singular for one.
fn bytes(count: usize) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FrameError::*;
        match self {
            TooShort { needed, found } => write!(f, "{} where a header needs {needed}", bytes(*found)),
            Magic { found } => write!(f, "it begins with {found:02x?} and not with LWFR"),
            TooNew { version } => write!(f, "it has format version {version}, newer than this program knows"),
            NoVersion => write!(f, "it has format version 0, which does not exist"),
            UnknownCodec { codec } => write!(f, "its payloads have codec {codec}, which this program does not know"),
            Length { stated, found } => write!(f, "it states a length of {} and has {found}", bytes(*stated)),
            TooLong { length, limit } => write!(f, "{length} bytes are more than the {limit} of a frame"),
            Crc { expected, found } => write!(f, "its CRC is {found:08x} and should be {expected:08x}"),
            Hash { expected, found } => write!(f, "its hash is {found} and should be {expected}"),
            Reserved => write!(f, "its reserved bytes are not zero"),
            Count { count } => write!(f, "{count} records are none or too many for one frame"),
            Base { found } => write!(f, "it cannot begin with event {found}"),
            RecordCut { record, left: 1 } => write!(f, "record {record} needs more than the 1 byte left for it"),
            RecordCut { record, left } => write!(f, "record {record} needs more than the {left} bytes left for it"),
            RecordsLeftOver { left: 1 } => write!(f, "1 byte is left behind its last record"),
            RecordsLeftOver { left } => write!(f, "{left} bytes are left behind its last record"),
            PayloadTooLong { length, limit } => write!(f, "a payload of {length} bytes passes the limit of {limit}"),
            Missing => write!(f, "it is not there"),
            Parts { expected, found: Some(found) } => write!(f, "part {found} is stored where part {expected} belongs"),
            Parts { expected, found: None } => write!(f, "part {expected} of it is not there"),
            Key { length } => write!(f, "an entry with a name of {} is stored there", bytes(*length)),
            Gap { expected, found } => write!(f, "it begins with event {found} where {expected} comes next"),
            Chain { expected, found } => write!(f, "it follows frame {found} and not {expected}"),
            EpochWentBack { last, found } => write!(f, "its epoch {found} is lower than {last}"),
            TimeWentBack { last, found } => write!(f, "its time {found} is before {last}"),
            Start => write!(f, "what is noted of the start of the log is damaged"),
            CheckpointPart { at, version, .. } => {
                write!(f, "event {at} holds a part of a checkpoint, version {version}, that cannot be read")
            }
            NoCheckpoint { seq, hash } => {
                write!(f, "the events up to {seq} (frame {hash}) were deleted, and the state they led to is not there")
            }
        }
    }
}

impl std::error::Error for FrameError {}
