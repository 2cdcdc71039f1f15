//! The reducer's side of looks: when they are asked for, and what is made of what they saw.

use super::looks::Looked;
use super::message::Reply;
use super::run::Engine;
use crate::core::vocabulary::{
    CollectionId, EngineCommand, FieldError, Name, ObservationOutcome, ObservationReport, Rejection, Timestamp,
};
use crate::reducer::ReducerError;
use crate::worker::Observation;

impl Engine {
    pub(super) fn ask_for_look(&mut self, id: CollectionId, at: Timestamp) {
        if self.is_looked_at(id) {
            self.looks.ask(id, at);
        }
    }

    pub(super) fn is_looked_at(&self, id: CollectionId) -> bool {
        if self.observed.is_empty() {
            return false;
        }
        let collection = self.reducer.state().collection(id);
        collection.is_some_and(|collection| collection.versioned && self.observed.contains(&collection.kind))
    }

    /// Turns hints into looks.
    pub(super) fn take_hints(&mut self) {
        let now = self.time.now();
        for id in self.hints.take_due(now) {
            self.ask_for_look(id, now);
        }
    }

    /// Somebody has heard that a source may have changed.
    pub(super) fn hint(&mut self, name: Name, reply: Reply<()>) {
        let reply = reply.taken();
        let verdict = match self.reducer.state().id_of(&name) {
            None => Err(Rejection::UnknownCollection(name)),
            Some(id) if self.is_looked_at(id) => {
                self.hints.hear(id);
                Ok(())
            }
            Some(_) => {
                let problem = "must be of a versioned collection whose kind has an observer";
                Err(Rejection::Field(FieldError::new("name", problem)))
            }
        };
        self.release(move || reply.answer(verdict.map_err(Into::into)));
    }

    /// Says of sources that do not answer that they cannot be observed.
    pub(super) fn give_up_looks(&mut self) -> Result<(), ReducerError> {
        while let Some(id) = self.looks.give_up(self.time.now()) {
            let cause = format!("the look at it has not returned for {:?}", self.looks.patience()).into();
            // Said of now, so it is refused only if the collection is gone.
            let (began, outcome) = (self.reducer.state().last(), ObservationOutcome::Failed { cause });
            let report = ObservationReport { collection: id, began, outcome };
            let _ = self.reducer.command(&EngineCommand::Observe(report))?;
        }
        Ok(())
    }

    pub(super) fn looked(&mut self, looked: Looked) -> Result<(), ReducerError> {
        let seen = match &looked.seen {
            Ok(Observation { state: observed, delta, missing: gone, .. }) => {
                ObservationOutcome::Content { state: observed.clone(), delta: *delta, missing: *gone }
            }
            Err(error) => ObservationOutcome::Failed { cause: error.0.as_str().into() },
        };
        let report = ObservationReport { collection: looked.id, began: looked.began, outcome: seen };
        let command = EngineCommand::Observe(report);
        let verdict = self.reducer.command(&command)?;
        self.looks.finished(looked, verdict.is_ok(), self.time.now());
        Ok(())
    }
}
