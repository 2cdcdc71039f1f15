//! Watches the events of a walk and counts for itself: a second opinion that shares no code with the fold.

use std::collections::{BTreeMap, BTreeSet};

use lastword::core::vocabulary::{
    Admission, AttemptRef, CollectionId, Command, Content, Event, FailureClass, Fingerprint, Generation, Inputs,
    ObservationOutcome, ObservationReport, Recorded, Source, Spec, Subject, TaskId, Token,
};

use super::world::World;

#[derive(Default)]
pub(crate) struct Witness {
    seen: usize,
    wanted: BTreeMap<CollectionId, Wanted>,
    heard: BTreeMap<CollectionId, Inputs>,
    live: BTreeMap<CollectionId, TaskId>,
    open: BTreeMap<Token, AttemptRef>,
    ended: BTreeSet<Token>,
    generations: BTreeMap<CollectionId, Generation>,
    last_token: Option<Token>,
    last_started: Option<AttemptRef>,
}

/// What the events say is wanted, and what was observed and is not.
struct Wanted {
    inputs: Inputs,
    latest: Inputs,
    is_held: bool,
    applied: Option<Fingerprint>,
}

impl Wanted {
    fn admit(&mut self, admission: Admission) {
        if let Admission::Admitted { .. } = admission {
            self.inputs = self.latest.clone();
        }
    }
}

impl Witness {
    /// Looks at the events that are new.
    pub(crate) fn see(&mut self, world: &World) {
        self.last_started = None;
        for recorded in &world.record[self.seen..] {
            self.see_word(recorded);
            self.see_task(recorded);
        }
        self.seen = world.record.len();
        for (id, collection) in world.state.collections() {
            let before = self.generations.insert(id, collection.generation).unwrap_or_default();
            assert!(before <= collection.generation, "a generation went back");
        }
    }

    /// The attempts that were started and have not ended.
    pub(crate) fn open(&self) -> Vec<AttemptRef> {
        self.open.values().copied().collect()
    }

    /// The attempt that the last command started.
    pub(crate) fn last_started(&self) -> Option<AttemptRef> {
        self.last_started
    }

    /// The last word that was said of a collection and not refused.
    pub(crate) fn heard(&self, id: CollectionId) -> Inputs {
        self.heard[&id].clone()
    }

    fn see_word(&mut self, recorded: &Recorded) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        if let Event::CollectionDeclared { source, spec, versioned, .. } = &recorded.event {
            let content = if *versioned { Content::Unknown } else { Content::Unversioned };
            let inputs = Inputs { source: source.clone(), spec: spec.clone(), content };
            self.wanted.insert(id, Wanted { latest: inputs.clone(), inputs, is_held: false, applied: None });
        }
        let Some(wanted) = self.wanted.get_mut(&id) else { return };
        match &recorded.event {
            Event::SourceChanged { source, admission, .. } => {
                let unversioned = wanted.latest.content == Content::Unversioned;
                wanted.latest.content = if unversioned { Content::Unversioned } else { Content::Unknown };
                wanted.latest.source = source.clone();
                wanted.is_held = false;
                wanted.admit(*admission);
            }
            Event::SpecChanged { spec, admission, .. } => {
                wanted.latest.spec = spec.clone();
                let is_applied = wanted.applied.is_some() && wanted.applied == wanted.latest.fingerprint();
                if wanted.is_held && !is_applied {
                    if wanted.inputs.source != wanted.latest.source {
                        wanted.inputs.content = Content::Unknown;
                    }
                    wanted.inputs = Inputs { content: wanted.inputs.content.clone(), ..wanted.latest.clone() };
                } else {
                    wanted.is_held = false;
                    wanted.admit(*admission);
                }
            }
            Event::SourceObserved { observed, admission, .. } => {
                wanted.latest.content = Content::Observed(observed.clone());
                wanted.is_held = false;
                wanted.admit(*admission);
            }
            Event::CollectionHeld { observed, .. } => {
                wanted.latest.content = Content::Observed(observed.clone());
                wanted.is_held = true;
            }
            Event::HoldConfirmed { .. } => {
                assert!(wanted.is_held);
                wanted.inputs = wanted.latest.clone();
                wanted.is_held = false;
            }
            Event::TaskCompleted { fingerprint, .. } => wanted.applied = Some(*fingerprint),
            Event::CollectionDropped { .. } => drop(self.wanted.remove(&id)),
            _ => {}
        }
    }

    fn see_task(&mut self, recorded: &Recorded) {
        match recorded.event {
            Event::TaskCreated { collection, fingerprint, not_before, .. } => {
                assert!(not_before >= recorded.at, "a task that was ready before it was created jumps the queue");
                let task = TaskId(recorded.seq);
                assert_eq!(self.live.insert(collection, task), None, "OneLive");
                assert_eq!(self.wanted[&collection].inputs.fingerprint(), Some(fingerprint), "LastWord");
            }
            Event::TaskStarted { collection, task, attempt, .. } => {
                assert_eq!(self.live.get(&collection), Some(&task), "OneLive");
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                assert!(self.last_token.replace(token) < Some(token), "EpochFenced");
                let alone = self.open.values().all(|open| open.collection != collection);
                assert!(alone, "an attempt was started beside another one");
                let attempt = AttemptRef { collection, task, attempt, token };
                self.open.insert(token, attempt);
                self.last_started = Some(attempt);
            }
            Event::TaskCompleted { collection, task, attempt, token, fingerprint, .. } => {
                assert_eq!(self.live.remove(&collection), Some(task), "LastWord");
                let attempt = AttemptRef { collection, task, attempt, token };
                assert_eq!(self.open.get(&token), Some(&attempt), "LastWord");
                assert_eq!(self.wanted[&collection].inputs.fingerprint(), Some(fingerprint), "LastWord");
            }
            Event::TaskAborted { collection, task, .. } | Event::TaskParked { collection, task, .. } => {
                assert_eq!(self.live.remove(&collection), Some(task), "OneLive");
            }
            Event::AttemptFailed { collection, task, attempt, token, .. } => {
                let attempt = AttemptRef { collection, task, attempt, token };
                assert_eq!(self.open.get(&token), Some(&attempt));
            }
            Event::AttemptEnded { collection, task, attempt, token, .. } => {
                let attempt = AttemptRef { collection, task, attempt, token };
                assert_eq!(self.open.remove(&token), Some(attempt), "an attempt ends once, under its own name");
                assert!(self.ended.insert(token));
            }
            Event::CollectionDropped { collection } => {
                assert_eq!(self.live.get(&collection), None, "a drop leaves no task behind");
            }
            _ => {}
        }
    }

    /// Takes down a word that was not refused, from the command alone.
    pub(crate) fn hear(&mut self, command: &Command, world: &World) {
        match command {
            Command::Declare(declaration) => {
                let Some(id) = world.state.id_of(&declaration.name) else { return };
                let unversioned = world.state.collection(id).is_some_and(|collection| !collection.versioned);
                let unknown = if unversioned { Content::Unversioned } else { Content::Unknown };
                let source = declaration.source.clone().unwrap_or_else(|| Source::new("none").unwrap());
                let new = Inputs { source, spec: Spec::default(), content: unknown.clone() };
                let inputs = self.heard.entry(id).or_insert(new);
                if let Some(source) = declaration.source.as_ref().filter(|source| **source != inputs.source) {
                    inputs.source = source.clone();
                    inputs.content = unknown;
                }
                if let Some(spec) = &declaration.spec {
                    inputs.spec = spec.clone();
                }
            }
            Command::Observe(observation) => {
                let id = match &observation.subject {
                    Subject::Name(name) => world.state.id_of(name),
                    Subject::Id(id) => Some(*id),
                };
                self.hear_content(id, observation);
            }
            Command::Fail { attempt, failure } => {
                // Only a running attempt is believed, and not if its look is too old or was at another source: the
                // events tell.
                let FailureClass::SourceMoved(Some(observation)) = &failure.class else { return };
                let ObservationOutcome::Content { state: said, .. } = &observation.outcome else { return };
                let tail = &world.record[self.seen..];
                let believed = tail.iter().any(|recorded| match &recorded.event {
                    Event::SourceObserved { observed, .. } | Event::CollectionHeld { observed, .. } => {
                        **observed == *said
                    }
                    _ => false,
                });
                if believed {
                    self.hear_content(Some(attempt.collection), observation);
                }
            }
            _ => {}
        }
    }

    fn hear_content(&mut self, id: Option<CollectionId>, observation: &ObservationReport) {
        if let (Some(inputs), ObservationOutcome::Content { state: observed, .. }) =
            (id.and_then(|id| self.heard.get_mut(&id)), &observation.outcome)
        {
            inputs.content = Content::Observed(observed.clone().into());
        }
    }
}
