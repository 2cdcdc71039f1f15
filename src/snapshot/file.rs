//! One snapshot in one file: a header, and the state behind it.
//!
//! ```text
//!   0 magic "LWSN"    4 version u16    6 reserved u16    8 fold version u32    12 reserved u32
//!  16 seq u64        24 epoch u64     32 time u64       40 hash of the frame that ends with seq, 32 bytes
//!  72 length of the state u64         80 BLAKE3 of the state, 32 bytes
//! 112 digest of the state, 32 bytes  144 CRC32C u32 over bytes 0..144
//! 148 the encoded state, to the end of the file
//! ```

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::codec::state::StateError;
use crate::core::vocabulary::{Epoch, Seq, Timestamp};
use crate::error::ErrorKind;
use crate::log::{FrameHash, Position, array};

/// Bytes in front of the state.
pub const SNAPSHOT_HEADER_LENGTH: usize = 148;

const MAGIC: [u8; 4] = *b"LWSN";
const VERSION: u16 = 1;
const CRC_AT: usize = 144;

/// What the header of a snapshot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The version of fold that led to the state, and of its encoding.
    pub fold_version: u32,
    /// The end of the frame after which this is the state.
    pub position: Position,
    /// The time of that frame.
    pub time: Timestamp,
    /// The length of the encoded state in bytes.
    pub length: u64,
    /// Plain BLAKE3 of the encoded state.
    pub body_hash: [u8; 32],
    /// The digest of the state, which compares it with what a replay comes to.
    pub digest: [u8; 32],
}

/// Why a file is not a snapshot that can be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The operating system refused.
    Io(io::Error),
    /// It is not whole.
    Damaged(&'static str),
    /// A newer program wrote it.
    TooNew {
        /// Its version.
        version: u16,
    },
    /// The state in it cannot be read, or not be written.
    State(StateError),
    /// Another version of fold led to it.
    OtherFold {
        /// That version.
        fold_version: u32,
    },
}

impl SnapshotError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            SnapshotError::Io(_) => ErrorKind::Io,
            SnapshotError::Damaged(_) => ErrorKind::Damaged,
            // Another fold may be an older one too: either way only the program that has it can use the snapshot.
            SnapshotError::TooNew { .. } | SnapshotError::OtherFold { .. } => ErrorKind::TooNew,
            SnapshotError::State(error) => error.kind(),
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Io(error) => error.fmt(f),
            SnapshotError::State(error) => error.fmt(f),
            SnapshotError::Damaged(what) => write!(f, "the snapshot is damaged: {what}"),
            SnapshotError::TooNew { version } => {
                write!(f, "the snapshot has version {version}, newer than this program knows")
            }
            SnapshotError::OtherFold { fold_version } => {
                write!(f, "the snapshot was made by version {fold_version} of fold, which this program does not have")
            }
        }
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SnapshotError::Io(error) => Some(error),
            SnapshotError::State(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> SnapshotError {
        SnapshotError::Io(error)
    }
}

impl SnapshotHeader {
    /// The header as it is stored.
    #[must_use]
    pub fn encode(&self) -> [u8; SNAPSHOT_HEADER_LENGTH] {
        let SnapshotHeader { fold_version, position, time, length, body_hash, digest } = self;
        let Position { seq, hash, epoch } = position;
        let mut bytes = [0; SNAPSHOT_HEADER_LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..12].copy_from_slice(&fold_version.to_le_bytes());
        bytes[16..24].copy_from_slice(&seq.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&epoch.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&time.0.to_le_bytes());
        bytes[40..72].copy_from_slice(&hash.0);
        bytes[72..80].copy_from_slice(&length.to_le_bytes());
        bytes[80..112].copy_from_slice(body_hash);
        bytes[112..144].copy_from_slice(digest);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// When it is damaged or too new.
    pub fn decode(bytes: &[u8; SNAPSHOT_HEADER_LENGTH]) -> Result<SnapshotHeader, SnapshotError> {
        if array::<4>(bytes, 0) != MAGIC {
            return Err(SnapshotError::Damaged("it does not begin with LWSN"));
        }
        if crc32c::crc32c(&bytes[..CRC_AT]).to_le_bytes() != bytes[CRC_AT..] {
            return Err(SnapshotError::Damaged("the CRC of its header does not hold"));
        }
        let version = u16::from_le_bytes(array(bytes, 4));
        if version > VERSION {
            return Err(SnapshotError::TooNew { version });
        }
        if version == 0 || bytes[6..8] != [0; 2] || bytes[12..16] != [0; 4] {
            return Err(SnapshotError::Damaged("its version is 0, or its reserved bytes are not"));
        }
        Ok(SnapshotHeader {
            fold_version: u32::from_le_bytes(array(bytes, 8)),
            position: Position {
                seq: Seq(u64::from_le_bytes(array(bytes, 16))),
                hash: FrameHash(array(bytes, 40)),
                epoch: Epoch(u64::from_le_bytes(array(bytes, 24))),
            },
            time: Timestamp(u64::from_le_bytes(array(bytes, 32))),
            length: u64::from_le_bytes(array(bytes, 72)),
            body_hash: array(bytes, 80),
            digest: array(bytes, 112),
        })
    }
}

/// Reads only the header of the file at `path`.
pub(super) fn read_header(path: &Path) -> Result<SnapshotHeader, SnapshotError> {
    open(path).map(|(_, header)| header)
}

/// Reads the file at `path`, and checks all of it but what the state means.
pub(super) fn read(path: &Path) -> Result<(SnapshotHeader, Vec<u8>), SnapshotError> {
    let (mut file, header) = open(path)?;
    // The length was held against that of the file, so this takes no more memory than is there.
    let mut body = Vec::new();
    file.read_to_end(&mut body)?;
    if *blake3::hash(&body).as_bytes() != header.body_hash {
        return Err(SnapshotError::Damaged("the hash of its state does not hold"));
    }
    Ok((header, body))
}

fn open(path: &Path) -> Result<(File, SnapshotHeader), SnapshotError> {
    // Before it is opened: a FIFO would wait for a writer that never comes.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(SnapshotError::Damaged("it is not a file"));
    }
    let mut file = File::open(path)?;
    let found = file.metadata()?.len();
    let mut bytes = [0; SNAPSHOT_HEADER_LENGTH];
    file.read_exact(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SnapshotError::Damaged("it is shorter than a header"),
        _ => SnapshotError::Io(error),
    })?;
    let header = SnapshotHeader::decode(&bytes)?;
    if header.length.checked_add(SNAPSHOT_HEADER_LENGTH as u64) != Some(found) {
        return Err(SnapshotError::Damaged("it has another length than it states"));
    }
    Ok((file, header))
}
