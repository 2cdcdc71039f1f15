//! Declarations of one client while somebody lists all collections ten times a second, and while nobody does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::args::Suite;
use crate::bench::Bench;
use crate::contestants::lastword::Lastword;
use crate::failure::Result;
use crate::load::drive;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::suites::scale::grouped;
use crate::workload::Changes;

const EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let collections = bench.size(20_000, 400_000);
    let lastword = Lastword::open(&bench.place.path("listed"))?;
    lastword.fill(collections)?;
    let (mut client, changes) = (lastword.clients(1), Changes::over(collections));
    let (mut ours, mut theirs) = ([0; 3].map(|_| Series::new("listed")), [0; 3].map(|_| Series::new("nobody lists")));
    let quantiles = [("median", 0.5), ("p99", 0.99), ("longest", 1.0)];
    for _ in 0..bench.rounds() {
        let quiet = drive(&mut client, &changes, bench.turn())?.latencies;
        let (is_over, handle) = (AtomicBool::new(false), lastword.handle());
        let (listed, busy) = thread::scope(|scope| {
            let lister = scope.spawn(|| {
                let mut lists = 0_u64;
                while !is_over.load(Ordering::Acquire) {
                    let begun = Instant::now();
                    if handle.list().is_err() {
                        break;
                    }
                    lists += 1;
                    thread::sleep(EVERY.saturating_sub(begun.elapsed()));
                }
                lists
            });
            let busy = drive(&mut client, &changes, bench.turn());
            is_over.store(true, Ordering::Release);
            (lister.join().unwrap_or(0), busy)
        });
        let busy = busy?.latencies;
        eprintln!("surroundings: {listed} lists of {} collections", grouped(collections));
        for ((_, quantile), (ours, theirs)) in quantiles.iter().zip(ours.iter_mut().zip(&mut theirs)) {
            ours.values.push(busy.micros(*quantile));
            theirs.values.push(quiet.micros(*quantile));
        }
    }
    for ((named, _), (ours, theirs)) in quantiles.iter().zip(ours.iter().zip(&theirs)) {
        let case = format!("declared, {} listed, {named}", grouped(collections));
        let measure = Measure { suite: Suite::Surroundings, case: &case, unit: "us", better: Better::Less };
        let target = Target { ratio: 1.0 / 1.2, text: "<= 1.2 x without lists" };
        bench.report.row(measure, ours, theirs, (*named == "median").then_some(target));
    }
    lastword.close()
}
