//! Whether a listing gets anywhere: a store that tells of the same page again and again is asked no more. It must not know what
//! is listed.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::fault::Fault;

/// Pages without a key, one after the other, that are followed: a store that passes over what was deleted may send many.
const EMPTY: usize = 10_000;

/// How far one lane of a listing has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Hashes of the places that it went on at.
    tokens: HashSet<u64>,
    /// Hashes of the keys that pages began with. A key is there once, so a page that begins as another one is the same.
    begins: HashSet<u64>,
    empty: usize,
}

impl Progress {
    /// Hears of a page that begins with this key, behind which the listing goes on there.
    pub(super) fn heard(&mut self, first: Option<&String>, page_token: Option<&String>) -> Result<(), Fault> {
        let is_new_page = first.is_none_or(|first| self.begins.insert(hash(first)));
        let is_new_token = page_token.is_none_or(|token| self.tokens.insert(hash(token)));
        if !is_new_page || !is_new_token {
            let why = "its listing goes round in a circle: the store tells of the same page again, and of no end";
            return Err(Fault::Page(why.to_owned()));
        }
        self.empty = if first.is_some() { 0 } else { self.empty + 1 };
        if self.empty >= EMPTY && page_token.is_some() {
            return Err(Fault::Page(format!("its listing has given {EMPTY} pages without a key, and goes on")));
        }
        Ok(())
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
