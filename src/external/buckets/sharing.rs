//! One listing serves all who wait for it, as one commit does: who comes while a prefix is being listed waits for the next
//! listing of it, together with all others who come until then.
//!
//! ```text
//!            join (the first leads)          begin                 finish
//!     nothing ----------------------> open --------> under way ----------> ended, until all have it
//!                                      ^ join
//! ```
//!
//! *Architecture invariant:* nobody is served by a listing that began before he came: what he is told stands for a moment
//! not before he asked. So only an open listing is joined, of which no request was sent yet.
//!
//! It must not know how a prefix is listed, nor the rules of a source.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fault::Fault;
use super::listing::Raw;
use crate::external::{BucketPrefix, Interrupted, StopCheck};
use crate::worker::Traffic;

/// How often who waits asks whether to go on.
const TURN: Duration = Duration::from_millis(50);

/// For so long a listing stays open where others have asked for the same before: sources that are due together come within
/// a moment, from several threads. A request takes longer.
const GATHERING: Duration = Duration::from_millis(10);

/// Keys of one page. A listing of what encloses a source is worth waiting for if it has few more keys than the source.
const PAGE: usize = 1_000;

/// Listings of all buckets of a store.
#[derive(Default)]
pub(super) struct Sharing {
    rounds: Mutex<Rounds>,
    changed: Condvar,
}

#[derive(Default)]
struct Rounds {
    next: u64,
    /// In the order in which they were opened.
    listings: BTreeMap<u64, Round>,
    known: BTreeMap<BucketPrefix, Known>,
}

/// What is known of a prefix from its listings.
#[derive(Default)]
struct Known {
    /// Keys of the last one.
    keys: Option<usize>,
    /// Several have asked for it at the same time.
    has_company: bool,
}

/// One listing, from when somebody waits for it until all have it.
struct Round {
    prefix: BucketPrefix,
    phase: Phase,
    /// Who waits beside the one who leads.
    followers: usize,
}

enum Phase {
    Open,
    UnderWay,
    Ended(Served),
    /// Who led went away.
    Left,
}

/// What a listing found, for one of those who waited.
#[derive(Clone)]
pub(super) struct Served {
    /// What was listed: the prefix asked for, or one that encloses it.
    pub(super) prefix: BucketPrefix,
    pub(super) found: Result<Arc<Raw>, Arc<Fault>>,
    pub(super) traffic: Traffic,
}

/// How one who asks comes to a listing.
pub(super) enum Place<'s> {
    /// He makes it, and it begins now.
    Lead(Lead<'s>),
    /// Somebody else has made it.
    Follow(Served),
}

impl Sharing {
    /// Waits for a listing of this prefix that begins from now on: one of this caller's, or of another's.
    pub(super) fn join(&self, prefix: &BucketPrefix, stop_check: StopCheck<'_>) -> Result<Place<'_>, Interrupted> {
        let mut may_enclose = true;
        loop {
            let opened = self.lock().join(prefix, may_enclose);
            let Some(id) = opened.follows else { return self.lead(opened.id, stop_check).map(Place::Lead) };
            let Some(served) = self.follow(id, stop_check)? else { continue };
            // What went wrong with more than was asked for says nothing of it.
            may_enclose = served.found.is_ok();
            if may_enclose || served.prefix == *prefix {
                return Ok(Place::Follow(served));
            }
        }
    }

    /// Waits until nobody lists this prefix any more, and for a moment for others who are about to ask.
    fn lead(&self, id: u64, stop_check: StopCheck<'_>) -> Result<Lead<'_>, Interrupted> {
        let lead = Lead { sharing: self, id, has_ended: false };
        self.wait(stop_check, |rounds| (!rounds.is_listed(id)).then_some(()))?;
        if self.lock().has_company(id) {
            let rounds = self.lock();
            drop(self.changed.wait_timeout_while(rounds, GATHERING, |_| true).unwrap_or_else(PoisonError::into_inner));
        }
        // Another one of the same prefix cannot have begun: it would have joined this one.
        self.lock().set(id, Phase::UnderWay);
        Ok(lead)
    }

    /// Waits for the end of another's listing; nothing if he went away.
    fn follow(&self, id: u64, stop_check: StopCheck<'_>) -> Result<Option<Served>, Interrupted> {
        let waited = self.wait(stop_check, |rounds| match rounds.listings.get(&id).map(|round| &round.phase) {
            Some(Phase::Ended(served)) => Some(Some(served.clone())),
            Some(Phase::Open | Phase::UnderWay) => None,
            Some(Phase::Left) | None => Some(None),
        });
        self.lock().leave(id);
        waited
    }

    fn wait<T>(&self, stop_check: StopCheck<'_>, found: impl Fn(&Rounds) -> Option<T>) -> Result<T, Interrupted> {
        loop {
            let rounds = self.lock();
            if let Some(found) = found(&rounds) {
                return Ok(found);
            }
            let waited = self.changed.wait_timeout(rounds, TURN).unwrap_or_else(PoisonError::into_inner);
            // It is somebody else's code.
            drop(waited);
            stop_check()?;
        }
    }

    /// Every change is one step: none is left half done.
    fn lock(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one who asks has got a place.
struct Opened {
    id: u64,
    /// The same, if somebody else leads.
    follows: Option<u64>,
}

impl Rounds {
    fn join(&mut self, prefix: &BucketPrefix, may_enclose: bool) -> Opened {
        let open = self.listings.iter().filter(|(_, round)| matches!(round.phase, Phase::Open));
        let suits = |round: &Round| round.prefix == *prefix || may_enclose && self.is_worth_it(&round.prefix, prefix);
        let found = open.filter(|(_, round)| suits(round)).map(|(id, _)| *id).next();
        let is_asked_for = self.listings.values().any(|round| round.prefix == *prefix);
        if found.is_some() || is_asked_for {
            self.known.entry(prefix.clone()).or_default().has_company = true;
        }
        if let Some(round) = found.and_then(|id| self.listings.get_mut(&id)) {
            round.followers += 1;
            let enclosing = round.prefix.clone();
            self.known.entry(enclosing).or_default().has_company = true;
            return Opened { id: found.unwrap_or_default(), follows: found };
        }
        let id = self.next;
        self.next += 1;
        self.listings.insert(id, Round { prefix: prefix.clone(), phase: Phase::Open, followers: 0 });
        Opened { id, follows: None }
    }

    /// Whether a listing of what encloses a prefix takes little longer than one of it.
    fn is_worth_it(&self, enclosing: &BucketPrefix, prefix: &BucketPrefix) -> bool {
        let keys = |of: &BucketPrefix| self.known.get(of).and_then(|known| known.keys);
        enclosing.encloses(prefix)
            && keys(enclosing).zip(keys(prefix)).is_some_and(|(all, own)| all <= own.saturating_mul(2) + PAGE)
    }

    /// Whether another one of the same prefix is under way.
    fn is_listed(&self, id: u64) -> bool {
        let prefix = self.listings.get(&id).map(|round| &round.prefix);
        let is_under_way = |round: &Round| matches!(round.phase, Phase::UnderWay) && Some(&round.prefix) == prefix;
        self.listings.values().any(is_under_way)
    }

    fn has_company(&self, id: u64) -> bool {
        let prefix = self.listings.get(&id).map(|round| &round.prefix);
        prefix.and_then(|prefix| self.known.get(prefix)).is_some_and(|known| known.has_company)
    }

    fn set(&mut self, id: u64, phase: Phase) {
        if let Some(round) = self.listings.get_mut(&id) {
            round.phase = phase;
        }
    }

    fn leave(&mut self, id: u64) {
        let Some(round) = self.listings.get_mut(&id) else { return };
        round.followers = round.followers.saturating_sub(1);
        if round.followers == 0 && matches!(round.phase, Phase::Ended(_) | Phase::Left) {
            self.listings.remove(&id);
        }
    }
}

/// Who makes a listing. If he goes away without an end, those who wait ask anew.
pub(super) struct Lead<'s> {
    sharing: &'s Sharing,
    id: u64,
    has_ended: bool,
}

impl Lead<'_> {
    /// Hands what was found to all who wait, and back. What nobody else waits for is not kept.
    pub(super) fn finish(mut self, found: Result<Raw, Fault>, traffic: Traffic) -> Result<Arc<Raw>, Arc<Fault>> {
        // Only who was told to stop leaves without an answer.
        if matches!(found, Err(Fault::Interrupted)) {
            return Err(Arc::new(Fault::Interrupted));
        }
        let found = found.map(Arc::new).map_err(Arc::new);
        let mut rounds = self.sharing.lock();
        let Some(round) = rounds.listings.get_mut(&self.id) else { return found };
        let (prefix, followers) = (round.prefix.clone(), round.followers);
        let keys = found.as_ref().ok().map(|raw| raw.len());
        round.phase = Phase::Ended(Served { prefix: prefix.clone(), found: found.clone(), traffic });
        if followers == 0 {
            rounds.listings.remove(&self.id);
        }
        let known = rounds.known.entry(prefix).or_default();
        known.keys = keys.or(known.keys);
        self.has_ended = true;
        drop(rounds);
        self.sharing.changed.notify_all();
        found
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let mut rounds = self.sharing.lock();
        rounds.set(self.id, Phase::Left);
        if rounds.listings.get(&self.id).is_some_and(|round| round.followers == 0) {
            rounds.listings.remove(&self.id);
        }
        drop(rounds);
        self.sharing.changed.notify_all();
    }
}
