//! What a command reads: a private copy of a log, an exported stream, or a log that this process writes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lastword::core::State;
use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::describe::{counted, way_on};
use lastword::evlog::EvlogFile;
use lastword::log::{
    Anchor, Frame, FrameHash, FrameIter, LogError, LogReader, OpenError, Position, PrivateCopy, Salvage, Start, Visitor,
};
use lastword::objects::{FileObjects, Objects};
use lastword::replay::{ReplayError, Until, begin_before, check_checkpoint, events, state_at};
use lastword::snapshot::{Folding, Limit, Snapshots, TakeError, fold_until};

use crate::args::{DamageArgs, LogArgs};
use crate::fail::{Exit, Failure};
use crate::live::Live;
use crate::output::quoted;
use crate::point::is_behind;

/// An open log.
pub(crate) enum Input {
    Directory { copy: PrivateCopy, reader: Box<dyn LogReader> },
    Stream { file: EvlogFile, end: Position, time: Timestamp },
    Live(Arc<Live>),
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

    /// The same, with the state as of `until`. Of a log with a snapshot that this program can use, only the frames behind the
    /// last one before that are read.
    pub(crate) fn open_at(log: &LogArgs, until: Until) -> Result<(Input, State), Failure> {
        if let Some(live) = &log.live {
            let input = Input::Live(Arc::clone(live));
            let state = input.state_before(until)?;
            return Ok((input, state));
        }
        let path = log.state.as_path();
        let snapshots = Snapshots::of_log(path);
        if !path.is_dir() {
            let input = Input::open(path)?;
            let state = state_at(input.reader(), until)?;
            return Ok((input, state));
        }
        if until == Until::End {
            let opened = PrivateCopy::of_visiting(path, || Folding::from_snapshots(snapshots.clone()));
            let (copy, folding) = opened.map_err(|error| unopened(path, error))?;
            return Ok((Input::of(copy), folding.finish()?));
        }
        let opened = PrivateCopy::of_visiting(path, || Behind(snapshots.clone()));
        let (copy, _) = opened.map_err(|error| unopened(path, error))?;
        let input = Input::of(copy);
        let state = input.state_before(until)?;
        Ok((input, state))
    }

    /// The same, and checks only what lies behind the last snapshot.
    pub(crate) fn open_tail(log: &LogArgs) -> Result<Input, Failure> {
        if let Some(live) = &log.live {
            return Ok(Input::Live(Arc::clone(live)));
        }
        let path = log.state.as_path();
        if !path.is_dir() {
            return Input::open(path);
        }
        let opened = PrivateCopy::of_visiting(path, || behind_snapshots(path));
        Ok(Input::of(opened.map_err(|error| unopened(path, error))?.0))
    }

    /// The states from which a reading up to `until` may begin, the one that takes the least first, and with the events before
    /// which they stand: those of snapshots, and at last the one where the log begins.
    pub(crate) fn beginnings(&self, until: Until) -> impl Iterator<Item = Result<State, Failure>> + '_ {
        let snapshots = self.snapshots();
        let all = snapshots.as_ref().and_then(|snapshots| snapshots.list().ok()).unwrap_or_default();
        let states = all.into_iter().filter_map(move |seq| {
            let snapshots = snapshots.as_ref()?;
            let position = snapshots.usable_header(seq).ok()?.position;
            let frame = self.reader().frames(seq).next()?.ok()?;
            if Position::of(&frame.as_frame()) != position {
                return None;
            }
            let state = snapshots.load(seq).ok()?.1;
            let is_before = match until {
                Until::End => true,
                Until::Seq(last) => state.last() <= last,
                Until::Time(at) => state.at() <= at,
            };
            is_before.then_some(Ok(state))
        });
        states.chain(std::iter::once_with(move || Ok(begin_before(self.reader(), until)?)))
    }

    /// The state as of `until`, from the last snapshot before it.
    fn state_before(&self, until: Until) -> Result<State, Failure> {
        let reader = self.reader();
        if !self.start().is_whole() {
            // Whether there is such a state at all.
            begin_before(reader, until)?;
        }
        let (seq, time) = match until {
            Until::End => (Seq(u64::MAX), None),
            Until::Seq(seq) => (seq, None),
            Until::Time(time) => (Seq(u64::MAX), Some(time)),
        };
        let folded = fold_until(reader, self.snapshots().as_ref(), Limit { seq, time }, &|| false);
        let mut state = match folded {
            Ok(folded) => folded.state,
            Err(TakeError::Replay(error)) => return Err(error.into()),
            Err(error) => return Err(Failure::new(Exit::of(error.kind()), error)),
        };
        // Its last events may be a part of a frame.
        for event in events(reader, state.last().next()) {
            let event = event?;
            if is_behind(&event, until) {
                break;
            }
            state.fold(&event).map_err(ReplayError::Illegal)?;
        }
        Ok(state)
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
            Input::Live(live) => live.reader(),
        }
    }

    /// Its objects; a stream has been checked to hold all of them when it was opened.
    pub(crate) fn objects(&self) -> Result<Option<Box<dyn Objects>>, Failure> {
        let Some(path) = self.objects_path() else { return Ok(None) };
        match FileObjects::open_read_only(path) {
            Ok(objects) => Ok(Some(Box::new(objects))),
            Err(error) => Err(Failure::new(exit_of_missing(path), error)),
        }
    }

    /// How many objects a stream holds, and their bytes; nothing for a directory, where they are to be counted.
    pub(crate) fn stream_objects(&self) -> Option<(u64, u64)> {
        match self {
            Input::Directory { .. } | Input::Live(_) => None,
            Input::Stream { file, .. } => Some((file.totals().objects, file.totals().object_bytes)),
        }
    }

    /// The directory of the objects; nothing for a stream.
    pub(crate) fn objects_path(&self) -> Option<&Path> {
        match self {
            Input::Directory { copy, .. } => Some(copy.objects()),
            Input::Stream { .. } => None,
            Input::Live(live) => Some(live.objects()),
        }
    }

    /// Its snapshots; a stream has none.
    pub(crate) fn snapshots(&self) -> Option<Snapshots> {
        match self {
            Input::Directory { copy, .. } => Some(Snapshots::at(copy.snapshots())),
            Input::Stream { .. } => None,
            Input::Live(live) => Some(live.snapshots()),
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
            Input::Live(live) => live.end(),
        }
    }

    /// The time of the last frame; zero in an empty log.
    pub(crate) fn time(&self) -> Timestamp {
        match self {
            Input::Directory { copy, .. } => copy.time(),
            Input::Stream { time, .. } => *time,
            Input::Live(live) => live.time(),
        }
    }

    /// What `HEAD` said. A stream has none: its end is in its last block. Nor is it asked where the writer itself is.
    pub(crate) fn anchor(&self) -> Option<Anchor> {
        match self {
            Input::Directory { copy, .. } => Some(copy.anchor()),
            Input::Stream { .. } | Input::Live(_) => None,
        }
    }

    /// Whether a writer had it open.
    pub(crate) fn writer_active(&self) -> bool {
        match self {
            Input::Directory { copy, .. } => copy.writer_active(),
            Input::Stream { .. } => false,
            Input::Live(_) => true,
        }
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

/// What a log that this process writes adds up to at a point, from the last snapshot before it.
///
/// # Errors
/// When it cannot be read, or begins behind that point.
pub fn state_of(live: Live, until: Until) -> Result<State, Failure> {
    Input::Live(Arc::new(live)).state_before(until)
}

/// Checks only what lies behind the last snapshot: what lies before it is not read.
pub(crate) struct Behind(Snapshots);

/// Of the log in `state`.
pub(crate) fn behind_snapshots(state: &Path) -> Behind {
    Behind(Snapshots::of_log(state))
}

impl Visitor for Behind {
    fn known(&mut self) -> Vec<Position> {
        let all = self.0.list().unwrap_or_default();
        all.into_iter().filter_map(|seq| Some(self.0.usable_header(seq).ok()?.position)).collect()
    }

    fn resume(&mut self, _position: Position) -> bool {
        true
    }

    fn checkpoint(&mut self, start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError> {
        check_checkpoint(start, frames)
    }

    fn frame(&mut self, _frame: &Frame<'_>) {}
}

/// The configuration that a person named, if not the log.
static NAMED: OnceLock<PathBuf> = OnceLock::new();

/// From now on advice names `configuration` where it names one.
pub fn named_by(configuration: &Path) {
    let _ = NAMED.set(configuration.to_owned());
}

/// What is said of a log that does not open; of one that is damaged also what can be done.
fn unopened(path: &Path, error: OpenError) -> Failure {
    if !error.is_defect() || error.is_too_new() {
        return error.into();
    }
    let file = NAMED.get().map_or_else(|| "FILE".to_owned(), |file| quoted(file));
    let way_on = way_on(path, &quoted(path), &file);
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
