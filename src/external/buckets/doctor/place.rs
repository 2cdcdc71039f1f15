//! The place in a bucket that an examination has for itself: what it makes there is known by name, and is removed again,
//! whatever became of the examination. It must not know what is found out.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use object_store::list::PaginatedListOptions;
use object_store::path::Path as Key;
use object_store::{
    Error, GetOptions, GetRange, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
};

use crate::external::buckets::client::Client;
use crate::external::buckets::fault::Fault;
use crate::external::buckets::network::Network;
use crate::external::buckets::stat::stat_of;
use crate::external::{Interrupted, Scheme, Stat, StopCheck, StoreError, never_interrupted};

/// Requests at the same time: so many writers race for one object.
pub(super) const WRITERS: usize = 32;

/// Pages of one listing, at most: a store that never ends is not waited for.
const MOST_PAGES: usize = 100;

/// Bytes of one answer, at most.
const MOST_BYTES: u64 = 16 << 20;

/// For how many turns of waiting (of 50 ms) a write is waited for after the word to stop: one that is given up may still
/// happen, after what it made was to be removed.
const LAST_WRITES: u32 = 100;

/// The same for each step of removing.
const LAST_STEPS: u32 = 400;

/// Keys that are left are shown up to this number.
const SHOWN: usize = 100;

/// What a read gave.
pub(super) struct Got {
    pub(super) stat: Stat,
    /// When it was last modified, in seconds since the epoch.
    pub(super) modified: i64,
    pub(super) bytes: Vec<u8>,
}

/// What a listing gave, in the order in which it came.
pub(super) struct Found {
    pub(super) keys: Vec<(String, Stat)>,
    pub(super) pages: usize,
}

pub(super) struct Place<'a> {
    network: &'a Network,
    client: Arc<Client>,
    stop_check: StopCheck<'a>,
    scheme: Scheme,
    /// What all keys begin with that are made here.
    prefix: String,
    /// What may be there, and whether the store has said that it is.
    made: Mutex<BTreeMap<String, bool>>,
    keeps_versions: Mutex<bool>,
}

/// What could not be removed.
#[derive(Default)]
pub(super) struct Left {
    pub(super) keys: Vec<String>,
    pub(super) count: usize,
}

impl<'a> Place<'a> {
    pub(super) fn new(
        (network, client): (&'a Network, Arc<Client>),
        (scheme, prefix): (Scheme, String),
        stop_check: StopCheck<'a>,
    ) -> Place<'a> {
        Place { network, client, stop_check, scheme, prefix, made: Mutex::default(), keeps_versions: Mutex::default() }
    }

    /// Whether a write was answered with the number of a version.
    pub(super) fn keeps_versions(&self) -> bool {
        *lock(&self.keeps_versions)
    }

    /// The bytes that a key has before the name of what is made here.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn key(&self, name: &str) -> Result<Key, Fault> {
        let unusable = |error| Fault::Store(Error::InvalidPath { source: error });
        Key::parse(format!("{}{name}", self.prefix)).map_err(unusable)
    }

    fn go_on(&self) -> Result<(), Fault> {
        (self.stop_check)().map_err(|Interrupted { .. }| Fault::Interrupted)
    }

    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Fault> {
        self.network.wait(&self.client.meter, self.stop_check, work)
    }

    /// Makes objects at the same time, and says of each what the store answered.
    pub(super) fn put_each(
        &self,
        objects: Vec<(String, Vec<u8>, PutMode)>,
    ) -> Result<Vec<Result<PutResult, Fault>>, Fault> {
        self.go_on()?;
        let mut answers = Vec::new();
        let mut rest = objects.into_iter().peekable();
        while rest.peek().is_some() {
            let some: Vec<_> = rest.by_ref().take(WRITERS).collect();
            answers.extend(self.put_some(some)?);
        }
        Ok(answers)
    }

    fn put_some(&self, some: Vec<(String, Vec<u8>, PutMode)>) -> Result<Vec<Result<PutResult, Fault>>, Fault> {
        let mut keys = Vec::new();
        let mut writes = Vec::new();
        for (name, content, mode) in some {
            let key = self.key(&name)?;
            lock(&self.made).entry(key.to_string()).or_default();
            keys.push(key.to_string());
            let client = Arc::clone(&self.client);
            writes.push(async move {
                let options = PutOptions { mode, ..PutOptions::default() };
                client.remote.put_opts(&key, PutPayload::from(content), options).await
            });
        }
        let patient = patient(self.stop_check, LAST_WRITES);
        let answers = self.network.wait(&self.client.meter, &patient, join_all(writes))?;
        for (key, answer) in keys.into_iter().zip(&answers) {
            if let Ok(answer) = answer {
                lock(&self.made).insert(key, true);
                // Google numbers each write, whether it keeps what was there or not.
                *lock(&self.keeps_versions) |= self.scheme != Scheme::Gs && answer.version.is_some();
            }
        }
        Ok(answers.into_iter().map(|answer| answer.map_err(Fault::Store)).collect())
    }

    pub(super) fn put_if(&self, name: &str, content: &[u8], mode: PutMode) -> Result<PutResult, Fault> {
        let answers = self.put_each(vec![(name.to_owned(), content.to_vec(), mode)])?;
        answers.into_iter().next().unwrap_or(Err(Fault::Ended))
    }

    pub(super) fn put(&self, name: &str, content: &[u8]) -> Result<UpdateVersion, Fault> {
        self.put_if(name, content, PutMode::Overwrite).map(UpdateVersion::from)
    }

    pub(super) fn get(&self, name: &str) -> Result<Got, Fault> {
        self.get_if(name, None, None)
    }

    pub(super) fn get_if(&self, name: &str, tag: Option<String>, range: Option<Range<u64>>) -> Result<Got, Fault> {
        self.read(self.key(name)?, tag, range)
    }

    /// Reads any object of the bucket.
    pub(super) fn read(&self, key: Key, if_match: Option<String>, range: Option<Range<u64>>) -> Result<Got, Fault> {
        self.go_on()?;
        let client = Arc::clone(&self.client);
        self.wait(async move {
            let range = range.map(GetRange::Bounded);
            let found = client.remote.get_opts(&key, GetOptions { range, if_match, ..GetOptions::default() }).await?;
            let (stat, modified) = (stat_of(&found.meta)?, found.meta.last_modified.timestamp());
            if found.range.end.saturating_sub(found.range.start) > MOST_BYTES {
                return Err(limit(key.to_string(), "more bytes were sent than were asked for"));
            }
            Ok(Got { stat, modified, bytes: found.bytes().await?.into() })
        })?
    }

    /// Lists what lies in a folder of the place, in pages of this size.
    pub(super) fn list(&self, folder: &str, page: usize, after: Option<&str>) -> Result<Found, Fault> {
        self.go_on()?;
        let after = after.map(|name| format!("{}{name}", self.prefix));
        let prefix = format!("{}{folder}", self.prefix);
        let mut found = self.wait(pages(Arc::clone(&self.client), prefix, after, (page, MOST_PAGES)))??;
        for (key, _) in &mut found.keys {
            let name = key.strip_prefix(&self.prefix).map(str::to_owned);
            *key = name.ok_or_else(|| limit(self.prefix.clone(), "a listing has keys that lie elsewhere"))?;
        }
        Ok(found)
    }

    pub(super) fn delete(&self, name: &str) -> Result<(), Fault> {
        self.go_on()?;
        let (client, key) = (Arc::clone(&self.client), self.key(name)?);
        self.wait(async move { client.remote.delete(&key).await })?.map_err(Fault::Store)
    }

    /// Removes everything that was made, also after the word to stop, and says what may still be there.
    pub(super) fn clear(&self) -> Left {
        let made = std::mem::take(&mut *lock(&self.made));
        if made.is_empty() {
            return Left::default();
        }
        let patient = || patient(&always, LAST_STEPS);
        let list = || {
            let all = pages(Arc::clone(&self.client), self.prefix.clone(), None, (1_000, MOST_PAGES));
            self.network.wait(&self.client.meter, &patient(), all).and_then(|found| found)
        };
        let told = || made.iter().filter(|(_, is_told)| **is_told).map(|(key, _)| key.clone());
        let mut keys: BTreeSet<String> = made.keys().cloned().collect();
        if let Ok(found) = list() {
            keys.extend(found.keys.into_iter().map(|(key, _)| key));
        }
        let mut left: BTreeSet<String> = told().collect();
        let mut rest = keys.into_iter().filter_map(|key| Key::parse(&key).ok()).peekable();
        while rest.peek().is_some() {
            let removals = rest.by_ref().take(WRITERS).map(|key| {
                let client = Arc::clone(&self.client);
                async move {
                    let answer = client.remote.delete(&key).await;
                    (key.to_string(), matches!(answer, Ok(()) | Err(Error::NotFound { .. })))
                }
            });
            let removals = join_all(removals.collect::<Vec<_>>());
            // Who does not answer now does not later either: what was made stays, and is named.
            let Ok(answers) = self.network.wait(&self.client.meter, &patient(), removals) else { break };
            for (key, is_removed) in answers {
                if is_removed {
                    left.remove(&key);
                }
            }
        }
        if let Ok(found) = list() {
            left.extend(found.keys.into_iter().map(|(key, _)| key));
        }
        Left { count: left.len(), keys: left.into_iter().take(SHOWN).collect() }
    }
}

/// Lists a prefix in pages.
pub(super) async fn pages(
    client: Arc<Client>,
    prefix: String,
    after: Option<String>,
    (size, most): (usize, usize),
) -> Result<Found, Fault> {
    let mut found = Found { keys: Vec::new(), pages: 0 };
    let mut page_token = None;
    loop {
        let offset = if page_token.is_none() { after.clone() } else { None };
        let options = PaginatedListOptions { offset, page_token, max_keys: Some(size), ..Default::default() };
        let asked = Some(prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let page = client.remote.list_paginated(asked, options).await?;
        client.meter.arrived();
        found.pages += 1;
        for object in page.result.objects {
            let stat = stat_of(&object)?;
            found.keys.push((String::from(object.location), stat));
        }
        // As `listing.rs` has it.
        page_token = page.page_token.filter(|token| !token.is_empty());
        if page_token.is_none() {
            return Ok(found);
        }
        if found.pages >= most {
            return Err(limit(prefix, "it goes on and on"));
        }
    }
}

fn limit(what: String, limit: &str) -> Fault {
    Fault::Listed(StoreError::Limit { what, limit: limit.to_owned() })
}

/// The word to stop, taken at its word only after so many turns.
fn patient<'s>(stop_check: StopCheck<'s>, turns: u32) -> impl Fn() -> Result<(), Interrupted> + Sync + 's {
    let turn = AtomicU32::new(0);
    move || match stop_check() {
        Err(stop) if turn.fetch_add(1, Ordering::Relaxed) >= turns => Err(stop),
        Ok(()) | Err(_) => never_interrupted(),
    }
}

fn always() -> Result<(), Interrupted> {
    Err(Interrupted)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
