//! The bytes that path sets, manifests and keys are made of, put together by hand as log-format.md describes them.

use lastword::core::vocabulary::{Epoch, Seq, Timestamp, Token};
use lastword::external::{
    EntityTag, ExternalSpec, FileVersion, Fragment, Instant, Layout, Manifest, ObservedFile, PathSet, Segment,
    SegmentId, SegmentKey, SourcePath, Stat,
};
use lastword::objects::{MemoryObjects, Objects, object_hash};

const STAT: Stat = Stat {
    size: 0x0102,
    mtime: Instant { seconds: -1, nanoseconds: 5 },
    ctime: Instant { seconds: 0x0a0b, nanoseconds: 6 },
    inode: 7,
    tag: EntityTag::NONE,
};

const VERSION: FileVersion = FileVersion { stat: STAT, content: None };

/// Size, mtime, ctime, inode.
fn stat_bytes() -> Vec<u8> {
    let mut bytes = vec![2, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend([255, 255, 255, 255, 255, 255, 255, 255, 5, 0, 0, 0]);
    bytes.extend([0x0b, 0x0a, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0]);
    bytes.extend([7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes.len(), 40);
    bytes
}

/// Kind 1, what `stat` says.
fn version_bytes() -> Vec<u8> {
    [&[1][..], &stat_bytes()].concat()
}

fn fragment() -> Fragment {
    Fragment { path: SourcePath(b"a/b".to_vec()), version: VERSION, start: 10, end: 30 }
}

fn fragment_bytes() -> Vec<u8> {
    let mut bytes = vec![3, 0, 0, 0];
    bytes.extend(b"a/b");
    bytes.extend(version_bytes());
    bytes.extend([10, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn leaf(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let mut bytes = b"LWOB\x01\x00\x01\x00".to_vec();
    bytes.extend(u32::try_from(entries.len()).unwrap().to_le_bytes());
    for (key, value) in entries {
        bytes.extend(length(key));
        bytes.extend(length(value));
        bytes.extend(*key);
        bytes.extend(*value);
    }
    bytes
}

#[test]
fn a_path_set() {
    let set = PathSet::new([(SourcePath(b"a/b".to_vec()), ObservedFile::of(VERSION))]);
    let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0];
    bytes.extend(b"a/b");
    bytes.extend(version_bytes());
    assert_eq!(set.digest(), blake3::derive_key("lastword 2026 path set v1", &bytes));
    let objects = MemoryObjects::new();
    let stored = lastword::external::store_set(&objects, &set, None).unwrap();
    assert_eq!(objects.get(stored.root).unwrap(), leaf(&[(b"a/b", &version_bytes())]));
    let name = blake3::derive_key("lastword 2026 file version v1", &version_bytes());
    assert_eq!(VERSION.name(), name[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
}

#[test]
fn a_path_set_with_more_than_versions() {
    let hashed = FileVersion { stat: STAT, content: Some([9; 32]) };
    let seen = Stat { inode: 8, ..STAT };
    let moved = ObservedFile {
        last_stat: seen,
        content: Some([3; 32]),
        racy_since: Some(Timestamp(0x0102)),
        ..ObservedFile::of(VERSION)
    };
    let set = PathSet::new([(SourcePath(b"a".to_vec()), ObservedFile::of(hashed)), (SourcePath(b"b".to_vec()), moved)]);
    let hashed = [&[2][..], &stat_bytes(), &[9; 32]].concat();
    let mut seen = stat_bytes();
    seen[32] = 8;
    let moved = [&version_bytes()[..], &[7], &seen, &[3; 32], &[2, 1, 0, 0, 0, 0, 0, 0]].concat();
    let objects = MemoryObjects::new();
    let stored = lastword::external::store_set(&objects, &set, None).unwrap();
    assert_eq!(objects.get(stored.root).unwrap(), leaf(&[(b"a", &hashed), (b"b", &moved)]));
    // Only versions are in the digest.
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'a'];
    bytes.extend(&hashed);
    bytes.extend([1, 0, 0, 0, b'b']);
    bytes.extend(version_bytes());
    assert_eq!(set.digest(), blake3::derive_key("lastword 2026 path set v1", &bytes));
}

#[test]
fn a_key() {
    let text = r#"{"format":"parquet","columns":["id","é"],"params":{"b":1,"a":2},"recipe":"v1"}"#;
    let spec = ExternalSpec::parse(text).unwrap();
    let mut bytes = vec![1, 2, 0, 0, 0, 2, 0, 0, 0];
    bytes.extend(b"id");
    bytes.extend([2, 0, 0, 0, 0xc3, 0xa9]);
    bytes.extend([1, 13, 0, 0, 0]);
    bytes.extend(br#"{"a":2,"b":1}"#);
    bytes.extend([1, 2, 0, 0, 0]);
    bytes.extend(b"v1");
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(fragment_bytes());
    let key = blake3::derive_key("lastword 2026 segment key v1", &bytes);
    assert_eq!(SegmentKey::of(&spec, &[fragment()]), SegmentKey(key));
    // Without read keys, params and recipe there are only their three tags.
    let spec = ExternalSpec::parse(r#"{"format":"parquet"}"#).unwrap();
    let key = blake3::derive_key("lastword 2026 segment key v1", &[0; 11]);
    assert_eq!(SegmentKey::of(&spec, &[]), SegmentKey(key));
    // Of every other format the key names it.
    let spec = ExternalSpec::parse(r#"{"format":"files"}"#).unwrap();
    let key = blake3::derive_key("lastword 2026 segment key v2", &[&[5, 0, 0, 0][..], b"files", &[0; 11]].concat());
    assert_eq!(SegmentKey::of(&spec, &[]), SegmentKey(key));
}

#[test]
fn a_manifest() {
    let id = SegmentId { token: Token { epoch: Epoch(0x0102), seq: Seq(3) }, n: 4 };
    let (key, output) = (SegmentKey([9; 32]), Some(b"out".to_vec()));
    let segment = Segment { id, key, rows: 20, output, fragments: vec![fragment()] };
    let manifest = Manifest { layout: Layout { target_rows: 1_000 }, segments: vec![segment] };
    let objects = MemoryObjects::new();
    let root = manifest.write(&objects).unwrap();

    let header = [1, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0];
    let key = [1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4];
    let mut value = vec![9; 32];
    value.extend([20, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0]);
    value.extend(b"out");
    value.extend([1, 0, 0, 0]);
    value.extend(fragment_bytes());
    let expected = leaf(&[(&[0], &header), (&key, &value)]);
    assert_eq!(objects.get(root.hash).unwrap(), expected);
    assert_eq!(root.hash, object_hash(&expected));
    assert_eq!(id.to_string(), "258.3-4");
}

#[test]
fn a_manifest_that_is_not_one_is_refused() {
    let id = [1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4];
    let header = |segments: u8, rows: u8| {
        let mut bytes = vec![1, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0, segments, 0, 0, 0, 0, 0, 0, 0, rows];
        bytes.extend([0; 7]);
        bytes
    };
    let mut value = vec![9; 32];
    value.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    value.extend(fragment_bytes());
    let found = |entries: &[(&[u8], &[u8])]| {
        let objects = MemoryObjects::new();
        let root = objects.put(&[leaf(entries)]).unwrap()[0];
        Manifest::read(&objects, root).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(found(&[(&[0], &header(1, 20)), (&id, &value)]), Ok(()));
    let refused = |entries: &[(&[u8], &[u8])], problem: &str| {
        let error = found(entries).unwrap_err();
        assert!(error.ends_with(&format!("is malformed: {problem}")), "{error}");
    };
    refused(&[], "it has no header");
    refused(&[(&id, &value)], "it has no header");
    refused(&[(&[0], &header(2, 20)), (&id, &value)], "it does not hold what its header says");
    refused(&[(&[0], &header(1, 21)), (&id, &value)], "it does not hold what its header says");
    refused(&[(&[0], &header(1, 20)), (&id[..20], &value)], "it is cut short");
    let mut tagged = value.clone();
    tagged[40] = 2;
    refused(&[(&[0], &header(1, 20)), (&id, &tagged)], "it has an unknown tag");
    let mut longer = value.clone();
    longer.push(0);
    refused(&[(&[0], &header(1, 20)), (&id, &longer)], "bytes follow its end");
    let mut other = value.clone();
    other[32] = 21;
    refused(&[(&[0], &header(1, 21)), (&id, &other)], "segment 258.3-4 has 21 rows, its fragments have 20");
    for cut in 0..value.len() {
        assert!(found(&[(&[0], &header(1, 20)), (&id, &value[..cut])]).is_err());
    }
}
