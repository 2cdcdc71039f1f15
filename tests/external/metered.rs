//! The local file system, and what is read of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lastword::external::{
    FileReader, Listed, LocalStore, SourceLocation, SourcePath, Stat, StopCheck, Store, StoreError, TrafficCounter,
};

/// The local file system, and what is read of it.
#[derive(Clone)]
pub struct Metered {
    /// How many bytes were read.
    read: Arc<AtomicU64>,
    /// Beyond so many it refuses, so that a test comes to its end.
    most: u64,
    /// What was opened.
    paths: Arc<Mutex<BTreeSet<SourcePath>>>,
    /// How many files are open.
    pub open: Arc<AtomicU64>,
    /// Whether each read takes a millisecond and finds zeroes.
    pub slow: Arc<AtomicBool>,
}

impl Metered {
    pub fn new(most: u64) -> Metered {
        Metered { read: Arc::default(), most, paths: Arc::default(), open: Arc::default(), slow: Arc::default() }
    }

    /// What was read since it was asked last, in bytes.
    pub fn taken(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }

    /// What was opened so far.
    pub fn paths(&self) -> BTreeSet<SourcePath> {
        self.paths.lock().unwrap().clone()
    }
}

impl Store for Metered {
    fn list(
        &self,
        source: &SourceLocation,
        stop_check: StopCheck<'_>,
        traffic: &TrafficCounter,
    ) -> Result<Listed, StoreError> {
        LocalStore.list(source, stop_check, traffic)
    }

    fn stat(&self, source: &SourceLocation, path: &SourcePath) -> Result<Stat, StoreError> {
        LocalStore.stat(source, path)
    }

    fn open(
        &self,
        source: &SourceLocation,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Box<dyn FileReader>, StoreError> {
        self.paths.lock().unwrap().insert(path.clone());
        let opened = LocalStore.open(source, path, listed)?;
        self.open.fetch_add(1, Ordering::AcqRel);
        Ok(Box::new(MeteredFile(opened, self.clone())))
    }
}

struct MeteredFile(Box<dyn FileReader>, Metered);

impl Drop for MeteredFile {
    fn drop(&mut self) {
        self.1.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl FileReader for MeteredFile {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        if self.1.read.fetch_add(length as u64, Ordering::Relaxed) > self.1.most {
            return Err(StoreError::Missing { what: "more was read than a look may".to_owned() });
        }
        if self.1.slow.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
            return Ok(vec![0; length]);
        }
        self.0.read(start, length)
    }
}
