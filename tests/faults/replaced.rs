//! The state directory is moved, removed, replaced by a backup or by a link, loses its lock or its file system, or is put
//! back, while a real process stands still in one of its system calls (`strace -e inject=..:signal=STOP`). A second run
//! is started for the path where that is possible.
//!
//! Whatever is acknowledged afterwards was in the directory that the path led to before: the process dies before it
//! acknowledges anything more, and writes nothing into what lies at the path by then.
//!
//! `REPLACED_EXHAUSTIVE=1` stops at every call, otherwise the dice of `REPLACED_SEED` choose `REPLACED_SAMPLES` (3) of
//! each kind. A failure prints the command that repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use lastword::core::vocabulary::Seq;
use lastword::log::PrivateCopy;
use test_support::disk::check::Told;
use test_support::disk::life::{Life, live};
use test_support::disk::trace::{self, Call};
use test_support::disk::{Dice, RECORDED, fast_directory, has_strace, recording};
use test_support::history::{self, LONG, copy_tree, declare};

const CHILD: &str = "LASTWORD_REPLACED_STATE";
const UNMOUNTED: &str = "LASTWORD_UNMOUNTED";

/// Short, with everything in it.
const LIFE: Life = Life {
    first: 0,
    declarations: 24,
    fillers: 0,
    files: 20,
    segments: 60,
    changes_every: 5,
    forgets_every: 12,
    snapshot_every: 9,
    shuts_down: true,
};

/// At which calls it is stopped: everything that writes or makes durable, and the looks at the directory themselves.
const CALLS: [&str; 9] =
    ["pwrite64", "fsync", "fdatasync", "sync_file_range", "openat", "mkdirat", "renameat", "unlinkat", "newfstatat"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    MovedAway,
    Removed,
    BackupAndASecondRun,
    LinkToABackup,
    LockRemoved,
    MovedAndPutBack,
}

const WAYS: [Way; 6] = [
    Way::MovedAway,
    Way::Removed,
    Way::BackupAndASecondRun,
    Way::LinkToABackup,
    Way::LockRemoved,
    Way::MovedAndPutBack,
];

/// What the process does. It is this very test binary, and without its variable this test is nothing.
#[test]
fn child() {
    let Some(state) = env::var_os(CHILD) else { return };
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    live(Path::new(&state), &LIFE);
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

/// One life that stands still at a call.
struct Stopped {
    home: tempfile::TempDir,
    trace: PathBuf,
    child: Child,
    stdout: thread::JoinHandle<String>,
}

impl Stopped {
    fn start(call: &str, when: u64) -> Stopped {
        let home = fast_directory();
        let trace = home.path().join("trace");
        fs::create_dir(home.path().join("disk")).unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-qq", "-xx", "-s256"]).arg(format!("-etrace={call}"));
        command.arg(format!("-einject={call}:signal=SIGSTOP:when={when}")).arg("-o").arg(&trace);
        command.arg(env::current_exe().unwrap());
        command.args(["--exact", "replaced::child", "--nocapture", "--test-threads=1"]);
        command.env(CHILD, home.path().join("disk/state")).env("RUST_BACKTRACE", "0");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            text
        });
        Stopped { home, trace, child, stdout }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("disk/state")
    }

    /// How often it was stopped so far.
    fn stops(&self) -> usize {
        let trace = fs::read(&self.trace).unwrap_or_default();
        String::from_utf8_lossy(&trace).matches("--- stopped by SIGSTOP ---").count()
    }

    /// Waits for one more stop than `seen`; nothing if it ends before.
    fn stop_after(&mut self, seen: usize) -> Option<usize> {
        let begun = Instant::now();
        loop {
            let stops = self.stops();
            if stops > seen {
                return Some(stops);
            }
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(begun.elapsed() < LONG, "it neither stops nor ends");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn go_on(&self) {
        let tracer = self.child.id();
        let children = fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).unwrap();
        for child in children.split_whitespace() {
            Command::new("kill").args(["-CONT", child]).status().unwrap();
        }
    }

    /// What it says until its end, however often it is stopped.
    fn told(mut self, mut seen: usize) -> (Told, tempfile::TempDir) {
        self.go_on();
        while let Some(stops) = self.stop_after(seen) {
            seen = stops;
            self.go_on();
        }
        let mut told = Told::default();
        // The test harness writes in front of the first line.
        told.take(&self.stdout.join().unwrap().replace("test replaced::child ... ", ""));
        (told, self.home)
    }
}

/// A log from before, closed in order.
fn make_backup(path: &Path) {
    let engine = history::builder(path).start().unwrap();
    declare(&engine.handle(), 0..5);
    engine.shutdown(LONG).unwrap();
}

fn replace(way: Way, state: &Path, home: &Path) {
    let (aside, backup) = (home.join("disk/aside"), home.join("disk/backup"));
    match way {
        Way::MovedAway => fs::rename(state, aside).unwrap(),
        Way::Removed => fs::remove_dir_all(state).unwrap(),
        Way::BackupAndASecondRun => {
            fs::rename(state, aside).unwrap();
            make_backup(&backup);
            fs::rename(&backup, state).unwrap();
            // The second run.
            let engine = history::builder(state).start().unwrap();
            declare(&engine.handle(), 5..9);
            engine.shutdown(LONG).unwrap();
        }
        Way::LinkToABackup => {
            fs::rename(state, aside).unwrap();
            make_backup(&backup);
            symlink(&backup, state).unwrap();
        }
        Way::LockRemoved => fs::remove_file(state.join("LOCK")).unwrap(),
        Way::MovedAndPutBack => {
            fs::rename(state, &aside).unwrap();
            fs::rename(&aside, state).unwrap();
        }
    }
}

fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, Vec::new());
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// What is wrong comes back as text, else how it ended.
fn judge((call, when, way): (&str, u64, Way)) -> Result<String, String> {
    let mut stopped = Stopped::start(call, when);
    let (state, home) = (stopped.state(), stopped.home.path().to_owned());
    let Some(mut seen) = stopped.stop_after(0) else { return Ok("not stopped".to_owned()) };
    // Each thread counts for itself: another one may be stopped before the log is begun.
    while !state.join("LOCK").exists() {
        stopped.go_on();
        match stopped.stop_after(seen) {
            Some(stops) => seen = stops,
            None => return Ok("not stopped".to_owned()),
        }
    }
    // What the path led to at this moment, as a crash would find it.
    let then = home.join("then");
    copy_tree(&state, &then);
    replace(way, &state, &home);
    let before = contents(&state);
    let (told, _home) = stopped.told(seen);
    let there = PrivateCopy::of(&then).map_or(Seq::ZERO, |copy| copy.end().seq);
    let stderr = || fs::read_to_string(home.join("stderr")).unwrap_or_default();
    let end = told.end.clone().ok_or_else(|| format!("it ended without a word: {}", stderr()))?;
    if way == Way::MovedAndPutBack {
        let there = PrivateCopy::of(&state).map_err(|error| format!("{error}: {end}"))?.end().seq;
        // Whoever opens a file by its path in the moment in between fails; nothing that was acknowledged is lost.
        return if told.acknowledged <= there { Ok("put back".to_owned()) } else { Err(format!("{there}: {told:?}")) };
    }
    if told.acknowledged > there {
        return Err(format!("event {} was acknowledged, the path led to {there}: {end}", told.acknowledged));
    }
    if matches!(way, Way::BackupAndASecondRun | Way::LinkToABackup) && before != contents(&state) {
        let after = contents(&state);
        let changed = after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).map(|(path, _)| path);
        let gone = before.keys().filter(|path| !after.contains_key(*path));
        let changed: Vec<_> = changed.chain(gone).collect();
        return Err(format!("it has written for the path: {changed:?}: {end}"));
    }
    Ok(if end.starts_with("failed") { "died" } else { "had ended" }.to_owned())
}

#[test]
fn defect_10_wherever_the_directory_is_replaced_nothing_is_acknowledged_that_its_path_does_not_lead_to() {
    if env::var_os(CHILD).is_some() || env::var_os(UNMOUNTED).is_some() || !has_strace() {
        return;
    }
    let (targets, seed) = (targets(), number("REPLACED_SEED").unwrap_or(1));
    let samples = number("REPLACED_SAMPLES").unwrap_or(3);
    let mut jobs = Vec::new();
    for (index, call) in CALLS.into_iter().enumerate() {
        let all: Vec<u64> = targets.get(call).into_iter().flatten().copied().collect();
        if env::var_os("REPLACED_EXHAUSTIVE").is_some() {
            jobs.extend(all.iter().flat_map(|when| WAYS.map(|way| (call, *when, way))));
            continue;
        }
        let mut dice = Dice(seed.wrapping_mul(100) + index as u64);
        for way in WAYS {
            let chosen = (0..samples).filter(|_| !all.is_empty());
            let chosen: BTreeSet<u64> = chosen.map(|_| all[dice.below(all.len() as u64) as usize]).collect();
            jobs.extend(chosen.into_iter().map(|when| (call, when, way)));
        }
    }
    if let Ok(only) = env::var("REPLACED") {
        jobs.retain(|job| format!("{job:?}") == only);
    }
    let ends = judge_all(jobs);
    assert!(ends.get("died").is_some_and(|died| *died > 10), "{ends:?}");
}

/// sled goes by a path while it opens, as does much of what is done around that. A snapshot of its own that it left in the
/// directory in the place of this one would be read as that log's.
#[test]
fn defect_10_a_log_in_the_place_of_one_that_is_being_opened_is_left_alone() {
    if env::var_os(CHILD).is_some() || env::var_os(UNMOUNTED).is_some() || !has_strace() {
        return;
    }
    // Up to the moment from which on the path is asked before each word.
    let (calls, root) = recorded();
    let last = calls.iter().position(|call| call.name == "openat" && call.path(1).ends_with("disk/state/notes"));
    let targets = crate::io_faults::targets(&calls[..=last.unwrap()], &root);
    let of = |call| targets[call].iter().map(move |when| (call, *when, Way::BackupAndASecondRun));
    let jobs = of("openat").chain(of("newfstatat")).collect();
    let ends = judge_all(jobs);
    assert!(ends.get("died").is_some_and(|died| *died > 10), "{ends:?}");
}

/// How they ended.
fn judge_all(jobs: Vec<(&str, u64, Way)>) -> BTreeMap<String, u32> {
    let begun = Instant::now();
    let (all, jobs) = (jobs.len(), Mutex::new(jobs));
    let (ends, wrong) = (Mutex::new(BTreeMap::<String, u32>::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while wrong.lock().unwrap().len() < 3 {
                    let Some(job) = jobs.lock().unwrap().pop() else { return };
                    match judge(job) {
                        Ok(end) => *ends.lock().unwrap().entry(end).or_default() += 1,
                        Err(what) => wrong.lock().unwrap().push(format!("{job:?}: {what}")),
                    }
                }
            });
        }
    });
    let (ends, wrong) = (ends.into_inner().unwrap(), wrong.into_inner().unwrap());
    println!("{all} times in {:?}: {ends:?}", begun.elapsed());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}\nrepeat: REPLACED='..' REPLACED_EXHAUSTIVE=1 cargo test -p lastword --all-features --test \
         faults replaced",
        wrong.len(),
        wrong.join("\n")
    );
    ends
}

/// At which of its calls a thread can be stopped: those that concern the directory.
fn targets() -> BTreeMap<String, BTreeSet<u64>> {
    let (calls, root) = recorded();
    crate::io_faults::targets(&calls, &root)
}

/// All calls of a life that nothing stops, and the directory that it was about.
fn recorded() -> (Vec<Call>, PathBuf) {
    let home = fast_directory();
    let (trace, root) = (home.path().join("trace"), home.path().join("disk"));
    fs::create_dir(&root).unwrap();
    let mut command = recording(&trace);
    command.arg(format!("-etrace={RECORDED},newfstatat")).arg(env::current_exe().unwrap());
    command.args(["--exact", "replaced::child", "--nocapture", "--test-threads=1"]);
    let output = command.env(CHILD, root.join("state")).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (trace::read_all(std::slice::from_ref(&trace)).remove(0), root)
}

/// In namespaces of its own, where a file system can be mounted and taken away.
#[test]
fn defect_10_a_file_system_that_is_unmounted_under_a_run_acknowledges_nothing_more() {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let Some(place) = env::var_os(UNMOUNTED).map(PathBuf::from) else {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", "mount -t tmpfs none \"$1\" || exit 77; shift; exec \"$@\"", "sh"]);
        command.arg(home.path()).arg(env::current_exe().unwrap()).args([
            "--exact",
            "replaced::defect_10_a_file_system_that_is_unmounted_under_a_run_acknowledges_nothing_more",
            "--nocapture",
        ]);
        match command.env(UNMOUNTED, home.path()).output() {
            Err(error) => println!("SKIPPED: there is no unshare: {error}"),
            Ok(output) if output.status.code() == Some(77) || output.status.code() == Some(1) => {
                println!("SKIPPED: nothing can be mounted: {}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        }
        return;
    };
    let state = place.join("state");
    let engine = history::builder(&state).start().unwrap();
    declare(&engine.handle(), 0..5);
    // What is open keeps it, and the path leads to what lies below.
    assert!(Command::new("umount").arg("-l").arg(&place).status().unwrap().success());
    assert!(!state.exists());
    let refused = engine.handle().declare(history::declaration("late", 1));
    assert!(refused.is_err(), "{refused:?}");
    let ended = engine.shutdown(LONG).unwrap_err().to_string();
    assert!(ended.contains("was removed or moved away"), "{ended}");
    // A second run makes a log of its own there, and is left alone.
    let second = history::builder(&state).start().unwrap();
    declare(&second.handle(), 0..5);
    second.shutdown(LONG).unwrap();
}
