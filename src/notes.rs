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
use crate::unwind;

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
                unwind::tell(|| {
                    tracing::warn!(target: "lastword::notes", %error,
                        "notes are kept in memory only: what an attempt has made is not found again by another process");
                });
                return Notes::in_memory(most);
            }
        };
        let mut index = Index::default();
        // One that its process could only begin has a file as well, which is to be removed with the others.
        listed.into_iter().for_each(|(collection, token, bytes)| index.begin(collection, token, bytes.max(1)));
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
            unwind::tell(|| {
                tracing::warn!(target: "lastword::notes", %collection, %token, %error,
                    "a note was not kept: what the attempt has made since is made again if it does not commit");
            });
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
            unwind::tell(|| {
                tracing::warn!(target: "lastword::notes", %collection, %token, whole = notes.len(),
                    "notes are damaged: what they were of is made again");
            });
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::core::vocabulary::{Epoch, Seq};

    fn of(n: u64) -> (CollectionId, Token) {
        (CollectionId(Seq(1)), Token { epoch: Epoch(7), seq: Seq(n) })
    }

    fn begin(notes: &Notes, n: u64) -> Token {
        let (collection, token) = of(n);
        notes.begin(collection, token);
        token
    }

    fn kept(notes: &Notes, n: u64) -> Vec<Vec<u8>> {
        let (collection, token) = of(n);
        notes.of(collection, token)
    }

    fn files(state: &Path) -> Vec<String> {
        let names = fs::read_dir(state.join("notes")).unwrap();
        let mut names: Vec<String> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn defect_33_notes_are_found_again_in_their_order_and_by_their_attempt_alone() {
        let state = tempfile::tempdir().unwrap();
        for notes in [Notes::beside_log(state.path(), 1 << 20), Notes::in_memory(1 << 20)] {
            let token = begin(&notes, 1);
            assert!([&b"a"[..], b"", b"c"].into_iter().all(|note| notes.keep(token, note)));
            assert!(notes.keep(begin(&notes, 2), b"of another"));
            assert_eq!(kept(&notes, 1), [&b"a"[..], b"", b"c"]);
            assert_eq!(notes.of(CollectionId(Seq(9)), token), Vec::<Vec<u8>>::new(), "another incarnation");
            assert!(!notes.keep(of(3).1, b"of one that has not begun"));
        }
        let next = Notes::beside_log(state.path(), 1 << 20);
        assert_eq!(kept(&next, 1), [&b"a"[..], b"", b"c"]);
        assert_eq!(next.collections(), [CollectionId(Seq(1))]);
        next.retain(CollectionId(Seq(1)), |token| token == of(2).1);
        assert_eq!(files(state.path()), ["1.7.2"]);
    }

    #[test]
    fn defect_33_of_a_damaged_notebook_what_lies_before_the_damage_is_whole() {
        let state = tempfile::tempdir().unwrap();
        let notes = Notes::beside_log(state.path(), 1 << 20);
        let token = begin(&notes, 1);
        let all = [&b"first"[..], b"second", b"third"];
        assert!(all.into_iter().all(|note| notes.keep(token, note)));
        let path = state.path().join("notes/1.7.1");
        let whole = fs::read(&path).unwrap();
        let first = usize::try_from(record::length(all[0])).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            let found = kept(&notes, 1);
            assert!(
                found.len() < 3 && all.iter().zip(&found).all(|(note, found)| note == found),
                "byte {at}: {found:?}"
            );
            assert_eq!(found.is_empty(), at < first);
            fs::write(&path, &whole[..at]).unwrap();
            assert!(kept(&notes, 1).len() < 3, "cut at {at}");
        }
        // The notes of another attempt under this name.
        fs::write(&path, record::write(of(2), 0, b"first")).unwrap();
        assert_eq!(kept(&notes, 1), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn defect_33_notes_are_bounded_in_bytes_and_the_oldest_go_first() {
        let state = tempfile::tempdir().unwrap();
        let notes = Notes::beside_log(state.path(), 64 << 10);
        // A quarter for one.
        let token = begin(&notes, 1);
        let written = (0..100).take_while(|_| notes.keep(token, &[7; 1000])).count();
        assert_eq!(written, 15);
        // A short one counts a block.
        for n in 2..=20 {
            assert!(notes.keep(begin(&notes, n), b"short"));
        }
        assert_eq!(kept(&notes, 1), Vec::<Vec<u8>>::new(), "the oldest is gone");
        assert!(!notes.keep(token, b"more"), "and stays gone");
        assert_eq!(files(state.path()).len(), 16, "64 KiB in blocks of 4");
        assert_eq!(kept(&notes, 20), [b"short"]);
        let none = Notes::beside_log(state.path(), 0);
        assert!(!none.keep(begin(&none, 30), b""));
        assert!(!notes.keep(begin(&notes, 31), &vec![0; MOST_BYTES_OF_NOTE + 1]));
    }

    #[test]
    fn defect_33_what_takes_the_place_of_the_directory_is_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let notes = Notes::beside_log(state.path(), 1 << 20);
        assert!(notes.keep(begin(&notes, 1), b"ours"));
        fs::rename(state.path().join("notes"), state.path().join("moved")).unwrap();
        fs::create_dir(state.path().join("notes")).unwrap();
        fs::write(state.path().join("notes/1.7.1"), "another's").unwrap();
        assert!(notes.keep(of(1).1, b"more") && notes.keep(begin(&notes, 2), b"second"));
        assert_eq!(kept(&notes, 1), [&b"ours"[..], b"more"]);
        notes.retain(CollectionId(Seq(1)), |_| false);
        assert_eq!(fs::read(state.path().join("notes/1.7.1")).unwrap(), b"another's");
        assert_eq!(fs::read_dir(state.path().join("moved")).unwrap().count(), 0);
    }

    #[test]
    fn defect_33_links_and_pipes_and_foreign_names_are_no_notebooks() {
        let state = tempfile::tempdir().unwrap();
        drop(Notes::beside_log(state.path(), 1 << 20));
        let at = |name: &str| state.path().join("notes").join(name);
        fs::write(state.path().join("secret"), record::write(of(1), 0, b"secret")).unwrap();
        std::os::unix::fs::symlink("../secret", at("1.7.1")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at("1.7.2")).status().unwrap();
        assert!(made.success());
        ["01.7.3", "1.7", "1.7.3.4", "1.7.x", "README"].into_iter().for_each(|name| fs::write(at(name), "").unwrap());
        let before = files(state.path());
        let notes = Notes::beside_log(state.path(), 1 << 20);
        assert_eq!(notes.collections(), [], "nothing is found");
        // Nor opened, by a token that should have that very name.
        for n in [1, 2] {
            assert!(!notes.keep(begin(&notes, n), b"note"));
            assert_eq!(kept(&notes, n), Vec::<Vec<u8>>::new());
        }
        assert_eq!(files(state.path()), before);
    }

    /// Found by 300 random kills on a busy machine.
    #[test]
    fn defect_33_a_notebook_of_a_process_that_was_killed_before_its_first_note_goes_as_well() {
        let state = tempfile::tempdir().unwrap();
        drop(Notes::beside_log(state.path(), 1 << 20));
        fs::write(state.path().join("notes/1.7.2"), "").unwrap();
        let next = Notes::beside_log(state.path(), 1 << 20);
        assert_eq!(next.collections(), [of(2).0]);
        next.retain(of(2).0, |_| false);
        assert_eq!(files(state.path()), Vec::<String>::new());
    }

    #[test]
    fn a_zombie_keeps_nothing_and_neither_does_anyone_after_the_end() {
        let state = tempfile::tempdir().unwrap();
        let notes = Notes::beside_log(state.path(), 1 << 20);
        let (zombie, running) = (begin(&notes, 1), begin(&notes, 2));
        assert!(notes.keep(zombie, b"a") && notes.keep(running, b"b"));
        notes.retain(CollectionId(Seq(1)), |token| token == running);
        assert!(!notes.keep(zombie, b"late"));
        assert_eq!(files(state.path()), ["1.7.2"]);
        notes.close();
        assert!(!notes.keep(running, b"too late"));
        assert_eq!(kept(&Notes::beside_log(state.path(), 1 << 20), 2), [b"b"]);
    }
}
