//! What is no data: rules and patterns, what is counted of it, files in the making, and tables that are no plain files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lastword::clock::{Clock, ManualClock, SystemClock};
use lastword::core::vocabulary::{Coalesce, Declaration, Event, Kind, Name, Policy, Seq, Source, Spec};
use lastword::engine::{CollectionStatus, Handle, Reconciler, WatchItem};
use lastword::external::{
    External, ExternalSpec, LocalStore, Parquet, PathSet, Scan, ScanRequest, SourceUri, StoreError, scan,
};
use lastword::worker::SkipReason;
use test_support::parquet_files::{bytes_of, write};

/// Long enough for any machine: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(60);

struct Lake {
    dir: tempfile::TempDir,
    spec: String,
    applied: Option<PathSet>,
    /// Wall time of the scans, in seconds from now.
    later: u64,
}

impl Lake {
    fn new(members: &str) -> Lake {
        let spec = format!("{{\"format\":\"parquet\"{members}}}");
        Lake { dir: tempfile::tempdir().unwrap(), spec, applied: None, later: 60 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    fn scan(&self) -> Result<Scan, StoreError> {
        self.scan_of("", &self.spec)
    }

    /// A scan of a part of it alone.
    fn scan_of(&self, part: &str, spec: &str) -> Result<Scan, StoreError> {
        let source = SourceUri::parse(self.path(part).to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap();
        let source = source.read_by(&ExternalSpec::parse(spec).unwrap());
        let now = SystemClock::new().wall().after(Duration::from_secs(self.later));
        let request = ScanRequest {
            applied: self.applied.as_ref(),
            format: Some(&Parquet),
            ..ScanRequest::new(&LocalStore, &source, now)
        };
        scan(&request)
    }

    fn names(&self) -> Vec<String> {
        self.scan().unwrap().set.files().map(|(path, _)| path.to_string()).collect()
    }

    fn skipped(&self) -> String {
        self.scan().unwrap().skipped.to_string()
    }
}

#[test]
fn defect_31_partitions_are_data_and_what_is_not_is_counted() {
    let lake = Lake::new("");
    for name in [
        "a.parquet",
        "_year=2023/b.parquet",
        "_year=2023/_SUCCESS",
        "_index.md",
        ".a.parquet.crc",
        "c.parquet.tmp",
        "_temporary/0/d.parquet",
        "@eaDir/a.parquet",
        "#recycle/e.parquet",
        "lost+found/f.parquet",
        "x_$folder$",
    ] {
        lake.put(name, b"data");
    }
    lake.put("empty.parquet", b"");
    lake.put("x/empty.parquet", b"");
    symlink("a.parquet", lake.path("link")).unwrap();
    assert_eq!(lake.names(), ["_year=2023/b.parquet", "a.parquet"]);
    let expected = "1 hidden, 3 underscore, 1 temporary, 1 marker, 3 system, 1 special, 2 empty";
    assert_eq!(lake.skipped(), expected);
}

#[test]
fn defect_30_patterns_say_what_is_data() {
    let lake = |members: &str| {
        let lake = Lake::new(members);
        for name in ["README.md", "a.parquet", "tmp_a.parquet", "old/a.parquet", "old/b.csv", "new/tmp_x/a.parquet"] {
            lake.put(name, b"data");
        }
        lake
    };
    let check = |members: &str, names: &[&str], skipped: &str| {
        let lake = lake(members);
        assert_eq!(
            (lake.names(), lake.skipped().as_str()),
            (names.iter().map(|n| (*n).to_owned()).collect(), skipped),
            "{members}"
        );
    };
    check(
        r#","include":["*.parquet"]"#,
        &["a.parquet", "new/tmp_x/a.parquet", "old/a.parquet", "tmp_a.parquet"],
        "2 not included",
    );
    // A directory that is left out counts once.
    check(r#","exclude":["tmp_*","README.md","old"]"#, &["a.parquet"], "4 excluded");
    check(r#","include":["*.parquet"],"exclude":["tmp_*","old/**"]"#, &["a.parquet"], "4 excluded, 1 not included");
    check(
        r#","include":["old/*.parquet","a.*"]"#,
        &["a.parquet", "new/tmp_x/a.parquet", "old/a.parquet"],
        "3 not included",
    );
}

#[test]
fn defect_30_a_file_of_the_last_commit_is_never_left_out_for_being_empty() {
    let mut lake = Lake::new("");
    write(&lake.path("a.parquet"), &[3], 0);
    write(&lake.path("b.parquet"), &[3], 0);
    lake.applied = Some(lake.scan().unwrap().set);
    fs::write(lake.path("a.parquet"), b"").unwrap();
    lake.put("new.parquet", b"");
    assert_eq!(lake.names(), ["a.parquet", "b.parquet"]);
    assert_eq!(lake.skipped(), "1 empty");
    // Half of it, a moment ago: it is being rewritten, and is not gone.
    lake.later = 0;
    let whole = bytes_of(&[3], 1);
    lake.put("a.parquet", &whole[..whole.len() / 2]);
    lake.put("new.parquet", &whole[..whole.len() / 2]);
    assert_eq!(lake.names(), ["a.parquet", "b.parquet"]);
    assert_eq!(lake.skipped(), "1 unfinished");
}

#[test]
fn defect_30_a_file_in_the_making_is_no_data_until_it_is_finished_or_stops_growing() {
    let mut lake = Lake::new("");
    write(&lake.path("a.parquet"), &[3], 0);
    let whole = bytes_of(&[1_000, 1_000], 1);
    lake.put("slow.parquet", &whole[..whole.len() / 2]);
    lake.later = 0;
    let young = lake.scan().unwrap();
    assert_eq!((young.set.len(), young.skipped.of(SkipReason::Unfinished)), (1, 1));
    assert!(young.racy > 0, "what is not finished is not proven");
    assert!(young.observe_again.is_some_and(|again| again <= Duration::from_secs(8)), "{:?}", young.observe_again);
    // It grows and grows: whatever it is, it is still in the making.
    let mut slow = fs::OpenOptions::new().append(true).open(lake.path("slow.parquet")).unwrap();
    for byte in &whole[whole.len() / 2..whole.len() - 1] {
        slow.write_all(&[*byte]).unwrap();
        if byte % 16 == 0 {
            assert_eq!((lake.names(), lake.skipped().as_str()), (vec!["a.parquet".to_owned()], "1 unfinished"));
        }
    }
    slow.write_all(&whole[whole.len() - 1..]).unwrap();
    assert_eq!(lake.names(), ["a.parquet", "slow.parquet"]);
    // One that has not grown for eight seconds is what it is.
    lake.put("broken.parquet", &whole[..whole.len() / 2]);
    lake.later = 7;
    assert_eq!(lake.names().len(), 2);
    lake.later = 9;
    assert_eq!(lake.names(), ["a.parquet", "broken.parquet", "slow.parquet"]);
}

#[test]
fn defect_32_a_table_is_refused_by_name_and_plain_if_its_log_is_excluded() {
    for (mark, format, exclude) in [
        ("_delta_log/00000000000000000000.json", "Delta Lake", "_delta_log"),
        (".hoodie/hoodie.properties", "Apache Hudi", ".hoodie"),
        ("_spark_metadata/0", "a sink of Spark's streams", "_spark_metadata"),
        ("metadata/v1.metadata.json", "Apache Iceberg", "metadata"),
    ] {
        for below in ["", "warehouse/orders/"] {
            let mut lake = Lake::new("");
            lake.put(&format!("{below}part-0.parquet"), b"data");
            lake.put(&format!("{below}{mark}"), b"{}");
            let error = lake.scan().unwrap_err();
            assert!(!error.is_transient(), "{error}");
            let text = error.to_string();
            let table = lake.path(below.trim_end_matches('/'));
            let table = table.to_str().unwrap().trim_end_matches('/');
            assert!(text.starts_with(&format!("{table} is a table of {format} (it has {below}")), "{text}");
            assert!(text.contains("Export it to plain files; or exclude"), "{text}");
            lake.spec = format!("{{\"format\":\"parquet\",\"exclude\":[\"{exclude}\"]}}");
            assert_eq!(lake.names(), [format!("{below}part-0.parquet")]);
            assert_eq!(lake.skipped(), "1 excluded");
        }
    }
    // What only has the name is none.
    let lake = Lake::new("");
    ["_delta_log", ".hoodie", "metadata/a.parquet", "x.metadata.json"].iter().for_each(|name| lake.put(name, b"data"));
    assert_eq!(lake.names(), ["metadata/a.parquet"]);
    assert_eq!(lake.skipped(), "1 hidden, 1 underscore, 1 other ending");
}

/// What counts of it is in a log that does not lie below the source.
#[test]
fn defect_32_a_part_of_a_table_is_refused_as_the_table_is() {
    for (mark, part, format, up) in [
        ("_delta_log/00000000000000000000.json", "year=2023/month=5", "Delta Lake", "../../_delta_log"),
        (".hoodie/hoodie.properties", "_year=2023", "Apache Hudi", "../.hoodie"),
        ("metadata/v1.metadata.json", "data", "Apache Iceberg", "../metadata/v1.metadata.json"),
        ("metadata/v1.metadata.json", "data/day=1", "Apache Iceberg", "../../metadata/v1.metadata.json"),
    ] {
        let lake = Lake::new("");
        lake.put(&format!("{part}/part-0.parquet"), b"data");
        lake.put(mark, b"{}");
        let table = lake.path("");
        let table = table.to_str().unwrap().trim_end_matches('/').to_owned();
        let text = lake.scan_of(part, &lake.spec).unwrap_err().to_string();
        assert!(text.starts_with(&format!("{table} is a table of {format} (it has {up})")), "{text}");
        // As the message says, and as for the table itself.
        for exclude in [up, up.trim_start_matches("../").split('/').next().unwrap(), "*.metadata.json"] {
            if exclude.starts_with('*') && format != "Apache Iceberg" {
                continue;
            }
            let spec = format!("{{\"format\":\"parquet\",\"exclude\":[\"{exclude}\"]}}");
            assert_eq!(lake.scan_of(part, &spec).unwrap().set.len(), 1, "{exclude}");
        }
    }
    // What lies beside a table is none of it.
    let lake = Lake::new("");
    lake.put("orders/_delta_log/0.json", b"{}");
    lake.put("orders/customers/a.parquet", b"data");
    lake.put("year=1/a.parquet", b"data");
    for part in ["orders/customers", "year=1"] {
        assert_eq!(lake.scan_of(part, &lake.spec).unwrap().set.len(), 1, "{part}");
    }
}

#[test]
fn defect_47_a_dead_link_makes_only_itself_unreadable() {
    let mut lake = Lake::new(r#","follow_symlinks":true"#);
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("d")).unwrap();
    fs::write(other.path().join("d/x"), b"data").unwrap();
    lake.put("a.parquet", b"data");
    symlink("nowhere", lake.path("dead")).unwrap();
    symlink("itself", lake.path("itself")).unwrap();
    symlink(other.path().join("d"), lake.path("d")).unwrap();
    assert_eq!(lake.names(), ["a.parquet", "d/x"]);
    assert_eq!(lake.skipped(), "2 dead link");
    // What the last commit was built from is unknown, and not removed.
    lake.applied = Some(lake.scan().unwrap().set);
    assert_eq!(lake.skipped(), "2 dead link");
    fs::rename(other.path().join("d"), other.path().join("aside")).unwrap();
    let error = lake.scan().unwrap_err();
    assert_eq!(error.to_string(), "d cannot be read: the link leads nowhere, and what it led to is applied");
    assert!(error.is_transient());
}

/// A collection in a running engine.
struct Running {
    reconciler: Reconciler,
    handle: Handle,
    name: Name,
    clock: ManualClock,
    dir: tempfile::TempDir,
    _state: tempfile::TempDir,
}

impl Running {
    fn new(spec: &str, ahead: u64, fill: impl FnOnce(&Path)) -> Running {
        let (state, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fill(dir.path());
        let clock = ManualClock::at(SystemClock::new().wall().after(Duration::from_secs(ahead)));
        let kind = Kind::new("external").unwrap();
        let reconciler = Reconciler::open(state.path().join("state"))
            .kind(kind.clone(), External::local())
            .observe_interval(Duration::from_secs(3_600))
            .clock(clock.clone())
            .start()
            .unwrap();
        let (handle, name) = (reconciler.handle(), Name::new("lake").unwrap());
        let mut declaration = Declaration::new(name.clone());
        declaration.kind = Some(kind);
        declaration.source = Some(Source::new(dir.path().to_str().unwrap()).unwrap());
        declaration.spec = Some(Spec::parse(spec).unwrap());
        let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
        declaration.policy = Some(Policy { coalesce, ..Policy::default() });
        handle.declare(declaration).unwrap();
        Running { reconciler, handle, name, clock, dir, _state: state }
    }

    fn declare_spec(&self, spec: &str) {
        let mut declaration = Declaration::new(self.name.clone());
        declaration.spec = Some(Spec::parse(spec).unwrap());
        self.handle.declare(declaration).unwrap();
    }

    fn status_that(&self, wanted: &str, what: impl Fn(&CollectionStatus) -> bool) -> CollectionStatus {
        let begun = Instant::now();
        loop {
            let status = self.handle.status(self.name.clone()).unwrap().unwrap();
            if what(&status) {
                return status;
            }
            assert!(begun.elapsed() < LONG, "waited for {wanted}: {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn fresh(&self, rows: u64) -> CollectionStatus {
        self.status_that(&format!("{rows} rows, fresh"), |status| {
            let applied = status.view.applied.as_ref().and_then(|applied| applied.result.rows);
            status.view.condition.name() == "fresh" && applied == Some(rows)
        })
    }

    /// Has the source observed. The clock moves, so that the observation is told from the one before.
    fn look(&self) {
        self.clock.advance(Duration::from_millis(1));
        let started = |status: &CollectionStatus| status.last_observation.map(|last| last.started);
        let before = self.status_that("an observation", |status| started(status).is_some());
        self.handle.refresh(self.name.clone()).unwrap();
        self.status_that("the next observation", |status| started(status) > started(&before));
    }

    fn count(&self, is_one: impl Fn(&Event) -> bool) -> usize {
        let head = self.handle.stats().unwrap().durable;
        let mut watch = self.handle.watch(Seq(1));
        let mut count = 0;
        loop {
            let WatchItem::Event(recorded) = watch.next_within(LONG).unwrap() else { continue };
            count += usize::from(is_one(&recorded.event));
            if recorded.seq >= head {
                return count;
            }
        }
    }
}

#[test]
fn defect_30_what_is_no_data_is_answered_by_a_pattern_and_patterns_rebuild_nothing() {
    let running = Running::new(r#"{"format":"parquet","target_rows":10}"#, 3_600, |dir| {
        write(&dir.join("a.parquet"), &[10, 10], 0);
        write(&dir.join("old/b.parquet"), &[10], 0);
        fs::write(dir.join("README"), "what lies here").unwrap();
        fs::write(dir.join("README.md"), "left out by its ending").unwrap();
    });
    let parked = running.status_that("parked", |status| status.view.condition.name() == "parked");
    let text = parked.view.condition.to_string();
    let said = "README is not Parquet (no PAR1 at its start). Move what is no data away, or exclude it";
    assert!(text.contains(said), "{text}");
    running.declare_spec(r#"{"format":"parquet","target_rows":10,"exclude":["README"]}"#);
    let status = running.fresh(30);
    // The attempt may have ended before the look by the new patterns.
    running.status_that("the look by the new patterns", |status| {
        status.last_observation.is_some_and(|last| last.skipped.to_string() == "1 excluded, 1 other ending")
    });
    // Other patterns that select the same files: another spec, the same segments.
    running.declare_spec(r#"{"format":"parquet","target_rows":10,"include":["*.parquet"]}"#);
    let generation = status.view.generation;
    let status = running.status_that("the next generation, fresh", |status| {
        status.view.condition.name() == "fresh" && status.view.generation > generation
    });
    let segments = status.view.applied.as_ref().unwrap().result.segments.unwrap();
    assert_eq!((segments.kept, segments.new, segments.dropped), (3, 0, 0));
    // Fewer files: their segments go, the others stay.
    running.declare_spec(r#"{"format":"parquet","target_rows":10,"include":["*.parquet"],"exclude":["old"]}"#);
    let segments = running.fresh(20).view.applied.unwrap().result.segments.unwrap();
    assert_eq!((segments.kept, segments.new, segments.dropped), (2, 0, 1));
    running.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_32_a_table_is_unobservable_with_its_format() {
    let running = Running::new(r#"{"format":"parquet"}"#, 3_600, |dir| {
        write(&dir.join("a.parquet"), &[10], 0);
        fs::create_dir(dir.join("_delta_log")).unwrap();
    });
    let status = running.status_that("unobservable", |status| status.view.condition.name() == "unobservable");
    let text = status.view.condition.to_string();
    assert!(text.contains("is a table of Delta Lake (it has _delta_log)"), "{text}");
    running.declare_spec(r#"{"format":"parquet","exclude":["_delta_log"]}"#);
    running.fresh(10);
    running.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_30_a_slow_writer_leaves_nothing_in_the_log_until_it_is_done() {
    let running = Running::new(r#"{"format":"parquet"}"#, 0, |dir| write(&dir.join("a.parquet"), &[10], 0));
    running.fresh(10);
    let whole = bytes_of(&[100, 100], 1);
    let mut slow = fs::File::create(running.dir.path().join("tmp_slow.parquet")).unwrap();
    let (most, last) = whole.split_at(whole.len() - 1);
    for piece in most.chunks(whole.len() / 20) {
        slow.write_all(piece).unwrap();
        running.look();
    }
    let status = running.fresh(10);
    assert_eq!(status.last_observation.unwrap().skipped.to_string(), "1 unfinished");
    assert_eq!(running.count(|event| matches!(event, Event::SourceObserved { .. })), 1);
    slow.write_all(last).unwrap();
    running.look();
    running.fresh(210);
    assert_eq!(running.count(|event| matches!(event, Event::SourceObserved { .. })), 2);
    let is_failure = |event: &Event| {
        matches!(event, Event::AttemptFailed { .. } | Event::TaskParked { .. } | Event::ObservationFailed { .. })
    };
    assert_eq!(running.count(is_failure), 0);
    running.reconciler.shutdown(LONG).unwrap();
}
