//! Attempts that were given up and act nevertheless: a destination that compares tokens is not harmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::Reconciler;
use lastword::worker::{CommitView, Context, DeliveryError, Failure, Worker};

use crate::press::*;
use crate::support::*;
use test_support::file_destination::FileDestination;

#[test]
fn case_44_a_zombie_that_writes_after_the_next_attempt_was_published_is_refused() {
    let press = Press::new();
    let lab = lab(&press);
    lab.print("a", r#"{"do":"deaf","gate":"zombie","write":true}"#);
    press.gate("zombie").until_reached(&lab, 1);
    lab.print("a", r#"{"n":2}"#);
    lab.advance(Duration::from_secs(1));
    lab.applied("a", 2);
    lab.until_met("a");
    let live = press.destination.live("a");
    assert_eq!(live.as_ref().map(|live| live.token), lab.view("a").applied.map(|applied| applied.token));

    press.gate("zombie").open();
    lab.until_count("completion_rejected", 1);
    assert_eq!(press.refused().len(), 1);
    assert_eq!(press.destination.live("a"), live);
    lab.is_as_published(&press, "a");
    lab.verify();
}

/// Attempts of even numbers are deaf, and write for as long as they are let after they were given up.
#[derive(Clone)]
struct Stubborn {
    destination: FileDestination,
    ends: Arc<AtomicBool>,
}

impl Worker for Stubborn {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let (name, token) = (context.name().as_str(), context.token());
        let output = self.destination.make(token, "out")?;
        let n = context.spec().to_value().get("n").and_then(serde_json::Value::as_u64).unwrap();
        if n.is_multiple_of(2) {
            while !context.is_stopping() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Until something newer is live its write would be harm that no token can prevent: no attempt may write
            // what readers see before it has committed.
            while self.destination.live(name).is_none_or(|live| live.token < token) && !self.ends() {
                std::thread::sleep(Duration::from_millis(1));
            }
            while !self.ends() {
                if self.destination.write(name, context.collection(), token, &output).is_ok() {
                    return Err(Failure::Permanent("a zombie has written".to_owned()));
                }
            }
        }
        Ok(Built { output: Some(output.into()), ..Built::default() })
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: false }
    }

    fn publish(&self, publication: &CommitView<'_>) -> Result<(), DeliveryError> {
        self.destination.publish(publication)
    }
}

impl Stubborn {
    fn ends(&self) -> bool {
        self.ends.load(Ordering::SeqCst)
    }
}

/// Real time, a real log, and zombies that write all the time.
#[test]
fn case_44_a_crowd_of_zombies_never_takes_a_destination_back() {
    let home = tempfile::tempdir().unwrap();
    let destination = FileDestination::at(home.path());
    let ends = Arc::new(AtomicBool::new(false));
    let stubborn = Stubborn { destination: destination.clone(), ends: Arc::clone(&ends) };
    let builder = Reconciler::open(home.path().join("state")).kind(kind("stubborn"), stubborn).workers(4);
    let reconciler = builder.start().unwrap();
    let handle = reconciler.handle();

    let watcher = {
        let (destination, ends) = (destination.clone(), Arc::clone(&ends));
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !ends.load(Ordering::SeqCst) {
                if let Some(live) = destination.live("a")
                    && seen.last() != Some(&live.token)
                {
                    seen.push(live.token);
                }
            }
            seen
        })
    };
    for n in 1..=9 {
        let mut declaration = declaration("a", &format!(r#"{{"n":{n}}}"#));
        declaration.kind = Some(kind("stubborn"));
        let policy = Policy { grace: Grace(Duration::from_millis(5)), ..Policy::default() };
        declaration.policy = Some(policy);
        let receipt = handle.declare(declaration).unwrap();
        if n % 2 == 1 {
            handle.wait_applied(name("a"), receipt.generation, LONG).unwrap();
        } else {
            let runs = || handle.status(name("a")).unwrap().unwrap().view.condition.name() == "running";
            until("a deaf attempt", runs);
        }
    }
    until("the last publication", || handle.status(name("a")).unwrap().unwrap().view.outbox.unwrap().unpublished == 0);
    let applied = handle.status(name("a")).unwrap().unwrap().view.applied.unwrap();
    ends.store(true, Ordering::SeqCst);
    let seen = watcher.within("the end of a thread").unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    let live = destination.live("a").unwrap();
    assert_eq!((live.token, live.output.as_deref()), (applied.token, applied.result.output.as_deref()));
    reconciler.shutdown(LONG).unwrap();
}
