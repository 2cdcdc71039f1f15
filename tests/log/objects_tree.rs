//! The tree of objects: the same entries give the same root, a small change writes little, and bytes that are
//! not ours are refused.

use std::collections::{BTreeMap, BTreeSet};

use lastword::core::vocabulary::ObjectHash;
use lastword::objects::tree::{self, Change, Entry, TreeError};
use lastword::objects::{MAX_OBJECT_BYTES, MemoryObjects, ObjectError, Objects};
use proptest::prelude::*;

fn entry(n: u64) -> Entry {
    (format!("data/part-{n:06}.parquet").into_bytes(), n.to_le_bytes().repeat(5))
}

fn entries_of(objects: &dyn Objects, root: ObjectHash) -> Vec<Entry> {
    tree::read(objects, root).collect::<Result<_, _>>().unwrap()
}

#[test]
fn an_empty_tree_is_an_object_of_its_own() {
    let objects = MemoryObjects::new();
    let root = tree::build(&objects, []).unwrap();
    assert_eq!((root.entries, objects.len()), (0, 1));
    assert_eq!(entries_of(&objects, root.hash), []);
    assert_eq!(tree::verify(&objects, root.hash).unwrap(), root);
    assert_eq!(objects.get(root.hash).unwrap(), b"LWOB\x01\x00\x01\x00\x00\x00\x00\x00");
}

#[test]
fn case_27_one_file_of_ten_thousand_writes_a_handful_of_objects() {
    let objects = MemoryObjects::new();
    let before = tree::build(&objects, (0..10_000).map(entry)).unwrap();
    assert_eq!(before.entries, 10_000);
    for changed in [0, 1, 63, 4_711, 9_998, 9_999] {
        let held = objects.len();
        let after =
            tree::build(&objects, (0..10_000).map(|n| if n == changed { (entry(n).0, vec![7]) } else { entry(n) }));
        let after = after.unwrap();
        let written = objects.len() - held;
        assert!(written <= 4, "changing file {changed} wrote {written} objects");
        let changes: Vec<_> = tree::diff(&objects, before.hash, after.hash).map(Result::unwrap).collect();
        assert_eq!(changes, [Change::Changed { key: entry(changed).0, before: entry(changed).1, after: vec![7] }]);
        assert_eq!(tree::get(&objects, after.hash, &entry(changed).0).unwrap(), Some(vec![7]));
    }
    // Removing and adding shift everything behind them, and still only touch their own neighbourhood.
    let held = objects.len();
    tree::build(&objects, (0..10_000).filter(|n| *n != 5_000).map(entry)).unwrap();
    let written = objects.len() - held;
    assert!(written <= 6, "removing one file wrote {written} objects");
}

#[test]
fn a_difference_reads_only_what_differs() {
    struct Counting(MemoryObjects, std::sync::atomic::AtomicUsize);
    impl Objects for Counting {
        fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, lastword::objects::ObjectError> {
            self.0.put(objects)
        }
        fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, lastword::objects::ObjectError> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.0.get(hash)
        }
        fn list(&self) -> Result<Vec<ObjectHash>, lastword::objects::ObjectError> {
            self.0.list()
        }
        fn remove(&self, hash: ObjectHash) -> Result<(), lastword::objects::ObjectError> {
            self.0.remove(hash)
        }
    }
    let objects = Counting(MemoryObjects::new(), 0.into());
    let before = tree::build(&objects, (0..100_000).map(entry)).unwrap();
    let after = tree::build(&objects, (0..100_000).filter(|n| *n != 77_777).map(entry)).unwrap();
    let changes: Vec<_> = tree::diff(&objects, before.hash, after.hash).map(Result::unwrap).collect();
    assert_eq!(changes, [Change::Removed { key: entry(77_777).0, value: entry(77_777).1 }]);
    let read = objects.1.load(std::sync::atomic::Ordering::Relaxed);
    assert!(read <= 20, "{read} objects were read to find one change");
}

/// Of a tree of three levels whose last node has one leaf, that leaf is all that there is.
#[test]
fn what_stays_of_the_end_of_a_tree_is_a_tree_of_its_own() {
    let entry = |n: u16| ([&n.to_be_bytes()[..], &[7; 2_000]].concat(), vec![1; 40]);
    for count in 100..270 {
        let objects = MemoryObjects::new();
        let before = tree::build(&objects, (0..count).map(entry)).unwrap();
        for stay in [1, 5, 20] {
            let changes = (0..count - stay).map(|n| (entry(n).0, None));
            let after = tree::edit(&objects, before.hash, changes).unwrap();
            assert_eq!(after, tree::build(&MemoryObjects::new(), (count - stay..count).map(entry)).unwrap());
        }
    }
}

#[test]
fn reachable_names_every_object_and_nothing_else() {
    let objects = MemoryObjects::new();
    let root = tree::build(&objects, (0..20_000).map(entry)).unwrap();
    let mut seen = BTreeSet::new();
    tree::reachable(&objects, root.hash, &mut |hash| seen.insert(hash)).unwrap();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), objects.list().unwrap());
    assert_eq!(tree::entry_count(&objects, root.hash).unwrap(), 20_000);
    assert_eq!(tree::verify(&objects, root.hash).unwrap(), root);
}

#[test]
fn case_15_values_of_many_megabytes_are_entries_like_others() {
    let objects = MemoryObjects::new();
    let large = vec![7; 9 << 20];
    let entries = vec![(vec![1], large.clone()), (vec![2], vec![]), (vec![3], large)];
    let root = tree::build(&objects, entries.clone()).unwrap();
    assert_eq!(entries_of(&objects, root.hash), entries);
    let longest = tree::MAX_VALUE_BYTES + tree::MAX_KEY_BYTES + 64;
    assert!(longest <= MAX_OBJECT_BYTES);
    let error = tree::build(&objects, [(vec![0; tree::MAX_KEY_BYTES + 1], vec![])]).unwrap_err();
    assert_eq!(error.to_string(), "a key of 65537 bytes is longer than the 65536 that are allowed");
}

#[test]
fn entries_out_of_order_are_refused() {
    for keys in [[2, 1], [1, 1]] {
        let error = tree::build(&MemoryObjects::new(), keys.map(|key| (vec![key], vec![]))).unwrap_err();
        assert!(matches!(error, TreeError::Unsorted));
    }
}

#[test]
fn a_failed_put_is_reported_and_a_second_try_heals() {
    let objects = MemoryObjects::new();
    objects.fail_next_put();
    assert!(matches!(tree::build(&objects, (0..1_000).map(entry)), Err(TreeError::Object(_))));
    let root = tree::build(&objects, (0..1_000).map(entry)).unwrap();
    assert_eq!(entries_of(&objects, root.hash).len(), 1_000);
}

#[test]
fn a_missing_or_damaged_object_is_named() {
    let objects = MemoryObjects::new();
    let root = tree::build(&objects, (0..1_000).map(entry)).unwrap();
    let leaf = objects.list().unwrap().into_iter().find(|hash| *hash != root.hash).unwrap();
    objects.damage(leaf, b"not what it was".to_vec());
    let error = tree::verify(&objects, root.hash).unwrap_err();
    assert_eq!(error.to_string(), format!("object {leaf} is damaged: its bytes do not have that hash"));
    objects.remove(leaf).unwrap();
    let error = tree::verify(&objects, root.hash).unwrap_err();
    assert_eq!(error.to_string(), format!("object {leaf} is missing"));
}

#[test]
fn a_tree_with_other_boundaries_is_not_the_tree_of_its_entries() {
    let objects = MemoryObjects::new();
    // One leaf that holds all entries, where the rule would have made several.
    let mut bytes = b"LWOB\x01\x00\x01\x00".to_vec();
    bytes.extend_from_slice(&1_000_u32.to_le_bytes());
    for (key, value) in (0..1_000).map(entry) {
        bytes.extend_from_slice(&u32::try_from(key.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&key);
        bytes.extend_from_slice(&value);
    }
    let root = objects.put(&[bytes]).unwrap()[0];
    assert_eq!(entries_of(&objects, root).len(), 1_000);
    assert!(tree::verify(&objects, root).unwrap_err().to_string().ends_with("its entries give another tree"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was there before, and however it was changed: the same entries have the same root, and the
    /// difference is exactly what differs.
    #[test]
    fn the_root_is_a_function_of_the_entries(
        before in proptest::collection::btree_map(0_u64..3_000, 0_u8..4, 0..800),
        edits in proptest::collection::btree_map(0_u64..3_000, proptest::option::of(0_u8..4), 0..200),
    ) {
        let encode = |map: &BTreeMap<u64, u8>| -> Vec<Entry> {
            map.iter().map(|(key, value)| (key.to_be_bytes().to_vec(), vec![*value; 40])).collect()
        };
        let mut after = before.clone();
        for (key, value) in &edits {
            match value {
                Some(value) => after.insert(*key, *value),
                None => after.remove(key),
            };
        }
        let (objects, fresh) = (MemoryObjects::new(), MemoryObjects::new());
        let first = tree::build(&objects, encode(&before)).unwrap();
        let second = tree::build(&objects, encode(&after)).unwrap();
        prop_assert_eq!(second, tree::build(&fresh, encode(&after)).unwrap());
        let changes = edits.iter().map(|(key, value)| (key.to_be_bytes().to_vec(), value.map(|value| vec![value; 40])));
        prop_assert_eq!(second, tree::edit(&objects, first.hash, changes).unwrap());
        prop_assert_eq!(entries_of(&objects, second.hash), encode(&after));
        prop_assert_eq!(tree::verify(&objects, second.hash).unwrap(), second);

        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (encode(&before).into_iter().collect(), encode(&after).into_iter().collect());
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
        let expected: Vec<_> = keys.into_iter().filter_map(|key| match (old.get(&key), new.get(&key)) {
            (None, Some(value)) => Some(Change::Added { key, value: value.clone() }),
            (Some(value), None) => Some(Change::Removed { key, value: value.clone() }),
            (Some(before), Some(after)) if before != after => Some(Change::Changed { key, before: before.clone(), after: after.clone() }),
            _ => None,
        }).collect();
        let found: Vec<_> = tree::diff(&objects, first.hash, second.hash).map(Result::unwrap).collect();
        prop_assert_eq!(found, expected);
    }

    /// The same, of trees of several levels whose objects end by their length more often than by a key.
    #[test]
    fn an_edited_tree_is_the_tree_of_its_entries(
        before in proptest::collection::btree_map(0_u16..1_200, 0_u8..4, 0..1_000),
        edits in proptest::collection::btree_map(0_u16..1_200, proptest::option::of(0_u8..4), 0..12),
        cut in 0_u16..1_300,
    ) {
        let long = |key: u16| [&key.to_be_bytes()[..], &vec![7; usize::from(key % 5) * 1_100]].concat();
        let entry = |(key, value): (&u16, &u8)| (long(*key), vec![*value; 40 + usize::from(*value) * 1_000]);
        // Now and then all that follows upon one key goes.
        let tail = before.range(cut..).map(|(key, _)| (*key, None));
        let edits: BTreeMap<u16, Option<u8>> = tail.chain(edits).collect();
        let mut after = before.clone();
        for (key, value) in &edits {
            match value {
                Some(value) => after.insert(*key, *value),
                None => after.remove(key),
            };
        }
        let objects = MemoryObjects::new();
        let first = tree::build(&objects, before.iter().map(entry)).unwrap();
        let changes = edits.iter().map(|(key, value)| {
            (long(*key), value.as_ref().map(|value| entry((key, value)).1))
        });
        let edited = tree::edit(&objects, first.hash, changes).unwrap();
        prop_assert_eq!(edited, tree::build(&MemoryObjects::new(), after.iter().map(entry)).unwrap());
        let mut visited = Vec::new();
        tree::visit::<TreeError>(&objects, edited.hash, &mut |key, value| {
            visited.push((key.to_vec(), value.to_vec()));
            Ok(())
        }).unwrap();
        prop_assert_eq!(visited, after.iter().map(entry).collect::<Vec<_>>());
    }

    /// Any single byte of an object changed, or the object cut short: an error or a tree, never a panic.
    #[test]
    fn hostile_objects_never_panic(at in 0_usize..8_000, value in 0_u8.., cut in proptest::bool::ANY) {
        let objects = MemoryObjects::new();
        let root = tree::build(&objects, (0..300).map(entry)).unwrap();
        let hashes = objects.list().unwrap();
        let mut bytes = objects.get(hashes[at % hashes.len()]).unwrap();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = value }
        let hostile = objects.put(&[bytes]).unwrap()[0];
        for root in [hostile, root.hash] {
            let read: Result<Vec<_>, _> = tree::read(&objects, root).take(100_000).collect();
            let mut count = 0;
            let visited = tree::visit::<TreeError>(&objects, root, &mut |_, _| { count += 1; Ok(()) });
            prop_assert_eq!(visited.map(|()| count).ok(), read.map(|entries| entries.len()).ok());
            let _ = tree::edit(&objects, root, [(b"data/part-000100.parquet".to_vec(), None)]);
            let _ = tree::diff(&objects, root, hostile).take(100_000).count();
            let _ = tree::verify(&objects, hostile);
            let _ = tree::reachable(&objects, hostile, &mut |_| true);
            let _ = tree::get(&objects, hostile, b"data/part-000100.parquet");
        }
    }
}

#[test]
fn a_walk_reads_every_object_children_first_and_misses_none() {
    let objects = MemoryObjects::new();
    let root = tree::build(&objects, (0..5_000_u32).map(|n| (n.to_be_bytes().to_vec(), vec![1; 40]))).unwrap();
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    tree::walk::<TreeError>(&objects, root.hash, &mut |hash| seen.insert(hash), &mut |hash, _| {
        order.push(hash);
        Ok(())
    })
    .unwrap();
    assert_eq!(order.len(), objects.len());
    assert_eq!(order.last(), Some(&root.hash));
    let first_leaf = order[0];
    objects.remove(first_leaf).unwrap();
    let missing = tree::walk::<TreeError>(&objects, root.hash, &mut |_| true, &mut |_, _| Ok(()));
    assert!(matches!(missing, Err(TreeError::Object(ObjectError::Missing(found))) if found == first_leaf));
}
