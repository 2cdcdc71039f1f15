//! Trees of objects: path sets and manifests.
//!
//! The input is a list of objects, each behind its length (u16), children before parents; the last one is the root.
//! No fuzzer finds the hash of an object, so it is written as 31 times `@` and the place of the object in the list.

use lastword::core::vocabulary::ObjectHash;
use lastword::external::{Manifest, load_set, manifest_json, store_set};
use lastword::objects::tree;
use lastword::objects::{MemoryObjects, Objects};

use super::array;
use super::memory::bounded;

/// A tree as a path set.
pub fn path_set(input: &[u8]) {
    let Some((objects, root)) = forest(input) else { return };
    walk(&objects, root, input);
    let Ok(set) = bounded(input, 64, || load_set(&objects, root)) else { return };
    let store = MemoryObjects::new();
    let stored = store_set(&store, &set, None).unwrap();
    let again = load_set(&store, stored.root).unwrap();
    assert!(again == set && again.digest() == set.digest());
    // A tree that verifies has the one form that its entries have.
    if tree::verify(&objects, root).is_ok() && set.entries().eq(tree::read(&objects, root).map(Result::unwrap)) {
        assert_eq!(stored.root, root);
    }
    for (path, _) in set.files() {
        assert!(!path.to_string().contains(char::is_control));
    }
}

/// A tree as a manifest.
pub fn manifest(input: &[u8]) {
    let Some((objects, root)) = forest(input) else { return };
    let Ok(manifest) = bounded(input, 64, || Manifest::read(&objects, root)) else { return };
    let store = MemoryObjects::new();
    let written = manifest.write(&store).unwrap();
    assert_eq!(Manifest::read(&store, written.hash).unwrap(), manifest);
    if tree::verify(&objects, root).is_ok() {
        assert_eq!(written.hash, root, "a manifest has one form");
    }
    let json = manifest_json("c", None, &manifest.segments).to_string();
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
}

/// Every way to go through a tree comes to an end, and they agree.
fn walk(objects: &MemoryObjects, root: ObjectHash, input: &[u8]) {
    let read = || tree::read(objects, root).try_fold(0, |count, entry| entry.map(|_| count + 1));
    let read = bounded(input, 16, read).ok();
    let verified = bounded(input, 16, || tree::verify(objects, root)).ok();
    if let Some(verified) = verified {
        assert_eq!((Some(verified.entries), verified.hash), (read, root));
        assert_eq!(tree::entry_count(objects, root).unwrap(), verified.entries);
    }
    let mut names = std::collections::BTreeSet::new();
    let _ = tree::reachable(objects, root, &mut |hash| names.insert(hash));
    let _ = tree::get(objects, root, b"a");
}

fn forest(input: &[u8]) -> Option<(MemoryObjects, ObjectHash)> {
    let (objects, mut hashes, mut rest) = (MemoryObjects::new(), Vec::new(), input);
    while let Some(length) = array(rest, 0).map(u16::from_le_bytes) {
        let (object, behind) = rest[2..].split_at(usize::from(length).min(rest.len() - 2));
        hashes.extend(objects.put(&[named(object, &hashes)]).unwrap());
        rest = behind;
    }
    Some((objects, *hashes.last()?))
}

/// The object with the hashes of those before it in place.
fn named(object: &[u8], hashes: &[ObjectHash]) -> Vec<u8> {
    let mut object = object.to_vec();
    let mut at = 0;
    while let Some(window) = array::<32>(&object, at) {
        match hashes.get(usize::from(window[31])) {
            Some(hash) if window[..31] == [b'@'; 31] => {
                object[at..at + 32].copy_from_slice(&hash.0);
                at += 32;
            }
            _ => at += 1,
        }
    }
    object
}
