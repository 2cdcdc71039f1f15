//! What a seed is like: how large its world is and how much goes wrong in it. Every kind of trouble is absent in some
//! seeds, so that what another one hides comes out.

use super::dice::Dice;

/// Chances are per thousand.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    pub(crate) collections: usize,
    pub(crate) sources: usize,
    /// How often persons ask for something before the storm is over.
    pub(crate) actions: u64,
    /// How often a source changes.
    pub(crate) changes: u64,
    pub(crate) workers: usize,
    pub(crate) far_workers: usize,
    pub(crate) couriers: usize,
    /// Most things that happen in one batch.
    pub(crate) batch: usize,
    /// A process ends, at each of the places where that is asked.
    pub(crate) crash: u64,
    /// A commit fails.
    pub(crate) fault: u64,
    /// The wall clock jumps, at a change of a source.
    pub(crate) jump: u64,
    /// A worker does something else than its work.
    pub(crate) mischief: u64,
    /// A worker does not hear that it is told to stop.
    pub(crate) deaf: u64,
    /// A worker takes long.
    pub(crate) slow: u64,
    /// Something is said twice.
    pub(crate) twice: u64,
    /// A delivery fails.
    pub(crate) undelivered: u64,
    /// A collection is one of files.
    pub(crate) files: u64,
    pub(crate) snapshots: bool,
    pub(crate) bases: bool,
    pub(crate) backups: bool,
    pub(crate) limits: bool,
}

impl Weather {
    /// More collections than this are not all looked at after every step.
    pub(crate) const SMALL: usize = 40;

    pub(crate) fn of(seed: u64, dice: &mut Dice) -> Weather {
        // One world in 500 has thousands of collections: it costs as much as a hundred of the small ones.
        let (collections, actions) = match seed % 500 {
            250 => (2000 + dice.index(1000), 600),
            n if n % 50 == 20 => (40 + dice.index(160), 150),
            _ => (1 + dice.index(6), 15 + dice.below(50)),
        };
        let is_small = collections <= Weather::SMALL;
        let mut some = |of: &[u64]| dice.pick(of);
        let scale = if is_small { 1 } else { 8 };
        Weather {
            collections,
            actions,
            crash: some(&[0, 4, 12, 40]) / scale,
            fault: some(&[0, 8, 30]) / scale,
            jump: some(&[0, 0, 100]),
            mischief: some(&[0, 100, 300, 600]),
            deaf: some(&[0, 200, 900]),
            slow: some(&[0, 100, 500]),
            twice: some(&[0, 0, 100, 400]),
            undelivered: some(&[0, 100, 500]),
            files: some(&[0, 0, 250, 600]),
            batch: usize::try_from(some(&[1, 4, 64])).unwrap() * if is_small { 1 } else { 16 },
            snapshots: some(&[0, 1]) == 1,
            bases: some(&[0, 0, 1]) == 1,
            backups: some(&[0, 0, 0, 1]) == 1 && is_small,
            limits: some(&[0, 1]) == 1,
            workers: usize::try_from(some(&[1, 2, 4])).unwrap() * if is_small { 1 } else { 8 },
            far_workers: usize::try_from(some(&[1, 2])).unwrap() * if is_small { 1 } else { 4 },
            couriers: 1 + dice.index(2) + if is_small { 0 } else { 6 },
            sources: 1 + collections + dice.index(collections + 2),
            changes: actions * (1 + dice.below(2)),
        }
    }
}
