//! A disk that fills up under a running reconciler: nothing acknowledged is lost, and it goes on once there is space.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;

use lastword::core::vocabulary::*;
use lastword::engine::{CommandError, Handle, Reconciler, StartError, WaitOutcome};
use lastword::log::{OpenError, PrivateCopy};
use lastword::objects::FileObjects;
use lastword::replay;
use lastword::worker::{Context, Failure, Worker};
use test_support::history::LONG;
#[cfg(feature = "external")]
use test_support::{history::until, parquet_files};

/// Where the small disk of the child is mounted.
const MOUNT: &str = "LASTWORD_SMALL_DISK";

struct Echo;

impl Worker for Echo {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        Ok(Built { rows: Some(context.spec().as_str().len() as u64), ..Built::default() })
    }
}

fn open(state: &Path) -> Result<Reconciler, StartError> {
    Reconciler::open(state).kind(Kind::new("echo").unwrap(), Echo).start()
}

/// A declaration that fills the log: 20 KB that do not compress.
fn large(n: u32) -> Declaration {
    let mut noise = [0; 10_000];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut noise);
    let noise: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut declaration = Declaration::new(name(n));
    declaration.kind = Some(Kind::new("echo").unwrap());
    declaration.source = Some(Source::new("nowhere").unwrap());
    declaration.versioned = Some(false);
    declaration.spec = Some(Spec::parse(&format!(r#"{{"noise":"{noise}"}}"#)).unwrap());
    declaration
}

fn name(n: u32) -> Name {
    Name::new(&format!("c{n}")).unwrap()
}

fn applied(handle: &Handle, n: u32) {
    let waited = handle.wait_applied(name(n), Generation(1), LONG).unwrap();
    assert!(matches!(waited, WaitOutcome::Applied { .. }), "{n}: {waited:?}");
}

/// Writes until nothing more goes onto the disk.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}

/// What happens on the small disk. Without its variable this test is nothing.
#[test]
fn child() {
    let Some(disk) = env::var_os(MOUNT).map(PathBuf::from) else { return };
    let (state, filler) = (disk.join("state"), disk.join("filler"));
    let reconciler = open(&state).unwrap();
    let handle = reconciler.handle();
    handle.declare(large(0)).unwrap();
    applied(&handle, 0);

    fill(&filler);
    let (lost, error) = (1..)
        .find_map(|n| handle.declare(large(n)).err().map(|error| (n, error)))
        .expect("a full disk takes no more declarations");
    // Either the frame with this declaration failed, or the one with the result of the declaration before.
    assert!(matches!(error, CommandError::Unknown(_) | CommandError::NotAccepted(_)), "{error:?}");
    assert!(matches!(handle.list(), Err(CommandError::NotAccepted(_))), "it stays dead");
    assert!(reconciler.shutdown(LONG).is_err());

    // Still full: opening makes do with the ballast, or says what is the matter.
    match open(&state) {
        Ok(reconciler) => drop(reconciler),
        Err(StartError::Log(OpenError::Full { .. })) => {}
        Err(other) => panic!("{other}"),
    }
    fs::remove_file(&filler).unwrap();

    let reconciler = open(&state).unwrap();
    let handle = reconciler.handle();
    (0..lost).for_each(|n| applied(&handle, n));
    // Asked again, it is there, whether it had arrived or not.
    handle.declare(large(lost)).unwrap();
    applied(&handle, lost);
    assert_eq!(handle.list().unwrap().len(), lost as usize + 1);
    reconciler.shutdown(LONG).unwrap();
    assert!(state.join("ballast").exists(), "the next full disk finds it");

    let copy = PrivateCopy::of(&state).unwrap();
    let objects = FileObjects::open_read_only(copy.objects()).unwrap();
    let verified = replay::verify(&*copy.reader(), Some(&objects)).unwrap();
    println!("went on after a full disk: {lost} acknowledged, {} events", verified.events);
}

/// A private mount needs a user namespace, which not every machine grants.
#[test]
fn a_disk_that_fills_up_loses_nothing_and_the_work_goes_on_once_there_is_space() {
    if env::var_os(MOUNT).is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$0\" || { echo no mount; exit 0; }; exec \"$@\"";
    let mut command = process::Command::new("unshare");
    command.args(["--map-root-user", "--mount", "bash", "-c", script]).arg(dir.path());
    command
        .arg(env::current_exe().unwrap())
        .args(["--exact", "full_disk::child", "--nocapture"])
        .env(MOUNT, dir.path());
    let Ok(output) = command.output() else { return println!("SKIPPED: unshare is not installed") };
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if text.contains("no mount") || error.contains("unshare:") {
        return println!("SKIPPED: no private mount: {error}");
    }
    assert!(text.contains("went on after a full disk"), "{text}\n{error}");
    print!("{text}");
}

/// The log has room and the store of objects has none, once for a look and once for an attempt.
#[cfg(feature = "external")]
#[test]
fn a_store_without_space_fails_a_look_or_an_attempt_and_nothing_else() {
    use lastword::external::External;
    use lastword::log::{Log, MemoryLog};
    use lastword::objects::MemoryObjects;
    use std::sync::Arc;

    let lake = tempfile::tempdir().unwrap();
    parquet_files::write(&lake.path().join("a.parquet"), &[7], 0);
    let (log, objects, kind) = (MemoryLog::new(), Arc::new(MemoryObjects::new()), Kind::new("external").unwrap());
    let reader = log.reader();
    let reconciler = Reconciler::on(Box::new(log), Arc::clone(&objects) as _)
        .kind(kind.clone(), External::local())
        .observe_interval(LONG)
        .start()
        .unwrap();
    let handle = reconciler.handle();
    let failed = |what: &str| -> Vec<String> {
        let events = replay::events(&*reader, Seq::ZERO).map(Result::unwrap);
        let messages = events.filter_map(|recorded| match (recorded.event, what) {
            (Event::ObservationFailed { cause, .. }, "look") => Some(cause.into()),
            (Event::AttemptFailed { message, .. }, "attempt") => Some(message.into()),
            _ => None,
        });
        messages.collect()
    };

    objects.fail_next_put();
    let mut declaration = Declaration::new(name(0));
    declaration.kind = Some(kind);
    declaration.source = Some(Source::new(lake.path().to_str().unwrap()).unwrap());
    declaration.spec = Some(Spec::parse(r#"{"format":"parquet"}"#).unwrap());
    let pause = Command::Pause { name: name(0) };
    handle.batch(vec![Command::Declare(Box::new(declaration)), pause]).unwrap();
    until("a failure that is told", || failed("look").len() == 1);
    assert!(failed("look")[0].starts_with("what was seen could not be kept: "), "{:?}", failed("look"));

    handle.refresh(name(0)).unwrap();
    until("something that is wanted", || handle.status(name(0)).unwrap().unwrap().view.wanted.is_some());
    assert_eq!(handle.status(name(0)).unwrap().unwrap().view.unobservable, None);

    objects.fail_next_put();
    handle.resume(name(0)).unwrap();
    until("a failure that is told", || failed("attempt").len() == 1);
    applied(&handle, 0);
    assert_eq!((failed("look").len(), failed("attempt").len()), (1, 1));
    reconciler.shutdown(LONG).unwrap();
}
