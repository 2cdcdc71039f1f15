//! From a declaration through its task to a commit that others see, with workers that do nothing. A collection is
//! declared anew as soon as somebody who watches has seen it committed, and thousands are on their way.
//!
//! lastword has its pool of threads, and a kind that one thread drives from outside. PostgreSQL has its table as a
//! queue with `for update skip locked`. Then half of what was reached is asked for at an even pace, and the slowest
//! hundredth held against that of bare sled, which only writes the frames.

use std::time::Duration;

use crate::args::Suite;
use crate::bench::Bench;
use crate::contestants::cycling::{Cycling, Workers};
use crate::contestants::frames::{BareSled, write_frames};
use crate::contestants::postgres::Postgres;
use crate::contestants::queue::{Crew, cycles};
use crate::failure::{Result, explain};
use crate::load::Measured;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};

const COLLECTIONS: u64 = 10_000;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let postgres = Postgres::start(&bench.place, COLLECTIONS);
    if let Err(error) = &postgres {
        bench.report.skipped(Suite::Cycle, "PostgreSQL", &explain(error));
    }
    let postgres = postgres.ok();
    let mut pool = Cycling::open(&bench.place.path("cycle-pool"), COLLECTIONS, Workers::Pool)?;
    let mut driven = Cycling::open(&bench.place.path("cycle-driven"), COLLECTIONS, Workers::Driven)?;
    let crew = postgres.as_ref().map(|postgres| best_crew(postgres, bench)).transpose()?;

    let (mut of_pool, mut of_driven) = (Series::new("lastword"), Series::new("lastword"));
    let mut of_postgres =
        Series::new(crew.map_or_else(|| "PostgreSQL".to_owned(), |crew| format!("PostgreSQL {crew}")));
    for _ in 0..bench.rounds() {
        of_pool.values.push(pool.saturated(bench.turn())?.rate());
        of_driven.values.push(driven.saturated(bench.turn())?.rate());
        if let (Some(postgres), Some(crew)) = (&postgres, crew) {
            of_postgres.values.push(cycles(postgres, crew, COLLECTIONS, bench.turn())?);
        }
    }
    let target = Target { ratio: 40.0, text: ">= 40 x PostgreSQL at its best" };
    for (case, ours) in [("pipelined, pool", &of_pool), ("pipelined, driven", &of_driven)] {
        let measure = Measure { suite: Suite::Cycle, case, unit: "commits/s", better: Better::More };
        bench.report.row(measure, ours, &of_postgres, Some(target));
        if of_postgres.values.is_empty() {
            // Without its peer the rate is worth knowing all the same.
            bench.report.row(measure, ours, ours, None);
        }
    }
    half_load(bench, ("half load, pool", &mut pool), of_pool.median() / 2.0)?;
    half_load(bench, ("half load, driven", &mut driven), of_driven.median() / 2.0)?;
    pool.close()?;
    driven.close()
}

/// The clients and workers with which PostgreSQL commits most.
fn best_crew(postgres: &Postgres, bench: &Bench) -> Result<Crew> {
    let crews = bench.size(&Crew::CANDIDATES[..1], &Crew::CANDIDATES);
    let mut best: Option<(f64, Crew)> = None;
    for crew in crews {
        let rate = cycles(postgres, *crew, COLLECTIONS, bench.turn())?;
        eprintln!("cycle: PostgreSQL {crew}: {rate:.0} commits/s");
        if best.is_none_or(|(most, _)| rate > most) {
            best = Some((rate, *crew));
        }
    }
    best.map(|(_, crew)| crew).ok_or_else(|| "PostgreSQL has no crew".into())
}

fn half_load(bench: &mut Bench, (case, cycling): (&str, &mut Cycling), rate: f64) -> Result<()> {
    let mut sled = BareSled::new(bench.place.path("cycle-sled"));
    let (mut ours, mut barrier) = (Series::new("lastword"), Series::new("barrier (bare sled)"));
    // Percentiles want more than a turn.
    let span: Duration = bench.turn() * 2;
    for _ in 0..bench.rounds() {
        let (measured, shape): (Measured, _) = cycling.paced(rate, span)?;
        ours.values.push(measured.latencies.micros(0.99));
        barrier.values.push(write_frames(&mut sled, shape, span)?.latencies.micros(0.99));
    }
    let case = format!("{case}, p99");
    let measure = Measure { suite: Suite::Cycle, case: &case, unit: "us", better: Better::Less };
    let target = Target { ratio: 1.0 / 5.0, text: "p99 <= 5 x the barrier's" };
    bench.report.row(measure, &ours, &barrier, Some(target));
    Ok(())
}
