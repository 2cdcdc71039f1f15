//! Looks at sources: at most one per collection, on their way for a while, refused if something newer was said.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::core::vocabulary::{
    CollectionId, EngineCommand, Event, FailReason, Missing, ObservationOutcome, ObservationReport, PathSetRef,
    Recorded, Seq, SourceState, Version,
};
use lastword::objects::{Objects, tree};
use lastword::worker::{ObserveRequest, ObserveSignals, Worker};

use super::queue::Happening;
use super::sim::{Number, Sim};

/// The files of a source that is a number and not 0: more than the ten that may come and go.
const FILES: u64 = 12;

/// Contents that such a source may have.
pub(crate) const NUMBERS: u8 = 5;

/// How long a look that failed waits for the next.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What one process knows of its looks.
#[derive(Default)]
pub(crate) struct Looks {
    of: BTreeMap<CollectionId, Entry>,
}

#[derive(Default)]
struct Entry {
    /// One is due or under way.
    is_busy: bool,
    /// Another one is to follow it.
    again: bool,
    /// Where the last accepted one began.
    began: Option<Seq>,
}

impl Number {
    /// What a look sees, if `sets` are the files behind each content.
    fn seen(&self, sets: &[PathSetRef]) -> ObservationOutcome {
        let Number { content, trouble } = *self;
        if let Some(cause) = trouble {
            return ObservationOutcome::Failed { cause: cause.into() };
        }
        let set = Some(sets[usize::from(content)]);
        let observed = SourceState { version: Version::new(&[content]).unwrap(), set };
        // Content 1 has lost most of what any other has.
        ObservationOutcome::Content {
            state: observed,
            delta: None,
            missing: Some(Missing::from(if content == 1 { 11 } else { 0 })),
        }
    }
}

/// The files behind each number: real objects, since the log names them.
pub(crate) fn sets_of_numbers(objects: &dyn Objects) -> Vec<PathSetRef> {
    let set = |content: u8| {
        let files = if content == 0 { 0 } else { FILES };
        let entries = (0..files).map(|file| (vec![u8::try_from(file).unwrap()], vec![content]));
        PathSetRef { root: tree::build(objects, entries).unwrap().hash, files, bytes: files }
    };
    (0..NUMBERS).map(set).collect()
}

impl Sim {
    /// The source is to be looked at soon.
    pub(crate) fn ask_for_look(&mut self, id: CollectionId) {
        if self.collection(id).is_none_or(|collection| !collection.versioned) {
            return;
        }
        let entry = self.looks.of.entry(id).or_default();
        if std::mem::replace(&mut entry.is_busy, true) {
            entry.again = true;
            return;
        }
        let soon = self.dice.millis(0, 100);
        self.after(soon, Happening::LookDue(id));
    }

    /// A look begins. It sees the source now or when it comes back.
    pub(crate) fn look_due(&mut self, id: CollectionId) {
        if self.collection(id).is_none() {
            self.looks.of.remove(&id);
            return;
        }
        let began = self.reducer().durable();
        let seen = if self.dice.chance(600) { Some(self.look(id)) } else { None };
        let takes = self.dice.millis(0, 2000);
        self.after(takes, Happening::Looked { id, began, seen });
    }

    /// A look comes back.
    pub(crate) fn looked(
        &mut self,
        id: CollectionId,
        began: Seq,
        seen: Option<(ObservationOutcome, Option<Duration>)>,
    ) {
        if self.collection(id).is_none() {
            self.looks.of.remove(&id);
            return;
        }
        let (seen, observe_again) = seen.unwrap_or_else(|| self.look(id));
        let failed = matches!(seen, ObservationOutcome::Failed { .. });
        let command = EngineCommand::Observe(ObservationReport { collection: id, began, outcome: seen });
        let accepted = self.say(command.clone());
        if self.dice.chance(self.weather.twice) {
            let late = self.dice.millis(0, 10_000);
            self.after(late, Happening::Says(Box::new(command.into())));
        }
        let entry = self.looks.of.entry(id).or_default();
        entry.is_busy = false;
        let again = std::mem::take(&mut entry.again) || !accepted;
        if accepted {
            entry.began = Some(began);
        }
        let later = observe_again.or(failed.then_some(AFTER_FAILURE));
        if again {
            self.ask_for_look(id);
        } else if let Some(span) = later {
            self.looks.of.entry(id).or_default().is_busy = true;
            self.after(span, Happening::LookDue(id));
        }
    }

    /// Where the last accepted look began, as far as this process knows.
    pub(crate) fn last_look(&self, id: CollectionId) -> Option<Seq> {
        self.looks.of.get(&id).and_then(|entry| entry.began)
    }

    /// What a source that is a number holds now.
    pub(crate) fn see_number(&self, source: &str) -> ObservationOutcome {
        self.number(source).seen(&self.sets)
    }

    /// Looks now, as the kind of the collection does.
    pub(crate) fn look(&mut self, id: CollectionId) -> (ObservationOutcome, Option<Duration>) {
        let collection = self.collection(id).unwrap();
        let source = collection.latest.source.clone();
        if !Sim::is_files(&collection.kind) {
            return (self.see_number(source.as_str()), None);
        }
        let (name, spec) = (collection.name.clone(), collection.latest.spec.clone());
        let (known, applied) = (collection.observed().cloned(), collection.applied_observed().cloned());
        if !self.is_calm && self.dice.chance(100) {
            self.lake.ambush(source.as_str(), self.clock.wall, self.clock.stretch, &mut self.dice);
        }
        let observation = self.external.observer().unwrap().observe(&ObserveRequest {
            name: &name,
            source: &source,
            spec: &spec,
            known: known.as_deref(),
            applied: applied.as_deref(),
            objects: &*self.objects,
            wall: self.clock.wall,
            verify: false,
            signals: &ObserveSignals::default(),
        });
        self.lake.end_ambush();
        match observation {
            Ok(observation) => {
                let seen = ObservationOutcome::Content {
                    state: observation.state,
                    delta: observation.delta,
                    missing: observation.missing,
                };
                (seen, observation.observe_again)
            }
            Err(error) => (ObservationOutcome::Failed { cause: error.0.into() }, None),
        }
    }

    /// The source moved under an attempt, and the same frame says nothing of what it holds: the engine looks.
    pub(crate) fn look_after_moves(&mut self, frame: &[Recorded]) {
        for (index, recorded) in frame.iter().enumerate() {
            let Event::AttemptFailed { collection: id, reason: FailReason::SourceMoved, .. } = recorded.event else {
                continue;
            };
            let is_observed = |later: &Recorded| {
                matches!(later.event,
                    Event::SourceObserved { collection, .. }
                    | Event::CollectionHeld { collection, .. }
                    | Event::ObservationFailed { collection, .. } if collection == id)
            };
            if !frame[index..].iter().any(is_observed) {
                self.ask_for_look(id);
            }
        }
    }

    /// After these the engine looks at once.
    pub(crate) fn follow_look(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::CollectionDeclared { .. } => self.ask_for_look(CollectionId(recorded.seq)),
            Event::SourceChanged { collection, .. } | Event::SpecChanged { collection, .. } => {
                self.ask_for_look(*collection);
            }
            Event::RefreshRequested { collection, force, .. } => {
                self.ask_for_look(*collection);
                if !force {
                    self.ask_to_verify(*collection);
                }
            }
            _ => {}
        }
    }
}
