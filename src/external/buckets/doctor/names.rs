//! What a listing says of what was just made: all of it, by its own names, once, in which order. It must not know how it is
//! shown.

use std::collections::BTreeSet;

use object_store::PutMode;

use super::check::{Check, Verdict, not_well, well};
use super::finding::NeededBy;
use super::place::Place;
use crate::external::buckets::fault::Fault;

pub(super) const CHECKS: [Check; 5] = [
    Check {
        name: "names",
        needed_by: NeededBy::Sources,
        follows: "objects with such names would not be seen, or not be read",
        run: names,
    },
    Check {
        name: "listing",
        needed_by: NeededBy::Sources,
        follows: "objects would be taken for deleted or for new ones: nothing may rely on these listings",
        run: listing,
    },
    Check {
        name: "order",
        needed_by: NeededBy::Nothing,
        follows: "a source is listed in one lane, and put in order here: that takes longer where there are many objects",
        run: order,
    },
    Check {
        name: "start_after",
        needed_by: NeededBy::Nothing,
        follows: "a source is listed in one lane: that takes longer where there are many objects",
        run: start_after,
    },
    Check {
        name: "long_key",
        needed_by: NeededBy::Nothing,
        follows: "keys of 1,024 bytes cannot be there; shorter ones can",
        run: long_key,
    },
];

/// What is often not taken as it is written: what has a meaning in a URL, in XML or in a path, a letter in two spellings and
/// in two cases, and two letters whose order differs between UTF-8 and UTF-16.
const NAMES: [&str; 17] = [
    "plain",
    "PLAIN",
    "a space",
    "a+plus",
    "a%20percent",
    "100%",
    "a&b=c;d",
    "<xml>\"'",
    "what?",
    "#hash",
    "year=2026/month=11/part-0.parquet",
    "\u{fc}",
    "u\u{308}",
    "\u{8868}\u{5355}",
    "\u{ff5e}wide",
    "\u{1f600}",
    "~tilde,(1)[2]{3}|4^5`6*7!8@9:$",
];

/// Objects that take several pages, and how many are asked for in one.
const MANY: usize = 40;
const PAGE: usize = 7;

/// The longest key that all of the stores take, in bytes.
const LONGEST: usize = 1_024;

/// The longest part of one: some stores keep each part as a file.
const LONGEST_PART: usize = 200;

fn put_all(place: &Place<'_>, names: impl Iterator<Item = String>) -> Result<Option<String>, Fault> {
    let names: Vec<String> = names.collect();
    let objects = names.iter().map(|name| (name.clone(), name.clone().into_bytes(), PutMode::Overwrite));
    let answers = place.put_each(objects.collect())?;
    let failed = names.iter().zip(answers).find_map(|(name, answer)| Some((name, answer.err()?)));
    Ok(failed.map(|(name, fault)| format!("{name:?} cannot be written: {}", fault.words())))
}

/// What is wrong with a listing that is to have these names.
fn compared(found: &[String], wanted: &[String]) -> Option<String> {
    let is_known: BTreeSet<&String> = wanted.iter().collect();
    let mut seen = BTreeSet::new();
    for name in found {
        if !is_known.contains(name) {
            return Some(format!("{name:?} is listed, which was not made"));
        }
        if !seen.insert(name) {
            return Some(format!("{name:?} is listed twice"));
        }
    }
    let missing = wanted.iter().find(|name| !seen.contains(name))?;
    Some(format!("{missing:?} was made and is not listed, with {} of {}", seen.len(), wanted.len()))
}

fn listed(place: &Place<'_>, folder: &str, page: usize) -> Result<(Vec<String>, usize), Fault> {
    let found = place.list(folder, page, None)?;
    Ok((found.keys.into_iter().map(|(name, _)| name).collect(), found.pages))
}

fn names(place: &Place<'_>) -> Result<Verdict, Fault> {
    let wanted: Vec<String> = NAMES.iter().map(|name| format!("names/{name}")).collect();
    if let Some(failed) = put_all(place, wanted.iter().cloned())? {
        return not_well(failed);
    }
    if let Some(wrong) = compared(&listed(place, "names/", 1_000)?.0, &wanted) {
        return not_well(wrong);
    }
    for name in &wanted {
        match place.get(name) {
            Ok(got) if got.bytes == name.as_bytes() => {}
            Ok(_) => return not_well(format!("{name:?} was read, and another object came")),
            Err(fault @ Fault::Store(_)) => return not_well(format!("{name:?} cannot be read: {}", fault.words())),
            Err(fault) => return Err(fault),
        }
    }
    well(format!("{} names with spaces, %, +, other scripts and the like", NAMES.len()))
}

fn many() -> Vec<String> {
    (0..MANY).map(|number| format!("many/{number:02}")).collect()
}

fn listing(place: &Place<'_>) -> Result<Verdict, Fault> {
    if let Some(failed) = put_all(place, many().into_iter())? {
        return not_well(failed);
    }
    // At once, and again: what is there at first must not be gone later.
    for page in [PAGE, 1_000, PAGE] {
        let (found, pages) = listed(place, "many/", page)?;
        if let Some(wrong) = compared(&found, &many()) {
            return not_well(format!("{wrong}, in {pages} pages"));
        }
    }
    well(format!("{MANY} objects in pages of {PAGE}, and in one"))
}

fn order(place: &Place<'_>) -> Result<Verdict, Fault> {
    for folder in ["many/", "names/"] {
        let (found, _) = listed(place, folder, PAGE)?;
        if let Some(pair) = found.windows(2).find(|pair| pair[0] > pair[1]) {
            return not_well(format!("{:?} is listed before {:?}", pair[0], pair[1]));
        }
    }
    well("by the bytes of the keys")
}

fn start_after(place: &Place<'_>) -> Result<Verdict, Fault> {
    let mut wanted = many();
    let wanted = wanted.split_off(MANY / 2);
    let after = format!("many/{:02}", MANY / 2 - 1);
    let found = place.list("many/", 1_000, Some(&after))?;
    let found: Vec<String> = found.keys.into_iter().map(|(name, _)| name).collect();
    match compared(&found, &wanted) {
        Some(wrong) => not_well(format!("behind {after:?}: {wrong}")),
        None => well("a listing begins behind the key that it is told"),
    }
}

fn long_key(place: &Place<'_>) -> Result<Verdict, Fault> {
    let mut name = "long/".to_owned();
    while place.prefix().len() + name.len() < LONGEST {
        let rest = LONGEST - place.prefix().len() - name.len();
        // A slash is never the last byte.
        let part = if rest > LONGEST_PART + 1 { LONGEST_PART } else { rest };
        name.extend(std::iter::repeat_n('k', part));
        if rest > part {
            name.push('/');
        }
    }
    if place.prefix().len() + name.len() > LONGEST {
        return not_well("the prefix alone is longer");
    }
    match place.put(&name, b"long") {
        Ok(_) => {}
        Err(fault @ Fault::Store(_)) => return not_well(format!("it cannot be written: {}", fault.words())),
        Err(fault) => return Err(fault),
    }
    if place.get(&name)?.bytes != b"long" {
        return not_well("it was read, and another object came");
    }
    match compared(&listed(place, "long/", 1_000)?.0, &[name]) {
        Some(_) => not_well("it was written and is not listed as it is"),
        None => well("a key of 1,024 bytes"),
    }
}
