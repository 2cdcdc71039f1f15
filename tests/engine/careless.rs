//! Workers of careless authors: what they say at length, what they never answer, what they ask of the engine that calls them.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use lastword::clock::SystemClock;
use lastword::core::vocabulary::*;
use lastword::engine::{Handle, Reconciler, SettleOutcome};
use lastword::log::MemoryLog;
use lastword::objects::MemoryObjects;
use lastword::testing::Harness;
use lastword::worker::{
    CommitView, Context, DeliveryError, Failure, Observation, ObserveError, ObserveRequest, Observer, Traffic,
    VerifyOutcome, Worker,
};

use crate::executor::block_on;
use crate::support::*;

fn in_memory() -> lastword::engine::Builder {
    Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()))
}

/// Verifies, and says far too much of it.
struct Talks;

impl Worker for Talks {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built { output: Some("there".into()), ..Built::default() })
    }

    fn verifies(&self) -> bool {
        true
    }

    fn verify(&self, commit: &CommitView<'_>) -> Result<VerifyOutcome, DeliveryError> {
        let text = "x".repeat(8 << 20);
        if commit.name.as_str() == "error" { Err(DeliveryError(text)) } else { Ok(VerifyOutcome::Drifted(text)) }
    }
}

#[test]
fn defect_25_what_a_verification_says_is_held_at_the_length_of_any_message() {
    let harness = Harness::with(|builder| builder.kind(kind("puppet"), Talks));
    let handle = harness.handle();
    for of in ["error", "drifted"] {
        let generation = handle.declare(declaration(of, "{}")).unwrap().generation;
        handle.wait_applied(name(of), generation, LONG).unwrap();
        handle.refresh(name(of)).unwrap();
        until("the verification", || harness.status(of).verification.is_some());
        let held = match harness.status(of).verification.unwrap().found {
            Ok(VerifyOutcome::Drifted(text)) => text.len(),
            Err(DeliveryError(text)) => text.len(),
            Ok(VerifyOutcome::Intact) => 0,
        };
        assert_eq!(held, FailureReport::MOST_MESSAGE, "{of}");
    }
}

/// Does not come back from a publication before it is let go, but for that of the innocent.
#[derive(Clone, Default)]
struct Hangs(Arc<AtomicBool>);

impl Worker for Hangs {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: false }
    }

    fn publish(&self, commit: &CommitView<'_>) -> Result<(), DeliveryError> {
        while commit.name.as_str() != "innocent" && !self.0.load(SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

#[test]
fn defect_16_a_publication_that_waits_for_those_that_hang_says_so() {
    let hangs = Hangs::default();
    let worker = hangs.clone();
    let harness = Harness::with(move |builder| {
        let builder = builder.clock(SystemClock::new()).kind(kind("puppet"), worker.clone());
        builder.delivery_threads(1).delivery_timeout(Duration::from_millis(50))
    });
    let handle = harness.handle();
    for of in ["a", "b"] {
        handle.declare(declaration(of, "{}")).unwrap();
    }
    until("both being given up", || harness.stats().overdue_deliveries == 2);
    let generation = handle.declare(declaration("innocent", "{}")).unwrap().generation;
    handle.wait_applied(name("innocent"), generation, LONG).unwrap();
    let live = harness.status("innocent").live();
    assert_eq!(live["deliveries_exhausted"], true, "{live}");
    assert_eq!(live["undeliverable"], false, "{live}");
    let settled = handle.wait_settled(name("innocent"), LONG).unwrap();
    assert_eq!(format!("{settled:?}"), "DeliveriesExhausted");

    hangs.0.store(true, SeqCst);
    until("the publication", || harness.status("innocent").live()["deliveries_exhausted"] == false);
    let settled = handle.wait_settled(name("innocent"), LONG).unwrap();
    assert!(matches!(settled, SettleOutcome::Settled { .. }), "{settled:?}");
}

/// Awaits the engine that it serves while it checks.
#[derive(Clone, Default)]
struct Awaits(Arc<OnceLock<Handle>>, Arc<Mutex<Vec<String>>>);

impl Worker for Awaits {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn check(&self, _: &Source, _: &Spec) -> Result<(), FieldError> {
        let said = [
            format!("{:?}", block_on(self.0.wait().request().stats()).map(drop)),
            format!("{:?}", block_on(self.0.wait().settled(name("b"))).map(drop)),
            format!("{:?}", block_on(self.0.wait().watch(Seq(1 << 40)).next_event()).map(drop)),
            format!("{:?}", self.0.wait().watch(Seq(1 << 40)).next_within(LONG).map(drop)),
            format!("{:?}", self.0.wait().watch(Seq(1 << 40)).next_within(Duration::ZERO).map(drop)),
            // What there is already is shown, and what another engine does is awaited.
            format!("{:?}", block_on(self.0.wait().watch(Seq(1)).next_event()).map(drop)),
        ];
        self.1.lock().unwrap().extend(said);
        Ok(())
    }
}

#[test]
fn defect_09_a_check_that_awaits_its_own_engine_is_refused_and_hangs_nobody() {
    let awaits = Awaits::default();
    let reconciler = in_memory().kind(kind("puppet"), awaits.clone()).start().unwrap();
    awaits.0.set(reconciler.handle()).ok().unwrap();
    let (handle, (told, declared)) = (reconciler.handle(), mpsc::channel());
    thread::spawn(move || told.send(handle.declare(declaration("a", "{}"))));
    (&declared).within("the answer to a declaration whose check awaits the engine").unwrap();
    assert_eq!(
        *awaits.1.lock().unwrap(),
        ["Err(OwnThread)", "Err(OwnThread)", "Err(OwnThread)", "Err(OwnThread)", "Err(TimedOut)", "Ok(())"]
    );
    reconciler.shutdown(LONG).unwrap();
}

/// Awaits another engine than the one that it serves while it checks.
struct AwaitsAnother(Handle, Arc<Mutex<Vec<String>>>);

impl Worker for AwaitsAnother {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn check(&self, _: &Source, _: &Spec) -> Result<(), FieldError> {
        let durable = block_on(self.0.request().stats()).unwrap().durable;
        let mut watch = self.0.watch(durable.next());
        block_on(self.0.request().declare(declaration("a", "{}"))).unwrap();
        self.1.lock().unwrap().push(format!("{:?}", block_on(watch.next_event()).map(drop)));
        Ok(())
    }
}

#[test]
fn a_check_that_awaits_another_engine_gets_what_that_one_says() {
    let another = in_memory().kind(kind("puppet"), Hangs::default()).start().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let worker = AwaitsAnother(another.handle(), Arc::clone(&said));
    let reconciler = in_memory().kind(kind("puppet"), worker).start().unwrap();
    let (handle, (told, declared)) = (reconciler.handle(), mpsc::channel());
    thread::spawn(move || told.send(handle.declare(declaration("a", "{}"))));
    (&declared).within("the answer to a declaration whose check awaits another engine").unwrap();
    assert_eq!(*said.lock().unwrap(), ["Ok(())"]);
    reconciler.shutdown(LONG).unwrap();
    another.shutdown(Duration::from_secs(1)).unwrap();
}

fn impossible() -> FileCounts {
    FileCounts { files: 7, missing: 5.into(), of: 3 }
}

#[test]
fn defect_16_more_files_missing_than_there_were_are_refused() {
    let harness = Harness::with(|builder| builder.kind(kind("restless"), Restless));
    harness.declare(versioned("counts", "restless", "there"));
    until("the observation", || harness.status("counts").last_observation.is_some());
    harness.assert_condition("counts", "unobservable");
    assert!(
        harness.status("counts").view.condition.to_string().contains("5 of 3"),
        "{}",
        harness.view("counts").condition
    );
    let state = observed("2");
    let outcome = ObservationOutcome::Counted { state, delta: None, counts: impossible() };
    let observe = Command::Observe { name: name("counts"), outcome };
    let refused = harness.handle().request().command(observe).wait().unwrap_err().to_string();
    assert!(refused.contains("5 of 3"), "{refused}");
}

/// Wants to observe again at once.
struct Restless;

impl Worker for Restless {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        if context.name().as_str() == "moved" {
            let observation = Some(Box::new(Observation::counted(observed("2").version, impossible())));
            return Err(Failure::SourceMoved { what: None, observation });
        }
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Restless {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        if request.name.as_str() == "error" {
            request.signals.observe_again_after(Duration::ZERO);
            return Err(ObserveError("not now".to_owned()));
        }
        if request.name.as_str() == "traffic" {
            let mut traffic = Traffic::default();
            (traffic.requests, traffic.throttled) = (u64::MAX, u64::MAX);
            request.signals.traffic().add(traffic);
            request.signals.traffic().count_request();
            request.signals.traffic().count_throttled(503);
        }
        if request.name.as_str() == "missing" {
            let mut observation = Observation::new(empty("1"), None);
            observation.missing = Some(5.into());
            return Ok(observation);
        }
        if request.name.as_str() == "counts" {
            return Ok(Observation::counted(observed("1").version, impossible()));
        }
        let mut observation = Observation::opaque(observed("1").version);
        observation.observe_again = Some(Duration::ZERO);
        Ok(observation)
    }
}

#[test]
fn defect_25_an_observer_that_wants_to_observe_at_once_does_so_after_a_moment() {
    let harness = Harness::with(|builder| builder.kind(kind("restless"), Restless));
    for of in ["restless", "error"] {
        harness.declare(versioned(of, "restless", "there"));
        until("the first observation", || harness.status(of).last_observation.is_some());
        let status = harness.status(of);
        let next = status.next_observation.expect("it is not observed again already");
        assert_eq!(next.since(status.at), Duration::from_millis(10), "{of}");
    }
}

#[test]
fn defect_16_a_kind_that_is_given_to_two_workers_is_refused() {
    let twice = in_memory().kind(kind("puppet"), Talks).kind(kind("puppet"), Hangs::default()).start();
    let refused = twice.map(drop).unwrap_err().to_string();
    assert!(refused.contains("puppet") && refused.contains("two workers"), "{refused}");
    let both = in_memory().driven(kind("puppet")).kind(kind("puppet"), Talks).start();
    let refused = both.map(drop).unwrap_err().to_string();
    assert!(refused.contains("puppet") && refused.contains("driven"), "{refused}");
}

#[test]
fn an_observer_that_counts_more_traffic_than_there_are_numbers_ends_no_engine() {
    let harness = Harness::with(|builder| builder.kind(kind("restless"), Restless));
    harness.declare(versioned("traffic", "restless", "there"));
    until("the first look", || harness.stats().counters.looks.count > 0);
    harness.handle().refresh(name("traffic")).unwrap();
    until("the second look", || harness.stats().counters.looks.count > 1);
    let counters = harness.stats().counters;
    assert_eq!((counters.look_requests, counters.look_throttled), (u64::MAX, u64::MAX));
}

#[test]
fn more_files_missing_than_there_were_are_refused_whoever_says_so() {
    let harness = Harness::with(|builder| builder.kind(kind("restless"), Restless).driven(kind("far")));
    empty_set(harness.objects());
    harness.declare(versioned("missing", "restless", "there"));
    until("the observation", || harness.status("missing").last_observation.is_some());
    harness.assert_condition("missing", "unobservable");
    let condition = harness.view("missing").condition.to_string();
    assert!(condition.contains("5 of 0"), "{condition}");

    let outcome = ObservationOutcome::Content { state: observed("2"), delta: None, missing: Some(5.into()) };
    let observe = Command::Observe { name: name("missing"), outcome };
    let refused = harness.handle().request().command(observe).wait().unwrap_err().to_string();
    assert!(refused.contains("5 of 0"), "{refused}");

    harness.declare(versioned("moved", "restless", "there"));
    until("the attempt", || harness.view("moved").last_failure.is_some());
    let failure = format!("{:?}", harness.view("moved").last_failure);
    assert!(failure.contains("5 of 3"), "{failure}");

    harness.declare(Declaration { kind: Some(kind("far")), ..declaration("far", "{}") });
    let worker = WorkerName::new("w").unwrap();
    let lent = harness.handle().next_assignment(&[kind("far")], &worker, LONG, LONG).unwrap().unwrap();
    let observation = Some(Box::new(Observation::counted(observed("2").version, impossible())));
    let failure = Failure::SourceMoved { what: None, observation };
    let refused = harness.handle().fail(lent.attempt(), failure).wait().unwrap_err().to_string();
    assert!(refused.contains("5 of 3"), "{refused}");
}
