//! A stranger's data: each damaged, odd or hostile file of the collection in `strange_files`, as a format, within its
//! bound of memory; and through a running engine, where a bad one parks its own collection by name and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests report like tests")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lastword::clock::{Clock, ManualClock, SystemClock};
use lastword::core::vocabulary::{Coalesce, Declaration, Kind, Name, Policy, Source, Spec};
use lastword::engine::{CollectionStatus, Handle, Reconciler};
use lastword::external::{External, FileReader, Format, FormatError, Parquet, RowRange, StoreError};
use test_parsers::memory;
use test_parsers::parquet_footer::FOR_EACH_BYTE;
use test_support::strange_files::Expected;
use test_support::{parquet_files, strange_files};

const LONG: Duration = Duration::from_secs(60);

/// One at a time: allocations are counted for the whole process.
static ONE: Mutex<()> = Mutex::new(());

/// Counts what is asked for.
struct Counted<'b>(&'b [u8], AtomicUsize);

impl FileReader for Counted<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.1.fetch_add(length, Ordering::Relaxed);
        let start = usize::try_from(start).unwrap();
        Ok(self.0[start..start + length].to_vec())
    }
}

/// Cuts a file and holds what it took against its length.
fn cut(bytes: &[u8]) -> Result<Vec<RowRange>, FormatError> {
    let file = Counted(bytes, AtomicUsize::new(0));
    let ranges = memory::bounded(bytes, FOR_EACH_BYTE, || Parquet.fragments(&file, None));
    let read = file.1.into_inner();
    assert!(read <= 4 + 2 * bytes.len(), "{read} bytes were read of {}", bytes.len());
    ranges
}

#[test]
fn case_25_each_strange_file_is_cut_or_refused_for_its_own_reason() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, bytes, expected) in strange_files::all() {
        match (cut(&bytes), expected) {
            (Ok(ranges), Expected::Cut(count, rows)) => {
                let found: u64 = ranges.iter().map(|range| range.end - range.start).sum();
                assert_eq!((ranges.len(), found), (count, rows), "{name}");
            }
            (Err(error), Expected::Refused(reason)) => {
                let text = error.to_string();
                assert!(text.contains(reason), "{name}: {text}");
                assert!(!text.contains(char::is_control) && text.len() < 500, "{name}: {text:?}");
            }
            (found, expected) => panic!("{name}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn defect_13_names_that_every_column_repeats_are_bounded_before_they_are_decoded() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, columns) in [(100, 100), (1_000, 1_000), (10_000, 10_000), (100_000, 5_000), (1_000_000, 40_000)] {
        let bytes = strange_files::named(name, columns).file();
        let file = Counted(&bytes, AtomicUsize::new(0));
        let found = memory::bounded(&bytes, FOR_EACH_BYTE, || Parquet.fragments(&file, Some(&["price".to_owned()])));
        let error = found.unwrap_err().to_string();
        let expected = if name <= 1_000 { "has no column price" } else { "would take too much memory" };
        assert!(error.contains(expected), "{name} bytes over {columns} columns: {error}");
    }
}

#[test]
fn case_25_a_file_cut_at_every_length_is_refused() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let whole = parquet_files::bytes_of(&[3, 4], 0);
    for length in 0..whole.len() {
        let error = cut(&whole[..length]).unwrap_err();
        assert!(matches!(error, FormatError::Corrupt(_)), "{length} bytes: {error}");
        // Also with a trailer behind it that would fit.
        let mut closed = whole[..length].to_vec();
        closed.extend_from_slice(&whole[whole.len() - 8..]);
        assert!(length + 8 == whole.len() || cut(&closed).is_err(), "{length} bytes and a trailer");
    }
}

fn declare(handle: &Handle, name: &str, source: &Path) {
    let mut declaration = Declaration::new(Name::new(name).unwrap());
    declaration.kind = Some(Kind::new("external").unwrap());
    declaration.source = Some(Source::new(source.to_str().unwrap()).unwrap());
    declaration.spec = Some(Spec::parse(r#"{"format":"parquet","target_rows":1000}"#).unwrap());
    let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
    declaration.policy = Some(Policy { coalesce, ..Policy::default() });
    handle.declare(declaration).unwrap();
}

fn until(handle: &Handle, name: &str, condition: &str) -> CollectionStatus {
    let (begun, name) = (Instant::now(), Name::new(name).unwrap());
    loop {
        let status = handle.status(name.clone()).unwrap().unwrap();
        if status.view.condition.name() == condition {
            return status;
        }
        assert!(begun.elapsed() < LONG, "{name} is not {condition}: {status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn case_25_each_bad_file_parks_its_collection_by_name_and_nothing_else() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (lake, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A day later: what is corrupt is not being written any more.
    let clock = ManualClock::at(SystemClock::new().wall().after(Duration::from_secs(86_400)));
    let reconciler = Reconciler::open(state.path().join("state"))
        .kind(Kind::new("external").unwrap(), External::local())
        .observe_interval(Duration::from_secs(3_600))
        .clock(clock)
        .start()
        .unwrap();
    let handle = reconciler.handle();
    let files = strange_files::all();
    for (n, (_, bytes, _)) in files.iter().enumerate() {
        let directory = lake.path().join(format!("c{n}"));
        fs::create_dir(&directory).unwrap();
        // A file before and one behind it, which are good.
        parquet_files::write(&directory.join("a.parquet"), &[10], 0);
        parquet_files::write(&directory.join("z.parquet"), &[10], 1);
        fs::write(directory.join("strange \u{1b}[2J.parquet"), bytes).unwrap();
        declare(&handle, &format!("c{n}"), &directory);
    }
    for (n, (what, bytes, expected)) in files.iter().enumerate() {
        let name = format!("c{n}");
        match expected {
            // A file without bytes is no data.
            Expected::Refused(_) if bytes.is_empty() => {
                let status = until(&handle, &name, "fresh");
                assert_eq!(status.view.applied.unwrap().result.rows, Some(20), "{what}");
            }
            Expected::Cut(_, rows) => {
                let status = until(&handle, &name, "fresh");
                assert_eq!(status.view.applied.unwrap().result.rows, Some(rows + 20), "{what}");
            }
            Expected::Refused(reason) => {
                let status = until(&handle, &name, "parked");
                let text = format!("{}", status.view.condition);
                let all = format!("{status:?}");
                assert!(all.contains("strange %1B[2J.parquet") && all.contains(reason), "{what}: {text}: {all}");
                assert!(status.view.applied.is_none(), "{what}: no half of a source is committed");
            }
        }
    }
    // What was parked goes on once its file is good.
    let (n, _) = files.iter().enumerate().rev().find(|(_, file)| matches!(file.2, Expected::Refused(_))).unwrap();
    parquet_files::write(&lake.path().join(format!("c{n}/strange \u{1b}[2J.parquet")), &[7], 0);
    handle.refresh(Name::new(&format!("c{n}")).unwrap()).unwrap();
    assert_eq!(until(&handle, &format!("c{n}"), "fresh").view.applied.unwrap().result.rows, Some(27));
    reconciler.shutdown(LONG).unwrap();
}
