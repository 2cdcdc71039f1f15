//! Notes as bytes: each behind its length, with a hash that names the notebook and the place in it. So a note that was cut
//! short, damaged, or comes from another notebook is none, and neither is what follows it.

use crate::core::vocabulary::{CollectionId, Token};

const CONTEXT: &str = "lastword 2026 note v1";
const HASH: usize = 32;

/// The bytes that a note takes.
pub(super) fn length(note: &[u8]) -> u64 {
    (size_of::<u32>() + note.len() + HASH) as u64
}

/// The note at place `n` of a notebook. Its caller has bounded its length.
pub(super) fn write(of: (CollectionId, Token), n: u64, note: &[u8]) -> Vec<u8> {
    let length = u32::try_from(note.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&length, note, &hash(of, n, note)].concat()
}

/// The notes of a notebook up to the first that is not whole, and whether all are.
pub(super) fn read(of: (CollectionId, Token), bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut notes, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        match first(of, notes.len() as u64, rest) {
            Some((note, behind)) => {
                notes.push(note.to_owned());
                rest = behind;
            }
            None => return (notes, false),
        }
    }
    (notes, true)
}

fn first(of: (CollectionId, Token), n: u64, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (note, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let (found, rest) = rest.split_first_chunk::<HASH>()?;
    (*found == hash(of, n, note)).then_some((note, rest))
}

fn hash((collection, token): (CollectionId, Token), n: u64, note: &[u8]) -> [u8; HASH] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for number in [collection.0.0, token.epoch.0, token.seq.0, n] {
        hasher.update(&number.to_le_bytes());
    }
    *hasher.update(note).finalize().as_bytes()
}
