//! The workers of this process: which are idle, which attempt each runs, and how an attempt is told to stop.
//!
//! Owns a crew of threads, one attempt at a time each. The domain of an attempt is its kind: a kind whose attempts do
//! not listen uses up its own share of the threads, and the tasks of the others go on.
//!
//! *Architecture invariant:* this part sees durable events and assignments, and returns commands. Which task an idle
//! worker gets is not decided here.

mod job;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use self::job::BuildJob;
pub(super) use self::job::command;
use super::crew::{Crew, Member, Sparing};
use super::env::WorkerEnv;
use crate::core::vocabulary::{
    AttemptRef, CollectionId, Duties, EndReason, Event, Kind, Stopping, Timestamp, Token, WorkerName,
};
use crate::unwind;
use crate::worker::{Assignment, Progress, Signals};

pub(super) struct Workers {
    /// The kinds that have a worker here, and what each does beside building.
    duties: BTreeMap<Kind, Duties>,
    crew: Crew<BuildJob>,
    running: BTreeMap<Token, Running>,
}

struct Running {
    member: Member,
    attempt: AttemptRef,
    signals: Arc<Signals>,
    started: Timestamp,
}

impl Workers {
    pub(super) fn start(env: &WorkerEnv, duties: BTreeMap<Kind, Duties>, threads: usize) -> io::Result<Workers> {
        let env = env.clone();
        let crew = Crew::start("w", threads, Sparing::None, move |member, job: BuildJob| job.run(&env, member))?;
        Ok(Workers { duties, crew, running: BTreeMap::new() })
    }

    /// The kinds that an idle worker may be given now, with their duties.
    pub(super) fn kinds(&self) -> Cow<'_, BTreeMap<Kind, Duties>> {
        if self.crew.given_up() == 0 {
            return Cow::Borrowed(&self.duties);
        }
        let has_share = |(kind, _): &(&Kind, &Duties)| self.crew.has_share(kind.as_str());
        Cow::Owned(self.duties.iter().filter(has_share).map(|(kind, duties)| (kind.clone(), *duties)).collect())
    }

    /// The worker that has been idle longest.
    pub(super) fn first_idle(&self) -> Option<(Member, WorkerName)> {
        let member = self.crew.first_idle()?;
        // `w` and at most 20 digits: a worker name whatever the number.
        Some((member, WorkerName::new(&format!("w{}", member.number())).ok()?))
    }

    /// Takes an idle worker for an attempt of this kind that is being decided.
    pub(super) fn reserve(&mut self, member: Member, kind: &Kind, now: Timestamp) {
        self.crew.reserve(member, &kind.as_str().into(), now, None);
    }

    /// Hands an attempt, which is durable by now, to the worker that was taken for it. If there is none any more, the
    /// worker is idle again.
    pub(super) fn dispatch(&mut self, member: Member, assignment: Option<Assignment>, now: Timestamp) {
        let Some(assignment) = assignment else {
            self.crew.returned(member);
            return;
        };
        let (attempt, signals) = (assignment.attempt(), Arc::<Signals>::default());
        let running = Running { member, attempt, signals: Arc::clone(&signals), started: now };
        self.running.insert(attempt.token, running);
        self.crew.send(member, BuildJob { assignment, signals });
    }

    /// What a durable event means for the attempts here.
    pub(super) fn on_event(&mut self, event: &Event) {
        match event {
            Event::TaskAborted { stopping: Some(Stopping { token, .. }), .. }
            | Event::AttemptFailed { token, grace_until: Some(_), .. } => self.stop(*token),
            Event::AttemptEnded { token, reason: EndReason::Abandoned, .. } => self.abandon(*token),
            _ => {}
        }
    }

    /// A worker has returned. It is idle again, or gone if it was given up.
    pub(super) fn returned(&mut self, member: Member, token: Token) {
        self.running.remove(&token);
        self.crew.returned(member);
    }

    /// Tells every attempt to stop.
    pub(super) fn stop_all(&self) {
        self.running.values().for_each(|running| running.signals.stop());
    }

    /// Has every attempt that sleeps read the clock.
    pub(super) fn wake_all(&self) {
        self.running.values().for_each(|running| running.signals.wake());
    }

    /// Of every attempt that sleeps, when it wakes.
    pub(super) fn sleeping_until(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.running.values().filter_map(|running| running.signals.sleeping_until())
    }

    /// Whether an attempt was told to stop.
    pub(super) fn is_stopping(&self, token: Token) -> bool {
        self.running.get(&token).is_some_and(|running| running.signals.is_stopping())
    }

    /// Whether an attempt says that its source may have changed.
    pub(super) fn is_hinted(&self, token: Token) -> bool {
        self.running.get(&token).is_some_and(|running| running.signals.is_hinted())
    }

    /// How far an attempt has come.
    pub(super) fn progress(&self, token: Token) -> Option<Progress> {
        self.running.get(&token).and_then(|running| running.signals.progress())
    }

    /// When an attempt that is still here began.
    pub(super) fn started(&self, token: Token) -> Option<Timestamp> {
        self.running.get(&token).map(|running| running.started)
    }

    /// Whether this kind has a worker here.
    pub(super) fn builds(&self, kind: &Kind) -> bool {
        self.duties.contains_key(kind)
    }

    /// Whether what it builds of a kind may add to an outbox. What callers drive adds nothing.
    pub(super) fn has_duties(&self, kind: &Kind) -> bool {
        self.duties.get(kind).is_some_and(|duties| duties.any())
    }

    /// Whether every worker that a kind may have is lost to attempts that do not listen.
    pub(super) fn is_exhausted(&self, kind: &Kind) -> bool {
        self.builds(kind) && self.crew.is_exhausted(kind.as_str())
    }

    /// The collections whose attempts are here.
    pub(super) fn collections(&self) -> impl Iterator<Item = CollectionId> + '_ {
        self.running.values().map(|running| running.attempt.collection)
    }

    /// Attempts here, those abandoned included.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Attempts that may still come back in time.
    pub(super) fn busy(&self) -> usize {
        self.crew.busy()
    }

    pub(super) fn idle(&self) -> usize {
        self.crew.idle()
    }

    pub(super) fn abandoned(&self) -> usize {
        self.crew.given_up()
    }

    fn stop(&self, token: Token) {
        if let Some(running) = self.running.get(&token) {
            running.signals.stop();
        }
    }

    fn abandon(&mut self, token: Token) {
        let Some(Running { member, attempt, .. }) = self.running.get(&token) else { return };
        unwind::tell(|| {
            tracing::warn!(target: "lastword::pool", collection = %attempt.collection, task = %attempt.task,
                attempt = attempt.attempt, "attempt abandoned, its thread is replaced");
        });
        self.crew.abandon(*member);
    }
}

/// No attempt sleeps on after the engine has ended, in whatever way.
impl Drop for Workers {
    fn drop(&mut self) {
        self.stop_all();
    }
}
