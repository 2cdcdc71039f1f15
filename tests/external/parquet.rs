//! Parquet files as they come: empty, odd, cut short, hostile. Each is cut into ranges of rows or refused with a
//! reason; none panics, and none makes memory grow beyond what its bytes can mean.

use std::path::Path;

use lastword::core::vocabulary::Timestamp;
use lastword::external::{
    FileReader, Format, FormatError, Fragment, FragmentCache, FragmentError, LocalStore, Parquet, RowRange,
    ScanRequest, SourceUri, StoreError, fragments_of, never_interrupted, scan,
};
use proptest::prelude::*;
use test_support::parquet_files::{bytes_of, rows_read, without_columns};
use test_support::strange_files::footer::{Footer, Group};
use test_support::trace_listener;

struct InMemory(Vec<u8>);

impl FileReader for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let start = usize::try_from(start).unwrap();
        Ok(self.0[start..start + length].to_vec())
    }
}

fn cut(bytes: Vec<u8>) -> Result<Vec<RowRange>, FormatError> {
    Parquet.fragments(&InMemory(bytes), None)
}

fn refused(bytes: Vec<u8>) -> String {
    cut(bytes).unwrap_err().to_string()
}

fn range(start: u64, end: u64) -> RowRange {
    RowRange { start, end }
}

/// The file with another footer.
fn with_footer(footer: &[u8]) -> Vec<u8> {
    let mut bytes = b"PAR1".to_vec();
    bytes.extend_from_slice(footer);
    bytes.extend_from_slice(&u32::try_from(footer.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(b"PAR1");
    bytes
}

#[test]
fn row_groups_are_ranges_of_rows() {
    assert_eq!(cut(bytes_of(&[3, 1, 5], 0)).unwrap(), [range(0, 3), range(3, 4), range(4, 9)]);
}

#[test]
fn case_23_files_without_rows_or_columns_have_no_fragments() {
    assert_eq!(cut(bytes_of(&[], 0)).unwrap(), []);
    assert_eq!(cut(bytes_of(&[0], 0)).unwrap(), []);
    assert_eq!(cut(without_columns()).unwrap(), []);
    // Row groups without rows between others.
    assert_eq!(cut(bytes_of(&[0, 2, 0, 3, 0], 0)).unwrap(), [range(0, 2), range(2, 5)]);
}

#[test]
fn case_23_ten_thousand_row_groups() {
    let ranges = cut(bytes_of(&[1; 10_000], 0)).unwrap();
    assert_eq!(
        (ranges.len(), ranges.first(), ranges.last()),
        (10_000, Some(&range(0, 1)), Some(&range(9_999, 10_000)))
    );
}

#[test]
fn case_16_rows_of_fragments_are_the_rows_that_reading_the_file_finds() {
    let dir = tempfile::tempdir().unwrap();
    for (n, groups) in [&[10, 0, 7][..], &[1], &[], &[1_000, 1, 999, 0], &[1; 50]].into_iter().enumerate() {
        let path = dir.path().join(format!("{n}.parquet"));
        test_support::parquet_files::write(&path, groups, 3);
        let ranges = cut(std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(ranges.iter().map(|range| range.end - range.start).sum::<u64>(), rows_read(&path));
    }
}

#[test]
fn read_keys_have_to_be_columns() {
    let file = InMemory(bytes_of(&[3], 0));
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(Parquet.fragments(&file, Some(&columns(&["comment", "id"]))).unwrap(), [range(0, 3)]);
    let error = Parquet.fragments(&file, Some(&columns(&["id", "price"]))).unwrap_err();
    assert_eq!(error.to_string(), "has no column price");
    // Nothing is read from a file without rows.
    assert_eq!(Parquet.fragments(&InMemory(bytes_of(&[], 0)), Some(&columns(&["price"]))).unwrap(), []);
}

#[test]
fn case_25_what_is_no_parquet_file_says_why() {
    let good = bytes_of(&[10, 10], 0);
    assert_eq!(refused(Vec::new()), "is corrupt: it has 0 bytes, a Parquet file has at least 12");
    assert_eq!(refused(b"PAR1PAR1PAR".to_vec()), "is corrupt: it has 11 bytes, a Parquet file has at least 12");
    assert_eq!(refused(b"id,comment\n1,hello\n".to_vec()), "is not Parquet (no PAR1 at its start)");
    assert_eq!(
        refused(good[..good.len() - 1].to_vec()),
        "is corrupt: it is not finished or cut short (no PAR1 at its end)"
    );
    assert_eq!(
        refused(good[..good.len() / 2].to_vec()),
        "is corrupt: it is not finished or cut short (no PAR1 at its end)"
    );
    assert_eq!(refused(vec![0; 100]), "is not Parquet (no PAR1 at its start)");
    let mut encrypted = good.clone();
    encrypted.splice(..4, *b"PARE");
    assert_eq!(refused(encrypted), "is not supported: it is encrypted");
}

#[test]
fn case_25_a_footer_that_lies_about_its_length() {
    let good = bytes_of(&[10, 10], 0);
    let at = good.len() - 8;
    let claim = |length: u32| {
        let mut bytes = good.clone();
        bytes.splice(at..at + 4, length.to_le_bytes());
        bytes
    };
    let all = u32::try_from(good.len()).unwrap();
    for length in [u32::MAX, all, all - 8, all - 11, 0] {
        assert!(
            refused(claim(length)).starts_with(&format!("is corrupt: its footer claims {length} bytes")),
            "{length}"
        );
    }
    // Lengths that fit into the file and are not the footer's: whatever is found there is no footer.
    for length in [1, 7, all - 12] {
        assert!(refused(claim(length)).starts_with("is corrupt: "), "{length}");
    }
}

#[test]
fn case_25_a_footer_beyond_the_limit_is_not_read() {
    struct Sparse;
    impl FileReader for Sparse {
        fn len(&self) -> u64 {
            1 << 40
        }
        fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
            assert!(length <= 64 << 10, "{length} bytes were asked for");
            let mut bytes = vec![0; length];
            if start == 0 {
                bytes.copy_from_slice(b"PAR1");
            } else {
                bytes.splice(length - 8.., *b"\0\0\0\xf0PAR1");
            }
            Ok(bytes)
        }
    }
    let error = Parquet.fragments(&Sparse, None).unwrap_err();
    assert_eq!(error.to_string(), "is not supported: its footer has 4026531840 bytes, at most 67108864 are read");
}

#[test]
fn case_25_the_footer_of_arrow_rs_9868_asks_for_no_memory() {
    // 42 bytes that declare a schema of billions of elements, from the fuzzing of arrow-rs.
    let mut footer = b"\x15\x20\x19\xf3\xff\xff\xff\x20".to_vec();
    footer.resize(42, 0x20);
    assert!(refused(with_footer(&footer)).starts_with("is corrupt: a list in its footer "));
}

#[test]
fn case_25_row_groups_that_lie() {
    // The same file with its counts changed where they lie in the footer as zigzag numbers: 20 rows -> 0x28.
    let good = bytes_of(&[20], 0);
    let footer_length = u32::from_le_bytes(good[good.len() - 8..good.len() - 4].try_into().unwrap());
    let footer = good.len() - 8 - usize::try_from(footer_length).unwrap();
    let mut texts = std::collections::BTreeSet::new();
    for at in footer..good.len() - 8 {
        for value in [0x27, 0x01, 0x7f, 0x00, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            match cut(bytes) {
                Ok(ranges) => assert!(ranges == [range(0, 20)], "byte {at} = {value:#x} gave {ranges:?}"),
                Err(error) => drop(texts.insert(error.to_string())),
            }
        }
    }
    let has = |part: &str| assert!(texts.iter().any(|text| text.contains(part)), "no error says {part:?}: {texts:#?}");
    has("it has 20 values for 0 rows");
    has("row group 0 has -");
    has("do not lie in the file");
    has("its compressed size is -");
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet-testing").join(name)).unwrap()
}

#[test]
fn defect_45_what_other_readers_read_is_read() {
    // Field 15 of its only column is a list, where a later version of the format has a number.
    assert_eq!(cut(fixture("dict-page-offset-zero.parquet")).unwrap(), [range(0, 39)]);
    // Its footer claims no rows. Other readers find the six of its row group, and so does this one.
    assert_eq!(cut(fixture("repeated_no_annotation.parquet")).unwrap(), [range(0, 6)]);
    let columnless = |rows, groups: &[i64]| {
        let groups = groups.iter().map(|rows| Group::of(*rows, vec![])).collect();
        cut(Footer::of(rows).with(vec![], groups).file()).unwrap()
    };
    assert_eq!(columnless(5, &[5]), [range(0, 5)]);
    assert_eq!(columnless(5, &[]), []);
    assert_eq!(columnless(0, &[2, 3]), [range(0, 2), range(2, 5)]);
}

#[test]
fn defect_45_a_footer_that_contradicts_itself_is_named() {
    trace_listener::listen();
    let lake = tempfile::tempdir().unwrap();
    std::fs::write(lake.path().join("contradiction.parquet"), fixture("repeated_no_annotation.parquet")).unwrap();
    let source = SourceUri::parse(lake.path().to_str().unwrap()).unwrap().resolve("".as_ref()).unwrap();
    let set = scan(&ScanRequest::new(&LocalStore, &source, Timestamp(u64::MAX / 4))).unwrap().set;
    let cache = FragmentCache::default();
    let files = (&LocalStore as _, &source);
    let found = fragments_of(files, (&Parquet, None), &set, &cache, &never_interrupted, &|_| ()).unwrap();
    assert_eq!(found.iter().map(Fragment::rows).sum::<u64>(), 6);
    let traced = trace_listener::heard();
    assert!(
        traced.contains("contradiction.parquet") && traced.contains("claims 0 rows, its row groups have 6"),
        "{traced}"
    );
}

#[test]
fn defect_46_ten_bad_files_are_named_and_all_are_counted() {
    let lake = tempfile::tempdir().unwrap();
    let source = SourceUri::parse(lake.path().to_str().unwrap()).unwrap().resolve("".as_ref()).unwrap();
    let bad = || {
        let set = scan(&ScanRequest::new(&LocalStore, &source, Timestamp(u64::MAX / 4))).unwrap().set;
        let (files, cache) = ((&LocalStore as _, &source), FragmentCache::default());
        fragments_of(files, (&Parquet, None), &set, &cache, &never_interrupted, &|_| ()).unwrap_err()
    };
    std::fs::write(lake.path().join("README.md"), "what lies here").unwrap();
    test_support::parquet_files::write(&lake.path().join("good.parquet"), &[3], 0);
    let alone = "README.md is not Parquet (no PAR1 at its start). Move what is no data away, or exclude it";
    assert_eq!(bad().to_string(), alone);
    let cut = bytes_of(&[3], 0);
    (0..11).for_each(|n| std::fs::write(lake.path().join(format!("cut-{n:02}")), &cut[..cut.len() / 2]).unwrap());
    let error = bad();
    let text = error.to_string();
    assert!(
        text.starts_with("12 files cannot be used: README.md is not Parquet (no PAR1 at its start); cut-00 is corrupt")
    );
    assert!(text.contains("cut-08 is corrupt") && !text.contains("cut-09"), "{text}");
    assert!(text.ends_with("; and 2 more. Move what is no data away, or exclude it"), "{text}");
    let FragmentError::Files(files) = error else { panic!("{error}") };
    assert_eq!((files.first().len(), files.count()), (10, 12));
    // Paths can be long; what is said of ten of them is not.
    let long = lake.path().join(vec!["n".repeat(250); 14].join("/"));
    (0..11).for_each(|n| {
        let directory = long.with_file_name(format!("{n:02}{}", "n".repeat(200)));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("cut"), &cut[..cut.len() / 2]).unwrap();
    });
    assert!(bad().to_string().len() < 5_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn case_25_garbage_never_panics(footer in proptest::collection::vec(any::<u8>(), 1..200)) {
        let _ = cut(with_footer(&footer));
    }

    #[test]
    fn case_25_changed_bytes_never_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8)) {
        let mut bytes = bytes_of(&[3, 4], 0);
        let footer = bytes.len() - 300;
        for (at, value) in changes {
            let at = footer + usize::from(at) % (bytes.len() - footer);
            bytes[at] = value;
        }
        let _ = cut(bytes);
    }
}
