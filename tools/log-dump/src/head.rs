//! `head`: where the log ends, and who may be adding to it.

use lastword::core::vocabulary::Seq;
use lastword::log::Anchor;
use serde::Serialize;

use crate::anchor::read_anchor;
use crate::args::{HeadArgs, LogArgs};
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::Output;
use crate::proof::{self, Checkpoint, SigningKey};

/// What `HEAD` says is `null` for an exported stream, which has none.
#[derive(Serialize)]
struct HeadLine {
    kind: &'static str,
    /// The first event that is there, or will be.
    begins: u64,
    seq: u64,
    hash: String,
    epoch: u64,
    time: Option<String>,
    clean: Option<bool>,
    anchor_seq: Option<u64>,
    db_length: Option<u64>,
    writer_active: bool,
}

/// What `HEAD` alone says.
#[derive(Serialize)]
struct AnchorLine {
    kind: &'static str,
    anchor_seq: u64,
    hash: String,
    epoch: u64,
    clean: bool,
    db_length: u64,
}

/// What `HEAD` says.
pub(crate) fn anchor(log: &LogArgs, mut output: Output) -> Result<(), Failure> {
    let anchor = read_anchor(&log.state)?;
    let Anchor { clean, position, db_length, .. } = anchor;
    let (seq, hash, epoch) = (position.seq.0, position.hash.to_string(), position.epoch.0);
    if log.json {
        output.object(&AnchorLine { kind: "anchor", anchor_seq: seq, hash, epoch, clean, db_length })?;
        return output.finish();
    }
    output.line(&format!("anchor at      {seq}"))?;
    output.line(&format!("hash           {hash}"))?;
    output.line(&format!("epoch          {epoch}"))?;
    output.line(&format!("clean          {}", if clean { "yes" } else { "no" }))?;
    output.line(&format!("db length      {db_length}"))?;
    output.finish()
}

/// Where the log ends, as it is noted elsewhere.
pub(crate) fn checkpoint(args: &HeadArgs, mut output: Output) -> Result<(), Failure> {
    let HeadArgs { log, sign, origin, .. } = args;
    let key = sign.as_deref().map(SigningKey::read).transpose()?;
    let input = Input::open(&log.state)?;
    let (end, named) = (input.end(), proof::origin(input.reader())?);
    let origin = match (named, origin) {
        (Some(named), Some(other)) if named != *other => {
            return Err(Failure::new(Exit::USAGE, format_args!("--origin {other:?}: the name of this log is {named}")));
        }
        (named, other) => named.or_else(|| other.clone()).ok_or_else(proof::unnamed)?,
    };
    let checkpoint = Checkpoint { origin, seq: end.seq, hash: end.hash, time: input.time() };
    output.text(&checkpoint.note(key.as_ref()))?;
    output.finish()
}

pub(crate) fn run(log: &LogArgs, mut output: Output) -> Result<(), Failure> {
    let input = Input::open(&log.state)?;
    let (end, anchor) = (input.end(), input.anchor());
    let head = HeadLine {
        kind: "head",
        begins: input.start().first().0,
        seq: end.seq.0,
        hash: end.hash.to_string(),
        epoch: end.epoch.0,
        time: (end.seq > Seq::ZERO).then(|| input.time().to_string()),
        clean: anchor.map(|anchor| anchor.clean),
        anchor_seq: anchor.map(|anchor| anchor.position.seq.0),
        db_length: anchor.map(|anchor| anchor.db_length),
        writer_active: input.writer_active(),
    };
    if log.json {
        output.object(&head)?;
        let start = input.start();
        output.summary(end.seq.0 - start.seq.0, start.first(), end.seq.next(), end.hash)?;
        return output.finish();
    }
    output.line(&format!("seq            {}", head.seq))?;
    if !input.start().is_whole() {
        output.line(&format!("begins with    {}", head.begins))?;
    }
    output.line(&format!("hash           {}", head.hash))?;
    output.line(&format!("epoch          {}", head.epoch))?;
    output.line(&format!("time           {}", head.time.as_deref().unwrap_or("-")))?;
    if let Some(anchor) = anchor {
        output.line(&format!("clean          {}", if anchor.clean { "yes" } else { "no" }))?;
        output.line(&format!("anchor at      {}", anchor.position.seq))?;
        output.line(&format!("db length      {}", anchor.db_length))?;
    }
    output.line(&format!("writer active  {}", if head.writer_active { "yes" } else { "no" }))?;
    output.finish()
}
