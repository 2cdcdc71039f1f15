//! Files: packing a million fragments against sorting them; the version of a directory of 10,000 files against a bare
//! walk with `stat`; and building again after one of 1,000 files has changed against the first build, with a builder
//! that reads the bytes of its segments and with none, where the manifest is the result.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lastword::external::{
    FileVersion, Fragment, LocalStore, NoBuilder, ScanRequest, SegmentBuilder, SourcePath, Stat, balance, scan,
};

use super::scale::grouped;
use crate::args::Suite;
use crate::bench::Bench;
use crate::contestants::lake::{Lake, Reads, now, source};
use crate::failure::Result;
use crate::load::as_f64;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};

/// A file that was changed less than two seconds ago is read at every scan, because its times say too little.
pub(super) const UNTIL_OLD: Duration = Duration::from_millis(2_200);

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    balancing(bench);
    scanning(bench)?;
    building(bench, "no builder", &NoBuilder)?;
    building(bench, "builder that reads", &Reads)
}

fn balancing(bench: &mut Bench) {
    let count = bench.size(50_000, 1_000_000);
    let fragments: Vec<Fragment> = (0..count).map(fragment).collect();
    let (mut balanced, mut sorted) = (Series::new("lastword"), Series::new("sort them"));
    for _ in 0..bench.rounds() {
        let input = fragments.clone();
        let began = Instant::now();
        let bins = balance(input, 1_000_000);
        balanced.values.push(millis(began));
        drop(bins);
        let mut input = fragments.clone();
        let began = Instant::now();
        input.sort_unstable();
        sorted.values.push(millis(began));
    }
    let case = format!("balance of {} fragments", grouped(count));
    let measure = Measure { suite: Suite::Plan, case: &case, unit: "ms", better: Better::Less };
    let target = Target { ratio: 1.0 / 3.0, text: "<= 3 x sorting" };
    bench.report.row(measure, &balanced, &sorted, Some(target));
}

/// In no order, of 1 to about 131,000 rows.
fn fragment(n: u64) -> Fragment {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let path = SourcePath(format!("year=2026/month={:02}/part-{:016x}.parquet", mixed % 12 + 1, mixed).into_bytes());
    let version = FileVersion::of(Stat { size: mixed >> 40, inode: n, ..Stat::default() });
    Fragment { path, start: 0, end: (mixed >> 47) + 1, version }
}

fn scanning(bench: &mut Bench) -> Result<()> {
    let count: u64 = bench.size(1_000, 10_000);
    let directory = bench.place.path("plan-files");
    for n in 0..count {
        let folder = directory.join(format!("part={:02}", n % 20));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{n:08}.parquet")), n.to_le_bytes())?;
    }
    std::thread::sleep(UNTIL_OLD);
    let source = source(&directory)?;
    let (mut scanned, mut walked) = (Series::new("lastword"), Series::new("walk with stat"));
    let mut unchanged = Series::new("lastword");
    for _ in 0..bench.rounds() {
        let began = Instant::now();
        let found = scan(&ScanRequest::new(&LocalStore, &source, now()?))?;
        scanned.values.push(millis(began));
        let known = Some(&found.set);
        let began = Instant::now();
        let again = scan(&ScanRequest { known, applied: known, ..ScanRequest::new(&LocalStore, &source, now()?) })?;
        unchanged.values.push(millis(began));
        if again.version != found.version {
            return Err("a scan of what has not changed found a change".into());
        }
        let began = Instant::now();
        let bytes = walk(&directory)?;
        walked.values.push(millis(began));
        if (found.set.len() as u64, found.set.bytes()) != (count, bytes) {
            return Err(format!("the scan found {} files of {count}", found.set.len()).into());
        }
    }
    let case = format!("version of {} files", grouped(count));
    let measure = Measure { suite: Suite::Plan, case: &case, unit: "ms", better: Better::Less };
    let target = Target { ratio: 1.0 / 2.0, text: "<= 2 x a walk with stat" };
    bench.report.row(measure, &scanned, &walked, Some(target));
    let case = format!("look at {} unchanged files", grouped(count));
    let measure = Measure { suite: Suite::Plan, case: &case, unit: "ms", better: Better::Less };
    let target = Target { ratio: 1.0 / 1.5, text: "<= 1.5 x a walk with stat" };
    bench.report.row(measure, &unchanged, &walked, Some(target));
    Ok(())
}

/// The sizes of all files, by `lstat`.
pub(super) fn walk(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { walk(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}

fn building(bench: &mut Bench, named: &str, builder: &dyn SegmentBuilder) -> Result<()> {
    let count: u64 = bench.size(200, 1_000);
    let directory = bench.place.path(&format!("plan-lake {named}"));
    let mut lake = Lake::write(&directory, count)?;
    let (mut again, mut first) = (Series::new("lastword"), Series::new("first build"));
    for round in 0..bench.rounds() {
        std::thread::sleep(UNTIL_OLD);
        lake.start_over()?;
        let began = Instant::now();
        lake.build(builder)?;
        first.values.push(millis(began));
        lake.change(as_index(round, count))?;
        let began = Instant::now();
        lake.build(builder)?;
        again.values.push(millis(began));
    }
    let case = format!("1 of {} files, {named}", grouped(count));
    let measure = Measure { suite: Suite::Plan, case: &case, unit: "ms", better: Better::Less };
    let target = Target { ratio: 20.0, text: "<= 5 % of the first build" };
    bench.report.row(measure, &again, &first, Some(target));
    Ok(())
}

/// Another file in every round.
fn as_index(round: usize, count: u64) -> u64 {
    (round as u64 * 37) % count
}

pub(super) fn millis(began: Instant) -> f64 {
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    as_f64(micros) / 1e3
}
