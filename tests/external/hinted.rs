//! A real directory under a real engine whose looks are an hour apart: only a hint of the kernel's makes it so quick.
#![cfg(feature = "notify")]

use std::thread;
use std::time::{Duration, Instant};

use lastword::Reconciler;
use lastword::core::vocabulary::{Declaration, Generation, Kind, Name, Source, Spec};
use lastword::engine::WaitOutcome;
use lastword::external::External;
use test_support::parquet_files;

/// Long enough for any machine: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_file_that_appears_is_applied_long_before_the_next_look_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, name) = (dir.path().join("lake"), Name::new("a").unwrap());
    parquet_files::write(&lake.join("a.parquet"), &[10], 0);
    let reconciler = Reconciler::open(dir.path().join("state"))
        .kind(Kind::new("external").unwrap(), External::local())
        .observe_interval(Duration::from_secs(3600))
        .start()
        .unwrap();
    let handle = reconciler.handle();
    let mut declaration = Declaration::new(name.clone());
    declaration.kind = Some(Kind::new("external").unwrap());
    declaration.source = Some(Source::new(lake.to_str().unwrap()).unwrap());
    declaration.spec = Some(Spec::parse(r#"{"format":"parquet"}"#).unwrap());
    handle.declare(declaration).unwrap();
    let applied = |generation| {
        let waited = handle.wait_applied(name.clone(), Generation(generation), LONG).unwrap();
        assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
    };
    applied(1);
    // Files that are new are looked at again by themselves, once they have aged.
    let begun = Instant::now();
    let status = || handle.status(name.clone()).unwrap().unwrap();
    while status().last_observation.is_none_or(|look| look.racy > 0) {
        assert!(begun.elapsed() < LONG, "the file does not age");
        thread::sleep(Duration::from_millis(10));
    }

    parquet_files::write(&lake.join("b.parquet"), &[5], 0);
    applied(2);
    assert_eq!(status().view.applied.unwrap().result.rows, Some(15));
    reconciler.shutdown(LONG).unwrap();
}
