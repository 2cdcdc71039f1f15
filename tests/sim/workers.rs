//! Workers: quick, slow, deaf, dead, confused, late. Those of this process end with it; those far away do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lastword::core::vocabulary::{
    AttemptObservation, AttemptRef, Built, CollectionId, Completion, Content, Duties, EndReason, EngineCommand, Event,
    FailureClass, FailureReport, Fingerprint, Inputs, Kind, Name, ObservationOutcome, Recorded, Stopping, Token,
    WorkerName,
};
use lastword::core::{Applied, RunsAt};

use super::queue::Happening;
use super::sim::Sim;
use super::weather::Weather;

/// How long a worker far away may be silent.
const LEASE: Duration = Duration::from_secs(20);

/// Everybody who works.
pub(crate) struct Workers {
    local: BTreeMap<Kind, Duties>,
    far: BTreeMap<Kind, Duties>,
    /// By worker: the attempt that holds it.
    slots: BTreeMap<WorkerName, Option<Token>>,
    /// Given out in this batch, and not durable yet.
    taken: BTreeSet<WorkerName>,
    jobs: BTreeMap<Token, Job>,
    /// What attempts have noted of the segments that they built. It outlives their process, but for the last of it.
    pub(crate) notes: BTreeMap<Token, Vec<Vec<u8>>>,
}

/// What an attempt is about and how it will end.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) attempt: AttemptRef,
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) applied: Option<Box<Applied>>,
    pub(crate) leftovers: Vec<Token>,
    worker: WorkerName,
    habit: Habit,
    is_deaf: bool,
    was_told: bool,
    /// What it read of its source when it began.
    read: Option<ObservationOutcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Honest,
    Fails,
    FailsForGood,
    Panics,
    /// Says that the source moved, and not where to.
    Moved,
    /// Says that its result was built from something else.
    Confused,
    /// Says nothing any more.
    Silent,
    /// Hands its attempt back.
    GivesUp,
}

impl Workers {
    pub(crate) fn new(weather: &Weather) -> Workers {
        let kind = |text| Kind::new(text).unwrap();
        let both = Duties { publish: true, discard: true };
        let publish = Duties { publish: true, discard: false };
        let local = [("plain", Duties::default()), ("dest", both), ("files", both)];
        let near = (0..weather.workers).map(|n| format!("near-{n}"));
        let far = (0..weather.far_workers).map(|n| format!("far-{n}"));
        Workers {
            local: local.map(|(text, duties)| (kind(text), duties)).into(),
            far: BTreeMap::from([(kind("far"), publish)]),
            slots: near.chain(far).map(|name| (WorkerName::new(&name).unwrap(), None)).collect(),
            taken: BTreeSet::new(),
            jobs: BTreeMap::new(),
            notes: BTreeMap::new(),
        }
    }

    pub(crate) fn kinds(&self, far: bool) -> impl Iterator<Item = &Kind> + Clone {
        if far { self.far.keys() } else { self.local.keys() }
    }

    pub(crate) fn has_idle(&self, far: bool) -> bool {
        self.idle(far).is_some()
    }

    fn idle(&self, far: bool) -> Option<&WorkerName> {
        let mut idle = self.slots.iter().filter(|(name, job)| is_far(name) == far && job.is_none());
        idle.find(|(name, _)| !self.taken.contains(*name)).map(|(name, _)| name)
    }

    fn let_go(&mut self, token: Token) {
        self.slots.values_mut().filter(|held| **held == Some(token)).for_each(|held| *held = None);
    }
}

fn is_far(worker: &WorkerName) -> bool {
    worker.as_str().starts_with("far")
}

impl Sim {
    /// Gives work to whoever is idle, in the same frame as what made it ready.
    pub(crate) fn assign(&mut self) {
        for far in [false, true] {
            while let Some(worker) = self.workers.idle(far).cloned() {
                let kinds = if far { self.workers.far.clone() } else { self.workers.local.clone() };
                let lease = far.then_some(LEASE);
                let given = self.writer().assign(&worker, &kinds, lease).unwrap_or_else(|error| panic!("{error}"));
                if given.is_none() {
                    let now = self.now();
                    let place = if far { RunsAt::Elsewhere } else { RunsAt::Here };
                    let ready = self.state().first_ready_at(place, kinds.keys(), now);
                    assert_eq!(ready, None, "what is ready cannot start");
                    break;
                }
                self.workers.taken.insert(worker);
            }
        }
    }

    /// What a durable event means for a worker.
    pub(crate) fn follow_work(&mut self, recorded: &Recorded) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        match &recorded.event {
            Event::TaskStarted { worker, .. } => {
                self.workers.taken.remove(worker);
                self.dispatch(id, worker, Token { epoch: recorded.epoch, seq: recorded.seq });
            }
            Event::TaskAborted { stopping: Some(Stopping { token, .. }), .. }
            | Event::AttemptFailed { token, grace_until: Some(_), .. } => self.tell_to_stop(*token),
            Event::AttemptEnded { token, reason, .. } => {
                let silent = self.workers.jobs.get(token).is_some_and(|job| job.habit == Habit::Silent);
                if silent || *reason == EndReason::Abandoned {
                    // A worker that was given up is replaced; it may still be heard of.
                    self.workers.let_go(*token);
                }
                if silent {
                    self.workers.jobs.remove(token);
                }
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, id: CollectionId, worker: &WorkerName, token: Token) {
        let Some(collection) = self.collection(id) else { return };
        let (Some(running), Some(wanted)) = (collection.status.running(), collection.wanted.as_ref()) else { return };
        let attempt = running.attempt_of(id);
        assert_eq!(attempt.token, token, "an attempt was started that is not running");
        let anew = running.task.rebuild;
        let (inputs, fingerprint) = (Arc::clone(&wanted.inputs), wanted.fingerprint);
        let (name, kind) = (collection.name.clone(), collection.kind.clone());
        let applied = collection.applied.clone().filter(|_| !anew);
        let leftovers = if anew { Vec::new() } else { collection.leftovers().to_vec() };
        let read = (!Sim::is_files(&kind)).then(|| self.see_number(inputs.source.as_str()));
        let (habit, is_deaf) = self.habit(worker);
        let worker = worker.clone();
        let was_told = false;
        if kind.as_str() == "dest" {
            self.destination.write(id, token);
        }
        self.workers.slots.insert(worker.clone(), Some(token));
        let takes = self.takes();
        if habit != Habit::Silent {
            self.after(takes, Happening::Finishes(token));
        } else if is_far(&worker) {
            self.after(LEASE, Happening::LeaseOut(attempt));
        }
        let job = Job {
            attempt,
            name,
            kind,
            inputs,
            fingerprint,
            applied,
            leftovers,
            worker,
            habit,
            is_deaf,
            was_told,
            read,
        };
        self.workers.jobs.insert(token, job);
    }

    fn habit(&mut self, worker: &WorkerName) -> (Habit, bool) {
        if self.is_calm {
            return (Habit::Honest, false);
        }
        let is_deaf = self.dice.chance(self.weather.deaf);
        if !self.dice.chance(self.weather.mischief) {
            return (Habit::Honest, is_deaf);
        }
        let habits = [
            Habit::Fails,
            Habit::Fails,
            Habit::FailsForGood,
            Habit::Panics,
            Habit::Moved,
            Habit::Confused,
            Habit::Silent,
            Habit::GivesUp,
        ];
        let habit = self.dice.pick(&habits);
        // Nobody hands back for a worker of this process but the engine, when it was told to stop.
        if habit == Habit::GivesUp && !is_far(worker) { (Habit::Fails, is_deaf) } else { (habit, is_deaf) }
    }

    fn takes(&mut self) -> Duration {
        match self.dice.chance(self.weather.slow) && !self.is_calm {
            true => self.dice.millis(5_000, 90_000),
            false => self.dice.millis(1, 3_000),
        }
    }

    fn tell_to_stop(&mut self, token: Token) {
        let Some(job) = self.workers.jobs.get_mut(&token) else { return };
        job.was_told = true;
        if !job.is_deaf && job.habit != Habit::Silent {
            let reacts = self.dice.millis(1, 6_000);
            self.after(reacts, Happening::Stops(token));
        }
    }

    /// What an attempt that holds its worker has finished of its work when it ends in the middle of it.
    fn build_a_part(&mut self, job: &Job) {
        let holds = self.workers.slots.get(&job.worker) == Some(&Some(job.attempt.token));
        if holds && Sim::is_files(&job.kind) {
            let most = self.dice.index(5);
            let _ = self.build_segments(job, Some(most));
        }
    }

    /// A worker that listens stops.
    pub(crate) fn stops(&mut self, token: Token) {
        let Some(job) = self.workers.jobs.remove(&token) else { return };
        self.build_a_part(&job);
        self.workers.let_go(token);
        self.say(EngineCommand::Stopped { attempt: job.attempt });
        self.echo(&EngineCommand::Stopped { attempt: job.attempt });
    }

    /// A worker is through, whether anybody still waits for it or not.
    pub(crate) fn finishes(&mut self, token: Token) {
        let Some(job) = self.workers.jobs.remove(&token) else { return };
        let holds = self.workers.slots.get(&job.worker) == Some(&Some(token));
        self.workers.let_go(token);
        if !holds && !is_far(&job.worker) {
            self.add_zombie(&job);
        }
        let command = self.outcome(&job);
        self.say(command.clone());
        self.echo(&command);
    }

    /// Some say it again.
    fn echo(&mut self, command: &EngineCommand) {
        while self.dice.chance(self.weather.twice) {
            let late = self.dice.millis(0, 60_000);
            self.after(late, Happening::Says(Box::new(command.clone().into())));
        }
    }

    fn outcome(&mut self, job: &Job) -> EngineCommand {
        let attempt = job.attempt;
        let fail = |class, message: &str| {
            let failure = FailureReport { class, message: message.into() };
            EngineCommand::Fail { attempt, failure }
        };
        match job.habit {
            Habit::Fails => fail(FailureClass::Transient, "no luck"),
            Habit::FailsForGood => fail(FailureClass::Permanent, "never"),
            Habit::Panics => fail(FailureClass::Panicked, "out of bounds"),
            Habit::Moved => fail(FailureClass::SourceMoved(None), "moved"),
            Habit::GivesUp | Habit::Silent => EngineCommand::Stopped { attempt },
            Habit::Confused => {
                let fingerprint = Fingerprint([7; 32]);
                EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result: Built::default() }))
            }
            Habit::Honest if Sim::is_files(&job.kind) => self.build(job),
            Habit::Honest => self.count(job),
        }
    }

    /// Builds from a number: it has to be the one that is wanted, at the beginning and at the end.
    fn count(&mut self, job: &Job) -> EngineCommand {
        let AttemptRef { collection, token, .. } = job.attempt;
        let now = self.see_number(job.inputs.source.as_str());
        let content = match (&job.inputs.content, &now, &job.read) {
            (Content::Unversioned, ..) => "unversioned".to_owned(),
            (
                Content::Observed(wanted),
                ObservationOutcome::Content { state: observed, .. },
                Some(ObservationOutcome::Content { state: read, .. }),
            ) if wanted.version == observed.version && wanted.version == read.version => read.version.to_string(),
            (_, ObservationOutcome::Failed { cause }, _) => return self.fails(job, FailureClass::Transient, cause),
            _ => return self.moved(job, now.clone()),
        };
        let output = Some(format!("{token} {content} {collection}").into());
        let result = Built { output, ..Built::default() };
        EngineCommand::Complete(Box::new(Completion { attempt: job.attempt, fingerprint: job.fingerprint, result }))
    }

    pub(crate) fn fails(&mut self, job: &Job, class: FailureClass, message: &str) -> EngineCommand {
        EngineCommand::Fail { attempt: job.attempt, failure: FailureReport { class, message: message.into() } }
    }

    /// The source is not what is wanted: as the engine reports it, with what it knows of looks.
    pub(crate) fn moved(&mut self, job: &Job, outcome: ObservationOutcome) -> EngineCommand {
        let last_observation = self.last_look(job.attempt.collection);
        let observation = AttemptObservation { outcome, last_observation, has_observer: true };
        let class = FailureClass::SourceMoved(Some(Box::new(observation)));
        self.fails(job, class, "the source changed while it was read")
    }

    /// The lease of a worker that says nothing has run out.
    pub(crate) fn lease_out(&mut self, attempt: AttemptRef) {
        let speaks = self.workers.jobs.get(&attempt.token).is_some_and(|job| job.habit != Habit::Silent);
        if !speaks {
            self.say(EngineCommand::Lost { attempt });
        }
    }

    /// Given out in a batch that is gone.
    pub(crate) fn workers_die(&mut self) {
        self.workers.taken.clear();
        let tokens: Vec<Token> = self.workers.jobs.keys().copied().collect();
        for token in tokens {
            let Some(job) = self.workers.jobs.get(&token).filter(|job| !is_far(&job.worker)).cloned() else { continue };
            self.workers.jobs.remove(&token);
            self.build_a_part(&job);
            self.workers.let_go(token);
            if self.dice.chance(300) {
                // The end of what it noted is lost.
                let notes = self.workers.notes.entry(token).or_default();
                notes.truncate(self.dice.index(notes.len() + 1));
            }
            if self.dice.chance(self.weather.twice) {
                // What it had on its lips is heard all the same.
                let (attempt, fingerprint, result) = (job.attempt, job.fingerprint, Built::default());
                let completion = EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result }));
                let late = self.dice.millis(0, 60_000);
                self.after(late, Happening::Says(Box::new(completion.into())));
            }
        }
    }

    /// The new process waits for a lease of every attempt that is far away, also if nobody has heard of it.
    pub(crate) fn workers_resume(&mut self) {
        let state = self.state();
        let leased = |id| state.collection(id).and_then(|c| c.status.attempt()).is_some_and(|a| a.lease.is_some());
        let running = state.running().filter(|(id, _)| leased(*id)).map(|(_, attempt)| attempt);
        let draining =
            state.all_draining().filter(|(_, draining)| draining.leased).map(|(_, draining)| draining.attempt);
        let all: Vec<AttemptRef> = running.chain(draining).collect();
        for attempt in all {
            self.after(LEASE, Happening::LeaseOut(attempt));
        }
    }

    /// The storm is over: whoever was silent comes to, whoever was to fail works.
    pub(crate) fn workers_calm(&mut self) {
        let tokens: Vec<Token> = self.workers.jobs.keys().copied().collect();
        for token in tokens {
            let far_and_silent = |job: &&Job| is_far(&job.worker) && job.habit == Habit::Silent;
            if self.workers.jobs.get(&token).as_ref().is_some_and(far_and_silent) {
                // One that a restored log knows nothing of is never given up.
                if !self.witness.is_open(token) {
                    self.workers.jobs.remove(&token);
                    self.workers.let_go(token);
                }
                continue;
            }
            if let Some(job) = self.workers.jobs.get_mut(&token) {
                job.habit = if job.was_told { Habit::GivesUp } else { Habit::Honest };
            }
            let soon = self.dice.millis(1, 1000);
            self.after(soon, Happening::Finishes(token));
        }
    }

    /// Attempts that may still be heard of, or were.
    pub(crate) fn jobs(&self) -> usize {
        self.workers.jobs.len()
    }
}
