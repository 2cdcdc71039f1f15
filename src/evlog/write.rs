//! From a log to a stream.

use std::collections::BTreeSet;
use std::io::Write;

use super::{END, EVLOG_VERSION, EvlogError, FRAME, MAGIC, OBJECT, Totals};
use crate::core::vocabulary::{ObjectHash, Seq};
use crate::log::{Frame, LogError, LogReader, Position};
use crate::objects::Objects;
use crate::objects::tree;
use crate::replay::{ReplayError, decode};

/// Writes all frames of a log and all objects that their events name, and says what it wrote. On an error the stream
/// has no end block, so nobody takes it for whole. `out` is not flushed.
///
/// # Errors
/// When log or objects are damaged or cannot be read, an event cannot be decoded (then nobody knows which objects it
/// names), or `out` fails.
pub fn write(reader: &dyn LogReader, objects: &dyn Objects, out: &mut dyn Write) -> Result<Totals, EvlogError> {
    let mut stream = Stream { out, totals: Totals { start: reader.start(), ..Totals::NONE }, written: BTreeSet::new() };
    stream.raw(&header())?;
    for bytes in reader.frames(Seq::ZERO) {
        let bytes = bytes.map_err(EvlogError::Log)?;
        let at = stream.totals.end.seq.next();
        let frame = Frame::parse(&bytes).map_err(|found| EvlogError::Frame { at, found })?;
        stream.frame(&frame, objects)?;
    }
    let end = stream.totals.encode();
    stream.block(END, &[&end])?;
    Ok(stream.totals)
}

fn header() -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&EVLOG_VERSION.to_le_bytes());
    header.extend_from_slice(&[0; 6]);
    let crc = crc32c::crc32c(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header
}

struct Stream<'o> {
    out: &'o mut dyn Write,
    totals: Totals,
    /// Objects that are shared by many versions of a set are written once. 32 bytes for each object of the log.
    written: BTreeSet<ObjectHash>,
}

impl Stream<'_> {
    fn frame(&mut self, frame: &Frame<'_>, objects: &dyn Objects) -> Result<(), EvlogError> {
        for event in decode(frame).map_err(of_replay)? {
            if let Some(root) = event.event.object() {
                self.tree(objects, root).map_err(|error| match error {
                    EvlogError::Tree(error) => EvlogError::Object { seq: event.seq, error },
                    error => error,
                })?;
            }
        }
        self.block(FRAME, &[frame.bytes()])?;
        self.totals.frames += 1;
        self.totals.frame_bytes += frame.bytes().len() as u64;
        self.totals.end = Position::of(frame);
        self.totals.time = frame.header().time;
        Ok(())
    }

    fn tree(&mut self, objects: &dyn Objects, root: ObjectHash) -> Result<(), EvlogError> {
        let mut entered = std::mem::take(&mut self.written);
        let walked = tree::walk(objects, root, &mut |hash| entered.insert(hash), &mut |hash, bytes| {
            self.totals.objects += 1;
            self.totals.object_bytes += bytes.len() as u64;
            self.block(OBJECT, &[&hash.0, bytes])
        });
        self.written = entered;
        walked
    }

    fn block(&mut self, tag: [u8; 4], parts: &[&[u8]]) -> Result<(), EvlogError> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        // Frames and objects have limits far below; the reader would refuse what saturates here.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.raw(&tag)?;
        self.raw(&length.to_le_bytes())?;
        parts.iter().try_for_each(|part| self.raw(part))
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), EvlogError> {
        self.out.write_all(bytes).map_err(EvlogError::Output)
    }
}

pub(super) fn of_replay(error: ReplayError) -> EvlogError {
    match error {
        ReplayError::Codec { seq, error } => EvlogError::Codec { seq, error },
        // Decoding a frame reports nothing else.
        other => EvlogError::Log(LogError::Engine(other.to_string())),
    }
}
