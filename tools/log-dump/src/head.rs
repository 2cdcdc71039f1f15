//! `head`: where the log ends, and who may be adding to it.

use lastword::core::vocabulary::Seq;
use serde::Serialize;

use crate::args::LogArgs;
use crate::fail::Failure;
use crate::input::Input;
use crate::output::Output;

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

pub(crate) fn run(log: &LogArgs) -> Result<(), Failure> {
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
    let mut output = Output::new();
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
