//! The envelope of one group commit: a header, the records, and hashes over both.
//!
//! The layout is normative in `log-format.md`; all integers are little-endian.
//!
//! ```text
//!   0 magic "LWFR"        4 format version u16   6 codec id u16
//!   8 base seq u64       16 count u32           20 length of the records u32
//!  24 epoch u64          32 time u64            40 wall u64
//!  48 hash of the previous frame, 32 bytes      80 reserved, 12 zero bytes
//!  92 CRC32C u32 over bytes 0..92 and the records
//!  96 records: event type u16, event version u16, payload length u32, payload
//!     BLAKE3 over header and records, 32 bytes: the hash of the frame
//! ```
//!
//! Two checks, because they answer two questions: the CRC says cheaply whether these are the bytes that were
//! written, the hash names the frame for the chain, the anchor and exports.

mod build;
mod error;

use std::fmt;

use crate::core::vocabulary::{Epoch, Seq, Timestamp, write_hex};

pub use build::FrameBuilder;
pub use error::FrameError;

/// Bytes of the header.
pub const HEADER_LENGTH: usize = 96;
/// Bytes of the hash behind the records.
pub const TRAILER_LENGTH: usize = 32;
/// Bytes of a record in front of its payload.
pub const RECORD_HEADER_LENGTH: usize = 8;

/// The format version that this code writes, and the newest it reads.
pub const FORMAT_VERSION: u16 = 1;
/// Payloads are bincode with variable-length integers: `DefaultOptions` of 1.3, the standard configuration of 2.0.
pub const CODEC_BINCODE: u16 = 1;

/// The most bytes of one frame, header and hash included: 64 MiB. A reader holds one frame in memory, so this is
/// what reading any log may cost; a full batch of ordinary events stays two orders of magnitude below it.
pub const MAX_FRAME_LENGTH: usize = 64 << 20;
/// The most bytes of one payload: 1 MiB. What is larger is an object, and the event carries its hash.
pub const MAX_PAYLOAD_LENGTH: usize = 1 << 20;
/// The most records of one frame. Throughput stopped growing at about 4,096 events a frame, and everything in a
/// frame waits for its last record: sixteen times that is room for bursts, not a goal.
pub const MAX_RECORDS: usize = 65_536;

const MAGIC: [u8; 4] = *b"LWFR";
const CRC_AT: usize = 92;

/// The hash of a frame: BLAKE3 over its header and records. The all-zero hash stands before the first frame.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameHash(pub [u8; 32]);

impl FrameHash {
    /// What the first frame names as its predecessor.
    pub const ZERO: FrameHash = FrameHash([0; 32]);
}

impl fmt::Display for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameHash({self})")
    }
}

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// How the payloads are encoded; see [`CODEC_BINCODE`].
    pub codec: u16,
    /// The `Seq` of the first record; the others follow without gaps.
    pub base: Seq,
    /// The number of records, at least 1.
    pub count: u32,
    /// The length of all records in bytes.
    pub length: u32,
    /// The epoch of the writer.
    pub epoch: Epoch,
    /// The engine's time of the commit. It never goes back within a log.
    pub time: Timestamp,
    /// The wall clock as it was read, for people only: it may jump.
    pub wall: Timestamp,
    /// The hash of the frame before.
    pub previous: FrameHash,
}

/// One event as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its position in the log.
    pub seq: Seq,
    /// Which event it is; the numbers are given out in `log-format.md`.
    pub event_type: u16,
    /// Which version of that event's payload.
    pub version: u16,
    /// The encoded event.
    pub payload: &'a [u8],
}

/// A whole frame: everything about it that can be checked without its neighbours has been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    header: FrameHeader,
    hash: FrameHash,
}

impl<'a> Frame<'a> {
    /// Takes `bytes` for exactly one frame and checks all of it.
    ///
    /// The CRC is checked before the version: in every version it stays at this place and covers the same bytes,
    /// so a flipped bit in the version number is damage and not a newer format.
    ///
    /// # Errors
    /// Says what is wrong; nothing is allocated and nothing panics, whatever the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let needed = Self::length_from(bytes)?;
        if bytes.len() != needed {
            return Err(FrameError::Length { stated: needed, found: bytes.len() });
        }
        let (body, trailer) = bytes.split_at(needed - TRAILER_LENGTH);
        let (head, records) = body.split_at(HEADER_LENGTH);
        check_crc(head, records)?;
        let header = read_header(head)?;
        let stated = FrameHash(array(trailer, 0));
        let hash = FrameHash(*blake3::hash(body).as_bytes());
        if hash != stated {
            return Err(FrameError::Hash { expected: stated, found: hash });
        }
        check_records(records, header.count)?;
        Ok(Frame { bytes, header, hash })
    }

    /// The length of the whole frame that begins with `bytes`, for readers of a stream: at least its header has
    /// to be there.
    ///
    /// # Errors
    /// When this cannot be the beginning of a frame.
    pub fn length_from(bytes: &[u8]) -> Result<usize, FrameError> {
        if bytes.len() < HEADER_LENGTH {
            return Err(FrameError::TooShort { needed: HEADER_LENGTH, found: bytes.len() });
        }
        let magic = array(bytes, 0);
        if magic != MAGIC {
            return Err(FrameError::Magic { found: magic });
        }
        let length = u32::from_le_bytes(array(bytes, 20)) as usize;
        let whole = length.saturating_add(HEADER_LENGTH + TRAILER_LENGTH);
        if whole > MAX_FRAME_LENGTH {
            return Err(FrameError::TooLong { length: whole, limit: MAX_FRAME_LENGTH });
        }
        Ok(whole)
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The hash that names this frame.
    #[must_use]
    pub fn hash(&self) -> FrameHash {
        self.hash
    }

    /// The frame as it is stored.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The `Seq` of the first record.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.header.base
    }

    /// The `Seq` of the last record.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.header.base.plus(u64::from(self.header.count) - 1)
    }

    /// The records in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut rest = &self.bytes[HEADER_LENGTH..self.bytes.len() - TRAILER_LENGTH];
        let base = self.header.base;
        (0..u64::from(self.header.count)).map_while(move |index| {
            let (event_type, version, payload, behind) = split_record(rest)?;
            rest = behind;
            Some(Record { seq: base.plus(index), event_type, version, payload })
        })
    }
}

/// A [`Frame`] that owns its bytes. Readers hand these out; nothing of them has to be checked again.
#[derive(Clone, PartialEq, Eq)]
pub struct FrameBuf {
    bytes: Vec<u8>,
    header: FrameHeader,
    hash: FrameHash,
}

impl FrameBuf {
    /// Takes `bytes` for exactly one frame and checks all of it.
    ///
    /// # Errors
    /// As [`Frame::parse`].
    pub fn parse(bytes: Vec<u8>) -> Result<FrameBuf, FrameError> {
        let Frame { header, hash, .. } = Frame::parse(&bytes)?;
        Ok(FrameBuf { bytes, header, hash })
    }

    /// The frame.
    #[must_use]
    pub fn as_frame(&self) -> Frame<'_> {
        Frame { bytes: &self.bytes, header: self.header, hash: self.hash }
    }

    /// The frame as it is stored.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Debug for FrameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_frame().fmt(f)
    }
}

/// The bytes are left out: a frame may be 64 MiB.
impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("header", &self.header).field("hash", &self.hash).finish_non_exhaustive()
    }
}

fn check_crc(head: &[u8], records: &[u8]) -> Result<(), FrameError> {
    let expected = u32::from_le_bytes(array(head, CRC_AT));
    let found = crc_of(&head[..CRC_AT], records);
    if expected == found { Ok(()) } else { Err(FrameError::Crc { expected, found }) }
}

fn crc_of(head: &[u8], records: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), records)
}

fn read_header(head: &[u8]) -> Result<FrameHeader, FrameError> {
    let version = u16::from_le_bytes(array(head, 4));
    if version > FORMAT_VERSION {
        return Err(FrameError::TooNew { version });
    }
    if version == 0 {
        return Err(FrameError::NoVersion);
    }
    let header = FrameHeader {
        codec: u16::from_le_bytes(array(head, 6)),
        base: Seq(u64::from_le_bytes(array(head, 8))),
        count: u32::from_le_bytes(array(head, 16)),
        length: u32::from_le_bytes(array(head, 20)),
        epoch: Epoch(u64::from_le_bytes(array(head, 24))),
        time: Timestamp(u64::from_le_bytes(array(head, 32))),
        wall: Timestamp(u64::from_le_bytes(array(head, 40))),
        previous: FrameHash(array(head, 48)),
    };
    if header.codec != CODEC_BINCODE {
        return Err(FrameError::UnknownCodec { codec: header.codec });
    }
    if array::<12>(head, 80) != [0; 12] {
        return Err(FrameError::Reserved);
    }
    if header.count == 0 || header.count as usize > MAX_RECORDS {
        return Err(FrameError::Count { count: header.count });
    }
    if header.base == Seq::ZERO || header.base.0.checked_add(u64::from(header.count)).is_none() {
        return Err(FrameError::Base { found: header.base });
    }
    Ok(header)
}

fn check_records(mut rest: &[u8], count: u32) -> Result<(), FrameError> {
    for record in 0..count {
        let Some((_, _, payload, behind)) = split_record(rest) else {
            return Err(FrameError::RecordCut { record, left: rest.len() });
        };
        if payload.len() > MAX_PAYLOAD_LENGTH {
            return Err(FrameError::PayloadTooLong { length: payload.len(), limit: MAX_PAYLOAD_LENGTH });
        }
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { Err(FrameError::RecordsLeftOver { left: rest.len() }) }
}

/// Type, version, payload, and what is behind; nothing if the record is not all there.
fn split_record(bytes: &[u8]) -> Option<(u16, u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(RECORD_HEADER_LENGTH)?;
    let length = usize::try_from(u32::from_le_bytes(array(head, 4))).ok()?;
    let (payload, behind) = rest.split_at_checked(length)?;
    Some((u16::from_le_bytes(array(head, 0)), u16::from_le_bytes(array(head, 2)), payload, behind))
}

/// `N` bytes at `at`; zeros if they are not there, which every caller has excluded by a length check.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
