//! A destination on paper: what attempts put there, what commits consist of, what is removed, what readers are shown.
//! It holds that nothing is discarded that is live, shown or still in use. An output is named after the attempt that made
//! it; one for each is enough.
//!
//! That publications come in order is for the [`Oracle`](super::Oracle) to hold, which sees each event first.

use std::collections::{BTreeMap, BTreeSet};

use lastword::core::vocabulary::{AttemptRef, Built, CollectionId, Duties, Event, Recorded, Seq, Token};
use lastword::core::{DiscardSet, Outbox, State};

use super::{Verdict, hold};

type Outputs = BTreeSet<Token>;

#[derive(Debug, Default)]
pub struct Ledger {
    of: BTreeMap<CollectionId, Account>,
    running: BTreeMap<CollectionId, Token>,
}

#[derive(Debug, Default)]
struct Account {
    /// What lies there.
    stored: Outputs,
    /// What the last commit consists of.
    live: Outputs,
    /// What the last commit that was published consists of.
    shown: Outputs,
    /// What the running attempt may take over.
    offered: Outputs,
    /// What commits that are to be published consist of.
    unpublished: BTreeMap<Seq, Outputs>,
    /// Every attempt so far had these.
    duties: Option<Duties>,
    mixed: bool,
}

impl Account {
    fn start(&mut self, token: Token, duties: Duties, offered: Outputs) -> Verdict {
        self.mixed |= self.duties.is_some_and(|before| before != duties);
        (self.duties, self.offered) = (Some(duties), offered);
        let are_there = self.offered.is_subset(&self.stored) || self.mixed;
        self.stored.extend(duties.discard.then_some(token));
        hold(are_there, "Discards", "what is offered is not there")
    }
}

impl Ledger {
    /// Looks at the next event, and at the state after the command that it came of.
    pub fn see(&mut self, recorded: &Recorded, state: &State) -> Verdict {
        let Some(id) = recorded.event.collection(recorded.seq) else { return Ok(()) };
        let account = self.of.entry(id).or_default();
        match &recorded.event {
            Event::TaskStarted { duties, .. } => {
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                self.running.insert(id, token);
                let offered = state.collection(id).map_or(&[][..], |collection| collection.leftovers());
                return account.start(token, *duties, offered.iter().copied().collect());
            }
            Event::TaskCompleted { result, .. } => {
                account.live = read(result);
                account.unpublished.insert(recorded.seq, account.live.clone());
                self.running.remove(&id);
            }
            Event::TaskAborted { .. } | Event::AttemptFailed { .. } => drop(self.running.remove(&id)),
            Event::AttemptEnded { token, .. } if self.running.get(&id) == Some(token) => {
                self.running.remove(&id);
            }
            Event::Published { commit, .. } => {
                account.shown = account.unpublished.remove(commit).unwrap_or_default();
                account.unpublished = account.unpublished.split_off(commit);
            }
            Event::CollectionDropped { .. } => {
                (account.live, account.shown) = (Outputs::new(), Outputs::new());
                account.unpublished.clear();
            }
            _ => {}
        }
        Ok(())
    }

    /// A result of the attempt: its own output, and of what it may take over or keep what `dice` says.
    pub fn result(&self, attempt: AttemptRef, state: &State, mut dice: impl FnMut() -> bool) -> Built {
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
    pub fn write(&mut self, attempt: AttemptRef, state: &State) {
        if zombies(state).any(|(id, token)| (id, token) == (attempt.collection, attempt.token)) {
            self.of.entry(attempt.collection).or_default().stored.insert(attempt.token);
        }
    }

    /// Everything that was given up writes once more: the last that is heard of it.
    pub fn write_all(&mut self, state: &State) {
        for (id, token) in zombies(state) {
            self.of.entry(id).or_default().stored.insert(token);
        }
    }

    /// Somebody discards.
    pub fn discard(&mut self, id: CollectionId, leaving: &DiscardSet) -> Verdict {
        let account = self.of.entry(id).or_default();
        let mut removed: Outputs = leaving.tokens.iter().copied().collect();
        removed.extend(leaving.before.as_deref().into_iter().flat_map(read));
        for kept in leaving.after.as_deref().into_iter().flat_map(read) {
            removed.remove(&kept);
        }
        hold(removed.is_disjoint(&account.live), "Discards", "what is live is discarded")?;
        let constant = !account.mixed && account.duties.is_some_and(|duties| duties.publish);
        let shown = removed.is_disjoint(&account.shown);
        hold(!constant || shown, "Discards", "what readers are shown is discarded")?;
        if let Some(token) = self.running.get(&id) {
            let offered = removed.is_disjoint(&account.offered);
            hold(offered, "Discards", "what a running attempt may take over is discarded")?;
            hold(!removed.contains(token), "Discards", "what a running attempt makes is discarded")?;
        }
        account.stored.retain(|output| !removed.contains(output));
        Ok(())
    }

    /// Everything was delivered, and nothing is left that could go on: what lies there is what is live.
    pub fn settled(&self) -> Verdict {
        let constant = self.of.values().filter(|account| !account.mixed);
        let mut discarding = constant.filter(|account| account.duties.is_some_and(|duties| duties.discard));
        let all = discarding.all(|account| account.stored == account.live);
        hold(all, "Discards", "something lies there that is not live, or the other way round")
    }
}

fn zombies(state: &State) -> impl Iterator<Item = (CollectionId, Token)> {
    let all = state.collections().filter_map(|(id, collection)| Some((id, collection.outbox.as_deref()?)));
    let orphaned = state.orphans().map(|(id, orphan)| (id, &orphan.outbox));
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
