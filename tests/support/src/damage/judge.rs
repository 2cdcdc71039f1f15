//! What may come of a damage: an error, or the very same state.

use std::collections::BTreeMap;
use std::path::Path;

use lastword::core::vocabulary::Seq;
use lastword::log::{Durability, FrameHash, IfAbsent, Log, LogReader, Position, PrivateCopy, SledLog};
use lastword::objects::FileObjects;
use lastword::replay::{self, ReplayError};
use lastword::snapshot::{Folding, Snapshots, verify_with_snapshots};

use super::Damage;

/// What the directory held before it was damaged.
pub struct Truth {
    /// The log reaches at least this far, whatever happens.
    head: Seq,
    clean: bool,
    end: Position,
    /// Of every frame: its hash, and the digest of the state after it.
    frames: BTreeMap<Seq, (FrameHash, [u8; 32])>,
}

/// What came of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The log does not open, and an error says why.
    Refused,
    /// It opens, and is the same.
    Same,
    /// It opens and ends earlier, behind `HEAD`, after an unclean end.
    Shorter,
    /// It opens, and its last frame was made anew by somebody, behind `HEAD`, after an unclean end. Only the next frame or
    /// `HEAD` could tell, and there is neither.
    BehindHead,
    /// It opens with the right state, and verifying says what is damaged: an object, or what lies before a snapshot.
    Verified,
}

impl Verdict {
    pub fn parse(text: &str) -> Verdict {
        let all = [Verdict::Refused, Verdict::Same, Verdict::Shorter, Verdict::BehindHead, Verdict::Verified];
        all.into_iter().find(|verdict| format!("{verdict:?}") == text).unwrap()
    }
}

impl Truth {
    /// Of a directory that is not damaged. It is only looked at.
    pub fn of(whole: &Path) -> Truth {
        let copy = PrivateCopy::of(whole).unwrap();
        let reader = copy.reader();
        let (anchor, mut state, mut frames) = (copy.anchor(), replay::begin(&*reader).unwrap(), BTreeMap::new());
        for frame in reader.frames(Seq::ZERO) {
            let frame = frame.unwrap();
            let frame = frame.as_frame();
            replay::decode(&frame).unwrap().iter().for_each(|event| state.fold(event).unwrap());
            frames.insert(frame.last(), (frame.hash(), state.digest()));
        }
        Truth { head: anchor.position.seq, clean: anchor.clean, end: copy.end(), frames }
    }

    fn knows(&self, at: Position, digest: [u8; 32]) -> bool {
        self.frames.get(&at.seq) == Some(&(at.hash, digest))
    }
}

/// Opens a damaged directory like the engine does. `inspects`: a tool looks at it first.
pub fn judge(state: &Path, truth: &Truth, damage: &Damage, inspects: bool) -> Result<Verdict, String> {
    let inspected = inspects.then(|| PrivateCopy::of(state).map(|copy| copy.end()));
    let snapshots = Snapshots::of_log(state);
    let mut folding = Folding::from_snapshots(snapshots.clone());
    let opened = SledLog::open_visiting(state, IfAbsent::Create, Durability::Process, &mut folding);
    // Opened by a snapshot, only what lies behind that was looked at; the rest is for tools, which look at all of it.
    let resumed = folding.resumed() > Seq::ZERO;
    let log = match (opened, inspected) {
        (Err(_), Some(Ok(_))) => return Err("a tool reads what the writer refuses".to_owned()),
        (Err(_), _) => return Ok(Verdict::Refused),
        (Ok(_), Some(Err(error))) if !resumed => return Err(format!("it opens, and a tool is told: {error}")),
        (Ok(log), _) => log,
    };
    let folded = folding.finish().map_err(|error| format!("it opens and does not add up: {error}"))?;
    let (end, digest) = (log.appended(), folded.digest());
    if end.seq < truth.head {
        return Err(format!("silent loss: HEAD named {}, and the log ends at {}", truth.head, end.seq));
    }
    let is_behind_head = !truth.clean && end.seq == truth.end.seq && truth.head < end.seq;
    if is_behind_head && matches!(damage, Damage::Reseal { .. }) && !truth.knows(end, digest) {
        return Ok(Verdict::BehindHead);
    }
    if !truth.knows(end, digest) {
        return Err(format!("a silently wrong state at {}", end.seq));
    }
    if truth.clean && end != truth.end {
        return Err(format!("silent loss: it was closed at {} and ends at {}", truth.end.seq, end.seq));
    }
    let of_objects = damage.file().is_some_and(|file| file.starts_with("objects"));
    let verified = verify(state, &*log.reader(), &snapshots, digest, resumed || of_objects)?;
    match (verified, end == truth.end) {
        (Verdict::Same, false) => Ok(Verdict::Shorter),
        // Every entry was looked at by now: whatever is done to one shows.
        (Verdict::Same, true) if damage.is_of_entries() => Err("it opens as if nothing had happened".to_owned()),
        (verdict, _) => Ok(verdict),
    }
}

/// Everything. Something may be found here only if opening had no reason to look at it.
fn verify(
    state: &Path,
    reader: &dyn LogReader,
    snapshots: &Snapshots,
    digest: [u8; 32],
    may_find: bool,
) -> Result<Verdict, String> {
    let objects = FileObjects::open(state.join("objects")).map_err(|error| format!("objects: {error}"))?;
    match verify_with_snapshots(reader, Some(&objects), snapshots) {
        Err(ReplayError::Object { .. } | ReplayError::Objects { .. } | ReplayError::Log(_)) if may_find => {
            Ok(Verdict::Verified)
        }
        Err(error) => Err(format!("it opens and does not verify: {error}")),
        Ok((verified, _)) if verified.digest != digest => Err("SameFold: replay says otherwise".to_owned()),
        Ok(_) => Ok(Verdict::Same),
    }
}
