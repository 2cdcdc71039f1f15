//! Directories that are watched and in which nothing happens: how much of a core they take, and how many threads, in a
//! process of its own. Against the bound, and against a process with a single one.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Coalesce, Command, Kind, Name, Policy, Source, Spec};
use lastword::external::External;
use lastword::{Declaration, Reconciler};
use serde::{Deserialize, Serialize};

use crate::args::Suite;
use crate::bench::Bench;
use crate::child::{Question, ask};
use crate::contestants::lake::Lake;
use crate::failure::Result;
use crate::load::as_f64;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::suites::scale::grouped;

const LONG: Duration = Duration::from_secs(600);
/// Files are racy for two seconds after they were written, and are hashed until then.
const SETTLING: Duration = Duration::from_secs(10);

/// What a process takes that is left alone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Idle {
    /// Of a core.
    percent: f64,
    threads: u64,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let many = bench.size(200, 2_000);
    let written = bench.place.path("idle-file");
    drop(Lake::write(&written, 1)?);
    let file = fs::read_dir(written.join("data"))?.next().ok_or("no file")??.path();
    let asked = |count: u64| -> Result<Idle> {
        let (lake, state) =
            (bench.place.path(&format!("idle-{count}")), bench.place.path(&format!("idle-state-{count}")));
        for n in 0..count {
            let directory = lake.join(format!("{n:06}"));
            fs::create_dir_all(&directory)?;
            fs::copy(&file, directory.join("a.parquet"))?;
        }
        ask(&Question::Idle { lake, state })
    };
    let (one, all) = (asked(1)?, asked(many)?);
    let case = format!("{} watched, idle", grouped(many));
    let measure = Measure { suite: Suite::Surroundings, case: &case, unit: "% of a core", better: Better::Less };
    let target = Target { ratio: 1.0, text: "<= 1 % of a core" };
    bench.report.row(measure, &Series::once("lastword", all.percent), &Series::once("the bound", 1.0), Some(target));
    let measure = Measure { suite: Suite::Surroundings, case: &case, unit: "threads", better: Better::Less };
    let (threads, of_one) =
        (Series::once("lastword", as_f64(all.threads)), Series::once("1 watched", as_f64(one.threads)));
    bench.report.row(measure, &threads, &of_one, Some(Target { ratio: 0.9, text: "no more than for one" }));
    Ok(())
}

/// Answers in a process of its own.
pub(crate) fn measure(lake: &Path, state: &Path) -> Result<Idle> {
    let reconciler = Reconciler::open(state).kind(Kind::new("external")?, External::local()).start()?;
    let handle = reconciler.handle();
    let mut declared = Vec::new();
    for entry in fs::read_dir(lake)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a name")?.to_owned();
        let declaration = Declaration::new(Name::new(&name)?)
            .kind(Kind::new("external")?)
            .source(Source::new(path.to_str().ok_or("the path is not UTF-8")?)?)
            .spec(Spec::parse(r#"{"format":"parquet"}"#)?)
            .policy(Policy { coalesce: Coalesce::NONE, ..Policy::default() });
        declared.push(Command::Declare(Box::new(declaration)));
    }
    let count = declared.len() as u64;
    for verdict in handle.batch(declared)? {
        verdict?;
    }
    let begun = Instant::now();
    while handle.stats()?.counters.committed < count {
        if begun.elapsed() > LONG {
            return Err(format!("not all of {count} collections are applied after {LONG:?}").into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(SETTLING);
    let (before, begun) = (ticks()?, Instant::now());
    thread::sleep(Duration::from_secs(20));
    let (used, span) = (ticks()? - before, begun.elapsed());
    let threads = fs::read_dir("/proc/self/task")?.count() as u64;
    reconciler.shutdown(Duration::from_secs(60))?;
    // Linux counts in hundredths of a second, on every machine that this runs on.
    Ok(Idle { percent: as_f64(used) / span.as_secs_f64(), threads })
}

/// Hundredths of a second that this process has had, in user mode and in the kernel.
fn ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no such line in /proc/self/stat")?;
    let mut fields = fields.split(' ').skip(11);
    let mut next = || -> Result<u64> { Ok(fields.next().ok_or("too few fields in /proc/self/stat")?.parse()?) };
    Ok(next()? + next()?)
}
