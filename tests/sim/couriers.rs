//! The destination: what attempts put there, what is shown to readers, what is removed; and who carries it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use lastword::core::vocabulary::{
    Built, CollectionId, DeliveryRef, EngineCommand, Epoch, Event, ObjectHash, Recorded, Seq, Token,
};
use lastword::core::{Applied, DiscardSet, OutboxItem};
use lastword::external::{
    self, BuildError, Discard, ExternalSpec, Segment, SegmentBuilder, SegmentId, SegmentJob, SegmentKey, VerifyError,
};

use super::dice::Dice;
use super::queue::Happening;
use super::sim::Sim;
use super::workers::Job;

/// What lies at the destination, and what the log says of it.
#[derive(Default)]
pub(crate) struct Destination {
    /// Outputs of the kind `dest`: one for each attempt.
    stored: BTreeMap<CollectionId, BTreeSet<Token>>,
    /// What the last commit consists of.
    live: BTreeMap<CollectionId, (Token, Built)>,
    /// The last publication: its commit and token.
    shown: BTreeMap<CollectionId, (Seq, Token)>,
    in_flight: BTreeSet<CollectionId>,
    pub(crate) shelf: Shelf,
    /// A backup was put back: nobody knows what the lost part of the log had done here.
    pub(crate) is_muddled: bool,
}

impl Destination {
    pub(crate) fn write(&mut self, id: CollectionId, token: Token) {
        self.stored.entry(id).or_default().insert(token);
    }

    pub(crate) fn process_ended(&mut self) {
        self.in_flight.clear();
    }

    pub(crate) fn forget_all(&mut self) {
        self.live.clear();
        self.shown.clear();
        self.is_muddled = true;
    }

    /// What an event says of what is live.
    pub(crate) fn follow(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::TaskCompleted { collection, token, result, .. } => {
                self.live.insert(*collection, (*token, (**result).clone()));
            }
            Event::CollectionDropped { collection } => drop(self.live.remove(collection)),
            _ => {}
        }
    }

    fn publish(&mut self, id: CollectionId, commit: &Applied) {
        let before = self.shown.insert(id, (commit.seq, commit.token));
        let in_order = before.is_none_or(|(seq, token)| (seq, token) <= (commit.seq, commit.token));
        assert!(in_order, "PublishedInOrder: {before:?}, then {} under {}", commit.seq, commit.token);
    }

    fn discard(&mut self, id: CollectionId, leaving: &DiscardSet, running: Option<Token>) {
        let of = |built: &Option<Arc<Built>>| built.as_ref().and_then(|built| token_of(built.output.as_deref()?));
        let mut removed: BTreeSet<Token> = leaving.tokens.iter().copied().collect();
        removed.extend(of(&leaving.before));
        if let Some(kept) = of(&leaving.after) {
            removed.remove(&kept);
        }
        if !self.is_muddled {
            let live = self.live.get(&id).map(|(token, _)| *token);
            assert!(live.is_none_or(|live| !removed.contains(&live)), "what is live is discarded: {leaving:?}");
            assert!(running.is_none_or(|token| !removed.contains(&token)), "what is being made is discarded");
        }
        self.stored.entry(id).or_default().retain(|token| !removed.contains(token));
    }

    /// At rest there is what is live, and nothing else.
    pub(crate) fn assert_tidy(&self, segments: &BTreeSet<SegmentId>) {
        if self.is_muddled {
            return;
        }
        for (id, stored) in &self.stored {
            let live: BTreeSet<Token> = self.live.get(id).map(|(token, _)| *token).into_iter().collect();
            assert_eq!(*stored, live, "what lies at the destination of {id} is what is live");
        }
        let shelf: BTreeSet<SegmentId> = self.shelf.held().segments.keys().copied().collect();
        assert_eq!(shelf, *segments, "the segments that lie at the destination are those that are live");
    }
}

/// The token in an output.
fn token_of(output: &str) -> Option<Token> {
    let (epoch, seq) = output.split_whitespace().next()?.split_once('.')?;
    Some(Token { epoch: Epoch(epoch.parse().ok()?), seq: Seq(seq.parse().ok()?) })
}

/// Segments that were built. Clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    segments: BTreeMap<SegmentId, Output>,
    trouble: Option<(Dice, u64)>,
}

/// What was built for one segment, and under which key.
#[derive(Debug, PartialEq, Eq)]
struct Output {
    key: SegmentKey,
    contents: Vec<u8>,
}

impl Shelf {
    /// Whether this segment lies here as it was built for this very key.
    pub(crate) fn has_built(&self, segment: &Segment, key: SegmentKey) -> bool {
        let held = self.held();
        let built = held.segments.get(&segment.id);
        segment.key == key
            && built.is_some_and(|built| built.key == key && Some(&built.contents) == segment.output.as_ref())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    /// From here on so many segments in a thousand fail.
    pub(crate) fn trouble(&self, dice: Dice, chance: u64) {
        self.held().trouble = Some((dice, chance));
    }
}

/// What a segment consists of: how it was built, its ranges, and the bytes of the files behind them.
pub(crate) fn contents<'a>(spec: &ExternalSpec, parts: impl Iterator<Item = (String, u64, u64, &'a [u8])>) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{:?} {:?} {:?} ", spec.columns, spec.params, spec.recipe).as_bytes());
    for (path, start, end, bytes) in parts {
        hasher.update(format!("{path} {start} {end} ").as_bytes()).update(blake3::hash(bytes).as_bytes());
    }
    hasher.finalize().as_bytes()[..16].to_vec()
}

impl SegmentBuilder for Shelf {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        job.check_stop()?;
        let mut files = Vec::new();
        for fragment in job.fragments {
            let file = job.open(fragment)?;
            let bytes = file.read(0, usize::try_from(file.len()).unwrap())?;
            files.push((fragment.path.encode(), fragment.start, fragment.end, bytes));
        }
        let parts = files.iter().map(|(path, start, end, bytes)| (path.clone(), *start, *end, bytes.as_slice()));
        let contents = contents(job.spec, parts);
        let mut held = self.held();
        let before = held.segments.insert(job.id, Output { key: job.key, contents: contents.clone() });
        assert_eq!(before, None, "a segment was built twice under one id");
        let trouble = held.trouble.as_mut().and_then(|(dice, chance)| dice.chance(*chance).then(|| dice.below(3)));
        match trouble {
            None => Ok(Some(contents)),
            Some(0) => Err(BuildError::Transient("the destination is full".to_owned())),
            Some(1) => Err(BuildError::Permanent("the destination is gone".to_owned())),
            Some(_) => Err(BuildError::Interrupted),
        }
    }

    fn discards(&self) -> bool {
        true
    }

    fn discard(&self, what: &Discard<'_>) -> Result<(), String> {
        self.held().segments.retain(|id, _| !what.covers(*id));
        Ok(())
    }

    fn verify(&self, segment: &Segment) -> Result<(), String> {
        let held = self.held();
        let is_there = held.segments.get(&segment.id).map(|built| &built.contents) == segment.output.as_ref();
        if is_there { Ok(()) } else { Err("it is gone".to_owned()) }
    }
}

impl Sim {
    /// Couriers go for what is owed, one at a time for each collection.
    pub(crate) fn send_couriers(&mut self) {
        let now = self.now();
        let free = self.weather.couriers.saturating_sub(self.destination.in_flight.len());
        let in_flight = &self.destination.in_flight;
        let owing = self.state().outboxes_due(now).filter(|id| !in_flight.contains(id));
        let ids: Vec<CollectionId> = owing.take(free).collect();
        for id in ids {
            self.destination.in_flight.insert(id);
            let fails = !self.is_calm && self.dice.chance(self.weather.undelivered);
            // One that fails may have done its work.
            let delivered = if fails && self.dice.chance(500) { self.errand(id) } else { self.deliver(id) };
            let takes = self.dice.millis(0, 1000);
            self.after(takes, Happening::Served { delivered, fails });
        }
    }

    fn errand(&self, id: CollectionId) -> DeliveryRef {
        let (_, _, first) = self.state().first_outbox_entry(id).unwrap();
        DeliveryRef { collection: id, obligation: first.id, delivery: first.delivery() }
    }

    /// Does what is owed first.
    fn deliver(&mut self, id: CollectionId) -> DeliveryRef {
        let delivered = self.errand(id);
        let (name, kind, first) = self.state().first_outbox_entry(id).unwrap();
        let (name, kind, owed) = (name.clone(), kind.clone(), first.item.clone());
        let running = self.collection(id).and_then(|collection| Some(collection.status.attempt()?.token));
        match owed {
            OutboxItem::Publish(commit) => self.destination.publish(id, &commit),
            OutboxItem::Discard(leaving) if Sim::is_files(&kind) => {
                let root = |built: &Option<Arc<Built>>| built.as_ref().and_then(|built| built.manifest);
                let (before, after) = (root(&leaving.before), root(&leaving.after));
                let shelf = self.destination.shelf.clone();
                let is_drop = self.collection(id).is_none();
                external::discard(&shelf, (id, &name, is_drop), &*self.objects, &leaving.tokens, before, after, None)
                    .unwrap();
                self.assert_live_segments(id);
            }
            OutboxItem::Discard(leaving) => self.destination.discard(id, &leaving, running),
        }
        delivered
    }

    fn assert_live_segments(&self, id: CollectionId) {
        let live = self.destination.live.get(&id).and_then(|(_, built)| built.manifest);
        if let (Some(root), false) = (live, self.destination.is_muddled) {
            let found = external::verify(&self.destination.shelf, &*self.objects, root);
            assert!(found.is_ok(), "what is live was discarded: {found:?}");
        }
    }

    /// A courier comes back.
    pub(crate) fn served(&mut self, delivered: DeliveryRef, fails: bool, process: u32) {
        if process == self.process {
            self.destination.in_flight.remove(&delivered.collection);
        }
        let message = "the destination did not answer".into();
        let command = if fails {
            EngineCommand::DeliveryFailed { delivered, message }
        } else {
            EngineCommand::Delivered(delivered)
        };
        self.say(command.clone());
        if self.dice.chance(self.weather.twice) {
            let late = self.dice.millis(0, 5_000);
            self.after(late, Happening::Says(Box::new(command.into())));
        }
    }

    /// The destination is asked soon whether what was committed is still there.
    pub(crate) fn ask_to_verify(&mut self, id: CollectionId) {
        let soon = self.dice.millis(0, 2000);
        self.after(soon, Happening::Verifies(id));
    }

    /// It is asked, once everything was published.
    pub(crate) fn verifies(&mut self, id: CollectionId) {
        let Some(collection) = self.collection(id) else { return };
        let Some(applied) = collection.applied.as_deref() else { return };
        if collection.outbox.as_ref().is_some_and(|outbox| outbox.first().is_some()) {
            return;
        }
        let (commit, manifest) = (applied.seq, applied.result.manifest);
        let drifted = !self.is_calm && self.dice.chance(200);
        if drifted || manifest.is_some_and(|root| self.has_drifted(root)) {
            self.say(EngineCommand::Drifted { collection: id, commit, message: "it is gone".into() });
        }
    }

    fn has_drifted(&self, root: ObjectHash) -> bool {
        let found = external::verify(&self.destination.shelf, &*self.objects, root);
        let drifted = matches!(found, Err(VerifyError::Drift(_)));
        assert!(!drifted || self.destination.is_muddled, "what is live is gone: {found:?}");
        drifted
    }

    /// An attempt that was given up goes on making outputs, as long as the log holds it for possible.
    pub(crate) fn add_zombie(&mut self, job: &Job) {
        let (id, token) = (job.attempt.collection, job.attempt.token);
        let of_collection = self.collection(id).and_then(|collection| collection.outbox.as_deref());
        let of_orphan = self.state().orphans().find(|(orphan, _)| *orphan == id).map(|(_, orphan)| &orphan.outbox);
        let haunted = [of_collection, of_orphan].into_iter().flatten().any(|all| all.zombies.contains(&token));
        if haunted && job.kind.as_str() == "dest" {
            self.destination.write(id, token);
        }
    }
}
