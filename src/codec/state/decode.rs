//! From items back to a state. What comes back is checked like an event is, and its indices are made anew.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bincode::BorrowDecode;

use super::records::*;
use super::{ITEM_HEADER_LENGTH, Item, STATE_VERSION, StateError};
use crate::codec::records::{
    AttemptV1, FailReasonV1, HoldCauseV1, LimitsChangedV1, ParkCauseV1, PolicyV1, PolicyV2, SegmentCountsV1, TokenV1,
};
use crate::core::vocabulary::{
    AttemptRef, Built, CollectionId, Content, Duties, Epoch, FailReason, Fingerprint, Generation, HoldCause, Inputs,
    Kind, Limits, Name, ObjectHash, ParkCause, PathSetRef, Policy, SegmentCounts, Seq, Source, SourceState, Spec,
    TaskId, Timestamp, Token, Version, WorkerName,
};
use crate::core::{
    Applied, Attempt, Collection, DiscardSet, Draining, LastFailure, Orphan, Outbox, OutboxEntry, OutboxItem, Parked,
    Parking, Pending, Restored, Running, State, Status, Task, Unobservable, Waiting, Wanted,
};

/// Reads a state of the version that is written now from its items.
///
/// # Errors
/// When the bytes are not exactly those of a state.
pub fn decode_state(bytes: &[u8]) -> Result<State, StateError> {
    decode_state_of(STATE_VERSION, bytes)
}

/// Reads a state of any version from its items.
///
/// # Errors
/// When the bytes are not exactly those of a state of that version, or there is no such version.
pub fn decode_state_of(version: u16, bytes: &[u8]) -> Result<State, StateError> {
    if version == 0 || version > STATE_VERSION {
        return Err(refused(&format_args!("there is no version {version}")));
    }
    let mut reader = Reader { rest: bytes };
    let Some((Item::Head, head)) = reader.next()? else { return Err(refused(&"it does not begin with its head")) };
    let HeadV1 { last, epoch, at, limits } = read(head)?;
    let mut restored = Restored {
        last: Seq(last),
        epoch: Epoch(epoch),
        at: Timestamp(at),
        limits: limits_of(&limits)?,
        collections: BTreeMap::new(),
        orphans: BTreeMap::new(),
        draining: BTreeMap::new(),
    };
    let mut words = Vec::new();
    while let Some((item, record)) = reader.next()? {
        match item {
            Item::Inputs => words.push(Arc::new(word_of(&read(record)?)?)),
            Item::Collection => {
                let record = if version == 1 { first_version(read(record)?) } else { read(record)? };
                let (id, collection) = reader.collection(record, &words)?;
                words.clear();
                put(&mut restored.collections, id, Box::new(collection))?;
            }
            Item::Orphan => {
                let (id, orphan) = reader.orphan(read(record)?, &words)?;
                words.clear();
                put(&mut restored.orphans, id, orphan)?;
            }
            Item::Draining => {
                let draining = draining_of(&read(record)?);
                put(&mut restored.draining, draining.attempt.token, draining)?;
            }
            Item::End => {
                reader.end(&read(record)?, &restored)?;
                return State::restore(restored).map_err(|problem| refused(&problem));
            }
            Item::Head | Item::OutboxEntry => return Err(refused(&format_args!("{item:?} stands in a wrong place"))),
        }
    }
    Err(refused(&"it has no end"))
}

/// Ids ascend, so that one state has one encoding and nothing comes twice.
fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) -> Result<(), StateError> {
    if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
        return Err(refused(&"its items are not in order"));
    }
    map.insert(key, value);
    Ok(())
}

fn refused(problem: &dyn fmt::Display) -> StateError {
    StateError(problem.to_string())
}

fn checked<T, E: fmt::Display>(result: Result<T, E>) -> Result<T, StateError> {
    result.map_err(|error| refused(&error))
}

fn read<'a, R: BorrowDecode<'a, ()>>(record: &'a [u8]) -> Result<R, StateError> {
    checked(crate::codec::take_all(record))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Item, &'a [u8])>, StateError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Some((head, rest)) = self.rest.split_first_chunk::<ITEM_HEADER_LENGTH>() else {
            return Err(refused(&"it is cut short"));
        };
        let [tag, length @ ..] = *head;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let Some((record, behind)) = rest.split_at_checked(length) else { return Err(refused(&"it is cut short")) };
        let item = match tag {
            1 => Item::Head,
            2 => Item::Inputs,
            3 => Item::Collection,
            4 => Item::OutboxEntry,
            5 => Item::Orphan,
            6 => Item::Draining,
            7 => Item::End,
            _ => return Err(refused(&format_args!("there is no item {tag}"))),
        };
        self.rest = behind;
        Ok(Some((item, record)))
    }

    fn collection(
        &mut self,
        CollectionV2 { before: record, panics, crashes }: CollectionV2<'a>,
        words: &[Arc<Inputs>],
    ) -> Result<(CollectionId, Collection), StateError> {
        let wanted = match record.wanted {
            Some(WantedV1 { fingerprint, inputs }) => {
                let inputs = word_at(words, inputs)?;
                if inputs.fingerprint() != Some(Fingerprint(fingerprint)) {
                    return Err(refused(&"a fingerprint is not that of its word"));
                }
                Some(Wanted { fingerprint: Fingerprint(fingerprint), inputs })
            }
            None => None,
        };
        let collection = Collection {
            name: checked(Name::new(record.name))?,
            kind: checked(Kind::new(record.kind))?,
            versioned: record.versioned,
            policy: Policy::from(record.policy).shared(),
            revision: record.revision,
            latest: word_at(words, record.latest)?,
            wanted,
            generation: Generation(record.generation),
            rebuild: record.rebuild,
            applied: record.applied.map(|applied| applied_of(applied, words).map(Box::new)).transpose()?,
            pending: record.pending.map(pending_of),
            status: status_of(record.status)?,
            last_input: Seq(record.last_input),
            paused: record.paused,
            failures: record.failures,
            moves: record.moves,
            panics,
            crashes,
            draining: record.draining,
            unapplied_since: record.unapplied_since.map(Timestamp),
            unobservable: record.unobservable.map(|UnobservableV1 { since, cause }| {
                Box::new(Unobservable { since: Timestamp(since), cause: cause.into() })
            }),
            refreshed: Seq(record.refreshed),
            resync_at: record.resync_at.map(Timestamp),
            outbox: record.obligations.map(|record| self.outbox(record, words).map(Box::new)).transpose()?,
        };
        Ok((CollectionId(Seq(record.id)), collection))
    }

    fn orphan(&mut self, record: OrphanV1<'a>, words: &[Arc<Inputs>]) -> Result<(CollectionId, Orphan), StateError> {
        let orphan = Orphan {
            name: checked(Name::new(record.name))?,
            kind: checked(Kind::new(record.kind))?,
            draining: record.draining,
            outbox: self.outbox(record.obligations, words)?,
        };
        Ok((CollectionId(Seq(record.id)), orphan))
    }

    /// The outbox, whose entries follow.
    fn outbox(&mut self, record: ObligationsV1, words: &[Arc<Inputs>]) -> Result<Outbox, StateError> {
        let ObligationsV1 { owed: count, leftovers, zombies, published, discards } = record;
        let mut entries = VecDeque::new();
        for _ in 0..count {
            let Some((Item::OutboxEntry, record)) = self.next()? else {
                return Err(refused(&"an outbox entry is missing"));
            };
            entries.push_back(entry_of(read(record)?, words)?);
        }
        let published = published.map(Seq);
        Ok(Outbox { entries, leftovers: tokens_of(leftovers), zombies: tokens_of(zombies), published, discards })
    }

    fn end(&self, record: &EndV1, restored: &Restored) -> Result<(), StateError> {
        let found = [restored.collections.len(), restored.orphans.len(), restored.draining.len()];
        let stated = [record.collections, record.orphans, record.draining];
        if found.map(|count| count as u64) != stated || !self.rest.is_empty() {
            return Err(refused(&"its end does not say what it holds"));
        }
        Ok(())
    }
}

/// What a state of the first version did not count had not happened.
fn first_version(record: CollectionOf<'_, PolicyV1>) -> CollectionV2<'_> {
    let CollectionOf { id, name, kind, versioned, policy, revision, latest, wanted, generation, rebuild, .. } = record;
    let CollectionOf { applied, pending, status, last_input, paused, failures, moves, draining, .. } = record;
    let CollectionOf { unapplied_since, unobservable, refreshed, resync_at, obligations, .. } = record;
    let before = CollectionOf {
        id,
        name,
        kind,
        versioned,
        policy: PolicyV2::from(policy),
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
        draining,
        unapplied_since,
        unobservable,
        refreshed,
        resync_at,
        obligations,
    };
    CollectionV2 { before, panics: 0, crashes: 0 }
}

fn limits_of(record: &LimitsChangedV1<'_>) -> Result<Limits, StateError> {
    let mut limits = Limits { total: record.total, ..Limits::default() };
    for limit in &record.kinds {
        limits.kinds.insert(checked(Kind::new(limit.of))?, limit.most);
    }
    for limit in &record.prefixes {
        limits.prefixes.insert(checked(Name::new(limit.of))?, limit.most);
    }
    Ok(limits)
}

fn word_of(record: &WordV1<'_>) -> Result<Inputs, StateError> {
    let content = match &record.content {
        ContentV1::Unversioned => Content::Unversioned,
        ContentV1::Unknown => Content::Unknown,
        ContentV1::Observed(observed) => {
            let version = checked(Version::new(observed.version))?;
            let set = observed.set.as_ref();
            let set = set.map(|s| PathSetRef { root: ObjectHash(s.root), files: s.files, bytes: s.bytes });
            Content::Observed(Arc::new(SourceState { version, set }))
        }
    };
    Ok(Inputs {
        source: checked(Source::recorded(record.source))?,
        spec: checked(Spec::recorded(record.spec))?,
        content,
    })
}

fn word_at(words: &[Arc<Inputs>], place: u32) -> Result<Arc<Inputs>, StateError> {
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    words.get(place).cloned().ok_or_else(|| refused(&"inputs are missing"))
}

fn applied_of(record: AppliedV1<'_>, words: &[Arc<Inputs>]) -> Result<Applied, StateError> {
    let AppliedV1 { fingerprint, generation, task, token, seq, at, result, inputs } = record;
    Ok(Applied {
        fingerprint: Fingerprint(fingerprint),
        generation: Generation(generation),
        task: TaskId(Seq(task)),
        token: token.into(),
        seq: Seq(seq),
        at: Timestamp(at),
        result: built_of(result),
        inputs: word_at(words, inputs)?,
    })
}

fn built_of(record: BuiltV1<'_>) -> Arc<Built> {
    let BuiltV1 { manifest, segments, rows, output } = record;
    let segments = segments.map(|SegmentCountsV1 { kept, new, dropped }| SegmentCounts { kept, new, dropped });
    Built { manifest: manifest.map(ObjectHash), segments, rows, output: output.map(Into::into) }.shared()
}

fn pending_of(record: PendingV1) -> Pending {
    match record {
        PendingV1::Settling { since, until } => Pending::Settling { since: Timestamp(since), until: Timestamp(until) },
        PendingV1::Waiting { since } => Pending::Waiting { since: Timestamp(since) },
        PendingV1::Held { since, cause, fingerprint } => {
            let cause = match cause {
                HoldCauseV1::Empty => HoldCause::Empty,
                HoldCauseV1::MostGone { gone, of } => HoldCause::MostGone { gone, of },
            };
            Pending::Held { since: Timestamp(since), cause, fingerprint: Fingerprint(fingerprint) }
        }
    }
}

fn status_of(record: StatusV1<'_>) -> Result<Status, StateError> {
    Ok(match record {
        StatusV1::Idle => Status::Idle,
        StatusV1::Waiting(WaitingV1 { task, not_before }) => {
            Status::Waiting(Box::new(Waiting { task: task_of(task), not_before: Timestamp(not_before) }))
        }
        StatusV1::Running(record) => {
            let attempt = Attempt {
                number: record.number,
                token: record.token.into(),
                worker: checked(WorkerName::new(record.worker))?,
                started: Timestamp(record.started),
                deadline: record.deadline.map(Timestamp),
                lease: record.lease.map(Duration::from_micros),
                duties: Duties { publish: record.publish, discard: record.discard },
            };
            Status::Running(Box::new(Running { task: task_of(record.task), attempt }))
        }
        StatusV1::Parked(ParkedV1 { task, fingerprint, cause, since, last_failure }) => {
            let cause = match cause {
                ParkingV1::Failed(ParkCauseV1::Permanent) => Parking::Failed(ParkCause::Permanent),
                ParkingV1::Failed(ParkCauseV1::OutOfAttempts) => Parking::Failed(ParkCause::OutOfAttempts),
                ParkingV1::Failed(ParkCauseV1::LostTooOften) => Parking::Failed(ParkCause::LostTooOften),
                ParkingV1::Cancelled => Parking::Cancelled,
            };
            Status::Parked(Box::new(Parked {
                task: TaskId(Seq(task)),
                fingerprint: Fingerprint(fingerprint),
                cause,
                since: Timestamp(since),
                last_failure: last_failure.map(failure_of),
            }))
        }
    })
}

fn task_of(record: TaskV1<'_>) -> Task {
    let TaskV1 { id, fingerprint, generation, rebuild, attempts, charged, lost, last_failure } = record;
    Task {
        id: TaskId(Seq(id)),
        fingerprint: Fingerprint(fingerprint),
        generation: Generation(generation),
        rebuild,
        attempts,
        charged,
        lost,
        last_failure: last_failure.map(failure_of),
    }
}

fn failure_of(record: FailureV1<'_>) -> LastFailure {
    let FailureV1 { reason, message, at } = record;
    let reason = match reason {
        FailReasonV1::Failed => FailReason::Failed,
        FailReasonV1::TimedOut => FailReason::TimedOut,
        FailReasonV1::WorkerLost => FailReason::WorkerLost,
        FailReasonV1::Panicked => FailReason::Panicked,
        FailReasonV1::SourceMoved => FailReason::SourceMoved,
    };
    LastFailure { reason, message: message.into(), at: Timestamp(at) }
}

fn entry_of(record: ObligationV1<'_>, words: &[Arc<Inputs>]) -> Result<OutboxEntry, StateError> {
    let ObligationV1 { id, since, owed, due, failures, cause } = record;
    let item = match owed {
        OwedV1::Publish(applied) => OutboxItem::Publish(Box::new(applied_of(applied, words)?)),
        OwedV1::Discard(LeavingV1 { tokens, before, after }) => OutboxItem::Discard(Box::new(DiscardSet {
            tokens: tokens_of(tokens),
            before: before.map(built_of),
            after: after.map(built_of),
        })),
    };
    let (since, due, cause) = (Timestamp(since), Timestamp(due), cause.map(Into::into));
    Ok(OutboxEntry { id: Seq(id), since, item, due, failures, cause })
}

fn tokens_of(records: Vec<TokenV1>) -> Vec<Token> {
    records.into_iter().map(Into::into).collect()
}

fn draining_of(record: &DrainingV1) -> Draining {
    let DrainingV1 { attempt, grace_until, leased, leaves } = record;
    let AttemptV1 { collection, task, attempt, token } = attempt;
    let token = Token { epoch: Epoch(token.epoch), seq: Seq(token.seq) };
    let (collection, task) = (CollectionId(Seq(*collection)), TaskId(Seq(*task)));
    let attempt = AttemptRef { collection, task, attempt: *attempt, token };
    Draining { attempt, grace_until: grace_until.map(Timestamp), leased: *leased, leaves: *leaves }
}
