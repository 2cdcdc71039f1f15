//! From a change of a source to its commit: by itself, and beside four sources whose observations hang. Those are real
//! calls that do not come back: a named pipe is opened, and nobody opens its other end.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Built, Coalesce, Event, Kind, Name, Policy, Seq, Source, SourceState, Version};
use lastword::engine::{Watch, WatchItem};
use lastword::worker::{Context, Failure as WorkFailure, Observation, ObserveError, ObserveRequest, Observer, Worker};
use lastword::{Declaration, Reconciler};

use crate::args::Suite;
use crate::bench::Bench;
use crate::failure::Result;
use crate::load::Latencies;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};

const HANGING: usize = 4;
const INTERVAL: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);
/// Opens without waiting for the other end.
const NONBLOCK: i32 = 0o4000;

/// Each file is a source, on a mount of its own.
struct Mounts;

impl Observer for Mounts {
    fn observe(&self, request: &ObserveRequest<'_>) -> std::result::Result<Observation, ObserveError> {
        let said = |error: String| ObserveError(error);
        let bytes = fs::read(request.source.as_str()).map_err(|error| said(error.to_string()))?;
        let version = Version::new(&bytes).map_err(|error| said(error.to_string()))?;
        Ok(Observation::new(SourceState { version, set: None }, None))
    }

    fn domain(&self, source: &Source) -> Option<String> {
        Some(source.as_str().to_owned())
    }
}

impl Worker for Mounts {
    fn run(&self, _: &Context) -> std::result::Result<Built, WorkFailure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

/// A reconciler with one source that answers.
struct Follower {
    reconciler: Reconciler,
    watch: Watch,
    file: PathBuf,
    hanging: Vec<PathBuf>,
    changes: u64,
}

impl Follower {
    fn start(directory: &Path, hanging: usize) -> Result<Follower> {
        fs::create_dir_all(directory)?;
        let reconciler = Reconciler::open(directory.join("state"))
            .kind(Kind::new("mount")?, Mounts)
            .observe_interval(INTERVAL)
            .start()?;
        let hanging: Vec<PathBuf> = (0..hanging).map(|n| directory.join(format!("pipe-{n}"))).collect();
        for pipe in &hanging {
            if !Command::new("mkfifo").arg(pipe).status()?.success() {
                return Err("mkfifo failed".into());
            }
            declare(&reconciler, pipe)?;
        }
        // Until each of them hangs.
        thread::sleep(Duration::from_secs(1));
        let (file, watch) = (directory.join("file"), reconciler.handle().watch(Seq(1)));
        let mut follower = Follower { reconciler, watch, file, hanging, changes: 0 };
        follower.write()?;
        declare(&follower.reconciler, &follower.file)?;
        follower.until_committed()?;
        Ok(follower)
    }

    fn write(&mut self) -> Result<()> {
        self.changes += 1;
        let new = self.file.with_extension("new");
        fs::write(&new, self.changes.to_string())?;
        Ok(fs::rename(new, &self.file)?)
    }

    fn until_committed(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            if let WatchItem::Event(event) = self.watch.next_within(LONG)?
                && matches!(event.event, Event::TaskCompleted { .. })
            {
                return Ok(());
            }
        }
        Err(format!("no commit within {LONG:?}").into())
    }

    /// The median of some changes, in microseconds.
    fn follow(&mut self, changes: usize) -> Result<f64> {
        let mut latencies = Latencies::new()?;
        for n in 0..changes {
            // Not in step with the interval.
            thread::sleep(Duration::from_millis(3 + 7 * (n as u64 % 5)));
            let changed = Instant::now();
            self.write()?;
            self.until_committed()?;
            latencies.add(changed.elapsed());
        }
        Ok(latencies.micros(0.5))
    }

    fn end(self) -> Result<()> {
        self.reconciler.shutdown(Duration::from_secs(1))?;
        // Lets the threads go that hang.
        for pipe in self.hanging {
            drop(OpenOptions::new().write(true).custom_flags(NONBLOCK).open(pipe));
        }
        Ok(())
    }
}

fn declare(reconciler: &Reconciler, source: &Path) -> Result<()> {
    let name = source.file_name().and_then(|name| name.to_str()).ok_or("a name")?;
    let declaration = Declaration::new(Name::new(name)?)
        .kind(Kind::new("mount")?)
        .source(Source::new(source.to_str().ok_or("the path is not UTF-8")?)?)
        .policy(Policy { coalesce: Coalesce::NONE, ..Policy::default() });
    reconciler.handle().declare(declaration)?;
    Ok(())
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let mut alone = Follower::start(&bench.place.path("alone"), 0)?;
    let mut beside = Follower::start(&bench.place.path("beside"), HANGING)?;
    let (mut ours, mut theirs) = (Series::new("beside 4 that hang"), Series::new("by itself"));
    let changes = bench.size(10, 50);
    for _ in 0..bench.rounds() {
        theirs.values.push(alone.follow(changes)?);
        ours.values.push(beside.follow(changes)?);
    }
    let case = "followed, 4 of 5 sources hang";
    let measure = Measure { suite: Suite::Surroundings, case, unit: "us", better: Better::Less };
    let target = Target { ratio: 1.0 / 1.5, text: "<= 1.5 x its time alone" };
    bench.report.row(measure, &ours, &theirs, Some(target));
    alone.end()?;
    beside.end()
}
