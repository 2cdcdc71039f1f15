//! Disks that fail: one system call after the other of a real process is made to fail (`strace -e inject`), writes are
//! cut short (`prlimit --fsize`), and there are too few descriptors (`prlimit --nofile`).
//!
//! Whatever fails, the process lives, says so with an error, and acknowledges nothing more once its log is poisoned.
//! What it had acknowledged was durable: the disk as it is if the power goes too, with everything lost that no sync
//! covered that *succeeded*, has it. And once the fault is gone the directory opens, verifies and goes on.
//!
//! `IO_FAULTS_EXHAUSTIVE=1` makes every call fail, otherwise the dice of `IO_FAULTS_SEED` choose `IO_FAULTS_SAMPLES` (6)
//! of each kind. A failure prints the command that repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use lastword::core::vocabulary::Seq;
use test_support::disk::check::{Thoroughness, Told, check};
use test_support::disk::cut::{Fate, cut};
use test_support::disk::image::Place;
use test_support::disk::life::{Life, live};
use test_support::disk::model::{Disk, Step};
use test_support::disk::trace::{self, Call};
use test_support::disk::{Dice, RECORDED, fast_directory, has_strace, recording};

const CHILD: &str = "LASTWORD_FAULTY_STATE";

/// Short, with everything in it.
const LIFE: Life = Life {
    first: 0,
    declarations: 14,
    fillers: 0,
    files: 20,
    segments: 90,
    changes_every: 5,
    forgets_every: 12,
    snapshot_every: 9,
    shuts_down: true,
};

/// The same, behind some 1.2 MB: sled makes its file half a megabyte long at once, and shorter limits stop that.
const LARGE_LIFE: Life = Life { fillers: 20, ..LIFE };

/// Which calls fail, how, and whether the fault goes away by itself after one call.
const FAULTS: [(&str, &str, bool); 16] = [
    ("pwrite64", "EIO", true),
    ("pwrite64", "ENOSPC", false),
    ("write", "EIO", true),
    ("write", "ENOSPC", false),
    ("fsync", "EIO", true),
    ("fdatasync", "EIO", true),
    ("sync_file_range", "EIO", true),
    ("openat", "EMFILE", true),
    ("openat", "EMFILE", false),
    ("mkdir", "ENOSPC", false),
    ("rename", "EIO", true),
    ("unlink", "EIO", true),
    ("ftruncate", "EIO", true),
    ("copy_file_range", "ENOSPC", true),
    ("pread64", "EIO", true),
    ("getdents64", "EIO", true),
];

/// What the process does. It is this very test binary, and without its variable this test is nothing.
#[test]
fn child() {
    let Some(state) = env::var_os(CHILD) else { return };
    // sled's panics are expected here, and their backtraces would take most of the time.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    live(Path::new(&state), if env::var_os("LASTWORD_FAULTY_LARGE").is_some() { &LARGE_LIFE } else { &LIFE });
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

/// One life under a fault.
struct Faulty {
    home: tempfile::TempDir,
    trace: PathBuf,
    output: Output,
}

impl Faulty {
    /// `limits` are arguments of prlimit, `inject` of strace.
    fn live(limits: &[String], traced: &str, inject: Option<&str>) -> Faulty {
        let home = fast_directory();
        let trace = home.path().join("trace");
        let root = home.path().join("disk");
        std::fs::create_dir(&root).unwrap();
        // A minute is far more than a life takes: a process that hangs is ended, and that is a failure.
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "60"]);
        let strace = recording(&trace);
        command.arg(strace.get_program()).args(strace.get_args());
        command.arg(format!("-etrace={RECORDED},{traced}")).args(inject.map(|inject| format!("-einject={inject}")));
        if !limits.is_empty() {
            // The signal is ignored, so that the write fails instead.
            command.args(["bash", "-c", "trap '' XFSZ; exec prlimit \"$@\"", "bash"]).args(limits);
        }
        command.arg(env::current_exe().unwrap()).args([
            "--exact",
            "io_faults::child",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(CHILD, root.join("state")).env("RUST_BACKTRACE", "0");
        if limits.iter().any(|limit| limit.starts_with("--fsize")) {
            command.env("LASTWORD_FAULTY_LARGE", "1");
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        Faulty { home, trace, output }
    }

    fn root(&self) -> PathBuf {
        self.home.path().join("disk")
    }

    fn calls(&self) -> Vec<Call> {
        trace::read_all(std::slice::from_ref(&self.trace)).remove(0)
    }

    /// Holds what happened against the promises; what is wrong comes back as text.
    fn judge(&self, calls: &[Call]) -> Result<String, String> {
        let (mut disk, mut told) = (Disk::new(&self.root()), Told::default());
        for call in calls {
            if let Step::Told(text) = disk.take(call) {
                told.take(&text);
            }
        }
        let error = String::from_utf8_lossy(&self.output.stderr);
        let Some(end) = told.end.clone().filter(|_| self.output.status.success()) else {
            return Err(format!("the process ended with {}: {error}", self.output.status));
        };
        if end.contains("Panicked(") {
            return Err(format!("{end}\n{error}"));
        }
        let begun = told.digests.len() > 1 || told.acknowledged > Seq::ZERO;
        let lost = self.home.path().join("lost");
        std::fs::create_dir(&lost).unwrap();
        Place::at(&lost).make(&cut(&disk, Fate::Lost));
        let check = |state: &Path, how, when: &str| {
            check(state, &told, how)
                .and_then(|found| found.hold_against(&told).map(|()| found))
                .map_err(|what| format!("{when}: {what}\n  the process: {end}"))
        };
        check(&lost.join("state"), Thoroughness::Verifies, "if the power goes too")?;
        check(&self.root().join("state"), Thoroughness::GoesOn, "once the fault is gone")?;
        Ok(match (end.starts_with("failed"), begun) {
            (true, true) => "poisoned",
            (true, false) => "not started",
            (false, _) => "lived",
        }
        .to_owned())
    }
}

/// At which of its calls a thread can be hit: the numbers of those that concern the directory.
pub(crate) fn targets(calls: &[Call], root: &Path) -> BTreeMap<String, BTreeSet<u64>> {
    let (mut counts, mut found) = (BTreeMap::<(u32, &str), u64>::new(), BTreeMap::<String, BTreeSet<u64>>::new());
    let mut in_order: Vec<&Call> = calls.iter().collect();
    in_order.sort_by_key(|call| call.begin);
    for call in in_order {
        let count = counts.entry((call.thread, &call.name)).or_default();
        *count += 1;
        if call.concerns(root) {
            found.entry(call.name.clone()).or_default().insert(*count);
        }
    }
    found
}

/// strace counts the calls of each thread by itself, so a number may hit several threads, one after the other.
#[test]
fn whichever_call_fails_nothing_acknowledged_is_lost_and_nothing_more_is_acknowledged() {
    if env::var_os(CHILD).is_some() || !has_strace() {
        return;
    }
    let begun = Instant::now();
    let sound = Faulty::live(&[], "pread64,getdents64", None);
    let calls = sound.calls();
    assert_eq!(sound.judge(&calls).as_deref(), Ok("lived"), "without a fault");
    let targets = targets(&calls, &sound.root());
    let (only, seed) = (env::var("IO_FAULT").ok(), number("IO_FAULTS_SEED").unwrap_or(1));
    let samples = number("IO_FAULTS_SAMPLES").unwrap_or(6);
    let mut jobs = Vec::new();
    for (index, (call, error, once)) in FAULTS.iter().enumerate() {
        let all: Vec<u64> = targets.get(*call).into_iter().flatten().copied().collect();
        let mut dice = Dice(seed.wrapping_mul(100) + index as u64);
        let chosen: BTreeSet<u64> = match env::var_os("IO_FAULTS_EXHAUSTIVE") {
            Some(_) => all.iter().copied().collect(),
            None => {
                (0..samples).filter(|_| !all.is_empty()).map(|_| all[dice.below(all.len() as u64) as usize]).collect()
            }
        };
        let plus = if *once { "" } else { "+" };
        jobs.extend(chosen.into_iter().map(|when| format!("{call}:error={error}:when={when}{plus}")));
    }
    if let Some(only) = only {
        jobs = vec![only];
    }
    let all = jobs.len();
    let ends = each(jobs, under_fault);
    println!("{all} faults in {:?}: {ends:?}", begun.elapsed());
}

/// sled keeps it to itself when one of its own syncs fails, and no later sync of the same file says that something of it is
/// lost: a log whose first bytes were never on the disk was made complete, and was gone after a power cut.
#[test]
fn a_sync_that_fails_while_the_log_is_created_is_not_believed_later() {
    if env::var_os(CHILD).is_some() || !has_strace() {
        return;
    }
    let ends = each((1..=8).map(|when| format!("fsync:error=EIO:when={when}")).collect(), under_fault);
    println!("{ends:?}");
}

fn under_fault(inject: &String) -> Result<String, String> {
    let call = inject.split(':').next().unwrap();
    let faulty = Faulty::live(&[], call, Some(inject));
    let calls = faulty.calls();
    let hit: Vec<&Call> = calls.iter().filter(|call| call.injected).collect();
    if !hit.iter().any(|call| call.concerns(&faulty.root())) || hit.iter().any(|call| !call.concerns(&faulty.root())) {
        // It hit the test harness or nothing.
        return Ok("elsewhere".to_owned());
    }
    faulty.judge(&calls).map_err(|what| {
        let hit: Vec<String> = hit.iter().take(3).map(|call| call.describe()).collect();
        let repeat = "cargo test -p lastword --all-features --test faults whichever_call";
        format!("{inject} at {}\n  {what}\n  repeat: IO_FAULT={inject} {repeat}", hit.join(", "))
    })
}

/// Short writes are real here: what goes beyond the limit is cut off, wherever that is.
#[test]
fn writes_that_are_cut_short_lose_nothing_acknowledged() {
    if env::var_os(CHILD).is_some() || !has_strace() {
        return;
    }
    let mut dice = Dice(number("IO_FAULTS_SEED").unwrap_or(1));
    let samples = 4 * number("IO_FAULTS_SAMPLES").unwrap_or(6);
    let jobs = (0..samples).map(|_| format!("--fsize={}", 400_000 + dice.below(1_200_000))).collect();
    under_limits(jobs, "writes_that");
}

/// Numbers of descriptors up to one that suffices.
#[test]
fn too_few_descriptors_lose_nothing_acknowledged() {
    if env::var_os(CHILD).is_some() || !has_strace() {
        return;
    }
    under_limits((4..30).step_by(2).map(|files| format!("--nofile={files}")).collect(), "too_few");
}

fn under_limits(jobs: Vec<String>, test: &str) {
    let begun = Instant::now();
    let jobs = env::var("IO_LIMIT").map_or(jobs, |only| vec![only]);
    let all = jobs.len();
    let ends = each(jobs, |limit| {
        let faulty = Faulty::live(std::slice::from_ref(limit), "pread64", None);
        let calls = faulty.calls();
        if !calls.iter().any(|call| call.concerns(&faulty.root())) {
            // Too few even to begin.
            return Ok("elsewhere".to_owned());
        }
        faulty.judge(&calls).map_err(|what| {
            let repeat = format!("cargo test -p lastword --all-features --test faults {test}");
            format!("{limit}\n  {what}\n  repeat: IO_LIMIT={limit} {repeat}")
        })
    });
    println!("{all} limits in {:?}: {ends:?}", begun.elapsed());
}

/// Goes through `jobs` on two threads and counts how they ended. Fails with the first few that are wrong.
fn each(mut jobs: Vec<String>, judge: impl Fn(&String) -> Result<String, String> + Sync) -> BTreeMap<String, u32> {
    jobs.reverse();
    let (jobs, ends, wrong) = (Mutex::new(jobs), Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while wrong.lock().unwrap().len() < 3 {
                    let Some(job) = jobs.lock().unwrap().pop() else { return };
                    match judge(&job) {
                        Ok(end) => *ends.lock().unwrap().entry(end).or_default() += 1,
                        Err(what) => wrong.lock().unwrap().push(what),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    ends.into_inner().unwrap()
}
