//! The portable stream of frames and their objects (`.evlog`), the normative format of a log: export, archive, backup,
//! and verification without a storage engine.
//!
//! ```text
//! header   "LWEV"  u16 version = 1  6 zero bytes  u32 CRC32C of the 12 bytes before
//! block    4 bytes tag  u32 length  so many bytes (all numbers little-endian)
//!   "OBJ "   32 bytes name  the object
//!   "FRM "   the frame
//!   "END "   u64 frames  u64 events  u64 objects  32 bytes hash of the last frame
//! ```
//!
//! Every object comes once: behind those that it names, and before the first frame of which an event names it. Frames
//! come in order from the first on. Nothing follows the end block, and a stream without one was cut short. So a
//! reader checks everything in one pass, and one log has one stream.
//!
//! It must not know sled: [`import`] makes a log through [`SledLog`](crate::log::SledLog) like any writer.

mod error;
mod file;
mod import;
mod read;
mod write;

use crate::core::vocabulary::Timestamp;
use crate::log::{MAX_FRAME_LENGTH, Position, Start};
use crate::objects::MAX_OBJECT_BYTES;

pub use error::{EvlogError, ImportError};
pub use file::EvlogFile;
pub use import::{import, import_up_to_damage};
pub use read::{Item, Reader};
pub use write::{write, write_up_to_damage};

/// The version of the stream that this code writes, and the newest it reads.
pub const EVLOG_VERSION: u16 = 1;

/// How a stream begins.
pub const MAGIC: [u8; 4] = *b"LWEV";
const HEADER_LENGTH: usize = 16;
const OBJECT: [u8; 4] = *b"OBJ ";
const FRAME: [u8; 4] = *b"FRM ";
const END: [u8; 4] = *b"END ";
const END_LENGTH: usize = 56;
const NAME_LENGTH: usize = 32;

/// The most bytes that a block of this tag may have; `None` for a tag that does not exist.
fn most(tag: [u8; 4]) -> Option<usize> {
    match tag {
        OBJECT => Some(NAME_LENGTH + MAX_OBJECT_BYTES),
        FRAME => Some(MAX_FRAME_LENGTH),
        END => Some(END_LENGTH),
        _ => None,
    }
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Frames.
    pub frames: u64,
    /// Bytes of all frames.
    pub frame_bytes: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of all objects.
    pub object_bytes: u64,
    /// Where the log begins.
    pub start: Start,
    /// The end of the last frame.
    pub end: Position,
    /// The time of the last frame; zero without frames.
    pub time: Timestamp,
}

impl Totals {
    const NONE: Totals = Totals {
        frames: 0,
        frame_bytes: 0,
        objects: 0,
        object_bytes: 0,
        start: Start::WHOLE,
        end: Position::START,
        time: Timestamp(0),
    };

    /// The number of events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.end.seq.0.saturating_sub(self.start.seq.0)
    }

    /// The bytes of the end block.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(END_LENGTH);
        for count in [self.frames, self.events(), self.objects] {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        bytes.extend_from_slice(&self.end.hash.0);
        bytes
    }
}
