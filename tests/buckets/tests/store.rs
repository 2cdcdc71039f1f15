//! Buckets as a store: what is listed, what is read, and what is refused, at every kind of server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lastword::external::{
    Buckets, Listed, SecretName, SourceLocation, SourcePath, Store, StoreError, TrafficCounter, never_interrupted,
};
use test_buckets::bucket::{self, Bucket};
use test_buckets::stage::{Asked, Fault, Manners, Stage};

fn list(buckets: &Buckets, source: &SourceLocation) -> Result<Listed, StoreError> {
    buckets.list(source, &never_interrupted, &TrafficCounter::default())
}

fn names(listed: &Listed) -> Vec<String> {
    listed.files.iter().map(|(path, _)| text(path)).collect()
}

fn text(path: &SourcePath) -> String {
    String::from_utf8(path.0.clone()).unwrap()
}

fn path(text: &str) -> SourcePath {
    SourcePath(text.as_bytes().to_vec())
}

/// A bucket of the server in this process, with the server and the bucket's name.
fn staged() -> (Stage, Bucket, String) {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    let name = bucket.named().name().to_owned();
    (stage, bucket, name)
}

#[test]
fn what_lies_below_the_prefix_is_listed_in_order_and_nothing_else_is() {
    for bucket in bucket::all() {
        for key in [
            "lake/b.parquet",
            "lake/a b.parquet",
            "lake/x/ü%20+&.parquet",
            "lake/_tmp/0",
            "lake/.hidden",
            "lakes/c",
            "d",
        ] {
            bucket.put(key, key.as_bytes());
        }
        let buckets = bucket.buckets();
        let listed = list(&buckets, &bucket.source("lake/")).unwrap();
        assert_eq!(names(&listed), ["a b.parquet", "b.parquet", "x/ü%20+&.parquet"], "{}", bucket.name);
        assert_eq!(listed.left_out.skipped.total(), 2, "{}", bucket.name);
        for (name, stat) in &listed.files {
            let content = format!("lake/{}", text(name));
            assert!(stat.tag.is_strong() && stat.size == content.len() as u64, "{} {name}", bucket.name);
            assert_eq!(buckets.stat(&bucket.source("lake"), name).unwrap(), *stat, "{} {name}", bucket.name);
            let reader = buckets.open(&bucket.source("lake"), name, stat).unwrap();
            assert_eq!(reader.read(0, content.len()).unwrap(), content.as_bytes(), "{} {name}", bucket.name);
            assert_eq!(reader.read(2, 3).unwrap(), &content.as_bytes()[2..5], "{} {name}", bucket.name);
        }
        assert_eq!(list(&buckets, &bucket.source("")).unwrap().files.len(), 5, "{}", bucket.name);
        assert!(list(&buckets, &bucket.source("nothing/")).unwrap().files.is_empty(), "{}", bucket.name);
    }
}

#[test]
fn a_bucket_that_is_not_there_is_missing_and_not_empty() {
    for mut gone in bucket::all() {
        gone.name.push_str("-gone");
        let error = list(&gone.buckets(), &gone.source("")).unwrap_err();
        assert!(matches!(error, StoreError::Missing { .. }), "{}: {error:?}", gone.name);
    }
}

#[test]
fn no_byte_of_another_content_is_read() {
    for bucket in bucket::all() {
        bucket.put("a", b"first content");
        let (buckets, source) = (bucket.buckets(), bucket.source(""));
        let (name, stat) = list(&buckets, &source).unwrap().files.remove(0);
        let reader = buckets.open(&source, &name, &stat).unwrap();
        assert_eq!(reader.read(0, 5).unwrap(), b"first", "{}", bucket.name);
        // The same size: only the tag tells them apart.
        bucket.put("a", b"other content");
        let moved = |found: Result<Vec<u8>, StoreError>| matches!(found, Err(StoreError::Moved { .. }));
        assert!(moved(reader.read(6, 7)), "{}", bucket.name);
        assert_ne!(buckets.stat(&source, &name).unwrap(), stat, "{}", bucket.name);
        bucket.delete("a");
        assert!(moved(reader.read(0, 5)), "{}", bucket.name);
        assert!(matches!(buckets.stat(&source, &name), Err(StoreError::Moved { .. })), "{}", bucket.name);
    }
}

#[test]
fn a_copy_onto_itself_is_no_change_where_the_tag_stays() {
    for bucket in [bucket::s3(), bucket::s3rver(), Some(bucket::staged(&Stage::start()))].into_iter().flatten() {
        bucket.put("a", b"content");
        let (buckets, source) = (bucket.buckets(), bucket.source(""));
        let before = list(&buckets, &source).unwrap().files;
        bucket.copy("a", "b");
        bucket.copy("b", "a");
        let after = list(&buckets, &source).unwrap().files;
        assert_eq!(before[0], after[0], "{}", bucket.name);
    }
}

#[test]
fn a_store_that_takes_no_notice_of_conditions_is_not_believed() {
    let (stage, bucket, name) = staged();
    stage.behave(Manners { ignores_conditions: true, ..Manners::default() });
    stage.put(&name, "a", b"first");
    let (buckets, source) = (bucket.buckets(), bucket.source(""));
    let (key, stat) = list(&buckets, &source).unwrap().files.remove(0);
    let reader = buckets.open(&source, &key, &stat).unwrap();
    assert_eq!(reader.read(0, 5).unwrap(), b"first");
    stage.put(&name, "a", b"other");
    assert!(matches!(reader.read(0, 5), Err(StoreError::Moved { .. })));
}

/// Every read says which content it expects.
#[test]
fn every_read_carries_its_condition() {
    let (stage, bucket, name) = staged();
    stage.put(&name, "a", b"content");
    let (buckets, source) = (bucket.buckets(), bucket.source(""));
    let (key, stat) = list(&buckets, &source).unwrap().files.remove(0);
    let reader = buckets.open(&source, &key, &stat).unwrap();
    stage.asked();
    reader.read(0, 3).unwrap();
    reader.read(3, 4).unwrap();
    let if_match = stat.tag.condition();
    assert!(if_match.is_some());
    assert_eq!(stage.asked(), vec![Asked::Get { key: "a".to_owned(), if_match }; 2]);
}

#[test]
fn trouble_is_waited_out_and_an_answer_that_was_lost_is_asked_for_again() {
    for fault in [Fault::Status(503), Fault::Status(500), Fault::Status(429), Fault::LoseAnswer, Fault::Truncate] {
        let (stage, bucket, name) = staged();
        stage.put(&name, "a", &[7; 100_000]);
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        // Every second request.
        stage.before_each(move |_| counted.fetch_add(1, Ordering::Relaxed).is_multiple_of(2).then_some(fault));
        let (buckets, source) = (bucket.buckets(), bucket.source(""));
        let listed = list(&buckets, &source);
        if fault == Fault::Truncate && listed.is_err() {
            // A page that is cut off is an error, and not a shorter page; the next look asks again.
            assert!(matches!(listed, Err(StoreError::Unreadable { .. })), "{fault:?}");
            continue;
        }
        let (key, stat) = listed.unwrap().files.remove(0);
        let reader = buckets.open(&source, &key, &stat).unwrap();
        assert_eq!(reader.read(0, 100_000).unwrap(), [7; 100_000], "{fault:?}");
        assert!(asked.load(Ordering::Relaxed) >= 4, "{fault:?}");
    }
}

#[test]
fn what_a_store_says_is_told_without_what_is_secret() {
    let (stage, bucket, _) = staged();
    let status = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&status);
    stage.before_each(move |_| Some(Fault::Status(told.load(Ordering::Relaxed) as u16)));
    for (code, expected) in [
        (400, "status 400 (it does not accept the request"),
        (401, "status 401"),
        (403, "status 403"),
        (405, "status 405 (it does not do this)"),
    ] {
        status.store(code, Ordering::Relaxed);
        let first = list(&bucket.buckets(), &bucket.source("x/")).unwrap_err().to_string();
        let second = list(&bucket.buckets(), &bucket.source("x/")).unwrap_err().to_string();
        assert!(first.contains(expected), "{first}");
        assert!(
            !first.contains("secret-") && !first.contains("127.0.0.1") && !first.contains(bucket::SECRET),
            "{first}"
        );
        assert_eq!(first, second, "each new text would be an event");
    }
}

/// Who asks is looked up anew after a refusal: a key that was rotated is found, and nothing else follows from it.
#[test]
fn a_secret_that_was_rotated_is_found() {
    let (stage, mut bucket, name) = staged();
    stage.put(&name, "a", b"x");
    let keys = tempfile::tempdir().unwrap();
    let (id, secret) = (keys.path().join("id"), keys.path().join("secret"));
    let named = |path: &std::path::Path| SecretName::parse(&format!("file:{}", path.display())).ok();
    bucket.access.access_key_id = named(&id);
    bucket.access.secret_access_key = named(&secret);
    std::fs::write(&id, "old-id").unwrap();
    std::fs::write(&secret, "old").unwrap();
    let (buckets, source) = (bucket.buckets(), bucket.source(""));
    let before = list(&buckets, &source).unwrap();
    stage.admit("new-id");
    assert!(list(&buckets, &source).unwrap_err().to_string().contains("status 403"));
    std::fs::write(&id, "new-id").unwrap();
    std::fs::write(&secret, "new").unwrap();
    let after = list(&buckets, &source).unwrap();
    assert_eq!(before.files, after.files);
    // And one that is gone says so, by its name.
    stage.admit("third-id");
    list(&buckets, &source).unwrap_err();
    std::fs::remove_file(&id).unwrap();
    let error = list(&buckets, &source).unwrap_err().to_string();
    assert!(error.contains("file:") && error.contains("cannot be read"), "{error}");
}

#[test]
fn nobody_who_answers_is_a_cause() {
    let (_stage, mut bucket, _) = staged();
    let (buckets, source) = (bucket.buckets(), bucket.source(""));
    list(&buckets, &source).unwrap();
    bucket.access.endpoint = Some("http://127.0.0.1:1".to_owned());
    let error = list(&bucket.buckets(), &source).unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    // Over http:// only where that is allowed.
    bucket.access.allow_http = false;
    let error = list(&bucket.buckets(), &source).unwrap_err().to_string();
    assert!(error.contains("endpoint: is http://"), "{error}");
}

/// What is listed in lanes is what is listed at once, and each lane asks for its own keys alone.
#[test]
fn the_second_listing_is_cut_into_lanes() {
    let (stage, bucket, name) = staged();
    for n in 0..20_500 {
        stage.put(&name, &format!("lake/{:02}/{n:05}", n % 7), b"x");
    }
    stage.put(&name, "other", b"x");
    let (buckets, source) = (bucket.buckets(), bucket.source("lake/"));
    let first = list(&buckets, &source).unwrap();
    assert_eq!(first.files.len(), 20_500);
    assert_eq!(stage.asked().len(), 21, "page by page");
    let second = list(&buckets, &source).unwrap();
    assert_eq!(first.files, second.files);
    let asked = stage.asked();
    let behind = asked.iter().filter(|asked| matches!(asked, Asked::List { start_after: Some(_) })).count();
    assert_eq!(behind, 4, "five lanes, of which the first begins at the beginning");
    assert!(asked.len() <= 21 + 5, "{}", asked.len());
    // New keys at either end and between, and a key that a lane was cut at is gone.
    stage.put(&name, "lake/", b"");
    stage.put(&name, "lake/00/0", b"x");
    stage.put(&name, "lake/zz", b"x");
    assert_eq!(list(&buckets, &source).unwrap().files.len(), 20_502);
}

#[test]
fn a_store_that_lists_in_no_order_is_listed_in_one_lane() {
    let (stage, bucket, name) = staged();
    (0..9_000).for_each(|n| stage.put(&name, &format!("{n:04}"), b"x"));
    let (buckets, source) = (bucket.buckets(), bucket.source(""));
    let ordered = list(&buckets, &source).unwrap().files;
    stage.behave(Manners { is_unordered: true, ..Manners::default() });
    for _ in 0..2 {
        assert_eq!(list(&buckets, &source).unwrap().files, ordered);
    }
    stage.asked();
    list(&buckets, &source).unwrap();
    assert!(stage.asked().iter().all(|asked| *asked == Asked::List { start_after: None }));
}

#[test]
fn a_listing_is_told_to_stop() {
    let (stage, bucket, _) = staged();
    stage.before_each(|_| Some(Fault::Hang));
    let asked = AtomicU32::new(0);
    let stop_check = || match asked.fetch_add(1, Ordering::Relaxed) {
        0..3 => Ok(()),
        _ => Err(lastword::external::Interrupted),
    };
    let error = bucket.buckets().list(&bucket.source(""), &stop_check, &TrafficCounter::default()).unwrap_err();
    assert!(matches!(error, StoreError::Interrupted), "{error:?}");
}

#[test]
fn a_table_is_refused_by_the_name_of_its_format() {
    let (stage, bucket, name) = staged();
    for (key, format, place) in [
        ("orders/_delta_log/0.json", "Delta Lake", "/orders is a table"),
        ("hudi/.hoodie/x", "Apache Hudi", "/hudi is a table"),
        ("ice/metadata/v1.metadata.json", "Apache Iceberg", "/ice is a table"),
    ] {
        stage.put(&name, key, b"x");
        let error = list(&bucket.buckets(), &bucket.source("")).unwrap_err().to_string();
        assert!(error.contains(format) && error.contains(place), "{error}");
        bucket.delete(key);
    }
    // A file of such a name is none.
    stage.put(&name, "_delta_log", b"x");
    assert!(list(&bucket.buckets(), &bucket.source("")).unwrap().files.is_empty());
}

#[test]
fn a_part_of_a_table_is_refused_as_the_table_is() {
    let (stage, bucket, name) = staged();
    for (mark, source, format) in [
        ("t/_delta_log/0.json", "t/year=2026/month=1/", "Delta Lake"),
        ("_delta_log/0.json", "year=2026", "Delta Lake"),
        ("h/.hoodie/x", "h/day=1/", "Apache Hudi"),
        ("i/metadata/v1.metadata.json", "i/data/", "Apache Iceberg"),
        ("i/metadata/v1.metadata.json", "i/data/day=1/", "Apache Iceberg"),
    ] {
        stage.put(&name, mark, b"x");
        let error = list(&bucket.buckets(), &bucket.source(source)).unwrap_err();
        assert!(matches!(&error, StoreError::Table { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(format) && error.contains("../"), "{mark} {source}: {error}");
        bucket.delete(mark);
        list(&bucket.buckets(), &bucket.source(source)).unwrap();
    }
    // What lies beside a table is none of it, and costs no request.
    stage.put(&name, "t/_delta_log/0.json", b"x");
    list(&bucket.buckets(), &bucket.source("t/year=2026/sub/")).unwrap();
    stage.asked();
    list(&bucket.buckets(), &bucket.source("other/")).unwrap();
    assert_eq!(stage.asked().len(), 1);
}

#[test]
fn an_object_that_stands_for_a_directory_hides_no_object() {
    let (stage, bucket, name) = staged();
    stage.put(&name, "lake/", b"");
    stage.put(&name, "lake/sub", b"data");
    stage.put(&name, "lake/sub/", b"");
    stage.put(&name, "lake/sub/a", b"data");
    let listed = list(&bucket.buckets(), &bucket.source("lake")).unwrap();
    assert_eq!(names(&listed), ["sub", "sub/a"]);
    assert_eq!(listed.files[0].1.size, 4);
}

#[test]
fn a_key_that_cannot_be_named_is_an_error_and_not_left_out() {
    let (stage, bucket, name) = staged();
    stage.put(&name, "a", b"x");
    stage.put(&name, "b//c", b"x");
    let error = list(&bucket.buckets(), &bucket.source("")).unwrap_err().to_string();
    assert!(error.contains("empty part (//)"), "{error}");
    assert_eq!(list(&bucket.buckets(), &bucket.source("a/")).unwrap().files.len(), 0);
}

#[test]
fn a_source_is_served_by_what_was_built_in() {
    let buckets = Buckets::new();
    for source in ["s3://lake", "gs://lake", "az://lake", "/lake"] {
        let source = lastword::external::SourceUri::parse(source).unwrap().resolve("".as_ref()).unwrap();
        buckets.serves(&source).unwrap();
        let local = lastword::external::LocalStore.serves(&source);
        assert_eq!(local.is_ok(), source.directory().is_some());
    }
}

#[test]
fn a_path_that_no_listing_can_have_named_has_moved() {
    let (_stage, bucket, _) = staged();
    let stat = lastword::external::Stat::default();
    for wrong in ["../a", "a//b", "."] {
        let found = bucket.buckets().open(&bucket.source(""), &path(wrong), &stat).err();
        assert!(matches!(found, Some(StoreError::Moved { .. })), "{wrong}: {found:?}");
    }
}
