//! What couriers are sent for, and what their return means.

use std::sync::Arc;
use std::time::Duration;

use super::couriers::{Ending, Errand, LastVerification, Returned};
use super::run::Engine;
use super::{Builder, StartError};
use crate::core::vocabulary::{
    By, CollectionId, Command, DeliveryRef, EngineCommand, FieldError, Limits, RefreshReason, Seq,
};
use crate::reducer::{Reducer, ReducerError};
use crate::worker::{DeliveryError, VerifyOutcome};

impl Builder {
    /// How many couriers there are: threads that publish, discard and verify. Default 2: a destination that is slow
    /// leaves one for the others.
    #[must_use]
    pub fn delivery_threads(mut self, threads: usize) -> Builder {
        self.terms.couriers = threads;
        self
    }

    /// How long a publication, a discard or a verification may take before it counts as failed. Default 5 minutes:
    /// longer than it takes to switch a pointer or to remove some ten thousand objects, short enough that a destination
    /// that hangs is noticed by whoever waits for it.
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Builder {
        self.terms.patience = timeout;
        self
    }

    /// How many attempts may hold a worker at the same time, from the start on: the same as [`Handle::limit`] right
    /// after it. Without this the limits that the log has stay.
    ///
    /// [`Handle::limit`]: super::Handle::limit
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = Some(limits);
        self
    }

    pub(super) fn check_delivery(&self) -> Result<(), FieldError> {
        let patience = self.terms.patience;
        if patience < Duration::from_millis(10) {
            return Err(FieldError::new("delivery_timeout", format!("must be at least 10 ms, found {patience:?}")));
        }
        self.limits.as_ref().map_or(Ok(()), Limits::check)
    }
}

/// Gives the limits of a start; the log has an event of it only if it had others.
pub(super) fn limit(reducer: &mut Reducer, limits: Limits) -> Result<(), StartError> {
    match reducer.command(&Command::Limit(limits)).map_err(StartError::Reducer)? {
        Ok(_) => Ok(()),
        Err(refused) => Err(StartError::Setting(FieldError::new("limits", refused.to_string()))),
    }
}

impl Engine {
    /// What was asked of a collection may concern its destination.
    pub(super) fn verify_after(&mut self, id: CollectionId, force: bool, reason: &RefreshReason) {
        match reason {
            // What is built anew anyway need not be looked for.
            RefreshReason::Asked | RefreshReason::Resync if !force => {
                self.couriers.ask_to_verify(id, self.reducer.state());
            }
            RefreshReason::Asked | RefreshReason::Resync | RefreshReason::Drift(_) => {}
        }
    }

    /// Counts errands that take too long as failed.
    pub(super) fn give_up_errands(&mut self) -> Result<(), ReducerError> {
        while let Some(errand) = self.couriers.give_up(self.time.now()) {
            let error = DeliveryError(format!("it has not returned for {:?}", self.couriers.patience()));
            match errand {
                Errand::Deliver(delivered) => self.not_delivered(delivered, &error)?,
                Errand::Verify { collection, commit } => self.verified(collection, commit, Err(error))?,
            }
        }
        Ok(())
    }

    /// A courier has come back. One that comes too late was counted as failed; its success counts nevertheless, if
    /// what it was sent for is still owed.
    pub(super) fn served(&mut self, returned: Returned) -> Result<(), ReducerError> {
        let in_time = self.couriers.returned(&returned);
        match (returned.errand, returned.ending) {
            (Errand::Deliver(delivered), Ending::Failed(error)) if in_time => self.not_delivered(delivered, &error),
            (Errand::Verify { collection, commit }, Ending::Failed(error)) if in_time => {
                self.verified(collection, commit, Err(error))
            }
            (Errand::Verify { collection, commit }, Ending::Verified(verdict)) => {
                self.verified(collection, commit, Ok(verdict))
            }
            (Errand::Deliver(delivered), Ending::Delivered) => {
                // Refused if it is owed no more: it was met by a later courier, or its collection was dropped.
                let _ = self.reducer.command(&EngineCommand::Delivered(delivered))?;
                Ok(())
            }
            (Errand::Deliver(_) | Errand::Verify { .. }, _) => Ok(()),
        }
    }

    fn not_delivered(&mut self, delivered: DeliveryRef, error: &DeliveryError) -> Result<(), ReducerError> {
        let message = error.0.as_str().into();
        // Refused if it is owed no more.
        let _ = self.reducer.command(&EngineCommand::DeliveryFailed { delivered, message })?;
        Ok(())
    }

    fn verified(
        &mut self,
        id: CollectionId,
        commit: Seq,
        found: Result<VerifyOutcome, DeliveryError>,
    ) -> Result<(), ReducerError> {
        self.counted.verifications += 1;
        if self.reducer.state().collection(id).is_none() {
            return Ok(());
        }
        match &found {
            Ok(VerifyOutcome::Intact) => {}
            Ok(VerifyOutcome::Drifted(message)) => {
                let message = message.as_str().into();
                let by = By::new(Some("lastword"), None).ok().map(Arc::new);
                // It says nothing if something else was committed meanwhile.
                let _ = self
                    .reducer
                    .command_by(&EngineCommand::Drifted { collection: id, commit, message }, by.as_ref())?;
            }
            Err(error) => {
                tracing::warn!(target: "lastword::delivery", collection = %id, %commit, %error,
                    "what was committed could not be verified");
            }
        }
        self.couriers.verified(id, LastVerification { at: self.time.now(), commit, found });
        Ok(())
    }
}
