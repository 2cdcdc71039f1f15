//! What attempts have worked, and what of it led to nothing. It must not know what is asked.
//!
//! A worker's time is what it held a worker for. What it had built the log knows of what was committed: a segment has the token of
//! the attempt that made it, also if a later attempt took it over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lastword::core::vocabulary::{
    AttemptRef, CollectionId, Event, ObjectHash, Recorded, Seq, TaskId, Timestamp, Token,
};
use lastword::describe::counted;
use lastword::external::Manifest;
use serde::Serialize;

use crate::input::Input;

/// As many attempts of one task are told apart when what they made is looked for.
const MOST_TOKENS: usize = 4096;

/// The attempts of some tasks, as far as the events were read.
#[derive(Clone, Default)]
pub(super) struct Work {
    running: BTreeMap<Token, Timestamp>,
    attempts: u64,
    ended: Duration,
    /// What the attempt that committed took, of those that have committed.
    committed: Duration,
    commits: BTreeSet<Token>,
    tokens: BTreeSet<Token>,
}

impl Work {
    /// An attempt that had begun before the first event.
    pub(super) fn goes_on(&mut self, attempt: &AttemptRef, since: Timestamp) {
        self.running.insert(attempt.token, since);
        self.attempts += 1;
        self.note(attempt.token);
    }

    /// Takes note of an event of one of the tasks. For how long the attempt had worked that it ends.
    pub(super) fn follow(&mut self, recorded: &Recorded) -> Option<Duration> {
        let worked = |work: &Work, token: &Token| work.running.get(token).map(|since| recorded.at.since(*since));
        match &recorded.event {
            Event::TaskStarted { .. } => {
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                self.running.insert(token, recorded.at);
                self.attempts += 1;
                self.note(token);
                None
            }
            Event::TaskCompleted { token, .. } => {
                self.commits.insert(*token);
                worked(self, token)
            }
            Event::AttemptFailed { token, .. } => worked(self, token),
            Event::TaskAborted { stopping, .. } => worked(self, &stopping.as_ref()?.token),
            Event::AttemptEnded { token, .. } => {
                let worked = recorded.at.since(self.running.remove(token)?);
                self.ended += worked;
                if self.commits.remove(token) {
                    self.committed += worked;
                }
                Some(worked)
            }
            _ => None,
        }
    }

    /// Takes note of an event if it ends one of these attempts; whether it does.
    pub(super) fn ends(&mut self, recorded: &Recorded) -> bool {
        let Event::AttemptEnded { token, .. } = &recorded.event else { return false };
        let is_ours = self.running.contains_key(token);
        is_ours && self.follow(recorded).is_some()
    }

    fn note(&mut self, token: Token) {
        if self.tokens.len() < MOST_TOKENS {
            self.tokens.insert(token);
        }
    }

    /// As of `now`.
    pub(super) fn line(&self, now: Timestamp) -> WorkLine {
        let runs = self.running.iter().filter(|(token, _)| !self.commits.contains(token));
        let running: Duration = runs.map(|(_, since)| now.since(*since)).sum();
        let done: Duration = self
            .running
            .iter()
            .filter(|(token, _)| self.commits.contains(token))
            .map(|(_, since)| now.since(*since))
            .sum();
        WorkLine {
            attempts: self.attempts,
            seconds: seconds(self.ended + running + done),
            running_seconds: seconds(running),
            thrown_away_seconds: seconds(self.ended.saturating_sub(self.committed)),
        }
    }

    /// What of the rows in the manifest of a commit these attempts have made; nothing if that is not known.
    pub(super) fn built(&self, input: &Input, commit: &Commit) -> Option<BuiltLine> {
        let objects = input.objects().ok()??;
        let manifest = Manifest::read(&*objects, commit.manifest?).ok()?;
        let ours = manifest.segments.iter().filter(|segment| self.tokens.contains(&segment.id.token));
        let (mut segments, mut rows) = (0, 0_u64);
        for segment in ours {
            segments += 1;
            rows = rows.saturating_add(segment.rows);
        }
        Some(BuiltLine {
            commit: commit.seq.0,
            segments,
            rows,
            of_segments: manifest.segments.len() as u64,
            of_rows: manifest.rows(),
        })
    }
}

/// A commit, and what it names.
#[derive(Clone, Copy)]
pub(super) struct Commit {
    pub(super) seq: Seq,
    pub(super) manifest: Option<ObjectHash>,
}

impl Commit {
    pub(super) fn of(recorded: &Recorded) -> Option<(CollectionId, TaskId, Commit)> {
        let Event::TaskCompleted { collection, task, result, .. } = &recorded.event else { return None };
        Some((*collection, *task, Commit { seq: recorded.seq, manifest: result.manifest }))
    }
}

/// In JSON: seconds in which attempts held a worker.
#[derive(Serialize)]
pub(super) struct WorkLine {
    attempts: u64,
    seconds: f64,
    /// Of those that go on.
    running_seconds: f64,
    /// Of attempts that ended and committed nothing.
    thrown_away_seconds: f64,
}

/// In JSON: what a commit has of what the attempts had built.
#[derive(Serialize)]
pub(super) struct BuiltLine {
    pub(super) commit: u64,
    pub(super) segments: u64,
    pub(super) rows: u64,
    of_segments: u64,
    of_rows: u64,
}

impl WorkLine {
    /// Nothing if there was no attempt.
    pub(super) fn text(&self) -> Option<String> {
        let WorkLine { attempts, seconds, thrown_away_seconds, running_seconds } = self;
        let mut text = format!("{}, {seconds:.1} s", counted(*attempts, "attempt"));
        if *running_seconds > 0.0 {
            text += &format!(", of which {running_seconds:.1} s are of one that goes on");
        }
        if *thrown_away_seconds > 0.0 {
            text += &format!("; {thrown_away_seconds:.1} s of work led to nothing");
        }
        (*attempts > 0).then_some(text)
    }
}

impl BuiltLine {
    /// `is_own`: the commit is that of the task itself.
    pub(super) fn text(&self, is_own: bool) -> String {
        let BuiltLine { commit, segments, rows, of_segments, of_rows } = self;
        let (made, rows) = (counted(*segments, "segment"), counted(*rows, "row"));
        if is_own {
            return format!("{made} with {rows}, of {of_segments} with {of_rows} that event {commit} committed");
        }
        match segments {
            0 => format!("nothing of it is in what event {commit} committed next: all of it was thrown away"),
            _ => {
                format!("{made} with {rows} of it are in what event {commit} committed next; the rest was thrown away")
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of work are far below 2^52")]
fn seconds(span: Duration) -> f64 {
    span.as_millis() as f64 / 1000.0
}
