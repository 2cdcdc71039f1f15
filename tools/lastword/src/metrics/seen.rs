//! What is read for one scrape: the engine's counters, its collections, and what lies in the directory of the log.
//!
//! Neither a fleet of many collections nor a disk that hangs makes a scrape a burden: collections are listed in pages, and
//! for most of the time not at all; the disk is read by a thread of its own, one at a time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lastword::Handle;
use lastword::core::{Lag, Pending};
use lastword::engine::{CollectionStatus, Stats};
use lastword::snapshot::Snapshots;

use crate::console::printable;
use crate::fail::Fail;
use crate::status::CONDITIONS;

/// Collections in one question to the engine: some milliseconds of its time.
const PAGE: usize = 500;

/// Nine tenths of the time are left to the work: a list that took a second is good for nine.
const REST: u32 = 9;

/// Collections that are named: as many as a person looks at. A name is a series of its own wherever it is kept.
pub(super) const NAMED: usize = 20;

/// The bounds of the histogram of lags, in seconds: from a second to a week.
pub(super) const LAGS: [u32; 10] = [1, 5, 30, 60, 300, 1800, 3600, 21_600, 86_400, 604_800];

/// How long a scrape waits for the disk. What is not there by then is left out.
const DISK_WITHIN: Duration = Duration::from_secs(1);

/// Directories below that of the storage engine; it has one.
const MOST_DEPTH: usize = 4;

/// All that the table reads from.
pub(super) struct Seen<'a> {
    pub(super) stats: Stats,
    /// When the run opened its log.
    pub(super) opened: SystemTime,
    pub(super) fleet: &'a Fleet,
    /// Nothing while the disk does not answer.
    pub(super) log: Option<LogFiles>,
}

/// A collection that is named.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// As it is shown: what misleads a reader is written out.
    pub(super) name: String,
    pub(super) condition: &'static str,
    /// In seconds; 0 where it does not count.
    pub(super) lag: f64,
}

/// What all collections add up to, and those that stand out.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// By condition.
    pub(super) conditions: BTreeMap<&'static str, u64>,
    /// How many lags are within each of [`LAGS`], those of the bounds before included.
    pub(super) within: [u64; LAGS.len()],
    pub(super) lags: u64,
    pub(super) lag_sum: f64,
    /// Collections whose lag is not known.
    pub(super) unknown: u64,
    /// Those that are furthest behind, [`NAMED`] at most.
    pub(super) worst: Vec<Named>,
    /// Those that need somebody, by name, [`NAMED`] at most.
    pub(super) stuck: Vec<Named>,
    /// When the list came to its end, and how long it took.
    listed: Option<(Instant, Duration)>,
}

impl Fleet {
    /// Lists the collections, unless that was done just now for what it costs.
    pub(super) fn read(&mut self, handle: &Handle) -> Result<(), Fail> {
        if self.listed.is_some_and(|(at, took)| at.elapsed() < took.saturating_mul(REST)) {
            return Ok(());
        }
        let begun = Instant::now();
        let (mut fleet, mut after) = (Fleet::new(), None);
        loop {
            let page = handle.list_page(after, PAGE)?;
            page.iter().for_each(|status| fleet.add(status));
            after = page.last().map(|last| last.view.id);
            if page.len() < PAGE {
                break;
            }
        }
        *self = Fleet { listed: Some((Instant::now(), begun.elapsed())), ..fleet };
        Ok(())
    }

    /// How old the list is.
    pub(super) fn age(&self) -> Duration {
        self.listed.map_or(Duration::ZERO, |(at, _)| at.elapsed())
    }

    /// Without a collection.
    pub(super) fn new() -> Fleet {
        // Each has a number, so that none is missing before the first is in it. The last word is none of the engine's.
        let engine = CONDITIONS.iter().filter(|condition| **condition != "unmanaged");
        Fleet { conditions: engine.map(|condition| (*condition, 0)).collect(), ..Fleet::default() }
    }

    fn add(&mut self, status: &CollectionStatus) {
        let view = &status.view;
        let condition = view.condition.name();
        *self.conditions.entry(condition).or_default() += 1;
        let lag = known_lag(status);
        let named = || Named { name: printable(view.name.as_str()), condition, lag: lag.unwrap_or(0.0) };
        match lag {
            Some(lag) => {
                self.lags += 1;
                self.lag_sum += lag;
                let within = self.within.iter_mut().zip(LAGS);
                within.filter(|(_, bound)| lag <= f64::from(*bound)).for_each(|(count, _)| *count += 1);
            }
            None => self.unknown += 1,
        }
        if lag.is_some_and(|lag| lag > 0.0) {
            keep(&mut self.worst, named(), |a, b| b.lag.total_cmp(&a.lag).then_with(|| a.name.cmp(&b.name)));
        }
        if needs_somebody(status) {
            keep(&mut self.stuck, named(), |a, b| a.name.cmp(&b.name));
        }
    }
}

/// Puts one in its place among the first [`NAMED`].
fn keep(kept: &mut Vec<Named>, named: Named, order: impl Fn(&Named, &Named) -> std::cmp::Ordering) {
    let place = kept.partition_point(|other| order(other, &named).is_le());
    if place < NAMED {
        kept.insert(place, named);
        kept.truncate(NAMED);
    }
}

/// How far it is behind, in seconds. What nobody has looked at since the run began may be behind whatever the log says.
fn known_lag(status: &CollectionStatus) -> Option<f64> {
    let view = &status.view;
    let is_seen = status.last_observation.is_some() || !view.versioned;
    match view.lag {
        Lag::Zero if !is_seen || view.not_observed.is_some() => None,
        lag => lag.seconds(),
    }
}

/// Whether it waits for a person, as `lastword status` puts it first.
fn needs_somebody(status: &CollectionStatus) -> bool {
    let view = &status.view;
    let conditions = ["parked", "held", "no_worker", "awaiting_caller", "unobservable", "not_observed", "failing"];
    conditions.contains(&view.condition.name())
        || view.unobservable.is_some()
        || view.not_observed.is_some()
        || matches!(view.pending, Some(Pending::Held { .. }))
        || status.workers_exhausted
        || status.deliveries_exhausted
        || status.undeliverable
}

/// What lies in the directory of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogFiles {
    /// Of the files of the storage engine that holds the frames.
    pub(super) bytes: u64,
    /// The last event of the newest snapshot, and when it was recorded, in seconds since 1970.
    pub(super) snapshot: Option<(u64, f64)>,
}

/// Reads the directory of a log. One that does not answer holds one thread, however often it is asked.
pub(super) struct Disk {
    state: PathBuf,
    asked: Option<Receiver<Option<LogFiles>>>,
}

impl Disk {
    pub(super) fn new(state: &Path) -> Disk {
        Disk { state: state.to_owned(), asked: None }
    }

    pub(super) fn read(&mut self) -> Option<LogFiles> {
        let answer = match self.asked.take() {
            Some(asked) => asked,
            None => {
                let (sender, answer) = sync_channel(1);
                let state = self.state.clone();
                let look = move || {
                    let _ = sender.send(files(&state).ok());
                };
                thread::Builder::new().name("lastword-metrics".to_owned()).spawn(look).ok()?;
                answer
            }
        };
        match answer.recv_timeout(DISK_WITHIN) {
            Ok(found) => found,
            Err(RecvTimeoutError::Timeout) => {
                self.asked = Some(answer);
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

fn files(state: &Path) -> io::Result<LogFiles> {
    let snapshots = Snapshots::of_log(state);
    let newest = snapshots.list().ok().and_then(|all| all.first().copied());
    let header = newest.and_then(|seq| snapshots.header(seq).ok());
    let snapshot = header.map(|header| (header.position.seq.0, Duration::from_micros(header.time.0).as_secs_f64()));
    Ok(LogFiles { bytes: size(&state.join("sled"), MOST_DEPTH)?, snapshot })
}

/// A file may go while they are counted.
fn size(directory: &Path, depth: usize) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let Ok(entry) = entry else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += match metadata.is_dir() {
            true if depth > 0 => size(&entry.path(), depth - 1).unwrap_or(0),
            true => 0,
            false => metadata.len(),
        };
    }
    Ok(bytes)
}

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
