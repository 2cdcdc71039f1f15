//! Deliveries: what the outboxes of collections ask of destinations, and the verification of what was committed.
//!
//! The outboxes stand in the state, and when each entry is due as well; here is only what is on its way. Of one
//! collection that is never more than one thing, so that everything happens in its order. What is to be verified is
//! volatile: a resync that was asked for right before a crash is made up for by the next.
//!
//! *Architecture invariant:* this part sees the durable state and durable events, and returns commands. The domain of a
//! delivery is its kind: a destination that hangs uses up its own share of the threads.

mod job;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use self::job::{DeliveryJob, Payload};
use super::crew::{Crew, Member, Sparing};
use super::env::{Abilities, WorkerEnv};
use super::report::{Delivery, DeliveryEnd, DeliveryReport};
use super::status::LastVerification;
use crate::core::vocabulary::{
    CollectionId, DeliveryKind, DeliveryRef, Duties, EngineCommand, Event, Kind, Name, Recorded, RefreshReason, Seq,
    Timestamp,
};
use crate::core::{Collection, OutboxEntry, OutboxItem, State};
use crate::worker::{DeliveryError, VerifyOutcome};

/// How many delivery threads there are, and how long a delivery may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryConfig {
    pub(super) threads: usize,
    pub(super) timeout: Duration,
}

pub(super) struct Deliveries {
    config: DeliveryConfig,
    duties: BTreeMap<Kind, Duties>,
    verifying: BTreeSet<Kind>,
    /// What is to be verified. It is taken in turn, so that none waits for ever behind another that is asked for often.
    to_verify: BTreeSet<CollectionId>,
    last_verified: CollectionId,
    verified: BTreeMap<CollectionId, LastVerification>,
    crew: Crew<DeliveryJob>,
    under_way: BTreeMap<CollectionId, Member>,
    /// What each thread was sent for, those given up included.
    sent: BTreeMap<Member, Delivery>,
}

/// What a delivery tells the core, if anything, and whether it was a verification.
pub(super) enum Settled {
    /// An outbox entry was delivered or not.
    Command(EngineCommand),
    /// A verification has ended.
    Verified { collection: CollectionId, commit: Seq, found: Result<VerifyOutcome, DeliveryError> },
}

impl Deliveries {
    pub(super) fn start(env: &WorkerEnv, abilities: Abilities, config: DeliveryConfig) -> io::Result<Deliveries> {
        let Abilities { duties, verifying, observing: _ } = abilities;
        let env = env.clone();
        let work = move |member, job: DeliveryJob| job.run(&env, member);
        Ok(Deliveries {
            config,
            duties,
            verifying,
            to_verify: BTreeSet::new(),
            last_verified: CollectionId(Seq::ZERO),
            verified: BTreeMap::new(),
            crew: Crew::start("delivery", config.threads, Sparing::Idle, work)?,
            under_way: BTreeMap::new(),
            sent: BTreeMap::new(),
        })
    }

    /// What a durable event means for what is to be verified.
    pub(super) fn on_event(&mut self, recorded: &Recorded, state: &State) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        match &recorded.event {
            // What is built anew anyway need not be verified.
            Event::RefreshRequested { force: false, reason: RefreshReason::Asked | RefreshReason::Resync, .. } => {
                self.request_verification(id, state);
            }
            // What its outbox holds is still delivered.
            Event::CollectionDropped { .. } => {
                self.to_verify.remove(&id);
                self.verified.remove(&id);
            }
            _ => {}
        }
    }

    /// Begins everything that is due, as far as there are threads. The state has to be durable.
    pub(super) fn begin_due(&mut self, state: &State, now: Timestamp) {
        while let Some((delivery, name, kind, payload)) = self.first_due(state, now) {
            let id = delivery.collection();
            if let Delivery::Verify { .. } = delivery {
                self.to_verify.remove(&id);
                self.last_verified = id;
            }
            let job = DeliveryJob { delivery, name: name.clone(), kind: kind.clone(), payload };
            match self.crew.begin(&kind.as_str().into(), now, self.config.timeout, job) {
                Ok(member) => {
                    self.under_way.insert(id, member);
                    self.sent.insert(member, delivery);
                }
                // No thread could be started: it stays due.
                Err(_) => {
                    if let Delivery::Verify { .. } = delivery {
                        self.to_verify.insert(id);
                    }
                    return;
                }
            }
        }
    }

    /// When something begins next, or has taken too long.
    pub(super) fn next_due(&self, state: &State, now: Timestamp) -> Option<Timestamp> {
        let begins = match self.first_due(state, now) {
            Some(_) => Some(now),
            None if self.has_any_room(now) => state.next_outbox_due(now),
            None => None,
        };
        begins.into_iter().chain(self.crew.next_due()).min()
    }

    /// Gives up a delivery that takes too long: it counts as failed.
    pub(super) fn give_up(&mut self, now: Timestamp) -> Option<Settled> {
        let delivery = *self.sent.get(&self.crew.give_up(now)?)?;
        self.under_way.remove(&delivery.collection());
        let error = DeliveryError(format!("it has not returned for {:?}", self.config.timeout));
        Some(failed(delivery, error))
    }

    /// A delivery has ended. One that was given up has been counted as failed; its success counts nevertheless, if what
    /// it was sent for still stands in the outbox.
    pub(super) fn returned(&mut self, report: DeliveryReport) -> Option<Settled> {
        let DeliveryReport { member, delivery, end } = report;
        self.sent.remove(&member);
        let in_time = self.crew.returned(member);
        if in_time {
            self.under_way.remove(&delivery.collection());
        }
        match (delivery, end) {
            (_, DeliveryEnd::Failed(error)) => in_time.then(|| failed(delivery, error)),
            (Delivery::Verify { collection, commit }, DeliveryEnd::Verified(outcome)) => {
                Some(Settled::Verified { collection, commit, found: Ok(outcome) })
            }
            (Delivery::Outbox(entry), DeliveryEnd::Delivered) => {
                Some(Settled::Command(EngineCommand::Delivered(entry)))
            }
            (Delivery::Outbox(_), DeliveryEnd::Verified(_)) | (Delivery::Verify { .. }, DeliveryEnd::Delivered) => None,
        }
    }

    /// Notes how a verification ended.
    pub(super) fn verified(&mut self, id: CollectionId, last: LastVerification) {
        self.verified.insert(id, last);
    }

    pub(super) fn last_verification(&self, id: CollectionId) -> Option<&LastVerification> {
        self.verified.get(&id)
    }

    /// What is first in a collection's outbox, if no worker here delivers that.
    pub(super) fn undeliverable(&self, state: &State, id: CollectionId) -> Option<DeliveryKind> {
        let (_, kind, first) = state.first_outbox_entry(id)?;
        Some(first.delivery()).filter(|delivery| !self.does(kind, *delivery))
    }

    /// Why what is first in a collection's outbox does not begin, if it waits for deliveries that were given up.
    pub(super) fn exhausted(&self, state: &State, id: CollectionId) -> Option<String> {
        let (_, kind, _) = state.first_outbox_entry(id).filter(|(_, kind, first)| self.does(kind, first.delivery()))?;
        let held = self.crew.held_by_lost(kind.as_str())?;
        Some(format!("deliveries that were given up hold {held}"))
    }

    /// Deliveries under way and not given up.
    pub(super) fn busy(&self) -> usize {
        self.crew.busy()
    }

    /// Deliveries that were given up and have not come back.
    pub(super) fn overdue(&self) -> usize {
        self.crew.given_up()
    }

    /// What a collection has applied is to be verified, if its kind does that.
    fn request_verification(&mut self, id: CollectionId, state: &State) {
        let collection = state.collection(id).filter(|collection| collection.applied.is_some());
        if collection.is_some_and(|collection| self.verifying.contains(&collection.kind)) {
            self.to_verify.insert(id);
        }
    }

    fn has_any_room(&self, now: Timestamp) -> bool {
        self.duties.keys().any(|kind| self.crew.has_room(kind.as_str(), now))
    }

    /// Whether commits of a kind are published.
    pub(super) fn publishes(&self, kind: &Kind) -> bool {
        self.does(kind, DeliveryKind::Publish)
    }

    fn does(&self, kind: &Kind, delivery: DeliveryKind) -> bool {
        self.duties.get(kind).is_some_and(|duties| match delivery {
            DeliveryKind::Publish => duties.publish,
            DeliveryKind::Discard => duties.discard,
        })
    }

    /// What an outbox asks for comes before what is to be verified: a reader or a caller may wait for it.
    fn first_due<'s>(&self, state: &'s State, now: Timestamp) -> Option<(Delivery, &'s Name, &'s Kind, Payload)> {
        if !self.has_any_room(now) {
            return None;
        }
        let rests = |id: &CollectionId| !self.under_way.contains_key(id);
        let from_outbox = state.outboxes_due(now).filter(rests).find_map(|id| self.outbox_delivery(state, id, now));
        from_outbox.or_else(|| {
            let rest = (Bound::Excluded(self.last_verified), Bound::Unbounded);
            let in_turn = self.to_verify.range(rest).chain(self.to_verify.range(..=self.last_verified));
            in_turn.copied().filter(rests).find_map(|id| self.verification(state, id, now))
        })
    }

    /// The first entry of a collection's outbox, if a worker here delivers it and there is a thread for it.
    fn outbox_delivery<'s>(
        &self,
        state: &'s State,
        id: CollectionId,
        now: Timestamp,
    ) -> Option<(Delivery, &'s Name, &'s Kind, Payload)> {
        let (name, kind, first) = state.first_outbox_entry(id)?;
        let delivery = first.delivery();
        if !self.does(kind, delivery) || !self.crew.has_room(kind.as_str(), now) {
            return None;
        }
        let entry = DeliveryRef { collection: id, obligation: first.id, delivery };
        let payload = match &first.item {
            OutboxItem::Publish(commit) => Payload::Publish(commit.clone()),
            OutboxItem::Discard(outputs) => {
                let collection = state.collection(id);
                let shown = collection.filter(|collection| is_published(collection));
                let newest = shown.and_then(|shown| Some(Arc::clone(&shown.applied.as_ref()?.result)));
                let (entry, dropped) = (first.id, collection.is_none());
                Payload::Discard { entry, outputs: outputs.clone(), newest, dropped }
            }
        };
        Some((Delivery::Outbox(entry), name, kind, payload))
    }

    /// What a collection has applied, once all its commits are published.
    fn verification<'s>(
        &self,
        state: &'s State,
        id: CollectionId,
        now: Timestamp,
    ) -> Option<(Delivery, &'s Name, &'s Kind, Payload)> {
        let collection = state.collection(id)?;
        let applied = collection.applied.as_ref()?;
        let delivery = Delivery::Verify { collection: id, commit: applied.seq };
        (is_published(collection) && self.crew.has_room(collection.kind.as_str(), now))
            .then(|| (delivery, &collection.name, &collection.kind, Payload::Verify(applied.clone())))
    }
}

/// Whether no commit waits to be published: what is applied is what readers are shown.
fn is_published(collection: &Collection) -> bool {
    let is_discard = |entry: &OutboxEntry| entry.delivery() == DeliveryKind::Discard;
    collection.outbox.as_deref().is_none_or(|outbox| outbox.entries.iter().all(is_discard))
}

fn failed(delivery: Delivery, error: DeliveryError) -> Settled {
    match delivery {
        Delivery::Outbox(delivered) => {
            let message = error.0.as_str().into();
            Settled::Command(EngineCommand::DeliveryFailed { delivered, message })
        }
        Delivery::Verify { collection, commit } => Settled::Verified { collection, commit, found: Err(error) },
    }
}
