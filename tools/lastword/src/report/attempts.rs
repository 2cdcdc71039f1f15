//! The attempts of a log as bars: from which event to which, and how each ended.
//!
//! A bar is drawn at a moment from the numbers of these events alone: what had not happened by then did not.

use std::collections::BTreeMap;

use lastword::core::vocabulary::{AbortReason, CollectionId, EndReason, Event, FailReason, Recorded, Seq, Token};
use lastword::core::{State, Status};
use serde_json::{Value, json};

use super::columns::{Table, number};

/// One attempt.
struct Attempt {
    of: i64,
    task: u64,
    number: u32,
    worker: i64,
    started: (u64, u64),
    /// What became of it, by which event and when; the worker may go on for a while.
    decided: Option<(&'static str, u64, u64)>,
    /// Its worker let go.
    ended: Option<(u64, u64)>,
    /// Its result was thrown away.
    rejected: Option<u64>,
    /// What the worker said of its failure.
    message: i64,
    /// The last event that said something of it.
    touched: u64,
}

/// All of them, in the order in which they started.
#[derive(Default)]
pub(super) struct Attempts {
    all: Vec<Attempt>,
    places: BTreeMap<Token, usize>,
    running: BTreeMap<CollectionId, Token>,
}

impl Attempts {
    /// Those that run where the page begins.
    pub(super) fn begin(&mut self, state: &State, texts: &mut Table, of: impl Fn(CollectionId) -> Option<i64>) {
        for (id, attempt) in state.running() {
            let running = state.collection(id).map(|collection| &collection.status);
            let (Some(of), Some(Status::Running(running))) = (of(id), running) else { continue };
            let worker = texts.text(running.attempt.worker.as_str());
            let started = (attempt.token.seq.0, running.attempt.started.0);
            self.start(id, attempt.token, of, (attempt.task.0.0, attempt.attempt), worker, started);
        }
    }

    fn start(
        &mut self,
        id: CollectionId,
        token: Token,
        of: i64,
        (task, number): (u64, u32),
        worker: i64,
        started: (u64, u64),
    ) {
        let (decided, ended, rejected, message, touched) = (None, None, None, -1, started.0);
        let attempt = Attempt { of, task, number, worker, started, decided, ended, rejected, message, touched };
        self.places.insert(token, self.all.len());
        self.running.insert(id, token);
        self.all.push(attempt);
    }

    pub(super) fn follow(&mut self, recorded: &Recorded, of: i64, texts: &mut Table) {
        let when = (recorded.seq.0, recorded.at.0);
        match &recorded.event {
            Event::TaskStarted { collection, task, attempt, worker, .. } => {
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                let worker = texts.text(worker.as_str());
                self.start(*collection, token, of, (task.0.0, *attempt), worker, when);
            }
            Event::TaskCompleted { token, .. } => self.decide(*token, "committed", when),
            Event::AttemptFailed { token, reason, message, .. } => {
                let how = match reason {
                    FailReason::WorkerLost => "lost",
                    FailReason::SourceMoved => "moved",
                    FailReason::Failed | FailReason::TimedOut | FailReason::Panicked => "failed",
                };
                self.decide(*token, how, when);
                let message = texts.text(message);
                self.with(*token, when.0, |attempt| attempt.message = message);
            }
            Event::TaskAborted { collection, reason, .. } => {
                if let Some(token) = self.running.get(collection).copied() {
                    let how = match reason {
                        AbortReason::Superseded => "superseded",
                        AbortReason::Dropped => "dropped",
                        AbortReason::Cancelled => "cancelled",
                    };
                    self.decide(token, how, when);
                }
            }
            Event::AttemptEnded { token, reason, .. } => {
                let how = match reason {
                    EndReason::Acknowledged => "returned",
                    EndReason::Abandoned | EndReason::Lost => "lost",
                };
                self.decide(*token, how, when);
                self.with(*token, when.0, |attempt| attempt.ended = Some(when));
            }
            Event::CompletionRejected { token, .. } => {
                self.with(*token, when.0, |attempt| attempt.rejected = Some(attempt.rejected.unwrap_or(when.0)));
            }
            _ => {}
        }
    }

    fn with(&mut self, token: Token, seq: u64, change: impl FnOnce(&mut Attempt)) {
        let place = self.places.get(&token).copied();
        if let Some(attempt) = place.and_then(|place| self.all.get_mut(place)) {
            change(attempt);
            attempt.touched = seq;
        }
    }

    /// The first word counts.
    fn decide(&mut self, token: Token, how: &'static str, (seq, at): (u64, u64)) {
        self.with(token, seq, |attempt| attempt.decided = attempt.decided.or(Some((how, seq, at))));
        self.running.retain(|_, running| *running != token);
    }

    /// One array for each; of a page that has all before `from`, for each of which more is known, with its place.
    pub(super) fn json(&self, from: Option<Seq>) -> String {
        let one = |(place, attempt): (usize, &Attempt)| -> Option<Value> {
            let Attempt { of, task, number: count, worker, started, decided, ended, rejected, message, touched } =
                attempt;
            if from.is_some_and(|from| *touched < from.0) {
                return None;
            }
            let (how, decided_seq, decided_at) = decided.unwrap_or(("running", 0, 0));
            let (ended_seq, ended_at) = ended.unwrap_or((0, 0));
            let found = json!([
                of,
                task,
                count,
                worker,
                started.0,
                number(started.1),
                how,
                decided_seq,
                number(decided_at),
                ended_seq,
                number(ended_at),
                rejected.unwrap_or(0),
                message
            ]);
            Some(if from.is_some() { json!([place, found]) } else { found })
        };
        let all: Vec<String> = self.all.iter().enumerate().filter_map(one).map(|one| one.to_string()).collect();
        format!("[{}]", all.join(","))
    }
}
