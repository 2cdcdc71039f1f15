//! What can be found out where nothing can be written: of an object that is there already. It must not write.

use object_store::Error;
use object_store::path::Path as Key;

use super::check::{Verdict, not_well, well};
use super::finding::{NeededBy, READS};
use super::place::{Found, Place};
use super::reads::{FENCED_FOLLOWS, OTHER_TAG, WEAK_FOLLOWS};
use crate::external::Stat;
use crate::external::buckets::fault::Fault;

/// Bytes that are read of it, at most.
const SOME: u64 = 64 << 10;

/// A check of an object that was found.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) needed_by: NeededBy,
    pub(super) follows: &'static str,
    pub(super) run: fn(&Place<'_>, &Object) -> Result<Verdict, Fault>,
}

/// An object, as a listing says it is.
pub(super) struct Object {
    key: Key,
    stat: Stat,
}

pub(super) const CHECKS: [Check; 4] = [
    Check { name: "strong_tags", needed_by: NeededBy::Log, follows: WEAK_FOLLOWS, run: strong_tags },
    Check {
        name: "tags",
        needed_by: NeededBy::Sources,
        follows: "an object would seem to change all the time, unless somebody changed it just now",
        run: tags,
    },
    Check { name: "fenced_reads", needed_by: NeededBy::Nothing, follows: FENCED_FOLLOWS, run: fenced_reads },
    Check { name: READS, needed_by: NeededBy::Sources, follows: "objects cannot be read", run: ranges },
];

/// The first object with bytes in it.
pub(super) fn object(found: Found) -> Option<Object> {
    let with_bytes = |(key, stat): (String, Stat)| {
        let key = Key::parse(key).ok().filter(|_| stat.size > 0)?;
        Some(Object { key, stat })
    };
    found.keys.into_iter().find_map(with_bytes)
}

impl Object {
    fn end(&self) -> u64 {
        self.stat.size.min(SOME)
    }
}

fn strong_tags(_: &Place<'_>, object: &Object) -> Result<Verdict, Fault> {
    if object.stat.tag.is_strong() {
        well("entity tags are strong")
    } else {
        not_well("entity tags are weak, or there are none")
    }
}

fn tags(place: &Place<'_>, object: &Object) -> Result<Verdict, Fault> {
    let got = place.read(object.key.clone(), None, Some(0..1))?;
    if got.stat == object.stat {
        well("a listing and a read give the same tag of an object that was there")
    } else {
        not_well("a listing and a read give other tags of an object that was there")
    }
}

fn fenced_reads(place: &Place<'_>, object: &Object) -> Result<Verdict, Fault> {
    let Some(own) = object.stat.tag.condition() else { return not_well("a weak tag is no condition") };
    place.read(object.key.clone(), Some(own), Some(0..1))?;
    match place.read(object.key.clone(), Some(OTHER_TAG.to_owned()), Some(0..1)) {
        Err(Fault::Store(Error::Precondition { .. })) => well("If-Match with another tag: 412"),
        Ok(_) => not_well("an object is sent to who asks for another tag"),
        Err(fault) => Err(fault),
    }
}

fn ranges(place: &Place<'_>, object: &Object) -> Result<Verdict, Fault> {
    let end = object.end();
    let all = place.read(object.key.clone(), None, Some(0..end))?.bytes;
    let rest = place.read(object.key.clone(), None, Some(end / 2..end))?.bytes;
    let half = usize::try_from(end / 2).unwrap_or_default();
    if all.len() as u64 == end && all.get(half..) == Some(&rest[..]) {
        well(format!("the first {end} bytes of an object that was there, and half of them"))
    } else {
        not_well("two reads of one object give other bytes, unless somebody changed it just now")
    }
}
