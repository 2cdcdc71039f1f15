//! What is declared: names of 40 characters, sources of 60, one after the other over all collections.

use std::sync::atomic::{AtomicU64, Ordering};

/// An endless row of changes, shared by all clients of one contestant.
pub(crate) struct Changes {
    collections: u64,
    next: AtomicU64,
}

/// One collection's new source.
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) source: String,
}

impl Changes {
    pub(crate) fn over(collections: u64) -> Changes {
        Changes { collections, next: AtomicU64::new(0) }
    }

    /// The same, but none of the first `turns` hundred million changes.
    pub(crate) fn after(self, turns: u64) -> Changes {
        Changes { next: AtomicU64::new(turns * 100_000_000), ..self }
    }

    /// The next change. Neighbours in time are far from each other in name, as in life, and every collection has its
    /// turn before one has its second.
    pub(crate) fn next(&self) -> Change {
        /// A prime above every number of collections that is measured, so it walks through all of them.
        const STRIDE: u64 = 7_368_787;
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let key = (n % self.collections * STRIDE) % self.collections;
        Change { name: name(key), source: source(key, n + 1) }
    }
}

/// 40 characters.
pub(crate) fn name(key: u64) -> String {
    format!("warehouse.orders.collection.{key:012}")
}

/// 60 characters; another one for every `change`.
pub(crate) fn source(key: u64, change: u64) -> String {
    format!("s3://lake/warehouse/orders/{key:08}/snapshots/{change:014}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_sources_have_the_lengths_that_are_told() {
        assert_eq!((name(7).len(), source(7, 1).len()), (40, 60));
    }

    #[test]
    fn every_collection_has_its_turn_before_one_has_its_second() {
        for collections in [1, 1_000, 10_000] {
            let changes = Changes::over(collections);
            let names: BTreeSet<String> = (0..collections).map(|_| changes.next().name).collect();
            assert_eq!(names.len() as u64, collections);
        }
    }
}
