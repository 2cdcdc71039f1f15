//! The oracle as the simulator asks it: of durable events only, and whatever it finds broken ends the run.

use std::collections::BTreeMap;
use std::ops::Deref;

use lastword::core::vocabulary::{Recorded, Token};
use test_support::oracle::{Oracle, Verdict};

#[derive(Default)]
pub(crate) struct Witness {
    oracle: Oracle,
    /// How often each type of event was met.
    pub(crate) met: BTreeMap<&'static str, u64>,
}

impl Deref for Witness {
    type Target = Oracle;

    fn deref(&self) -> &Oracle {
        &self.oracle
    }
}

impl Witness {
    /// Looks at the next durable event.
    pub(crate) fn see(&mut self, recorded: &Recorded) {
        let verdict = self.oracle.see(recorded);
        self.meet(recorded, verdict);
    }

    /// Looks at the next event of a backup that was put back.
    pub(crate) fn see_again(&mut self, recorded: &Recorded) {
        let verdict = self.oracle.see_again(recorded);
        self.meet(recorded, verdict);
    }

    fn meet(&mut self, recorded: &Recorded, verdict: Verdict) {
        *self.met.entry(recorded.event.type_name()).or_insert(0) += 1;
        verdict.unwrap_or_else(|broken| panic!("{broken}, at {recorded:?}"));
    }

    /// The log was replaced by a backup.
    pub(crate) fn forget_all(&mut self) {
        self.oracle.forget_all();
    }

    /// Whether the attempt holds a worker.
    pub(crate) fn is_open(&self, token: Token) -> bool {
        self.oracle.open.contains_key(&token)
    }
}

/// Ends the run with what is broken.
pub(crate) fn holds(verdict: Verdict) {
    verdict.unwrap_or_else(|broken| panic!("{broken}"));
}
