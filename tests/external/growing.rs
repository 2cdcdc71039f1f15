//! Sources that grow while they are built: what was observed is what is built, and the rest is the next observation.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{Epoch, Name, Seq, Token};
use lastword::external::{
    Build, BuildError, BuildFailed, BuildOutcome, LocalStore, NoBuilder, PathSet, SegmentBuilder, Store, build,
    never_interrupted,
};
use test_support::parquet_files::write;

use super::build::{Lake, Meddler, SPEC, counts};
use super::metered::Metered;

#[test]
fn defect_38_what_came_during_the_work_is_left_to_the_next_observation() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[1_500], 0);
    let wanted = lake.version();
    // Before the work and during it: half of one file, and one that would be packed with the others.
    fs::write(lake.dir.path().join("half.parquet"), b"half a fi").unwrap();
    let new = lake.dir.path().join("b.parquet");
    let outcome = lake.attempt(wanted, &Meddler::new(&|| write(&new, &[10], 1)), &never_interrupted).unwrap();
    assert_eq!((counts(&outcome), outcome.is_behind), ((0, 1, 0, 1_500), true));
    lake.previous = Some(outcome.manifest);
    let of = |lake: &Lake| {
        let segments = lake.manifest().segments;
        let paths = segments.into_iter().flat_map(|segment| segment.fragments).map(|fragment| fragment.path.0);
        paths.collect::<BTreeSet<_>>()
    };
    assert_eq!(of(&lake), [b"a.parquet".to_vec()].into());
    fs::remove_file(lake.dir.path().join("half.parquet")).unwrap();
    let outcome = lake.commit();
    assert_eq!((of(&lake).len(), outcome.is_behind), (2, false));
    // Its own files are held to what was observed, whatever else there is.
    let wanted = lake.version();
    let a = lake.dir.path().join("a.parquet");
    let meddle = || {
        write(&lake.dir.path().join("c.parquet"), &[10], 1);
        write(&a, &[1_500], 9);
    };
    lake.previous = None;
    let known = lake.known.borrow().clone();
    let failed = build_of(&lake, wanted, known.as_ref(), &Meddler::new(&meddle)).unwrap_err();
    let BuildError::Moved { scan: Some(scan), .. } = failed.error else { panic!("{failed:?}") };
    assert_eq!(scan.set.len(), 3, "what is reported is all that there is");
}

#[test]
fn defect_38_without_the_set_that_was_observed_all_of_the_source_counts() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[10], 0);
    lake.later = 10;
    let wanted = lake.version();
    lake.write("b.parquet", &[10], 0);
    for known in [None, Some(PathSet::default())] {
        let failed = build_of(&lake, wanted, known.as_ref(), &NoBuilder).unwrap_err();
        assert!(matches!(failed.error, BuildError::Moved { .. }), "{failed:?}");
    }
}

/// Whether such a file is the same one at the end of an attempt would have to be read; whether another one came need not.
#[test]
fn defect_38_a_file_that_came_during_the_work_is_not_read_however_large_it_is() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[1_500], 0);
    let wanted = lake.version();
    let store = Metered::new(u64::MAX / 2);
    let new = lake.dir.path().join("b.parquet");
    let meddle = || {
        let file = File::create(&new).unwrap();
        file.write_all_at(b"PAR1", 0).unwrap();
        file.write_all_at(b"PAR1", (1 << 40) - 4).unwrap();
        fs::write(lake.dir.path().join("c.parquet"), b"PAR1 a small one PAR1").unwrap();
    };
    let known = lake.known.borrow().clone();
    let outcome = build_in(&store, &lake, wanted, known.as_ref(), &Meddler::new(&meddle)).unwrap();
    assert_eq!((counts(&outcome), outcome.is_behind), ((0, 1, 0, 1_500), true));
    assert!(store.paths().iter().all(|path| path.0 == b"a.parquet"), "{:?}", store.paths());
    // It is no excuse for a file of its own that has changed.
    lake.previous = None;
    let a = lake.dir.path().join("a.parquet");
    let meddle = || write(&a, &[1_500], 9);
    let failed = build_in(&store, &lake, wanted, known.as_ref(), &Meddler::new(&meddle)).unwrap_err();
    assert!(matches!(failed.error, BuildError::Undecided(_) | BuildError::Moved { .. }), "{failed:?}");
}

/// An attempt that is told `known` of what was observed.
fn build_of(
    lake: &Lake,
    wanted: [u8; 32],
    known: Option<&PathSet>,
    builder: &dyn SegmentBuilder,
) -> Result<BuildOutcome, BuildFailed> {
    build_in(&LocalStore, lake, wanted, known, builder)
}

fn build_in(
    store: &dyn Store,
    lake: &Lake,
    wanted: [u8; 32],
    known: Option<&PathSet>,
    builder: &dyn SegmentBuilder,
) -> Result<BuildOutcome, BuildFailed> {
    build(&Build {
        collection: &Name::new("lake").unwrap(),
        store,
        format: lake.format,
        objects: lake.objects.as_ref(),
        source: &lake.source,
        spec: &lake.spec,
        wanted,
        known,
        mounts: None,
        most_read: 1 << 29,
        applied: None,
        previous: lake.previous,
        token: Token { epoch: Epoch(2), seq: Seq(lake.attempts) },
        builder,
        parallel: 1,
        leftovers: &[],
        stop_check: &never_interrupted,
        finished: &|_| (),
        progress: &|_| (),
        learned: &|_, _, _| (),
        now: &|| SystemClock::new().wall(),
    })
}
