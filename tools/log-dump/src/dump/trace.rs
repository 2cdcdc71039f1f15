//! Events as a trace: a track for each collection, a bar for each attempt by its end, an instant for each change of what is wanted.
//!
//! The form is that of Chrome's trace events, which Perfetto opens. It is written as the events come: what is kept are the attempts
//! that have not ended and the tracks.

use std::collections::BTreeMap;

use lastword::core::vocabulary::{
    AbortReason, CollectionId, EndReason, Event, FailReason, Recorded, RejectReason, Timestamp, Token,
};
use serde_json::{Value, json};

use super::events::Line;
use crate::fail::Failure;
use crate::output::Output;

/// The process of all tracks.
const PROCESS: u32 = 1;

pub(super) struct Trace {
    is_first: bool,
    attempts: BTreeMap<Token, Bar>,
    collections: BTreeMap<CollectionId, Vec<Track>>,
    tracks: u32,
    last: Timestamp,
}

/// Bars of one track do not overlap: an attempt that is still to stop leaves the next one to another track.
struct Track {
    number: u32,
    busy: bool,
}

struct Bar {
    collection: CollectionId,
    track: u32,
    began: Timestamp,
    /// What is known of its end before it lets go of its worker.
    end: Option<&'static str>,
    facts: Value,
}

impl Trace {
    pub(super) fn begin(output: &mut Output) -> Result<Trace, Failure> {
        output.line(r#"{"displayTimeUnit":"ms","traceEvents":["#)?;
        let (attempts, collections) = (BTreeMap::new(), BTreeMap::new());
        let mut trace = Trace { is_first: true, attempts, collections, tracks: 0, last: Timestamp(0) };
        let facts = json!({"name": "lastword"});
        trace.write(output, &json!({"ph": "M", "pid": PROCESS, "tid": 0, "name": "process_name", "args": facts}))?;
        Ok(trace)
    }

    pub(super) fn event(&mut self, line: &Line<'_>, output: &mut Output) -> Result<(), Failure> {
        let Line::Known(described) = line else { return Ok(()) };
        let recorded = described.recorded();
        self.last = self.last.max(recorded.at);
        let Some(collection) = recorded.event.collection(recorded.seq) else { return Ok(()) };
        let name = described.name().map_or("", |name| name.as_str());
        match &recorded.event {
            Event::TaskStarted { task, attempt, worker, .. } => {
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                let facts = json!({"task": task.0.0, "attempt": attempt, "worker": worker.as_str(), "started_by": recorded.seq.0});
                let track = self.take_track(collection, name, output)?;
                let bar = Bar { collection, track, began: recorded.at, end: None, facts };
                self.attempts.insert(token, bar);
            }
            Event::AttemptEnded { token, reason, .. } => {
                let Some(bar) = self.attempts.remove(token) else { return Ok(()) };
                let lost = matches!(reason, EndReason::Lost).then_some("lost");
                let end = bar.end.or(lost).unwrap_or("ended");
                self.bar(&bar, end, recorded.at, Some(recorded.seq.0), output)?;
            }
            event => {
                if let Some((token, end)) = end_of(event)
                    && let Some(bar) = self.attempts.get_mut(&token)
                {
                    bar.end = Some(end);
                }
                if let Some(what) = change(event) {
                    self.instant(collection, name, what, recorded, output)?;
                }
            }
        }
        Ok(())
    }

    /// What goes on is shown up to the last event.
    pub(super) fn end(mut self, output: &mut Output) -> Result<(), Failure> {
        let last = self.last;
        for bar in std::mem::take(&mut self.attempts).into_values() {
            let end = bar.end.unwrap_or("running");
            self.bar(&bar, end, last, None, output)?;
        }
        output.line("\n]}")
    }

    fn take_track(&mut self, collection: CollectionId, name: &str, output: &mut Output) -> Result<u32, Failure> {
        let tracks = self.collections.entry(collection).or_default();
        if let Some(track) = tracks.iter_mut().find(|track| !track.busy) {
            track.busy = true;
            return Ok(track.number);
        }
        let number = self.new_track(collection, name, output)?;
        self.set_busy(collection, number, true);
        Ok(number)
    }

    /// The first track of a collection.
    fn track(&mut self, collection: CollectionId, name: &str, output: &mut Output) -> Result<u32, Failure> {
        let first = self.collections.get(&collection).and_then(|tracks| tracks.first()).map(|track| track.number);
        first.map_or_else(|| self.new_track(collection, name, output), Ok)
    }

    fn new_track(&mut self, collection: CollectionId, name: &str, output: &mut Output) -> Result<u32, Failure> {
        self.tracks += 1;
        let number = self.tracks;
        let tracks = self.collections.entry(collection).or_default();
        tracks.push(Track { number, busy: false });
        let shown = if tracks.len() == 1 { name.to_owned() } else { format!("{name} ({})", tracks.len()) };
        let facts = json!({"name": shown});
        self.write(output, &json!({"ph": "M", "pid": PROCESS, "tid": number, "name": "thread_name", "args": facts}))?;
        Ok(number)
    }

    fn set_busy(&mut self, collection: CollectionId, number: u32, busy: bool) {
        let tracks = self.collections.get_mut(&collection).into_iter().flatten();
        tracks.filter(|track| track.number == number).for_each(|track| track.busy = busy);
    }

    fn bar(
        &mut self,
        bar: &Bar,
        end: &'static str,
        at: Timestamp,
        ended_by: Option<u64>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        self.set_busy(bar.collection, bar.track, false);
        let mut facts = bar.facts.clone();
        facts["ended_by"] = ended_by.into();
        let (began, took) = (bar.began.0, at.0.saturating_sub(bar.began.0));
        self.write(
            output,
            &json!({"ph": "X", "pid": PROCESS, "tid": bar.track, "name": end, "cat": "attempt", "cname": colour(end),
                "ts": began, "dur": took, "args": facts}),
        )
    }

    fn instant(
        &mut self,
        collection: CollectionId,
        name: &str,
        what: &'static str,
        recorded: &Recorded,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let track = self.track(collection, name, output)?;
        let facts = json!({"seq": recorded.seq.0});
        self.write(
            output,
            &json!({"ph": "i", "s": "t", "pid": PROCESS, "tid": track, "name": what, "cat": "change", "ts": recorded.at.0,
                "args": facts}),
        )
    }

    fn write(&mut self, output: &mut Output, event: &Value) -> Result<(), Failure> {
        let comma = if std::mem::take(&mut self.is_first) { "" } else { ",\n" };
        output.text(&format!("{comma}{event}"))
    }
}

/// What an event says of how an attempt ends, before it has.
fn end_of(event: &Event) -> Option<(Token, &'static str)> {
    match event {
        Event::TaskCompleted { token, .. } => Some((*token, "committed")),
        Event::TaskAborted { reason, stopping: Some(stopping), .. } => Some((
            stopping.token,
            match reason {
                AbortReason::Superseded => "superseded",
                AbortReason::Dropped => "dropped",
                AbortReason::Cancelled => "cancelled",
            },
        )),
        Event::AttemptFailed { token, reason, .. } => Some((
            *token,
            match reason {
                FailReason::WorkerLost => "lost",
                _ => "failed",
            },
        )),
        // The task of one that is not live was over before.
        Event::CompletionRejected { token, reason, .. } if !matches!(reason, RejectReason::Duplicate) => {
            Some((*token, "rejected"))
        }
        _ => None,
    }
}

/// The word for an event that may make something else wanted.
fn change(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::CollectionDeclared { .. } => "declared",
        Event::SourceChanged { .. } => "source changed",
        Event::SpecChanged { .. } => "spec changed",
        Event::SourceObserved { .. } => "source observed",
        Event::CollectionHeld { .. } => "held",
        Event::HoldConfirmed { .. } => "confirmed",
        Event::ObservationFailed { .. } => "not observed",
        Event::RefreshRequested { .. } => "refresh",
        Event::CollectionDropped { .. } => "dropped",
        _ => return None,
    })
}

/// By the names that the form has for colours.
fn colour(end: &str) -> &'static str {
    match end {
        "committed" => "good",
        "superseded" | "dropped" | "cancelled" => "grey",
        "rejected" => "yellow",
        "failed" => "terrible",
        "lost" => "bad",
        _ => "rail_response",
    }
}
