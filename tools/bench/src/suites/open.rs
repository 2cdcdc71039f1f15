//! Opening a log with many collections: with a snapshot held against reading and hashing the snapshot's bytes, without
//! one against the replay of the same log. And what taking snapshots does to those who wait for an answer meanwhile.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lastword::Reconciler;
use lastword::log::{Durability, IfAbsent, Log, SledLog};
use lastword::replay::{self, Until};
use lastword::snapshot::Snapshots;

use super::scale::grouped;
use crate::args::Suite;
use crate::bench::Bench;
use crate::child::{Question, ask};
use crate::contestants::lastword::{Lastword, one_snapshot_at_the_end};
use crate::failure::Result;
use crate::load::{Latencies, drive};
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::workload::Changes;

/// Clients that wait for answers while snapshots are taken.
const CLIENTS: usize = 16;

/// After so many turns without a snapshot something is wrong.
const MOST_TURNS: usize = 100;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let collections = bench.size(50_000, 1_000_000);
    let path = bench.place.path("open");
    let lastword = Lastword::start(one_snapshot_at_the_end(Reconciler::open(&path), collections))?;
    lastword.fill(collections)?;
    lastword.close()?;
    let named = grouped(collections);
    with_snapshot(bench, &path, &named)?;
    without_snapshot(bench, &path, &named)?;
    while_snapshots_are_taken(bench)
}

/// Opens the log in `path`. For a process of its own.
pub(crate) fn seconds(path: &Path) -> Result<f64> {
    let began = Instant::now();
    let reconciler = Reconciler::open(path).snapshot_every(0).start()?;
    let elapsed = began.elapsed().as_secs_f64();
    reconciler.shutdown(Duration::from_secs(60))?;
    Ok(elapsed)
}

fn with_snapshot(bench: &mut Bench, path: &Path, collections: &str) -> Result<()> {
    let snapshots = Snapshots::of_log(path);
    let last = *snapshots.list()?.first().ok_or("no snapshot was taken")?;
    let file = path.join("snapshots").join(format!("{:020}.snap", last.0));
    let (mut opened, mut hashed) = (Series::new("lastword"), Series::new("read and hash it"));
    for _ in 0..bench.rounds() {
        opened.values.push(1e3 * ask::<f64>(&Question::Open(path.to_owned()))?);
        let began = Instant::now();
        std::hint::black_box(blake3::hash(&fs::read(&file)?));
        hashed.values.push(1e3 * began.elapsed().as_secs_f64());
    }
    let case = format!("{collections}, with a snapshot");
    let measure = Measure { suite: Suite::Open, case: &case, unit: "ms", better: Better::Less };
    let target = Target { ratio: 1.0 / 3.0, text: "<= 3 x reading and hashing" };
    bench.report.row(measure, &opened, &hashed, Some(target));
    Ok(())
}

fn without_snapshot(bench: &mut Bench, path: &Path, collections: &str) -> Result<()> {
    let (snapshots, aside) = (path.join("snapshots"), path.with_extension("snapshots-aside"));
    fs::rename(&snapshots, &aside)?;
    let (mut opened, mut replayed) = (Series::new("lastword"), Series::new("replay of the log"));
    for _ in 0..bench.rounds() {
        opened.values.push(1e3 * ask::<f64>(&Question::Open(path.to_owned()))?);
        let log = SledLog::open(path, IfAbsent::Refuse, Durability::Power)?;
        let began = Instant::now();
        drop(replay::state_at(&*log.reader(), Until::End)?);
        replayed.values.push(1e3 * began.elapsed().as_secs_f64());
        Box::new(log).close()?;
    }
    if snapshots.exists() {
        fs::remove_dir_all(&snapshots)?;
    }
    fs::rename(&aside, &snapshots)?;
    let case = format!("{collections}, without a snapshot");
    let measure = Measure { suite: Suite::Open, case: &case, unit: "ms", better: Better::Less };
    // "At the speed of replay": what opening does beside it may cost a quarter.
    let target = Target { ratio: 0.8, text: "at replay speed (>= 0.8)" };
    bench.report.row(measure, &opened, &replayed, Some(target));
    Ok(())
}

/// The slowest hundredth of the answers, with snapshots all along and without any.
fn while_snapshots_are_taken(bench: &mut Bench) -> Result<()> {
    /// So few that the number of collections decides when the next one is taken.
    const EVENTS: u64 = 1_000;
    let collections = bench.size(50_000, 100_000);
    let path = &bench.place.path("open-taking");
    let lastword = Lastword::start(Reconciler::open(path).snapshot_every(0))?;
    lastword.fill(collections)?;
    lastword.close()?;
    let changes = Changes::over(collections);
    let (mut with, mut without) = (Series::new("lastword"), Series::new("no snapshots"));
    let (mut taken, mut turns) = (0, 0);
    for _ in 0..bench.rounds() {
        for (every, series) in [(EVENTS, &mut with), (0, &mut without)] {
            let lastword = Lastword::start(Reconciler::open(path).snapshot_every(every))?;
            let mut clients = lastword.clients(CLIENTS);
            let mut latencies = Latencies::new()?;
            for turn in 1.. {
                latencies.merge(&drive(&mut clients, &changes, bench.turn())?.latencies)?;
                // Until one was taken from beginning to end; then as long without any.
                if every == 0 && turn == turns || every > 0 && lastword.counters()?.snapshots > 0 {
                    turns = turn;
                    break;
                }
                if turn == MOST_TURNS {
                    return Err(format!("no snapshot was taken in {MOST_TURNS} turns").into());
                }
            }
            series.values.push(latencies.micros(0.99));
            taken += lastword.counters()?.snapshots;
            lastword.close()?;
        }
    }
    let case = format!("p99 of {CLIENTS} clients, {taken} snapshots");
    let measure = Measure { suite: Suite::Open, case: &case, unit: "us", better: Better::Less };
    let target = Target { ratio: 1.0 / 2.0, text: "raised by no more than 2 x" };
    bench.report.row(measure, &with, &without, Some(target));
    Ok(())
}
