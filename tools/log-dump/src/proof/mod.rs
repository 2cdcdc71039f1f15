//! What somebody notes of a log elsewhere, to prove later that the log goes on from there: a checkpoint in the shape of C2SP
//! (<https://c2sp.org/tlog-checkpoint>), with signatures as signed notes have them (<https://c2sp.org/signed-note>).
//!
//! The shape is that of those checkpoints, and the hash is another one: that of a frame, which covers the frame before it, and not
//! the root of a Merkle tree. It owns the text and its signatures; how the end of a log is found is not its business.

mod key;
mod note;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::log::{FrameHash, LogReader, PrivateCopy};

use crate::anchor::read_anchor;
use crate::fail::{Exit, Failure};

pub(crate) use key::new as new_key;
pub use key::{PublicKey, SigningKey};
#[doc(hidden)]
pub use note::signed_by;
pub(crate) use note::{Signed, read};

/// Before the name of a log in its origin.
const ORIGIN: &str = "lastword/";

/// Before the time, in the line behind the hash.
const TIME: &str = "time ";

/// The end of a log, as it is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `lastword/` and the hash of its first frame.
    pub origin: String,
    /// Its last event.
    pub seq: Seq,
    /// The hash of the frame that ends with that event.
    pub hash: FrameHash,
    /// When that frame was recorded, or the note was made.
    pub time: Timestamp,
}

impl Checkpoint {
    /// Where the log in `state` ends, by its `HEAD`, which may be a second behind a run. Only that is read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_anchor(state: &Path, origin: &str, now: Timestamp) -> Result<Checkpoint, Failure> {
        let position = read_anchor(state)?.position;
        Ok(Checkpoint { origin: origin.to_owned(), seq: position.seq, hash: position.hash, time: now })
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let Checkpoint { origin, seq, hash, time } = self;
        format!("{origin}\n{seq}\n{}\n{TIME}{time}\n", BASE64.encode(hash.0))
    }

    /// The note: the text and, with a key, its signature.
    #[must_use]
    pub fn note(&self, key: Option<&SigningKey>) -> String {
        let text = self.text();
        match key {
            Some(key) => format!("{text}\n{}\n", key.sign(&text)),
            None => text,
        }
    }

    /// What stands in a text. Lines behind the hash that are not ours are passed over.
    fn parse(text: &str) -> Option<Checkpoint> {
        let mut lines = text.lines();
        let origin = lines.next().filter(|origin| !origin.is_empty())?.to_owned();
        let size = lines.next()?;
        let seq = Seq(size.parse().ok()?);
        let hash = BASE64.decode(lines.next()?).ok()?.try_into().ok()?;
        // As it is written, and in no other way.
        let time = lines.find_map(|line| line.strip_prefix(TIME)).and_then(crate::args::rfc3339);
        (seq.to_string() == size).then_some(Checkpoint {
            origin,
            seq,
            hash: FrameHash(hash),
            time: time.unwrap_or_default(),
        })
    }
}

/// The name of a log: the format has none, so the hash of its first frame is. Nothing if that is there no more, or not yet.
pub(crate) fn origin(reader: &dyn LogReader) -> Result<Option<String>, Failure> {
    if !reader.start().is_whole() {
        return Ok(None);
    }
    let first = reader.frames(Seq::ZERO).next().transpose()?;
    Ok(first.map(|frame| format!("{ORIGIN}{}", frame.as_frame().hash())))
}

/// The name of the log in `state`; if it has lost its first frame, what an earlier note in `noted` calls it. A copy is made of
/// the log.
///
/// # Errors
/// When there is neither.
pub fn origin_of(state: &Path, noted: Option<&Path>) -> Result<String, Failure> {
    let copy = PrivateCopy::of_visiting(state, || crate::input::behind_snapshots(state))?.0;
    if let Some(origin) = origin(&*copy.reader())? {
        return Ok(origin);
    }
    let earlier = noted.and_then(|noted| fs::read_to_string(noted).ok()).and_then(|text| Checkpoint::parse(&text));
    earlier.map(|earlier| earlier.origin).ok_or_else(unnamed)
}

/// What is said where a log has lost its first frame.
pub(crate) fn unnamed() -> Failure {
    let problem = "the first frame of this log, whose hash names it, was let go, or is not there yet: --origin names the log as an \
                   earlier checkpoint does";
    Failure::new(Exit::USAGE, problem)
}
