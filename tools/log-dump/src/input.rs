//! What a command reads: a private copy of a log, or an exported stream.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::describe::{counted, way_on};
use lastword::evlog::EvlogFile;
use lastword::log::{Anchor, FrameHash, LogReader, OpenError, Position, PrivateCopy, Salvage, Start};
use lastword::objects::{FileObjects, Objects};
use lastword::snapshot::Snapshots;

use crate::args::DamageArgs;
use crate::fail::{Exit, Failure};
use crate::output::quoted;

/// An open log.
pub(crate) enum Input {
    Directory { copy: PrivateCopy, reader: Box<dyn LogReader> },
    Stream { file: EvlogFile, end: Position, time: Timestamp },
}

impl Input {
    /// Opens what is at `path`. Nothing is created or changed there.
    pub(crate) fn open(path: &Path) -> Result<Input, Failure> {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            // Where nothing is, or a link that leads to nothing.
            io::ErrorKind::NotFound => {
                let absent = || OpenError::Absent { path: path.to_owned() };
                PrivateCopy::of(path).err().unwrap_or_else(absent).into()
            }
            _ => Failure::io("looking at", path, &error),
        })?;
        if metadata.is_file() {
            let file = EvlogFile::open(path).map_err(|error| match configuration(path) {
                Some(failure) => failure,
                None if error.is_no_stream() || error.is_too_new() => error.into(),
                None if !is_anything_left(path) => {
                    let nothing = "no event is left before the damage; restore another backup";
                    Failure::new(Exit::of(error.kind()), format_args!("{}: {error}; {nothing}", path.display()))
                }
                None => {
                    let way_on = "dump --up-to-damage and state --up-to-damage show what lies before it, import \
                                  --up-to-damage makes a log of that";
                    Failure::new(Exit::of(error.kind()), format_args!("{}: {error}; {way_on}", path.display()))
                }
            })?;
            let (end, time) = (file.totals().end, file.totals().time);
            return Ok(Input::Stream { file, end, time });
        }
        Ok(Input::of(PrivateCopy::of(path).map_err(|error| unopened(path, error))?))
    }

    /// The same, of a damaged log only what lies before the damage. Beside it is how the command ends then.
    pub(crate) fn open_up_to_damage(path: &Path, args: DamageArgs) -> Result<(Input, Result<(), Failure>), Failure> {
        if !args.up_to_damage {
            return Ok((Input::open(path)?, Ok(())));
        }
        if path.is_file() {
            let opened = EvlogFile::open_up_to_damage(path);
            let (file, damage) = opened.map_err(|error| configuration(path).unwrap_or_else(|| error.into()))?;
            let (end, time) = (file.totals().end, file.totals().time);
            let shown = format!("what is left up to event {} was shown", end.seq);
            let cut = damage
                .map_or(Ok(()), |damage| Err(Failure::new(Exit::of(damage.kind()), format_args!("{damage}; {shown}"))));
            return Ok((Input::Stream { file, end, time }, cut));
        }
        let Salvage { copy, damage, .. } = Salvage::of(path).map_err(|error| unopened(path, error))?;
        let end = damage.map_or(Ok(()), |damage| {
            let (last, anchor) = (copy.end().seq, copy.anchor().position.seq);
            let lost = match anchor.0.saturating_sub(last.0) {
                0 => String::new(),
                lost => format!(", at least {} is not", counted(lost, "event")),
            };
            Err(Failure::new(
                Exit::of(damage.kind()),
                format_args!("{damage}; what is left up to event {last} was shown{lost}"),
            ))
        });
        Ok((Input::of(copy), end))
    }

    fn of(copy: PrivateCopy) -> Input {
        let reader = copy.reader();
        Input::Directory { copy, reader }
    }

    /// Its frames.
    pub(crate) fn reader(&self) -> &dyn LogReader {
        match self {
            Input::Directory { reader, .. } => reader.as_ref(),
            Input::Stream { file, .. } => file,
        }
    }

    /// Its objects; a stream has been checked to hold all of them when it was opened.
    pub(crate) fn objects(&self) -> Result<Option<Box<dyn Objects>>, Failure> {
        let Input::Directory { copy, .. } = self else { return Ok(None) };
        let path = copy.objects();
        match FileObjects::open_read_only(path) {
            Ok(objects) => Ok(Some(Box::new(objects))),
            Err(error) => Err(Failure::new(exit_of_missing(path), error)),
        }
    }

    /// How many objects a stream holds, and their bytes; nothing for a directory, where they are to be counted.
    pub(crate) fn stream_objects(&self) -> Option<(u64, u64)> {
        match self {
            Input::Directory { .. } => None,
            Input::Stream { file, .. } => Some((file.totals().objects, file.totals().object_bytes)),
        }
    }

    /// The directory of the objects; nothing for a stream.
    pub(crate) fn objects_path(&self) -> Option<&Path> {
        match self {
            Input::Directory { copy, .. } => Some(copy.objects()),
            Input::Stream { .. } => None,
        }
    }

    /// Its snapshots; a stream has none.
    pub(crate) fn snapshots(&self) -> Option<Snapshots> {
        match self {
            Input::Directory { copy, .. } => Some(Snapshots::at(copy.snapshots())),
            Input::Stream { .. } => None,
        }
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> Start {
        self.reader().start()
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> Position {
        match self {
            Input::Directory { copy, .. } => copy.end(),
            Input::Stream { end, .. } => *end,
        }
    }

    /// The time of the last frame; zero in an empty log.
    pub(crate) fn time(&self) -> Timestamp {
        match self {
            Input::Directory { copy, .. } => copy.time(),
            Input::Stream { time, .. } => *time,
        }
    }

    /// What `HEAD` said. A stream has none: its end is in its last block.
    pub(crate) fn anchor(&self) -> Option<Anchor> {
        match self {
            Input::Directory { copy, .. } => Some(copy.anchor()),
            Input::Stream { .. } => None,
        }
    }

    /// Whether a writer had it open.
    pub(crate) fn writer_active(&self) -> bool {
        matches!(self, Input::Directory { copy, .. } if copy.writer_active())
    }

    /// The last event.
    pub(crate) fn last(&self) -> Seq {
        self.end().seq
    }

    /// The hash of the last frame.
    pub(crate) fn head(&self) -> FrameHash {
        self.end().hash
    }
}

/// What is said of a log that does not open; of one that is damaged also what can be done.
fn unopened(path: &Path, error: OpenError) -> Failure {
    if !error.is_defect() || error.is_too_new() {
        return error.into();
    }
    let way_on = way_on(path, &quoted(path), "FILE");
    Failure::new(Exit::of(error.kind()), format_args!("{}: {error}; {way_on}", path.display()))
}

/// What is said of a file that is none of ours, if it is one that `lastword run` reads.
pub(crate) fn configuration(path: &Path) -> Option<Failure> {
    /// More than a configuration of many collections has before its first table.
    const MOST: u64 = 1 << 20;
    if path.extension().is_none_or(|ending| ending != "toml") {
        return None;
    }
    // Where the log lies is a help and nothing else: a file in which it cannot be found is read by `lastword`.
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    let value = |line: &str| {
        let value = line.trim().strip_prefix("state")?.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        Some(value.get(1..)?.split(quote).next()?.to_owned())
    };
    let state = read.ok().and_then(|_| text.lines().find_map(value));
    let state = state.map(|state| quoted(&path.parent().unwrap_or(Path::new("")).join(state)));
    let state = state.unwrap_or_else(|| "that it names".to_owned());
    let what =
        format_args!("{}: this is a configuration; give the state directory {state}", path.display()).to_string();
    Some(Failure::new(Exit::CANNOT_OPEN, what))
}

/// A directory of objects that is not there is a part of the log that is gone; one that cannot be read is not.
fn exit_of_missing(path: &Path) -> Exit {
    if path.exists() { Exit::CANNOT_OPEN } else { Exit::DEFECT }
}

/// Whether events lie before the damage of a stream.
fn is_anything_left(path: &Path) -> bool {
    EvlogFile::open_up_to_damage(path).is_ok_and(|(left, _)| left.totals().end != Position::START)
}
