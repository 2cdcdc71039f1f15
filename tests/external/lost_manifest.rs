//! A manifest that an outbox needs and that is gone: what is live is never discarded, the collection goes on where that is
//! known, and where it is not there is a way out.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Coalesce, Declaration, Kind, Name, Policy, Receipt, Retry, Source, Spec};
use lastword::engine::{CollectionStatus, Reconciler};
use lastword::external::{BuildError, Discard, External, Manifest, Segment, SegmentBuilder, SegmentJob};
use lastword::log::MemoryLog;
use lastword::objects::{MemoryObjects, Objects};
use lastword::worker::CommitView;
use test_support::parquet_files::write;

const LONG: Duration = Duration::from_secs(60);

/// Writes a file for each segment. What it publishes is the file `live`.
#[derive(Clone)]
struct Files {
    out: PathBuf,
    publishes: bool,
    /// The destination publishes nothing, or discards nothing.
    is_shut: Arc<AtomicBool>,
    keeps: Arc<AtomicBool>,
}

impl Files {
    fn names(&self) -> BTreeSet<String> {
        let names = fs::read_dir(&self.out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "live").collect()
    }

    fn shown(&self) -> BTreeSet<String> {
        fs::read_to_string(self.out.join("live")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl SegmentBuilder for Files {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        fs::write(self.out.join(job.id.to_string()), "built")?;
        Ok(None)
    }

    fn publishes(&self) -> bool {
        self.publishes
    }

    fn publish(&self, _: &CommitView<'_>, manifest: &Manifest) -> Result<(), String> {
        is_not(&self.is_shut)?;
        let names: Vec<String> = manifest.segments.iter().map(|segment| segment.id.to_string()).collect();
        fs::write(self.out.join("live"), names.join("\n")).map_err(|error| error.to_string())
    }

    fn discards(&self) -> bool {
        true
    }

    fn discard(&self, what: &Discard<'_>) -> Result<(), String> {
        is_not(&self.keeps)?;
        let goes = |name: &String| {
            let is_of = what.tokens.iter().any(|token| name.starts_with(&format!("{token}-")));
            let is_dropped = what.dropped.iter().any(|segment| segment.id.to_string() == *name);
            (is_of || is_dropped) && !what.live.iter().any(|id| id.to_string() == *name)
        };
        for name in self.names().iter().filter(|name| goes(name)) {
            assert!(what.is_drop || !self.shown().contains(name), "segment {name} is shown and discarded");
            fs::remove_file(self.out.join(name)).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn verify(&self, segment: &Segment) -> Result<(), String> {
        if self.out.join(segment.id.to_string()).exists() { Ok(()) } else { Err("its file is gone".to_owned()) }
    }
}

fn is_not(down: &AtomicBool) -> Result<(), String> {
    if down.load(SeqCst) { Err("down".to_owned()) } else { Ok(()) }
}

struct Shop {
    lake: tempfile::TempDir,
    _out: tempfile::TempDir,
    files: Files,
    objects: Arc<MemoryObjects>,
    reconciler: Reconciler,
}

impl Shop {
    /// A collection of three files in a segment each. It is built, and everything is delivered.
    fn open(publishes: bool) -> Shop {
        let (lake, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        (0..3).for_each(|n| write(&lake.path().join(format!("{n}.parquet")), &[10], n));
        let files = Files { out: out.path().to_owned(), publishes, is_shut: Arc::default(), keeps: Arc::default() };
        let objects = Arc::new(MemoryObjects::new());
        let reconciler = Reconciler::on(Box::new(MemoryLog::new()), Arc::<MemoryObjects>::clone(&objects))
            .kind(Kind::new("external").unwrap(), External::with_builder(files.clone()))
            .observe_interval(Duration::from_millis(20))
            .start()
            .unwrap();
        let shop = Shop { lake, _out: out, files, objects, reconciler };
        shop.declare();
        shop.until("the first delivery", |status| {
            status.view.applied.is_some() && status.view.outbox.as_ref().is_some_and(|owes| owes.unpublished == 0)
        });
        shop
    }

    fn declare(&self) -> Receipt {
        let retry = Retry { base: Duration::from_millis(5), cap: Duration::from_millis(20), ..Retry::default() };
        let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
        let declaration = Declaration::new(name())
            .kind(Kind::new("external").unwrap())
            .source(Source::new(self.lake.path().to_str().unwrap()).unwrap())
            .spec(Spec::parse(r#"{"format":"parquet","target_rows":10}"#).unwrap())
            .policy(Policy { coalesce, retry, ..Policy::default() });
        self.reconciler.handle().declare(declaration).unwrap()
    }

    fn status(&self) -> CollectionStatus {
        self.reconciler.handle().status(name()).unwrap().unwrap()
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&CollectionStatus) -> bool) {
        let begun = Instant::now();
        while !holds(&self.status()) {
            assert!(begun.elapsed() < LONG, "{what} did not happen: {:#?}", self.status());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// One file changes, and that is committed.
    fn change(&self, file: u8, salt: u8) {
        let before = self.status().view.applied.map(|applied| applied.seq);
        write(&self.lake.path().join(format!("{file}.parquet")), &[10], salt);
        self.until("a commit", |status| status.view.applied.as_ref().map(|applied| applied.seq) > before);
    }

    /// The destination is `down` in part; what is committed meanwhile waits, and the manifest of the first of it is lost,
    /// whose segments are returned.
    fn lose_what_the_first_discard_needs(&self, down: &[&AtomicBool]) -> BTreeSet<String> {
        down.iter().for_each(|down| down.store(true, SeqCst));
        self.change(1, 50);
        if !self.files.is_shut.load(SeqCst) {
            self.until("a publication", |status| status.view.outbox.as_ref().is_some_and(|owes| owes.unpublished == 0));
        }
        let segments = self.live();
        let lost = self.status().view.applied.unwrap().result.manifest.unwrap();
        // A segment goes that the lost one had from the one before.
        self.change(0, 51);
        self.change(1, 52);
        self.objects.remove(lost).unwrap();
        down.iter().for_each(|down| down.store(false, SeqCst));
        segments
    }

    #[track_caller]
    fn until_cause(&self, begins: &str) {
        let cause = |status: &CollectionStatus| Some(status.view.outbox.as_ref()?.failure.as_ref()?.cause.to_string());
        let is_said =
            |cause: String| cause.starts_with(begins) && cause.ends_with("or drop the collection and declare it anew");
        self.until(begins, |status| cause(status).is_some_and(is_said));
    }

    /// Dropped and declared anew, it is published, and of what was dropped nothing is left to discard.
    fn anew(self) {
        self.reconciler.handle().drop_collection(name()).unwrap();
        self.declare();
        self.until("everything published anew", |status| status.view.applied.is_some() && Shop::owes_nothing(status));
        assert_eq!(self.files.shown(), self.live());
        let begun = Instant::now();
        while !self.reconciler.handle().list_dropped(None, 10).unwrap().is_empty() {
            assert!(begun.elapsed() < LONG, "what was dropped is not discarded");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(self.files.names().is_superset(&self.live()));
        self.reconciler.shutdown(LONG).unwrap();
    }

    fn live(&self) -> BTreeSet<String> {
        let manifest = self.status().view.applied.unwrap().result.manifest.unwrap();
        let manifest = Manifest::read(&*self.objects, manifest).unwrap();
        manifest.segments.iter().map(|segment| segment.id.to_string()).collect()
    }

    fn owes_nothing(status: &CollectionStatus) -> bool {
        status.view.outbox.as_ref().is_some_and(|owes| owes.unpublished + owes.undiscarded == 0)
    }
}

fn name() -> Name {
    Name::new("lake").unwrap()
}

#[test]
fn a_kind_that_does_not_publish_goes_on_without_the_manifest_that_a_discard_needs() {
    let shop = Shop::open(false);
    let first = shop.live();
    let lost = shop.lose_what_the_first_discard_needs(&[&shop.files.keeps]);
    shop.until("the last discard", Shop::owes_nothing);
    // What nothing names any more but a manifest that is lost is not known to be there.
    let left = shop.files.names();
    assert!(left.is_superset(&shop.live()) && left.is_subset(&(&shop.live() | &lost)), "{left:?}");
    assert!(!left.is_superset(&first));
    shop.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn a_commit_whose_manifest_is_lost_says_the_way_out_and_that_is_one() {
    let shop = Shop::open(true);
    let shown = shop.files.shown();
    shop.lose_what_the_first_discard_needs(&[&shop.files.is_shut]);
    shop.until_cause("the commit cannot be read: object ");
    assert_eq!((shop.files.shown(), shop.files.names().is_superset(&shown)), (shown, true));
    shop.anew();
}

#[test]
fn nothing_that_readers_are_shown_is_discarded_for_what_is_not_published_yet() {
    let shop = Shop::open(true);
    let shown = shop.lose_what_the_first_discard_needs(&[&shop.files.keeps]);
    assert!(shown.difference(&shop.live()).count() >= 2, "the newest names fewer of them");
    shop.until_cause("what is live cannot be read, so nothing is discarded: object ");
    assert_eq!((shop.files.shown(), shop.files.names().is_superset(&shown)), (shown, true));
    shop.anew();
}
