//! A kind whose worker is a child process: `cargo run --example remote_workers`.
//!
//! The child reads assignments from its standard input and writes its messages to its standard output, one JSON object
//! per line. The parent is the bridge: a message of the child becomes a call of the handle, and the answer of the handle
//! goes back. A child is killed in the middle of its work; it falls silent, its lease runs out, and another takes over.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use lastword::remote::{CompletionOutcome, HeartbeatReply, WorkerName};
use lastword::{
    Built, Declaration, Event, Failure, Generation, Handle, Kind, Name, Reconciler, Seq, Source, Spec, WaitOutcome,
    WatchItem,
};
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

    // The first attempt never ends.
    let name = Name::new("shout")?;
    let spec = Spec::parse(r#"{"attempts_that_hang":1}"#)?;
    let shout = Declaration::new(name.clone()).kind(Kind::new("shout")?).source(Source::new("hello, world")?);
    handle.declare(shout.spec(spec).unversioned())?;
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
        Event::AttemptFailed { attempt, token, reason, .. } => Some((attempt, token, reason.as_str())),
        _ => None,
    });
    let (attempt, token, reason) = lost.ok_or("no attempt was lost")?;
    assert_eq!((attempt, reason), (1, "worker_lost"));
    assert!(token < applied.token, "the worker that takes over has the newer token");
    kill(second)?;
    reconciler.shutdown(LONG)?;
    Ok(())
}

/// Starts a child, and a thread that is the bridge to it. Says when the child is at work.
fn bridge(handle: &Handle, number: u32) -> Result<(Child, std::sync::mpsc::Receiver<()>), Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg("--as-worker").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let assignments = child.stdin.take().ok_or("no standard input")?;
    let messages = BufReader::new(child.stdout.take().ok_or("no standard output")?);
    let worker = WorkerName::new(&format!("child{number}-{}", child.id()))?;
    let (handle, (at_work, working)) = (handle.clone(), channel());
    thread::spawn(move || {
        // Its pipes break when the child is gone, and the handle answers no more when the reconciler is.
        if let Err(error) = serve(&handle, &worker, assignments, messages, &at_work) {
            println!("the bridge to {} has ended: {error}", worker.as_str());
        }
    });
    Ok((child, working))
}

/// Hands assignments to the child, and its messages to the handle.
fn serve(
    handle: &Handle,
    worker: &WorkerName,
    mut assignments: impl Write,
    mut messages: impl BufRead,
    at_work: &Sender<()>,
) -> Result<(), Box<dyn Error>> {
    let kinds = [Kind::new("shout")?];
    loop {
        let Some(assignment) = handle.next_assignment(&kinds, worker, LEASE, LONG)? else { continue };
        let line = json!({
            "attempt": assignment.attempt().attempt, "source": assignment.source().as_str(), "spec": assignment.spec().to_value(),
        });
        writeln!(assignments, "{line}")?;
        loop {
            let mut line = String::new();
            if messages.read_line(&mut line)? == 0 {
                return Err("the child is gone".into());
            }
            let message: Value = serde_json::from_str(&line)?;
            if let Some(output) = message["built"].as_str() {
                let built = Built { output: Some(output.into()), ..Built::default() };
                let outcome = handle.complete(assignment.attempt(), assignment.fingerprint(), built).wait()?;
                assert!(matches!(outcome, CompletionOutcome::Committed { .. }), "{outcome:?}");
                break;
            }
            if let Some(reason) = message["failed"].as_str() {
                handle.fail(assignment.attempt(), Failure::Transient(reason.into())).wait()?;
                break;
            }
            // Anything else shows that it lives.
            match handle.heartbeat(assignment.attempt()).wait()? {
                HeartbeatReply::Go { .. } => drop(at_work.send(())),
                HeartbeatReply::Stop { .. } | HeartbeatReply::Gone => {
                    writeln!(assignments, "{}", json!({ "stop": true }))?;
                    handle.release(assignment.attempt()).wait()?;
                    break;
                }
            }
        }
    }
}

/// The child. It knows nothing of the library: lines come, lines go.
fn child() -> io::Result<()> {
    let (lines, messages) = (io::stdin().lines(), io::stdout());
    let say = |message: Value| writeln!(messages.lock(), "{message}");
    for line in lines {
        let assignment: Value = serde_json::from_str(&line?)?;
        let Some(source) = assignment["source"].as_str() else { continue };
        say(json!({ "begun": assignment["attempt"] }))?;
        while assignment["attempt"].as_u64() <= assignment["spec"]["attempts_that_hang"].as_u64() {
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
