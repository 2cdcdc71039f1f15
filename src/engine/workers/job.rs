//! One attempt, on a worker thread, and what its end means as a command.
//!
//! *Architecture invariant:* it calls the worker and reports. Whether a result is committed is not known here.

use std::sync::Arc;

use crate::core::clip;
use crate::core::vocabulary::{
    AttemptObservation, AttemptRef, Built, Completion, EngineCommand, FailureClass, FailureReport, Fingerprint,
};
use crate::engine::crew::Member;
use crate::engine::env::WorkerEnv;
use crate::engine::named_objects::{ON_A_THREAD, Unfounded, check_built, check_set};
use crate::engine::report::{AttemptEnd, BuildReport, ObserverFacts, Report};
use crate::objects::Objects;
use crate::unwind;
use crate::worker::{Assignment, Context, Failure, Observation, Signals, files_applied};

/// One attempt for a worker of this process.
pub(super) struct BuildJob {
    pub(super) assignment: Assignment,
    pub(super) signals: Arc<Signals>,
}

impl BuildJob {
    /// Builds, and reports.
    pub(super) fn run(self, env: &WorkerEnv, member: Member) {
        env.life.join_crew();
        let (attempt, fingerprint) = (self.assignment.attempt(), self.assignment.fingerprint());
        let objects = env.objects_of_a_job();
        let signals = Arc::clone(&self.signals);
        let end = clipped(self.build(env, &objects));
        signals.end();
        env.report(Report::Built(BuildReport { member, attempt, fingerprint, end }));
        drop(objects);
    }

    fn build(self, env: &WorkerEnv, objects: &Arc<dyn Objects>) -> AttemptEnd {
        let BuildJob { assignment, signals } = self;
        let Some(worker) = env.kinds.get(assignment.kind()) else {
            let problem = format!("no worker builds the kind {:?}", assignment.kind());
            return AttemptEnd::Failed(Failure::Permanent(problem));
        };
        let (attempt, applied) = (assignment.attempt(), files_applied(assignment.committed()));
        let context = Context::new(assignment, signals, Arc::clone(objects), Arc::clone(&env.notes), env.time.clone());
        // Whoever listens to spans is foreign code as well.
        let run = || {
            let span = tracing::info_span!(target: "lastword::attempt", "attempt", collection = %context.name(),
                task = %attempt.task, attempt = attempt.attempt);
            span.in_scope(|| worker.run(&context))
        };
        match unwind::catch(run) {
            Ok(Ok(built)) => match check_built(&**objects, &built, ON_A_THREAD) {
                Ok(()) => AttemptEnd::Built(built),
                Err(unfounded) => AttemptEnd::Failed(failure_of("what was built", unfounded)),
            },
            Ok(Err(Failure::SourceMoved { what, observation: Some(observation) })) => {
                let impossible = observation.problem(applied);
                let checked = check_set(&**objects, &observation.state, ON_A_THREAD);
                AttemptEnd::Failed(match (impossible, checked) {
                    (Some(problem), _) => Failure::Permanent(format!("what was observed {problem}")),
                    (None, Ok(())) => Failure::SourceMoved { what, observation: Some(observation) },
                    (None, Err(unfounded)) => failure_of("what was observed", unfounded),
                })
            }
            Ok(Err(failure)) => AttemptEnd::Failed(failure),
            Err(panic) => AttemptEnd::Panicked(panic),
        }
    }
}

/// What cannot be found later is not committed.
fn failure_of(what: &str, unfounded: Unfounded) -> Failure {
    let message = format!("{what} cannot be checked: {unfounded}");
    match unfounded {
        Unfounded::Wrong(_) => Failure::Permanent(message),
        Unfounded::Unread(_) => Failure::Transient(message),
    }
}

/// What the end of an attempt tells the core. `was_told`: it had been told to stop. `facts`: what observers know of its
/// source, which decides whether what the attempt observed counts.
pub(in crate::engine) fn command(
    attempt: AttemptRef,
    fingerprint: Fingerprint,
    end: AttemptEnd,
    was_told: bool,
    facts: ObserverFacts,
) -> EngineCommand {
    let fail = |class, message: String| {
        let failure = FailureReport { class, message: message.into() };
        EngineCommand::Fail { attempt, failure }
    };
    match end {
        AttemptEnd::Built(result) if result.output.as_ref().is_some_and(|output| output.len() > Built::MOST_OUTPUT) => {
            let message = format!("the worker's output is longer than {} bytes", Built::MOST_OUTPUT);
            fail(FailureClass::Permanent, message)
        }
        AttemptEnd::Built(result) => EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result })),
        AttemptEnd::Failed(Failure::Transient(message)) => fail(FailureClass::Transient, message),
        AttemptEnd::Failed(Failure::Permanent(message)) => fail(FailureClass::Permanent, message),
        AttemptEnd::Failed(Failure::SourceMoved { what, observation }) => {
            let message = Failure::SourceMoved { what, observation: None }.to_string();
            let observation = observation.map(|observation| Box::new(observed(*observation, facts)));
            fail(FailureClass::SourceMoved(observation), message)
        }
        AttemptEnd::Failed(Failure::Stopped) if was_told => EngineCommand::Stopped { attempt },
        AttemptEnd::Failed(Failure::Stopped) => {
            fail(FailureClass::Transient, "the worker stopped without being told to".to_owned())
        }
        AttemptEnd::Panicked(message) => fail(FailureClass::Panicked, message),
    }
}

fn observed(observation: Observation, facts: ObserverFacts) -> AttemptObservation {
    let ObserverFacts { last_observation, has_observer } = facts;
    AttemptObservation { outcome: observation.outcome(), last_observation, has_observer }
}

/// What is said at length is not copied by the engine's own thread.
fn clipped(end: AttemptEnd) -> AttemptEnd {
    let clipped = |text: String| clip(&text, FailureReport::MOST_MESSAGE).to_owned();
    match end {
        AttemptEnd::Failed(failure) => AttemptEnd::Failed(match failure {
            Failure::Transient(text) => Failure::Transient(clipped(text)),
            Failure::Permanent(text) => Failure::Permanent(clipped(text)),
            Failure::SourceMoved { what, observation } => Failure::SourceMoved { what: what.map(clipped), observation },
            Failure::Stopped => Failure::Stopped,
        }),
        AttemptEnd::Panicked(text) => AttemptEnd::Panicked(clipped(text)),
        end @ AttemptEnd::Built(_) => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_says_at_length_is_cut_before_the_engine_has_it() {
        let long = || "x".repeat(8 << 20);
        let failures = [Failure::Transient(long()), Failure::Permanent(long()), Failure::moved(long())];
        for end in failures.map(AttemptEnd::Failed).into_iter().chain([AttemptEnd::Panicked(long())]) {
            let length = match clipped(end) {
                AttemptEnd::Failed(Failure::Transient(text) | Failure::Permanent(text)) => text.len(),
                AttemptEnd::Failed(Failure::SourceMoved { what, .. }) => what.map_or(0, |what| what.len()),
                AttemptEnd::Panicked(text) => text.len(),
                AttemptEnd::Built(_) | AttemptEnd::Failed(Failure::Stopped) => 0,
            };
            assert_eq!(length, FailureReport::MOST_MESSAGE);
        }
    }
}
