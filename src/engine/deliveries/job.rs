//! One delivery, on a thread of the crew: a publication, a discard or a verification.
//!
//! *Architecture invariant:* it calls the worker and reports. What the end of a delivery means is not known here.

use std::sync::Arc;

use crate::core::vocabulary::{Built, FailureReport, Kind, Name, Seq};
use crate::core::{Applied, DiscardSet, clip};
use crate::engine::crew::Member;
use crate::engine::env::WorkerEnv;
use crate::engine::report::{Delivery, DeliveryEnd, DeliveryReport, Report};
use crate::unwind;
use crate::worker::{CommitView, DeliveryError, DiscardRequest, VerifyOutcome};

/// One delivery, with everything that the worker needs to know.
pub(super) struct DeliveryJob {
    pub(super) delivery: Delivery,
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) payload: Payload,
}

pub(super) enum Payload {
    Publish(Box<Applied>),
    Discard { entry: Seq, outputs: Box<DiscardSet>, newest: Option<Arc<Built>>, dropped: bool },
    Verify(Box<Applied>),
}

impl DeliveryJob {
    /// Delivers, and reports.
    pub(super) fn run(self, env: &WorkerEnv, member: Member) {
        env.life.join_crew();
        // Whoever listens to spans is foreign code as well.
        let deliver = || {
            let (collection, kind) = (&self.name, &self.kind);
            let span = tracing::info_span!(target: "lastword::delivery", "delivery", %collection, %kind);
            span.in_scope(|| self.deliver(env))
        };
        let end = unwind::catch(deliver)
            .unwrap_or_else(|panic| DeliveryEnd::Failed(DeliveryError(format!("it panicked: {panic}"))));
        env.report(Report::Delivered(DeliveryReport { member, delivery: self.delivery, end: clipped(end) }));
    }

    fn deliver(&self, env: &WorkerEnv) -> DeliveryEnd {
        let Some(worker) = env.kinds.get(&self.kind) else {
            return DeliveryEnd::Failed(DeliveryError(format!("no worker serves the kind {}", self.kind)));
        };
        match &self.payload {
            Payload::Publish(commit) => delivered(worker.publish(&self.commit(commit, env))),
            Payload::Discard { entry, outputs, newest, dropped } => delivered(worker.discard(&DiscardRequest {
                obligation: *entry,
                collection: self.delivery.collection(),
                name: &self.name,
                kind: &self.kind,
                tokens: &outputs.all_tokens(),
                before: outputs.before.as_deref(),
                after: outputs.after.as_deref(),
                newest: newest.as_deref(),
                dropped: *dropped,
                objects: &*env.objects,
            })),
            Payload::Verify(commit) => match worker.verify(&self.commit(commit, env)) {
                Ok(outcome) => DeliveryEnd::Verified(outcome),
                Err(error) => DeliveryEnd::Failed(error),
            },
        }
    }

    fn commit<'a>(&'a self, commit: &'a Applied, env: &'a WorkerEnv) -> CommitView<'a> {
        CommitView {
            collection: self.delivery.collection(),
            name: &self.name,
            kind: &self.kind,
            commit: commit.seq,
            token: commit.token,
            fingerprint: commit.fingerprint,
            generation: commit.generation,
            source: &commit.inputs.source,
            spec: &commit.inputs.spec,
            result: &commit.result,
            objects: &*env.objects,
        }
    }
}

/// What is said at length is not held for as long as the engine lives.
fn clipped(end: DeliveryEnd) -> DeliveryEnd {
    let clipped = |text: String| clip(&text, FailureReport::MOST_MESSAGE).to_owned();
    match end {
        DeliveryEnd::Failed(DeliveryError(text)) => DeliveryEnd::Failed(DeliveryError(clipped(text))),
        DeliveryEnd::Verified(VerifyOutcome::Drifted(text)) => {
            DeliveryEnd::Verified(VerifyOutcome::Drifted(clipped(text)))
        }
        end @ (DeliveryEnd::Delivered | DeliveryEnd::Verified(VerifyOutcome::Intact)) => end,
    }
}

fn delivered(result: Result<(), DeliveryError>) -> DeliveryEnd {
    match result {
        Ok(()) => DeliveryEnd::Delivered,
        Err(error) => DeliveryEnd::Failed(error),
    }
}
