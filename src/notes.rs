//! Notes: bytes that attempts keep for the attempts after them, beside the log.
//!
//! The notes of one attempt are its *notebook*, a file of its own name in the directory `notes` of the log: it belongs
//! to one token, and no token is given out twice. A note is written as soon as it is kept, so it survives the end of the
//! process, however sudden. It is not synced: what a power cut takes is made again.
//!
//! All of this is a cache. Whoever reads a note has to hold it against the world; a notebook that is damaged, old, too
//! long or gone is none, and nothing that goes wrong here ends an attempt or an engine. What is kept is bounded in bytes.
//!
//! *Architecture invariant:* it knows tokens, bytes and a directory that it holds open. Which tokens are still needed is
//! said by its owner; what the bytes mean, by those who keep them.

mod place;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::place::{Place, Shelf};
use crate::core::vocabulary::{CollectionId, Token};

/// Most bytes of one note: a segment of 100,000 fragments has about 10 MiB of it.
const MOST_BYTES_OF_NOTE: usize = 16 << 20;

/// One notebook may have this share of all bytes, so that one attempt does not push out what all others have kept.
const SHARE: u64 = 4;

/// What a notebook counts at least: a file takes a block, however short it is.
const LEAST_BYTES: u64 = 4096;

/// Most bytes of all notebooks that are kept in memory.
const MOST_BYTES_IN_MEMORY: u64 = 32 << 20;

/// The notebooks of the attempts of one log.
pub(crate) struct Notes {
    place: Place,
    /// Most bytes of all of them.
    most: u64,
    index: Mutex<Index>,
}

/// What there is. No file is touched while it is locked: the engine's own thread asks.
#[derive(Default)]
struct Index {
    books: BTreeMap<Token, Book>,
    by_collection: BTreeSet<(CollectionId, Token)>,
    bytes: u64,
}

struct Book {
    collection: CollectionId,
    bytes: u64,
    /// Written by the attempt of its token; nothing once that is over.
    shelf: Arc<Mutex<Shelf>>,
}

impl Book {
    /// What it counts.
    fn weight(&self) -> u64 {
        if self.bytes == 0 { 0 } else { self.bytes.max(LEAST_BYTES) }
    }
}

impl Index {
    fn begin(&mut self, collection: CollectionId, token: Token, bytes: u64) {
        self.remove(token);
        let book = Book { collection, bytes, shelf: Arc::default() };
        self.bytes = self.bytes.saturating_add(book.weight());
        self.books.insert(token, book);
        self.by_collection.insert((collection, token));
    }

    fn remove(&mut self, token: Token) -> Option<Book> {
        let book = self.books.remove(&token)?;
        self.by_collection.remove(&(book.collection, token));
        self.bytes = self.bytes.saturating_sub(book.weight());
        Some(book)
    }
}

impl Notes {
    /// In memory, for as long as this value lives.
    pub(crate) fn in_memory(most: u64) -> Notes {
        Notes { place: Place::Memory, most: most.min(MOST_BYTES_IN_MEMORY), index: Mutex::default() }
    }

    /// Beside the log in the directory `state`, which its writer holds. Notebooks that are there already are found
    /// again. If there is no way to keep notes there, they are kept in memory.
    pub(crate) fn beside_log(state: &Path, most: u64) -> Notes {
        let opened = Place::open(state).and_then(|place| place.list().map(|listed| (place, listed)));
        let (place, listed) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(target: "lastword::notes", %error,
                    "notes are kept in memory only: what an attempt has made is not found again by another process");
                return Notes::in_memory(most);
            }
        };
        let mut index = Index::default();
        listed.into_iter().for_each(|(collection, token, bytes)| index.begin(collection, token, bytes));
        Notes { place, most, index: Mutex::new(index) }
    }

    /// From here on the attempt of this token may keep notes, until it is not needed any more.
    pub(crate) fn begin(&self, collection: CollectionId, token: Token) {
        self.index().begin(collection, token, 0);
    }

    /// Keeps a note of an attempt that has begun. Says whether it was kept.
    pub(crate) fn keep(&self, token: Token, note: &[u8]) -> bool {
        let Some((collection, shelf, given_up)) = self.reserve(token, note) else { return false };
        given_up.into_iter().for_each(|(collection, token)| self.place.remove(collection, token));
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.place.append(&mut shelf, (collection, token), note);
        if let Err(error) = &written {
            tracing::warn!(target: "lastword::notes", %collection, %token, %error,
                "a note was not kept: what the attempt has made since is made again if it does not commit");
        }
        // The file may have been made after it was removed.
        if !self.index().books.contains_key(&token) {
            self.place.remove(collection, token);
            return false;
        }
        written.is_ok()
    }

    /// Makes room for a note: the oldest notebooks of other attempts go.
    #[expect(clippy::type_complexity, reason = "the one caller takes it apart at once")]
    fn reserve(
        &self,
        token: Token,
        note: &[u8],
    ) -> Option<(CollectionId, Arc<Mutex<Shelf>>, Vec<(CollectionId, Token)>)> {
        if note.len() > MOST_BYTES_OF_NOTE {
            return None;
        }
        let length = record::length(note);
        let mut index = self.index();
        let book = index.books.get_mut(&token)?;
        let (collection, shelf, before) = (book.collection, Arc::clone(&book.shelf), book.weight());
        if book.bytes.saturating_add(length) > self.most / SHARE {
            return None;
        }
        book.bytes += length;
        let grown = book.weight() - before;
        index.bytes = index.bytes.saturating_add(grown);
        let mut given_up = Vec::new();
        while index.bytes > self.most {
            let oldest = index.books.iter().find(|(other, book)| **other != token && book.bytes > 0);
            let Some(oldest) = oldest.map(|(oldest, _)| *oldest) else { break };
            given_up.extend(index.remove(oldest).map(|book| (book.collection, oldest)));
        }
        Some((collection, shelf, given_up))
    }

    /// The notes of an attempt of this collection, as far as they are whole, in their order.
    pub(crate) fn of(&self, collection: CollectionId, token: Token) -> Vec<Vec<u8>> {
        let index = self.index();
        let book = index.books.get(&token).filter(|book| book.collection == collection);
        let Some(shelf) = book.map(|book| Arc::clone(&book.shelf)) else { return Vec::new() };
        drop(index);
        let shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.place.read(&shelf, (collection, token), self.most / SHARE);
        let (notes, is_whole) = bytes.map_or((Vec::new(), false), |bytes| record::read((collection, token), &bytes));
        if !is_whole {
            tracing::warn!(target: "lastword::notes", %collection, %token, whole = notes.len(),
                "notes are damaged: what they were of is made again");
        }
        notes
    }

    /// Removes the notebooks of this collection that are not needed any more.
    pub(crate) fn retain(&self, collection: CollectionId, is_needed: impl Fn(Token) -> bool) {
        let mut index = self.index();
        let own = index.by_collection.range((collection, Token::LOWEST)..).take_while(|(id, _)| *id == collection);
        let over: Vec<Token> = own.map(|(_, token)| *token).filter(|token| !is_needed(*token)).collect();
        let removed: Vec<(Token, Book)> =
            over.into_iter().filter_map(|token| index.remove(token).map(|book| (token, book))).collect();
        drop(index);
        for (token, book) in removed.into_iter().filter(|(_, book)| book.bytes > 0) {
            self.place.remove(book.collection, token);
        }
    }

    /// The collections that have notebooks.
    pub(crate) fn collections(&self) -> Vec<CollectionId> {
        let mut collections: Vec<CollectionId> = self.index().by_collection.iter().map(|(id, _)| *id).collect();
        collections.dedup();
        collections
    }

    /// Nothing is kept any more: another engine may own the directory from here on.
    pub(crate) fn close(&self) {
        *self.index() = Index::default();
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
