//! From a stream to frames and objects, each checked before it is handed out.

use std::fmt;
use std::io::Read;

use super::write::of_replay;
use super::{END_LENGTH, EVLOG_VERSION, EvlogError, FRAME, HEADER_LENGTH, MAGIC, NAME_LENGTH, OBJECT, Totals, most};
use crate::core::vocabulary::{ObjectHash, Seq};
use crate::log::{Chain, FrameBuf, FrameHash, Position, Start, array};
use crate::objects::object_hash;
use crate::objects::tree::Gathering;
use crate::replay::{CheckpointSearch, decode, state_of_checkpoint};

/// Reads a stream block by block. It holds one block in memory, and about 100 bytes for every object that came: what
/// is named later has to be known by then. Whatever the bytes are, it ends with an error or the end, never a panic.
pub struct Reader<R> {
    input: R,
    offset: u64,
    chain: Chain,
    /// What is left to be found: the checkpoint of a stream that does not begin with event 1.
    checkpoint: Option<CheckpointSearch>,
    gathering: Gathering,
    totals: Totals,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Failed,
    Ended,
}

/// What comes out of a stream.
#[derive(Clone, PartialEq, Eq)]
pub enum Item {
    /// An object.
    Object(Vec<u8>),
    /// A frame, which continues the one before. Everything that its events name came before it.
    Frame(FrameBuf),
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("offset", &self.offset)
            .field("totals", &self.totals)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The bytes are left out: a frame may be 64 MiB.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Object(bytes) => write!(f, "Object({} bytes)", bytes.len()),
            Item::Frame(frame) => frame.fmt(f),
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header of a stream. `input` should be buffered.
    ///
    /// # Errors
    /// When it is no stream, damaged, too new, or cannot be read.
    pub fn new(input: R) -> Result<Reader<R>, EvlogError> {
        let mut reader = Reader {
            input,
            offset: 0,
            chain: Chain::from_start(),
            checkpoint: None,
            gathering: Gathering::new(),
            totals: Totals::NONE,
            state: State::Reading,
        };
        let header = reader.pull_up_to(HEADER_LENGTH)?;
        check_magic(&header)?;
        if header.len() < HEADER_LENGTH {
            return Err(EvlogError::Truncated { offset: reader.offset });
        }
        check_header(&header)?;
        Ok(reader)
    }

    /// What came so far; all of it once the iteration has ended without an error.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether what came so far is a log: it has a frame, and the checkpoint of one that begins later has come.
    pub(super) fn is_log(&self) -> bool {
        self.totals.frames > 0 && self.checkpoint.is_none()
    }

    fn block(&mut self) -> Result<Option<Item>, EvlogError> {
        let begin = self.offset;
        let head = self.pull(8)?;
        let (tag, length) = (array(&head, 0), u32::from_le_bytes(array(&head, 4)));
        let most = most(tag).ok_or(EvlogError::Tag { offset: begin, found: tag })?;
        let whole = usize::try_from(length).ok().filter(|length| *length <= most);
        let bytes = self.pull(whole.ok_or(EvlogError::Length { offset: begin, found: length })?)?;
        match tag {
            OBJECT => self.object(begin, bytes).map(Some),
            FRAME => self.frame(bytes).map(Some),
            _ => self.end(&bytes).map(|()| None),
        }
    }

    fn object(&mut self, begin: u64, mut bytes: Vec<u8>) -> Result<Item, EvlogError> {
        if bytes.len() < NAME_LENGTH {
            let found = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            return Err(EvlogError::Length { offset: begin, found });
        }
        let object = bytes.split_off(NAME_LENGTH);
        let name = ObjectHash(array(&bytes, 0));
        if object_hash(&object) != name {
            return Err(EvlogError::ObjectDamaged { name });
        }
        self.gathering.add(&object)?;
        self.totals.objects += 1;
        self.totals.object_bytes += object.len() as u64;
        Ok(Item::Object(object))
    }

    fn frame(&mut self, bytes: Vec<u8>) -> Result<Item, EvlogError> {
        let at = self.totals.end.seq.next();
        let read = FrameBuf::parse(bytes).map_err(|found| EvlogError::Frame { at, found })?;
        let frame = read.as_frame();
        if self.totals.frames == 0 && frame.first() > Seq(1) {
            self.begin_behind(Seq(frame.first().0 - 1), frame.header().previous);
        }
        self.chain.check(&frame).map_err(|found| EvlogError::Frame { at, found })?;
        let checkpoint = match &mut self.checkpoint {
            Some(search) => search.frame(&frame).map_err(|found| EvlogError::Frame { at, found })?,
            None => None,
        };
        for event in decode(&frame).map_err(of_replay)? {
            event.event.object().map_or(Ok(()), |root| self.named(event.seq, root))?;
            if let Some(checkpoint) = checkpoint.as_ref().filter(|checkpoint| checkpoint.last == event.seq) {
                let state = state_of_checkpoint(checkpoint).map_err(of_replay)?;
                state.objects().into_iter().try_for_each(|root| self.named(event.seq, root))?;
            }
        }
        if let Some(checkpoint) = checkpoint {
            (self.checkpoint, self.totals.start) = (None, checkpoint.start);
        }
        self.check_unnamed()?;
        self.totals.frames += 1;
        self.totals.frame_bytes += frame.bytes().len() as u64;
        self.totals.end = Position::of(&frame);
        self.totals.time = frame.header().time;
        Ok(Item::Frame(read))
    }

    fn named(&mut self, seq: Seq, name: ObjectHash) -> Result<(), EvlogError> {
        if self.gathering.name(name) { Ok(()) } else { Err(EvlogError::ObjectMissing { seq, name }) }
    }

    fn begin_behind(&mut self, seq: Seq, hash: FrameHash) {
        let start = Start { seq, hash, checkpoint: Seq::ZERO };
        (self.totals.start, self.chain) = (start, start.chain());
        self.checkpoint = Some(CheckpointSearch::new(seq, hash));
    }

    fn end(&mut self, bytes: &[u8]) -> Result<(), EvlogError> {
        self.check_unnamed()?;
        if self.checkpoint.is_some() {
            return Err(EvlogError::NoCheckpoint { seq: self.totals.start.seq });
        }
        if bytes.len() != END_LENGTH || bytes != self.totals.encode() {
            return Err(EvlogError::End);
        }
        let offset = self.offset;
        match self.pull(1) {
            Err(EvlogError::Truncated { .. }) => Ok(()),
            Ok(_) => Err(EvlogError::Trailing { offset }),
            Err(error) => Err(error),
        }
    }

    fn check_unnamed(&self) -> Result<(), EvlogError> {
        self.gathering.unnamed().map_or(Ok(()), |name| Err(EvlogError::ObjectUnnamed { name }))
    }

    /// The next `count` bytes.
    fn pull(&mut self, count: usize) -> Result<Vec<u8>, EvlogError> {
        let bytes = self.pull_up_to(count)?;
        if bytes.len() == count { Ok(bytes) } else { Err(EvlogError::Truncated { offset: self.offset }) }
    }

    /// The next `count` bytes, or what is left. Memory grows with what is really there, whatever a block says of its
    /// length.
    fn pull_up_to(&mut self, count: usize) -> Result<Vec<u8>, EvlogError> {
        let mut bytes = Vec::new();
        let taken = self.input.by_ref().take(count as u64).read_to_end(&mut bytes).map_err(EvlogError::Input)?;
        self.offset += taken as u64;
        Ok(bytes)
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Item, EvlogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != State::Reading {
            return None;
        }
        let next = self.block().transpose();
        self.state = match next {
            Some(Ok(_)) => State::Reading,
            Some(Err(_)) => State::Failed,
            None => State::Ended,
        };
        next
    }
}

/// Looked at before everything else, to tell a file of another kind from a damaged stream: where only the magic is
/// wrong, and the CRC is that of a header with the right one, it is the magic that was damaged. `header` may be cut
/// short.
fn check_magic(header: &[u8]) -> Result<(), EvlogError> {
    let (begin, rest) = header.split_at(header.len().min(MAGIC.len()));
    if MAGIC.starts_with(begin) {
        return Ok(());
    }
    let mended = [&MAGIC, rest].concat();
    if mended.len() == HEADER_LENGTH && has_its_crc(&mended) {
        return Err(EvlogError::Header);
    }
    let mut found = [0; MAGIC.len()];
    found.iter_mut().zip(begin).for_each(|(found, byte)| *found = *byte);
    Err(EvlogError::Magic { found })
}

/// The CRC is checked before the version, to tell a damaged header from a newer one.
fn check_header(header: &[u8]) -> Result<(), EvlogError> {
    if !has_its_crc(header) {
        return Err(EvlogError::Header);
    }
    let version = u16::from_le_bytes(array(header, 4));
    if version > EVLOG_VERSION {
        return Err(EvlogError::TooNew { version });
    }
    if version == 0 || header[6..12] != [0; 6] { Err(EvlogError::Header) } else { Ok(()) }
}

fn has_its_crc(header: &[u8]) -> bool {
    crc32c::crc32c(&header[..12]) == u32::from_le_bytes(array(header, 12))
}

/// Reads a whole stream and hands nothing out.
///
/// # Errors
/// The first defect.
pub(super) fn check(input: impl Read) -> Result<Totals, EvlogError> {
    let (totals, damage) = check_up_to_damage(input)?;
    damage.map_or(Ok(totals), Err)
}

/// The same up to the first defect, which comes beside what is whole before it.
///
/// # Errors
/// The defect, if what comes before it is no log.
pub(super) fn check_up_to_damage(input: impl Read) -> Result<(Totals, Option<EvlogError>), EvlogError> {
    let mut reader = Reader::new(input)?;
    match reader.by_ref().try_for_each(|item| item.map(drop)) {
        Err(error) if !reader.is_log() => Err(error),
        found => Ok((reader.totals(), found.err())),
    }
}
