//! A directory of many small files. What a look holds is counted in a process of its own, whose memory nothing else has
//! touched: what stays, and the most that there ever was.

use std::fs;
use std::path::Path;
use std::time::Instant;

use lastword::external::{LocalStore, ScanRequest, scan};
use serde::{Deserialize, Serialize};

use crate::args::Suite;
use crate::bench::Bench;
use crate::child::{Question, ask};
use crate::contestants::lake::{now, source};
use crate::failure::Result;
use crate::load::as_f64;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::suites::memory::{most_resident, resident_now};
use crate::suites::plan::{UNTIL_OLD, millis, walk};
use crate::suites::reach::documents::Documents;
use crate::suites::scale::grouped;

/// Bytes more than before the first look.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Looked {
    /// With the set that was found, after looks that found it unchanged.
    held: u64,
    /// At the worst moment of all of them.
    most: u64,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let count: u64 = bench.size(5_000, 200_000);
    let directory = bench.place.path("reach-files");
    for n in 0..count {
        let folder = directory.join(format!("part={:03}", n % 200));
        if n < 200 {
            fs::create_dir_all(&folder)?;
        }
        fs::write(folder.join(format!("{n:08}.parquet")), n.to_le_bytes())?;
    }
    std::thread::sleep(UNTIL_OLD);
    times(bench, &directory, count)?;
    one_changed(bench, &directory, count)?;

    let looked: Looked = ask(&Question::Look(directory))?;
    let bound = Series::once("the bound", 300.0);
    for (what, bytes) in [("held", looked.held), ("at the most", looked.most)] {
        let case = format!("{} files, {what}", grouped(count));
        let measure = Measure { suite: Suite::Reach, case: &case, unit: "B a file", better: Better::Less };
        let each = Series::once("lastword", as_f64(bytes) / as_f64(count));
        bench.report.row(measure, &each, &bound, Some(Target { ratio: 1.0, text: "<= 300 B" }));
    }
    Ok(())
}

fn times(bench: &mut Bench, directory: &Path, count: u64) -> Result<()> {
    let source = source(directory)?;
    let (mut first, mut unchanged) = (Series::new("lastword"), Series::new("lastword"));
    let mut walked = Series::new("walk with stat");
    for _ in 0..bench.rounds() {
        let began = Instant::now();
        let found = scan(&ScanRequest::new(&LocalStore, &source, now()?))?;
        first.values.push(millis(began));
        let known = Some(&found.set);
        let began = Instant::now();
        let again = scan(&ScanRequest { known, applied: known, ..ScanRequest::new(&LocalStore, &source, now()?) })?;
        unchanged.values.push(millis(began));
        let began = Instant::now();
        let bytes = walk(directory)?;
        walked.values.push(millis(began));
        if again.version != found.version || (found.set.len() as u64, found.set.bytes()) != (count, bytes) {
            return Err("the looks and the walk found different files".into());
        }
    }
    for (what, series) in [("first look", first), ("look, unchanged", unchanged)] {
        let case = format!("{} files, {what}", grouped(count));
        let measure = Measure { suite: Suite::Reach, case: &case, unit: "ms", better: Better::Less };
        let target = Target { ratio: 1.0 / 2.0, text: "<= 2 x a walk with stat" };
        bench.report.row(measure, &series, &walked, Some(target));
    }
    Ok(())
}

/// One file changed, to its commit, against a look that finds nothing new.
fn one_changed(bench: &mut Bench, directory: &Path, count: u64) -> Result<()> {
    let mut documents = Documents::of(source(directory)?, bench.place.path("reach-files-objects"))?;
    documents.build(&LocalStore)?;
    let (mut changed, mut alone) = (Series::new("lastword"), Series::new("the look"));
    for round in 0..bench.rounds() {
        let began = Instant::now();
        documents.look(&LocalStore)?;
        alone.values.push(millis(began));
        let n = (round as u64 * 37 + 11) % count;
        fs::write(directory.join(format!("part={:03}/{n:08}.parquet", n % 200)), format!("changed {round}"))?;
        let began = Instant::now();
        let new = documents.build(&LocalStore)?;
        changed.values.push(millis(began));
        if new != 1 {
            return Err(format!("one file has changed, and {new} segments are new").into());
        }
    }
    let case = format!("1 of {} files, to its commit", grouped(count));
    let measure = Measure { suite: Suite::Reach, case: &case, unit: "ms", better: Better::Less };
    let target = Target { ratio: 1.0 / 1.3, text: "<= 1.3 x the look" };
    bench.report.row(measure, &changed, &alone, Some(target));
    Ok(())
}

/// Answers in a process of its own: a first look, and three that find nothing else.
pub(crate) fn looked(directory: &Path) -> Result<Looked> {
    let source = source(directory)?;
    let before = resident_now()?;
    let mut found = scan(&ScanRequest::new(&LocalStore, &source, now()?))?;
    for _ in 0..3 {
        let request = ScanRequest { known: Some(&found.set), ..ScanRequest::new(&LocalStore, &source, now()?) };
        found = scan(&request)?;
    }
    let held = resident_now()?.saturating_sub(before);
    drop(found);
    Ok(Looked { held, most: most_resident()?.saturating_sub(before) })
}
