//! The six chapters of the day.

use lastword::core::vocabulary::{AbortReason, Event, RejectReason, Seq};

use super::stage::{Stage, is_commit};
use crate::console::grouped;
use crate::fail::Fail;

/// What was told of a chapter, to be checked against the log.
pub(crate) struct Told {
    pub(crate) what: Chapter,
    /// What was done, in the words of the last table.
    pub(crate) done: &'static str,
    /// The first event that may belong to it.
    pub(crate) from: Seq,
    /// The first event that does not.
    pub(crate) to: Seq,
    /// The rows of all files at its end, counted one by one.
    pub(crate) rows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chapter {
    Build,
    Append,
    Overwrite,
    Remove,
    Corrupt,
    Kill,
}

/// Plays one chapter to its last commit.
type Play = fn(&mut Stage) -> Result<(), Fail>;

/// Plays them all.
pub(crate) fn play(stage: &mut Stage) -> Result<Vec<Told>, Fail> {
    let mut told = Vec::new();
    let chapters: [(Chapter, &'static str, Play); 6] = [
        (Chapter::Build, "three files arrived", build),
        (Chapter::Append, "a file was appended", append),
        (Chapter::Overwrite, "a file was overwritten during a task", overwrite),
        (Chapter::Remove, "a file was removed", remove),
        (Chapter::Corrupt, "a corrupt file, then repaired", corrupt),
        (Chapter::Kill, "the process was killed at work", kill),
    ];
    for (what, done, play) in chapters {
        let from = stage.last.next();
        play(stage)?;
        let rows = stage.lake.count()?;
        stage.say(&format!("   Counted one by one, the files have {} rows now.", grouped(rows)))?;
        told.push(Told { what, done, from, to: stage.last.next(), rows });
    }
    Ok(told)
}

fn build(stage: &mut Stage) -> Result<(), Fail> {
    stage.chapter("1. Morning: three files arrive")?;
    stage.say("   Three Parquet files lie in lake/. The collection is declared and built for the first time.")?;
    for (name, rows) in [("part-01.parquet", 4_000), ("part-02.parquet", 3_000), ("part-03.parquet", 5_000)] {
        stage.lake.write(name, rows, 0)?;
    }
    stage.open()?;
    stage.until("the first commit", is_commit).map(drop)
}

fn append(stage: &mut Stage) -> Result<(), Fail> {
    stage.chapter("2. A file is appended")?;
    stage.say("   part-04.parquet arrives. What was built before is kept; only new segments are built.")?;
    stage.lake.write("part-04.parquet", 6_000, 0)?;
    stage.until("the commit of the appended file", is_commit).map(drop)
}

fn overwrite(stage: &mut Stage) -> Result<(), Fail> {
    stage.chapter("3. A file is overwritten while a task runs")?;
    stage.say("   part-05.parquet arrives and a task builds it. Its worker is slow today, and deaf.")?;
    stage.gate.close();
    stage.lake.write("part-05.parquet", 3_000, 0)?;
    stage.until("the task of the fifth file", |event| matches!(event, Event::TaskStarted { .. }))?;
    stage.until_held_up()?;
    stage.say("   Its result is ready when part-02.parquet is overwritten: as many rows, other values.")?;
    stage.lake.write("part-02.parquet", 3_000, 7)?;
    let superseded = |event: &Event| matches!(event, Event::TaskAborted { reason: AbortReason::Superseded, .. });
    stage.until("the task was superseded", superseded)?;
    stage.say("   Now the old worker comes with its result, built from what is no longer wanted.")?;
    stage.gate.open();
    let rejected = |event: &Event| matches!(event, Event::CompletionRejected { reason: RejectReason::Stale, .. });
    stage.until("the late result was rejected", rejected)?;
    stage.until("the commit of both changes", is_commit).map(drop)
}

fn remove(stage: &mut Stage) -> Result<(), Fail> {
    stage.chapter("4. A file is removed")?;
    stage.say("   part-03.parquet goes, and with it the segments that held its rows.")?;
    stage.lake.remove("part-03.parquet")?;
    stage.until("the commit without the removed file", is_commit).map(drop)
}

fn corrupt(stage: &mut Stage) -> Result<(), Fail> {
    stage.chapter("5. A corrupt file")?;
    stage.say("   part-06.parquet is no Parquet, and has lain there for an hour: it is not still being written.")?;
    stage.lake.spoil("part-06.parquet")?;
    stage.until("the task was parked", |event| matches!(event, Event::TaskParked { .. }))?;
    stage.say(&format!("   Its status: {}.", stage.condition()?))?;
    stage.say("   A person repairs it.")?;
    stage.lake.write("part-06.parquet", 2_000, 0)?;
    stage.until("the commit of the repaired file", is_commit).map(drop)
}

fn kill(stage: &mut Stage) -> Result<(), Fail> {
    stage.chapter("6. The process is killed")?;
    stage.say("   The log is closed and another process opens it. part-07.parquet arrives, an attempt begins ...")?;
    stage.close()?;
    stage.lake.write("part-07.parquet", 4_000, 0)?;
    let number = stage.kill_in_the_middle()?;
    stage.say(&format!("   ... and process {number} is killed (SIGKILL). The log is opened again."))?;
    stage.open()?;
    stage.until("the commit after the crash", is_commit).map(drop)
}
