//! A tiny world around the core: a state, a clock, an epoch, and the record of everything that was decided.

use std::time::Duration;

use lastword::codec::state::{decode_state, encode_state};
use lastword::core::vocabulary::{
    Assign, AttemptObservation, AttemptRef, Built, Coalesce, CollectionId, Command, Completion, Deadline, Declaration,
    Duties, EngineCommand, Epoch, Event, FailureClass, FailureReport, Fingerprint, Input, Kind, Name, ObjectHash,
    ObservationOutcome, ObservationReport, PathSetRef, Policy, Recorded, Rejection, Seq, Source, SourceState, Spec,
    Timestamp, Version, WorkerName,
};
use lastword::core::{Collection, CollectionView, Events, State, decide};

pub(crate) const NAME: &str = "a";

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) record: Vec<Recorded>,
    /// What the workers do beside building.
    pub(crate) duties: Duties,
    /// If they are in processes of their own.
    pub(crate) lease: Option<Duration>,
    epoch: Epoch,
    events: Events,
}

/// A kind that publishes and discards.
pub(crate) const BOTH: Duties = Duties { publish: true, discard: true };

pub(crate) type Said = Result<Vec<&'static str>, Rejection>;

/// A command of either kind, to be kept.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Caller(Command),
    Engine(EngineCommand),
}

impl Told {
    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Told::Caller(command) => command.into(),
            Told::Engine(command) => command.into(),
        }
    }
}

impl From<Command> for Told {
    fn from(command: Command) -> Told {
        Told::Caller(command)
    }
}

impl From<EngineCommand> for Told {
    fn from(command: EngineCommand) -> Told {
        Told::Engine(command)
    }
}

impl World {
    /// An opened log and no collection.
    pub(crate) fn new() -> World {
        let mut world = World::unopened();
        assert_eq!(world.crash(), ["writer_opened"]);
        world
    }

    pub(crate) fn unopened() -> World {
        let (now, epoch) = (Timestamp(1_000_000_000), Epoch(0));
        let (record, events, duties) = (Vec::new(), Events::new(), Duties::default());
        World { state: State::new(), now, record, duties, lease: None, epoch, events }
    }

    /// A world with the collection [`NAME`], declared with `policy`, and nothing seen of its source.
    pub(crate) fn declared(policy: Policy) -> World {
        let mut world = World::new();
        assert_eq!(world.say(Command::Declare(declaration(NAME, policy).into())), Ok(vec!["collection_declared"]));
        world
    }

    /// The same after version 1 was observed.
    pub(crate) fn observed(policy: Policy) -> World {
        let mut world = World::declared(policy);
        assert_eq!(world.observe(1), ["source_observed", "task_created"]);
        world
    }

    /// The same with a running attempt.
    pub(crate) fn started(policy: Policy) -> (World, AttemptRef) {
        let mut world = World::observed(policy);
        let attempt = world.assign();
        (world, attempt)
    }

    /// The same after version 1 was committed.
    pub(crate) fn fresh(policy: Policy) -> World {
        let (mut world, attempt) = World::started(policy);
        assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
        assert_eq!(world.condition(), "fresh");
        world
    }

    /// Decides, folds and checks: what a reducer does, without a log.
    pub(crate) fn say(&mut self, command: impl Into<Told>) -> Said {
        let command = command.into();
        if matches!(command, Told::Engine(EngineCommand::Open { .. })) {
            self.epoch = Epoch(self.epoch.0 + 1);
        }
        decide(&self.state, command.input(), self.now, &mut self.events)?;
        let mut names = Vec::new();
        let decided: Vec<_> = self.events.drain().collect();
        for (seq, event) in decided {
            let recorded = Recorded { seq, at: self.now, epoch: self.epoch, by: None, event };
            self.state.fold(&recorded).unwrap_or_else(|illegal| panic!("{illegal} after {command:?}"));
            names.push(recorded.event.type_name());
            self.record.push(recorded);
        }
        self.state.check().unwrap_or_else(|violation| panic!("{violation} after {command:?}"));
        Ok(names)
    }

    fn said(&mut self, command: impl Into<Told>) -> Vec<&'static str> {
        self.say(command).unwrap_or_else(|refused| panic!("refused: {refused}"))
    }

    /// SameFold: the record adds up to the live state.
    pub(crate) fn assert_replays(&self) {
        let mut replayed = State::new();
        for recorded in &self.record {
            replayed.fold(recorded).unwrap_or_else(|illegal| panic!("{illegal}"));
        }
        assert_eq!(replayed, self.state, "SameFold");
        assert_eq!(replayed.digest(), self.state.digest(), "SameFold");
        assert_eq!(replayed.next_deadline(), self.state.next_deadline(), "the indices follow from the rest");
        let kind = kind();
        let ready = [&replayed, &self.state].map(|state| state.next_ready([&kind], self.now));
        assert_eq!(ready[0], ready[1], "the indices follow from the rest");
        self.assert_restores();
    }

    /// A snapshot anywhere, and the rest of the record behind it, add up to the same.
    fn assert_restores(&self) {
        // Somewhere else every time, and for the same record at the same place.
        let cut = usize::try_from(self.state.last().0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33).unwrap();
        let (before, after) = self.record.split_at(cut % (self.record.len() + 1));
        let mut state = State::new();
        before.iter().for_each(|recorded| state.fold(recorded).unwrap());
        let mut bytes = Vec::new();
        encode_state(&state, &mut bytes).unwrap();
        let mut restored = decode_state(&bytes).unwrap_or_else(|error| panic!("{error} at {}", state.last()));
        assert_eq!(restored, state, "a state is restored from its bytes");
        let mut again = Vec::new();
        encode_state(&restored, &mut again).unwrap();
        assert_eq!(again, bytes, "one state has one encoding");
        after.iter().for_each(|recorded| restored.fold(recorded).unwrap_or_else(|illegal| panic!("{illegal}")));
        restored.check().unwrap();
        assert_eq!(restored.digest(), self.state.digest(), "snapshot and tail are the whole");
        let now = self.now;
        assert!(restored.outboxes_due(now).eq(self.state.outboxes_due(now)), "the indices follow from the rest");
        assert_eq!(restored.first_ready([&kind()], now), self.state.first_ready([&kind()], now));
    }

    /// The process ends, and another one opens the log.
    pub(crate) fn crash(&mut self) -> Vec<&'static str> {
        self.said(EngineCommand::Open { software: "test".into() })
    }

    pub(crate) fn declare(&mut self, change: impl FnOnce(&mut Declaration)) -> Said {
        let mut declaration = Declaration::new(name(NAME));
        change(&mut declaration);
        self.say(Command::Declare(declaration.into()))
    }

    pub(crate) fn respecify(&mut self, spec: &str) -> Vec<&'static str> {
        self.declare(|d| d.spec = Some(Spec::parse(spec).unwrap())).unwrap()
    }

    pub(crate) fn resource(&mut self, source: &str) -> Vec<&'static str> {
        self.declare(|d| d.source = Some(Source::new(source).unwrap())).unwrap()
    }

    pub(crate) fn observe(&mut self, version: u8) -> Vec<&'static str> {
        self.said(look(content(version)))
    }

    pub(crate) fn cannot_observe(&mut self, cause: &str) -> Vec<&'static str> {
        self.said(look(ObservationOutcome::Failed { cause: cause.into() }))
    }

    /// Starts the attempt that waits for a worker.
    pub(crate) fn assign(&mut self) -> AttemptRef {
        assert_eq!(self.try_assign(), Ok(vec!["task_started"]));
        self.running()
    }

    pub(crate) fn try_assign(&mut self) -> Said {
        let collection = self.state.id_of(&name(NAME)).unwrap();
        let (lease, duties) = (self.lease, self.duties);
        self.say(EngineCommand::Assign(Assign { worker: WorkerName::new("w1").unwrap(), collection, lease, duties }))
    }

    /// The running attempt.
    pub(crate) fn running(&self) -> AttemptRef {
        self.state.running().next().unwrap().1
    }

    /// The attempt offers what its task is to build.
    pub(crate) fn complete(&mut self, attempt: AttemptRef) -> Vec<&'static str> {
        let fingerprint = self.fingerprint_of(attempt);
        self.complete_as(attempt, fingerprint)
    }

    pub(crate) fn complete_as(&mut self, attempt: AttemptRef, fingerprint: Fingerprint) -> Vec<&'static str> {
        self.said(completion(attempt, fingerprint, built(attempt)))
    }

    /// Observes a version, builds it and commits it.
    pub(crate) fn commit(&mut self, version: u8) -> AttemptRef {
        assert!(self.observe(version).contains(&"task_created"));
        let attempt = self.assign();
        assert_eq!(self.complete(attempt), ["task_completed", "attempt_ended"]);
        attempt
    }

    pub(crate) fn fail(&mut self, attempt: AttemptRef, class: FailureClass) -> Vec<&'static str> {
        let failure = FailureReport { class, message: "no luck".into() };
        self.said(EngineCommand::Fail { attempt, failure })
    }

    pub(crate) fn stopped(&mut self, attempt: AttemptRef) -> Vec<&'static str> {
        self.said(EngineCommand::Stopped { attempt })
    }

    pub(crate) fn pause(&mut self) -> Vec<&'static str> {
        self.said(Command::Pause { name: name(NAME) })
    }

    pub(crate) fn resume(&mut self) -> Vec<&'static str> {
        self.said(Command::Resume { name: name(NAME) })
    }

    pub(crate) fn refresh(&mut self) -> Vec<&'static str> {
        self.said(Command::Refresh { name: name(NAME), force: false, seen: None })
    }

    pub(crate) fn cancel(&mut self) -> Vec<&'static str> {
        self.said(Command::Cancel { name: name(NAME), task: None })
    }

    pub(crate) fn confirm(&mut self, fingerprint: Fingerprint) -> Said {
        self.say(Command::Confirm { name: name(NAME), fingerprint })
    }

    pub(crate) fn drop_it(&mut self) -> Vec<&'static str> {
        self.said(Command::Drop { name: name(NAME) })
    }

    pub(crate) fn due(&mut self, deadline: Deadline) -> Said {
        self.say(EngineCommand::Due(deadline))
    }

    /// Lets time pass and does what comes due on the way, each at its time.
    pub(crate) fn advance(&mut self, span: Duration) -> Vec<&'static str> {
        let end = self.now.after(span);
        let mut names = Vec::new();
        while let Some(deadline) = self.state.first_due(end) {
            self.now = self.state.next_deadline().unwrap().max(self.now);
            names.extend(self.due(deadline).unwrap());
        }
        self.now = end;
        names
    }

    /// What the attempt was started to build.
    pub(crate) fn fingerprint_of(&self, attempt: AttemptRef) -> Fingerprint {
        let created = &self.record[usize::try_from(attempt.task.0.0).unwrap() - 1].event;
        let Event::TaskCreated { fingerprint, .. } = created else { panic!("{created:?} is no task") };
        *fingerprint
    }

    /// What an observer found that began at this position of the log.
    pub(crate) fn report(&mut self, began: Seq, outcome: ObservationOutcome) -> Said {
        let collection = self.state.id_of(&name(NAME)).unwrap();
        self.say(EngineCommand::Observe(ObservationReport { collection, began, outcome }))
    }

    pub(crate) fn collection(&self) -> &Collection {
        self.state.collection(self.state.id_of(&name(NAME)).unwrap()).unwrap()
    }

    pub(crate) fn view(&self) -> CollectionView {
        CollectionView::of(&self.state, self.state.id_of(&name(NAME)).unwrap(), self.now).unwrap()
    }

    pub(crate) fn condition(&self) -> &'static str {
        self.view().condition.name()
    }

    /// The last event.
    pub(crate) fn last(&self) -> &Event {
        self.back(1)
    }

    /// The `n`-th event from the end.
    pub(crate) fn back(&self, n: usize) -> &Event {
        &self.record[self.record.len() - n].event
    }
}

impl Drop for World {
    /// Every story is also a test of SameFold.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_replays();
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn kind() -> Kind {
    Kind::new("k").unwrap()
}

pub(crate) fn declaration(text: &str, policy: Policy) -> Declaration {
    let (kind, source) = (Some(kind()), Some(Source::new("s1").unwrap()));
    Declaration { kind, source, policy: Some(policy), ..Declaration::new(name(text)) }
}

pub(crate) fn look(outcome: ObservationOutcome) -> Command {
    Command::Observe { name: name(NAME), outcome }
}

/// What an attempt builds: it is named after its token, like the outputs of every kind that discards.
pub(crate) fn built(attempt: AttemptRef) -> Built {
    Built { rows: Some(7), output: Some(attempt.token.to_string().into()), ..Built::default() }
}

/// A worker of this process that has no duties.
pub(crate) fn assign(worker: &str, collection: CollectionId) -> EngineCommand {
    let worker = WorkerName::new(worker).unwrap();
    EngineCommand::Assign(Assign { worker, collection, lease: None, duties: Duties::default() })
}

pub(crate) fn content(version: u8) -> ObservationOutcome {
    ObservationOutcome::Content { state: observed(version), delta: None, missing: None }
}

/// Version 0 is an empty set of files.
pub(crate) fn observed(version: u8) -> SourceState {
    let files = u64::from(version) * 10;
    let set = PathSetRef { root: ObjectHash([version; 32]), files, bytes: files };
    SourceState { version: Version::new(&[version]).unwrap(), set: Some(set) }
}

pub(crate) fn moved_to(version: u8) -> FailureClass {
    moved(content(version), None, true)
}

/// What an attempt has observed, and what the engine knows of observers.
pub(crate) fn moved(outcome: ObservationOutcome, last_observation: Option<Seq>, has_observer: bool) -> FailureClass {
    FailureClass::SourceMoved(Some(Box::new(AttemptObservation { outcome, last_observation, has_observer })))
}

pub(crate) fn completion(attempt: AttemptRef, fingerprint: Fingerprint, result: Built) -> EngineCommand {
    EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result }))
}

/// Every observation is admitted at once; the rest is as by default.
pub(crate) fn at_once() -> Policy {
    Policy { coalesce: Coalesce::NONE, ..Policy::default() }
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
