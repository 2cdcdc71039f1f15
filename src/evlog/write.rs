//! From a log to a stream.

use std::collections::BTreeSet;
use std::io::Write;

use super::{END, EVLOG_VERSION, EvlogError, FRAME, MAGIC, OBJECT, Totals};
use crate::core::vocabulary::{ObjectHash, Seq};
use crate::log::{Frame, LogError, LogReader, Position};
use crate::objects::Objects;
use crate::objects::tree;
use crate::replay::{CheckpointSearch, ReplayError, decode, state_of_checkpoint};

/// Writes all frames of a log and all objects that their events name, and says what it wrote. On an error the stream
/// has no end block, so no reader takes it for whole. `out` is not flushed.
///
/// # Errors
/// When log or objects are damaged or cannot be read, an event cannot be decoded (then it is not known which objects it
/// names), or `out` fails.
pub fn write(reader: &dyn LogReader, objects: &dyn Objects, out: &mut dyn Write) -> Result<Totals, EvlogError> {
    let mut stream = Stream::begin(reader, out)?;
    for frame in reader.frames(reader.start().first()) {
        let frame = frame.map_err(EvlogError::Log)?;
        stream.frame(&frame.as_frame(), objects)?;
    }
    stream.end()
}

/// The same up to the first frame that cannot be written because something of it, or an object that it names, is damaged
/// or missing. What is written is a whole stream of a shorter log. Beside it comes why it ends there, if it does so before
/// the log.
///
/// # Errors
/// When `out` fails, or nothing can be written: the checkpoint of a log that begins later is not whole.
pub fn write_up_to_damage(
    reader: &dyn LogReader,
    objects: &dyn Objects,
    out: &mut dyn Write,
) -> Result<(Totals, Option<EvlogError>), EvlogError> {
    let mut stream = Stream::begin(reader, out)?;
    let mut damage = None;
    for frame in reader.frames(reader.start().first()) {
        // Found out before anything of the frame is written.
        let readable = frame.map_err(EvlogError::Log).and_then(|frame| {
            stream.check(&frame.as_frame(), objects)?;
            Ok(frame)
        });
        match readable {
            Ok(frame) => stream.frame(&frame.as_frame(), objects)?,
            Err(error) => {
                damage = Some(error);
                break;
            }
        }
    }
    match damage {
        Some(error) if stream.checkpoint.is_some() => Err(error),
        damage => Ok((stream.end()?, damage)),
    }
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
    /// What is left to be found: the checkpoint of a log that begins later.
    checkpoint: Option<CheckpointSearch>,
    /// Objects that are shared by many versions of a set are written once. 32 bytes for each object of the log.
    written: BTreeSet<ObjectHash>,
}

impl<'o> Stream<'o> {
    fn begin(reader: &dyn LogReader, out: &'o mut dyn Write) -> Result<Stream<'o>, EvlogError> {
        let start = reader.start();
        let checkpoint = (!start.is_whole()).then(|| CheckpointSearch::new(start.seq, start.hash));
        let totals = Totals { start, ..Totals::NONE };
        let mut stream = Stream { out, totals, checkpoint, written: BTreeSet::new() };
        stream.raw(&header())?;
        Ok(stream)
    }

    fn end(mut self) -> Result<Totals, EvlogError> {
        let end = self.totals.encode();
        self.block(END, &[&end])?;
        Ok(self.totals)
    }

    /// Whether everything that the events of a frame name can be read.
    fn check(&self, frame: &Frame<'_>, objects: &dyn Objects) -> Result<(), EvlogError> {
        let mut seen = BTreeSet::new();
        for event in decode(frame).map_err(of_replay)? {
            let Some(root) = event.event.object() else { continue };
            let mut enter = |hash| !self.written.contains(&hash) && seen.insert(hash);
            let walked: Result<(), EvlogError> = tree::walk(objects, root, &mut enter, &mut |_, _| Ok(()));
            walked.map_err(|error| of_tree(event.seq, error))?;
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, objects: &dyn Objects) -> Result<(), EvlogError> {
        let checkpoint = match &mut self.checkpoint {
            Some(search) => search.frame(frame).map_err(|found| EvlogError::Frame { at: frame.first(), found })?,
            None => None,
        };
        for event in decode(frame).map_err(of_replay)? {
            event.event.object().map_or(Ok(()), |root| self.tree(objects, event.seq, root))?;
            if let Some(checkpoint) = checkpoint.as_ref().filter(|checkpoint| checkpoint.last == event.seq) {
                let state = state_of_checkpoint(checkpoint).map_err(of_replay)?;
                state.objects().into_iter().try_for_each(|root| self.tree(objects, event.seq, root))?;
            }
        }
        if checkpoint.is_some() {
            self.checkpoint = None;
        }
        self.block(FRAME, &[frame.bytes()])?;
        self.totals.frames += 1;
        self.totals.frame_bytes += frame.bytes().len() as u64;
        self.totals.end = Position::of(frame);
        self.totals.time = frame.header().time;
        Ok(())
    }

    fn tree(&mut self, objects: &dyn Objects, seq: Seq, root: ObjectHash) -> Result<(), EvlogError> {
        let mut entered = std::mem::take(&mut self.written);
        let walked = tree::walk(objects, root, &mut |hash| entered.insert(hash), &mut |hash, bytes| {
            self.totals.objects += 1;
            self.totals.object_bytes += bytes.len() as u64;
            self.block(OBJECT, &[&hash.0, bytes])
        });
        self.written = entered;
        walked.map_err(|error| of_tree(seq, error))
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

fn of_tree(seq: Seq, error: EvlogError) -> EvlogError {
    match error {
        EvlogError::Tree(error) => EvlogError::Object { seq, error },
        error => error,
    }
}

pub(super) fn of_replay(error: ReplayError) -> EvlogError {
    match error {
        ReplayError::Codec { seq, error } => EvlogError::Codec { seq, error },
        ReplayError::Checkpoint { seq, .. } => EvlogError::NoCheckpoint { seq },
        // Decoding a frame or a checkpoint reports nothing else.
        other => EvlogError::Log(LogError::Storage(other.to_string())),
    }
}
