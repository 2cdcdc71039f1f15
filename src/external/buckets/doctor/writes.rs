//! What a log needs beside reading: of many writers one makes an object, of many one replaces it, and what was removed is
//! gone. It must not know what a log is.

use object_store::{Error, PutMode, PutResult, UpdateVersion};

use super::check::{Check, Verdict, not_well, well};
use super::finding::NeededBy;
use super::place::{Place, WRITERS};
use crate::external::buckets::fault::Fault;

pub(super) const CHECKS: [Check; 3] = [
    Check {
        name: "conditional_create",
        needed_by: NeededBy::Log,
        follows: "two writers could both believe that they have appended: no log may live here",
        run: create,
    },
    Check {
        name: "conditional_replace",
        needed_by: NeededBy::Log,
        follows: "a writer that was deposed could overwrite what its successor wrote: no log may live here",
        run: replace,
    },
    Check {
        name: "delete",
        needed_by: NeededBy::Log,
        follows: "what is not needed any more cannot be removed",
        run: delete,
    },
];

/// Races for an object that is not there yet, one after the other: a store that is careless is so only now and then.
const RACES: usize = 3;

/// What came of a race, as all of its writers and the object tell it.
enum Race {
    /// One has won, and the others were told so.
    Won,
    /// Nobody was told that it has won, for some were not told anything.
    Untold(String),
    /// It is not something that the store does.
    Refused(String),
    Careless(String),
}

/// Lets all writers write an object, each something else.
fn race(place: &Place<'_>, name: &str, mode: &PutMode) -> Result<Race, Fault> {
    let content = |writer: usize| format!("writer {writer:02}").into_bytes();
    let objects = (0..WRITERS).map(|writer| (name.to_owned(), content(writer), mode.clone()));
    let answers = place.put_each(objects.collect())?;
    let winners: Vec<usize> =
        answers.iter().enumerate().filter(|(_, answer)| answer.is_ok()).map(|(writer, _)| writer).collect();
    let unknown = answers.iter().find_map(|answer| answer.as_ref().err().filter(|fault| !is_loss(fault)));
    match (&winners[..], unknown) {
        ([winner], _) if place.get(name)?.bytes == content(*winner) => Ok(Race::Won),
        ([_], _) => Ok(Race::Careless("what lies there is not what the one who won had written".to_owned())),
        ([], Some(fault)) if fault.is_answer() => Ok(Race::Refused(fault.words())),
        ([], Some(fault)) => Ok(Race::Untold(fault.words())),
        ([], None) => Ok(Race::Untold("all were told that another one had won".to_owned())),
        (_, _) => Ok(Race::Careless(format!("{} of {WRITERS} writers were told that they had won", winners.len()))),
    }
}

/// Whether a writer was told that it came too late.
fn is_loss(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Store(
            Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotModified { .. }
                | Error::NotFound { .. }
        )
    )
}

/// What a write says that ought to have been refused.
fn refused(answer: Result<PutResult, Fault>, otherwise: &str) -> Result<Option<String>, Fault> {
    match answer {
        Ok(_) => Ok(Some(otherwise.to_owned())),
        Err(fault) if is_loss(&fault) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn create(place: &Place<'_>) -> Result<Verdict, Fault> {
    let mut untold = None;
    let mut is_proven = false;
    for number in 0..RACES {
        let name = format!("create/{number}");
        match race(place, &name, &PutMode::Create)? {
            Race::Won => is_proven = true,
            Race::Untold(why) => untold = Some(why),
            Race::Refused(why) | Race::Careless(why) => return not_well(why),
        }
        if is_proven {
            let late = place.put_if(&name, b"late", PutMode::Create);
            if let Some(wrong) = refused(late, "an object that was there was made once more")? {
                return not_well(wrong);
            }
        }
    }
    match untold {
        Some(why) if !is_proven => not_well(format!("nobody made an object under a condition: {why}")),
        _ => well(format!("of {WRITERS} writers at the same time one has made the object, {RACES} times")),
    }
}

fn replace(place: &Place<'_>) -> Result<Verdict, Fault> {
    let update = |version: &UpdateVersion| PutMode::Update(version.clone());
    let first = place.put("replace/one", b"first")?;
    let second = match place.put_if("replace/one", b"second", update(&first)) {
        Ok(answer) => UpdateVersion::from(answer),
        Err(fault @ Fault::Store(_)) => return not_well(format!("with its own tag: {}", fault.words())),
        Err(fault) => return Err(fault),
    };
    let late = place.put_if("replace/one", b"late", update(&first));
    if let Some(wrong) = refused(late, "an object was replaced for a tag that it no longer has")? {
        return not_well(wrong);
    }
    let absent = place.put_if("replace/none", b"late", update(&first));
    if let Some(wrong) = refused(absent, "an object was replaced that is not there")? {
        return not_well(wrong);
    }
    match race(place, "replace/one", &update(&second))? {
        Race::Won => well(format!("only for the tag that it has, and of {WRITERS} writers at the same time by one")),
        Race::Untold(why) => not_well(format!("nobody replaced an object of which all knew the tag: {why}")),
        Race::Refused(why) | Race::Careless(why) => not_well(why),
    }
}

fn delete(place: &Place<'_>) -> Result<Verdict, Fault> {
    for name in ["delete/gone", "delete/kept"] {
        place.put(name, name.as_bytes())?;
    }
    if let Err(fault) = place.delete("delete/gone") {
        return match fault {
            Fault::Store(_) => not_well(format!("it is refused: {}", fault.words())),
            fault => Err(fault),
        };
    }
    match place.get("delete/gone") {
        Err(Fault::Store(Error::NotFound { .. })) => {}
        Ok(_) => return not_well("what was removed can still be read"),
        Err(fault) => return Err(fault),
    }
    let found: Vec<String> = place.list("delete/", 1_000, None)?.keys.into_iter().map(|(name, _)| name).collect();
    if found != ["delete/kept"] {
        return not_well("what was removed is still listed, or more is gone than was removed");
    }
    well("what was removed is gone at once")
}
