//! Who is next and how many may run, counted from the events alone.

use std::collections::{BTreeMap, BTreeSet};

use lastword::core::Pending;
use lastword::core::vocabulary::{
    CollectionId, Event, FailReason, Kind, Limits, Name, RefreshReason, TaskId, Timestamp, Token,
};

use super::world::World;

#[derive(Default)]
pub(crate) struct Roster {
    seen: usize,
    limits: Limits,
    of: BTreeMap<CollectionId, Member>,
    open: BTreeMap<Token, CollectionId>,
}

struct Member {
    name: Name,
    kind: Kind,
    priority: i16,
    paused: bool,
    dropped: bool,
    /// The source moved under the last attempt, and what it holds now waits for a person.
    moved: bool,
    held: bool,
    waits: Option<(TaskId, Timestamp)>,
    running: Option<(TaskId, Token)>,
}

impl Roster {
    pub(crate) fn see(&mut self, world: &World) {
        for recorded in &world.record[self.seen..] {
            if let Event::LimitsChanged { limits } = &recorded.event {
                self.limits = limits.clone();
            }
            let Some(id) = recorded.event.collection(recorded.seq) else { continue };
            if let Event::CollectionDeclared { name, kind, policy, .. } = &recorded.event {
                let (name, kind, priority) = (name.clone(), kind.clone(), policy.priority.0);
                let (paused, dropped, waits, running) = (false, false, None, None);
                let (moved, held) = (false, false);
                let member = Member { name, kind, priority, paused, dropped, moved, held, waits, running };
                self.of.insert(id, member);
            }
            let Some(member) = self.of.get_mut(&id) else { continue };
            match &recorded.event {
                Event::PolicyChanged { policy, .. } => member.priority = policy.priority.0,
                Event::CollectionPaused { .. } => member.paused = true,
                Event::CollectionResumed { .. } => member.paused = false,
                Event::CollectionDropped { .. } => member.dropped = true,
                Event::RefreshRequested { reason: RefreshReason::Asked | RefreshReason::Drift(_), .. } => {
                    member.moved = false;
                    member.waits = member.waits.map(|(task, from)| (task, from.min(recorded.at)));
                }
                Event::TaskCreated { not_before, .. } => member.waits = Some((TaskId(recorded.seq), *not_before)),
                Event::TaskStarted { task, .. } => {
                    let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                    member.waits = None;
                    member.running = Some((*task, token));
                    self.open.insert(token, id);
                    self.assert_within_limits(id);
                }
                Event::TaskCompleted { .. } => {
                    (member.running, member.waits, member.moved) = (None, None, false);
                }
                Event::AttemptFailed { task, reason, retry_at, .. } => {
                    member.moved = *reason == FailReason::SourceMoved;
                    (member.running, member.waits) = (None, Some((*task, *retry_at)));
                }
                Event::TaskAborted { .. } | Event::TaskParked { .. } => {
                    (member.running, member.waits) = (None, None);
                }
                Event::AttemptEnded { token, .. } => {
                    self.open.remove(token);
                    if let Some((task, _)) = member.running.take_if(|(_, running)| running == token) {
                        member.waits = Some((task, recorded.at));
                    }
                }
                _ => {}
            }
        }
        // Whether something is held is for other tests to check.
        for (id, collection) in world.state.collections() {
            let held = matches!(collection.pending, Some(Pending::Held { .. }));
            self.of.entry(id).and_modify(|member| member.held = held);
        }
        self.seen = world.record.len();
    }

    /// Who is to be next.
    pub(crate) fn next(&self, now: Timestamp) -> Option<CollectionId> {
        let busy: BTreeSet<CollectionId> = self.open.values().copied().collect();
        let ready = self.of.iter().filter(|(id, member)| !member.paused && !member.dropped && !busy.contains(id));
        let ready = ready.filter(|(_, member)| !(member.moved && member.held));
        let ranked = ready.filter_map(|(id, member)| {
            let (task, from) = member.waits.filter(|(_, from)| *from <= now)?;
            let free = self.scopes(member).into_iter().all(|(most, count)| count < most);
            free.then_some((i128::from(from.0) - i128::from(member.priority) * 60_000_000, task, *id))
        });
        ranked.min().map(|(_, _, id)| id)
    }

    fn assert_within_limits(&self, id: CollectionId) {
        for (most, count) in self.scopes(&self.of[&id]) {
            assert!(count <= most, "{count} attempts under a limit of {most}");
        }
    }

    /// The limits that hold for a collection, and how many attempts count for each.
    fn scopes(&self, member: &Member) -> Vec<(u32, u32)> {
        let count = |counts: &dyn Fn(&Member) -> bool| {
            u32::try_from(self.open.values().filter(|id| counts(&self.of[id])).count()).unwrap()
        };
        let mut scopes: Vec<_> = self.limits.total.map(|most| (most, count(&|_| true))).into_iter().collect();
        if let Some(most) = self.limits.kinds.get(&member.kind) {
            scopes.push((*most, count(&|other| other.kind == member.kind)));
        }
        for (prefix, most) in &self.limits.prefixes {
            if member.name.as_str().starts_with(prefix.as_str()) {
                scopes.push((*most, count(&|other| other.name.as_str().starts_with(prefix.as_str()))));
            }
        }
        scopes
    }
}
