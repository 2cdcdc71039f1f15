//! The slowest acknowledgements of at least five million events, 64 clients, default settings: snapshots are taken all
//! along. Held against the slowest of the raw limit, which writes frames of the same size in turns with it.

use std::time::Duration;

use super::scale::grouped;
use crate::args::Suite;
use crate::bench::Bench;
use crate::contestants::frames::{Frames, Raw, write_frames};
use crate::contestants::lastword::Lastword;
use crate::failure::Result;
use crate::load::{Latencies, drive};
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::workload::Changes;

const COLLECTIONS: u64 = 10_000;
const CLIENTS: usize = 64;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let events = bench.size(150_000, 5_000_000);
    let turn: Duration = bench.turn();
    let lastword = Lastword::open(&bench.place.path("tail"))?;
    lastword.fill(COLLECTIONS)?;
    let mut raw = Raw::new(&bench.place.path("tail-raw"))?;
    let (mut clients, changes) = (lastword.clients(CLIENTS), Changes::over(COLLECTIONS));
    let (mut ours, mut theirs) = (Latencies::new()?, Latencies::new()?);
    let begun = lastword.counters()?;
    loop {
        let before = lastword.counters()?;
        if before.events - begun.events >= events {
            break;
        }
        let measured = drive(&mut clients, &changes, turn)?;
        ours.merge(&measured.latencies)?;
        let shape = lastword.shape_since(before, measured.done)?;
        theirs.merge(&write_frames(&mut raw, shape, turn)?.latencies)?;
    }
    let counted = lastword.counters()?;
    eprintln!(
        "tail: {} events, {} acknowledgements and {} snapshots; {} raw writes",
        grouped(counted.events - begun.events),
        grouped(ours.count()),
        counted.snapshots,
        grouped(theirs.count())
    );
    for (case, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("longest", 1.0)] {
        let measure = Measure { suite: Suite::Tail, case, unit: "us", better: Better::Less };
        let target = Target { ratio: 1.0 / 3.0, text: "p99.99 <= 3 x the raw limit's" };
        let (ours, theirs) = (ours.micros(quantile), theirs.micros(quantile));
        let rows = (Series::once("lastword", ours), Series::once(raw.name(), theirs));
        bench.report.row(measure, &rows.0, &rows.1, (case == "p99.99").then_some(target));
    }
    lastword.close()
}
