//! A real process is killed in the middle of a build: the next life takes over every segment that was finished, and builds
//! only the rest. However often, and whatever changes meanwhile, what lies at the destination in the end is what is live.
//!
//! `CRASH_ROUNDS=n` sets the number of random kills (12), `CRASH_SEED=n` repeats a run as far as the machine lets it.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lastword::core::vocabulary::*;
use lastword::engine::{Reconciler, SettleOutcome};
use lastword::external::{
    BuildError, Discard, External, ExternalSpec, Manifest, Segment, SegmentBuilder, SegmentJob, SegmentKey,
};
use lastword::objects::FileObjects;
use test_support::parquet_files;

/// Where the child lives; what it may build before it waits to be killed; what it builds with.
const CHILD: [&str; 3] = ["LASTWORD_TAKEOVER_CHILD", "LASTWORD_TAKEOVER_BUILDS", "LASTWORD_TAKEOVER_SPEC"];
const LONG: Duration = Duration::from_secs(60);
const SPEC: &str = r#"{"format":"parquet","target_rows":10}"#;

/// Writes a file for each segment, which holds the key of it, and a line for each file that is finished.
struct Files {
    home: PathBuf,
    /// So many are built; whoever comes after that waits.
    most: usize,
    begun: AtomicUsize,
}

impl SegmentBuilder for Files {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        if self.begun.fetch_add(1, Ordering::AcqRel) >= self.most {
            say("waiting");
            loop {
                job.check_stop()?;
                thread::sleep(Duration::from_millis(1));
            }
        }
        let failed = |error: std::io::Error| BuildError::Transient(error.to_string());
        fs::write(self.home.join("out").join(job.id.to_string()), job.key.to_string()).map_err(failed)?;
        let mut built = OpenOptions::new().append(true).create(true).open(self.home.join("built")).map_err(failed)?;
        built.write_all(format!("{}\n", job.key).as_bytes()).map_err(failed)?;
        Ok(Some(job.key.to_string().into_bytes()))
    }

    fn discards(&self) -> bool {
        true
    }

    fn discard(&self, what: &Discard<'_>) -> Result<(), String> {
        for name in names(&self.home.join("out")) {
            let goes = what.tokens.iter().any(|token| name.starts_with(&format!("{token}-")))
                || what.dropped.iter().any(|segment| segment.id.to_string() == name);
            if goes && !what.live.iter().any(|id| id.to_string() == name) {
                fs::remove_file(self.home.join("out").join(name)).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn verify(&self, segment: &Segment) -> Result<(), String> {
        match fs::read(self.home.join("out").join(segment.id.to_string())) {
            Ok(bytes) if Some(&bytes) == segment.output.as_ref() => Ok(()),
            Ok(_) => Err("it is cut short".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn say(what: &str) {
    std::io::stdout().write_all(format!("said {what}\n").as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn open(home: &Path, most: usize) -> Reconciler {
    let files = Files { home: home.to_owned(), most, begun: AtomicUsize::new(0) };
    Reconciler::open(home.join("state"))
        .kind(Kind::new("external").unwrap(), External::with_builder(files))
        .observe_interval(Duration::from_millis(30))
        .start()
        .unwrap()
}

fn declaration(home: &Path, spec: &str) -> Declaration {
    // Whatever the kills do to its attempts, it is not given up.
    let retry = Retry { max_lost: u32::MAX, ..Retry::default() };
    let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
    Declaration::new(Name::new("lake").unwrap())
        .kind(Kind::new("external").unwrap())
        .source(Source::new(home.join("lake").to_str().unwrap()).unwrap())
        .spec(Spec::parse(spec).unwrap())
        .policy(Policy { retry, coalesce, ..Policy::default() })
}

/// What the killed process does. It is this very test binary, and without its variables this test is nothing.
#[test]
fn child() {
    let [Some(home), Some(most), Some(spec)] = CHILD.map(env::var_os) else { return };
    let home = PathBuf::from(home);
    let reconciler = open(&home, most.to_str().unwrap().parse().unwrap());
    let receipt = reconciler.handle().declare(declaration(&home, spec.to_str().unwrap())).unwrap();
    let name = Name::new("lake").unwrap();
    drop(reconciler.handle().wait_applied(name, receipt.generation, LONG));
    say("applied");
    thread::sleep(LONG);
}

fn start_child(home: &Path, most: usize, spec: &str) -> Child {
    let [home_key, most_key, spec_key] = CHILD;
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "takeover::child", "--nocapture", "--test-threads=1"])
        .env(home_key, home)
        .env(most_key, most.to_string())
        .env(spec_key, spec)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills it once it has built what it may.
fn kill_when_waiting(mut child: Child) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The test harness writes before the first line without ending its own.
    let said = lines.map_while(Result::ok).find(|line| line.contains("said "));
    child.kill().unwrap();
    child.wait().unwrap();
    let said = said.expect("the child ended by itself");
    assert!(said.ends_with("waiting"), "{said}");
}

struct Home(tempfile::TempDir);

impl Home {
    fn new(files: usize) -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        fs::create_dir(home.path().join("out")).unwrap();
        (0..files).for_each(|n| home.write(n, 0));
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, n: usize, salt: u8) {
        parquet_files::write(&self.path().join("lake").join(format!("{n}.parquet")), &[10], salt);
    }

    /// The key of each segment that was finished, in this order.
    fn built(&self) -> Vec<String> {
        fs::read_to_string(self.path().join("built")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// A last life, in which nothing goes wrong: everything is applied, and there is what is live and nothing else.
    fn finish(&self, spec: &str) -> Manifest {
        let reconciler = open(self.path(), usize::MAX);
        let (handle, name) = (reconciler.handle(), Name::new("lake").unwrap());
        handle.declare(declaration(self.path(), spec)).unwrap();
        let begun = Instant::now();
        let status = loop {
            // Also what was changed while nobody ran is seen: by an observation that begins now.
            handle.refresh(name.clone()).unwrap();
            let settled = handle.wait_settled(name.clone(), LONG).unwrap();
            assert!(!matches!(settled, SettleOutcome::TimedOut), "{settled:?}");
            thread::sleep(Duration::from_millis(100));
            let status = handle.status(name.clone()).unwrap().unwrap();
            let owes = status.view.outbox.as_ref().is_some_and(|outbox| outbox.undiscarded > 0);
            if status.view.condition.name() == "fresh" && !owes {
                break status;
            }
            assert!(begun.elapsed() < LONG, "it does not become fresh: {status:#?}");
        };
        reconciler.shutdown(LONG).unwrap();
        let objects = FileObjects::open_read_only(self.path().join("state/objects")).unwrap();
        let root = status.view.applied.unwrap().result.manifest.unwrap();
        let manifest = Manifest::read(&objects, root).unwrap();
        let live: BTreeSet<String> = manifest.segments.iter().map(|segment| segment.id.to_string()).collect();
        assert_eq!(names(&self.path().join("out")), live, "what is there is what is live");
        for segment in &manifest.segments {
            let key = SegmentKey::of(&ExternalSpec::parse(spec).unwrap(), &segment.fragments);
            let built = fs::read_to_string(self.path().join("out").join(segment.id.to_string())).unwrap();
            assert_eq!((segment.key, built), (key, key.to_string()), "segment {} is of another key", segment.id);
        }
        assert_eq!(names(&self.path().join("state/notes")), BTreeSet::new(), "what is committed needs no notes");
        manifest
    }
}

#[test]
fn defect_33_what_was_built_is_found_again_after_each_kill() {
    const FILES: usize = 9;
    let home = Home::new(FILES);
    for (killed, most) in [1, 3, 0, 2].into_iter().enumerate() {
        kill_when_waiting(start_child(home.path(), most, SPEC));
        let so_far: usize = [1, 3, 0, 2][..=killed].iter().sum();
        assert_eq!(home.built().len(), so_far, "each life builds on what those before have finished");
    }
    let manifest = home.finish(SPEC);
    let built = home.built();
    assert_eq!(manifest.segments.len(), FILES);
    assert_eq!(built.len(), FILES, "no segment was built twice: {built:?}");
    assert_eq!(built.iter().collect::<BTreeSet<_>>().len(), FILES);
}

#[test]
fn defect_33_after_a_kill_only_what_is_still_wanted_is_taken_over() {
    let home = Home::new(6);
    kill_when_waiting(start_child(home.path(), 4, SPEC));
    let finished = home.built();
    // While nobody runs one file changes, of which nobody knows whether it was among the four.
    home.write(0, 77);
    let manifest = home.finish(SPEC);
    let live: BTreeSet<String> = manifest.segments.iter().map(|segment| segment.key.to_string()).collect();
    let still_wanted = finished.iter().filter(|key| live.contains(*key)).count();
    assert!(still_wanted >= 3, "{finished:?}");
    assert_eq!(home.built().len(), 4 + 6 - still_wanted);
}

#[test]
fn defect_49_after_a_kill_nothing_of_another_recipe_is_taken_over() {
    let home = Home::new(5);
    for recipe in ["1", "2", "3"] {
        let spec = format!(r#"{{"format":"parquet","target_rows":10,"recipe":"{recipe}"}}"#);
        kill_when_waiting(start_child(home.path(), 4, &spec));
    }
    // Of the first recipe four are there.
    home.finish(r#"{"format":"parquet","target_rows":10,"recipe":"1"}"#);
    assert_eq!(home.built().len(), 4 + 4 + 4 + 1);
}

#[test]
fn defect_33_random_kills_end_with_exactly_what_is_live() {
    let number = |variable: &str, default: u64| env::var(variable).map_or(default, |text| text.parse().unwrap());
    let (rounds, mut seed) = (number("CRASH_ROUNDS", 12), number("CRASH_SEED", 20_261_130));
    let mut below = |end: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % end
    };
    let specs = [SPEC, r#"{"format":"parquet","target_rows":10,"recipe":"2"}"#];
    let home = Home::new(12);
    for _ in 0..rounds {
        let spec = specs[usize::try_from(below(8) / 7).unwrap()];
        let mut child = start_child(home.path(), usize::MAX, spec);
        thread::sleep(Duration::from_millis(20 + below(200)));
        if below(2) == 0 {
            home.write(usize::try_from(below(12)).unwrap(), u8::try_from(below(256)).unwrap());
        }
        thread::sleep(Duration::from_millis(below(60)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(home.finish(SPEC).segments.len(), 12);
}
