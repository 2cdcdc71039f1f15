//! Looks in a running engine: when the next one is due, and what is shown of the last.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests report like tests")]
#![cfg(feature = "external")]

mod parquet_files;

use std::time::{Duration, Instant};

use lastword::clock::{Clock, ManualClock, SystemClock};
use lastword::core::vocabulary::{Coalesce, Declaration, Kind, Name, Policy, Source, Spec};
use lastword::engine::{Handle, LastLook, Reconciler};
use lastword::external::External;
use parquet_files::write;

const LONG: Duration = Duration::from_secs(30);

/// The first look at which `what` holds.
fn look_that(handle: &Handle, name: &Name, what: impl Fn(&LastLook) -> bool) -> LastLook {
    let begun = Instant::now();
    loop {
        let status = handle.status(name.clone()).unwrap().unwrap();
        if let Some(look) = status.last_look.filter(&what) {
            return look;
        }
        assert!(begun.elapsed() < LONG, "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn case_18_racy_files_are_shown_and_looked_at_again_when_they_have_aged() {
    let (state, lake) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&lake.path().join("a.parquet"), &[10], 0);
    let clock = ManualClock::at(SystemClock::new().wall());
    let reconciler = Reconciler::open(state.path().join("state"))
        .kind(Kind::new("external").unwrap(), External::local())
        .look_interval(Duration::from_secs(3_600))
        .clock(clock.clone())
        .start()
        .unwrap();
    let handle = reconciler.handle();
    let name = Name::new("lake").unwrap();
    let mut declaration = Declaration::new(name.clone());
    declaration.kind = Some(Kind::new("external").unwrap());
    declaration.source = Some(Source::new(lake.path().to_str().unwrap()).unwrap());
    declaration.spec = Some(Spec::parse(r#"{"format":"parquet"}"#).unwrap());
    let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
    declaration.policy = Some(Policy { coalesce, ..Policy::default() });
    handle.declare(declaration).unwrap();
    let generation = handle.status(name.clone()).unwrap().unwrap().view.generation;
    let first = look_that(&handle, &name, |look| look.racy == 1);
    handle.wait_applied(name.clone(), generation, LONG).unwrap();
    let (seq, _) = handle.digest().unwrap();

    // An hour before the next look is due anyway.
    clock.advance(Duration::from_millis(2_100));
    let second = look_that(&handle, &name, |look| look.started > first.started);
    assert!(second.succeeded);
    assert_eq!(second.racy, 0);
    assert_eq!(handle.digest().unwrap().0, seq, "nothing changed: no event");
    reconciler.shutdown(LONG).unwrap();
}
