//! `verify`: everything that can be checked, checked.

use std::fs;
use std::path::Path;

use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::describe::counted;
use lastword::log::FrameHash;
use lastword::replay;
use lastword::snapshot::{self, VerifiedSnapshot};
use serde::Serialize;

use crate::args::LogArgs;
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::{Output, complain, grouped};
use crate::proof::{self, Checkpoint, PublicKey, Signed};
use crate::sought::Sought;

/// What was checked, in the order in which it was.
const CHECKED: [&str; 7] = ["anchor", "crc", "hash", "chain", "legality", "invariants", "objects"];

#[derive(Serialize)]
struct VerifyLine {
    kind: &'static str,
    ok: bool,
    frames: u64,
    events: u64,
    objects: u64,
    bytes: u64,
    seq: u64,
    head: String,
    digest: String,
    clean: Option<bool>,
    writer_active: bool,
    checked: Vec<&'static str>,
    /// The last event that the log had when its head was the one that was expected; `null` if none was.
    extends: Option<u64>,
    /// The first event of a log from which a prefix was deleted, and the one that holds the first part of its
    /// checkpoint. The key is still `base`.
    base: Option<CheckpointLine>,
    snapshots: Vec<SnapshotLine>,
}

#[derive(Serialize)]
struct CheckpointLine {
    begins: u64,
    seq: u64,
}

/// A snapshot that cannot be used is no defect: the log is whole without it.
#[derive(Serialize)]
struct SnapshotLine {
    seq: u64,
    usable: bool,
    note: Option<String>,
}

impl From<VerifiedSnapshot> for SnapshotLine {
    fn from(snapshot: VerifiedSnapshot) -> SnapshotLine {
        let note = snapshot.verdict.err().map(|unusable| unusable.to_string());
        SnapshotLine { seq: snapshot.seq.0, usable: note.is_none(), note }
    }
}

/// What a script reads if it is not all there.
#[derive(Serialize)]
struct DefectLine<'a> {
    kind: &'static str,
    ok: bool,
    exit: u8,
    problem: &'a str,
}

/// What the log is held against beside itself.
#[derive(Default)]
pub(crate) struct Expected {
    hash: Option<FrameHash>,
    noted: Option<(Checkpoint, Signed)>,
}

impl Expected {
    pub(crate) fn read(head: Option<FrameHash>, file: Option<&Path>, key: Option<&str>) -> Result<Expected, Failure> {
        let key = key.map(PublicKey::read).transpose()?;
        let noted = file.map(|file| proof::read(file, key.as_ref())).transpose()?;
        Ok(Expected { hash: head.or(noted.as_ref().map(|(checkpoint, _)| checkpoint.hash)), noted })
    }
}

pub(crate) fn run(log: &LogArgs, expected: &Expected) -> Result<(), Failure> {
    let result = verify(log, expected);
    if let (Err(Failure::Error(exit, problem)), true) = (&result, log.json) {
        let mut output = Output::new();
        output.object(&DefectLine { kind: "verify", ok: false, exit: exit.0, problem })?;
        output.finish()?;
    }
    result
}

/// Says what will be copied and read, if that is much.
fn tell_costs(state: &Path) {
    /// Below that nobody waits.
    const MUCH: u64 = 64 << 20;
    let files = fs::read_dir(state.join("sled")).into_iter().flatten().flatten();
    let bytes: u64 =
        files.filter_map(|entry| entry.metadata().ok()).filter(|found| found.is_file()).map(|found| found.len()).sum();
    if bytes >= MUCH {
        let place = std::env::temp_dir();
        complain(&format!(
            "{} bytes of the log are copied to {} and read, where the file system cannot share them; then all of its objects are read",
            grouped(bytes),
            place.display()
        ));
    }
}

fn verify(log: &LogArgs, expected: &Expected) -> Result<(), Failure> {
    tell_costs(&log.state);
    let input = Input::open(&log.state)?;
    let objects = input.objects()?;
    // The frame is looked for on the way: reading them takes as long as all the rest.
    let reader = Sought::new(input.reader().another(), expected.hash.unwrap_or(FrameHash::ZERO));
    let (verified, snapshots) = match input.snapshots() {
        Some(snapshots) => snapshot::verify_with_snapshots(&reader, objects.as_deref(), &snapshots)?,
        None => (replay::verify(&reader, objects.as_deref())?, Vec::new()),
    };
    let extends = expected.hash.map(|hash| extended(&input, hash, reader.found())).transpose()?;
    if let (Some((checkpoint, _)), Some(extends)) = (&expected.noted, extends) {
        check_noted(&input, checkpoint, extends, reader.found())?;
    }
    let start = verified.start;
    // An exported stream has no HEAD; its objects were counted when it was opened.
    let has_anchor = input.anchor().is_some();
    let line = VerifyLine {
        kind: "verify",
        ok: true,
        frames: verified.frames,
        events: verified.events,
        objects: input.stream_objects().map_or(verified.objects, |(objects, _)| objects),
        bytes: verified.bytes,
        seq: verified.last.0,
        head: verified.head.to_string(),
        digest: verified.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        clean: input.anchor().map(|anchor| anchor.clean),
        writer_active: input.writer_active(),
        checked: CHECKED.into_iter().filter(|what| has_anchor || *what != "anchor").collect(),
        extends: extends.map(|seq| seq.0),
        base: (!start.is_whole()).then_some(CheckpointLine { begins: start.first().0, seq: start.checkpoint.0 }),
        snapshots: snapshots.into_iter().map(SnapshotLine::from).collect(),
    };
    let mut output = Output::new();
    if log.json {
        output.object(&line)?;
        output.summary(line.events, start.first(), verified.last.next(), verified.head)?;
        return output.finish();
    }
    let counts = [(line.frames, "frame"), (line.events, "event"), (line.objects, "object"), (line.bytes, "byte")];
    let counts = counts.map(|(count, noun)| counted(count, noun)).join(", ");
    output.line(&format!("ok: {counts} of frames"))?;
    output.line(&format!("head     {} at event {}", line.head, line.seq))?;
    if let Some(seq) = line.extends {
        output.line(&format!("extends  the head that was expected, at event {seq}"))?;
    }
    match &expected.noted {
        Some((_, Signed::Yes)) => output.line("signed   by the key that was expected")?,
        Some((_, Signed::Unknown)) => output.line("signed   was not asked: --public-key asks")?,
        None => {}
    }
    output.line(&format!("digest   {}", line.digest))?;
    if let Some(base) = &line.base {
        output.line(&format!("base     at event {}: the log begins with event {}", base.seq, base.begins))?;
    }
    for snapshot in &line.snapshots {
        let note = snapshot.note.as_deref().unwrap_or("is the state that the events lead to");
        output.line(&format!("snapshot {}: {note}", snapshot.seq))?;
    }
    output.line(&format!("checked  {}", line.checked.join(", ")))?;
    output.finish()
}

/// The event at which the log ended when its head was this one. The hash of a frame covers the one before it, so whoever
/// has it has everything up to it.
fn extended(input: &Input, expected: FrameHash, found: Option<(Seq, Timestamp)>) -> Result<Seq, Failure> {
    let start = input.start();
    if start.hash == expected {
        return Ok(start.seq);
    }
    if let Some((seq, _)) = found {
        return Ok(seq);
    }
    let end = input.end().seq;
    let deleted = match start.is_whole() {
        true => String::new(),
        false => format!(", and those before event {} were deleted, which can no longer be compared", start.first()),
    };
    let problem = format!(
        "the log does not extend the head that was expected: no frame up to event {end} has the hash {expected}{deleted}"
    );
    Err(Failure::new(Exit::DEFECT, problem))
}

/// What a checkpoint says beside the hash. The time of a note that a run made is that of the note, which is not before the event.
fn check_noted(
    input: &Input,
    checkpoint: &Checkpoint,
    extends: Seq,
    found: Option<(Seq, Timestamp)>,
) -> Result<(), Failure> {
    let Checkpoint { origin, seq, time, .. } = checkpoint;
    let named = proof::origin(input.reader())?;
    let problem = match (named, found) {
        (Some(named), _) if named != *origin => format!("it is of the log {origin}, and this is {named}"),
        _ if *seq != extends => format!("it says event {seq}, and the frame of its hash ends with event {extends}"),
        (_, Some((_, at))) if *time < at && *time > Timestamp(0) => {
            format!("it says {time}, and that event is of {at}")
        }
        _ => return Ok(()),
    };
    Err(Failure::new(Exit::DEFECT, format_args!("the checkpoint does not fit this log: {problem}")))
}
