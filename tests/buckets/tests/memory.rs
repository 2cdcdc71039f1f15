//! What a look holds, counted: bytes that are allocated, by the number of keys or files. What is needed once counts for
//! nothing, for two sizes are held against each other.

use std::sync::{Mutex, PoisonError};

use lastword::core::vocabulary::Timestamp;
use lastword::external::{
    FileVersion, LocalStore, ObservedFile, PathSet, ScanRequest, SourceLocation, SourcePath, SourceUri, Stat, Store,
    TrafficCounter, never_interrupted, scan,
};
use peak_alloc::PeakAlloc;
use test_buckets::bucket;
use test_buckets::stage::Stage;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// One test at a time: all that the process allocates is counted.
static ONE: Mutex<()> = Mutex::new(());

/// A time at which no file of these tests is young.
const LATER: Timestamp = Timestamp(40_000_000_000_000_000);

/// What is held of something for each of it more: the most while it is made, and what stays.
fn each<T>(few: u64, many: u64, make: impl Fn(u64) -> T) -> (u64, u64) {
    let of = |count| {
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let made = make(count);
        let most = ALLOCATED.peak_usage().saturating_sub(before);
        let stays = ALLOCATED.current_usage().saturating_sub(before);
        drop(made);
        (most as u64, stays as u64)
    };
    let ((most, stays), (most_of_few, stays_of_few)) = (of(many), of(few));
    let per = |many: u64, few: u64, count: u64| many.saturating_sub(few) / count;
    (per(most, most_of_few, many - few), per(stays, stays_of_few, many - few))
}

#[test]
fn a_listing_takes_at_most_two_hundred_bytes_beyond_each_key() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    let name = bucket.named().name().to_owned();
    let key = |n: u64| format!("part={:03}/{n:08}.md", n % 200);
    let put =
        |prefix: &str, count: u64| (0..count).for_each(|n| stage.put(&name, &format!("{prefix}/{}", key(n)), b"x"));
    let (few, many) = (5_000, 25_000);
    put("few", few);
    put("many", many);
    let buckets = bucket.buckets();
    let list = |count: u64| {
        let source = bucket.source(if count == few { "few/" } else { "many/" });
        let listed = buckets.list(&source, &never_interrupted, &TrafficCounter::default()).unwrap().files;
        assert_eq!(listed.len() as u64, count);
        listed
    };
    // In one lane: a page is under way in each, however many keys there are.
    let (most, _) = each(few, many, list);
    let length = key(0).len() as u64;
    assert!(most <= 200 + length, "{most} bytes for each key of {length}");
}

#[test]
fn a_set_takes_sixty_bytes_beyond_each_path() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = |n: u64| SourcePath(format!("part={:03}/{n:08}.parquet", n / 200).into_bytes());
    let version = |n: u64| FileVersion::of(Stat { size: n, inode: n, ..Stat::default() });
    let set = |count: u64| PathSet::new((0..count).map(|n| (path(n), ObservedFile::of(version(n)))));
    let (most, stays) = each(1_000, 33_000, set);
    let length = path(0).0.len() as u64;
    assert!(stays <= length + 60, "{stays} bytes for each path of {length}");
    assert!(most <= 3 * (length + 60), "{most} bytes for each path of {length}, at the most");
}

#[test]
fn a_look_at_files_holds_at_most_three_hundred_bytes_for_each() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = tempfile::tempdir().unwrap();
    let source = |count: u64| -> SourceLocation {
        let path = place.path().join(count.to_string());
        SourceUri::parse(path.to_str().unwrap()).unwrap().resolve("/".as_ref()).unwrap()
    };
    // Lists double their room: at powers of two they have what they need.
    let (few, many) = (512, 8_192);
    for count in [few, many] {
        let directory = place.path().join(count.to_string());
        std::fs::create_dir(&directory).unwrap();
        (0..count).for_each(|n| std::fs::write(directory.join(format!("part-{n:011}.parquet")), b"x").unwrap());
    }
    let look = |count: u64, known: Option<&PathSet>| {
        let source = source(count);
        scan(&ScanRequest { known, applied: known, ..ScanRequest::new(&LocalStore, &source, LATER) }).unwrap().set
    };
    let (most, stays) = each(few, many, |count| look(count, None));
    assert!(most <= 300 && stays <= 100, "a first look: {most} bytes a file at the most, {stays} stay");

    let known = [few, many].map(|count| look(count, None));
    let (most, stays) = each(few, many, |count| {
        let known = &known[usize::from(count == many)];
        let again = look(count, Some(known));
        assert!(again.is_same(known));
        again
    });
    // The set that is known was there before.
    assert!(
        most <= 300 - 100 && stays == 0,
        "a look that finds no change: {most} bytes a file at the most, {stays} stay"
    );
}
