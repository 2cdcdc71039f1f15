//! `verify`: everything that can be checked, checked.

use lastword::core::vocabulary::Seq;
use lastword::describe::counted;
use lastword::replay;
use lastword::snapshot::{self, VerifiedSnapshot};
use serde::Serialize;

use crate::args::LogArgs;
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::Output;

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

pub(crate) fn run(log: &LogArgs, expected: Option<&str>) -> Result<(), Failure> {
    let result = verify(log, expected);
    if let (Err(Failure::Error(exit, problem)), true) = (&result, log.json) {
        let mut output = Output::new();
        output.object(&DefectLine { kind: "verify", ok: false, exit: exit.0, problem })?;
        output.finish()?;
    }
    result
}

fn verify(log: &LogArgs, expected: Option<&str>) -> Result<(), Failure> {
    let input = Input::open(&log.state)?;
    let extends = expected.map(|expected| find_head(&input, expected)).transpose()?;
    let objects = input.objects()?;
    let (verified, snapshots) = match input.snapshots() {
        Some(snapshots) => snapshot::verify_with_snapshots(input.reader(), objects.as_deref(), &snapshots)?,
        None => (replay::verify(input.reader(), objects.as_deref())?, Vec::new()),
    };
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
fn find_head(input: &Input, expected: &str) -> Result<Seq, Failure> {
    let start = input.start();
    if start.hash.to_string() == expected {
        return Ok(start.seq);
    }
    for frame in input.reader().frames(Seq::ZERO) {
        let frame = frame?;
        let frame = frame.as_frame();
        if frame.hash().to_string() == expected {
            return Ok(frame.last());
        }
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
