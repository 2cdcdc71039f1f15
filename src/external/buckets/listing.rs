//! Listing a prefix of a bucket: pages, in several lanes at once, in order. It is whole or an error.
//!
//! Lanes are cut at keys of the last listing: each lists what lies between two of them. A store that lists in another order
//! than that of the keys' bytes (directory buckets), or does not begin where it is told to, is noticed by its first page
//! and listed in one lane from then on; order is made here in any case.

use std::borrow::Borrow;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join_all;
use object_store::list::PaginatedListOptions;

use super::answer::Answered;
use super::client::Client;
use super::fault::Fault;
use super::key;
use super::meter::counted;
use super::network::Network;
use super::progress::Progress;
use super::stat::stat_of;
use crate::external::skip::{Named, Rules, parts};
use crate::external::store::{MAX_FILES, MAX_PATH_BYTES};
use crate::external::wire::{Reader, Writer};
use crate::external::{BucketPrefix, LeftOut, Listing, SourcePath, Stat, StopCheck, StoreError};
use crate::worker::{SkipReason, TrafficCounter};

/// Lanes of one listing. A page takes a store about as long as hundreds of small requests, and several at once are what it
/// is made for; more of them only wait for this machine to parse.
const LANES: usize = 8;

/// Keys that one lane lists alone without being slow: some pages.
const ENOUGH: usize = 4_000;

/// Where the next listing of a prefix is cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    /// Keys of the last listing, in ascending order.
    cuts: Arc<Vec<String>>,
    /// The store does not list in the order of the bytes.
    is_unordered: bool,
}

impl Lanes {
    /// Lanes of about equal numbers of keys.
    pub(super) fn of(prefix: &str, files: &[(SourcePath, Stat)], is_unordered: bool) -> Lanes {
        let lanes = (files.len() / ENOUGH).min(LANES);
        let cut = |lane: usize| files.get(lane * files.len() / lanes).map(|(path, _)| path);
        let key = |path: &SourcePath| std::str::from_utf8(&path.0).ok().map(|path| format!("{prefix}{path}"));
        let cuts = (1..lanes).filter_map(cut).filter_map(key).collect();
        Lanes { cuts: Arc::new(cuts), is_unordered }
    }

    /// Behind which key each begins, and up to which, itself included, it goes.
    fn ranges(&self) -> Vec<(Option<String>, Bound<String>)> {
        let begin = std::iter::once(None).chain(self.cuts.iter().cloned().map(Some));
        let end = self.cuts.iter().cloned().map(Bound::Included).chain([Bound::Unbounded]);
        begin.zip(end).collect()
    }
}

/// How a lane ended.
enum Lane {
    Listed(Vec<Page>),
    Unordered,
}

/// Keys of a page with what is said of them, packed. A million of them wait for the last page, and are unpacked one page
/// after the other, so that most keys are there once.
#[derive(Default)]
pub(super) struct Page {
    keys: usize,
    bytes: Vec<u8>,
}

impl Page {
    fn add(&mut self, key: &str, stat: &Stat) {
        let mut bytes = Writer(std::mem::take(&mut self.bytes));
        bytes.bytes(key.as_bytes());
        stat.write(&mut bytes);
        (self.keys, self.bytes) = (self.keys + 1, bytes.0);
    }

    fn unpack(&self, mut each: impl FnMut(&str, Stat) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut rest = Reader(&self.bytes);
        let mut next = || Some((std::str::from_utf8(rest.bytes().ok()?).ok()?, Stat::read(&mut rest, true).ok()?));
        for _ in 0..self.keys {
            let Some((key, stat)) = next() else {
                // What was packed here is always unpacked; if it is not, the listing is not whole.
                let source = io::Error::new(io::ErrorKind::InvalidData, "a page of the listing is not whole");
                return Err(StoreError::Unreadable { what: "the listing".to_owned(), source });
            };
            each(key, stat)?;
        }
        Ok(())
    }
}

/// What a store names below a prefix, before any rule of a source.
pub(super) struct Raw {
    pub(super) pages: Vec<Page>,
    pub(super) is_unordered: bool,
}

impl Raw {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.pages.iter().map(|page| page.keys).sum()
    }
}

/// Asks for all keys below a prefix.
pub(super) fn list(
    network: &Network,
    client: &Arc<Client>,
    prefix: &BucketPrefix,
    (lanes, traffic): (Lanes, &TrafficCounter),
    stop_check: StopCheck<'_>,
) -> Result<Raw, Fault> {
    let mut is_unordered = lanes.is_unordered;
    let run = |ranges| {
        let work = counted(traffic.clone(), in_lanes(Arc::clone(client), prefix.clone(), ranges));
        network.wait(&client.meter, stop_check, work)?
    };
    let mut found = None;
    if !is_unordered {
        let ranges = lanes.ranges();
        let is_one = ranges.len() == 1;
        match run(ranges) {
            Ok(listed) => {
                is_unordered = listed.is_none();
                found = listed;
            }
            // Which of several lanes is the first to come upon something wrong differs from look to look, and what is said
            // must not: one lane comes upon what is first.
            Err(fault) if fault.is_of_page() && !is_one => {}
            Err(fault) => return Err(fault),
        }
    }
    let pages = match found {
        Some(pages) => pages,
        None => run(Vec::new())?.unwrap_or_default(),
    };
    Ok(Raw { pages, is_unordered })
}

/// What of it is a source's, by its rules, and where the next listing of it is cut. Pages that are given away go one by one,
/// so that most keys are there once.
pub(super) fn read(
    (prefix, rules): (&BucketPrefix, &Rules),
    is_unordered: bool,
    (room, pages): (usize, impl IntoIterator<Item = impl Borrow<Page>>),
    is_own: impl Fn(&str) -> bool,
) -> Result<(Listing, LeftOut, Lanes), StoreError> {
    let mut below = Below::new(prefix, rules);
    below.files.reserve_exact(room);
    for page in pages {
        page.borrow().unpack(|key, stat| if is_own(key) { below.add(key, stat) } else { Ok(()) })?;
    }
    let Below { mut files, left_out, .. } = below;
    files.shrink_to_fit();
    // What is listed twice is there once.
    files.sort_unstable_by(|(a, left), (b, right)| (a, right.size).cmp(&(b, left.size)));
    files.dedup_by(|later, earlier| later.0 == earlier.0);
    let next = Lanes::of(prefix.prefix(), &files, is_unordered);
    Ok((files, left_out, next))
}

/// Pages of all lanes, one after the other. Without ranges there is one lane, and its order is not looked at.
async fn in_lanes(
    client: Arc<Client>,
    prefix: BucketPrefix,
    ranges: Vec<(Option<String>, Bound<String>)>,
) -> Result<Option<Vec<Page>>, Fault> {
    let count = AtomicUsize::new(0);
    let in_order = !ranges.is_empty();
    let ranges = if in_order { ranges } else { vec![(None, Bound::Unbounded)] };
    let lanes = ranges.into_iter().map(|range| lane(&client, &prefix, range, in_order, &count));
    let mut pages = Vec::new();
    for lane in try_join_all(lanes).await? {
        match lane {
            Lane::Listed(listed) => pages.extend(listed),
            Lane::Unordered => return Ok(None),
        }
    }
    Ok(Some(pages))
}

async fn lane(
    client: &Client,
    prefix: &BucketPrefix,
    (after, until): (Option<String>, Bound<String>),
    in_order: bool,
    count: &AtomicUsize,
) -> Result<Lane, Fault> {
    let (mut pages, mut last, mut page_token) = (Vec::new(), after.clone(), None);
    let mut progress = Progress::default();
    let asked = Some(prefix.prefix()).filter(|prefix| !prefix.is_empty());
    loop {
        let offset = if page_token.is_none() { after.clone() } else { None };
        let options = PaginatedListOptions { offset, page_token, ..PaginatedListOptions::default() };
        let page = client.remote.list_paginated(asked, options).await?;
        client.meter.arrived();
        let answered = answered(prefix, page.result.extensions.get::<Answered>())?;
        // A page that tells of none is the last one.
        page_token = page.page_token.filter(|token| !token.is_empty());
        progress.heard(answered.keys.first(), page_token.as_ref())?;
        let mut keys = answered.keys.iter();
        let mut listed = Page::default();
        for found in page.result.objects {
            let stat = stat_of(&found)?;
            // What the crate leaves out, as directories of Azure, is passed over.
            let Some(key) = keys.find(|key| key::is_written(key, found.location.as_ref())) else {
                return Err(Fault::Page("a page of its listing was read in two ways, a bug".to_owned()));
            };
            if in_order {
                if last.as_ref().is_some_and(|last| key < last) {
                    return Ok(Lane::Unordered);
                }
                if let Bound::Included(until) = &until
                    && key > until
                {
                    pages.push(listed);
                    return Ok(Lane::Listed(pages));
                }
            }
            if count.fetch_add(1, Ordering::Relaxed) >= MAX_FILES {
                let limit = format!("a source has at most {MAX_FILES} objects");
                return Err(StoreError::Limit { what: prefix.to_string(), limit }.into());
            }
            listed.add(key, &stat);
            last = Some(key.clone());
        }
        listed.bytes.shrink_to_fit();
        pages.push(listed);
        if page_token.is_none() {
            return Ok(Lane::Listed(pages));
        }
    }
}

/// What a page says, if it is one of what was asked for and its keys can be told apart here.
fn answered<'a>(prefix: &BucketPrefix, answered: Option<&'a Answered>) -> Result<&'a Answered, Fault> {
    let Some(answered) = answered else {
        return Err(Fault::Page("a page of its listing was not looked at, a bug".to_owned()));
    };
    if let Some(key) = answered.keys.iter().find(|key| !key.starts_with(prefix.prefix())) {
        return Err(Fault::Page(key::beside(key)));
    }
    if let Some(key) = answered.keys.iter().find(|key| key.starts_with('/')) {
        return Err(Fault::Page(key::unnameable(key)));
    }
    match &answered.slashed {
        Some(key) => Err(Fault::Page(key::slashed(key))),
        None => Ok(answered),
    }
}

/// What lies below a prefix, by the rules of its source.
struct Below<'a> {
    prefix: &'a BucketPrefix,
    rules: &'a Rules,
    files: Listing,
    left_out: LeftOut,
    /// The directory that was skipped last: what lies in it is counted as one, as it is in a file system.
    skipped: Option<Vec<u8>>,
}

impl<'a> Below<'a> {
    fn new(prefix: &'a BucketPrefix, rules: &'a Rules) -> Below<'a> {
        Below { prefix, rules, files: Vec::new(), left_out: LeftOut::default(), skipped: None }
    }

    fn add(&mut self, key: &str, stat: Stat) -> Result<(), StoreError> {
        let Some(path) = key.strip_prefix(self.prefix.prefix()).filter(|path| !path.is_empty()) else {
            // The object that stands for the prefix itself.
            self.left_out.skipped.add(SkipReason::Marker);
            return Ok(());
        };
        let path = path.as_bytes();
        if path.len() > MAX_PATH_BYTES {
            let limit = format!("a key relative to the source has at most {MAX_PATH_BYTES} bytes");
            return Err(StoreError::Limit { what: self.prefix.to_string(), limit });
        }
        if self.skipped.as_ref().is_some_and(|skipped| path.starts_with(skipped)) {
            return Ok(());
        }
        if path.ends_with(b"/") {
            // It has no bytes, and stands for a directory.
            self.left_out.skipped.add(SkipReason::Marker);
            return Ok(());
        }
        for part in parts(path) {
            let is_whole = part.len() == path.len();
            let reason = match self.rules.named(part) {
                Named::Data => continue,
                Named::Skipped(reason) => reason,
                // Iceberg is known by an object, the others by a directory.
                Named::Table(format, _) if part.ends_with(b".json") == is_whole => {
                    return Err(self.table(format, part));
                }
                Named::Table(_, Some(reason)) => reason,
                Named::Table(_, None) => continue,
            };
            self.left_out.skipped.add(reason);
            if !is_whole {
                self.skipped = path.get(..=part.len()).map(<[u8]>::to_vec);
            }
            return Ok(());
        }
        if self.rules.includes(path) {
            self.files.push((SourcePath(path.to_vec()), stat));
        } else {
            self.left_out.skipped.add(SkipReason::NotIncluded);
        }
        Ok(())
    }

    fn table(&self, format: &'static str, mark: &[u8]) -> StoreError {
        let levels = if mark.ends_with(b".json") { 2 } else { 1 };
        let mut ends = mark.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let place = ends.nth(levels - 1).and_then(|at| mark.get(..at)).unwrap_or_default();
        let what = format!("{}{}", self.prefix, SourcePath(place.to_vec()));
        StoreError::Table { what, format, mark: SourcePath(mark.to_vec()) }
    }
}
