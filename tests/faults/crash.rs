//! A real process on a real directory is killed at random moments. What it had acknowledged is in the log, the log
//! verifies, and after the last restart the collection is what its source is, and destinations are what is applied.
//!
//! `CRASH_ROUNDS=n` sets the number of kills (30), `CRASH_SEED=n` repeats a run as far as the machine lets it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::*;
use lastword::engine::{Handle, Reconciler, Retention};
use lastword::external::{External, LocalStore, Manifest, ScanRequest, SourceUri, load_set, scan};
use lastword::log::{OpenError, PrivateCopy};
use lastword::objects::{FileObjects, Objects};
use lastword::replay::{self, Verified};
use lastword::snapshot::{Snapshots, verify_with_snapshots};
use lastword::worker::{CommitView, Context, DeliveryError, DiscardRequest, Failure, Worker};

use test_support::file_destination::{FileDestination, parts};
use test_support::parquet_files;

const CHILD: &str = "LASTWORD_CRASH_CHILD";
const LONG: Duration = Duration::from_secs(60);

/// xorshift64*: random enough to choose moments and files.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

/// Builds one output, at once, for a destination that compares tokens.
struct Echo(FileDestination);

impl Worker for Echo {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        Ok(Built { output: Some(self.0.make(context.token(), "out")?.into()), ..Built::default() })
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: true }
    }

    fn publish(&self, publication: &CommitView<'_>) -> Result<(), DeliveryError> {
        self.0.publish(publication)
    }

    fn discard(&self, discarding: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        self.0.discard(discarding)
    }
}

/// What `Echo` has made lies beside the log.
fn destination(state: &Path) -> FileDestination {
    FileDestination::at(&state.with_file_name("destination"))
}

const ECHOES: [&str; 3] = ["echo0", "echo1", "echo2"];

fn open(state: &Path) -> Reconciler {
    Reconciler::open(state)
        .kind(Kind::new("external").unwrap(), External::local())
        .kind(Kind::new("echo").unwrap(), Echo(destination(state)))
        .observe_interval(Duration::from_millis(30))
        // So often that kills come while snapshots are written and the past is let go.
        .snapshot_every(60)
        .retain(Retention { events: Some(200), age: None })
        .start()
        .unwrap()
}

fn lake_declaration(lake: &Path) -> Declaration {
    // Whatever the kills do to its attempts, it is not given up.
    let retry = Retry {
        max_attempts: 1000,
        base: Duration::from_millis(10),
        cap: Duration::from_millis(50),
        slow: None,
        max_lost: u32::MAX,
        max_lost_alone: None,
    };
    let coalesce = Coalesce { quiet: Duration::from_millis(20), max_delay: Duration::from_millis(200) };
    let mut declaration = Declaration::new(Name::new("lake").unwrap());
    declaration.kind = Some(Kind::new("external").unwrap());
    declaration.source = Some(Source::new(lake.to_str().unwrap()).unwrap());
    declaration.spec = Some(Spec::parse(r#"{"format":"parquet","target_rows":64}"#).unwrap());
    declaration.policy = Some(Policy { retry, coalesce, ..Policy::default() });
    declaration
}

fn echo_spec(n: u64) -> Spec {
    Spec::parse(&format!(r#"{{"n":{n}}}"#)).unwrap()
}

/// What the killed process does. It is this very test binary, and without its variable this test is nothing.
#[test]
fn child() {
    let Some(home) = env::var_os(CHILD).map(PathBuf::from) else { return };
    let reconciler = open(&home.join("state"));
    let handle = reconciler.handle();
    handle.declare(lake_declaration(&home.join("lake"))).unwrap();
    let begun = Instant::now();
    let mut n = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    while begun.elapsed() < LONG {
        n += 1;
        let mut declaration = Declaration::new(Name::new(&format!("echo{}", n % 3)).unwrap());
        declaration.kind = Some(Kind::new("echo").unwrap());
        declaration.source = Some(Source::new("nowhere").unwrap());
        declaration.versioned = Some(false);
        declaration.spec = Some(echo_spec(n));
        let receipt = handle.declare(declaration).unwrap();
        // One line at once: what the parent reads up to its end was acknowledged.
        let line = format!("ack {} {n}\n", receipt.seq.unwrap());
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        std::io::stdout().flush().unwrap();
        thread::sleep(Duration::from_millis(3));
    }
}

/// What was acknowledged: at which event, and the number that was declared.
type Acks = BTreeMap<Seq, u64>;

fn start_child(home: &Path) -> (Child, thread::JoinHandle<Acks>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, home)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = BufReader::new(child.stdout.take().unwrap());
    let reading = thread::spawn(move || {
        let (mut acks, mut line) = (Acks::new(), String::new());
        while pipe.read_line(&mut line).unwrap() > 0 {
            // The test harness writes before the first line without ending its own.
            if let Some((_, ack)) = line.strip_suffix('\n').and_then(|line| line.split_once("ack ")) {
                let (seq, n) = ack.split_once(' ').unwrap();
                acks.insert(Seq(seq.parse().unwrap()), n.parse().unwrap());
            }
            line.clear();
        }
        acks
    });
    (child, reading)
}

/// Changes one file: written anew under another name and renamed, overwritten in place, or removed.
fn change(lake: &Path, dice: &mut Dice) {
    let path = lake.join(format!("part-{}.parquet", dice.below(8)));
    let groups: Vec<usize> = (0..=dice.below(3)).map(|_| usize::try_from(1 + dice.below(60)).unwrap()).collect();
    let salt = u8::try_from(dice.below(256)).unwrap();
    match dice.below(10) {
        0..=5 => parquet_files::write(&path, &groups, salt),
        6..=7 => fs::write(&path, parquet_files::bytes_of(&groups, salt)).unwrap(),
        // `first.parquet` always stays: an empty source would wait for a person.
        _ => drop(fs::remove_file(&path)),
    }
}

/// Looks at what a process left behind, without changing it.
fn verify(state_dir: &Path, acks: &Acks) -> Option<Verified> {
    let copy = match PrivateCopy::of(state_dir) {
        Err(OpenError::Absent { .. }) if acks.is_empty() => return None,
        copy => copy.unwrap(),
    };
    let objects = FileObjects::open_read_only(copy.objects());
    // It is made right after the log, before anything can be acknowledged.
    assert!(objects.is_ok() || acks.is_empty());
    let objects = objects.ok();
    let reader = copy.reader();
    let snapshots = Snapshots::at(copy.snapshots());
    let objects = objects.as_ref().map(|objects| objects as &dyn Objects);
    let (verified, snapshots) = verify_with_snapshots(&*reader, objects, &snapshots).unwrap();
    for snapshot in snapshots.into_iter().filter(|snapshot| snapshot.seq > verified.start.seq) {
        snapshot.verdict.unwrap_or_else(|unusable| panic!("the snapshot at {}: {unusable}", snapshot.seq));
    }
    let mut state = replay::begin(&*reader).unwrap();
    let destination = destination(state_dir);
    let mut tokens = BTreeMap::<_, (Option<Token>, BTreeSet<Token>)>::new();
    for event in replay::events(&*reader, Seq::ZERO) {
        let event = event.unwrap();
        state.fold(&event).unwrap();
        match event.event {
            Event::TaskCompleted { collection, token, .. } => {
                tokens.entry(collection).or_default().1.insert(token);
            }
            Event::Published { collection, token, .. } => tokens.entry(collection).or_default().0 = Some(token),
            _ => {}
        }
        if let Some(n) = acks.get(&event.seq) {
            let id = state.id_of(&Name::new(&format!("echo{}", n % 3)).unwrap()).unwrap();
            assert_eq!(state.collection(id).unwrap().latest.spec, echo_spec(*n), "acknowledged at {}", event.seq);
        }
    }
    for name in ECHOES {
        let Some(id) = state.id_of(&Name::new(name).unwrap()) else { continue };
        let (published, committed) = tokens.remove(&id).unwrap_or_default();
        let live = destination.live(name);
        let token = live.as_ref().map(|live| live.token);
        // It may be ahead of the log by what was published and not noted any more; never behind, never anything else.
        assert!(published <= token, "{name}: {published:?} was published, and live is {token:?}");
        assert!(token.is_none_or(|token| committed.contains(&token)), "{name}: {token:?} is live and no commit");
        let outputs = destination.live_outputs(name);
        assert!(outputs.is_subset(&destination.outputs()), "{name}: {outputs:?} is live and gone");
    }
    let last = acks.last_key_value().map_or(Seq::ZERO, |(seq, _)| *seq);
    assert!(last <= verified.last, "event {last} was acknowledged and the log ends at {}", verified.last);
    Some(verified)
}

#[test]
fn case_11_what_was_acknowledged_survives_a_kill_at_any_moment() {
    if env::var_os(CHILD).is_some() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = number("CRASH_SEED").unwrap_or(now as u64 | 1);
    let rounds = number("CRASH_ROUNDS").unwrap_or(30);
    println!("repeat with CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let mut dice = Dice(seed.max(1));
    let home = tempfile::tempdir().unwrap();
    let (state, lake) = (home.path().join("state"), home.path().join("lake"));
    parquet_files::write(&lake.join("first.parquet"), &[7], 0);

    let (mut acks, mut before) = (Acks::new(), None::<Verified>);
    for round in 1..=rounds {
        let (mut child, reading) = start_child(home.path());
        let (begun, life) = (Instant::now(), Duration::from_millis(10 + dice.below(700)));
        while begun.elapsed() < life {
            change(&lake, &mut dice);
            thread::sleep(Duration::from_millis(5 + dice.below(60)).min(life.saturating_sub(begun.elapsed())));
        }
        let early = child.try_wait().unwrap();
        // SIGKILL.
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(early.is_none(), "round {round}: {early:?} {}", String::from_utf8_lossy(&output.stderr));
        acks.extend(reading.join().unwrap());

        let verified = verify(&state, &acks);
        let last = |verified: &Option<Verified>| verified.map_or(Seq::ZERO, |verified| verified.last);
        assert!(last(&before) <= last(&verified), "round {round}: what an earlier kill left is gone");
        before = verified;
    }
    println!("{} declarations acknowledged, {:?}", acks.len(), before);
    let begins = before.map_or(Seq::ZERO, |verified| verified.start.seq);
    assert!(begins > Seq::ZERO || rounds < 30, "the past was never let go");
    assert!(acks.len() as u64 > rounds, "the kills came before anything happened");

    settle(&state, &lake);
    verify(&state, &acks).unwrap();
}

fn destinations_hold_what_is_applied(state: &Path, handle: &Handle) {
    let (destination, mut all) = (destination(state), BTreeSet::new());
    for name in ECHOES {
        let applied = handle.status(Name::new(name).unwrap()).unwrap().unwrap().view.applied.unwrap();
        let live = destination.live(name).unwrap();
        assert_eq!((live.token, live.output.as_deref()), (applied.token, applied.result.output.as_deref()));
        all.extend(parts(live.output.as_deref().unwrap()));
    }
    assert_eq!(destination.outputs(), all, "what is not live is discarded, and nothing else");
}

/// Opens once more, waits until everything is settled, and compares the result with the source.
fn settle(state: &Path, lake: &Path) {
    let name = Name::new("lake").unwrap();
    let reconciler = open(state);
    let handle = reconciler.handle();
    let begun = Instant::now();
    let applied = loop {
        let status = handle.status(name.clone()).unwrap().expect("it was declared");
        let is_seen = status.last_observation.is_some_and(|scan| scan.succeeded);
        if is_seen && status.view.condition.name() == "fresh" {
            break status.view.applied.unwrap();
        }
        assert!(begun.elapsed() < LONG, "{status:?}");
        thread::sleep(Duration::from_millis(10));
    };
    for status in handle.list().unwrap() {
        let name = status.view.name.clone();
        handle.wait_applied(name, status.view.generation, LONG).unwrap();
    }
    while handle.stats().unwrap().undelivered > 0 {
        assert!(begun.elapsed() < LONG, "{:?}", handle.list());
        thread::sleep(Duration::from_millis(10));
    }
    destinations_hold_what_is_applied(state, &handle);
    let (seq, digest) = handle.digest().unwrap();
    reconciler.shutdown(LONG).unwrap();

    let copy = PrivateCopy::of(state).unwrap();
    let replayed = replay::state_at(&*copy.reader(), replay::Until::Seq(seq)).unwrap();
    assert_eq!(replayed.digest(), digest, "live state and replay differ");
    let objects = FileObjects::open_read_only(copy.objects()).unwrap();
    let manifest = Manifest::read(&objects, applied.result.manifest.unwrap()).unwrap();
    let mut built = BTreeMap::<PathBuf, u64>::new();
    for fragment in manifest.segments.iter().flat_map(|segment| &segment.fragments) {
        *built.entry(lake.join(fragment.path.encode())).or_default() += fragment.end - fragment.start;
    }
    let files = fs::read_dir(lake).unwrap().map(|entry| entry.unwrap().path());
    let scanned: BTreeMap<PathBuf, u64> = files.map(|path| (path.clone(), parquet_files::rows_read(&path))).collect();
    assert_eq!(built, scanned);
    assert_eq!(applied.result.rows, Some(scanned.values().sum()));

    let source = SourceUri::parse(lake.to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap();
    let id = replayed.id_of(&name).unwrap();
    let observed = replayed.collection(id).unwrap().observed().unwrap().clone();
    let known = load_set(&objects, observed.set.unwrap().root).unwrap();
    let looking = ScanRequest::new(&LocalStore, &source, SystemClock::new().wall());
    let seen = scan(&ScanRequest { known: Some(&known), ..looking }).unwrap();
    assert_eq!(observed.version.as_bytes(), seen.version);
    println!("settled at event {seq}: {} files, {} segments", scanned.len(), manifest.segments.len());
}
