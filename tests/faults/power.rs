//! Power cuts: what three lives of a reconciler write and sync is recorded, and for every prefix of it the disk is made
//! as it may be found when the power goes there. Each of these directories opens, holds everything acknowledged
//! (Durable), and adds up to the state that was told (SameFold).
//!
//! The recording begins before there is a directory. The lives: a first one that creates the log and shuts down; one
//! that opens it, lets the past go and ends without a word; and one that goes on after that.
//!
//! `POWER_EXHAUSTIVE=1` tries every cut in every way in which it may leave the disk (some ten minutes); otherwise the
//! dice of `POWER_SEED` choose some. `POWER_CHANCES=n` has n random ways beside the nine fixed ones (3). A failure keeps
//! its recording and prints the command that repeats it.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use lastword::core::vocabulary::Seq;
use test_support::disk::check::{Found, Thoroughness, Told, check};
use test_support::disk::cut::{FATES, Fate, Image, cut, identity};
use test_support::disk::image::Place;
use test_support::disk::life::{Life, live};
use test_support::disk::model::{Disk, Step};
use test_support::disk::trace::{self, Call};
use test_support::disk::{Dice, fast_directory, has_strace, recording};

const CHILD: &str = "LASTWORD_POWER_CHILD";

/// The three lives. Between the first two the log is closed, between the last two it is not.
const LIVES: [Life; 3] = [
    Life {
        first: 0,
        declarations: 70,
        fillers: 0,
        files: 400,
        segments: 2_000,
        changes_every: 30,
        forgets_every: 1_000,
        snapshot_every: 60,
        shuts_down: true,
    },
    Life {
        first: 70,
        declarations: 80,
        fillers: 0,
        files: 400,
        segments: 2_000,
        changes_every: 25,
        forgets_every: 30,
        snapshot_every: 50,
        shuts_down: false,
    },
    Life {
        first: 150,
        declarations: 60,
        fillers: 0,
        files: 400,
        segments: 2_000,
        changes_every: 30,
        forgets_every: 40,
        snapshot_every: 50,
        shuts_down: true,
    },
];

/// What the recorded processes do. It is this very test binary, and without its variable this test is nothing.
#[test]
fn child() {
    let Some(life) = env::var_os(CHILD) else { return };
    let life: usize = life.to_str().unwrap().parse().unwrap();
    live(Path::new(&env::var_os("LASTWORD_POWER_STATE").unwrap()), &LIVES[life]);
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

/// Where a recording is kept: one trace for each life, and a file that says which directory it was.
struct Recording(PathBuf);

impl Recording {
    fn make() -> Recording {
        // A life that ends without a word may end within a call of a thread that still had something to do.
        (0..10).find_map(|_| Recording::try_to_make()).expect("every recording ends within a call")
    }

    fn try_to_make() -> Option<Recording> {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-{}", std::process::id()));
        fs::create_dir_all(&kept).unwrap();
        let home = fast_directory();
        fs::write(kept.join("root"), home.path().to_str().unwrap()).unwrap();
        let recorded = Recording(kept);
        for (life, plan) in LIVES.iter().enumerate() {
            let mut command = recording(&recorded.trace(life));
            command.arg(env::current_exe().unwrap()).args([
                "--exact",
                "power::child",
                "--nocapture",
                "--test-threads=1",
            ]);
            command.env(CHILD, life.to_string()).env("LASTWORD_POWER_STATE", home.path().join("state"));
            let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
            let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            let end = if plan.shuts_down { "\nwell\n" } else { "\ngone\n" };
            assert!(output.status.success() && text.contains(end), "life {life}: {text}\n{error}");
            if trace::ends_within_a_call(&recorded.trace(life), home.path()) {
                return None;
            }
        }
        Some(recorded)
    }

    fn trace(&self, life: usize) -> PathBuf {
        self.0.join(format!("{life}.trace"))
    }

    fn calls(&self) -> Vec<Vec<Call>> {
        trace::read_all(&(0..LIVES.len()).map(|life| self.trace(life)).collect::<Vec<_>>())
    }

    fn root(&self) -> PathBuf {
        fs::read_to_string(self.0.join("root")).unwrap().into()
    }
}

/// One image to be opened.
struct Job {
    cut: usize,
    way: usize,
    fate: Fate,
    call: String,
    identity: [u8; 32],
    image: Image,
    told: Told,
}

impl Job {
    fn to_repeat(&self, recorded: &Recording) -> String {
        format!(
            "cut {} after {}, {:?}\n  repeat: POWER_TRACE={} POWER_CUT={} POWER_WAY={} POWER_CHANCES={} \
             cargo test -p lastword --all-features --test faults every_prefix",
            self.cut,
            self.call,
            self.fate,
            recorded.0.display(),
            self.cut,
            self.way,
            chances(),
        )
    }
}

fn chances() -> u64 {
    number("POWER_CHANCES").unwrap_or(3)
}

/// Everything that was told, in the end: a state that is found is held against it whenever it was told.
fn told_in_the_end(recorded: &Recording) -> Told {
    let (mut disk, mut told) = (Disk::new(&recorded.root()), Told::default());
    for calls in recorded.calls() {
        disk.begin_process();
        for call in calls {
            if let Step::Told(text) = disk.take(&call) {
                told.take(&text);
            }
        }
    }
    told
}

/// What is chosen to be opened, and how much there was.
struct Choice {
    exhaustive: bool,
    only: Option<(u64, u64)>,
    seed: u64,
}

impl Choice {
    fn takes(&self, cut: usize, way: usize) -> bool {
        if let Some(only) = self.only {
            return only == (cut as u64, way as u64);
        }
        let mut dice = Dice(self.seed ^ (cut as u64) << 20 ^ way as u64);
        // With everything lost: half of the cuts. That is where a missing sync shows.
        self.exhaustive || dice.below(if way == 0 { 2 } else { SAMPLED }) == 0
    }
}

/// Of the ways to lose only a part, one in so many is tried by default.
const SAMPLED: u64 = 16;

#[derive(Default)]
struct Counts {
    calls: usize,
    cuts: usize,
    images: usize,
    distinct: usize,
    acknowledged: u64,
}

/// Walks the recording and hands every chosen image to `jobs`. What each has to hold in the end goes into `required`.
fn walk(
    recorded: &Recording,
    digests: &Told,
    choice: &Choice,
    jobs: &SyncSender<Job>,
    required: &mut HashMap<[u8; 32], (Seq, String)>,
) -> Counts {
    let (mut disk, mut told, mut counts) = (Disk::new(&recorded.root()), Told::default(), Counts::default());
    for calls in recorded.calls() {
        disk.begin_process();
        for call in calls {
            counts.calls += 1;
            match disk.take(&call) {
                Step::Nothing => continue,
                Step::Told(text) => {
                    let before = told.acknowledged;
                    told.take(&text);
                    if told.acknowledged == before {
                        continue;
                    }
                    counts.acknowledged += 1;
                }
                Step::Changed => {}
            }
            counts.cuts += 1;
            let chances = (0..chances()).map(|n| Fate::Chance((counts.cuts as u64) << 8 | n));
            let mut seen = Vec::new();
            for (way, fate) in FATES.into_iter().chain(chances).enumerate() {
                let image = cut(&disk, fate);
                let identity = identity(&image);
                if seen.contains(&identity) {
                    continue;
                }
                seen.push(identity);
                counts.images += 1;
                let known = required.contains_key(&identity);
                if !known && !choice.takes(counts.cuts, way) {
                    continue;
                }
                let told = Told { acknowledged: told.acknowledged, ..digests.clone() };
                let job = Job { cut: counts.cuts, way, fate, call: call.describe(), identity, image, told };
                required.insert(identity, (job.told.acknowledged, job.to_repeat(recorded)));
                if !known {
                    counts.distinct += 1;
                    if jobs.send(job).is_err() {
                        return counts;
                    }
                }
            }
        }
    }
    counts
}

type Verdicts = Mutex<BTreeMap<[u8; 32], Found>>;

/// Opens images until there are no more, or something is wrong with one.
fn open_images(
    jobs: &Mutex<Receiver<Job>>,
    recorded: &Recording,
    thorough: bool,
    verdicts: &Verdicts,
) -> Result<(), String> {
    let home = fast_directory();
    let mut place = Place::at(home.path());
    loop {
        let Ok(job) = jobs.lock().unwrap().recv() else { return Ok(()) };
        place.make(&job.image);
        let how = thoroughness(&job, thorough);
        let found = catch_unwind(AssertUnwindSafe(|| check(&place.root().join("state"), &job.told, how)));
        let found = found.unwrap_or_else(|_| Err("it panicked".to_owned()));
        let found = found.and_then(|found| found.hold_against(&job.told).map(|()| found));
        match found {
            Ok(found) => drop(verdicts.lock().unwrap().insert(job.identity, found)),
            Err(what) => return Err(format!("{what}\n  {}", job.to_repeat(recorded))),
        }
    }
}

/// Verifying costs as much again as opening, and going on twice as much: a share of the images is enough for that.
fn thoroughness(job: &Job, thorough: bool) -> Thoroughness {
    match job.identity[0] {
        0..16 => Thoroughness::GoesOn,
        16..64 => Thoroughness::Verifies,
        _ if thorough => Thoroughness::Verifies,
        _ => Thoroughness::Opens,
    }
}

#[test]
fn every_prefix_of_what_was_written_and_synced_opens_with_everything_acknowledged() {
    if env::var_os(CHILD).is_some() || !has_strace() {
        return;
    }
    let begun = Instant::now();
    let given = env::var_os("POWER_TRACE").map(|path| Recording(path.into()));
    let is_given = given.is_some();
    let recorded = Arc::new(given.unwrap_or_else(Recording::make));
    let digests = told_in_the_end(&recorded);
    let recorded_after = begun.elapsed();
    let choice = Choice {
        exhaustive: env::var_os("POWER_EXHAUSTIVE").is_some(),
        only: number("POWER_CUT").map(|cut| (cut, number("POWER_WAY").unwrap_or(0))),
        seed: number("POWER_SEED").unwrap_or(1),
    };
    let thorough = choice.exhaustive || choice.only.is_some();
    let (sender, jobs) = sync_channel(4);
    let (jobs, verdicts) = (Arc::new(Mutex::new(jobs)), Arc::new(Verdicts::default()));
    let openers: Vec<_> = (0..2)
        .map(|_| {
            let (jobs, recorded, verdicts) = (Arc::clone(&jobs), Arc::clone(&recorded), Arc::clone(&verdicts));
            thread::spawn(move || open_images(&jobs, &recorded, thorough, &verdicts))
        })
        .collect();
    // The last opener that gives up takes the receiver with it, and the walk ends.
    drop(jobs);
    let mut required = HashMap::new();
    let counts = walk(&recorded, &digests, &choice, &sender, &mut required);
    drop(sender);
    let mut wrong: Vec<String> = openers.into_iter().filter_map(|opener| opener.join().unwrap().err()).collect();
    // An image that an earlier cut had left as well has to hold what was acknowledged since.
    for (identity, found) in verdicts.lock().unwrap().iter() {
        let (acknowledged, repeat) = &required[identity];
        let told = Told { acknowledged: *acknowledged, ..Told::default() };
        wrong.extend(found.hold_against(&told).err().map(|what| format!("{what}\n  {repeat}")));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(3)].join("\n"));

    let opened = verdicts.lock().unwrap().len();
    let Counts { calls, cuts, images, acknowledged, .. } = counts;
    println!("{calls} calls, {acknowledged} acknowledgements, {cuts} cuts, {images} images, {opened} of them opened");
    println!("recorded in {recorded_after:?}, all in {:?}", begun.elapsed());
    if choice.only.is_none() {
        assert!(cuts > 1_500 && acknowledged > 250 && opened > 1_000, "there is little to it");
    }
    if !is_given {
        fs::remove_dir_all(&recorded.0).unwrap();
    }
}
