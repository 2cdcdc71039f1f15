//! Which source is due to be observed and is not, and what stands in the way: `not_observed`. It follows from what is
//! under way and what waits, so it ends by itself when that has gone.
//!
//! *Architecture invariant:* it reads. Nothing is begun or given up here.

use super::{Entry, Member, Observers, UnderWay};
use crate::core::vocabulary::{CollectionId, Timestamp};
use crate::core::{NotObserved, State};
use crate::describe::printable;

/// Collections that a cause names. More of them would hide what it says.
const MOST_NAMED: usize = 4;

impl Observers {
    /// Since when a source was not observed although it is due, and why.
    pub(in crate::engine) fn not_observed(&self, id: CollectionId, state: &State) -> Option<NotObserved> {
        let (entry, interval) = (self.entries.get(&id)?, self.config.pace.shortest());
        let cause = match (entry.under_way, &entry.due) {
            (Some(member), _) => {
                let under_way = self.under_way.get(&member)?;
                let began = under_way.since;
                self.is_late(under_way, entry).then(|| format!("the look that began at {began} has not returned"))?
            }
            (None, Some(due)) => {
                let is_late = due.at.after(interval) <= self.checked;
                is_late.then(|| self.held_by(&due.domain, state))?
            }
            (None, None) => return None,
        };
        let observed = entry.last.map_or(Timestamp(0), |last| last.started);
        Some(NotObserved { since: entry.since.max(observed), cause: cause.into() })
    }

    /// How many collections that is.
    pub(in crate::engine) fn count_not_observed(&self) -> u64 {
        let is_late = |(member, under_way): &(&Member, &UnderWay)| {
            let entry = self.entries.get(&under_way.id).filter(|entry| entry.under_way == Some(**member));
            entry.is_some_and(|entry| self.is_late(under_way, entry))
        };
        let under_way = self.under_way.iter().filter(is_late).count();
        (under_way + self.agenda.count_due_before(self.checked, self.config.pace.shortest())) as u64
    }

    /// Whether an observation that is under way is late. A source that is slow is observed nevertheless; one that waited
    /// for too long is not observed because a look at it has begun at last.
    fn is_late(&self, under_way: &UnderWay, entry: &Entry) -> bool {
        let UnderWay { since, late, given_up, .. } = under_way;
        *given_up || *late || since.after(self.config.pace.shortest().max(2 * entry.took)) <= self.checked
    }

    /// What keeps a domain from being observed.
    fn held_by(&self, domain: &str, state: &State) -> String {
        if self.crew.is_short() {
            return "no thread could be started for it".to_owned();
        }
        if self.crew.has_room(domain, self.checked) {
            return "no look is in its way: the engine is behind with its looks".to_owned();
        }
        let of_domain: Vec<_> = self.under_way.values().filter(|under_way| *under_way.domain == *domain).collect();
        if of_domain.is_empty() {
            let all = self.names(self.under_way.values().collect(), state);
            return format!("all observers are held by {all}");
        }
        let what = domain.split_once('\n').map_or_else(|| format!("the kind {domain}"), |(_, named)| printable(named));
        format!("all observers of {what} are held by {}", self.names(of_domain, state))
    }

    /// The collections of these observations, those first that began first.
    fn names(&self, mut under_way: Vec<&UnderWay>, state: &State) -> String {
        under_way.sort_by_key(|under_way| under_way.since);
        let name = |under_way: &&UnderWay| match state.collection(under_way.id) {
            Some(collection) => collection.name.to_string(),
            None => "one that was dropped".to_owned(),
        };
        let mut names: Vec<String> = under_way.iter().take(MOST_NAMED).map(name).collect();
        let more = under_way.len().saturating_sub(MOST_NAMED);
        names.extend((more > 0).then(|| format!("{more} more")));
        names.join(", ")
    }
}
