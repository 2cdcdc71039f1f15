//! Files of any kind, as a worker of one's own meets them: what has changed since the last commit, what was lost, and
//! that what is read is what was observed.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lastword::engine::CollectionStatus;
use lastword::errors::FieldError;
use lastword::external::{Listed, SourceLocation, Stat, StopCheck, TrafficCounter};
use lastword::policy::{Coalesce, Policy};
use lastword::sources::{Change, Directory, FileReader, SourcePath, Store, StoreError};
use lastword::{
    Built, Context, Declaration, Event, Failure, Handle, Kind, Name, Observer, Reconciler, Seq, Source, Spec,
    WatchItem, Worker,
};

const LONG: Duration = Duration::from_secs(60);

/// What one attempt was told: on which commit it builds, and what has changed since.
type Told = (Option<u64>, Vec<String>);

/// Reads whatever was added or changed.
struct Reader {
    directory: Directory,
    told: Arc<Mutex<Vec<Told>>>,
    /// Attempts fail for good once they were told.
    fails: Arc<AtomicBool>,
    /// Called before the first file is read.
    before_reading: Box<dyn Fn() + Send + Sync>,
}

impl Worker for Reader {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let changes = context.changes()?;
        let base = changes.base().map(|applied| applied.seq.0);
        assert!(base.is_none() || changes.base() == context.applied());
        let mut told = Vec::new();
        (self.before_reading)();
        for change in changes {
            let text = |path: &SourcePath| {
                let bytes = self.directory.read(context, path)?;
                Ok::<_, Failure>(String::from_utf8(bytes).unwrap())
            };
            told.push(match change? {
                Change::Added(file) => format!("+{} {}", file.path, text(&file.path)?),
                Change::Changed(file) => format!("~{} {}", file.path, text(&file.path)?),
                Change::Removed(file) => format!("-{} {}", file.path, file.size),
            });
        }
        self.told.lock().unwrap().push((base, told));
        if self.fails.load(Ordering::Relaxed) {
            return Err(Failure::Permanent("told to".to_owned()));
        }
        Ok(Built::default())
    }

    fn check(&self, source: &Source, _: &Spec) -> Result<(), FieldError> {
        self.directory.check(source)
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(&self.directory)
    }
}

struct Shelf {
    reconciler: Reconciler,
    handle: Handle,
    told: Arc<Mutex<Vec<Told>>>,
    fails: Arc<AtomicBool>,
    dir: tempfile::TempDir,
}

fn name() -> Name {
    Name::new("shelf").unwrap()
}

fn kind() -> Kind {
    Kind::new("reader").unwrap()
}

impl Shelf {
    fn new(directory: Directory, files: &[(&str, &str)], before_reading: impl Fn() + Send + Sync + 'static) -> Shelf {
        let dir = tempfile::tempdir().unwrap();
        let (told, fails) = (Arc::<Mutex<Vec<Told>>>::default(), Arc::<AtomicBool>::default());
        let before_reading = Box::new(before_reading);
        let worker = Reader { directory, told: Arc::clone(&told), fails: Arc::clone(&fails), before_reading };
        let reconciler = Reconciler::open(dir.path().join("state"))
            .kind(kind(), worker)
            .observe_interval(Duration::from_millis(20))
            .start()
            .unwrap();
        let shelf = Shelf { handle: reconciler.handle(), reconciler, told, fails, dir };
        fs::create_dir(shelf.source()).unwrap();
        files.iter().for_each(|(file, text)| shelf.put(file, text));
        let policy = Policy { coalesce: Coalesce::NONE, ..Policy::default() };
        shelf.declare(Declaration::new(name()).kind(kind()).policy(policy));
        shelf
    }

    fn declare(&self, declaration: Declaration) {
        let source = Source::new(self.source().to_str().unwrap()).unwrap();
        self.handle.declare(declaration.source(source)).unwrap();
    }

    fn source(&self) -> std::path::PathBuf {
        self.dir.path().join("files")
    }

    /// Replaces a file the way careful writers do.
    fn put(&self, file: &str, text: &str) {
        let (draft, path) = (self.dir.path().join("draft"), self.source().join(file));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&draft, text).unwrap();
        fs::rename(draft, path).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.source().join(file)).unwrap();
    }

    fn wait(&self, what: &str, is_it: impl Fn(&CollectionStatus) -> bool) -> CollectionStatus {
        let begun = Instant::now();
        loop {
            let status = self.handle.status(name()).unwrap().unwrap();
            if is_it(&status) {
                return status;
            }
            assert!(begun.elapsed() < LONG, "waited for {what}: {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first commit behind the one `before` that leaves nothing to do.
    fn applied(&self, before: u64) -> u64 {
        let is_newer = |status: &CollectionStatus| {
            status.view.condition.name() == "fresh" && status.view.applied.as_ref().unwrap().seq.0 > before
        };
        self.wait("a newer commit", is_newer).view.applied.unwrap().seq.0
    }

    /// What the last attempt was told.
    fn last(&self) -> Told {
        self.told.lock().unwrap().last().cloned().unwrap()
    }
}

fn told(base: Option<u64>, changes: &[&str]) -> Told {
    (base, changes.iter().map(|&change| change.to_owned()).collect())
}

#[test]
fn defect_34_a_worker_is_told_what_was_added_changed_and_removed_since_its_last_commit() {
    let shelf = Shelf::new(Directory::local(), &[("a", "1"), ("b", "2"), ("d/c.csv", "3"), ("_no", "0")], || ());
    let first = shelf.applied(0);
    assert_eq!(shelf.last(), told(None, &["+a 1", "+b 2", "+d/c.csv 3"]));

    // An attempt that fails after it was told changes nothing of what is applied: the next is told of all of it again.
    shelf.fails.store(true, Ordering::Relaxed);
    shelf.put("b", "22");
    shelf.wait("the failure", |status| status.view.condition.name() == "parked");
    assert_eq!(shelf.last(), told(Some(first), &["~b 22"]));
    shelf.fails.store(false, Ordering::Relaxed);
    let staged = shelf.dir.path().join("files/.staged");
    fs::write(&staged, "4").unwrap();
    fs::rename(staged, shelf.source().join("e")).unwrap();
    let second = shelf.applied(first);
    assert_eq!(shelf.last(), told(Some(first), &["~b 22", "+e 4"]));

    shelf.remove("a");
    let third = shelf.applied(second);
    assert_eq!(shelf.last(), told(Some(second), &["-a 1"]));

    // A file that was only touched or written again as it was is none.
    shelf.put("b", "22");
    shelf.put("f", "5");
    let fourth = shelf.applied(third);
    assert_eq!(shelf.last(), told(Some(third), &["+f 5"]));

    // On another spec, everything may have to be built in another way; and a rebuild builds on nothing.
    let everything = ["+b 22", "+d/c.csv 3", "+e 4", "+f 5"];
    shelf.declare(Declaration::new(name()).spec(Spec::parse(r#"{"language":"en"}"#).unwrap()));
    let fifth = shelf.applied(fourth);
    assert_eq!(shelf.last(), told(None, &everything));
    shelf.handle.rebuild(name()).unwrap();
    shelf.applied(fifth);
    assert_eq!(shelf.last(), told(None, &everything));
    shelf.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_34_a_directory_that_lost_its_files_is_held() {
    let files: Vec<(String, String)> = (0..30).map(|n| (format!("{n:02}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
    let shelf = Shelf::new(Directory::local(), &files, || ());
    let first = shelf.applied(0);
    // Moved away as one, so that no observation sees a part of it.
    let (away, empty) = (shelf.dir.path().join("away"), shelf.dir.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    fs::rename(shelf.source(), &away).unwrap();
    fs::rename(&empty, shelf.source()).unwrap();
    let held = shelf.wait("the hold", |status| status.view.condition.name() == "held");
    assert_eq!(held.view.cause(), Some("empty"));
    assert_eq!(held.view.applied.unwrap().seq.0, first);
    // Most of them.
    fs::rename(shelf.source(), &empty).unwrap();
    (0..5).for_each(|n| fs::copy(away.join(format!("{n:02}")), empty.join(format!("{n:02}"))).map(drop).unwrap());
    fs::rename(&empty, shelf.source()).unwrap();
    shelf.wait("the other cause", |status| status.view.cause() == Some("most_gone"));
    assert_eq!(shelf.told.lock().unwrap().len(), 1);
    shelf.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_34_what_is_read_is_what_was_observed() {
    let (path, once) = (Arc::<Mutex<Option<std::path::PathBuf>>>::default(), AtomicBool::new(true));
    let before_reading = {
        let path = Arc::clone(&path);
        move || {
            if let Some(path) = path.lock().unwrap().as_ref()
                && once.swap(false, Ordering::Relaxed)
            {
                fs::write(path, "later").unwrap();
            }
        }
    };
    let shelf = Shelf::new(Directory::local(), &[("a", "early")], before_reading);
    let first = shelf.applied(0);
    *path.lock().unwrap() = Some(shelf.source().join("b"));
    shelf.put("b", "early");
    shelf.wait("what was written later", |status| {
        status.view.condition.name() == "fresh" && shelf.last() == told(Some(first), &["+b later"])
    });
    // No attempt read the one content under the version of the other.
    assert!(!shelf.told.lock().unwrap().iter().any(|(_, changes)| changes.contains(&"+b early".to_owned())));
    shelf.reconciler.shutdown(LONG).unwrap();
}

/// One file whose content changes and whose times do not, as on a file system with a coarse clock.
#[derive(Clone)]
struct Coarse {
    text: Arc<Mutex<Vec<u8>>>,
    stat: Stat,
}

struct Text(Vec<u8>);

impl FileReader for Text {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        Ok(self.0[usize::try_from(start).unwrap()..][..length].to_vec())
    }
}

impl Store for Coarse {
    fn list(&self, _: &SourceLocation, _: StopCheck<'_>, _: &TrafficCounter) -> Result<Listed, StoreError> {
        Ok(vec![(SourcePath(b"a".to_vec()), self.stat)].into())
    }

    fn stat(&self, _: &SourceLocation, _: &SourcePath) -> Result<Stat, StoreError> {
        Ok(self.stat)
    }

    fn open(&self, _: &SourceLocation, _: &SourcePath, _: &Stat) -> Result<Box<dyn FileReader>, StoreError> {
        Ok(Box::new(Text(self.text.lock().unwrap().clone())))
    }
}

#[test]
fn defect_34_what_is_read_is_what_was_observed_where_the_times_do_not_tell() {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = lastword::external::Instant { seconds: i64::try_from(seconds).unwrap() + 3_600, nanoseconds: 0 };
    let text = Arc::new(Mutex::new(b"early".to_vec()));
    let store =
        Coarse { text: Arc::clone(&text), stat: Stat { size: 5, mtime: now, ctime: now, inode: 1, ..Stat::default() } };
    let once = AtomicBool::new(true);
    let shelf = Shelf::new(Directory::local().in_store(store), &[], move || {
        if once.swap(false, Ordering::Relaxed) {
            *text.lock().unwrap() = b"later".to_vec();
        }
    });
    // The first attempt ends because what it read is not what was observed, and not with a result.
    let mut watch = shelf.handle.watch(Seq(1));
    let first = loop {
        if let WatchItem::Event(recorded) = watch.next_within(LONG).unwrap()
            && matches!(recorded.event, Event::AttemptFailed { .. } | Event::TaskCompleted { .. })
        {
            break recorded.to_json();
        }
    };
    assert!(first.contains(r#""reason":"source_moved""#), "{first}");
    shelf.wait("what was written later", |status| status.view.condition.name() == "fresh");
    assert_eq!(shelf.last().1, ["+a later"]);
    shelf.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_34_a_source_that_is_no_directory_is_refused_where_it_is_declared() {
    let shelf = Shelf::new(Directory::local(), &[("a", "1")], || ());
    for source in ["relative/path", "s3://bucket/prefix", "/proc/self"] {
        let declaration = Declaration::new(Name::new("other").unwrap()).kind(kind());
        let error = shelf.handle.declare(declaration.source(Source::new(source).unwrap())).unwrap_err();
        assert!(error.to_string().contains("source: "), "{source}: {error}");
    }
    shelf.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_34_links_are_followed_if_that_is_asked_for() {
    let shelf = Shelf::new(Directory::local().follow_symlinks(true), &[("a", "1")], || ());
    let first = shelf.applied(0);
    fs::write(shelf.dir.path().join("elsewhere"), "2").unwrap();
    std::os::unix::fs::symlink(shelf.dir.path().join("elsewhere"), shelf.source().join("b")).unwrap();
    shelf.applied(first);
    assert_eq!(shelf.last(), told(Some(first), &["+b 2"]));
    assert_eq!(SourcePath(b"d/e".to_vec()).as_path(), Path::new("d/e"));
    shelf.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_30_patterns_say_which_files_of_a_directory_are_data() {
    let directory =
        Directory::local().include(&["*.md", "docs/**"]).unwrap().exclude(&["drafts", "docs/*.bin"]).unwrap();
    let files = [
        ("a.md", "1"),
        ("b.txt", "0"),
        ("docs/c.txt", "2"),
        ("docs/d.bin", "0"),
        ("drafts/e.md", "0"),
        ("f/g.md", "3"),
    ];
    let shelf = Shelf::new(directory, &files, || ());
    let first = shelf.applied(0);
    assert_eq!(shelf.last(), told(None, &["+a.md 1", "+docs/c.txt 2", "+f/g.md 3"]));
    let skipped =
        shelf.wait("an observation", |status| status.last_observation.is_some()).last_observation.unwrap().skipped;
    let counts: Vec<_> = skipped.reasons().map(|(reason, count)| (reason.name(), count)).collect();
    assert_eq!(counts, [("excluded", 2), ("not_included", 1)]);
    shelf.put("b.txt", "00");
    shelf.put("h.md", "4");
    shelf.applied(first);
    assert_eq!(shelf.last(), told(Some(first), &["+h.md 4"]));
    shelf.reconciler.shutdown(LONG).unwrap();
    for (wrong, problem) in [
        (Directory::local().include(&["a["]), "include: holds the pattern a[, which is wrong: "),
        (Directory::local().include(&[]), "include: must hold 1 to 64 patterns, found 0"),
        (Directory::local().exclude(&["/a"]), "exclude: holds the pattern /a, which is wrong: "),
    ] {
        let error = wrong.map(drop).unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}");
    }
}

/// What decides is in the content, and a look may not read so much: it is named, and never taken for what it was.
#[test]
fn defect_02_a_directory_reads_no_more_than_it_may() {
    let shelf = Shelf::new(Directory::local().reading(1 << 20), &[("a", "1")], || ());
    shelf.applied(0);
    fs::File::create(shelf.dir.path().join("draft")).unwrap().set_len(1 << 40).unwrap();
    fs::rename(shelf.dir.path().join("draft"), shelf.source().join("b")).unwrap();
    let status = shelf.wait("what cannot be read in one look", |status| status.view.unobservable.is_some());
    let cause = status.view.unobservable.unwrap().cause;
    assert_eq!(&*cause, "the content of b is not read yet, which alone tells whether it has changed");
    shelf.remove("b");
    shelf.wait("what is read", |status| status.view.condition.name() == "fresh");
    shelf.reconciler.shutdown(LONG).unwrap();
}
