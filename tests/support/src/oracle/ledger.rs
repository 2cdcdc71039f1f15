//! A destination on paper: what attempts put there, what commits consist of, what is removed, what readers are shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lastword::core::vocabulary::{AttemptRef, Built, CollectionId, Duties, Event, Fingerprint, Seq, Token};
use lastword::core::{DiscardSet, Outbox, State};

use super::world::World;

/// An output is named after the attempt that made it; one for each is enough.
type Outputs = BTreeSet<Token>;

#[derive(Default)]
pub(crate) struct Ledger {
    seen: usize,
    duties: BTreeMap<Token, Duties>,
    of: BTreeMap<CollectionId, Account>,
    running: BTreeMap<CollectionId, Token>,
}

#[derive(Default)]
struct Account {
    /// What lies there.
    stored: Outputs,
    /// What the last commit consists of.
    live: Outputs,
    /// What the last commit that was published consists of.
    shown: Outputs,
    /// What the running attempt may take over.
    offered: Outputs,
    /// Commits that are to be published.
    unpublished: VecDeque<(Seq, Token, Fingerprint, Outputs)>,
    /// Every attempt so far had these.
    duties: Option<Duties>,
    mixed: bool,
    dropped: bool,
}

impl Ledger {
    pub(crate) fn see(&mut self, world: &World) {
        for recorded in &world.record[self.seen..] {
            let Some(id) = recorded.event.collection(recorded.seq) else { continue };
            let account = self.of.entry(id).or_default();
            match &recorded.event {
                Event::TaskStarted { duties, .. } => {
                    let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                    account.mixed |= account.duties.is_some_and(|before| before != *duties);
                    account.duties = Some(*duties);
                    account.offered =
                        world.state.collection(id).map_or(&[][..], |c| c.leftovers()).iter().copied().collect();
                    assert!(
                        account.offered.is_subset(&account.stored) || account.mixed,
                        "what is offered is not there"
                    );
                    account.stored.extend(duties.discard.then_some(token));
                    self.duties.insert(token, *duties);
                    self.running.insert(id, token);
                }
                Event::TaskCompleted { token, result, fingerprint, .. } => {
                    account.live = read(result);
                    if self.duties[token].publish {
                        account.unpublished.push_back((recorded.seq, *token, *fingerprint, account.live.clone()));
                    }
                    self.running.remove(&id);
                }
                Event::TaskAborted { .. } | Event::AttemptFailed { .. } => drop(self.running.remove(&id)),
                Event::AttemptEnded { token, .. } if self.running.get(&id) == Some(token) => {
                    self.running.remove(&id);
                }
                Event::Published { commit, token, fingerprint, .. } => {
                    assert!(!account.dropped, "what is gone is not published");
                    let (seq, by, of, outputs) = account.unpublished.pop_front().unwrap();
                    assert_eq!((seq, by, of), (*commit, *token, *fingerprint), "PublishedInOrder");
                    account.shown = outputs;
                }
                Event::CollectionDropped { .. } => {
                    (account.live, account.shown, account.dropped) = (Outputs::new(), Outputs::new(), true);
                    account.unpublished.clear();
                }
                _ => {}
            }
        }
        self.seen = world.record.len();
    }

    /// A result of the attempt: its own output, and of what it may take over or keep what `dice` says.
    pub(crate) fn result(&self, attempt: AttemptRef, state: &State, mut dice: impl FnMut() -> bool) -> Built {
        let mut outputs = Outputs::from([attempt.token]);
        if self.running.get(&attempt.collection) == Some(&attempt.token) {
            let account = &self.of[&attempt.collection];
            let anew = state.collection(attempt.collection).is_some_and(|c| c.rebuild);
            outputs.extend(account.offered.iter().filter(|_| dice()));
            outputs.extend(account.live.iter().filter(|_| !anew && dice()));
        }
        let names: Vec<String> = outputs.iter().map(Token::to_string).collect();
        Built { output: Some(names.join(" ").into()), ..Built::default() }
    }

    /// An attempt that was given up writes once more, if it still may.
    pub(crate) fn write(&mut self, attempt: AttemptRef, state: &State) {
        if zombies(state).any(|(id, token)| (id, token) == (attempt.collection, attempt.token)) {
            self.of.entry(attempt.collection).or_default().stored.insert(attempt.token);
        }
    }

    /// Everything that was given up writes once more: the last that is heard of it.
    pub(crate) fn write_all(&mut self, state: &State) {
        for (id, token) in zombies(state) {
            self.of.entry(id).or_default().stored.insert(token);
        }
    }

    /// Somebody discards.
    pub(crate) fn discard(&mut self, id: CollectionId, leaving: &DiscardSet) {
        let account = self.of.entry(id).or_default();
        let mut removed: Outputs = leaving.tokens.iter().copied().collect();
        removed.extend(leaving.before.as_deref().into_iter().flat_map(read));
        for kept in leaving.after.as_deref().into_iter().flat_map(read) {
            removed.remove(&kept);
        }
        assert!(removed.is_disjoint(&account.live), "what is live is discarded");
        let constant = !account.mixed && account.duties.is_some_and(|duties| duties.publish);
        assert!(!constant || removed.is_disjoint(&account.shown), "what readers are shown is discarded");
        if let Some(token) = self.running.get(&id) {
            assert!(removed.is_disjoint(&account.offered), "what a running attempt may take over is discarded");
            assert!(!removed.contains(token), "what a running attempt makes is discarded");
        }
        account.stored.retain(|output| !removed.contains(output));
    }

    /// Everything was delivered, and nothing is left that could go on.
    pub(crate) fn is_settled(&self) {
        for (id, account) in self.of.iter().filter(|(_, account)| !account.mixed) {
            assert!(account.unpublished.is_empty(), "PublishedInOrder: of {id} {:?}", account.unpublished);
            if account.duties.is_some_and(|duties| duties.discard) {
                assert_eq!(account.stored, account.live, "what lies there of {id} is what is live");
            }
        }
    }
}

fn zombies(state: &State) -> impl Iterator<Item = (CollectionId, Token)> {
    let all = state.collections().filter_map(|(id, collection)| Some((id, collection.obligations.as_deref()?)));
    let orphaned = state.orphans().map(|(id, orphan)| (id, &orphan.obligations));
    all.chain(orphaned).flat_map(|(id, all): (_, &Outbox)| all.zombies.iter().map(move |token| (id, *token)))
}

fn read(result: &Built) -> Outputs {
    let number = |text: &str| text.parse().unwrap();
    let token = |(epoch, seq): (&str, &str)| Token {
        epoch: lastword::core::vocabulary::Epoch(number(epoch)),
        seq: Seq(number(seq)),
    };
    let names = result.output.as_deref().unwrap_or_default().split_whitespace();
    names.map(|name| token(name.split_once('.').unwrap())).collect()
}
