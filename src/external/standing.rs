//! What stands of the last manifest when little has changed: it is read once, in order, and compared with the set of files
//! where it lies. Only segments of which a fragment is gone or another one are unpacked, only files that the manifest does not
//! know are cut, and only what differs of the manifest is written.
//!
//! The plan that comes of it is the one of [`plan`](super::plan), and so is the manifest, byte for byte. Whatever is not plain
//! here is left to that: another layout or spec, an object that cannot be read, a manifest that is none, a gathering of small
//! segments.
//!
//! What is named and not stored again is there for as long as the attempt may commit: the manifest is the one of what is
//! applied, and is until that commit.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::{header_entry, read_header, read_id, read_segment, segment_entry, segment_key};
use super::packed::Packed;
use super::segments::{KeyMaker, MAX_OUTPUT_BYTES, MAX_SMALL, pack};
use super::wire::Reader;
use super::{
    ExternalSpec, FileVersion, Fragment, Interrupted, Layout, PathSet, Plan, Segment, SegmentId, SegmentKey,
    SourcePath, StopCheck, check,
};
use crate::core::vocabulary::ObjectHash;
use crate::objects::Objects;
use crate::objects::tree::{self, Root, TreeError};

/// What stands of a manifest.
pub(super) struct Standing {
    root: ObjectHash,
    layout: Layout,
    /// Of all its segments.
    all: Sum,
    /// The greatest id of them.
    last: Option<SegmentId>,
    /// Those that stay as they are, and how many of them are small.
    kept: Sum,
    small: usize,
    /// Those that do not, in ascending order of their ids.
    broken: Vec<Segment>,
    /// Files whose fragments it knows, with all of these.
    files: usize,
    known: Sum,
    /// All other files.
    fresh: PathSet,
}

/// Counts segments or files, and what is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    segments: u64,
    fragments: u64,
    rows: u64,
}

impl Sum {
    fn of<'s>(segments: impl IntoIterator<Item = &'s Segment>) -> Option<Sum> {
        segments.into_iter().try_fold(Sum::default(), |sum, segment| {
            sum.plus(Sum { segments: 1, fragments: segment.fragments.len() as u64, rows: segment.rows })
        })
    }

    fn plus(self, more: Sum) -> Option<Sum> {
        Some(Sum {
            segments: self.segments.checked_add(more.segments)?,
            fragments: self.fragments.checked_add(more.fragments)?,
            rows: self.rows.checked_add(more.rows)?,
        })
    }

    fn minus(self, less: Sum) -> Option<Sum> {
        Some(Sum {
            segments: self.segments.checked_sub(less.segments)?,
            fragments: self.fragments.checked_sub(less.fragments)?,
            rows: self.rows.checked_sub(less.rows)?,
        })
    }
}

/// Why it is not told what stands.
enum Stop {
    /// It is left to the plan of the whole.
    Unclear,
    Interrupted,
}

impl From<TreeError> for Stop {
    fn from(_: TreeError) -> Stop {
        Stop::Unclear
    }
}

impl From<&'static str> for Stop {
    fn from(_: &'static str) -> Stop {
        Stop::Unclear
    }
}

impl From<Interrupted> for Stop {
    fn from(_: Interrupted) -> Stop {
        Stop::Interrupted
    }
}

impl Standing {
    /// Compares the manifest `root` with the files of `own`. Nothing if that is left to the plan of the whole.
    pub(super) fn find(
        objects: &dyn Objects,
        root: ObjectHash,
        spec: &ExternalSpec,
        own: &PathSet,
        stop_check: StopCheck<'_>,
    ) -> Result<Option<Standing>, Interrupted> {
        let mut comparing = Comparing::new(spec, own.packed(), stop_check);
        let compared = tree::visit(objects, root, &mut |key, value| comparing.entry(key, value));
        match compared.and_then(|()| comparing.done(root, own)) {
            Ok(standing) => Ok(Some(standing)),
            Err(Stop::Unclear) => Ok(None),
            Err(Stop::Interrupted) => Err(Interrupted),
        }
    }

    /// The files whose fragments are not known.
    pub(super) fn fresh(&self) -> &PathSet {
        &self.fresh
    }

    /// How many others there are.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    /// How many segments stay as they are, beside those that a plan keeps.
    pub(super) fn kept(&self) -> u64 {
        self.kept.segments
    }

    /// Plans what does not stand, given the fragments of all files that are not known. What it keeps are those that come out
    /// again.
    pub(super) fn plan(&mut self, spec: &ExternalSpec, own: &PathSet, fresh: Vec<Fragment>) -> Option<Plan> {
        let rows = fresh.iter().try_fold(0_u64, |sum, fragment| sum.checked_add(fragment.rows()))?;
        self.known = self.known.plus(Sum { segments: 0, fragments: fresh.len() as u64, rows })?;
        let known: BTreeSet<&SourcePath> = self.fragments().map(|fragment| &fragment.path).collect();
        let adds = fresh.iter().any(|fragment| !known.contains(&fragment.path));
        if adds && self.small > MAX_SMALL {
            return None;
        }
        let mut loose = fresh;
        loose.extend(self.fragments().filter(|fragment| is_in(own, fragment)).cloned());
        Some(pack(&KeyMaker::new(spec), self.layout, std::mem::take(&mut self.broken), loose))
    }

    /// The fragments of what does not stand.
    fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        self.broken.iter().flat_map(|segment| &segment.fragments)
    }

    /// Writes the manifest that has these segments instead of those that are dropped, and says how many rows it has.
    /// When this returns it is durable.
    ///
    /// # Errors
    /// When the store fails; or what is wrong with the segments, a bug.
    pub(super) fn write(
        &self,
        objects: &dyn Objects,
        dropped: &[Segment],
        new: &[Segment],
    ) -> Result<Result<(Root, u64), String>, TreeError> {
        let sum = match self.checked(objects, dropped, new)? {
            Ok(sum) => sum,
            Err(problem) => return Ok(Err(problem)),
        };
        let (header, value) = header_entry(self.layout, sum.segments, sum.rows);
        let mut changes = BTreeMap::from([(header, Some(value))]);
        changes.extend(dropped.iter().map(|segment| (segment_key(segment.id), None)));
        changes.extend(new.iter().map(segment_entry).map(|(key, value)| (key, Some(value))));
        Ok(Ok((tree::edit(objects, self.root, changes)?, sum.rows)))
    }

    /// Checks of the segments that will be what [`check`] does, with what is known of those that stay: that the new ones are
    /// such, that their ids are new, and that all together hold what the files have.
    fn checked(
        &self,
        objects: &dyn Objects,
        dropped: &[Segment],
        new: &[Segment],
    ) -> Result<Result<Sum, String>, TreeError> {
        if let Err(problem) = check(new) {
            return Ok(Err(problem));
        }
        for id in new.iter().map(|segment| segment.id).filter(|id| self.last.is_some_and(|last| *id <= last)) {
            if tree::get(objects, self.root, &segment_key(id))?.is_some() {
                return Ok(Err(format!("two segments have the id {id}")));
            }
        }
        let sum = || self.all.minus(Sum::of(dropped)?)?.plus(Sum::of(new)?);
        let sum = sum().filter(|sum| (sum.fragments, sum.rows) == (self.known.fragments, self.known.rows));
        Ok(sum.ok_or_else(|| "its segments do not hold what the files have".to_owned()))
    }
}

/// Whether a file has the version that a fragment is of.
fn is_in(own: &PathSet, fragment: &Fragment) -> bool {
    own.get(&fragment.path).is_some_and(|file| file.version == fragment.version)
}

/// A range of rows of a file, by the place of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    file: u32,
    start: u64,
    end: u64,
}

/// A fragment where it lies.
struct Lying<'b> {
    path: &'b [u8],
    start: u64,
    end: u64,
    /// The place of its file, if that has the same version still.
    file: Option<u32>,
}

/// A comparison that is under way.
struct Comparing<'a> {
    own: &'a Packed,
    layout: Layout,
    keys: KeyMaker,
    stop_check: StopCheck<'a>,
    /// What the header says: segments and rows.
    header: Option<(u64, u64)>,
    all: Sum,
    last: Option<SegmentId>,
    kept: Sum,
    small: usize,
    broken: Vec<Segment>,
    /// Of files that have the version that the manifest knows.
    ranges: Vec<Range>,
    /// The file that was found last: the next one is often that or the one behind it.
    found: usize,
}

impl<'a> Comparing<'a> {
    fn new(spec: &ExternalSpec, own: &'a Packed, stop_check: StopCheck<'a>) -> Comparing<'a> {
        Comparing {
            own,
            layout: Layout::of(spec),
            keys: KeyMaker::new(spec),
            stop_check,
            header: None,
            all: Sum::default(),
            last: None,
            kept: Sum::default(),
            small: 0,
            broken: Vec::new(),
            ranges: Vec::with_capacity(own.len()),
            found: 0,
        }
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Stop> {
        (self.stop_check)()?;
        if self.header.is_some() {
            return self.segment(key, value);
        }
        let (layout, segments, rows) = read_header(key, value)?;
        if layout != self.layout {
            return Err(Stop::Unclear);
        }
        self.header = Some((segments, rows));
        Ok(())
    }

    fn segment(&mut self, key: &[u8], value: &[u8]) -> Result<(), Stop> {
        self.last = Some(read_id(key)?);
        let mut bytes = Reader(value);
        let (its_key, rows, output) = (SegmentKey(bytes.array()?), bytes.u64()?, bytes.option()?);
        let count = bytes.u32()?;
        let is_of_spec = self.keys.key_of_written(count, bytes.0) == its_key;
        if !is_of_spec || count == 0 || output.is_some_and(|output| output.len() > MAX_OUTPUT_BYTES) {
            return Err(Stop::Unclear);
        }
        let (mut sum, mut is_broken, mut before) = (0_u64, false, None);
        for _ in 0..count {
            let Lying { path, start, end, file } = self.fragment(&mut bytes)?;
            sum = sum.checked_add(end.saturating_sub(start)).ok_or(Stop::Unclear)?;
            if start >= end || before.is_some_and(|before| before >= (path, start)) {
                return Err(Stop::Unclear);
            }
            before = Some((path, start));
            match file {
                Some(file) => self.ranges.push(Range { file, start, end }),
                None => is_broken = true,
            }
        }
        bytes.end()?;
        if sum != rows {
            return Err(Stop::Unclear);
        }
        let one = Sum { segments: 1, fragments: u64::from(count), rows };
        self.all = self.all.plus(one).ok_or(Stop::Unclear)?;
        if is_broken {
            self.broken.push(read_segment(&(key.to_vec(), value.to_vec()))?);
        } else {
            self.kept = self.kept.plus(one).ok_or(Stop::Unclear)?;
            self.small += usize::from(self.layout.is_small(rows));
        }
        Ok(())
    }

    /// The next fragment.
    fn fragment<'b>(&mut self, bytes: &mut Reader<'b>) -> Result<Lying<'b>, Stop> {
        let whole = bytes.0;
        let path = bytes.bytes()?;
        let place = self.place_of(path);
        let identity = place.and_then(|place| self.own.at(place)).map(|held| held.identity());
        let rest = identity.and_then(|identity| whole.strip_prefix(identity));
        match rest {
            Some(rest) => bytes.0 = rest,
            None => drop(FileVersion::read(bytes)?),
        }
        let file = place.filter(|_| rest.is_some()).map(u32::try_from).transpose().map_err(|_| Stop::Unclear)?;
        Ok(Lying { path, start: bytes.u64()?, end: bytes.u64()?, file })
    }

    fn place_of(&mut self, path: &[u8]) -> Option<usize> {
        let is_at = |place: &usize| self.own.at(*place).is_some_and(|held| held.path == path);
        let near = [self.found + 1, self.found].into_iter().find(is_at);
        let place = near.or_else(|| self.own.find(path).ok())?;
        self.found = place;
        Some(place)
    }

    /// What stands, once all segments were seen.
    fn done(mut self, root: ObjectHash, own: &PathSet) -> Result<Standing, Stop> {
        if self.header != Some((self.all.segments, self.all.rows)) || check(&self.broken).is_err() {
            return Err(Stop::Unclear);
        }
        // By attempts, each in the order of its files: runs that are sorted already.
        self.ranges.sort();
        let (mut known, mut files, mut fresh) = (Sum::default(), 0, Vec::new());
        let mut ranges = self.ranges.iter().peekable();
        for file in 0..self.own.len() {
            let mut next = 0;
            while let Some(range) = ranges.next_if(|range| range.file as usize == file) {
                // What does not begin at its first row, or leaves some out, or has one twice, is cut anew.
                if range.start != next {
                    return Err(Stop::Unclear);
                }
                known = known
                    .plus(Sum { segments: 0, fragments: 1, rows: range.end - range.start })
                    .ok_or(Stop::Unclear)?;
                next = range.end;
            }
            match next {
                0 => fresh.push(file),
                _ => files += 1,
            }
        }
        let gone = self.broken.iter().flat_map(|segment| &segment.fragments).filter(|fragment| !is_in(own, fragment));
        let places = gone.filter_map(|fragment| self.own.find(&fragment.path.0).ok());
        // A file that is there in two versions is in no manifest of ours.
        if places.into_iter().any(|place| fresh.binary_search(&place).is_err()) {
            return Err(Stop::Unclear);
        }
        let fresh = fresh.into_iter().filter_map(|place| self.own.at(place));
        let fresh = PathSet::new(fresh.map(|held| (held.source_path(), held.file())));
        let Comparing { layout, all, last, kept, small, broken, .. } = self;
        Ok(Standing { root, layout, all, last, kept, small, broken, files, known, fresh })
    }
}
