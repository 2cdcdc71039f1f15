//! How an event changes the state, and how the indices follow.

use super::ready::{Place, Ready};
use super::{Draining, Orphan, State};
use crate::core::collection::{Collection, Pending};
use crate::core::obligations::Obligations;
use crate::core::status::Status;
use crate::core::vocabulary::{AttemptRef, CollectionId, Deadline, EndReason, Event, Recorded, Seq, Timestamp};

impl State {
    /// Epoch, order and time hold for every event alike.
    pub(super) fn advance(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        if recorded.seq != self.last.next() {
            return Err("its sequence number is not the next");
        }
        if recorded.at < self.at {
            return Err("its time goes back");
        }
        match recorded.event {
            Event::WriterOpened { .. } if recorded.epoch <= self.epoch => return Err("its epoch is not a new one"),
            Event::WriterOpened { .. } => self.epoch = recorded.epoch,
            _ if self.last == Seq::ZERO => return Err("no writer has opened the log"),
            _ if recorded.epoch != self.epoch => return Err("its epoch is not the one that is open"),
            _ => {}
        }
        self.last = recorded.seq;
        self.at = recorded.at;
        self.ready.advance(recorded.at);
        Ok(())
    }

    pub(super) fn apply(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        let Some(id) = recorded.event.collection(recorded.seq) else {
            self.apply_control(recorded);
            return Ok(());
        };
        match &recorded.event {
            Event::CollectionDeclared { name, .. } => {
                let collection = Collection::declared(recorded)?;
                if self.names.insert(name.clone(), id).is_some() {
                    return Err("its name is taken");
                }
                self.insert(id, collection);
                Ok(())
            }
            Event::CollectionDropped { .. } => {
                let mut collection = self.remove(id).ok_or("there is no such collection")?;
                collection.fold(recorded)?;
                self.names.remove(&collection.name);
                let obligations = collection.dropped(recorded.seq, recorded.at);
                let Collection { name, kind, draining, .. } = collection;
                self.insert_orphan(id, Orphan { name, kind, draining, obligations });
                Ok(())
            }
            // These may come after the collection is gone.
            Event::AttemptEnded { task, attempt, token, reason, .. } => {
                let ended = AttemptRef { collection: id, task: *task, attempt: *attempt, token: *token };
                match self.remove(id) {
                    Some(collection) => self.end_attempt(collection, ended, *reason, recorded),
                    None => self.end_orphaned(ended, *reason, recorded),
                }
            }
            Event::CompletionRejected { token, .. } if !self.collections.contains_key(&id) => {
                let mut orphan = self.remove_orphan(id);
                if let Some(orphan) = &mut orphan {
                    orphan.obligations.came_back(*token, (recorded.seq, recorded.at), None);
                }
                orphan.into_iter().for_each(|orphan| self.insert_orphan(id, orphan));
                Ok(())
            }
            Event::PublishFailed { .. } | Event::Discarded { .. } if !self.collections.contains_key(&id) => {
                let mut orphan = self.remove_orphan(id).ok_or("there is no such collection")?;
                orphan.obligations.fold(recorded)?;
                self.insert_orphan(id, orphan);
                Ok(())
            }
            _ => {
                let mut collection = self.remove(id).ok_or("there is no such collection")?;
                let before = collection.status.running().map(|running| Draining {
                    attempt: running.attempt_of(id),
                    grace_until: grace_of(&recorded.event),
                    leased: running.attempt.lease.is_some(),
                    leaves: running.attempt.duties.discard && !matches!(recorded.event, Event::TaskCompleted { .. }),
                });
                collection.fold(recorded)?;
                match (before, collection.status.attempt()) {
                    (Some(draining), None) => {
                        collection.draining += 1;
                        self.start_draining(draining);
                    }
                    (None, Some(_)) => self.ready.occupy(&collection.kind, &collection.name, &self.limits),
                    (Some(_), Some(_)) | (None, None) => {}
                }
                self.insert(id, collection);
                Ok(())
            }
        }
    }

    /// Events that are about no collection.
    fn apply_control(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::WriterOpened { .. } => {
                // The processes of abandoned attempts are gone. Those that were others' may not be: but whoever was
                // silent for that long is not waited for any more.
                let event = (recorded.seq, recorded.at);
                for id in std::mem::take(&mut self.haunted) {
                    if let Some(mut collection) = self.remove(id) {
                        collection.bury_zombies(event);
                        self.insert(id, collection);
                    } else if let Some(mut orphan) = self.remove_orphan(id) {
                        orphan.obligations.bury_zombies(event, None);
                        self.insert_orphan(id, orphan);
                    }
                }
            }
            Event::LimitsChanged { limits } => {
                self.limits = limits.clone();
                self.ready = self.expected_ready();
            }
            _ => {}
        }
    }

    fn end_attempt(
        &mut self,
        mut collection: Collection,
        ended: AttemptRef,
        reason: EndReason,
        recorded: &Recorded,
    ) -> Result<(), &'static str> {
        let id = ended.collection;
        let live = collection.status.running().filter(|running| running.attempt_of(id) == ended);
        let (leaves, leased) = match live.map(|running| &running.attempt) {
            Some(attempt) => (attempt.duties.discard, attempt.lease.is_some()),
            None => {
                collection.draining = collection.draining.checked_sub(1).ok_or("nothing is draining")?;
                let Draining { leaves, leased, .. } = self.stop_draining(ended)?;
                (leaves, leased)
            }
        };
        self.ready.vacate(&collection.kind, &collection.name, &self.limits);
        collection.fold(recorded)?;
        if leaves {
            collection.leave(ended.token, may_go_on(reason, leased), (recorded.seq, recorded.at));
        }
        collection.discard_leftovers(recorded.seq, recorded.at);
        self.insert(id, collection);
        Ok(())
    }

    /// An attempt of a dropped collection has ended: what it made can be discarded at once.
    fn end_orphaned(&mut self, ended: AttemptRef, reason: EndReason, recorded: &Recorded) -> Result<(), &'static str> {
        let Draining { leaves, leased, .. } = self.stop_draining(ended)?;
        let mut orphan = self.remove_orphan(ended.collection).ok_or("there is no such collection")?;
        orphan.draining = orphan.draining.checked_sub(1).ok_or("nothing is draining")?;
        self.ready.vacate(&orphan.kind, &orphan.name, &self.limits);
        if leaves {
            let event = (recorded.seq, recorded.at);
            if may_go_on(reason, leased) {
                orphan.obligations.haunt(ended.token, event, None);
            } else {
                orphan.obligations.leave(ended.token);
            }
            orphan.obligations.discard(event, None, None);
        }
        self.insert_orphan(ended.collection, orphan);
        Ok(())
    }

    fn start_draining(&mut self, draining: Draining) {
        let token = draining.attempt.token;
        if let Some(until) = draining.grace_until {
            self.deadlines.insert((until, Deadline::Grace(token)));
        }
        self.drains.insert((draining.attempt.collection, token));
        self.draining.insert(token, draining);
    }

    fn stop_draining(&mut self, ended: AttemptRef) -> Result<Draining, &'static str> {
        let draining = self.draining.remove(&ended.token).ok_or("there is no such attempt")?;
        if draining.attempt != ended {
            return Err("the token is another attempt's");
        }
        self.drains.remove(&(ended.collection, ended.token));
        if let Some(until) = draining.grace_until {
            self.deadlines.remove(&(until, Deadline::Grace(ended.token)));
        }
        Ok(draining)
    }

    /// Takes a collection out, together with what the indices say of it.
    fn remove(&mut self, id: CollectionId) -> Option<Collection> {
        let collection = self.collections.remove(&id)?;
        if let Some(place) = place_of(id, &collection) {
            self.ready.remove(&place, &self.limits);
        }
        for deadline in deadlines_of(id, &collection).into_iter().flatten() {
            self.deadlines.remove(&deadline);
        }
        self.index_owed(id, collection.obligations.as_deref(), false);
        Some(collection)
    }

    fn insert(&mut self, id: CollectionId, collection: Collection) {
        if let Some(place) = place_of(id, &collection) {
            self.ready.insert(&place, &self.limits);
        }
        self.deadlines.extend(deadlines_of(id, &collection).into_iter().flatten());
        self.index_owed(id, collection.obligations.as_deref(), true);
        self.collections.insert(id, collection);
    }

    fn remove_orphan(&mut self, id: CollectionId) -> Option<Orphan> {
        let orphan = self.orphans.remove(&id)?;
        self.index_owed(id, Some(&orphan.obligations), false);
        Some(orphan)
    }

    /// Keeps what is left of a dropped collection for as long as something is left.
    fn insert_orphan(&mut self, id: CollectionId, orphan: Orphan) {
        if orphan.draining > 0 || !orphan.obligations.is_settled() {
            self.index_owed(id, Some(&orphan.obligations), true);
            self.orphans.insert(id, orphan);
        }
    }

    fn index_owed(&mut self, id: CollectionId, obligations: Option<&Obligations>, add: bool) {
        let Some(obligations) = obligations else { return };
        if let Some(due) = obligations.first().map(|first| first.due) {
            if add {
                self.owed.insert((due, id))
            } else {
                self.owed.remove(&(due, id))
            };
        }
        if !obligations.zombies.is_empty() {
            if add {
                self.haunted.insert(id)
            } else {
                self.haunted.remove(&id)
            };
        }
    }

    /// The index of what is ready, made from the rest.
    pub(super) fn expected_ready(&self) -> Ready {
        let mut ready = Ready::default();
        ready.advance(self.at);
        for (id, collection) in &self.collections {
            if let Some(place) = place_of(*id, collection) {
                ready.insert(&place, &self.limits);
            }
            let running = u32::from(collection.status.attempt().is_some());
            for _ in 0..collection.draining + running {
                ready.occupy(&collection.kind, &collection.name, &self.limits);
            }
        }
        for orphan in self.orphans.values() {
            (0..orphan.draining).for_each(|_| ready.occupy(&orphan.kind, &orphan.name, &self.limits));
        }
        ready
    }
}

/// The place of the collection's task among those that may start, unless something else has to happen first.
pub(super) fn place_of(id: CollectionId, collection: &Collection) -> Option<Place<'_>> {
    match &collection.status {
        Status::Waiting(waiting) if collection.may_start().is_ok() => Some(Place {
            kind: &collection.kind,
            name: &collection.name,
            priority: collection.policy.priority,
            not_before: waiting.not_before,
            task: waiting.task.id,
            id,
        }),
        Status::Waiting(_) | Status::Idle | Status::Running(_) | Status::Parked(_) => None,
    }
}

/// What is to happen to the collection at a time of its own.
pub(super) fn deadlines_of(id: CollectionId, collection: &Collection) -> [Option<(Timestamp, Deadline)>; 3] {
    let settled = match collection.pending {
        Some(Pending::Settling { until, .. }) => Some((until, Deadline::Settled(id))),
        Some(Pending::Waiting { .. } | Pending::Held { .. }) | None => None,
    };
    let attempt = collection.status.attempt().and_then(|attempt| attempt.deadline);
    let attempt = attempt.map(|deadline| (deadline, Deadline::Attempt(id)));
    [settled, attempt, collection.resync_at.map(|at| (at, Deadline::Resync(id)))]
}

/// Whether an attempt that ended for this reason may go on all the same. Nobody knows of another process more than that it
/// is silent.
fn may_go_on(reason: EndReason, leased: bool) -> bool {
    match reason {
        EndReason::Acknowledged => false,
        EndReason::Abandoned => true,
        EndReason::Lost => leased,
    }
}

fn grace_of(event: &Event) -> Option<Timestamp> {
    match event {
        Event::TaskAborted { stopping, .. } => stopping.map(|stopping| stopping.grace_until),
        Event::AttemptFailed { grace_until, .. } => *grace_until,
        _ => None,
    }
}
