//! Objects as files: what a crash leaves behind, what is refused, and who may read them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::ObjectHash;
use lastword::objects::{FileObjects, ObjectError, Objects, object_hash};

fn path_of(root: &Path, hash: ObjectHash) -> PathBuf {
    let name = hash.to_string();
    root.join(&name[..2]).join(name)
}

#[test]
fn what_was_put_is_read_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("objects");
    let objects = FileObjects::open(&root).unwrap();
    let batch: Vec<Vec<u8>> = (0..600_u32).map(|n| n.to_le_bytes().to_vec()).collect();
    let hashes = objects.put(&batch).unwrap();
    assert_eq!(hashes, batch.iter().map(|bytes| object_hash(bytes)).collect::<Vec<_>>());
    let mut sorted = hashes.clone();
    sorted.sort();
    assert_eq!(objects.list().unwrap(), sorted);
    for (hash, bytes) in hashes.iter().zip(&batch) {
        assert_eq!(&objects.get(*hash).unwrap(), bytes);
    }
    objects.remove(hashes[0]).unwrap();
    objects.remove(hashes[0]).unwrap();
    assert!(matches!(objects.get(hashes[0]), Err(ObjectError::Missing(hash)) if hash == hashes[0]));
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    let again = FileObjects::open(&root).unwrap();
    assert_eq!(again.put(&batch).unwrap(), hashes);
    assert_eq!(again.list().unwrap(), sorted);
}

#[test]
fn only_the_owner_may_look_inside() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("objects");
    let objects = FileObjects::open(&root).unwrap();
    let hash = objects.put(&[b"private".to_vec()]).unwrap()[0];
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = path_of(&root, hash);
    assert_eq!(
        (mode(&root), mode(file.parent().unwrap()), mode(&root.join("tmp")), mode(&file)),
        (0o700, 0o700, 0o700, 0o600)
    );
}

#[test]
fn one_that_is_there_is_not_written_again_and_a_damaged_one_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let objects = FileObjects::open(dir.path()).unwrap();
    let bytes = vec![b"a path set".to_vec()];
    let hash = objects.put(&bytes).unwrap()[0];
    let path = path_of(dir.path(), hash);
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let first = inode(&path);
    objects.put(&bytes).unwrap();
    assert_eq!(inode(&path), first);

    for damage in [&b"a path sex"[..], b"", b"a path set and more"] {
        fs::write(&path, damage).unwrap();
        assert!(matches!(objects.get(hash), Err(ObjectError::Damaged(found)) if found == hash));
        objects.put(&bytes).unwrap();
        assert_eq!(objects.get(hash).unwrap(), bytes[0]);
    }
}

#[test]
fn leftovers_of_a_crash_are_swept_by_the_next_writer_and_by_no_reader() {
    let dir = tempfile::tempdir().unwrap();
    drop(FileObjects::open(dir.path()).unwrap());
    let leftover = dir.path().join("tmp/17");
    fs::write(&leftover, b"half an obj").unwrap();
    let reader = FileObjects::open_read_only(dir.path()).unwrap();
    assert!(leftover.exists());
    assert_eq!(reader.list().unwrap(), []);
    assert!(reader.put(&[vec![1]]).unwrap_err().to_string().contains("it was opened to read only"));
    assert!(reader.remove(object_hash(&[1])).is_err());
    FileObjects::open(dir.path()).unwrap();
    assert!(!leftover.exists());
}

/// A worker that was given up may be inside `put` of the store before while the next one is opened and used.
#[test]
fn defect_11_stores_that_follow_each_other_share_no_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let older = FileObjects::open(dir.path()).unwrap();
    let object = |store: u32, n: u32| {
        let mut bytes = vec![7; 40_000];
        bytes[..8].copy_from_slice(&[store.to_le_bytes(), n.to_le_bytes()].concat());
        bytes
    };
    let stored: Vec<(u32, ObjectHash)> = std::thread::scope(|scope| {
        let zombie = scope.spawn(|| {
            (0..300)
                .map(|n| (n, older.put(&[object(0, n)]).expect("the older store is disturbed")[0]))
                .collect::<Vec<_>>()
        });
        let mut stored = Vec::new();
        for round in 0..30 {
            let newer = FileObjects::open(dir.path()).unwrap();
            for n in 0..10 {
                let n = 10 * round + n;
                stored.push((1_000 + n, newer.put(&[object(1, n)]).expect("the newer store is disturbed")[0]));
            }
        }
        stored.extend(zombie.join().unwrap());
        stored
    });
    let reader = FileObjects::open_read_only(dir.path()).unwrap();
    for (n, hash) in stored {
        assert_eq!(reader.get(hash).unwrap(), object(n / 1_000, n % 1_000));
    }
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn defect_11_a_temporary_file_that_is_being_written_is_not_swept() {
    let dir = tempfile::tempdir().unwrap();
    drop(FileObjects::open(dir.path()).unwrap());
    let (written, left) = (dir.path().join("tmp/written"), dir.path().join("tmp/left"));
    let held = fs::File::create(&written).unwrap();
    held.lock().unwrap();
    fs::write(&left, b"half an obj").unwrap();
    FileObjects::open(dir.path()).unwrap();
    assert!(written.exists() && !left.exists());
    drop(held);
    FileObjects::open(dir.path()).unwrap();
    assert!(!written.exists());
}

#[test]
fn reading_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("objects");
    assert!(FileObjects::open_read_only(&missing).unwrap_err().to_string().contains("objects"));
    assert!(!missing.exists());
}

#[test]
fn symlinks_and_strangers_are_not_objects() {
    let dir = tempfile::tempdir().unwrap();
    let objects = FileObjects::open(dir.path()).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, b"linked").unwrap();
    let hash = object_hash(b"linked");
    let path = path_of(dir.path(), hash);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert!(matches!(objects.get(hash), Err(ObjectError::Damaged(_))));
    fs::write(path.with_file_name("notes.txt"), b"mine").unwrap();
    objects.put(&[b"linked".to_vec()]).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read(&elsewhere).unwrap(), b"linked");
    assert_eq!(objects.list().unwrap(), [hash]);
}

#[test]
fn an_object_too_long_is_refused_before_it_is_written_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let objects = FileObjects::open(dir.path()).unwrap();
    let error = objects.put(&[vec![0; lastword::objects::MAX_OBJECT_BYTES + 1]]).unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    // A file of a terabyte without content, where an object is expected.
    let hash = object_hash(b"sparse");
    let path = path_of(dir.path(), hash);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(objects.get(hash), Err(ObjectError::Damaged(_))));
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = FileObjects::open(file.join("objects")).unwrap_err().to_string();
    assert!(error.contains("file/objects"), "{error}");
    let error = FileObjects::open(&file).unwrap_err().to_string();
    assert!(error.contains("file"), "{error}");
}
