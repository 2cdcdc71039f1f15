//! Buckets of object stores as a store: sources that are `s3://bucket/prefix/` and its kin. Directories are passed on.
//!
//! ```text
//! Store (synchronous) ──> network.rs (a runtime of our own) ──> listing.rs   pages, in lanes, whole or an error
//!                              ^ sharing.rs                 |    one serves all who wait for it
//!                                                           └─> reader.rs    ranges, each fenced by the entity tag
//!                             client.rs (object_store) <── access.rs         where a bucket is, and who asks
//!                             meter.rs ──> outgoing.rs                       HTTP, counted; no redirect is followed
//!                              ^ answer.rs                    what comes for a page is a page of a listing
//! ```
//!
//! What identifies the content of an object is its size and its entity tag. Each read says which tag it expects, so no byte
//! of another content is handed out, whenever it was overwritten.
//!
//! *Architecture invariant:* no text of the `object_store` crate leaves `fault.rs`: its errors hold URLs, bodies and times,
//! which may be secret and are never the same twice.

mod access;
mod answer;
mod client;
mod doctor;
mod enclosing;
mod environment;
mod fault;
mod key;
mod listing;
mod meter;
mod network;
mod outgoing;
mod progress;
mod reader;
mod sharing;
mod stat;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::ObjectStoreExt as _;
use object_store::path::Path as Key;

use super::{
    Bucket, BucketPrefix, FieldError, FileReader, Listed, LocalStore, SourceLocation, SourcePath, Stat, StopCheck,
    Store, StoreError,
};
use crate::external::skip::Rules;
use crate::worker::TrafficCounter;
pub use access::{Access, SecretName};
use client::Client;
pub use doctor::{Examination, Finding, FindingOutcome, NeededBy};
use fault::Fault;
use listing::Lanes;
use network::Network;
use reader::ObjectReader;
use sharing::{Lead, Place, Served, Sharing};
use stat::stat_of;

/// Buckets of the kinds that this program was built with (features `s3`, `gs`, `az`), beside the directories of another
/// store.
///
/// Where a bucket is and who asks is what the environment says, as it does to the clouds' own tools, unless
/// [`access`](Buckets::access) says it.
///
/// ```no_run
/// use lastword::external::{Access, Bucket, Buckets, External};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let access = Access { endpoint: Some("https://minio.example.com".to_owned()), ..Access::default() };
/// let external = External::local().in_store(Buckets::new().access(Bucket::parse("s3://lake")?, access));
/// # let _ = external;
/// # Ok(())
/// # }
/// ```
pub struct Buckets {
    directories: Box<dyn Store>,
    access: BTreeMap<Bucket, Access>,
    network: Arc<Network>,
    clients: Mutex<BTreeMap<Bucket, Arc<Client>>>,
    lanes: Mutex<BTreeMap<BucketPrefix, Lanes>>,
    sharing: Sharing,
}

impl Buckets {
    /// Buckets, beside the directories of the local file system.
    #[must_use]
    pub fn new() -> Buckets {
        Buckets::beside(LocalStore)
    }

    /// Buckets, beside what another store reads.
    #[must_use]
    pub fn beside(directories: impl Store + 'static) -> Buckets {
        Buckets {
            directories: Box::new(directories),
            access: BTreeMap::new(),
            network: Arc::default(),
            clients: Mutex::default(),
            lanes: Mutex::default(),
            sharing: Sharing::default(),
        }
    }

    /// Where this bucket is and who asks, in the place of what the environment says.
    #[must_use]
    pub fn access(mut self, bucket: Bucket, access: Access) -> Buckets {
        self.access.insert(bucket, access);
        self
    }

    /// How many requests were sent for this bucket, those that were tried again included.
    #[must_use]
    pub fn requests(&self, bucket: &Bucket) -> u64 {
        lock(&self.clients).get(bucket).map_or(0, |client| client.meter.requests())
    }

    /// The client of a bucket. It is made when it is first asked for.
    fn client(&self, bucket: &Bucket) -> Result<Arc<Client>, StoreError> {
        if let Some(client) = lock(&self.clients).get(bucket) {
            return Ok(Arc::clone(client));
        }
        // Reads files: not under the lock. Of two that make it at the same time the later one stays.
        let access = self.access.get(bucket).cloned().unwrap_or_default();
        let client = Client::new(bucket, &access).map_err(|problem| fault::unreadable(&bucket.to_string(), problem))?;
        let client = Arc::new(client);
        lock(&self.clients).insert(bucket.clone(), Arc::clone(&client));
        Ok(client)
    }

    /// Makes a listing for all who wait for it.
    fn lead(
        &self,
        lead: Lead<'_>,
        (prefix, rules): (&BucketPrefix, &Rules),
        stop_check: StopCheck<'_>,
        traffic: &TrafficCounter,
    ) -> Result<Listed, StoreError> {
        let client = self.client(prefix.bucket())?;
        let lanes = lock(&self.lanes).get(prefix).cloned().unwrap_or_default();
        let before = traffic.counted();
        let found = listing::list(&self.network, &client, prefix, (lanes, traffic), stop_check);
        let spent = traffic.counted().since(before);
        if let Some(status) = spent.status {
            let (requests, throttled) = (spent.requests, spent.throttled);
            tracing::warn!(target: "lastword::external", source = %prefix, status, throttled, requests,
                "the store asked to wait while it was listed");
        }
        let raw = lead.finish(found, spent).map_err(|fault| {
            self.heard(prefix.bucket(), &fault);
            fault.of_shared_listing(&prefix.to_string())
        })?;
        let (is_unordered, room) = (raw.is_unordered, raw.len());
        // What nobody else waits for goes page by page.
        let (files, left_out, lanes) = match Arc::try_unwrap(raw) {
            Ok(raw) => listing::read((prefix, rules), is_unordered, (room, raw.pages), |_| true),
            Err(raw) => listing::read((prefix, rules), is_unordered, (room, &raw.pages), |_| true),
        }?;
        lock(&self.lanes).insert(prefix.clone(), lanes);
        Ok(Listed { files, left_out, ..Listed::default() })
    }

    /// Refuses a source that is a part of a table.
    fn check_table(
        &self,
        prefix: &BucketPrefix,
        rules: &Rules,
        stop_check: StopCheck<'_>,
        traffic: &TrafficCounter,
    ) -> Result<(), StoreError> {
        if !enclosing::may_be_part(prefix) {
            return Ok(());
        }
        let client = self.client(prefix.bucket())?;
        let (asked, of, by) = (Arc::clone(&client), prefix.clone(), rules.clone());
        let work = meter::counted(traffic.clone(), async move { enclosing::check(&asked, &of, &by).await });
        let found = self.network.wait(&client.meter, stop_check, work).and_then(|found| found);
        found.map_err(|fault| {
            self.heard(prefix.bucket(), &fault);
            fault.of_listing(&prefix.to_string())
        })
    }

    /// After a refusal the credentials are looked up anew: they may have been rotated.
    fn heard(&self, bucket: &Bucket, fault: &Fault) {
        if fault.is_refusal() {
            lock(&self.clients).remove(bucket);
        }
    }
}

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets::new()
    }
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets").field("access", &self.access).finish_non_exhaustive()
    }
}

impl Store for Buckets {
    fn list(
        &self,
        source: &SourceLocation,
        stop_check: StopCheck<'_>,
        traffic: &TrafficCounter,
    ) -> Result<Listed, StoreError> {
        let Some(prefix) = source.bucket() else {
            return self.directories.list(source, stop_check, traffic);
        };
        self.check_table(prefix, source.rules(), stop_check, traffic)?;
        match self.sharing.join(prefix, stop_check)? {
            Place::Lead(lead) => self.lead(lead, (prefix, source.rules()), stop_check, traffic),
            Place::Follow(served) => {
                traffic.add(served.traffic);
                follow(served, (prefix, source.rules()))
            }
        }
    }

    fn stat(&self, source: &SourceLocation, path: &SourcePath) -> Result<Stat, StoreError> {
        let Some(prefix) = source.bucket() else { return self.directories.stat(source, path) };
        let client = self.client(prefix.bucket())?;
        let key = key_of(prefix, path)?;
        let asked = Arc::clone(&client);
        let head = async move { asked.remote.head(&key).await };
        let found = self.network.wait(&client.meter, &super::never_interrupted, head).and_then(|found| Ok(found?));
        let found = found.map_err(|fault| {
            self.heard(prefix.bucket(), &fault);
            fault.of_object(path)
        })?;
        stat_of(&found)
    }

    fn open(
        &self,
        source: &SourceLocation,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Box<dyn FileReader>, StoreError> {
        let Some(prefix) = source.bucket() else { return self.directories.open(source, path, listed) };
        let (client, key) = (self.client(prefix.bucket())?, key_of(prefix, path)?);
        let network = Arc::clone(&self.network);
        Ok(Box::new(ObjectReader { network, client, key, path: path.clone(), listed: *listed }))
    }

    fn serves(&self, source: &SourceLocation) -> Result<(), FieldError> {
        match source.bucket() {
            Some(prefix) => client::serves(prefix.bucket().scheme()),
            None => self.directories.serves(source),
        }
    }

    fn directory<'s>(&self, source: &'s SourceLocation) -> Option<&'s Path> {
        self.directories.directory(source)
    }
}

/// Takes a source's part out of another's listing.
fn follow(served: Served, (prefix, rules): (&BucketPrefix, &Rules)) -> Result<Listed, StoreError> {
    let raw = served.found.map_err(|fault| fault.of_shared_listing(&prefix.to_string()))?;
    // What encloses it has others as well.
    let is_whole = served.prefix == *prefix;
    let is_own = |key: &str| is_whole || key.starts_with(prefix.prefix());
    let room = if is_whole { raw.len() } else { 0 };
    let (files, left_out, _) = listing::read((prefix, rules), raw.is_unordered, (room, &raw.pages), is_own)?;
    Ok(Listed { files, left_out, ..Listed::default() })
}

/// The key of an object of a source. What no listing can have named is gone.
fn key_of(prefix: &BucketPrefix, path: &SourcePath) -> Result<Key, StoreError> {
    let moved = || StoreError::Moved { path: path.clone() };
    let below = std::str::from_utf8(&path.0).map_err(|_| moved())?;
    Key::parse(format!("{}{below}", prefix.prefix())).map_err(|_| moved())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
