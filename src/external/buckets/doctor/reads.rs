//! What a read gives of what was just written: those bytes, with a tag that names them, and nothing where it was asked for
//! other ones. It must not know what is listed.

use object_store::Error;

use super::check::{Check, Verdict, not_well, well};
use super::finding::{NeededBy, READS};
use super::place::Place;
use crate::clock::{Clock, SystemClock};
use crate::external::buckets::fault::Fault;

pub(super) const FENCED_FOLLOWS: &str =
    "the tag of each answer is compared instead: what was overwritten is noticed, after it was sent";

pub(super) const WEAK_FOLLOWS: &str = "only the content tells whether an object has changed: each look reads all that is young or may have changed; and \
     nothing can be replaced under a condition";

pub(super) const CHECKS: [Check; 8] = [
    Check {
        name: "read_after_write",
        needed_by: NeededBy::Log,
        follows: "a source is seen late, and a writer of a log may not see what it wrote",
        run: read_after_write,
    },
    Check { name: "strong_tags", needed_by: NeededBy::Log, follows: WEAK_FOLLOWS, run: strong_tags },
    Check {
        name: "tags",
        needed_by: NeededBy::Sources,
        follows: "an object could change without a trace, or seem to change all the time",
        run: tags,
    },
    Check { name: "fenced_reads", needed_by: NeededBy::Nothing, follows: FENCED_FOLLOWS, run: fenced_reads },
    Check {
        name: "answers",
        needed_by: NeededBy::Sources,
        follows: "bytes of a content that was not observed could be built from, and be taken for the others",
        run: answers,
    },
    Check {
        name: READS,
        needed_by: NeededBy::Sources,
        follows: "footers and parts of files cannot be read",
        run: ranges,
    },
    Check { name: "sizes", needed_by: NeededBy::Log, follows: "objects of these sizes cannot be written", run: sizes },
    Check {
        name: "clock",
        needed_by: NeededBy::Nothing,
        follows: "set the clock of this machine: a store refuses requests that are some minutes off, and ages of objects \
                  are wrong",
        run: clock,
    },
];

/// Rounds of writing and reading at once.
const ROUNDS: usize = 8;

/// An object of some size, in bytes.
const LARGE: usize = 4 << 20;

/// Clocks that differ by more than this, in seconds, are worth a word.
const CLOCK: i64 = 5;

/// A tag that no store gives.
pub(super) const OTHER_TAG: &str = "\"lastword-doctor-was-here\"";

fn read_after_write(place: &Place<'_>) -> Result<Verdict, Fault> {
    for round in 0..ROUNDS {
        // Half of them overwrite.
        let name = format!("after/{}", round / 2);
        let content = format!("round {round}").into_bytes();
        place.put(&name, &content)?;
        match place.get(&name) {
            Ok(got) if got.bytes == content => {
                let found = place.list("after/", 1_000, None)?;
                if !found.keys.iter().any(|(key, stat)| *key == name && *stat == got.stat) {
                    return not_well(format!("in round {round} a listing did not show what was just written"));
                }
            }
            Ok(_) => return not_well(format!("in round {round} a read gave what was there before")),
            Err(Fault::Store(Error::NotFound { .. })) => {
                return not_well(format!("in round {round} a read did not find what was just written"));
            }
            Err(fault) => return Err(fault),
        }
    }
    well(format!("{ROUNDS} times by a read and by a listing"))
}

fn strong_tags(place: &Place<'_>) -> Result<Verdict, Fault> {
    place.put("strong", b"strong")?;
    match place.get("strong")?.stat.tag {
        tag if tag.is_strong() => well("entity tags are strong"),
        _ => not_well("entity tags are weak, or there are none"),
    }
}

fn tags(place: &Place<'_>) -> Result<Verdict, Fault> {
    let mut before = None;
    for content in [&b"one way"[..], b"another"] {
        let put = place.put("tags/one", content)?;
        let read = place.get("tags/one")?.stat;
        if place.list("tags/", 1_000, None)?.keys.first().is_none_or(|(_, listed)| *listed != read) {
            return not_well("a listing and a read give other tags of the same object");
        }
        let condition = read.tag.condition();
        if condition.is_some() && put.e_tag.is_some() && put.e_tag != condition {
            return not_well("a write and a read give other tags of the same object");
        }
        if condition.is_some() && before == condition {
            return not_well("another content of the same size has the same tag");
        }
        before = condition;
    }
    well(if before.is_some() {
        "other bytes of the same size have another tag"
    } else {
        "they say nothing, being weak"
    })
}

/// The tag of an answer, as a condition, and its bytes; or why there is none.
type Answer = Result<(Option<String>, Vec<u8>), Fault>;

/// Overwrites an object between two reads: the tag that the first content had, and what the second read gave.
fn overwritten(place: &Place<'_>, name: &str) -> Result<Option<(String, Answer)>, Fault> {
    place.put(name, b"first content")?;
    let Some(first) = place.get(name)?.stat.tag.condition() else { return Ok(None) };
    place.put(name, b"other content")?;
    let second = place.get_if(name, Some(first.clone()), Some(2..9));
    Ok(Some((first, second.map(|got| (got.stat.tag.condition(), got.bytes)))))
}

fn fenced_reads(place: &Place<'_>) -> Result<Verdict, Fault> {
    let Some((_, second)) = overwritten(place, "fenced")? else {
        return not_well("a weak tag is no condition");
    };
    match second {
        Err(Fault::Store(Error::Precondition { .. })) => {}
        Ok(_) => return not_well("an object that was overwritten is sent to who asks for what it was"),
        Err(fault) => return Err(fault),
    }
    let now = place.get("fenced")?.stat.tag.condition();
    if let Err(fault) = place.get_if("fenced", now, None) {
        return match fault {
            Fault::Store(_) => not_well(format!("it is refused with its own tag: {}", fault.words())),
            fault => Err(fault),
        };
    }
    match place.get_if("fenced", Some(OTHER_TAG.to_owned()), None) {
        Err(Fault::Store(Error::Precondition { .. })) => {
            well("If-Match with another tag, and after it was overwritten: 412")
        }
        Ok(_) => not_well("an object is sent to who asks for another tag"),
        Err(fault) => Err(fault),
    }
}

fn answers(place: &Place<'_>) -> Result<Verdict, Fault> {
    match overwritten(place, "answers/one")? {
        None => {}
        Some((first, Ok((tag, bytes)))) if tag.as_ref() == Some(&first) && bytes != b"rst con" => {
            return not_well("an answer has the tag that was asked for, and bytes of another content");
        }
        Some((_, Ok(_) | Err(Fault::Store(Error::Precondition { .. })))) => {}
        Some((_, Err(fault))) => return Err(fault),
    }
    let got = place.get("answers/one")?;
    let is_new = got.bytes == b"other content" || got.stat.tag.is_weak();
    let listed = place.list("answers/", 1_000, None)?;
    let size = listed.keys.first().map(|(_, listed)| listed.size);
    if !is_new || size != Some(got.bytes.len() as u64) {
        return not_well("what was overwritten is answered with what it was");
    }
    well("each answer has the tag of the bytes that it brings")
}

/// Bytes in which each place can be told from the others near it.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn ranges(place: &Place<'_>) -> Result<Verdict, Fault> {
    let content = pattern(64 << 10);
    place.put("ranges", &content)?;
    let length = content.len();
    for (start, end) in [(0, 1), (0, length), (1, 1_001), (length / 2, length / 2 + 4_096), (length - 8, length)] {
        let got = place.get_if("ranges", None, Some(start as u64..end as u64))?;
        if content.get(start..end) != Some(&got.bytes[..]) || got.stat.size != length as u64 {
            return not_well(format!("bytes {start} to {end} of {length} were asked for, and other ones came"));
        }
    }
    well("the first, the last and those between of 64 KiB")
}

fn sizes(place: &Place<'_>) -> Result<Verdict, Fault> {
    for (name, length) in [("sizes/empty", 0), ("sizes/large", LARGE)] {
        let content = pattern(length);
        match place.put(name, &content) {
            Ok(_) => {}
            Err(fault @ Fault::Store(_)) => {
                return not_well(format!("{length} bytes cannot be written: {}", fault.words()));
            }
            Err(fault) => return Err(fault),
        }
        if place.get(name)?.bytes != content {
            return not_well(format!("{length} bytes were written, and other ones came back"));
        }
    }
    well("0 bytes and 4 MiB in one request")
}

fn clock(place: &Place<'_>) -> Result<Verdict, Fault> {
    let now = || i64::try_from(SystemClock::new().wall().0 / 1_000_000).unwrap_or(i64::MAX);
    let before = now();
    place.put("clock", b"what time is it")?;
    let after = now();
    let told = place.get("clock")?.modified;
    let off = if told < before { told.saturating_sub(before) } else { told.saturating_sub(after).max(0) };
    let saw = match off {
        ..0 => format!("the store's clock is {} s behind this one", off.unsigned_abs()),
        0 => "the store and this machine agree on the time".to_owned(),
        1.. => format!("the store's clock is {off} s ahead of this one"),
    };
    if off.abs() > CLOCK { not_well(saw) } else { well(saw) }
}
