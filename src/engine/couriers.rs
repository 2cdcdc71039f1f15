//! Couriers: the threads that meet what is owed to destinations, and that check what was committed.
//!
//! What is owed stands in the state, and when it is due as well; here is only what is on its way. Of one collection
//! never more than one thing is, so that everything happens in its order. What is to be verified is volatile: a resync
//! that was asked for right before a crash is made up for by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::message::Report;
use super::pool::{Kinds, Shop, panic_text};
use crate::core::vocabulary::{CollectionId, DeliveryKind, DeliveryRef, Duties, Kind, Name, Seq, Timestamp};
use crate::core::{Applied, DiscardSet, OutboxItem, State};
use crate::worker::{DeliveryError, DiscardRequest, PublishRequest, VerifyOutcome, VerifyRequest, Worker};

/// What a courier is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Deliver(DeliveryRef),
    Verify { collection: CollectionId, commit: Seq },
}

impl Errand {
    pub(super) fn collection(&self) -> CollectionId {
        match self {
            Errand::Deliver(delivered) => delivered.collection,
            Errand::Verify { collection, .. } => *collection,
        }
    }
}

/// How an errand ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// What was owed is met.
    Delivered,
    /// What was committed was looked for.
    Verified(VerifyOutcome),
    /// Neither could be done.
    Failed(DeliveryError),
}

/// A courier has come back.
#[derive(Debug)]
pub(super) struct Returned {
    number: u64,
    pub(super) errand: Errand,
    pub(super) ending: Ending,
}

/// The last verification of what a collection has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastVerification {
    /// When its end was heard.
    pub at: Timestamp,
    /// The event that committed what was looked for.
    pub commit: Seq,
    /// What was found, or why that could not be found out.
    pub found: Result<VerifyOutcome, DeliveryError>,
}

/// How many couriers there are, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) couriers: usize,
    pub(super) patience: Duration,
}

/// Two: one destination that is slow leaves a courier for the others.
const COURIERS: usize = 2;

/// Longer than it takes to switch a pointer, or to remove some ten thousand objects; short enough that a destination
/// that hangs is noticed by whoever waits for it.
const PATIENCE: Duration = Duration::from_secs(300);

impl Default for Terms {
    fn default() -> Terms {
        Terms { couriers: COURIERS, patience: PATIENCE }
    }
}

struct UnderWay {
    number: u64,
    errand: Errand,
    until: Timestamp,
}

/// One errand, with everything that the worker needs to know.
struct Job {
    number: u64,
    errand: Errand,
    name: Name,
    kind: Kind,
    cargo: Cargo,
}

enum Cargo {
    Publish(Box<Applied>),
    Discard { obligation: Seq, leaving: Box<DiscardSet>, dropped: bool },
    Verify(Box<Applied>),
}

pub(super) struct Couriers {
    terms: Terms,
    duties: BTreeMap<Kind, Duties>,
    verifying: BTreeSet<Kind>,
    /// What is to be verified. It is taken in turn, so that none waits for ever behind another that is asked for often.
    to_verify: BTreeSet<CollectionId>,
    last_verified: CollectionId,
    verified: BTreeMap<CollectionId, LastVerification>,
    under_way: BTreeMap<CollectionId, UnderWay>,
    /// Errands that took longer. Each still holds its thread.
    overdue: BTreeSet<u64>,
    next: u64,
    threads: usize,
    shop: Shop,
    jobs: Sender<Job>,
    taken: Receiver<Job>,
}

impl Couriers {
    pub(super) fn start(shop: &Shop, terms: Terms) -> io::Result<Couriers> {
        let (jobs, taken) = bounded(terms.couriers);
        let kinds = shop.kinds.iter();
        let mut couriers = Couriers {
            terms,
            duties: duties(&shop.kinds),
            verifying: kinds.filter(|(_, worker)| worker.verifies()).map(|(kind, _)| kind.clone()).collect(),
            to_verify: BTreeSet::new(),
            last_verified: CollectionId(Seq::ZERO),
            verified: BTreeMap::new(),
            under_way: BTreeMap::new(),
            overdue: BTreeSet::new(),
            next: 1,
            threads: 0,
            shop: shop.clone(),
            jobs,
            taken,
        };
        for _ in 0..terms.couriers {
            couriers.hire()?;
        }
        Ok(couriers)
    }

    fn hire(&mut self) -> io::Result<()> {
        let (shop, taken) = (self.shop.clone(), self.taken.clone());
        let name = format!("lastword-courier{}", self.threads + 1);
        thread::Builder::new().name(name).spawn(move || carry(&shop, &taken))?;
        self.threads += 1;
        Ok(())
    }

    /// What a collection has applied is to be verified, if its kind does that.
    pub(super) fn ask_to_verify(&mut self, id: CollectionId, state: &State) {
        let collection = state.collection(id).filter(|collection| collection.applied.is_some());
        if collection.is_some_and(|collection| self.verifying.contains(&collection.kind)) {
            self.to_verify.insert(id);
        }
    }

    /// The collection is gone; what is owed for it is not.
    pub(super) fn forget(&mut self, id: CollectionId) {
        self.to_verify.remove(&id);
        self.verified.remove(&id);
    }

    /// Sends couriers off with everything that is due, as far as there are couriers. The state has to be durable.
    pub(super) fn begin_due(&mut self, state: &State, now: Timestamp) {
        while self.is_anyone_free() {
            let Some((errand, name, kind, cargo)) = self.first_due(state, now) else { return };
            let (id, number) = (errand.collection(), self.next);
            self.next += 1;
            if let Errand::Verify { .. } = errand {
                self.to_verify.remove(&id);
                self.last_verified = id;
            }
            self.under_way.insert(id, UnderWay { number, errand, until: now.after(self.terms.patience) });
            let job = Job { number, errand, name: name.clone(), kind: kind.clone(), cargo };
            // There is room: no more errands are under way than there are threads.
            let _ = self.jobs.send(job);
        }
    }

    /// When a courier is to be sent off next, or one has taken too long.
    pub(super) fn next_due(&self, state: &State, now: Timestamp) -> Option<Timestamp> {
        let given_up = self.under_way.values().map(|errand| errand.until).min();
        let begins = || match self.first_due(state, now) {
            Some(_) => Some(now),
            None => state.next_outbox_due(now),
        };
        given_up.into_iter().chain(self.is_anyone_free().then(begins).flatten()).min()
    }

    /// Gives up an errand that takes too long. Its thread is replaced as long as there are not more such threads than
    /// couriers: a destination that hangs must neither stop all others nor eat the machine.
    pub(super) fn give_up(&mut self, now: Timestamp) -> Option<Errand> {
        let id = self.under_way.iter().find(|(_, errand)| errand.until <= now).map(|(id, _)| *id)?;
        let given_up = self.under_way.remove(&id)?;
        self.overdue.insert(given_up.number);
        if self.threads < 2 * self.terms.couriers
            && let Err(error) = self.hire()
        {
            tracing::error!(target: "lastword::pool", %error, "no thread could be started");
        }
        Some(given_up.errand)
    }

    /// How long an errand may take.
    pub(super) fn patience(&self) -> Duration {
        self.terms.patience
    }

    /// A courier has come back; says whether it was in time.
    pub(super) fn returned(&mut self, returned: &Returned) -> bool {
        let is_late = self.overdue.remove(&returned.number);
        if !is_late {
            self.under_way.remove(&returned.errand.collection());
        }
        !is_late
    }

    /// Notes how a verification ended.
    pub(super) fn verified(&mut self, id: CollectionId, last: LastVerification) {
        self.verified.insert(id, last);
    }

    pub(super) fn last_verification(&self, id: CollectionId) -> Option<&LastVerification> {
        self.verified.get(&id)
    }

    /// Whether what a collection owes first is met by nobody here.
    pub(super) fn is_undeliverable(&self, state: &State, id: CollectionId) -> bool {
        state.first_outbox_entry(id).is_some_and(|(_, kind, first)| !self.does(kind, first.delivery()))
    }

    /// How many errands are under way and not given up.
    pub(super) fn busy(&self) -> usize {
        self.under_way.len()
    }

    /// How many errands were given up and have not come back.
    pub(super) fn overdue(&self) -> usize {
        self.overdue.len()
    }

    fn is_anyone_free(&self) -> bool {
        self.under_way.len() < self.terms.couriers.min(self.threads - self.overdue.len())
    }

    fn does(&self, kind: &Kind, delivery: DeliveryKind) -> bool {
        self.duties.get(kind).is_some_and(|duties| match delivery {
            DeliveryKind::Publish => duties.publish,
            DeliveryKind::Discard => duties.discard,
        })
    }

    /// What is owed comes before what is to be verified: somebody may wait for it.
    fn first_due<'s>(&self, state: &'s State, now: Timestamp) -> Option<(Errand, &'s Name, &'s Kind, Cargo)> {
        let rests = |id: &CollectionId| !self.under_way.contains_key(id);
        let owed = state.outboxes_due(now).filter(rests).find_map(|id| {
            let (name, kind, first) = state.first_outbox_entry(id)?;
            let delivery = first.delivery();
            let obligation = first.id;
            let errand = Errand::Deliver(DeliveryRef { collection: id, obligation, delivery });
            let cargo = || match &first.item {
                OutboxItem::Publish(commit) => Cargo::Publish(commit.clone()),
                OutboxItem::Discard(leaving) => {
                    let dropped = state.collection(id).is_none();
                    Cargo::Discard { obligation, leaving: leaving.clone(), dropped }
                }
            };
            self.does(kind, delivery).then(|| (errand, name, kind, cargo()))
        });
        owed.or_else(|| {
            let rest = (Bound::Excluded(self.last_verified), Bound::Unbounded);
            let in_turn = self.to_verify.range(rest).chain(self.to_verify.range(..=self.last_verified));
            in_turn.copied().filter(rests).find_map(|id| verifiable(state, id))
        })
    }
}

/// What every kind does.
pub(super) fn duties(kinds: &Kinds) -> BTreeMap<Kind, Duties> {
    kinds.iter().map(|(kind, worker)| (kind.clone(), worker.duties())).collect()
}

/// What was committed last, once it is published: before that nobody can expect to find it.
fn verifiable(state: &State, id: CollectionId) -> Option<(Errand, &Name, &Kind, Cargo)> {
    let collection = state.collection(id)?;
    let applied = collection.applied.as_ref()?;
    let is_published = collection
        .outbox
        .as_deref()
        .is_none_or(|outbox| outbox.entries.iter().all(|entry| entry.delivery() != DeliveryKind::Publish));
    let errand = Errand::Verify { collection: id, commit: applied.seq };
    is_published.then(|| (errand, &collection.name, &collection.kind, Cargo::Verify(applied.clone())))
}

/// The life of a courier.
fn carry(shop: &Shop, jobs: &Receiver<Job>) {
    for job in jobs {
        let span =
            tracing::info_span!(target: "lastword::delivery", "errand", collection = %job.name, kind = %job.kind);
        let ending = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| serve(shop, &job))))
            .unwrap_or_else(|panic| Ending::Failed(DeliveryError(format!("it panicked: {}", panic_text(panic)))));
        let returned = Returned { number: job.number, errand: job.errand, ending };
        if shop.reports.send(Report::Served(returned)).is_err() {
            return;
        }
    }
}

fn serve(shop: &Shop, job: &Job) -> Ending {
    let Some(worker) = shop.kinds.get(&job.kind) else {
        return Ending::Failed(DeliveryError(format!("no worker serves the kind {}", job.kind)));
    };
    let delivered = |result: Result<(), DeliveryError>| match result {
        Ok(()) => Ending::Delivered,
        Err(error) => Ending::Failed(error),
    };
    match &job.cargo {
        Cargo::Publish(commit) => delivered(publish(shop, &**worker, job, commit)),
        Cargo::Discard { obligation, leaving, dropped } => delivered(worker.discard(&DiscardRequest {
            obligation: *obligation,
            collection: job.errand.collection(),
            name: &job.name,
            kind: &job.kind,
            tokens: &leaving.tokens,
            before: leaving.before.as_deref(),
            after: leaving.after.as_deref(),
            dropped: *dropped,
            objects: &*shop.objects,
        })),
        Cargo::Verify(commit) => match verify(shop, &**worker, job, commit) {
            Ok(verdict) => Ending::Verified(verdict),
            Err(error) => Ending::Failed(error),
        },
    }
}

fn publish(shop: &Shop, worker: &dyn Worker, job: &Job, commit: &Applied) -> Result<(), DeliveryError> {
    worker.publish(&PublishRequest {
        collection: job.errand.collection(),
        name: &job.name,
        kind: &job.kind,
        commit: commit.seq,
        token: commit.token,
        fingerprint: commit.fingerprint,
        generation: commit.generation,
        source: &commit.inputs.source,
        spec: &commit.inputs.spec,
        result: &commit.result,
        objects: &*shop.objects,
    })
}

fn verify(shop: &Shop, worker: &dyn Worker, job: &Job, commit: &Applied) -> Result<VerifyOutcome, DeliveryError> {
    worker.verify(&VerifyRequest {
        collection: job.errand.collection(),
        name: &job.name,
        kind: &job.kind,
        commit: commit.seq,
        token: commit.token,
        fingerprint: commit.fingerprint,
        result: &commit.result,
        objects: &*shop.objects,
    })
}
