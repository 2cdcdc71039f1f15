//! Virtual time: a wall clock that jumps, a monotonic one that does not, and the engine's time over both.

use std::time::Duration;

use lastword::core::vocabulary::Timestamp;

use super::dice::Dice;

pub(crate) struct Clock {
    pub(crate) monotonic: Duration,
    pub(crate) wall: Timestamp,
    /// The stretches between two jumps of the wall clock are counted.
    pub(crate) stretch: u64,
    base: Timestamp,
    opened: Duration,
    highest: Timestamp,
}

impl Clock {
    pub(crate) fn new(dice: &mut Dice) -> Clock {
        let wall = Timestamp(1_700_000_000_000_000 + dice.below(1_000_000_000_000));
        Clock { monotonic: Duration::ZERO, wall, stretch: 0, base: wall, opened: Duration::ZERO, highest: wall }
    }

    /// A process opens a log whose last event has the time `last`.
    pub(crate) fn open(&mut self, last: Timestamp) {
        (self.base, self.opened) = (self.wall.max(last), self.monotonic);
    }

    /// The engine's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.base.after(self.monotonic.saturating_sub(self.opened))
    }

    /// The monotonic time at which the engine's is `at`.
    pub(crate) fn when(&self, at: Timestamp) -> Duration {
        self.opened + at.since(self.base)
    }

    /// Time passes.
    pub(crate) fn pass_until(&mut self, monotonic: Duration) {
        let span = monotonic.saturating_sub(self.monotonic);
        self.monotonic += span;
        self.wall = self.wall.after(span);
        self.highest = self.highest.max(self.wall);
    }

    /// The wall clock is set, by up to a day, forwards or backwards.
    pub(crate) fn jump(&mut self, dice: &mut Dice) {
        let by = dice.millis(1, 86_400_000);
        self.wall = if dice.chance(500) {
            self.wall.after(by)
        } else {
            Timestamp(self.wall.0 - u64::try_from(by.as_micros()).unwrap())
        };
        self.highest = self.highest.max(self.wall);
        self.stretch += 1;
    }

    /// The wall clock is right, and later than it ever was: what a restored backup relies on. Later than a millisecond
    /// for every process that has opened the log meanwhile, too: here they take no time to start.
    pub(crate) fn set_right(&mut self) {
        self.wall = self.highest.after(Duration::from_secs(60));
        self.highest = self.wall;
        self.stretch += 1;
    }
}
