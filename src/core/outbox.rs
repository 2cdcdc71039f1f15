//! The outbox of a collection: commits to publish to its destination, and outputs to discard there.
//!
//! Entries are delivered one after the other, so that commits are published in order and nothing is discarded that
//! readers of the destination may still be shown. What an attempt has made without a commit is a *leftover*: a later
//! attempt may take it over, so it is discarded only when that has become impossible, which is at the next commit, or
//! at once if nothing is left to be built. What a *zombie* has made, an attempt that was abandoned and may go on, is
//! never taken over: it is discarded whenever that can be, until the zombie is known to be gone.
//!
//! No entry is ever given up, so an outbox is bounded by what fills it: while it is full, no attempt starts that adds to it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::commit::Applied;
use super::vocabulary::{Built, DeliveryKind, Event, Recorded, Seq, Timestamp, Token};

/// What is to be delivered to the destination of one collection, and what may still have to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outbox {
    /// What is to be delivered, in this order.
    pub entries: VecDeque<OutboxEntry>,
    /// Attempts that ended without a commit, and whose outputs are in no entry yet.
    pub leftovers: Vec<Token>,
    /// Abandoned attempts: they may go on making outputs for as long as their process lives.
    pub zombies: Vec<Token>,
    /// The last commit that was published.
    pub published: Option<Seq>,
    /// Whether the kind discards, as of the last attempt.
    pub discards: bool,
}

/// One delivery that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutboxEntry {
    /// The event that created it.
    pub id: Seq,
    /// When.
    pub since: Timestamp,
    /// What is to be done.
    pub item: OutboxItem,
    /// It is tried no earlier.
    pub due: Timestamp,
    /// How often in a row it failed.
    pub failures: u32,
    /// Why it failed the last time.
    pub cause: Option<Box<str>>,
}

/// What is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OutboxItem {
    /// This commit is to be published.
    Publish(Box<Applied>),
    /// These outputs are to be discarded.
    Discard(Box<DiscardSet>),
}

/// Outputs that can never be live again: everything made under `tokens`, and everything of `before`, but nothing that
/// is part of `after`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DiscardSet {
    /// Attempts that ended without a commit.
    pub tokens: Vec<Token>,
    /// The result that was replaced.
    pub before: Option<Arc<Built>>,
    /// The result that is live from here on; nothing after the collection was dropped.
    pub after: Option<Arc<Built>>,
}

impl DiscardSet {
    /// The attempts whose outputs go: the `tokens`, and the one that built `before` if its result says no more of what it
    /// made than its token. What a result names otherwise is found by that name: under its token there may be parts of
    /// what is live.
    #[must_use]
    pub fn all_tokens(&self) -> Vec<Token> {
        let nameless = self.before.as_deref().filter(|before| before.manifest.is_none());
        let named_by = nameless.and_then(|before| before.output.as_deref()?.parse().ok());
        self.tokens.iter().copied().chain(named_by).collect()
    }
}

/// Leftovers that are kept to be taken over. A collection that fails or changes more often than this without a commit
/// gives the older half up: what was built that long ago is rarely what is wanted now.
const MOST_LEFTOVERS: usize = 64;

/// Zombies that are remembered. A worker that comes back too late and without a result leaves no event, so a zombie is
/// remembered until its process ends or, at the latest, until so many have come after it: each is named by every discard.
const MOST_ZOMBIES: usize = 16;

/// Entries of an outbox beyond which no attempt starts. A commit makes two at most, of some hundred bytes and 72 KiB at the
/// very most: many more than a destination that answers is ever behind, and few megabytes for one that does not.
const MOST_ENTRIES: usize = 128;

impl OutboxEntry {
    fn new(id: Seq, at: Timestamp, item: OutboxItem) -> OutboxEntry {
        OutboxEntry { id, since: at, item, due: at, failures: 0, cause: None }
    }

    /// How it is delivered.
    #[must_use]
    pub fn delivery(&self) -> DeliveryKind {
        match self.item {
            OutboxItem::Publish(_) => DeliveryKind::Publish,
            OutboxItem::Discard(_) => DeliveryKind::Discard,
        }
    }
}

impl Outbox {
    /// What is to be delivered first.
    #[must_use]
    pub fn first(&self) -> Option<&OutboxEntry> {
        self.entries.front()
    }

    /// Whether so much is to be delivered that nothing more is built first: each commit would only make it more. An attempt
    /// that runs may still commit, and one of a kind that has no duties starts: its commit adds nothing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= MOST_ENTRIES
    }

    /// Whether nothing is to be delivered, and nothing that is known can lead to a delivery.
    pub(super) fn is_finished(&self) -> bool {
        self.entries.is_empty() && self.leftovers.is_empty() && self.zombies.is_empty()
    }

    /// Whether this commit, which is applied, was published or is to be.
    #[must_use]
    pub fn is_told_of(&self, commit: Seq) -> bool {
        let is_it = |entry: &OutboxEntry| matches!(&entry.item, OutboxItem::Publish(applied) if applied.seq == commit);
        self.published == Some(commit) || self.entries.iter().any(is_it)
    }

    /// A commit is to be published.
    pub(super) fn publish(&mut self, commit: &Applied) {
        self.entries.push_back(OutboxEntry::new(commit.seq, commit.at, OutboxItem::Publish(Box::new(commit.clone()))));
    }

    /// Drops the commits that were not published yet: the collection is gone.
    pub(super) fn drop_publications(&mut self) {
        self.entries.retain(|entry| entry.delivery() == DeliveryKind::Discard);
    }

    /// An attempt ended without a commit.
    pub(super) fn add_leftover(&mut self, token: Token) {
        self.leftovers.push(token);
    }

    /// An attempt was given up and may go on. If there are too many of them, the oldest is retired.
    pub(super) fn add_zombie(&mut self, token: Token, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        self.zombies.push(token);
        if self.zombies.len() > MOST_ZOMBIES {
            let oldest = self.zombies.remove(0);
            self.retire(vec![oldest], event, after);
        }
    }

    /// A zombie has come back: it makes nothing more.
    pub(super) fn zombie_returned(&mut self, token: Token, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        if self.zombies.contains(&token) {
            self.zombies.retain(|zombie| *zombie != token);
            self.retire(vec![token], event, after);
        }
    }

    /// The process of all zombies is gone.
    pub(super) fn retire_zombies(&mut self, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        let zombies = std::mem::take(&mut self.zombies);
        if !zombies.is_empty() {
            self.retire(zombies, event, after);
        }
    }

    /// Discards what zombies have made for the last time. No attempt may take it over, so this need not wait.
    fn retire(&mut self, tokens: Vec<Token>, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        self.push_discard(event, DiscardSet { tokens, before: None, after: after.cloned() });
    }

    /// Discards the leftovers, which no attempt can take over any more, and `before`, which was replaced by `after`. What
    /// zombies have made so far goes as well, every time.
    pub(super) fn discard(&mut self, event: (Seq, Timestamp), before: Option<Arc<Built>>, after: Option<&Arc<Built>>) {
        let replaced = |before: &Arc<Built>| {
            after.is_none_or(|after| before.manifest != after.manifest || before.output != after.output)
        };
        // A result that names nothing can still be live under the collection's name, until that is gone.
        let names = |before: &Arc<Built>| after.is_none() || before.manifest.is_some() || before.output.is_some();
        let before = before.filter(replaced).filter(names);
        let mut tokens = std::mem::take(&mut self.leftovers);
        tokens.extend(&self.zombies);
        if before.is_some() || !tokens.is_empty() {
            self.push_discard(event, DiscardSet { tokens, before, after: after.cloned() });
        }
    }

    /// An entry is named by the event that created it, so an event creates at most one discard.
    fn push_discard(&mut self, (id, at): (Seq, Timestamp), set: DiscardSet) {
        match self.entries.back_mut() {
            Some(OutboxEntry { id: last, item: OutboxItem::Discard(known), .. }) if *last == id => {
                known.tokens.extend(set.tokens);
                known.before = known.before.take().or(set.before);
            }
            _ => self.entries.push_back(OutboxEntry::new(id, at, OutboxItem::Discard(Box::new(set)))),
        }
    }

    /// Discards the older half of too many leftovers. Not while an attempt runs: it may be taking them over.
    pub(super) fn limit_leftovers(&mut self, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        if self.leftovers.len() > MOST_LEFTOVERS {
            let kept = self.leftovers.split_off(MOST_LEFTOVERS / 2);
            self.discard(event, None, after);
            self.leftovers = kept;
        }
    }

    /// What became of the first entry.
    pub(super) fn fold(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        let first = self.entries.front_mut().ok_or("nothing is to be delivered")?;
        let (id, is) = (first.id, first.delivery());
        let expect = |named: Seq, delivery: DeliveryKind| {
            if (id, is) == (named, delivery) { Ok(()) } else { Err("it is not the first entry of the outbox") }
        };
        match &recorded.event {
            Event::Published { commit, token, fingerprint, .. } => {
                expect(*commit, DeliveryKind::Publish)?;
                if !matches!(&first.item, OutboxItem::Publish(commit) if (commit.token, commit.fingerprint) == (*token, *fingerprint))
                {
                    return Err("it is another commit's");
                }
                self.entries.pop_front();
                self.published = Some(*commit);
            }
            Event::Discarded { obligation, .. } => {
                expect(*obligation, DeliveryKind::Discard)?;
                self.entries.pop_front();
            }
            Event::PublishFailed { obligation, delivery, message, failures, retry_at, .. } => {
                expect(*obligation, *delivery)?;
                (first.failures, first.due, first.cause) = (*failures, *retry_at, Some(message.clone()));
            }
            _ => return Err("it is not about an outbox"),
        }
        Ok(())
    }
}
