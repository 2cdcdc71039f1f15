//! How an event changes the state, and how the indices follow.

use super::indices::{Entry, Indices};
use super::ready::Owner;
use super::{Draining, Orphan, State};
use crate::core::collection::Collection;
use crate::core::vocabulary::{AttemptRef, CollectionId, EndReason, Event, Recorded, Seq, Timestamp};

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
        self.indices.ready.advance(recorded.at);
        Ok(())
    }

    pub(super) fn apply(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        let Some(id) = recorded.event.collection(recorded.seq) else {
            return self.apply_control(recorded);
        };
        match &recorded.event {
            Event::CollectionDeclared { name, .. } => {
                let collection = Box::new(Collection::declared(recorded)?);
                if self.id_of(name).is_some() {
                    return Err("its name is taken");
                }
                self.indices.names.insert(name, id);
                let owner = Owner { kind: &collection.kind, name: &collection.name, limits: &self.limits };
                self.indices.replace(id, owner, Entry::default(), Entry::of(id, &collection));
                self.collections.insert(id, collection);
                Ok(())
            }
            Event::CollectionDropped { .. } => self.drop_collection(id, recorded),
            // These may come after the collection is gone.
            Event::AttemptEnded { task, attempt, token, reason, .. } => {
                let ended = AttemptRef { collection: id, task: *task, attempt: *attempt, token: *token };
                if self.collections.contains_key(&id) {
                    self.end_attempt(ended, *reason, recorded)
                } else {
                    self.end_orphaned(ended, *reason, recorded)
                }
            }
            Event::CompletionRejected { token, .. } if !self.collections.contains_key(&id) => {
                if !self.orphans.contains_key(&id) {
                    return Ok(());
                }
                self.change_orphan(id, |orphan| {
                    orphan.outbox.zombie_returned(*token, (recorded.seq, recorded.at), None);
                    Ok(())
                })
            }
            Event::PublishFailed { .. } | Event::Discarded { .. } if !self.collections.contains_key(&id) => {
                self.change_orphan(id, |orphan| orphan.outbox.fold(recorded))
            }
            _ => {
                let drains = self.change(id, |collection| {
                    let draining = collection.status.running().map(|running| Draining {
                        attempt: running.attempt_of(id),
                        grace_until: grace_of(&recorded.event),
                        leased: running.attempt.lease.is_some(),
                        leaves: running.attempt.duties.discard
                            && !matches!(recorded.event, Event::TaskCompleted { .. }),
                    });
                    collection.fold(recorded)?;
                    let draining = draining.filter(|_| collection.status.attempt().is_none());
                    collection.draining += u32::from(draining.is_some());
                    Ok(draining)
                })?;
                if let Some(draining) = drains {
                    self.indices.start_draining(&draining);
                    self.draining.insert(draining.attempt.token, draining);
                }
                Ok(())
            }
        }
    }

    /// Events that are about no collection.
    fn apply_control(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        match &recorded.event {
            Event::WriterOpened { .. } => {
                // The process of abandoned attempts is gone. That of a leased one may live on, but a worker that was
                // silent for that long is not waited for any more.
                let event = (recorded.seq, recorded.at);
                for id in self.indices.with_zombies.clone() {
                    let buried = self.change(id, |collection| {
                        collection.retire_zombies(event);
                        Ok(())
                    });
                    buried.or_else(|_| {
                        self.change_orphan(id, |orphan| {
                            orphan.outbox.retire_zombies(event, None);
                            Ok(())
                        })
                    })?;
                }
            }
            Event::LimitsChanged { limits } => {
                self.limits = limits.clone();
                let (orphans, draining) = (&self.orphans, &self.draining);
                self.indices = Indices::of((self.at, &self.limits), &self.collections, orphans, draining)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn drop_collection(&mut self, id: CollectionId, recorded: &Recorded) -> Result<(), &'static str> {
        let mut collection = self.collections.remove(&id).ok_or("there is no such collection")?;
        let before = Entry::of(id, &collection);
        collection.fold(recorded)?;
        let outbox = collection.take_outbox(recorded.seq, recorded.at);
        let Collection { name, kind, draining, .. } = *collection;
        self.indices.names.remove(&name, id);
        self.leave_orphan(id, Orphan { name, kind, draining, outbox }, before);
        Ok(())
    }

    fn end_attempt(&mut self, ended: AttemptRef, reason: EndReason, recorded: &Recorded) -> Result<(), &'static str> {
        let id = ended.collection;
        let running = self.collections.get(&id).and_then(|collection| collection.status.running());
        let live = running.filter(|running| running.attempt_of(id) == ended).map(|running| &running.attempt);
        let (was_live, leaves, leased) = match live {
            Some(attempt) => (true, attempt.duties.discard, attempt.lease.is_some()),
            None => {
                let Draining { leaves, leased, .. } = self.stop_draining(ended)?;
                (false, leaves, leased)
            }
        };
        self.change(id, |collection| {
            let drained = u32::from(!was_live);
            collection.draining = collection.draining.checked_sub(drained).ok_or("nothing is draining")?;
            collection.fold(recorded)?;
            if leaves {
                collection.add_leftover(ended.token, may_go_on(reason, leased), (recorded.seq, recorded.at));
            }
            collection.discard_leftovers(recorded.seq, recorded.at);
            Ok(())
        })
    }

    /// An attempt of a dropped collection has ended: what it made can be discarded at once.
    fn end_orphaned(&mut self, ended: AttemptRef, reason: EndReason, recorded: &Recorded) -> Result<(), &'static str> {
        let Draining { leaves, leased, .. } = self.stop_draining(ended)?;
        self.change_orphan(ended.collection, |orphan| {
            orphan.draining = orphan.draining.checked_sub(1).ok_or("nothing is draining")?;
            if leaves {
                let event = (recorded.seq, recorded.at);
                if may_go_on(reason, leased) {
                    orphan.outbox.add_zombie(ended.token, event, None);
                } else {
                    orphan.outbox.add_leftover(ended.token);
                }
                orphan.outbox.discard(event, None, None);
            }
            Ok(())
        })
    }

    fn stop_draining(&mut self, ended: AttemptRef) -> Result<Draining, &'static str> {
        let draining = self.draining.remove(&ended.token).ok_or("there is no such attempt")?;
        if draining.attempt != ended {
            return Err("the token is another attempt's");
        }
        self.indices.stop_draining(&draining);
        Ok(draining)
    }

    /// Changes a collection in its place, and the indices with it.
    fn change<T>(
        &mut self,
        id: CollectionId,
        change: impl FnOnce(&mut Collection) -> Result<T, &'static str>,
    ) -> Result<T, &'static str> {
        let collection = self.collections.get_mut(&id).ok_or("there is no such collection")?;
        let before = Entry::of(id, collection);
        let changed = change(collection)?;
        let owner = Owner { kind: &collection.kind, name: &collection.name, limits: &self.limits };
        self.indices.replace(id, owner, before, Entry::of(id, collection));
        Ok(changed)
    }

    fn change_orphan(
        &mut self,
        id: CollectionId,
        change: impl FnOnce(&mut Orphan) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let mut orphan = self.orphans.remove(&id).ok_or("there is no such collection")?;
        let before = Entry::of_orphan(&orphan);
        change(&mut orphan)?;
        self.leave_orphan(id, orphan, before);
        Ok(())
    }

    /// Keeps what is left of a dropped collection for as long as something is left.
    fn leave_orphan(&mut self, id: CollectionId, orphan: Orphan, before: Entry) {
        let owner = Owner { kind: &orphan.kind, name: &orphan.name, limits: &self.limits };
        let stays = orphan.draining > 0 || !orphan.outbox.is_finished();
        let after = if stays { Entry::of_orphan(&orphan) } else { Entry::default() };
        self.indices.replace(id, owner, before, after);
        if stays {
            self.orphans.insert(id, orphan);
        }
    }
}

/// Whether an attempt that ended for this reason may go on all the same. Of a leased one it is only known that its worker is
/// silent.
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
