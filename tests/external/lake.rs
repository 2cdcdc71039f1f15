//! A directory with somebody who looks at it, and files in memory whose `stat` says what a test wants it to say.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{Name, Source, SourceState, Spec, Timestamp};
use lastword::external::{
    self, External, FileReader, Instant, Listed, Mount, Mounts, PathSet, SourceLocation, SourcePath, SourceUri, Stat,
    StopCheck, Store, StoreError, TrafficCounter, load_set,
};
use lastword::objects::MemoryObjects;
use lastword::worker::{Observation, ObserveError, ObserveRequest, ObserveSignals, Worker};

/// A directory, who looks at it, and what was seen last.
pub struct Lake {
    /// Where it lies, if not in its own.
    pub elsewhere: Option<PathBuf>,
    pub dir: tempfile::TempDir,
    pub external: External,
    pub objects: MemoryObjects,
    pub known: Option<SourceState>,
    pub applied: Option<SourceState>,
    /// The next look is to believe nothing.
    pub verify: bool,
    pub signals: ObserveSignals,
}

impl Lake {
    pub fn new() -> Lake {
        let (dir, external) = (tempfile::tempdir().unwrap(), External::local());
        let (objects, signals) = (MemoryObjects::new(), ObserveSignals::default());
        Lake { elsewhere: None, dir, external, objects, known: None, applied: None, verify: false, signals }
    }

    /// One whose files lie there.
    pub fn of(directory: &Path) -> Lake {
        Lake { elsewhere: Some(directory.to_owned()), ..Lake::new() }
    }

    pub fn learning(self, bytes: u64) -> Lake {
        Lake { external: External::local().learning(bytes), ..self }
    }

    /// Another process: nothing is remembered but what was stored.
    pub fn restarted(self) -> Lake {
        Lake { external: External::local(), ..self }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn location(&self) -> SourceLocation {
        SourceUri::parse(self.dir.path().to_str().unwrap()).unwrap().resolve("/".as_ref()).unwrap()
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// A new file under the name, as careful writers make it.
    pub fn replace(&self, name: &str, content: &str) {
        self.write("new.tmp", content);
        fs::rename(self.path("new.tmp"), self.path(name)).unwrap();
    }

    pub fn chmod(&self, name: &str) {
        let mode = fs::metadata(self.path(name)).unwrap().permissions().mode() ^ 0o022;
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    pub fn look_at(&mut self, wall: Timestamp) -> Result<Observation, ObserveError> {
        let directory = self.elsewhere.as_deref().unwrap_or(self.dir.path());
        let source = Source::new(directory.to_str().unwrap()).unwrap();
        let observation = self.external.observer().unwrap().observe(&ObserveRequest {
            name: &Name::new("lake").unwrap(),
            source: &source,
            spec: &Spec::parse(r#"{"format":"parquet"}"#).unwrap(),
            known: self.known.as_ref(),
            applied: self.applied.as_ref(),
            objects: &self.objects,
            wall,
            verify: std::mem::take(&mut self.verify),
            signals: &self.signals,
        })?;
        self.known = Some(observation.state.clone());
        Ok(observation)
    }

    /// A look by the wall clock: what was written a moment ago is racy.
    pub fn look(&mut self) -> Observation {
        self.look_at(SystemClock::new().wall()).unwrap()
    }

    /// A look when everything that is there has aged.
    pub fn aged(&mut self) -> Observation {
        let observation = self.look_at(SystemClock::new().wall().after(Duration::from_secs(3))).unwrap();
        assert_eq!((observation.racy, observation.observe_again), (0, None));
        observation
    }

    /// The same, which may fail, or be weak.
    pub fn look_when_aged(&mut self) -> Result<Observation, ObserveError> {
        self.look_at(self.now().after(Duration::from_secs(3)))
    }

    pub fn now(&self) -> Timestamp {
        SystemClock::new().wall()
    }

    pub fn in_an_hour(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.now().0) + Duration::from_secs(3600)
    }

    /// Whether the versions of all files hold their content.
    pub fn set_has_contents(&self) -> bool {
        self.set().files().all(|(_, file)| file.version.content.is_some())
    }

    pub fn apply(&mut self) {
        self.applied.clone_from(&self.known);
    }

    pub fn set(&self) -> PathSet {
        load_set(&self.objects, self.known.as_ref().unwrap().set.unwrap().root).unwrap()
    }
}

pub fn changed(observation: &Observation) -> bool {
    observation.delta.is_some()
}

pub type Files = BTreeMap<SourcePath, (Stat, Vec<u8>)>;

/// Files in memory, whose `stat` says what a test wants it to say.
#[derive(Clone, Default)]
pub struct Shelf {
    pub files: Arc<Mutex<Files>>,
    /// Whether a file changes whenever somebody has read it.
    pub unsteady: Arc<AtomicBool>,
    /// Where it stands. Without one it knows nothing of mounts.
    pub mount: Arc<Mutex<Option<Mount>>>,
    /// How many bytes were read.
    pub read: Arc<AtomicU64>,
}

impl Shelf {
    /// One file of three bytes that changed at `ctime`, in seconds from now.
    pub fn put(&self, name: &str, ctime: i64, content: &str) {
        let ctime = Instant { seconds: (SystemClock::new().wall().0 / 1_000_000) as i64 + ctime, nanoseconds: 0 };
        let stat = Stat { size: 3, ctime, ..Stat::default() };
        self.files.lock().unwrap().insert(SourcePath(name.into()), (stat, content.into()));
    }
}

impl Store for Shelf {
    fn list(&self, _: &external::SourceLocation, _: StopCheck<'_>, _: &TrafficCounter) -> Result<Listed, StoreError> {
        let files = self.files.lock().unwrap().iter().map(|(path, (stat, _))| (path.clone(), *stat)).collect();
        let mut mounts = Mounts::default();
        self.mount.lock().unwrap().iter().for_each(|mount| mounts.insert(SourcePath(Vec::new()), *mount));
        Ok(Listed { files, mounts, ..Listed::default() })
    }

    fn stat(&self, _: &external::SourceLocation, path: &SourcePath) -> Result<Stat, StoreError> {
        let files = self.files.lock().unwrap();
        files.get(path).map(|(stat, _)| *stat).ok_or_else(|| StoreError::Moved { path: path.clone() })
    }

    fn open(
        &self,
        _: &external::SourceLocation,
        path: &SourcePath,
        _: &Stat,
    ) -> Result<Box<dyn FileReader>, StoreError> {
        let mut files = self.files.lock().unwrap();
        let (stat, content) = files.get_mut(path).unwrap();
        stat.inode += u64::from(self.unsteady.load(Ordering::Relaxed));
        Ok(Box::new(Book(content.clone(), Arc::clone(&self.read))))
    }
}

pub struct Book(Vec<u8>, Arc<AtomicU64>);

impl FileReader for Book {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.1.fetch_add(length as u64, Ordering::Relaxed);
        Ok(self.0[start as usize..][..length].to_vec())
    }
}
