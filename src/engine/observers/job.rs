//! One observation, on a thread of the crew.
//!
//! *Architecture invariant:* it calls the observer and reports. Whether the observation counts is not known here.

use crate::core::vocabulary::{CollectionId, FailureReport, Kind, Name, Seq, Source, SourceState, Spec, Timestamp};
use crate::core::{Collection, clip};
use crate::engine::crew::Member;
use crate::engine::env::WorkerEnv;
use crate::engine::named_objects::{ON_A_THREAD, check_set};
use crate::engine::report::{ActiveWatch, ObserveReport, Report};
use crate::objects::Objects;
use crate::unwind;
use crate::worker::{
    Hint, Observation, ObserveError, ObserveRequest, ObserveSignals, Observer, files_applied, observed_of,
};

/// One observation, with everything it needs to know.
pub(super) struct ObserveJob {
    id: CollectionId,
    kind: Kind,
    name: Name,
    source: Source,
    spec: Spec,
    known: Option<SourceState>,
    applied: Option<SourceState>,
    /// If that is known.
    files_applied: Option<u64>,
    began: Seq,
    started: Timestamp,
    hint: Hint,
    watch: Option<ActiveWatch>,
    verify: bool,
    signals: ObserveSignals,
}

impl ObserveJob {
    /// An observation of a collection's source that begins behind the event `began`, at the time `started`.
    pub(super) fn new(
        id: CollectionId,
        collection: &Collection,
        (began, started): (Seq, Timestamp),
        (hint, watch): (Hint, Option<ActiveWatch>),
        (verify, signals): (bool, ObserveSignals),
    ) -> ObserveJob {
        ObserveJob {
            id,
            kind: collection.kind.clone(),
            name: collection.name.clone(),
            source: collection.latest.source.clone(),
            spec: collection.latest.spec.clone(),
            known: collection.observed().map(|observed| (**observed).clone()),
            applied: collection.applied.as_ref().and_then(|applied| observed_of(&applied.inputs)).cloned(),
            files_applied: files_applied(collection.applied.as_deref()),
            began,
            started,
            hint,
            watch,
            verify,
            signals,
        }
    }

    /// The watch that it was to keep, if it cannot run.
    pub(super) fn into_watch(self) -> Option<ActiveWatch> {
        self.watch
    }

    /// Observes, and reports.
    pub(super) fn run(mut self, env: &WorkerEnv, member: Member) {
        env.life.join_crew();
        let mut watch = self.watch.take();
        // Everything that may be foreign code is inside.
        let objects = env.objects_of_a_job();
        let result = unwind::catch(|| self.observe(env, &*objects, &mut watch))
            .unwrap_or_else(|panic| Err(ObserveError(format!("the observation panicked: {panic}"))))
            .and_then(|observation| match observation.problem(self.files_applied) {
                Some(problem) => Err(ObserveError(format!("what the observer counts {problem}"))),
                None => Ok(observation),
            })
            .map_err(clipped);
        let ObserveJob { id: collection, began, started, signals, .. } = self;
        let (again, was_stopped) = (signals.again(), signals.is_stopping());
        let goes_on = result.is_err() && signals.has_advanced();
        let traffic = signals.traffic().counted();
        let report =
            ObserveReport { member, collection, began, started, result, again, goes_on, traffic, was_stopped, watch };
        env.report(Report::Observed(Box::new(report)));
        drop(objects);
    }

    fn observe(
        &self,
        env: &WorkerEnv,
        objects: &dyn Objects,
        watch: &mut Option<ActiveWatch>,
    ) -> Result<Observation, ObserveError> {
        let worker = env.kinds.get(&self.kind);
        let observer = worker.and_then(|worker| worker.observer());
        let missing = || ObserveError(format!("no observer for the kind {:?}", self.kind));
        let observer = observer.ok_or_else(missing)?;
        // A watch that begins before the observation misses nothing in between.
        *watch = self.watched(observer, watch.take());
        let observation = observer.observe(&ObserveRequest {
            name: &self.name,
            source: &self.source,
            spec: &self.spec,
            known: self.known.as_ref(),
            applied: self.applied.as_ref(),
            objects,
            wall: env.time.wall(),
            verify: self.verify,
            signals: &self.signals,
        })?;
        // What was known was checked when it was new: a source that rests costs nothing.
        if self.known.as_ref().map(|known| known.set) != Some(observation.state.set) {
            let unfounded = |unfounded| ObserveError(format!("what was observed cannot be checked: {unfounded}"));
            check_set(objects, &observation.state, ON_A_THREAD).map_err(unfounded)?;
        }
        Ok(observation)
    }

    /// Keeps a watch that is alive and watches the right source, and replaces it otherwise.
    fn watched(&self, observer: &dyn Observer, watch: Option<ActiveWatch>) -> Option<ActiveWatch> {
        let renew = || {
            let is_right = |active: &ActiveWatch| (&active.source, &active.spec) == (&self.source, &self.spec);
            let kept = watch.filter(|active| is_right(active) && active.is_alive());
            kept.or_else(|| {
                let watch = observer.watch(&self.source, &self.spec, self.hint.clone())?;
                Some(ActiveWatch::new(self.source.clone(), self.spec.clone(), watch))
            })
        };
        unwind::catch(renew).unwrap_or_else(|panic| {
            unwind::tell(|| {
                tracing::warn!(target: "lastword::pool", collection = %self.name, panic, "its source is not watched");
            });
            None
        })
    }
}

/// What is said at length is not copied by the engine's own thread.
fn clipped(ObserveError(text): ObserveError) -> ObserveError {
    ObserveError(clip(&text, FailureReport::MOST_MESSAGE).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_observer_says_at_length_is_cut_before_the_engine_has_it() {
        assert_eq!(clipped(ObserveError("x".repeat(8 << 20))).0.len(), FailureReport::MOST_MESSAGE);
        assert_eq!(clipped(ObserveError("no".to_owned())), ObserveError("no".to_owned()));
    }
}
