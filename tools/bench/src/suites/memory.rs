//! Resident bytes of an idle collection: applied, nothing to do; a name of 40 characters, a source of 60. What a
//! process of its own takes that opens the log from its snapshot, less what one takes that only opens sled. What sled
//! takes once all of it was read, which its cache bounds whatever the number of collections, is told on its own.

use std::fs;
use std::path::Path;

use lastword::Reconciler;
use lastword::snapshot::Snapshots;

use super::scale::grouped;
use crate::args::Suite;
use crate::bench::Bench;
use crate::child::{Holding, Question, ask};
use crate::contestants::cycling::{nothing, open_pool, wait_until_idle};
use crate::contestants::frames::open_sled;
use crate::contestants::lastword::one_snapshot_at_the_end;
use crate::failure::Result;
use crate::load::as_f64;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let collections = bench.size(20_000, 1_000_000);
    let path = bench.place.path("memory");
    let lastword = open_pool(&path, |builder| one_snapshot_at_the_end(builder, collections))?;
    lastword.fill_kind(collections, &nothing()?)?;
    wait_until_idle(&lastword.handle())?;
    lastword.close()?;

    let resident = |holding| ask::<u64>(&Question::Resident(holding));
    let sled = resident(Holding::Sled(path.clone()))?;
    let read = resident(Holding::SledRead(path.clone()))?;
    let open = resident(Holding::Reconciler(path.clone()))?.saturating_sub(sled);
    let state = resident(Holding::State(path))?;
    let each = |bytes| Series::once("lastword", as_f64(bytes) / as_f64(collections));
    let bound = Series::once("the bound", 400.0);
    let target = Target { ratio: 1.0, text: "<= 400 B" };
    for (what, bytes) in [("reconciler", open), ("state alone", state)] {
        let case = format!("{} idle, {what}", grouped(collections));
        let measure = Measure { suite: Suite::Memory, case: &case, unit: "B", better: Better::Less };
        bench.report.row(measure, &each(bytes), &bound, Some(target));
    }
    let measure = Measure { suite: Suite::Memory, case: "sled, all of it read", unit: "MiB", better: Better::Less };
    let mebibytes = |bytes| as_f64(bytes) / as_f64(1 << 20);
    let capacity = Series::once("the capacity it is given", mebibytes(64 << 20));
    bench.report.row(measure, &Series::once("lastword", mebibytes(read)), &capacity, None);
    Ok(())
}

/// How many bytes more are resident with it than before. For a process of its own.
pub(crate) fn resident(holding: &Holding) -> Result<u64> {
    let before = resident_now()?;
    let after = match holding {
        Holding::Reconciler(path) => with_reconciler(path)?,
        Holding::Sled(path) => with_sled(path, |tree| tree.last().map(drop))?,
        Holding::SledRead(path) => with_sled(path, |tree| tree.iter().try_for_each(|entry| entry.map(drop)))?,
        Holding::State(path) => with_state(path)?,
    };
    Ok(after.saturating_sub(before))
}

fn with_reconciler(path: &Path) -> Result<u64> {
    let reconciler = Reconciler::open(path).start()?;
    // An answer: it has come to rest.
    let stats = reconciler.handle().stats()?;
    if stats.live > 0 {
        return Err(format!("{} collections are not idle", stats.live).into());
    }
    let resident = resident_now()?;
    reconciler.shutdown(std::time::Duration::from_secs(60))?;
    Ok(resident)
}

fn with_sled(path: &Path, read: impl Fn(&sled::Tree) -> sled::Result<()>) -> Result<u64> {
    let db = open_sled(&path.join("sled"))?;
    let tree = db.open_tree("frames")?;
    read(&tree)?;
    resident_now()
}

fn with_state(path: &Path) -> Result<u64> {
    let snapshots = Snapshots::of_log(path);
    let last = *snapshots.list()?.first().ok_or("no snapshot was taken")?;
    let state = snapshots.load(last)?;
    let resident = resident_now()?;
    drop(state);
    Ok(resident)
}

/// What Linux says.
pub(crate) fn resident_now() -> Result<u64> {
    of_status("VmRSS")
}

/// The most that was resident at any time.
pub(crate) fn most_resident() -> Result<u64> {
    of_status("VmHWM")
}

fn of_status(field: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let line = line.ok_or_else(|| format!("no {field} in /proc/self/status"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}
