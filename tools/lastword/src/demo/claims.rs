//! What the log says of the day. Every claim is made from its events alone, and from rows that were counted by
//! another reader.

use std::collections::BTreeMap;
use std::path::Path;

use lastword::core::vocabulary::{
    AbortReason, Admission, Built, CollectionId, EndReason, Event, FailReason, Fingerprint, ParkCause, Recorded,
    RejectReason, SegmentCounts, Seq, TaskId, Token,
};
use lastword::external::Manifest;
use lastword::log::PrivateCopy;
use lastword::objects::FileObjects;
use lastword::replay;

use super::day::{Chapter, Told};
use super::stage::between;
use crate::console::grouped;
use crate::fail::{DEFECT, Fail};

/// What was found: a text for the table, as told or not.
type Found = Result<String, String>;

/// What the log says of the day.
pub(crate) struct Findings {
    /// Of each chapter, in order.
    pub(crate) chapters: Vec<Found>,
    /// Of the whole, under a name.
    pub(crate) whole: Vec<(&'static str, Found)>,
}

/// Checks each chapter, and the whole.
pub(crate) fn check(state: &Path, told: &[Told]) -> Result<Findings, Fail> {
    let copy = PrivateCopy::of(state)?;
    let objects = FileObjects::open_read_only(copy.objects())?;
    let reader = copy.reader();
    let events: Vec<Recorded> = replay::events(&*reader, Seq::ZERO).collect::<Result<_, _>>()?;
    let chapters = told.iter().map(|told| {
        let part = between(&events, told.from, told.to);
        let text = chapter(told, part)?;
        let commit = only_commit(part)?;
        let manifest = commit.result.manifest.ok_or("the commit names no manifest")?;
        let manifest = Manifest::read(&objects, manifest).map_err(|error| error.to_string())?;
        if (Some(told.rows), told.rows) != (commit.result.rows, manifest.rows()) {
            let (commit, manifest) = (commit.result.rows.unwrap_or(0), manifest.rows());
            return Err(format!("counted {} rows, committed {commit}, in the manifest {manifest}", told.rows));
        }
        Ok(text)
    });
    let chapters = chapters.collect();
    let whole = vec![("the whole day", last_word(&events)), ("the log itself", verified(&*reader, &objects)?)];
    Ok(Findings { chapters, whole })
}

/// A commit, as far as the claims need it.
#[derive(Clone, Copy)]
struct Commit<'e> {
    seq: Seq,
    task: TaskId,
    attempt: u32,
    result: &'e Built,
    segments: SegmentCounts,
}

fn only_commit(events: &[Recorded]) -> Result<Commit<'_>, String> {
    let mut commits = events.iter().filter_map(|recorded| match &recorded.event {
        Event::TaskCompleted { task, attempt, result, .. } => {
            let segments = result.segments.unwrap_or_default();
            Some(Commit { seq: recorded.seq, task: *task, attempt: *attempt, result, segments })
        }
        _ => None,
    });
    match (commits.next(), commits.next()) {
        (Some(commit), None) => Ok(commit),
        (None, _) => Err("nothing was committed".to_owned()),
        (Some(_), Some(second)) => Err(format!("there is a second commit at {}", second.seq)),
    }
}

/// The first event that is `wanted`, with what it says.
fn find<'e, T>(
    events: &'e [Recorded],
    what: &str,
    wanted: impl Fn(&'e Event) -> Option<T>,
) -> Result<(Seq, T), String> {
    let found = events.iter().find_map(|recorded| Some((recorded.seq, wanted(&recorded.event)?)));
    found.ok_or_else(|| format!("the log does not say that {what}"))
}

fn chapter(told: &Told, events: &[Recorded]) -> Found {
    let commit = only_commit(events)?;
    let Commit { seq, segments, .. } = commit;
    let SegmentCounts { kept, new, dropped } = segments;
    let rows = grouped(told.rows);
    let counts = format!("{kept} segments kept, {new} new, {dropped} dropped, {rows} rows");
    let expect = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {counts}")) };
    match told.what {
        Chapter::Build => {
            expect(kept == 0 && dropped == 0 && new > 0, "a first build has only new segments")?;
            Ok(format!("committed ({seq}): {new} new segments, {rows} rows"))
        }
        Chapter::Append => {
            expect(kept > 0 && new > 0 && dropped == 0, "an addition keeps everything")?;
            Ok(format!("committed ({seq}): {counts}"))
        }
        Chapter::Overwrite => {
            expect(kept > 0 && new > 0 && dropped > 0, "only what was overwritten is built again")?;
            overwrite(events, commit)
        }
        Chapter::Remove => {
            expect(kept > 0 && dropped > 0, "only what was removed goes")?;
            Ok(format!("committed ({seq}): {counts}"))
        }
        Chapter::Corrupt => corrupt(events, commit),
        Chapter::Kill => kill(events, commit),
    }
}

fn overwrite(events: &[Recorded], commit: Commit<'_>) -> Found {
    let (aborted, old) = find(events, "a task was superseded", |event| match event {
        Event::TaskAborted { task, reason: AbortReason::Superseded, stopping: Some(_), .. } => Some(*task),
        _ => None,
    })?;
    let (rejected, ()) = find(events, "its late result was rejected as stale", |event| match event {
        Event::CompletionRejected { task, reason: RejectReason::Stale, .. } if *task == old => Some(()),
        _ => None,
    })?;
    if commit.task == old || !(aborted < rejected && rejected < commit.seq) {
        return Err(format!("superseded {aborted}, rejected {rejected}, committed {}: not in this order", commit.seq));
    }
    Ok(format!(
        "task {old} superseded ({aborted}), its late result rejected as stale ({rejected}), task {} committed ({})",
        commit.task, commit.seq
    ))
}

fn corrupt(events: &[Recorded], commit: Commit<'_>) -> Found {
    let (failed, ()) = find(events, "an attempt failed because of part-06.parquet", |event| match event {
        Event::AttemptFailed { reason: FailReason::Failed, message, .. } => {
            message.contains("part-06.parquet").then_some(())
        }
        _ => None,
    })?;
    let (parked, task) = find(events, "its task was parked for good", |event| match event {
        Event::TaskParked { task, cause: ParkCause::Permanent, .. } => Some(*task),
        _ => None,
    })?;
    if task == commit.task || parked > commit.seq {
        return Err(format!("parked {parked} and committed {}: not in this order", commit.seq));
    }
    Ok(format!(
        "part-06.parquet blamed ({failed}), task {task} parked ({parked}), repaired and committed ({})",
        commit.seq
    ))
}

fn kill(events: &[Recorded], commit: Commit<'_>) -> Found {
    let started = |number: u32| {
        move |event: &Event| match event {
            Event::TaskStarted { task, attempt, .. } if *attempt == number => Some(*task),
            _ => None,
        }
    };
    let (first, task) = find(events, "a first attempt started", started(1))?;
    let (lost, ()) = find(events, "it was lost with its process", |event| match event {
        Event::AttemptFailed { task: of, attempt: 1, reason: FailReason::WorkerLost, .. } if *of == task => Some(()),
        _ => None,
    })?;
    find(events, "its worker was given up", |event| match event {
        Event::AttemptEnded { task: of, attempt: 1, reason: EndReason::Lost, .. } if *of == task => Some(()),
        _ => None,
    })?;
    let (second, _) = find(events, "a second attempt started", started(2))?;
    if (commit.task, commit.attempt) != (task, 2) || !(first < lost && lost < second) {
        return Err(format!(
            "the commit is of task {} attempt {}, not of the one that was killed",
            commit.task, commit.attempt
        ));
    }
    Ok(format!(
        "task {task}: attempt 1 ({first}) lost with its process ({lost}), attempt 2 ({second}) committed ({})",
        commit.seq
    ))
}

/// OneLive, LastWord and EpochFenced, told anew from the events: the fold of the library has no part in it.
fn last_word(events: &[Recorded]) -> Found {
    let mut wanted: BTreeMap<CollectionId, Fingerprint> = BTreeMap::new();
    let mut live: BTreeMap<CollectionId, TaskId> = BTreeMap::new();
    let mut newest: Option<Token> = None;
    let mut commits = 0;
    for Recorded { seq, epoch, event, .. } in events {
        let Some(id) = event.collection(*seq) else { continue };
        match event {
            Event::SourceObserved { admission: Admission::Admitted { wanted: Some(fingerprint), .. }, .. } => {
                wanted.insert(id, *fingerprint);
            }
            Event::TaskCreated { .. } => {
                if let Some(other) = live.insert(id, TaskId(*seq)) {
                    return Err(format!("task {seq} was created while {other} was live"));
                }
            }
            Event::TaskStarted { .. } => {
                let token = Token { epoch: *epoch, seq: *seq };
                if newest.replace(token).is_some_and(|before| before >= token) {
                    return Err(format!("the token of event {seq} is not the greatest so far"));
                }
            }
            Event::TaskCompleted { task, fingerprint, .. } => {
                commits += 1;
                if live.remove(&id) != Some(*task) || wanted.get(&id) != Some(fingerprint) {
                    return Err(format!("the commit {seq} is not of the live task and what was wanted"));
                }
            }
            Event::TaskAborted { .. } | Event::TaskParked { .. } => {
                live.remove(&id);
            }
            _ => {}
        }
    }
    Ok(format!("{commits} commits, each by the one live task and of what was wanted at that moment; tokens only grew"))
}

fn verified(reader: &dyn lastword::log::LogReader, objects: &FileObjects) -> Result<Found, Fail> {
    let found = replay::verify(reader, Some(objects)).map_err(|error| Fail::new(DEFECT, error.to_string()))?;
    let (events, frames, objects) = (found.events, found.frames, found.objects);
    Ok(Ok(format!("verified: {events} events in {frames} chained frames, {objects} objects, all there")))
}
