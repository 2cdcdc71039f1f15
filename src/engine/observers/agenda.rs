//! When each source is due, by the domain that it belongs to: what is due first is found without asking all of a domain
//! that has no thread.
//!
//! *Architecture invariant:* it orders. What is due, and for how long, is told to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::vocabulary::{CollectionId, Timestamp};
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

    /// What is due first in the domains that have room.
    pub(super) fn first(&self, has_room: impl Fn(&Domain) -> bool) -> Option<Due> {
        let firsts = self.by_domain.iter().filter_map(|(domain, due)| due.first().map(|(at, id)| (*at, *id, domain)));
        let (at, id, domain) = firsts.filter(|(_, _, domain)| has_room(domain)).min_by_key(|(at, id, _)| (*at, *id))?;
        Some(Due { at, id, domain: Domain::clone(domain) })
    }
}
