//! One scan of a source, which lists it and judges every file, and how the set that it found is stored.
//!
//! It must not know what follows from a set: whether a version is new, wanted or refused is decided elsewhere.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::time::Duration;

use super::content::{MOST_READ, Reading, Unread};
use super::evidence::{Before, Evidence, Told};
use super::format::{ask, endings_of};
use super::judge::{Age, Earlier, compare, judge};
use super::memory::{Doubt, Found, Memory, Reach, SOON};
use super::next_set::NextSet;
use super::packed::{Along, PackedFile, Packing};
use super::path_set::{Difference, in_order};
use super::skip::has_other_ending;
use super::version::wait_for;
use super::{
    Format, FormatError, LeftOut, Listed, Listing, Mounts, ObservedFile, PathSet, SourceLocation, SourcePath, Stat,
    StopCheck, Store, StoreError, never_interrupted,
};
use crate::core::vocabulary::{Missing, ObjectHash, Timestamp};
use crate::objects::Objects;
use crate::objects::tree::{self, TreeError};
use crate::worker::{SkipReason, Skipped, TrafficCounter};

/// What a scan is told.
pub struct ScanRequest<'a> {
    /// Where the files lie.
    pub store: &'a dyn Store,
    /// What is listed.
    pub source: &'a SourceLocation,
    /// The set that is compared with: what the last accepted observation found. An attempt compares with what is
    /// wanted, so that it comes to the same version if nothing has changed.
    pub known: Option<&'a PathSet>,
    /// The mounts that it was found on, if that is still known.
    pub mounts: Option<&'a Mounts>,
    /// If that is not known, whether what is weak is believed all the same, and not read.
    pub believes_unknown_mounts: bool,
    /// The only files that are judged, if not all of them are. Others are not read, and it is told that there are some.
    pub own: Option<&'a PathSet>,
    /// What the last commit was built from: a content that returns has its version again.
    pub applied: Option<&'a PathSet>,
    /// What says whether a file is finished; without it every file is.
    pub format: Option<&'a dyn Format>,
    /// What specs name it.
    pub format_name: &'a str,
    /// The wall clock when the scan begins.
    pub now: Timestamp,
    /// How many bytes may be read at most where the content of files decides.
    pub most_read: u64,
    /// How many bytes may be read beyond that, to hash the content of files before anything asks for it.
    pub hash_budget: u64,
    /// Counts what the listing sends over a wire.
    pub traffic: TrafficCounter,
    /// Asked between steps whether to go on.
    pub stop_check: StopCheck<'a>,
    /// Asked in its place between steps of the listing and between files, if there is one.
    pub list_check: Option<StopCheck<'a>>,
}

impl<'a> ScanRequest<'a> {
    /// A scan that knows nothing of the past, hashes nothing ahead, reads half a gibibyte at most and is not interrupted.
    #[must_use]
    pub fn new(store: &'a dyn Store, source: &'a SourceLocation, now: Timestamp) -> ScanRequest<'a> {
        let (known, mounts, own, applied, format) = (None, None, None, None, None);
        let (most_read, hash_budget, stop_check) = (MOST_READ, 0, &never_interrupted);
        ScanRequest {
            store,
            source,
            known,
            mounts,
            believes_unknown_mounts: false,
            own,
            applied,
            format,
            format_name: "",
            now,
            most_read,
            hash_budget,
            traffic: TrafficCounter::default(),
            stop_check,
            list_check: None,
        }
    }
}

/// What a file is, and not what it is called, leaves it out only if the last commit was not built from it: otherwise it
/// would pass for a file that was removed. One that had bytes when it was observed last is being rewritten. The ending of a
/// name is no rule of the user's, so it is not in the way of what was built before there was such a rule.
impl ScanRequest<'_> {
    /// Asked between steps of the listing and between files; not while one is read.
    fn between(&self) -> StopCheck<'_> {
        self.list_check.unwrap_or(self.stop_check)
    }

    fn no_data_yet(
        &self,
        path: &SourcePath,
        listed: &Stat,
        endings: &[&str],
    ) -> Result<Option<SkipReason>, StoreError> {
        // Nearly all files are neither: their sets are not searched.
        let may_be_unfinished = self.format.is_some() && listed.mtime.is_young(self.now);
        let is_other = has_other_ending(&path.0, endings);
        let is_in = |set: Option<&PathSet>| set.is_some_and(|set| set.has(path));
        if !(listed.size == 0 || may_be_unfinished || is_other) || is_in(self.applied) {
            return Ok(None);
        }
        if is_other {
            return Ok(Some(SkipReason::OtherEnding));
        }
        if listed.size == 0 {
            return Ok((!is_in(self.known)).then_some(SkipReason::Empty));
        }
        let Some(format) = self.format.filter(|_| listed.mtime.is_young(self.now)) else { return Ok(None) };
        let opened = self.store.open(self.source, path, listed).map_err(FormatError::Store);
        match opened.and_then(|file| ask(|| format.is_finished(file.as_ref()))) {
            Ok(false) | Err(FormatError::Store(StoreError::Moved { .. })) => Ok(Some(SkipReason::Unfinished)),
            // What cannot be read is for the attempt to name.
            Ok(true) | Err(FormatError::Store(_)) => Ok(None),
            Err(error) => Err(error.unanswered(self.format_name, path)),
        }
    }

    /// Takes out of a listing what is not to be judged. Whether some of it may be data.
    fn keep_own(&self, listing: &mut Listing) -> bool {
        if self.own.is_none() {
            return false;
        }
        let (mut own, mut has_others) = (along(self.own), false);
        listing.retain(|(path, stat)| {
            let is_own = own.at(&path.0).is_some();
            has_others |= !is_own && stat.size > 0;
            is_own
        });
        has_others
    }

    /// Whether the last commit was built from what a link led to that leads nowhere now: what is unknown is not removed.
    fn check_dead_link(&self, link: &SourcePath) -> Result<(), StoreError> {
        let below = [&link.0[..], b"/"].concat();
        let is_behind = |path: &[u8]| path == link.0 || path.starts_with(&below);
        match self.applied.is_some_and(|applied| applied.packed().iter().any(|held| is_behind(held.path))) {
            true => Err(StoreError::Unreadable {
                what: link.to_string(),
                source: io::Error::new(
                    io::ErrorKind::NotFound,
                    "the link leads nowhere, and what it led to is applied",
                ),
            }),
            false => Ok(()),
        }
    }
}

/// Sets of files are left out: they may be long.
impl fmt::Debug for ScanRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanRequest")
            .field("source", self.source)
            .field("now", &self.now)
            .field("most_read", &self.most_read)
            .field("hash_budget", &self.hash_budget)
            .finish_non_exhaustive()
    }
}

/// What one scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The observed version: the digest of the set.
    pub version: [u8; 32],
    /// The files.
    pub set: PathSet,
    /// The mounts that they lie on.
    pub mounts: Mounts,
    /// How many files are not proven, see [`PathSet::racy`], or not finished.
    pub racy: u64,
    /// How many files are believed by what `stat` says, though it tells nothing or somebody doubts it.
    pub weak: u64,
    /// When the next of those can be proven, by another scan.
    pub observe_again: Option<Duration>,
    /// What of the applied set is not there, and what came in its place; `None` without one.
    pub missing: Option<Missing>,
    /// What was left out.
    pub skipped: Skipped,
    /// There are files that were not judged; see [`ScanRequest::own`].
    pub has_others: bool,
}

/// Scans a source. `judge.rs` says how each file is judged.
///
/// # Errors
/// When it could not be listed as a whole, or what decides could not be read. What is unknown is never reported as
/// unchanged or empty.
pub fn scan(request: &ScanRequest<'_>) -> Result<Scan, StoreError> {
    let mut memory = Memory::of_one(request.mounts);
    memory.is_alone = !request.believes_unknown_mounts;
    scan_remembering(request, &mut memory)
}

/// A scan that goes on where the last one stopped.
pub(super) fn scan_remembering(request: &ScanRequest<'_>, memory: &mut Memory) -> Result<Scan, StoreError> {
    let Listed { files: mut listing, mounts, left_out } =
        request.store.list(request.source, request.between(), &request.traffic)?;
    in_order(&mut listing);
    memory.carried = std::mem::take(&mut memory.carried).on(&mounts);
    let found_last = memory.found.clone();
    let before = match &found_last {
        Some(found) => Before::On(&found.mounts),
        None if memory.is_alone => Before::Unknown,
        None => Before::Doubted,
    };
    let evidence = Evidence::of(&listing, &mounts, before);
    let has_others = request.keep_own(&mut listing);
    let OutOfIt { skipped, in_the_making, finished_in } = OutOfIt::of(request, left_out, &mut listing)?;
    let mut reading = Reading::new((request.store, request.source), request.stop_check, request.most_read);
    let judged = judge_all(request, memory, (&listing, &evidence), &mut reading)?;
    drop(listing);
    let (set, has_moved) = judged;
    if has_moved {
        memory.doubt(Reach::Known);
    }

    let mut changes = Vec::new();
    let (doubt, weak) = read_doubted(request, memory, (&set, &evidence), reading, &mut changes)?;
    learn(request, memory, &set, &mut changes)?;
    let set = set.with(changes);
    // Those of another file system are read ahead, at the pace of what nothing asks for.
    let soon = doubt.as_ref().filter(|doubt| doubt.reach != Reach::Known).map(|_| SOON);
    memory.doubt = doubt;
    drop(evidence);
    let version = set.digest();
    memory.finished(Found { version, mounts: mounts.clone() });
    Ok(Scan {
        version,
        racy: set.racy() + in_the_making,
        weak,
        observe_again: set.next_aged(request.now).into_iter().chain(finished_in).map(wait_for).chain(soon).min(),
        missing: request.applied.map(|applied| set.missing(applied)),
        mounts,
        skipped,
        set,
        has_others,
    })
}

/// What of a listing is no data, or not yet.
struct OutOfIt {
    skipped: Skipped,
    /// Files that may be data in a moment, and when the next of them is old enough to be judged.
    in_the_making: u64,
    finished_in: Option<Duration>,
}

impl OutOfIt {
    /// Takes it out of the listing.
    fn of(request: &ScanRequest<'_>, left_out: LeftOut, listing: &mut Listing) -> Result<OutOfIt, StoreError> {
        let LeftOut { mut skipped, dead_links } = left_out;
        for link in dead_links {
            request.check_dead_link(&link)?;
            skipped.add(SkipReason::DeadLink);
        }
        let format = request.format.filter(|_| !request.source.rules().has_include());
        let endings = format.map_or(Ok(&[][..]), |format| endings_of(format, request.format_name))?;
        let (mut in_the_making, mut finished_in, mut goes_on) = (0, None, Ok(()));
        listing.retain(|(path, listed)| {
            if goes_on.is_ok() {
                goes_on = (request.between())().map_err(StoreError::from);
            }
            if goes_on.is_err() {
                return true;
            }
            let reason = match request.no_data_yet(path, listed, endings) {
                Ok(Some(reason)) => reason,
                Ok(None) => return true,
                Err(error) => {
                    goes_on = Err(error);
                    return true;
                }
            };
            skipped.add(reason);
            // Also one without bytes, a moment ago.
            let may_become_data = reason != SkipReason::OtherEnding;
            if let Some(span) = listed.mtime.young_for(request.now).filter(|_| may_become_data) {
                in_the_making += 1;
                finished_in = finished_in.into_iter().chain([span]).min();
            }
            false
        });
        goes_on?;
        Ok(OutOfIt { skipped, in_the_making, finished_in })
    }
}

/// What a set holds of each path of a listing.
fn along(set: Option<&PathSet>) -> Along<'_> {
    Along::new(set.map(PathSet::packed))
}

/// Judges all files of a listing, and says whether one of them lies on another file system than it did.
fn judge_all(
    request: &ScanRequest<'_>,
    memory: &mut Memory,
    (listing, evidence): (&Listing, &Evidence<'_>),
    reading: &mut Reading<'_>,
) -> Result<(PathSet, bool), StoreError> {
    let (mut known, mut applied) = (along(request.known), along(request.applied));
    let is_one = request.known.zip(request.applied).is_some_and(|(known, applied)| known.is_same(applied));
    let (mut found, mut unread, mut has_moved) = (NextSet::new(listing, request.known), Vec::new(), false);
    for (path, stat) in listing {
        (request.between())()?;
        let held = known.at(&path.0);
        let before = held.map(|(_, held)| held.file());
        let was_applied = if is_one { before } else { applied.at(&path.0).map(|(_, held)| held.file()) };
        let learned = before.as_ref().and_then(|before| with_learned(before, memory, path));
        let earlier = Earlier { known: learned.as_ref().or(before.as_ref()), applied: was_applied.as_ref() };
        let told = Told { has_aged: memory.has_rested(path, stat, request.now), ..evidence.told(path, stat) };
        has_moved |= told.is_moved;
        let hash = &mut |age| match age {
            Age::Racy => reading.racy(path, stat),
            Age::Aged => reading.aged(&mut memory.carried, path, stat),
        };
        match judge((*stat, told), earlier, request.now, hash) {
            Ok(file) => match held.filter(|_| before == Some(file)) {
                Some(held) => found.add_known(held),
                None => found.packing().add(&path.0, &file),
            },
            Err(Unread::Unfinished) => unread.push((path.clone(), *stat)),
            Err(Unread::Interrupted) => return Err(StoreError::Interrupted),
            Err(Unread::Failed(error)) => return Err(error),
        }
    }
    if unread.is_empty() { Ok((found.into_set(), has_moved)) } else { Err(memory.unfinished(unread, request.now)) }
}

/// What is known of a file, with the content that was read while something was built from it.
fn with_learned(known: &ObservedFile, memory: &Memory, path: &super::SourcePath) -> Option<ObservedFile> {
    let (stat, content) = memory.learned.get(path)?;
    (known.content.is_none() && known.last_stat == *stat).then_some(ObservedFile { content: Some(*content), ..*known })
}

/// Reads what is doubted, as far as it may, and says what of it is left and how many files are believed until then.
fn read_doubted<'a>(
    request: &ScanRequest<'a>,
    memory: &mut Memory,
    (set, evidence): (&PathSet, &Evidence<'_>),
    mut reading: Reading<'a>,
    changes: &mut Vec<(usize, ObservedFile)>,
) -> Result<(Option<Doubt>, u64), StoreError> {
    let Some(Doubt { from, reach }) = memory.doubt.clone() else { return Ok((None, 0)) };
    if reach == Reach::Known {
        reading = Reading::new((request.store, request.source), request.stop_check, request.hash_budget);
    }
    let (mut applied, mut left, mut weak) = (along(request.applied), None, 0);
    for (at, held) in set.packed().iter().enumerate() {
        let (path, file) = (held.source_path(), held.file());

        let is_doubted = match reach {
            Reach::Weak => evidence.told(&path, &file.last_stat).is_weak,
            Reach::Known => file.content.is_some(),
            // The store says of a strong tag that it stands for the bytes, and every read is fenced by it.
            Reach::All => !file.last_stat.tag.is_strong(),
        };
        if path < from || !is_doubted || file.racy_since.is_some() {
            continue;
        }
        weak += 1;
        if left.is_some() {
            continue;
        }
        (request.between())()?;
        match reading.aged(&mut memory.carried, &path, &file.last_stat) {
            Ok(found) => {
                weak -= 1;
                let applied = applied.at(held.path).map(|(_, held)| held.file());
                let read = compare(&file, applied.as_ref(), request.now, found);
                if read != file {
                    changes.push((at, read));
                }
            }
            Err(Unread::Unfinished) => left = Some(Doubt { from: path, reach }),
            Err(Unread::Interrupted) => return Err(StoreError::Interrupted),
            Err(Unread::Failed(error)) => return Err(error),
        }
    }
    Ok((left, weak))
}

/// Reads files whose content nothing has asked for: what was not read to its end by the last look, what has changed, and
/// then the others.
fn learn(
    request: &ScanRequest<'_>,
    memory: &mut Memory,
    set: &PathSet,
    changes: &mut Vec<(usize, ObservedFile)>,
) -> Result<(), StoreError> {
    let mut reading = Reading::new((request.store, request.source), request.stop_check, request.hash_budget);
    if reading.is_over() {
        return Ok(());
    }
    let files = set.packed();
    let begun = memory.carried.begun_ahead().and_then(|path| files.find(&path.0).ok());
    let is_decided = |file: &ObservedFile| file.last_stat.tag.is_strong() || file.racy_since.is_some();
    let unknown = |file: &ObservedFile| file.content.is_none() && !is_decided(file);
    let places = || files.iter().enumerate().filter(|(_, held)| unknown(&held.file()));
    let mut known = along(request.known);
    let mut is_changed = |held: PackedFile<'_>| {
        known.at(held.path).is_some_and(|(_, known)| known.value != held.value && known.version() != held.version())
    };
    let changed: Vec<_> = places().filter(|(_, held)| is_changed(*held)).map(|(at, _)| at).collect();
    // What was doubted is known by now.
    let mut seen: BTreeSet<usize> = changes.iter().map(|(at, _)| *at).collect();
    for at in begun.into_iter().chain(changed).chain(places().map(|(at, _)| at)) {
        if reading.is_over() {
            break;
        }
        let Some(held) = files.at(at) else { continue };
        let (path, file) = (held.source_path(), held.file());
        if !unknown(&file) {
            continue;
        }
        if !seen.insert(at) {
            continue;
        }
        (request.between())()?;
        match reading.ahead(&mut memory.carried, &path, &file.last_stat) {
            Ok(content) => changes.extend(content.map(|content| (at, ObservedFile { content: Some(content), ..file }))),
            Err(Unread::Unfinished) => break,
            Err(Unread::Interrupted) => return Err(StoreError::Interrupted),
            // Nothing depends on it yet.
            Err(Unread::Failed(_)) => {}
        }
    }
    Ok(())
}

/// A path set that is durable, and how it differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSet {
    /// The tree of the set.
    pub root: ObjectHash,
    /// How many files it has.
    pub files: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// How it differs from the set before.
    pub difference: Difference,
}

/// Stores a path set and compares it with an earlier one. One changed file of ten thousand writes a few small
/// objects. Without an earlier set every file counts as added.
///
/// # Errors
/// When the set cannot be made durable.
pub fn store_set(objects: &dyn Objects, set: &PathSet, previous: Option<&PathSet>) -> Result<StoredSet, TreeError> {
    let mut writer = tree::TreeWriter::new(objects);
    set.packed().iter().try_for_each(|held| writer.push(held.path, held.value))?;
    let root = writer.finish()?;
    let difference = previous
        .map(|previous| set.difference(previous))
        .unwrap_or(Difference { added: root.entries, ..Difference::default() });
    Ok(StoredSet { root: root.hash, files: root.entries, bytes: set.bytes(), difference })
}

/// Reads a path set back.
///
/// # Errors
/// When an object is missing or damaged, or the tree is not one of a path set.
pub fn load_set(objects: &dyn Objects, root: ObjectHash) -> Result<PathSet, TreeError> {
    let malformed = |problem| TreeError::Malformed { hash: root, problem };
    let mut packing = Packing::default();
    for entry in tree::read(objects, root) {
        let (path, file) = PathSet::from_entry(entry?).map_err(malformed)?;
        packing.add(&path.0, &file);
    }
    Ok(PathSet::of(packing.done()))
}
