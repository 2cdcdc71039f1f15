//! From a log of ten million events back to a state, on one core: hashes and chain are checked, events decoded and
//! folded. Held against reading the same bytes from sled and hashing them, which nobody can do without.

use std::path::Path;
use std::time::Instant;

use lastword::Reconciler;
use lastword::log::{Durability, IfAbsent, Log, SledLog};
use lastword::replay::{self, Until};

use crate::args::Suite;
use crate::bench::Bench;
use crate::contestants::frames::open_sled;
use crate::contestants::lastword::Lastword;
use crate::failure::Result;
use crate::load::as_f64;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::workload::Changes;

const COLLECTIONS: u64 = 10_000;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let path = bench.place.path("replay");
    let events = write(&path, bench.size(300_000, 10_000_000))?;
    let rate = |began: Instant| as_f64(events) / began.elapsed().as_secs_f64();
    let mut hashed = Series::new("read from sled and hash");
    let (mut replayed, mut verified) = (Series::new("lastword"), Series::new("lastword"));
    for _ in 0..bench.rounds() {
        let tree = open_sled(&path.join("sled"))?.open_tree("frames")?;
        let began = Instant::now();
        hash(&tree)?;
        hashed.values.push(rate(began));
        drop(tree);

        // Opening checks all of it as well; what counts is a reader that begins anew.
        let log = SledLog::open(&path, IfAbsent::Refuse, Durability::Power)?;
        let reader = log.reader();
        let began = Instant::now();
        let state = replay::state_at(&*reader, Until::End)?;
        replayed.values.push(rate(began));
        drop(state);
        let began = Instant::now();
        replay::verify(&*reader, None)?;
        verified.values.push(rate(began));
        drop(reader);
        Box::new(log).close()?;
    }
    let target = Target { ratio: 0.4, text: ">= 0.4 of reading and hashing" };
    let measure = |case| Measure { suite: Suite::Replay, case, unit: "events/s", better: Better::More };
    bench.report.row(measure("state_at"), &replayed, &hashed, Some(target));
    bench.report.row(measure("verify, with invariants"), &verified, &hashed, None);
    Ok(())
}

/// Writes a log of at least so many events, without snapshots. Says how many it has.
fn write(path: &Path, events: u64) -> Result<u64> {
    /// How often it is counted: some ten thousand events apart.
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
    let lastword = Lastword::start(Reconciler::open(path).snapshot_every(0))?;
    lastword.fill(COLLECTIONS)?;
    let changes = Changes::over(COLLECTIONS);
    while lastword.counters()?.events < events {
        lastword.pipelined(&changes, PAUSE)?;
    }
    let written = lastword.counters()?.events;
    lastword.close()?;
    Ok(written)
}

/// Reads every entry, and hashes the parts of each frame together.
fn hash(tree: &sled::Tree) -> Result<()> {
    let mut hasher = blake3::Hasher::new();
    for entry in tree {
        let (key, value) = entry?;
        if key.ends_with(&[0; 4]) {
            std::hint::black_box(hasher.finalize());
            hasher.reset();
        }
        hasher.update(&value);
    }
    std::hint::black_box(hasher.finalize());
    Ok(())
}
