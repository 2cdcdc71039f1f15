//! A task that takes its process with it, in real processes: those that run beside it are never given up for it, and it is
//! given up soon.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::*;
use lastword::core::{CollectionView, State};
use lastword::engine::Reconciler;
use lastword::log::PrivateCopy;
use lastword::replay::{self, Until};
use lastword::worker::{Context, Failure, Worker};

const CHILD: &str = "LASTWORD_KILLER_CHILD";
const INNOCENTS: [&str; 3] = ["b", "c", "d"];
const LONG: Duration = Duration::from_secs(60);

/// Builds for a while; of the killer it ends the process in the middle of it.
struct Deadly;

impl Worker for Deadly {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        if context.name().as_str() == "killer" {
            std::thread::sleep(Duration::from_millis(50));
            std::process::abort();
        }
        if context.wait_stopped(Duration::from_millis(200)) {
            return Err(Failure::Stopped);
        }
        Ok(Built::default())
    }
}

/// One life: until everything is built or given up, or the process is gone.
#[test]
fn child() {
    let Some(state) = env::var_os(CHILD).map(PathBuf::from) else { return };
    let kind = Kind::new("deadly").unwrap();
    let reconciler = Reconciler::open(state).kind(kind.clone(), Deadly).workers(4).start().unwrap();
    let handle = reconciler.handle();
    for name in ["killer"].into_iter().chain(INNOCENTS) {
        let declaration = Declaration::new(Name::new(name).unwrap()).kind(kind.clone());
        handle.declare(declaration.source(Source::new("there").unwrap()).unversioned()).unwrap();
    }
    let begun = Instant::now();
    let rests = |view: &CollectionView| ["fresh", "parked"].contains(&view.condition.name());
    while begun.elapsed() < LONG && !handle.list().unwrap().iter().all(|status| rests(&status.view)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    reconciler.shutdown(LONG).unwrap();
}

fn live(state: &Path) -> bool {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "killer::child", "--test-threads=1"])
        .env(CHILD, state)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

#[test]
fn defect_13_a_task_that_ends_its_process_runs_alone_and_is_given_up_soon() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let lives = (1..=10).find(|_| live(&state)).expect("after a few lives nothing ends the process any more");
    assert_eq!(lives, 6, "two beside others, three alone, and one in peace");
    let copy = PrivateCopy::of(&state).unwrap();
    let reader = copy.reader();
    let end: State = replay::state_at(reader.as_ref(), Until::End).unwrap();
    let condition = |name: &str| {
        let id = end.id_of(&Name::new(name).unwrap()).unwrap();
        CollectionView::of(&end, id, end.at()).unwrap().condition.name()
    };
    assert_eq!(condition("killer"), "parked");
    for name in INNOCENTS {
        assert_eq!(condition(name), "fresh", "{name}");
    }
    // From the third life on the killer took nobody with it.
    let mut lost = std::collections::BTreeMap::<u64, usize>::new();
    for event in replay::events(reader.as_ref(), Seq(1)) {
        let event = event.unwrap();
        if matches!(event.event, Event::AttemptFailed { reason: FailReason::WorkerLost, .. }) {
            *lost.entry(event.epoch.0).or_default() += 1;
        }
    }
    let lost: Vec<usize> = lost.into_values().collect();
    assert_eq!(lost, [4, 4, 1, 1, 1]);
}
