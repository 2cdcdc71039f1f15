//! A kind whose worker is a child process: `cargo run --example pipes`.
//!
//! The child reads jobs from its standard input and writes what it has to say to its standard output, one JSON object
//! per line. The parent is the bridge: what the child says becomes a call of the handle, and what the handle answers
//! goes back. A child is killed in the middle of its work; it falls silent, its lease runs out, and another takes over.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use lastword::core::vocabulary::{
    Built, Declaration, Event, FailReason, Generation, Kind, Name, Seq, Source, Spec, WorkerName,
};
use lastword::engine::{CompletionOutcome, Handle, HeartbeatReply, Reconciler, WaitOutcome, WatchItem};
use lastword::worker::Failure;
use serde_json::{Value, json};

/// How long a child may be silent.
const LEASE: Duration = Duration::from_millis(1500);

/// How often a child that works says so.
const BEAT: Duration = Duration::from_millis(100);

/// How long anything here may take before the example gives up.
const LONG: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("--as-worker") {
        return Ok(child()?);
    }
    let dir = tempfile::tempdir()?;
    let reconciler = Reconciler::open(dir.path().join("state")).start()?;
    let handle = reconciler.handle();

    // A job that never ends, for the first child.
    let name = Name::new("shout")?;
    let mut shout = Declaration::new(name.clone());
    shout.kind = Some(Kind::new("pipes")?);
    shout.source = Some(Source::new("hello, world")?);
    shout.spec = Some(Spec::parse(r#"{"attempts_that_hang":1}"#)?);
    shout.versioned = Some(false);
    handle.declare(shout)?;
    let (first, working) = bridge(&handle, 1)?;
    working.recv_timeout(LONG)?;
    println!("child 1 is at work; it is killed");
    kill(first)?;

    // The second child waits for work, and has some once the lease of the first has run out.
    let (second, _working) = bridge(&handle, 2)?;
    let waited = handle.wait_applied(name.clone(), Generation(1), LONG)?;
    assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
    let view = handle.status(name)?.ok_or("it was declared")?.view;
    let applied = view.applied.ok_or("it is applied")?;
    assert_eq!(applied.result.output.as_deref(), Some("HELLO, WORLD"));
    println!("child 2 has built it under token {}", applied.token);

    let lost = events(&handle, applied.seq).into_iter().find_map(|event| match event {
        Event::AttemptFailed { attempt, token, reason: FailReason::WorkerLost, .. } => Some((attempt, token)),
        _ => None,
    });
    let (attempt, token) = lost.ok_or("nobody was lost")?;
    assert_eq!(attempt, 1);
    assert!(token < applied.token, "whoever takes over has the newer token");
    kill(second)?;
    reconciler.shutdown(LONG)?;
    Ok(())
}

/// Starts a child, and a thread that is the bridge to it. Says when the child is at work.
fn bridge(handle: &Handle, number: u32) -> Result<(Child, std::sync::mpsc::Receiver<()>), Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg("--as-worker").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let jobs = child.stdin.take().ok_or("no standard input")?;
    let words = BufReader::new(child.stdout.take().ok_or("no standard output")?);
    let worker = WorkerName::new(&format!("child{number}-{}", child.id()))?;
    let (handle, (at_work, working)) = (handle.clone(), channel());
    thread::spawn(move || {
        // Its pipes break when the child is gone, and the handle answers no more when the reconciler is.
        if let Err(error) = serve(&handle, &worker, jobs, words, &at_work) {
            println!("the bridge to {} has ended: {error}", worker.as_str());
        }
    });
    Ok((child, working))
}

/// Hands jobs to the child, and what it says to the handle.
fn serve(
    handle: &Handle,
    worker: &WorkerName,
    mut jobs: impl Write,
    mut words: impl BufRead,
    at_work: &Sender<()>,
) -> Result<(), Box<dyn Error>> {
    let kinds = [Kind::new("pipes")?];
    loop {
        let Some(job) = handle.next_assignment(&kinds, worker, LEASE, LONG)? else { continue };
        let line = json!({
            "attempt": job.attempt().attempt, "source": job.source().as_str(), "spec": job.spec().to_value(),
        });
        writeln!(jobs, "{line}")?;
        loop {
            let mut line = String::new();
            if words.read_line(&mut line)? == 0 {
                return Err("the child is gone".into());
            }
            let word: Value = serde_json::from_str(&line)?;
            if let Some(output) = word["built"].as_str() {
                let built = Built { output: Some(output.into()), ..Built::default() };
                let verdict = handle.complete(job.attempt(), job.fingerprint(), built).wait()?;
                assert!(matches!(verdict, CompletionOutcome::Committed { .. }), "{verdict:?}");
                break;
            }
            if let Some(message) = word["failed"].as_str() {
                handle.fail(job.attempt(), Failure::Transient(message.into())).wait()?;
                break;
            }
            // Anything else shows that it lives.
            match handle.heartbeat(job.attempt()).wait()? {
                HeartbeatReply::Go { .. } => drop(at_work.send(())),
                HeartbeatReply::Stop { .. } | HeartbeatReply::Gone => {
                    writeln!(jobs, "{}", json!({ "stop": true }))?;
                    handle.release(job.attempt()).wait()?;
                    break;
                }
            }
        }
    }
}

/// The child. It knows nothing of the library: lines come, lines go.
fn child() -> io::Result<()> {
    let (lines, words) = (io::stdin().lines(), io::stdout());
    let say = |word: Value| writeln!(words.lock(), "{word}");
    for line in lines {
        let job: Value = serde_json::from_str(&line?)?;
        let Some(source) = job["source"].as_str() else { continue };
        say(json!({ "begun": job["attempt"] }))?;
        while job["attempt"].as_u64() <= job["spec"]["attempts_that_hang"].as_u64() {
            thread::sleep(BEAT);
            // A parent that is gone breaks the pipe, which ends the child.
            say(json!({ "alive": true }))?;
        }
        say(json!({ "built": source.to_uppercase() }))?;
    }
    Ok(())
}

fn kill(mut child: Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(drop)
}

/// Everything that happened up to an event.
fn events(handle: &Handle, until: Seq) -> Vec<Event> {
    let (mut watch, mut events) = (handle.watch(Seq(1)), Vec::new());
    while let Ok(watched) = watch.next_within(LONG) {
        if let WatchItem::Event(recorded) = watched {
            events.push(recorded.event.clone());
            if recorded.seq >= until {
                break;
            }
        }
    }
    events
}
