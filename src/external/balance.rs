//! Packing fragments into segments of about the same number of rows. It must not know files or earlier segments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Fragment;

/// Packs fragments into bins of about `target_rows` rows (0 counts as 1). Pure; the order of the input does not
/// matter, and no two fragments may be equal.
///
/// * A fragment of `target_rows` or more is a bin of its own: row groups are not cut.
/// * The others share `rows / target_rows` bins, rounded to the nearest and at least one, and never more bins than
///   fragments. (Rounding up would cut a segment of 1.1 times the target in two as soon as one of its files
///   changes, and the next change could do so again: after many small changes segments would be half full.)
/// * They are placed in descending order of rows, then by path, then by start, each into the bin with the fewest
///   rows so far, of several the first one. So two of these bins differ by no more than the largest fragment in
///   them, and none reaches twice the target.
///
/// Fragments without rows are left out. Bins come in order of their first fragment, fragments in ascending order;
/// no bin is empty. Takes O(n log n) for n fragments.
#[must_use]
pub fn balance(fragments: Vec<Fragment>, target_rows: u64) -> Vec<Vec<Fragment>> {
    let target = u128::from(target_rows.max(1));
    let mut fragments = fragments;
    fragments.retain(|fragment| fragment.rows() > 0);
    // The longest first; equal ones by their own order, which is path, then start.
    fragments.sort_unstable_by(|a, b| b.rows().cmp(&a.rows()).then_with(|| a.cmp(b)));

    let large = fragments.partition_point(|fragment| u128::from(fragment.rows()) >= target);
    let shared = fragments.split_off(large);
    let mut bins: Vec<Vec<Fragment>> = fragments.into_iter().map(|fragment| vec![fragment]).collect();
    bins.extend(fill(shared, target));

    bins.iter_mut().for_each(|bin| bin.sort_unstable());
    bins.sort_unstable_by(|a, b| a.first().cmp(&b.first()));
    bins
}

fn fill(fragments: Vec<Fragment>, target: u128) -> Vec<Vec<Fragment>> {
    let rows: u128 = fragments.iter().map(|fragment| u128::from(fragment.rows())).sum();
    // With no more bins than fragments each bin gets one: an empty bin is the one with the fewest rows.
    let count = usize::try_from((rows + target / 2) / target).unwrap_or(usize::MAX).max(1).min(fragments.len());
    let mut bins: Vec<Vec<Fragment>> = vec![Vec::new(); count];
    let mut fewest: BinaryHeap<Reverse<(u128, usize)>> = (0..count).map(|bin| Reverse((0, bin))).collect();
    for fragment in fragments {
        let Some(mut top) = fewest.peek_mut() else { break };
        let Reverse((rows, bin)) = *top;
        *top = Reverse((rows + u128::from(fragment.rows()), bin));
        if let Some(bin) = bins.get_mut(bin) {
            bin.push(fragment);
        }
    }
    bins
}
