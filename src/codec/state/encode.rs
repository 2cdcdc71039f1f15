//! From a state to its items. Every struct is taken apart by name and without `..`: a field that is added to one of
//! them does not compile until it has its place here.

use std::sync::Arc;

use bincode::Encode;

use super::records::*;
use super::{ITEM_HEADER_LENGTH, Item, StateError};
use crate::codec::put;
use crate::codec::records::{
    AttemptV1, FailReasonV1, HoldCauseV1, LimitV1, LimitsChangedV1, ParkCauseV1, SegmentCountsV1,
};
use crate::core::vocabulary::{
    AttemptRef, Built, CollectionId, Content, Duties, FailReason, HoldCause, Inputs, Limits, ParkCause, SegmentCounts,
    Token, micros,
};
use crate::core::{
    Applied, Attempt, Collection, DiscardSet, Draining, LastFailure, Orphan, Outbox, OutboxEntry, OutboxItem, Parked,
    Parking, Parts, Pending, Running, State, Status, Task, Unobservable, Waiting, Wanted,
};

/// Appends the items of `state` to `out`.
///
/// # Errors
/// When an item is longer than the format allows, which no checked value leads to.
pub fn encode_state(state: &State, out: &mut Vec<u8>) -> Result<(), StateError> {
    encode_items(state, out, &mut |_| Ok(()))
}

/// The same bytes in parts of `length` bytes, of which the last may be shorter; at least one. `take` gets one after the
/// other, so that no more than one of them and an item is in memory.
///
/// # Errors
/// As [`encode_state`], and what `take` returns.
pub fn encode_state_in_parts<E: From<StateError>>(
    state: &State,
    length: usize,
    take: &mut dyn FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let mut out = Vec::with_capacity(length);
    let mut taken = false;
    encode_items::<E>(state, &mut out, &mut |out| {
        while out.len() > length {
            let rest = out.split_off(length);
            take(std::mem::replace(out, rest))?;
            taken = true;
        }
        Ok(())
    })?;
    if !taken || !out.is_empty() { take(out) } else { Ok(()) }
}

/// Appends the items to `out`, and shows it after each.
fn encode_items<E: From<StateError>>(
    state: &State,
    out: &mut Vec<u8>,
    after_each: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let Parts { last, epoch, at, limits, collections, orphans, draining } = state.parts();
    let mut items = Items { out, words: Vec::new() };
    items.put(Item::Head, &HeadV1 { last: last.0, epoch: epoch.0, at: at.0, limits: limits_v1(limits) })?;
    for (id, collection) in collections {
        items.collection(*id, collection)?;
        after_each(items.out)?;
    }
    for (id, orphan) in orphans {
        items.orphan(*id, orphan)?;
        after_each(items.out)?;
    }
    for (token, draining) in draining {
        items.draining(*token, draining)?;
        after_each(items.out)?;
    }
    let (collections, orphans, draining) = (collections.len() as u64, orphans.len() as u64, draining.len() as u64);
    items.put(Item::End, &EndV1 { collections, orphans, draining })?;
    after_each(items.out)
}

/// Bytes of an item's length.
const LENGTH: usize = ITEM_HEADER_LENGTH - 1;

struct Items<'o> {
    out: &'o mut Vec<u8>,
    /// The inputs of the collection that comes next.
    words: Vec<Arc<Inputs>>,
}

impl Items<'_> {
    fn put<R: Encode>(&mut self, item: Item, record: &R) -> Result<(), StateError> {
        self.out.push(item as u8);
        // The length is known once the record is written.
        let at = self.out.len();
        self.out.extend_from_slice(&[0; LENGTH]);
        put(record, self.out).map_err(|problem| StateError(format!("{item:?}: {problem}")))?;
        let length = self.out.len() - at - LENGTH;
        let length = u32::try_from(length).map_err(|_| StateError(format!("{item:?}: it has {length} bytes")))?;
        self.out[at..at + LENGTH].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn collection(&mut self, id: CollectionId, collection: &Collection) -> Result<(), StateError> {
        let Collection {
            name,
            kind,
            versioned,
            policy,
            revision,
            latest,
            wanted,
            generation,
            rebuild,
            applied,
            pending,
            status,
            last_input,
            paused,
            failures,
            moves,
            panics,
            crashes,
            draining,
            unapplied_since,
            unobservable,
            refreshed,
            resync_at,
            outbox,
        } = collection;
        self.words.clear();
        let latest = self.inputs(latest)?;
        let wanted = match wanted {
            Some(Wanted { fingerprint, inputs }) => {
                Some(WantedV1 { fingerprint: fingerprint.0, inputs: self.inputs(inputs)? })
            }
            None => None,
        };
        let applied = applied.as_deref().map(|applied| self.applied(applied)).transpose()?;
        let entries = outbox.as_deref().map(|outbox| self.entries_of(outbox)).transpose()?;
        let before = CollectionOf {
            id: id.0.0,
            name: name.as_str(),
            kind: kind.as_str(),
            versioned: *versioned,
            policy: (&**policy).into(),
            revision: *revision,
            latest,
            wanted,
            generation: generation.0,
            rebuild: *rebuild,
            applied,
            pending: pending.map(pending_v1),
            status: status_v1(status),
            last_input: last_input.0,
            paused: *paused,
            failures: *failures,
            moves: *moves,
            draining: *draining,
            unapplied_since: unapplied_since.map(|at| at.0),
            unobservable: unobservable.as_deref().map(|unobservable| {
                let Unobservable { since, cause } = unobservable;
                UnobservableV1 { since: since.0, cause }
            }),
            refreshed: refreshed.0,
            resync_at: resync_at.map(|at| at.0),
            obligations: outbox.as_deref().map(obligations_v1),
        };
        let record = CollectionV2 { before, panics: *panics, crashes: *crashes };
        self.put(Item::Collection, &record)?;
        entries.into_iter().flatten().try_for_each(|entry| self.put(Item::OutboxEntry, &entry))
    }

    fn orphan(&mut self, id: CollectionId, orphan: &Orphan) -> Result<(), StateError> {
        let Orphan { name, kind, draining, outbox } = orphan;
        self.words.clear();
        let entries = self.entries_of(outbox)?;
        let record = OrphanV1 {
            id: id.0.0,
            name: name.as_str(),
            kind: kind.as_str(),
            draining: *draining,
            obligations: obligations_v1(outbox),
        };
        self.put(Item::Orphan, &record)?;
        entries.into_iter().try_for_each(|entry| self.put(Item::OutboxEntry, &entry))
    }

    fn draining(&mut self, token: Token, draining: &Draining) -> Result<(), StateError> {
        let Draining { attempt, grace_until, leased, leaves } = draining;
        let AttemptRef { collection, task, attempt, token: of_attempt } = *attempt;
        if of_attempt != token {
            return Err(StateError(format!("attempt {of_attempt} is kept as {token}")));
        }
        let attempt = AttemptV1 { collection: collection.0.0, task: task.0.0, attempt, token: token.into() };
        let grace_until = grace_until.map(|until| until.0);
        self.put(Item::Draining, &DrainingV1 { attempt, grace_until, leased: *leased, leaves: *leaves })
    }

    /// The entries of an outbox, with their inputs written.
    fn entries_of<'s>(&mut self, outbox: &'s Outbox) -> Result<Vec<ObligationV1<'s>>, StateError> {
        let record = |entry: &'s OutboxEntry| {
            let OutboxEntry { id, since, item, due, failures, cause } = entry;
            let owed = match item {
                OutboxItem::Publish(applied) => OwedV1::Publish(self.applied(applied)?),
                OutboxItem::Discard(leaving) => {
                    let DiscardSet { tokens, before, after } = &**leaving;
                    let (before, after) = (before.as_deref().map(built_v1), after.as_deref().map(built_v1));
                    OwedV1::Discard(LeavingV1 {
                        tokens: tokens.iter().map(|token| (*token).into()).collect(),
                        before,
                        after,
                    })
                }
            };
            let (failures, cause) = (*failures, cause.as_deref());
            Ok(ObligationV1 { id: id.0, since: since.0, owed, due: due.0, failures, cause })
        };
        outbox.entries.iter().map(record).collect()
    }

    fn applied<'s>(&mut self, applied: &'s Applied) -> Result<AppliedV1<'s>, StateError> {
        let Applied { fingerprint, generation, task, token, seq, at, result, inputs } = applied;
        Ok(AppliedV1 {
            fingerprint: fingerprint.0,
            generation: generation.0,
            task: task.0.0,
            token: (*token).into(),
            seq: seq.0,
            at: at.0,
            result: built_v1(result),
            inputs: self.inputs(inputs)?,
        })
    }

    /// The place of these inputs among those of the collection; they are written if they have none yet.
    fn inputs(&mut self, inputs: &Arc<Inputs>) -> Result<u32, StateError> {
        let place = self.words.iter().position(|known| Arc::ptr_eq(known, inputs) || known == inputs);
        let place = match place {
            Some(place) => place,
            None => {
                let Inputs { source, spec, content } = &**inputs;
                let content = match content {
                    Content::Unversioned => ContentV1::Unversioned,
                    Content::Unknown => ContentV1::Unknown,
                    Content::Observed(observed) => ContentV1::Observed((&**observed).into()),
                };
                self.put(Item::Inputs, &WordV1 { source: source.as_str(), spec: spec.as_str(), content })?;
                self.words.push(Arc::clone(inputs));
                self.words.len() - 1
            }
        };
        u32::try_from(place).map_err(|_| StateError("a collection has too many words".to_owned()))
    }
}

fn limits_v1(limits: &Limits) -> LimitsChangedV1<'_> {
    let Limits { total, kinds, prefixes } = limits;
    LimitsChangedV1 {
        total: *total,
        kinds: kinds.iter().map(|(kind, most)| LimitV1 { of: kind.as_str(), most: *most }).collect(),
        prefixes: prefixes.iter().map(|(prefix, most)| LimitV1 { of: prefix.as_str(), most: *most }).collect(),
    }
}

fn built_v1(built: &Built) -> BuiltV1<'_> {
    let Built { manifest, segments, rows, output } = built;
    let segments = segments.map(|SegmentCounts { kept, new, dropped }| SegmentCountsV1 { kept, new, dropped });
    BuiltV1 { manifest: manifest.map(|root| root.0), segments, rows: *rows, output: output.as_deref() }
}

fn pending_v1(pending: Pending) -> PendingV1 {
    match pending {
        Pending::Settling { since, until } => PendingV1::Settling { since: since.0, until: until.0 },
        Pending::Waiting { since } => PendingV1::Waiting { since: since.0 },
        Pending::Held { since, cause, fingerprint } => {
            let cause = match cause {
                HoldCause::Empty => HoldCauseV1::Empty,
                HoldCause::MostGone { gone, of } => HoldCauseV1::MostGone { gone, of },
            };
            PendingV1::Held { since: since.0, cause, fingerprint: fingerprint.0 }
        }
    }
}

fn status_v1(status: &Status) -> StatusV1<'_> {
    match status {
        Status::Idle => StatusV1::Idle,
        Status::Waiting(waiting) => {
            let Waiting { task, not_before } = &**waiting;
            StatusV1::Waiting(WaitingV1 { task: task_v1(task), not_before: not_before.0 })
        }
        Status::Running(running) => {
            let Running { task, attempt } = &**running;
            let Attempt { number, token, worker, started, deadline, lease, duties } = attempt;
            let Duties { publish, discard } = *duties;
            StatusV1::Running(RunningV1 {
                task: task_v1(task),
                number: *number,
                token: (*token).into(),
                worker: worker.as_str(),
                started: started.0,
                deadline: deadline.map(|at| at.0),
                lease: lease.map(micros),
                publish,
                discard,
            })
        }
        Status::Parked(parked) => {
            let Parked { task, fingerprint, cause, since, last_failure } = &**parked;
            let cause = match cause {
                Parking::Failed(ParkCause::Permanent) => ParkingV1::Failed(ParkCauseV1::Permanent),
                Parking::Failed(ParkCause::OutOfAttempts) => ParkingV1::Failed(ParkCauseV1::OutOfAttempts),
                Parking::Failed(ParkCause::LostTooOften) => ParkingV1::Failed(ParkCauseV1::LostTooOften),
                Parking::Cancelled => ParkingV1::Cancelled,
            };
            StatusV1::Parked(ParkedV1 {
                task: task.0.0,
                fingerprint: fingerprint.0,
                cause,
                since: since.0,
                last_failure: last_failure.as_ref().map(failure_v1),
            })
        }
    }
}

fn task_v1(task: &Task) -> TaskV1<'_> {
    let Task { id, fingerprint, generation, rebuild, attempts, charged, lost, last_failure } = task;
    TaskV1 {
        id: id.0.0,
        fingerprint: fingerprint.0,
        generation: generation.0,
        rebuild: *rebuild,
        attempts: *attempts,
        charged: *charged,
        lost: *lost,
        last_failure: last_failure.as_ref().map(failure_v1),
    }
}

fn failure_v1(failure: &LastFailure) -> FailureV1<'_> {
    let LastFailure { reason, message, at } = failure;
    let reason = match reason {
        FailReason::Failed => FailReasonV1::Failed,
        FailReason::TimedOut => FailReasonV1::TimedOut,
        FailReason::WorkerLost => FailReasonV1::WorkerLost,
        FailReason::Panicked => FailReasonV1::Panicked,
        FailReason::SourceMoved => FailReasonV1::SourceMoved,
    };
    FailureV1 { reason, message, at: at.0 }
}

fn obligations_v1(outbox: &Outbox) -> ObligationsV1 {
    let Outbox { entries, leftovers, zombies, published, discards } = outbox;
    ObligationsV1 {
        owed: entries.len() as u64,
        leftovers: leftovers.iter().map(|token| (*token).into()).collect(),
        zombies: zombies.iter().map(|token| (*token).into()).collect(),
        published: published.map(|seq| seq.0),
        discards: *discards,
    }
}
