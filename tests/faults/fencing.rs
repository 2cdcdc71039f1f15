//! Real zombies: a process that an attempt or a publication has started outlives the kill of its engine, and writes
//! after the next engine has published something newer. The destination compares tokens, and refuses it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use lastword::core::vocabulary::{
    Built, CollectionId, Declaration, Duties, Epoch, Event, Kind, Name, Receipt, Seq, Source, Spec, Token,
};
use lastword::engine::{Handle, Reconciler};
use lastword::log::PrivateCopy;
use lastword::replay;
use lastword::worker::{CommitView, Context, DeliveryError, Failure, Worker};

use test_support::file_destination::FileDestination;
use test_support::history::{LONG, until};

/// The home directory of an engine's process that is to be killed, or of a zombie.
const ENGINE: &str = "LASTWORD_FENCING_ENGINE";
const ZOMBIE: &str = "LASTWORD_FENCING_ZOMBIE";
/// What leaves a zombie behind: `run` or `publish`. And what the zombie writes.
const HAUNTED: &str = "LASTWORD_FENCING_HAUNTED";
const WRITES: &str = "LASTWORD_FENCING_WRITES";

/// Leaves the writing to another process, and waits for it, where it is told to; else does it itself.
struct Delegating {
    home: PathBuf,
    haunted: String,
}

impl Delegating {
    fn destination(&self) -> FileDestination {
        FileDestination::at(&self.home.join("destination"))
    }

    fn delegate(&self, collection: CollectionId, token: Token, output: &str) {
        let zombie = Command::new(env::current_exe().unwrap())
            .args(["--exact", "fencing::zombie", "--test-threads=1"])
            .env(ZOMBIE, &self.home)
            .env(WRITES, format!("{collection} {} {} {output}", token.epoch, token.seq))
            .env_remove(ENGINE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        zombie.unwrap().wait().unwrap();
    }
}

impl Worker for Delegating {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let output = self.destination().make(context.token(), "out")?;
        if self.haunted == "run" {
            self.delegate(context.collection(), context.token(), &output);
        }
        Ok(Built { output: Some(output.into()), ..Built::default() })
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: false }
    }

    fn publish(&self, publication: &CommitView<'_>) -> Result<(), DeliveryError> {
        if self.haunted == "publish" {
            let output = publication.result.output.as_deref().unwrap();
            self.delegate(publication.collection, publication.token, output);
        }
        self.destination().publish(publication)
    }
}

fn open(home: &Path, haunted: &str) -> Reconciler {
    let worker = Delegating { home: home.to_owned(), haunted: haunted.to_owned() };
    Reconciler::open(home.join("state")).kind(Kind::new("delegating").unwrap(), worker).start().unwrap()
}

fn declare(handle: &Handle, n: u64) -> Receipt {
    let mut declaration = Declaration::new(Name::new("a").unwrap());
    declaration.kind = Some(Kind::new("delegating").unwrap());
    declaration.source = Some(Source::new("nowhere").unwrap());
    declaration.versioned = Some(false);
    declaration.spec = Some(Spec::parse(&format!(r#"{{"n":{n}}}"#)).unwrap());
    handle.declare(declaration).unwrap()
}

/// The process that is killed. Without its variable this test is nothing.
#[test]
fn engine() {
    let Some(home) = env::var_os(ENGINE).map(PathBuf::from) else { return };
    let reconciler = open(&home, &env::var(HAUNTED).unwrap());
    declare(&reconciler.handle(), 1);
    thread::sleep(LONG);
}

/// The process that outlives it: it writes once it is let go, and says what came of it.
#[test]
fn zombie() {
    let Some(home) = env::var_os(ZOMBIE).map(PathBuf::from) else { return };
    let writes = env::var(WRITES).unwrap();
    let mut words = writes.splitn(4, ' ');
    let mut number = || words.next().unwrap().parse().unwrap();
    let (collection, token) = (CollectionId(Seq(number())), Token { epoch: Epoch(number()), seq: Seq(number()) });
    let say = |file: &str, text: &str| {
        fs::write(home.join("said"), text).unwrap();
        fs::rename(home.join("said"), home.join(file)).unwrap();
    };
    say("haunting", "");
    until("being let go", || home.join("go").exists());
    let destination = FileDestination::at(&home.join("destination"));
    match destination.write("a", collection, token, words.next().unwrap()) {
        Ok(()) => say("verdict", "written"),
        Err(refused) => say("verdict", &format!("refused: {refused}")),
    }
}

#[test]
fn case_44_a_process_of_a_killed_attempt_is_refused() {
    add_zombie("run");
}

#[test]
fn case_44_a_process_of_a_killed_publication_is_refused() {
    add_zombie("publish");
}

fn add_zombie(haunted: &str) {
    let home = tempfile::tempdir().unwrap();
    let mut killed = Command::new(env::current_exe().unwrap())
        .args(["--exact", "fencing::engine", "--test-threads=1"])
        .env(ENGINE, home.path())
        .env(HAUNTED, haunted)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the haunting", || home.path().join("haunting").exists());
    // SIGKILL.
    killed.kill().unwrap();
    killed.wait().unwrap();

    let reconciler = open(home.path(), "");
    let handle = reconciler.handle();
    let receipt = declare(&handle, 2);
    handle.wait_applied(Name::new("a").unwrap(), receipt.generation, LONG).unwrap();
    until("the publication", || handle.stats().unwrap().undelivered == 0);
    let destination = FileDestination::at(&home.path().join("destination"));
    let live = destination.live("a").unwrap();

    fs::write(home.path().join("go"), "").unwrap();
    until("the zombie's word", || home.path().join("verdict").exists());
    let verdict = fs::read_to_string(home.path().join("verdict")).unwrap();
    assert!(verdict.starts_with("refused: token "), "{verdict}");
    assert_eq!(destination.live("a"), Some(live.clone()));
    reconciler.shutdown(LONG).unwrap();

    // It holds what the last `published` event says.
    let copy = PrivateCopy::of(home.path().join("state")).unwrap();
    let reader = copy.reader();
    let tokens = replay::events(&*reader, Seq::ZERO).filter_map(|event| match event.unwrap().event {
        Event::Published { token, .. } => Some(token),
        _ => None,
    });
    assert_eq!(tokens.last(), Some(live.token));
}
