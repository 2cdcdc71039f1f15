//! A service on tokio: `cargo run --example tokio`.
//!
//! Three tasks of the runtime are the workers. Each awaits an assignment, then drives three futures at once: the work,
//! heartbeats, and the signal to stop. The library itself knows no runtime; tokio is a dependency of this example only.

use std::error::Error;
use std::time::Duration;

use lastword::errors::SubmitError;
use lastword::remote::{CompletionOutcome, HeartbeatReply, LeasedAssignment, WorkerName};
use lastword::{
    Built, Command, Declaration, Event, Generation, Handle, Kind, Name, Receipt, Reconciler, Source, Spec, WaitOutcome,
    WatchItem,
};

/// How long a worker may be silent.
const LEASE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let reconciler = Reconciler::open(dir.path().join("state")).start()?;
    let handle = reconciler.handle();
    let workers: Vec<_> = (1..=3).map(|n| tokio::spawn(work(handle.clone(), n))).collect();

    // Twenty pages, and one whose first version would take an hour.
    let mut receipts = Vec::new();
    for page in 1..=20 {
        receipts.push((page, declare(&handle, &format!("page{page}"), "{}").await?));
    }
    let slow = declare(&handle, "slow", r#"{"minutes":60}"#).await?;
    for (page, receipt) in receipts {
        let waited = handle.applied(Name::new(&format!("page{page}"))?, receipt.generation).await?;
        assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
    }
    println!("20 pages are built");

    // While a worker builds the slow one, it is declared anew. The attempt is told to stop and does.
    until_started(&handle, &slow).await;
    let quick = declare(&handle, "slow", r#"{"minutes":0}"#).await?;
    assert_eq!(quick.generation, Generation(2));
    let waited = handle.applied(Name::new("slow")?, quick.generation).await?;
    assert!(matches!(waited, WaitOutcome::Applied { generation: Generation(2), .. }), "{waited:?}");
    println!("the slow one was superseded and is built");

    // The shutdown waits for workers of the engine's own, so it blocks a thread.
    tokio::task::spawn_blocking(move || reconciler.shutdown(LEASE)).await??;
    let mut done = 0;
    for worker in workers {
        let (built, stopped) = worker.await?;
        println!("a worker built {built} and was told to stop {stopped} times");
        done += built;
    }
    assert_eq!(done, 21);
    Ok(())
}

/// The life of one worker: how much it has built, and how often it was told to stop.
async fn work(handle: Handle, number: u32) -> (u32, u32) {
    let (mut built, mut stopped) = (0, 0);
    let kinds = [Kind::new("crawl").expect("a name")];
    let worker = WorkerName::new(&format!("tokio-{number}-{}", std::process::id())).expect("a name");
    // It ends with the reconciler.
    while let Ok(assignment) = handle.assignment(&kinds, &worker, LEASE).await {
        let attempt = assignment.attempt();
        tokio::select! {
            result = crawl(&assignment) => {
                let outcome = handle.complete(attempt, assignment.fingerprint(), result).await;
                built += u32::from(matches!(outcome, Ok(CompletionOutcome::Committed { .. })));
            }
            () = assignment.stopped() => {
                stopped += 1;
                let _ = handle.release(attempt).await;
            }
            // What a worker on another machine has instead of `stopped`.
            () = beat(&handle, &assignment) => {
                let _ = handle.release(attempt).await;
            }
        }
    }
    (built, stopped)
}

/// The work itself.
async fn crawl(assignment: &LeasedAssignment) -> Built {
    let minutes = assignment.spec().to_value()["minutes"].as_u64().unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(5) + Duration::from_secs(60 * minutes)).await;
    Built { output: Some(format!("the text of {}", assignment.source().as_str()).into()), ..Built::default() }
}

/// Shows that the worker lives, until it is told to stop.
async fn beat(handle: &Handle, assignment: &LeasedAssignment) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        match handle.heartbeat(assignment.attempt()).await {
            Ok(HeartbeatReply::Go { .. }) => {}
            Ok(HeartbeatReply::Stop { .. } | HeartbeatReply::Gone) | Err(_) => return,
        }
    }
}

/// Declares a page without ever blocking a thread of the runtime.
async fn declare(handle: &Handle, name: &str, spec: &str) -> Result<Receipt, Box<dyn Error>> {
    let source = Source::new(&format!("https://example.org/{name}"))?;
    let page = Declaration::new(Name::new(name)?).kind(Kind::new("crawl")?).source(source);
    let page = page.spec(Spec::parse(spec)?).unversioned();
    loop {
        match handle.try_submit(Command::Declare(Box::new(page.clone()))) {
            Ok(response) => return Ok(response.await?),
            Err(SubmitError::Full) => handle.queue_capacity().await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Follows the events until an attempt of a collection has started.
async fn until_started(handle: &Handle, declared: &Receipt) {
    let mut watch = handle.watch(declared.seq.unwrap_or_default());
    loop {
        match watch.next_event().await {
            Ok(WatchItem::Event(recorded)) => {
                if let Event::TaskStarted { collection, .. } = recorded.event
                    && Some(collection) == declared.collection
                {
                    return;
                }
            }
            Ok(WatchItem::Lagged { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
