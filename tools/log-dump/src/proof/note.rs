//! Reading what was noted, and whether it is signed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Checkpoint, PublicKey};
use crate::fail::{Exit, Failure};

/// More than a note with many signatures has.
const MOST: u64 = 1 << 20;

/// Whether a note is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    /// By the key that was asked for.
    Yes,
    /// Nobody asked.
    Unknown,
}

/// The checkpoint in a file. With a key it has to be signed by it.
pub(crate) fn read(path: &Path, key: Option<&PublicKey>) -> Result<(Checkpoint, Signed), Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    read.map_err(|error| Failure::io("reading", path, &error))?;
    let shown = path.display();
    let none = || Failure::new(Exit::USAGE, format_args!("{shown}: this is no checkpoint"));
    let (body, signatures) = parts(&text);
    if body.contains(|c: char| c.is_control() && c != '\n') || !body.ends_with('\n') {
        return Err(none());
    }
    let checkpoint = Checkpoint::parse(body).ok_or_else(none)?;
    let Some(key) = key else { return Ok((checkpoint, Signed::Unknown)) };
    let problem = match signed(body, signatures, key) {
        Some(true) => return Ok((checkpoint, Signed::Yes)),
        Some(false) => "was changed after this key had signed it, or was never signed by it",
        None => "is not signed by this key",
    };
    Err(Failure::new(Exit::DEFECT, format_args!("{shown}: the checkpoint {problem}")))
}

/// The text, and its signatures. Without any there is no empty line.
fn parts(note: &str) -> (&str, &str) {
    note.rfind("\n\n").and_then(|at| Some((note.get(..=at)?, note.get(at + 2..)?))).unwrap_or((note, ""))
}

/// Whether the signatures of a key hold; nothing if there is none. One that does not hold spoils the note.
fn signed(body: &str, signatures: &str, key: &PublicKey) -> Option<bool> {
    let ours = signatures.lines().filter_map(|line| {
        let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let signature = BASE64.decode(signature).ok().filter(|_| name == key.name)?;
        signature.strip_prefix(&key.id()).map(<[u8]>::to_vec)
    });
    let ours: Vec<bool> = ours.map(|signature| key.has_signed(body, &signature)).collect();
    (!ours.is_empty()).then(|| ours.into_iter().all(|holds| holds))
}

/// Whether a note is signed by a key, both as texts.
#[doc(hidden)]
#[must_use]
pub fn signed_by(note: &str, key: &str) -> bool {
    let (body, signatures) = parts(note);
    PublicKey::read(key).is_ok_and(|key| signed(body, signatures, &key) == Some(true))
}
