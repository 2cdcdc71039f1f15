//! What is said to the core and not refused, taken down from the commands alone: what events tell of it, the oracle knows.

use std::collections::BTreeMap;

use lastword::core::State;
use lastword::core::vocabulary::{
    CollectionId, Command, Content, EngineCommand, Event, FailureClass, Generation, Inputs, ObservationOutcome,
    Recorded, Source, Spec,
};

use super::world::{Told, World};

#[derive(Default)]
pub(crate) struct Said {
    heard: BTreeMap<CollectionId, Inputs>,
    generations: BTreeMap<CollectionId, Generation>,
}

impl Said {
    /// The last word that was said of a collection and not refused.
    pub(crate) fn heard(&self, id: CollectionId) -> Inputs {
        self.heard[&id].clone()
    }

    /// Generations of the state only rise.
    pub(crate) fn watch(&mut self, state: &State) {
        for (id, collection) in state.collections() {
            let before = self.generations.insert(id, collection.generation).unwrap_or_default();
            assert!(before <= collection.generation, "a generation went back");
        }
    }

    /// Takes down a word that was not refused. `events` came of it.
    pub(crate) fn hear(&mut self, command: &Told, events: &[Recorded], world: &World) {
        match command {
            Told::Caller(Command::Declare(declaration)) => {
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
            Told::Caller(Command::Observe { name, outcome }) => self.hear_content(world.state.id_of(name), outcome),
            Told::Engine(EngineCommand::Observe(report)) => {
                self.hear_content(Some(report.collection), &report.outcome);
            }
            Told::Engine(EngineCommand::Fail { attempt, failure }) => {
                // Only a running attempt is believed, and not if its look is too old or was at another source: the
                // events tell.
                let FailureClass::SourceMoved(Some(observation)) = &failure.class else { return };
                let ObservationOutcome::Content { state: said, .. } = &observation.outcome else { return };

                let believed = events.iter().any(|recorded| match &recorded.event {
                    Event::SourceObserved { observed, .. } | Event::CollectionHeld { observed, .. } => {
                        **observed == *said
                    }
                    _ => false,
                });
                if believed {
                    self.hear_content(Some(attempt.collection), &observation.outcome);
                }
            }
            _ => {}
        }
    }

    fn hear_content(&mut self, id: Option<CollectionId>, outcome: &ObservationOutcome) {
        if let (Some(inputs), ObservationOutcome::Content { state: observed, .. }) =
            (id.and_then(|id| self.heard.get_mut(&id)), outcome)
        {
            inputs.content = Content::Observed(observed.clone().into());
        }
    }
}
