//! One file per suite; what it measures stands at its head.

pub(crate) mod cycle;
pub(crate) mod declare;
pub(crate) mod disk;
pub(crate) mod memory;
pub(crate) mod open;
pub(crate) mod plan;
pub(crate) mod replay;
pub(crate) mod scale;
pub(crate) mod tail;

use crate::Result;
use crate::args::Suite;
use crate::bench::Bench;

pub(crate) fn run(suite: Suite, bench: &mut Bench) -> Result<()> {
    match suite {
        Suite::Declare => declare::run(bench),
        Suite::Cycle => cycle::run(bench),
        Suite::Replay => replay::run(bench),
        Suite::Open => open::run(bench),
        Suite::Memory => memory::run(bench),
        Suite::Scale => scale::run(bench),
        Suite::Disk => disk::run(bench),
        Suite::Plan => plan::run(bench),
        Suite::Tail => tail::run(bench),
    }
}
