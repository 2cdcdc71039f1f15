//! How often a source is looked at follows what a look costs: time, and requests. By the engine's clock, which is moved by
//! hand.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{Builder, Handle, ObserveInterval, Reconciler};
use lastword::log::MemoryLog;
use lastword::objects::MemoryObjects;
use lastword::worker::{Context, Failure, Observation, ObserveError, ObserveRequest, Observer, Worker};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// Sources that are asked over a wire. A look takes requests, fails if it is told to, and does not return while it is held.
#[derive(Clone, Default)]
struct Wire {
    requests: Arc<AtomicU64>,
    throttled: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
}

impl Worker for Wire {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Wire {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        let traffic = request.signals.traffic();
        (0..self.requests.load(SeqCst)).for_each(|_| traffic.count_request());
        if self.throttled.load(SeqCst) {
            traffic.count_throttled(503);
        }
        self.begun.fetch_add(1, SeqCst);
        while self.held.load(SeqCst) && !request.signals.is_stopping() {
            std::thread::sleep(Duration::from_millis(1));
        }
        match self.fails.load(SeqCst) || request.signals.is_stopping() {
            true => Err(ObserveError("told to fail".to_owned())),
            false => Ok(Observation::new(observed("1"), None)),
        }
    }

    fn domain(&self, source: &Source) -> Option<String> {
        source.as_str().split_once(':').map(|(bucket, _)| bucket.to_owned())
    }
}

impl Wire {
    fn lab(&self, settings: impl Fn(Builder) -> Builder + Send + 'static) -> Lab {
        let wire = self.clone();
        Lab::with(move |builder| settings(builder.kind(kind("wire"), wire.clone())))
    }

    fn looks(&self) -> u64 {
        self.begun.load(SeqCst)
    }

    #[track_caller]
    fn until_looks(&self, lab: &Lab, count: u64) {
        until(&format!("{count} looks"), || self.looks() >= count && lab.stats().observations == 0);
        assert_eq!(self.looks(), count);
    }

    /// No look comes within `span`, and one does within a quarter of it more.
    #[track_caller]
    fn pauses_for(&self, lab: &Lab, span: Duration) {
        let count = self.looks();
        lab.clock.advance(span - Duration::from_millis(1));
        lab.handle.stats().unwrap();
        assert_eq!(self.looks(), count, "a look came before {span:?} were over");
        lab.clock.advance(span / 4);
        self.until_looks(lab, count + 1);
    }
}

#[test]
fn no_more_requests_are_sent_in_a_day_than_the_budget_has() {
    let wire = Wire::default();
    wire.requests.store(100, SeqCst);
    let lab = wire.lab(|builder| builder.list_budget(86_400));
    lab.handle.declare(versioned("a", "wire", "lake:a")).unwrap();
    wire.until_looks(&lab, 1);
    for fails in [false, true, false, true] {
        wire.pauses_for(&lab, 100 * SECOND);
        let last = lab.status("a").last_observation.unwrap();
        assert_eq!((last.traffic.requests, last.traffic.throttled), (100, 0));
        wire.fails.store(fails, SeqCst);
    }
    // It costs less, and is looked at more often.
    wire.fails.store(false, SeqCst);
    wire.requests.store(10, SeqCst);
    wire.pauses_for(&lab, 100 * SECOND);
    wire.pauses_for(&lab, 10 * SECOND);
    // Who asks for a look gets it.
    wire.requests.store(1_000, SeqCst);
    wire.pauses_for(&lab, 10 * SECOND);
    let looks = wire.looks();
    lab.handle.refresh(name("a")).unwrap();
    wire.until_looks(&lab, looks + 1);
    let status = lab.status("a");
    let next = status.next_observation.unwrap().since(status.at);
    assert!(next >= 1_000 * SECOND, "{next:?}");
}

#[test]
fn a_look_that_took_long_is_followed_by_nineteen_times_as_long_a_pause() {
    let wire = Wire::default();
    let lab = wire.lab(|builder| builder);
    lab.handle.declare(versioned("a", "wire", "lake:a")).unwrap();
    wire.until_looks(&lab, 1);
    // It takes no time: as often as ever, give or take a tenth.
    wire.pauses_for(&lab, Duration::from_millis(4_500));
    wire.held.store(true, SeqCst);
    lab.clock.advance(Duration::from_millis(5_500));
    until("a look that is held", || wire.looks() == 3);
    lab.clock.advance(10 * SECOND);
    wire.held.store(false, SeqCst);
    wire.until_looks(&lab, 3);
    assert!(lab.status("a").last_observation.unwrap().took >= 10 * SECOND);
    wire.pauses_for(&lab, 190 * SECOND);
    wire.pauses_for(&lab, Duration::from_millis(4_500));
}

#[test]
fn a_fixed_interval_stays_whatever_a_look_costs() {
    let wire = Wire::default();
    wire.requests.store(1_000_000, SeqCst);
    let lab = wire.lab(|builder| builder.observe_interval(10 * SECOND).list_budget(1));
    lab.handle.declare(versioned("a", "wire", "lake:a")).unwrap();
    wire.until_looks(&lab, 1);
    for _ in 0..3 {
        wire.pauses_for(&lab, 9 * SECOND);
    }
}

/// A listing that is longer than the time-out would be begun again and again.
#[test]
fn a_look_that_was_given_up_while_it_sent_requests_is_paid_for() {
    let wire = Wire::default();
    wire.requests.store(100, SeqCst);
    let lab = wire.lab(|builder| builder.list_budget(86_400).observe_timeout(SECOND));
    wire.held.store(true, SeqCst);
    lab.handle.declare(versioned("a", "wire", "lake:a")).unwrap();
    until("a look that is held", || wire.looks() == 1);
    lab.clock.advance(SECOND);
    wire.until_looks(&lab, 1);
    wire.held.store(false, SeqCst);
    wire.pauses_for(&lab, 100 * SECOND);
}

#[test]
fn neighbours_that_cost_requests_are_looked_at_together() {
    let wire = Wire::default();
    wire.requests.store(100, SeqCst);
    let lab = wire.lab(|builder| builder.list_budget(86_400));
    // Each is looked at in a second of its own, however slow this machine is.
    for (looks, of) in [(1, "lake:a"), (2, "lake:b"), (3, "pond:c")] {
        lab.handle.declare(versioned(&of[5..], "wire", of)).unwrap();
        wire.until_looks(&lab, looks);
        lab.clock.advance(SECOND);
    }
    let next = |of: &str| lab.status(of).next_observation.unwrap();
    assert_eq!(next("a"), next("b"));
    assert_ne!(next("a"), next("c"), "another domain");
}

#[test]
fn what_a_look_sends_is_shown_while_it_runs_and_after_it() {
    let wire = Wire::default();
    wire.requests.store(21, SeqCst);
    wire.throttled.store(true, SeqCst);
    wire.held.store(true, SeqCst);
    let lab = wire.lab(|builder| builder);
    lab.handle.declare(versioned("a", "wire", "lake:a")).unwrap();
    until("a look that is held", || wire.looks() == 1);
    let live = |of: &Lab| of.status("a").live();
    let now = live(&lab);
    assert_eq!((&now["look"]["requests"], &now["look"]["throttled"]["status"]), (&21.into(), &503.into()), "{now}");
    assert!(now["last_look"].is_null() && now["next_look"].is_null(), "{now}");
    wire.held.store(false, SeqCst);
    wire.until_looks(&lab, 1);
    let then = live(&lab);
    assert_eq!((&then["last_look"]["requests"], &then["last_look"]["throttled"]["times"]), (&21.into(), &1.into()));
    assert!(then["look"].is_null() && then["next_look_in_seconds"].as_f64().unwrap() > 80.0, "{then}");
}

#[test]
fn a_budget_of_nothing_is_refused_and_the_interval_is_automatic() {
    let on = Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()));
    let refused = on.list_budget(0).start().err().unwrap();
    assert_eq!(refused.to_string(), "list_budget: must be at least 1, found 0");
    assert_eq!(ObserveInterval::default(), ObserveInterval::Auto);
}

/// Has its own source looked at again from inside of each look, for as long as it is told to.
#[derive(Clone, Default)]
struct Restless(Arc<OnceLock<Handle>>, Arc<AtomicU64>, Arc<AtomicBool>);

impl Worker for Restless {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Restless {
    fn observe(&self, _: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        if !self.2.load(SeqCst) {
            self.0.wait().refresh(name("a")).map_err(|error| ObserveError(error.to_string()))?;
        }
        self.1.fetch_add(1, SeqCst);
        Ok(Observation::new(observed("1"), None))
    }
}

#[test]
fn looks_that_ask_for_the_next_one_have_a_floor_and_none_that_was_asked_for_is_lost() {
    let restless = Restless::default();
    let worker = restless.clone();
    let lab = Lab::with(move |builder| builder.kind(kind("restless"), worker.clone()));
    assert!(restless.0.set(lab.handle.clone()).is_ok());
    lab.handle.declare(versioned("a", "restless", "lake:a")).unwrap();
    let looks = || restless.1.load(SeqCst);
    // Each refresh is answered before the look that it was asked from ends.
    let rests = |what: &str, from: u64| {
        until(what, || {
            let stats = lab.stats();
            looks() > 2_000 || looks() > from && stats.observations == 0 && stats.due.is_some_and(|due| due > stats.at)
        });
    };
    rests("a rest", 0);
    assert_eq!(looks(), 101, "the clock stands");
    for _ in 0..5 {
        let from = looks();
        lab.clock.advance(Duration::from_millis(10));
        rests("the look that was asked for", from);
        assert_eq!(looks(), from + 1, "one in ten milliseconds, and none is lost");
    }
    // Nor does a caller that asks in a loop get more.
    let from = looks();
    for _ in 0..50 {
        lab.handle.refresh(name("a")).unwrap();
    }
    assert_eq!(looks(), from);
    // What has rested may be looked at again and again for a while.
    restless.2.store(true, SeqCst);
    lab.clock.advance(Duration::from_secs(1));
    rests("the last look", from);
    for _ in 0..50 {
        let from = looks();
        lab.handle.refresh(name("a")).unwrap();
        until("a look at once", || looks() > from && lab.stats().observations == 0);
    }
}
