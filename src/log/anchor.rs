//! `HEAD`: how far the log had come when it was last written down, outside the storage engine.
//!
//! sled may open a damaged log without its tail and say nothing, so the end of the log has to be known from
//! elsewhere. `HEAD` has two slots, at the offsets 0 and 4096. The slot with the greater counter counts, writes go
//! to the other one, and each is synced before the next: a torn write leaves the slot before it in force.
//!
//! ```text
//!   0 magic "LWHD"    4 version u16    6 flags u16 (bit 0 clean, bit 1 complete)    8 counter u64
//!  16 seq u64        24 frame hash, 32 bytes    56 epoch u64    64 length of sled/db u64
//!  72 CRC32C u32 over bytes 0..72
//! ```
//!
//! CRC32C and not a cryptographic hash: the check is for torn writes and decayed bits, which it finds; against
//! a program that may write the file a hash without a key would be no better.
//!
//! # Why no crash gives a false alarm or misses a loss
//!
//! 1. A position is written only after the barrier of its frame: the log always reaches `HEAD`.
//! 2. `clean` demands that the log ends *exactly* at `HEAD`, and that `db` has the length noted. Both slots are made
//!    unclean before sled is allowed to touch the directory, so no frame and no truncation by sled (it gives free
//!    segments at the end of `db` back) can meet a clean `HEAD`. Both, so that one decayed slot cannot bring an older
//!    clean one back into force.
//! 3. Closing is: last barrier, sled dropped, `db` synced, then both slots clean. A crash before the first slot is
//!    written leaves an unclean `HEAD`, which demands less; between the slots the greater counter is clean and true.
//! 4. `complete` is set when creation has come to its end and before the first frame. Without it a missing `sled/`
//!    is an interrupted creation; with it a loss, even at `Seq` 0.
//! 5. What is not noticed: frames behind an unclean `HEAD`, at most one second of them, if the disk loses what it
//!    had confirmed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::frame::array;
use super::{FrameHash, Position};
use crate::core::vocabulary::{Epoch, Seq};
use crate::error::ErrorKind;

const MAGIC: [u8; 4] = *b"LWHD";
const VERSION: u16 = 1;
const CLEAN: u16 = 1;
const COMPLETE: u16 = 2;
const CRC_AT: usize = 72;
const SLOT_LENGTH: usize = 76;
/// Two slots never share a block of the disk, so that a torn write cannot touch both.
const SLOT_DISTANCE: u64 = 4096;
/// The most bytes of a whole file.
pub(super) const FILE_LENGTH: u64 = 2 * SLOT_DISTANCE;

/// What `HEAD` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Counts the writes; the greater one is in force.
    pub counter: u64,
    /// The log was closed in order and ends exactly here.
    pub clean: bool,
    /// The creation of the log was finished.
    pub complete: bool,
    /// The log reaches at least this far.
    pub position: Position,
    /// The length of `sled/db` in bytes; 0 if it was not known for certain.
    pub db_length: u64,
}

impl Anchor {
    /// Reads the bytes of a `HEAD` file.
    ///
    /// # Errors
    /// When neither slot is whole, or one is newer than this program.
    pub fn parse(file: &[u8]) -> Result<Anchor, AnchorError> {
        decode_file(file)
    }
}

/// Why `HEAD` does not say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnchorError {
    /// The file is not there.
    Missing,
    /// Neither slot is whole.
    Damaged,
    /// Written by a newer program.
    TooNew {
        /// Its version.
        version: u16,
    },
}

impl AnchorError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            AnchorError::Missing | AnchorError::Damaged => ErrorKind::Damaged,
            AnchorError::TooNew { .. } => ErrorKind::TooNew,
        }
    }
}

impl std::fmt::Display for AnchorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AnchorError::Missing => write!(f, "HEAD is missing"),
            AnchorError::Damaged => write!(f, "both slots of HEAD are damaged"),
            AnchorError::TooNew { version } => {
                write!(f, "HEAD has version {version}, newer than this program knows")
            }
        }
    }
}

impl std::error::Error for AnchorError {}

/// The bytes of a whole `HEAD` file with `anchor` in its first slot.
pub(super) fn first_file(anchor: &Anchor) -> Vec<u8> {
    let mut bytes = encode(anchor).to_vec();
    bytes.resize(FILE_LENGTH as usize, 0);
    bytes
}

/// Reads the slot in force from the bytes of a `HEAD` file.
pub(super) fn decode_file(bytes: &[u8]) -> Result<Anchor, AnchorError> {
    let second = bytes.get(SLOT_DISTANCE as usize..).unwrap_or(&[]);
    match (decode(bytes), decode(second)) {
        (Ok(one), Ok(two)) => Ok(if one.counter >= two.counter { one } else { two }),
        (Err(AnchorError::TooNew { version }), _) | (_, Err(AnchorError::TooNew { version })) => {
            Err(AnchorError::TooNew { version })
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(_), Err(_)) => Err(AnchorError::Damaged),
    }
}

/// `HEAD`, open for writing.
#[derive(Debug)]
pub(super) struct AnchorFile {
    file: File,
    current: Anchor,
}

impl AnchorFile {
    /// `file` is open to read and write, and `current` is what it says.
    pub(super) fn of(file: File, current: Anchor) -> Self {
        AnchorFile { file, current }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether the slot in force holds what was written last. It does not if a copy was put over the file.
    pub(super) fn is_as_written(&self) -> io::Result<bool> {
        let mut found = [0; SLOT_LENGTH];
        match self.file.read_exact_at(&mut found, slot(&self.current)) {
            Ok(()) => Ok(found == encode(&self.current)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn current(&self) -> Anchor {
        self.current
    }

    /// Puts `next` into the slot that is not in force and syncs it.
    pub(super) fn write(&mut self, next: Anchor) -> io::Result<()> {
        let next = Anchor { counter: self.current.counter + 1, ..next };
        self.file.write_all_at(&encode(&next), slot(&next))?;
        self.file.sync_data()?;
        self.current = next;
        Ok(())
    }

    /// Puts `next` into both slots, one after the other.
    pub(super) fn write_both(&mut self, next: Anchor) -> io::Result<()> {
        self.write(next)?;
        self.write(next)
    }
}

/// Where it stands in the file.
fn slot(anchor: &Anchor) -> u64 {
    (anchor.counter % 2) * SLOT_DISTANCE
}

fn encode(anchor: &Anchor) -> [u8; SLOT_LENGTH] {
    let mut bytes = [0; SLOT_LENGTH];
    let flags = if anchor.clean { CLEAN } else { 0 } | if anchor.complete { COMPLETE } else { 0 };
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &MAGIC);
    put(4, &VERSION.to_le_bytes());
    put(6, &flags.to_le_bytes());
    put(8, &anchor.counter.to_le_bytes());
    put(16, &anchor.position.seq.0.to_le_bytes());
    put(24, &anchor.position.hash.0);
    put(56, &anchor.position.epoch.0.to_le_bytes());
    put(64, &anchor.db_length.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Like a frame's, the place of the CRC and what it covers stay the same in every version.
fn decode(bytes: &[u8]) -> Result<Anchor, AnchorError> {
    let Some(bytes) = bytes.get(..SLOT_LENGTH) else { return Err(AnchorError::Damaged) };
    let crc = u32::from_le_bytes(array(bytes, CRC_AT));
    if array(bytes, 0) != MAGIC || crc32c::crc32c(&bytes[..CRC_AT]) != crc {
        return Err(AnchorError::Damaged);
    }
    let version = u16::from_le_bytes(array(bytes, 4));
    let flags = u16::from_le_bytes(array(bytes, 6));
    if version > VERSION || flags & !(CLEAN | COMPLETE) != 0 {
        return Err(AnchorError::TooNew { version });
    }
    Ok(Anchor {
        counter: u64::from_le_bytes(array(bytes, 8)),
        clean: flags & CLEAN != 0,
        complete: flags & COMPLETE != 0,
        position: Position {
            seq: Seq(u64::from_le_bytes(array(bytes, 16))),
            hash: FrameHash(array(bytes, 24)),
            epoch: Epoch(u64::from_le_bytes(array(bytes, 56))),
        },
        db_length: u64::from_le_bytes(array(bytes, 64)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(seq: u64) -> Anchor {
        let position = Position { seq: Seq(seq), hash: FrameHash([seq as u8; 32]), epoch: Epoch(3) };
        Anchor { counter: seq, clean: seq.is_multiple_of(2), complete: true, position, db_length: 77 }
    }

    fn open(path: &std::path::Path) -> File {
        File::options().read(true).write(true).open(path).unwrap()
    }

    #[test]
    fn the_greater_counter_is_in_force_and_a_damaged_slot_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("HEAD");
        std::fs::write(&path, first_file(&anchor(0))).unwrap();
        assert_eq!(decode_file(&std::fs::read(&path).unwrap()), Ok(anchor(0)));

        let mut file = AnchorFile::of(open(&path), anchor(0));
        for seq in 1..6 {
            file.write(anchor(seq)).unwrap();
            assert!(file.is_as_written().unwrap());
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(decode_file(&bytes), Ok(anchor(seq)));
            let mut torn = bytes.clone();
            torn[(seq as usize % 2) * 4096 + 30] ^= 1;
            assert_eq!(decode_file(&torn), Ok(anchor(seq - 1)), "the one before stays in force");
            torn[(1 - seq as usize % 2) * 4096 + 30] ^= 1;
            assert_eq!(decode_file(&torn), Err(AnchorError::Damaged));
        }
        assert_eq!(decode_file(&[]), Err(AnchorError::Damaged));
        std::fs::write(&path, first_file(&anchor(0))).unwrap();
        assert!(!file.is_as_written().unwrap(), "an older one was copied over it");
        std::fs::write(&path, b"").unwrap();
        assert!(!file.is_as_written().unwrap());
    }

    #[test]
    fn a_slot_holds_what_was_written_whichever_flags_it_has() {
        for (clean, complete) in [(false, false), (true, false), (false, true), (true, true)] {
            let written = Anchor { clean, complete, ..anchor(9) };
            assert_eq!(decode(&encode(&written)), Ok(written));
        }
        assert_eq!(first_file(&anchor(9)).len(), 8192, "two slots of a block each");
    }

    #[test]
    fn the_file_counts_its_writes_whatever_counter_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("HEAD");
        std::fs::write(&path, first_file(&anchor(0))).unwrap();
        let mut file = AnchorFile::of(open(&path), anchor(0));
        file.write_both(Anchor { counter: 0, ..anchor(5) }).unwrap();
        let written = Anchor { counter: 2, ..anchor(5) };
        assert_eq!((file.current(), decode_file(&std::fs::read(&path).unwrap())), (written, Ok(written)));
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_slot_is_noticed() {
        let whole = encode(&anchor(9));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), Err(AnchorError::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = encode(&anchor(9));
        bytes[4] = 2;
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes), Err(AnchorError::TooNew { version: 2 }));
    }
}
