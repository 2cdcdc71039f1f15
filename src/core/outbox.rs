//! What a collection owes its destination: commits to publish, outputs to discard.
//!
//! Obligations are met one after the other, so that commits are published in order and nothing is discarded that
//! readers of the destination may still be shown. What an attempt has made without a commit is a *leftover*: a later
//! attempt may take it over, so it is discarded only when that has become impossible, which is at the next commit, or
//! at once if nothing is left to be built. What a *zombie* has made, an attempt that was abandoned and may go on, is
//! never taken over: it is discarded whenever that can be, until the zombie is known to be gone.

use std::collections::VecDeque;
use std::sync::Arc;

use super::collection::Applied;
use super::vocabulary::{Built, DeliveryKind, Event, Recorded, Seq, Timestamp, Token};

/// What one collection owes its destination, and what it may come to owe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outbox {
    /// What is owed, in the order in which it has to be met.
    pub owed: VecDeque<OutboxEntry>,
    /// Attempts that ended without a commit, and whose outputs nobody was asked to discard yet.
    pub leftovers: Vec<Token>,
    /// Abandoned attempts: they may go on making outputs for as long as their process lives.
    pub zombies: Vec<Token>,
    /// The last commit that was published.
    pub published: Option<Seq>,
    /// Whether the kind discards, as of the last attempt.
    pub discards: bool,
}

/// One thing owed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutboxEntry {
    /// The event that created it.
    pub id: Seq,
    /// When.
    pub since: Timestamp,
    /// What is to be done.
    pub owed: OutboxItem,
    /// It is tried no earlier.
    pub due: Timestamp,
    /// How often in a row it could not be met.
    pub failures: u32,
    /// Why it could not be met the last time.
    pub cause: Option<Box<str>>,
}

/// What is to be done.
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

/// Leftovers that are kept to be taken over. A collection that fails or changes more often than this without a commit
/// gives the older half up: what was built that long ago is rarely what is wanted now.
const MOST_LEFTOVERS: usize = 64;

/// Zombies that are watched. A worker that comes back too late and without a result says so to nobody, and so a zombie is
/// forgotten with its process or, at the latest, when so many have come after it: each is named by every discard.
const MOST_ZOMBIES: usize = 16;

impl OutboxEntry {
    fn new(id: Seq, at: Timestamp, owed: OutboxItem) -> OutboxEntry {
        OutboxEntry { id, since: at, owed, due: at, failures: 0, cause: None }
    }

    /// How it is met.
    #[must_use]
    pub fn delivery(&self) -> DeliveryKind {
        match self.owed {
            OutboxItem::Publish(_) => DeliveryKind::Publish,
            OutboxItem::Discard(_) => DeliveryKind::Discard,
        }
    }
}

impl Outbox {
    /// What has to be done first.
    #[must_use]
    pub fn first(&self) -> Option<&OutboxEntry> {
        self.owed.front()
    }

    /// Whether nothing is owed and nothing can come of what is known.
    pub(super) fn is_settled(&self) -> bool {
        self.owed.is_empty() && self.leftovers.is_empty() && self.zombies.is_empty()
    }

    /// A commit is to be published.
    pub(super) fn publish(&mut self, commit: &Applied) {
        self.owed.push_back(OutboxEntry::new(commit.seq, commit.at, OutboxItem::Publish(Box::new(commit.clone()))));
    }

    /// The commits that were not published yet will not be: the collection is gone.
    pub(super) fn publish_no_more(&mut self) {
        self.owed.retain(|obligation| obligation.delivery() == DeliveryKind::Discard);
    }

    /// An attempt ended without a commit.
    pub(super) fn leave(&mut self, token: Token) {
        self.leftovers.push(token);
    }

    /// An attempt was given up and may go on. If there are too many, the oldest has gone on for long enough.
    pub(super) fn add_zombie(&mut self, token: Token, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        self.zombies.push(token);
        if self.zombies.len() > MOST_ZOMBIES {
            let oldest = self.zombies.remove(0);
            self.retire(vec![oldest], event, after);
        }
    }

    /// An abandoned attempt has come back after all: it makes nothing more.
    pub(super) fn came_back(&mut self, token: Token, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        if self.zombies.contains(&token) {
            self.zombies.retain(|zombie| *zombie != token);
            self.retire(vec![token], event, after);
        }
    }

    /// The process of all abandoned attempts is gone.
    pub(super) fn retire_zombies(&mut self, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        let zombies = std::mem::take(&mut self.zombies);
        if !zombies.is_empty() {
            self.retire(zombies, event, after);
        }
    }

    /// What zombies have made is discarded for the last time. No attempt may take it over, so this need not wait.
    fn retire(&mut self, tokens: Vec<Token>, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        self.owe_discard(event, DiscardSet { tokens, before: None, after: after.cloned() });
    }

    /// Nobody can take the leftovers over any more, and `before` was replaced by `after`. What zombies have made so far
    /// goes as well, every time.
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
            self.owe_discard(event, DiscardSet { tokens, before, after: after.cloned() });
        }
    }

    /// A discard is named by its event, so an event makes one.
    fn owe_discard(&mut self, (id, at): (Seq, Timestamp), leaving: DiscardSet) {
        match self.owed.back_mut() {
            Some(OutboxEntry { id: last, owed: OutboxItem::Discard(known), .. }) if *last == id => {
                known.tokens.extend(leaving.tokens);
                known.before = known.before.take().or(leaving.before);
            }
            _ => self.owed.push_back(OutboxEntry::new(id, at, OutboxItem::Discard(Box::new(leaving)))),
        }
    }

    /// Gives up the older half of too many leftovers. Not while an attempt runs: it may be taking them over.
    pub(super) fn bound(&mut self, event: (Seq, Timestamp), after: Option<&Arc<Built>>) {
        if self.leftovers.len() > MOST_LEFTOVERS {
            let kept = self.leftovers.split_off(MOST_LEFTOVERS / 2);
            self.discard(event, None, after);
            self.leftovers = kept;
        }
    }

    /// What became of the first obligation.
    pub(super) fn fold(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        let first = self.owed.front_mut().ok_or("nothing is owed")?;
        let (id, is) = (first.id, first.delivery());
        let expect = |named: Seq, delivery: DeliveryKind| {
            if (id, is) == (named, delivery) { Ok(()) } else { Err("it is not what is owed first") }
        };
        match &recorded.event {
            Event::Published { commit, token, fingerprint, .. } => {
                expect(*commit, DeliveryKind::Publish)?;
                if !matches!(&first.owed, OutboxItem::Publish(owed) if (owed.token, owed.fingerprint) == (*token, *fingerprint))
                {
                    return Err("it is another commit's");
                }
                self.owed.pop_front();
                self.published = Some(*commit);
            }
            Event::Discarded { obligation, .. } => {
                expect(*obligation, DeliveryKind::Discard)?;
                self.owed.pop_front();
            }
            Event::PublishFailed { obligation, delivery, message, failures, retry_at, .. } => {
                expect(*obligation, *delivery)?;
                (first.failures, first.due, first.cause) = (*failures, *retry_at, Some(message.clone()));
            }
            _ => return Err("it is not about what is owed"),
        }
        Ok(())
    }
}
