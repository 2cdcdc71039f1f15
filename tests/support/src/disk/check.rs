//! Opens a directory as the engine does and holds it against what was told before the power went.

use std::collections::BTreeMap;
use std::path::Path;

use lastword::core::State;
use lastword::core::vocabulary::*;
use lastword::log::{Durability, IfAbsent, Log, LogReader, OpenError, PrivateCopy, SledLog};
use lastword::objects::FileObjects;
use lastword::reducer::Reducer;
use lastword::replay;
use lastword::snapshot::{Folding, Snapshots, verify_with_snapshots};

use super::life::small;

/// What was told to the outside.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The last event that was acknowledged.
    pub acknowledged: Seq,
    /// The digest of the state after some events.
    pub digests: BTreeMap<Seq, String>,
    /// How the process said that it ended.
    pub end: Option<String>,
}

impl Told {
    /// Takes what one write to stdout said.
    pub fn take(&mut self, text: &str) {
        for line in text.lines() {
            // The test harness writes in front of the first line.
            if let Some((_, seq)) = line.split_once("ack ") {
                self.acknowledged = self.acknowledged.max(Seq(seq.parse().unwrap()));
            } else if let Some((_, digest)) = line.split_once("digest ") {
                let (seq, digest) = digest.split_once(' ').unwrap();
                let seq = Seq(seq.parse().unwrap());
                self.acknowledged = self.acknowledged.max(seq);
                self.digests.insert(seq, digest.to_owned());
            } else if ["well", "gone"].contains(&line) || line.starts_with("failed: ") {
                self.end = Some(line.to_owned());
            }
        }
    }
}

/// What was found in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub last: Seq,
    /// The last event at which a digest was told, and the digest of the state that was found for it.
    pub digest: Option<(Seq, String)>,
}

impl Found {
    /// Invariants 3 and 5 against what was told; what is wrong otherwise.
    pub fn hold_against(&self, told: &Told) -> Result<(), String> {
        let Told { acknowledged, digests, .. } = told;
        if self.last < *acknowledged {
            return Err(format!("Durable: event {acknowledged} was acknowledged and the log ends at {}", self.last));
        }
        match &self.digest {
            Some((seq, found)) if digests.get(seq).is_some_and(|digest| digest != found) => {
                Err(format!("SameFold: the state at {seq} has the digest {found}, and had {}", digests[seq]))
            }
            _ => Ok(()),
        }
    }
}

/// How thoroughly to look; each does what the one before does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thoroughness {
    /// It opens, and adds up to one and the same state with and without snapshots.
    Opens,
    /// Objects are there, snapshots are whole, invariants hold after every frame.
    Verifies,
    /// A tool could look at it before, and it goes on with a commit that is there the next time.
    GoesOn,
}

/// Opens the log in `state` after a power cut. It always opens; whatever is wrong comes back as text.
pub fn check(state: &Path, told: &Told, how: Thoroughness) -> Result<Found, String> {
    let inspected = (how == Thoroughness::GoesOn).then(|| PrivateCopy::of(state));
    let (log, folded) = open(state)?;
    let reader = log.reader();
    let last = log.appended().seq;
    if log.durable().seq != last || folded.last() != last {
        return Err(format!(
            "durable is {} and folded is {}, and {last} is appended",
            log.durable().seq,
            folded.last()
        ));
    }
    let found = Found { last, digest: replayed(&*reader, told, &folded)? };
    if how >= Thoroughness::Verifies {
        verify(state, &*reader, &log, &folded)?;
    }
    match inspected {
        None => return Ok(found),
        Some(Ok(copy)) if copy.end() == log.appended() => {}
        Some(Ok(copy)) => return Err(format!("a private copy ends at {}, the log at {last}", copy.end().seq)),
        // Nothing was ever acknowledged in a log whose creation was not finished.
        Some(Err(OpenError::Absent { .. })) if told.acknowledged == Seq::ZERO => {}
        Some(Err(error)) => return Err(format!("the log opens, and a private copy does not: {error}")),
    }
    drop(reader);
    goes_on(state, log, folded)?;
    Ok(found)
}

/// Replays from where the log begins, without snapshots; the digest at the last event for which one was told.
fn replayed(reader: &dyn LogReader, told: &Told, folded: &State) -> Result<Option<(Seq, String)>, String> {
    let mut state = replay::begin(reader).map_err(|error| format!("its base: {error}"))?;
    let at = told.digests.range(..=folded.last()).next_back().map(|(at, _)| *at);
    let mut digest = None;
    for event in replay::events(reader, state.last().next()) {
        let event = event.map_err(|error| format!("it does not replay: {error}"))?;
        state.fold(&event).map_err(|illegal| format!("it does not add up: {illegal}"))?;
        if Some(event.seq) == at {
            digest = Some((event.seq, Fingerprint(state.digest()).to_string()));
        }
    }
    if state != *folded {
        return Err("SameFold: with snapshots it adds up to another state than without".to_owned());
    }
    Ok(digest)
}

fn open(state: &Path) -> Result<(SledLog, State), String> {
    let mut folding = Folding::from_snapshots(Snapshots::of_log(state));
    let log = SledLog::open_visiting(state, IfAbsent::Create, Durability::Power, &mut folding)
        .map_err(|error| format!("it does not open: {error}"))?;
    let folded = folding.finish().map_err(|error| format!("it does not add up: {error}"))?;
    Ok((log, folded))
}

fn verify(state: &Path, reader: &dyn LogReader, log: &SledLog, folded: &State) -> Result<(), String> {
    let objects = FileObjects::open(log.objects()).map_err(|error| format!("objects: {error}"))?;
    let (verified, snapshots) = verify_with_snapshots(reader, Some(&objects), &Snapshots::of_log(state))
        .map_err(|error| format!("it does not verify: {error}"))?;
    if verified.digest != folded.digest() {
        return Err("SameFold: with snapshots it adds up to another state than without".to_owned());
    }
    if verified.last != log.appended().seq {
        return Err(format!("it was verified up to {} and ends at {}", verified.last, log.appended().seq));
    }
    // Those below the start are of no use any more, and go with the next one.
    for snapshot in snapshots.into_iter().filter(|snapshot| snapshot.seq > verified.start.seq) {
        snapshot.verdict.map_err(|unusable| format!("the snapshot at {}: {unusable}", snapshot.seq))?;
    }
    Ok(())
}

/// A declaration is committed and the log closed; the next time it is there, under a higher epoch.
fn goes_on(path: &Path, log: SledLog, state: State) -> Result<(), String> {
    let (epoch, at) = (state.epoch(), state.at());
    // A clock that stands still: the epoch has to come from the log.
    let mut reducer = Reducer::open(Box::new(log), state, "power cut", at, Timestamp(0)).map_err(|e| e.to_string())?;
    let declared = reducer.command(&Command::Declare(Box::new(small(9_999)))).map_err(|e| e.to_string())?;
    declared.map_err(|refused| format!("the next declaration is refused: {refused}"))?;
    reducer.commit(at).map_err(|error| format!("the next commit fails: {error}"))?;
    let digest = reducer.state().digest();
    reducer.close().map_err(|error| format!("it does not close: {error}"))?;
    let (log, reopened) = open(path)?;
    if !log.was_clean() || reopened.digest() != digest || reopened.epoch() <= epoch {
        return Err("it was closed in order after a commit, and is another one afterwards".to_owned());
    }
    (Box::new(log) as Box<dyn Log>).close().map_err(|error| error.to_string())
}
