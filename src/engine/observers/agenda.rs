//! When each source is due, by the domain that it belongs to: what is due first is found without asking all of a domain
//! that has no thread.
//!
//! *Architecture invariant:* it orders. What is due, and for how long, is told to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::vocabulary::{CollectionId, Seq, Timestamp};
use crate::engine::crew::Domain;

/// One thing that is due.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    pub(super) id: CollectionId,
    pub(super) domain: Domain,
}

#[derive(Default)]
pub(super) struct Agenda {
    by_domain: BTreeMap<Domain, BTreeSet<(Timestamp, CollectionId)>>,
}

impl Agenda {
    pub(super) fn insert(&mut self, due: &Due) {
        self.by_domain.entry(due.domain.clone()).or_default().insert((due.at, due.id));
    }

    pub(super) fn remove(&mut self, due: &Due) {
        if let Some(of_domain) = self.by_domain.get_mut(&due.domain) {
            of_domain.remove(&(due.at, due.id));
            if of_domain.is_empty() {
                self.by_domain.remove(&due.domain);
            }
        }
    }

    /// How much has been due for `span` or longer at `now`.
    pub(super) fn count_due_before(&self, now: Timestamp, span: Duration) -> usize {
        let is_late = |at: &Timestamp| at.after(span) <= now;
        self.by_domain.values().map(|due| due.iter().take_while(|(at, _)| is_late(at)).count()).sum()
    }

    /// When the first of a domain is due that is due between two times.
    pub(super) fn first_between(&self, domain: &str, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let first = (from, CollectionId(Seq::ZERO));
        self.by_domain.get(domain)?.range(first..).next().map(|(at, _)| *at).filter(|at| *at <= to)
    }

    /// What begins first, and when: `room_at` says when a domain has room, if it will.
    pub(super) fn first(&self, room_at: impl Fn(&Domain) -> Option<Timestamp>) -> Option<(Timestamp, Due)> {
        let firsts = self.by_domain.iter().filter_map(|(domain, due)| due.first().map(|(at, id)| (*at, *id, domain)));
        let begins = firsts.filter_map(|(at, id, domain)| Some((at.max(room_at(domain)?), at, id, domain)));
        let (begins, at, id, domain) = begins.min_by_key(|(begins, at, id, _)| (*begins, *at, *id))?;
        Some((begins, Due { at, id, domain: Domain::clone(domain) }))
    }
}
