//! Segments: which ones stay, which ones are built, which ones go. A plan is a function of fragments; nothing is read
//! or built here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use super::spec::PARQUET;
use super::wire::Writer;
use super::{ExternalSpec, FieldError, Fragment, balance};
use crate::core::vocabulary::Token;

/// Of segments of Parquet, the only format of version 1.
const KEY_CONTEXT: &str = "lastword 2026 segment key v1";

/// Of segments of any other format, whose name the key covers: what one format makes of a file is nothing that another one would.
const KEY_CONTEXT_WITH_FORMAT: &str = "lastword 2026 segment key v2";

/// Longest output of a builder, in bytes: a path, a size, a checksum. What is larger belongs into the destination.
pub(super) const MAX_OUTPUT_BYTES: usize = 4096;

/// Segments of less than half the target that may lie about before an addition gathers them. Each small addition
/// leaves one such segment; gathering at every addition would rebuild the same rows every time.
pub(super) const MAX_SMALL: usize = 8;

/// The name of a segment: the attempt that built it, and its number in that attempt. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The token of the attempt that built it.
    pub token: Token,
    /// Its number in that attempt, from 0.
    pub n: u32,
}

/// `epoch.seq-n`.
impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.token, self.n)
    }
}

impl FromStr for SegmentId {
    type Err = FieldError;

    /// Reads what `Display` wrote, and nothing else.
    fn from_str(text: &str) -> Result<SegmentId, FieldError> {
        let wrong = || FieldError::new("segment", "must be `epoch.seq-n`");
        let (token, n) = text.split_once('-').ok_or_else(wrong)?;
        let id = SegmentId { token: token.parse()?, n: n.parse().map_err(|_| wrong())? };
        if id.to_string() == text { Ok(id) } else { Err(wrong()) }
    }
}

/// What a segment was built from: BLAKE3 over the format, read keys, params, recipe and the sorted fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey(pub [u8; 32]);

impl SegmentKey {
    /// The key of these fragments, which are in ascending order, under this spec.
    #[must_use]
    pub fn of(spec: &ExternalSpec, fragments: &[Fragment]) -> SegmentKey {
        KeyMaker::new(spec).key(fragments)
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The part of a key that all segments of one spec share is hashed once.
pub(super) struct KeyMaker(blake3::Hasher);

impl KeyMaker {
    pub(super) fn new(spec: &ExternalSpec) -> KeyMaker {
        let mut input = Writer::default();
        let context = match spec.format.as_str() {
            PARQUET => KEY_CONTEXT,
            format => {
                input.bytes(format.as_bytes());
                KEY_CONTEXT_WITH_FORMAT
            }
        };
        input.u8(u8::from(spec.columns.is_some()));
        if let Some(columns) = &spec.columns {
            input.len(columns.len());
            columns.iter().for_each(|column| input.bytes(column.as_bytes()));
        }
        input.option(spec.params.as_deref());
        input.option(spec.recipe.as_deref().map(str::as_bytes));
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&input.0);
        KeyMaker(hasher)
    }

    fn key(&self, fragments: &[Fragment]) -> SegmentKey {
        let mut hasher = self.0.clone();
        let mut input = Writer::default();
        input.u64(fragments.len() as u64);
        for fragment in fragments {
            write_fragment(&mut input, fragment);
            hasher.update(&input.0);
            input.0.clear();
        }
        SegmentKey(*hasher.update(&input.0).finalize().as_bytes())
    }

    /// The key of so many fragments as they lie in a manifest, one behind the other.
    pub(super) fn key_of_written(&self, count: u32, fragments: &[u8]) -> SegmentKey {
        let mut hasher = self.0.clone();
        hasher.update(&u64::from(count).to_le_bytes()).update(fragments);
        SegmentKey(*hasher.finalize().as_bytes())
    }
}

/// A fragment as it lies in keys and manifests.
pub(super) fn write_fragment(bytes: &mut Writer, fragment: &Fragment) {
    bytes.bytes(&fragment.path.0);
    fragment.version.write(bytes);
    bytes.u64(fragment.start);
    bytes.u64(fragment.end);
}

/// What decides how fragments are packed. A manifest holds it: another layout means that everything is packed
/// anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// About how many rows a segment has.
    pub target_rows: u64,
}

impl Layout {
    /// The layout that a spec asks for.
    #[must_use]
    pub fn of(spec: &ExternalSpec) -> Layout {
        Layout { target_rows: spec.target_rows }
    }

    /// Whether a segment of so many rows is one of those that an addition may gather.
    pub(super) fn is_small(self, rows: u64) -> bool {
        rows < self.target_rows.div_ceil(2)
    }
}

/// A segment that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub id: SegmentId,
    /// What it was built from.
    pub key: SegmentKey,
    /// How many rows it has: those of its fragments.
    pub rows: u64,
    /// What the builder made of it, at most 4 KiB; `None` without a builder.
    pub output: Option<Vec<u8>>,
    /// Its fragments, in ascending order.
    pub fragments: Vec<Fragment>,
}

/// A segment that is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSegment {
    /// What it is to be built from.
    pub key: SegmentKey,
    /// How many rows it has.
    pub rows: u64,
    /// Its fragments, in ascending order.
    pub fragments: Vec<Fragment>,
}

/// What becomes of the segments of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Segments that stay as they are, in ascending order of their ids.
    pub kept: Vec<Segment>,
    /// Segments to be built, in order of their first fragment.
    pub new: Vec<NewSegment>,
    /// Segments that go, in ascending order of their ids.
    pub dropped: Vec<Segment>,
}

impl Plan {
    /// The rows of all segments, kept and new. Saturates.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let kept = self.kept.iter().map(|segment| segment.rows);
        kept.chain(self.new.iter().map(|segment| segment.rows)).fold(0, u64::saturating_add)
    }
}

/// Plans the segments of `fragments` (all fragments of the source, each once) under `spec`, given the layout and
/// the segments of the last manifest (`None` and none before the first).
///
/// 1. A segment stays if the layout did not change, all its fragments still exist, and its key under the new spec is
///    the one it has. All other fragments are *loose* and are packed by [`balance`].
/// 2. So a changed file costs the segments that held its fragments and no other. The one exception gathers small
///    change: when a loose fragment belongs to a file that the last manifest did not have (an addition), and more
///    than eight segments that would stay have less than half of the target, those are packed anew together with the
///    loose ones. Without it a thousand small additions would leave a thousand small segments.
/// 3. A packed segment whose key is the one of a segment that did not stay is that segment: it is kept after all.
#[must_use]
pub fn plan(previous: Option<Layout>, segments: Vec<Segment>, spec: &ExternalSpec, fragments: Vec<Fragment>) -> Plan {
    let is_same_spec = are_of(spec, &segments);
    plan_by((previous, is_same_spec), segments, spec, fragments)
}

/// Whether each segment has the key that it would have under this spec.
pub(super) fn are_of(spec: &ExternalSpec, segments: &[Segment]) -> bool {
    let keys = KeyMaker::new(spec);
    segments.iter().all(|segment| keys.key(&segment.fragments) == segment.key)
}

/// The same, by whom it is known already whether all segments have the keys of this spec.
pub(super) fn plan_by(
    (previous, is_same_spec): (Option<Layout>, bool),
    segments: Vec<Segment>,
    spec: &ExternalSpec,
    fragments: Vec<Fragment>,
) -> Plan {
    let keys = KeyMaker::new(spec);
    let layout = Layout::of(spec);
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    let adds = adds_a_file(&segments, &fragments);
    let mut loose: HashSet<Fragment> = fragments.into_iter().collect();
    for segment in segments {
        let stays = previous == Some(layout)
            && !segment.fragments.is_empty()
            && segment.fragments.iter().all(|fragment| loose.contains(fragment))
            && (is_same_spec || keys.key(&segment.fragments) == segment.key);
        if stays {
            segment.fragments.iter().for_each(|fragment| {
                loose.remove(fragment);
            });
            kept.push(segment);
        } else {
            others.push(segment);
        }
    }
    let small = |segment: &Segment| layout.is_small(segment.rows);
    if adds && kept.iter().filter(|segment| small(segment)).count() > MAX_SMALL {
        let (gathered, staying) = kept.into_iter().partition(small);
        kept = staying;
        let gathered: Vec<Segment> = gathered;
        loose.extend(gathered.iter().flat_map(|segment| segment.fragments.iter().cloned()));
        others.extend(gathered);
    }
    let mut plan = pack(&keys, layout, others, loose.into_iter().collect());
    plan.kept.append(&mut kept);
    plan.kept.sort_unstable_by_key(|segment| segment.id);
    plan
}

/// Packs what is loose, given the segments that did not stay: those of them that come out again are kept after all.
pub(super) fn pack(keys: &KeyMaker, layout: Layout, others: Vec<Segment>, loose: Vec<Fragment>) -> Plan {
    let mut plan = Plan::default();
    let mut others: BTreeMap<SegmentId, Segment> = others.into_iter().map(|segment| (segment.id, segment)).collect();
    let by_key: HashMap<SegmentKey, SegmentId> =
        others.values().rev().map(|segment| (segment.key, segment.id)).collect();
    for fragments in balance(loose, layout.target_rows) {
        let key = keys.key(&fragments);
        // The key covers the fragments; comparing them as well costs nothing and leaves nothing to a hash alone.
        let same = by_key.get(&key).filter(|id| others.get(id).is_some_and(|segment| segment.fragments == fragments));
        match same.copied().and_then(|id| others.remove(&id)) {
            Some(segment) => plan.kept.push(segment),
            None => plan.new.push(NewSegment { key, rows: rows_of(&fragments), fragments }),
        }
    }
    plan.kept.sort_unstable_by_key(|segment| segment.id);
    plan.dropped = others.into_values().collect();
    plan
}

fn adds_a_file(segments: &[Segment], fragments: &[Fragment]) -> bool {
    let known: HashSet<_> =
        segments.iter().flat_map(|segment| &segment.fragments).map(|fragment| &fragment.path).collect();
    fragments.iter().any(|fragment| !known.contains(&fragment.path))
}

/// The rows of fragments together. Saturates.
pub(super) fn rows_of(fragments: &[Fragment]) -> u64 {
    fragments.iter().fold(0, |sum, fragment| sum.saturating_add(fragment.rows()))
}

/// Checks what has to hold of the segments of one manifest: none is empty, the rows of each are those of its
/// fragments, ids are distinct, no row of a file is in two fragments, and no file is there in two versions.
///
/// # Errors
/// The first violation.
pub fn check(segments: &[Segment]) -> Result<(), String> {
    let mut ids = HashSet::new();
    for segment in segments {
        let id = segment.id;
        if !ids.insert(id) {
            return Err(format!("two segments have the id {id}"));
        }
        if segment.fragments.is_empty() {
            return Err(format!("segment {id} has no fragment"));
        }
        if segment.fragments.iter().any(|fragment| fragment.start >= fragment.end) {
            return Err(format!("segment {id} has a fragment without rows"));
        }
        if !segment.fragments.is_sorted() {
            return Err(format!("the fragments of segment {id} are not in order"));
        }
        if rows_of(&segment.fragments) != segment.rows {
            return Err(format!(
                "segment {id} has {} rows, its fragments have {}",
                segment.rows,
                rows_of(&segment.fragments)
            ));
        }
        if segment.output.as_ref().is_some_and(|output| output.len() > MAX_OUTPUT_BYTES) {
            return Err(format!("the output of segment {id} is longer than {MAX_OUTPUT_BYTES} bytes"));
        }
    }
    let mut all: Vec<&Fragment> = segments.iter().flat_map(|segment| &segment.fragments).collect();
    all.sort_unstable();
    for pair in all.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        if a.path == b.path && a.end > b.start {
            return Err(format!("row {} of {} is in two fragments", b.start, b.path));
        }
        if a.path == b.path && a.version != b.version {
            return Err(format!("{} is there in two versions", a.path));
        }
    }
    Ok(())
}
