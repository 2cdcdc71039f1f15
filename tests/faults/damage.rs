//! Damaged directories: a bit flipped, a file cut short or lost, entries of the storage engine swapped, repeated,
//! removed or made anew, an older part beside a newer one. What comes of it is an error that names it or the very same
//! state; never another state, never the end of the process, never a wait without end.
//!
//! After a clean close that holds to the last event. After an unclean end it holds up to `HEAD`: what comes behind may
//! be gone, but what is there is what was there, up to the end of some frame. Objects, and what lies before a snapshot,
//! are looked at when they are needed and by `verify`, so damage to them may be found by that alone; the state is right
//! all the same. A damaged snapshot is passed over.
//!
//! `tests/log/damage.rs` has the log alone; here it is the whole directory, opened like the engine does. Damaging happens
//! in children, because an abort would end a test: whatever happens to one, its last line says what it tried.
//!
//! `DAMAGE_SAMPLES=n` sets the number of samples of each directory (1200), `DAMAGE_SEED=n` chooses others,
//! `DAMAGE_EXHAUSTIVE=1` flips a bit of every byte and cuts at every length (hours). A failure keeps its directory and
//! prints the command that repeats it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lastword::log::{Durability, IfAbsent, Log, PrivateCopy, SledLog};
use lastword::objects::FileObjects;
use lastword::replay;
use lastword::snapshot::Snapshots;
use test_support::damage::{Damage, Truth, Verdict, judge};
use test_support::disk::{Dice, fast_directory};
use test_support::log_writer::copy_tree;
use test_support::story;

/// The directory with `whole`, the directory that is damaged, and `jobs`, what to try, a line each.
const CHILD: &str = "LASTWORD_DAMAGE_CHILD";

/// What the children do: damage a copy, judge it, say so.
#[test]
fn child() {
    let Some(home) = env::var_os(CHILD).map(PathBuf::from) else { return };
    // sled's panics are expected here; their backtraces would take most of the time.
    std::panic::set_hook(Box::new(|info| {
        let ours = info.location().is_some_and(|at| !at.file().contains("sled-0.34"));
        if ours {
            eprintln!("{info}");
        }
    }));
    let whole = home.join("whole");
    let truth = Truth::of(&whole);
    let place = fast_directory();
    for (number, line) in fs::read_to_string(env::var_os("LASTWORD_DAMAGE_JOBS").unwrap()).unwrap().lines().enumerate()
    {
        say(&format!("trying {line}"));
        let state = place.path().join(number.to_string());
        copy_tree(&whole, &state);
        let damage = Damage::parse(line);
        damage.inflict(&state);
        match judge(&state, &truth, &damage, number % 6 == 0) {
            Ok(verdict) => say(&format!("was {verdict:?}")),
            Err(what) => say(&format!("wrong: {what}")),
        }
        fs::remove_dir_all(&state).unwrap();
    }
    say("done");
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

/// A story with every type of event, its objects and snapshots, closed in order.
fn one_session(state: &Path) {
    let log = SledLog::open(state, IfAbsent::Create, Durability::Process).unwrap();
    let objects = FileObjects::open(log.objects()).unwrap();
    story::tell(Box::new(log), &objects);
    take_snapshot(state);
}

/// The same, and a second session, so that the engine has a snapshot of its own.
fn two_sessions(state: &Path) {
    one_session(state);
    add_frames(state, 0..30, None).close().unwrap();
    take_snapshot(state);
}

/// A second session that ended without a close, half of it behind `HEAD`.
fn unclean(state: &Path) {
    one_session(state);
    drop(add_frames(state, 0..30, Some(15)));
}

fn take_snapshot(state: &Path) {
    let log = SledLog::open(state, IfAbsent::Refuse, Durability::Process).unwrap();
    let position = log.durable();
    let folded = replay::state_at(log.reader().as_ref(), replay::Until::End).unwrap();
    (Box::new(log) as Box<dyn Log>).close().unwrap();
    Snapshots::of_log(state).store(&folded, position, lastword::core::vocabulary::Seq(1)).unwrap();
}

/// Commits these declarations. `HEAD` follows after one of them.
fn add_frames(state: &Path, which: Range<u64>, tick_at: Option<u64>) -> lastword::reducer::Reducer {
    let log = SledLog::open(state, IfAbsent::Refuse, Durability::Process).unwrap();
    let folded = replay::state_at(log.reader().as_ref(), replay::Until::End).unwrap();
    let at = folded.at();
    let mut reducer = lastword::reducer::Reducer::open(Box::new(log), folded, "damage", at, at).unwrap();
    for n in which {
        let declared = reducer
            .command(&lastword::core::vocabulary::Command::Declare(Box::new(test_support::disk::life::small(n))));
        declared.unwrap().unwrap();
        reducer.commit(at).unwrap();
        if Some(n) == tick_at {
            reducer.tick(Duration::from_secs(5)).unwrap();
        }
    }
    reducer
}

#[test]
fn a_directory_of_one_session_is_the_same_or_refused() {
    try_damages("one_session", &one_session);
}

#[test]
fn a_directory_of_two_sessions_is_the_same_or_refused() {
    try_damages("two_sessions", &two_sessions);
}

#[test]
fn a_directory_after_an_unclean_end_reaches_its_head_or_is_refused() {
    try_damages("unclean", &unclean);
}

/// A whole older directory is a log like any other: only who noted how far it had come can tell. The number tells that
/// it is older, and once it has gone on by itself the hash tells that it is another one.
#[test]
fn an_older_directory_is_told_by_a_noted_head() {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let home = fast_directory();
    let (state, older) = (home.path().join("state"), home.path().join("older"));
    one_session(&state);
    copy_tree(&state, &older);
    add_frames(&state, 0..3, None).close().unwrap();
    let verified = |state: &Path| {
        let copy = PrivateCopy::of(state).unwrap();
        let objects = FileObjects::open_read_only(copy.objects()).unwrap();
        let verified = replay::verify(&*copy.reader(), Some(&objects)).unwrap();
        (verified.last, verified.head)
    };
    let noted = verified(&state);
    assert!(verified(&older).0 < noted.0);

    // As many events, and others.
    add_frames(&older, 3..6, None).close().unwrap();
    let (last, head) = verified(&older);
    assert!(last == noted.0 && head != noted.1, "another history has the head that was noted");
}

/// Snapshots of another day are a cache that does not fit, or still fits.
#[test]
fn snapshots_of_another_day_change_nothing() {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let home = fast_directory();
    let [newer, older] = ["newer", "older"].map(|name| home.path().join(name));
    one_session(&newer);
    copy_tree(&newer, &older);
    add_frames(&newer, 0..20, None).close().unwrap();
    let truths = [&newer, &older].map(|state| Truth::of(state));
    take_snapshot(&newer);
    for (state, other, truth) in [(&newer, &older, &truths[0]), (&older, &newer, &truths[1])] {
        let mixed = home.path().join("mixed");
        copy_tree(state, &mixed);
        fs::remove_dir_all(mixed.join("snapshots")).unwrap();
        copy_tree(&other.join("snapshots"), &mixed.join("snapshots"));
        let damage = Damage::Lose { path: "snapshots".into() };
        assert_eq!(judge(&mixed, truth, &damage, true), Ok(Verdict::Same));
        fs::remove_dir_all(&mixed).unwrap();
    }
}

/// Makes the directory, tries its damages in two children at a time, and counts what came of them.
fn try_damages(test: &str, make: &dyn Fn(&Path)) {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let begun = Instant::now();
    let home = match env::var_os("DAMAGE_HOME") {
        Some(kept) => PathBuf::from(kept),
        None => {
            let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("damage-{}-{test}", std::process::id()));
            fs::create_dir_all(&home).unwrap();
            make(&home.join("whole"));
            home
        }
    };
    let jobs = match env::var("DAMAGE") {
        Ok(only) => vec![only],
        Err(_) => choose(&home.join("whole")),
    };
    let all = jobs.len();
    let counts = thread::scope(|scope| {
        let halves: Vec<Vec<&String>> = (0..2).map(|n| jobs.iter().skip(n).step_by(2).collect()).collect();
        let running: Vec<_> = halves
            .into_iter()
            .enumerate()
            .map(|(n, half)| {
                let home = &home;
                scope.spawn(move || run(test, home, n, &half))
            })
            .collect();
        let mut counts = BTreeMap::<Verdict, u32>::new();
        for half in running {
            half.join().unwrap().into_iter().for_each(|(verdict, count)| *counts.entry(verdict).or_default() += count);
        }
        counts
    });
    println!("{test}: {all} damages in {:?}: {counts:?}", begun.elapsed());
    if env::var_os("DAMAGE").is_none() {
        assert!(counts.get(&Verdict::Refused).is_some_and(|count| *count > 100), "hardly anything was noticed");
        fs::remove_dir_all(&home).unwrap();
    }
}

fn choose(whole: &Path) -> Vec<String> {
    let samples = number("DAMAGE_SAMPLES").unwrap_or(1200);
    let mut dice = Dice(number("DAMAGE_SEED").unwrap_or(1));
    let exhaustive = env::var_os("DAMAGE_EXHAUSTIVE").is_some();
    let damages = if exhaustive { Damage::all(whole) } else { Damage::some(whole, samples, &mut dice) };
    damages.iter().map(Damage::to_string).collect()
}

/// Runs one child over `jobs`. Memory is bounded, so that a length that a flipped bit made huge does not take all of it.
fn run(test: &str, home: &Path, n: usize, jobs: &[&String]) -> BTreeMap<Verdict, u32> {
    let list = home.join(format!("jobs-{n}"));
    fs::write(&list, jobs.iter().map(|job| format!("{job}\n")).collect::<String>()).unwrap();
    // Five seconds for each are a hundred times more than one takes.
    let patience = (60 + 5 * jobs.len()).to_string();
    let mut command = Command::new("timeout");
    command.args(["-k", "1", &patience, "prlimit", "--as=17179869184"]);
    command.arg(env::current_exe().unwrap()).args(["--exact", "damage::child", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, home).env("LASTWORD_DAMAGE_JOBS", &list).stdin(Stdio::null());
    let output = command.output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let (mut counts, mut trying, mut wrong) = (BTreeMap::new(), "nothing", Vec::new());
    for line in text.lines() {
        if let Some(damage) = line.strip_prefix("trying ") {
            trying = damage;
        } else if let Some(verdict) = line.strip_prefix("was ") {
            *counts.entry(Verdict::parse(verdict)).or_default() += 1;
        } else if let Some(what) = line.strip_prefix("wrong: ") {
            wrong.push(format!("{trying}: {what}"));
        }
    }
    if !output.status.success() || !text.contains("\ndone\n") {
        let errors: String = errors.chars().take(2_000).collect();
        wrong.push(format!("{trying}: the process ended with {}\n{errors}", output.status));
    }
    if let Some(first) = wrong.first() {
        let damage = first.split(": ").next().unwrap();
        let repeat = "cargo test -p lastword --all-features --test faults";
        let home = home.display();
        panic!(
            "{} wrong:\n{}\n  repeat: DAMAGE_HOME={home} DAMAGE='{damage}' {repeat} {test}",
            wrong.len(),
            wrong[..wrong.len().min(5)].join("\n")
        );
    }
    counts
}
