//! The line form of an event: a sentence for people.

use std::fmt;

use super::{Described, counted, printable};
use crate::core::vocabulary::{
    Admission, By, Delta, EndReason, Epoch, Event, Fingerprint, HoldCause, Limits, ParkCause, Recorded, RefreshReason,
    Seq, SourceState, Timestamp,
};

/// One line: time, number, collection, and a sentence.
impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recorded { seq, at, .. } = self.recorded;
        write!(f, "{at} {:>6} ", seq.0)?;
        if let Some(name) = &self.name {
            write!(f, "{}: ", printable(name.as_str()))?;
        }
        f.write_str(&printable(&Sentence(self).to_string()))
    }
}

/// What an event says, in words.
struct Sentence<'d>(&'d Described<'d>);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recorded { seq, at, epoch, by, event } = self.0.recorded;
        write_event(f, (*seq, *at, *epoch), event)?;
        by.as_deref().map_or(Ok(()), |by| write_by(f, by))
    }
}

fn write_event(f: &mut fmt::Formatter<'_>, (seq, at, epoch): (Seq, Timestamp, Epoch), event: &Event) -> fmt::Result {
    match event {
        Event::WriterOpened { software } => write!(f, "log opened by {software}, epoch {epoch}"),
        Event::DataLossAccepted { last, found } => {
            write!(f, "loss of everything after event {last} accepted: {found}")
        }
        Event::CheckpointPart { at, part, parts, bytes, .. } => {
            let length = counted(bytes.len() as u64, "byte");
            write!(f, "part {} of {parts} of what stands for events up to {at}, {length}", part + 1)
        }
        Event::LimitsChanged { limits } => write_limits(f, limits),
        Event::CollectionDeclared { kind, source, spec, .. } => {
            write!(f, "declared as {kind} from {source} with {spec}")
        }
        Event::SourceChanged { source, admission, .. } => {
            write!(f, "source is now {source}")?;
            write_admission(f, at, *admission)
        }
        Event::SpecChanged { spec, admission, .. } => {
            write!(f, "spec is now {spec}")?;
            write_admission(f, at, *admission)
        }
        Event::PolicyChanged { .. } => f.write_str("policy changed"),
        Event::SourceObserved { observed, delta, admission, .. } => {
            f.write_str("source observed")?;
            write_observed(f, observed, *delta)?;
            write_admission(f, at, *admission)
        }
        Event::ObservationFailed { cause, .. } => write!(f, "source cannot be observed: {cause}"),
        Event::CollectionHeld { observed, delta, cause, fingerprint, .. } => {
            write!(f, "held ({})", cause.as_str())?;
            if let HoldCause::MostGone { gone, of } = cause {
                write!(f, ", {gone} of the {of} files that are applied are gone")?;
            }
            write_observed(f, observed, *delta)?;
            write!(f, "; to accept it, confirm {fingerprint}")
        }
        Event::HoldConfirmed { generation, .. } => {
            write!(f, "what was held is confirmed (generation {generation})")
        }
        Event::CollectionDropped { .. } => f.write_str("dropped"),
        Event::CollectionPaused { .. } => f.write_str("paused"),
        Event::CollectionResumed { .. } => f.write_str("resumed"),
        Event::RefreshRequested { force, reason, .. } => {
            f.write_str(if *force { "rebuild requested" } else { "refresh requested" })?;
            match reason {
                RefreshReason::Asked => Ok(()),
                RefreshReason::Resync => f.write_str(": time for a resync"),
                RefreshReason::Drift(message) => write!(f, ": what was committed is gone: {message}"),
            }
        }
        Event::TaskCreated { generation, fingerprint, not_before, .. } => {
            write!(f, "task {seq} created for {} (generation {generation})", short(*fingerprint))?;
            if *not_before > at { write!(f, ", starts in {}", span(at, *not_before)) } else { Ok(()) }
        }
        Event::TaskStarted { task, attempt, worker, .. } => {
            write!(f, "task {task} started, attempt {attempt} on {worker}")
        }
        Event::TaskAborted { task, reason, .. } => write!(f, "task {task} aborted: {}", reason.as_str()),
        Event::TaskCompleted { task, fingerprint, result, .. } => {
            write!(f, "task {task} committed {}", short(*fingerprint))?;
            if let Some(segments) = result.segments {
                let (kept, new, dropped) = (segments.kept, segments.new, segments.dropped);
                write!(f, ", segments: {kept} kept, {new} new, {dropped} dropped")?;
            }
            result.rows.map_or(Ok(()), |rows| write!(f, ", {}", counted(rows, "row")))
        }
        Event::AttemptFailed { task, attempt, reason, message, retry_at, .. } => {
            let reason = reason.as_str();
            write!(f, "task {task} attempt {attempt} {reason}: {message}")?;
            if *retry_at > at { write!(f, "; next in {}", span(at, *retry_at)) } else { Ok(()) }
        }
        Event::AttemptEnded { task, attempt, reason, .. } => {
            write!(f, "task {task} attempt {attempt} ended: {} ({})", reason.as_str(), ended(*reason))
        }
        Event::TaskWoken { task, not_before, .. } => {
            write!(f, "task {task} woken: its source can be observed again")?;
            if *not_before > at { write!(f, "; next in {}", span(at, *not_before)) } else { Ok(()) }
        }
        Event::TaskParked { task, cause, .. } => {
            write!(f, "task {task} parked: {} ({})", cause.as_str(), parked(*cause))
        }
        Event::CompletionRejected { task, attempt, reason, fingerprint, wanted, .. } => {
            let reason = reason.as_str();
            write!(f, "task {task} attempt {attempt}: result of {} rejected, {reason}", short(*fingerprint))?;
            wanted.map_or(Ok(()), |wanted| write!(f, "; wanted is {}", short(wanted)))
        }
        Event::Published { commit, fingerprint, .. } => {
            write!(f, "commit {commit} of {} published", short(*fingerprint))
        }
        Event::PublishFailed { obligation, delivery, message, failures, retry_at, .. } => {
            let what = delivery.as_str();
            write!(f, "could not {what} what event {obligation} owes ({failures} in a row): {message}")?;
            if *retry_at > at { write!(f, "; next in {}", span(at, *retry_at)) } else { Ok(()) }
        }
        Event::Discarded { obligation, .. } => write!(f, "outputs that event {obligation} made obsolete discarded"),
    }
}

/// What the word means, for who does not have the dictionary at hand.
fn ended(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Acknowledged => "its worker has returned",
        EndReason::Abandoned => "it did not stop in time, and may still run; its result can never commit",
        EndReason::Lost => "its process ended, or was silent for longer than its lease",
    }
}

fn parked(cause: ParkCause) -> &'static str {
    match cause {
        ParkCause::Permanent => "trying again would not help",
        ParkCause::OutOfAttempts => "every attempt failed",
        ParkCause::LostTooOften => "too many attempts took their process down",
    }
}

fn write_limits(f: &mut fmt::Formatter<'_>, limits: &Limits) -> fmt::Result {
    f.write_str("limits are now")?;
    if limits == &Limits::default() {
        return f.write_str(" none");
    }
    limits.total.map_or(Ok(()), |most| write!(f, " {most} in all"))?;
    limits.kinds.iter().try_for_each(|(kind, most)| write!(f, " {most} of kind {kind}"))?;
    limits.prefixes.iter().try_for_each(|(prefix, most)| write!(f, " {most} of {prefix}*"))
}

fn write_by(f: &mut fmt::Formatter<'_>, by: &By) -> fmt::Result {
    match (by.actor(), by.cause()) {
        (Some(actor), Some(cause)) => write!(f, " [{actor}: {cause}]"),
        (Some(text), None) | (None, Some(text)) => write!(f, " [{text}]"),
        (None, None) => Ok(()),
    }
}

fn write_admission(f: &mut fmt::Formatter<'_>, at: Timestamp, admission: Admission) -> fmt::Result {
    match admission {
        Admission::Admitted { wanted: Some(wanted), generation } => {
            write!(f, ", wanted: {} (generation {generation})", short(wanted))
        }
        Admission::Admitted { wanted: None, generation } => {
            write!(f, ", wanted once it was observed (generation {generation})")
        }
        Admission::Settling { until } => write!(f, ", settling for {}", span(at, until)),
        Admission::Waiting => f.write_str(", waits for the live task"),
    }
}

fn write_observed(f: &mut fmt::Formatter<'_>, observed: &SourceState, delta: Option<Delta>) -> fmt::Result {
    if let Some(set) = observed.set {
        write!(f, ": {}, {}", counted(set.files, "file"), counted(set.bytes, "byte"))?;
    }
    if let Some(Delta { added, removed, changed }) = delta {
        write!(f, " (+{added} -{removed} ~{changed})")?;
    }
    Ok(())
}

/// As much of a fingerprint as people compare.
fn short(fingerprint: Fingerprint) -> String {
    fingerprint.to_string().chars().take(12).collect()
}

fn span(from: Timestamp, to: Timestamp) -> String {
    format!("{:.1} s", to.since(from).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::vocabulary::{CollectionId, Name};

    #[test]
    fn what_misleads_is_shown_as_what_it_is() {
        let cause = "größe 注文\u{202e}fdp.exe\u{2066}\u{feff}\u{1b}[31m\n".into();
        let event = Event::ObservationFailed { collection: CollectionId(Seq(1)), cause };
        let recorded = Recorded { seq: Seq(2), at: Timestamp(0), epoch: Epoch(1), by: None, event };
        let name = Some(Name::new("a\u{202e}b").unwrap());
        let shown = Described { recorded: &recorded, name, known: None }.to_string();
        let (_, said) = shown.split_once(" 2 ").unwrap();
        let expected = r"a\u{202e}b: source cannot be observed: größe 注文\u{202e}fdp.exe\u{2066}\u{feff}\u{1b}[31m\n";
        assert_eq!(said, expected);
    }
}
