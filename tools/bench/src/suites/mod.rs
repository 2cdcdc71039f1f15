//! One file per suite; what it measures stands at its head.

pub(crate) mod cycle;
pub(crate) mod declare;
pub(crate) mod disk;
pub(crate) mod memory;
pub(crate) mod open;
pub(crate) mod plan;
pub(crate) mod reach;
pub(crate) mod replay;
pub(crate) mod scale;
pub(crate) mod surroundings;
pub(crate) mod tail;

use crate::args::Suite;
use crate::bench::Bench;
use crate::child::Question;
use crate::failure::Result;

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
        Suite::Surroundings => surroundings::run(bench),
        Suite::Reach => reach::run(bench),
    }
}

/// Answers a question in the process that was started for it, on the standard output.
pub(crate) fn answer(asked: &str) -> Result<()> {
    let answer = match serde_json::from_str(asked)? {
        Question::Open(path) => serde_json::to_value(open::seconds(&path)?)?,
        Question::Idle { lake, state } => serde_json::to_value(surroundings::idle::measure(&lake, &state)?)?,
        Question::Look(lake) => serde_json::to_value(reach::files::looked(&lake)?)?,
        Question::Resident(holding) => serde_json::to_value(memory::resident(&holding)?)?,
    };
    println!("{answer}");
    Ok(())
}
