//! What every suite is handed.

use std::time::Duration;

use crate::place::Place;
use crate::report::Report;

/// One run of the program.
pub(crate) struct Bench {
    pub(crate) quick: bool,
    pub(crate) place: Place,
    pub(crate) report: Report,
}

impl Bench {
    /// A size: the first for `--quick`.
    pub(crate) fn size<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// How often the contestants take turns. Odd, so that the median is one that was measured.
    pub(crate) fn rounds(&self) -> usize {
        self.size(3, 5)
    }

    /// How long one turn takes: in two seconds a disk that hesitates once does not decide it.
    pub(crate) fn turn(&self) -> Duration {
        self.size(Duration::from_millis(300), Duration::from_secs(2))
    }
}
