//! Examinations of stores: real ones are found well, each finding can be another one, and nothing is left behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lastword::external::{
    Access, BucketPrefix, Buckets, Examination, FindingOutcome, Interrupted, NeededBy, SecretName, StoreError,
    never_interrupted,
};
use test_buckets::bucket::{self, Bucket, SECRET};
use test_buckets::servers::AZURITE_KEY;
use test_buckets::stage::{Asked, Fault, Manners, Stage};

fn prefix(bucket: &Bucket) -> BucketPrefix {
    bucket.source("lake/").bucket().unwrap().clone()
}

fn examine(bucket: &Bucket) -> Examination {
    examine_through(bucket, bucket.access.clone())
}

fn examine_through(bucket: &Bucket, access: Access) -> Examination {
    let buckets = Buckets::new().access(bucket.named(), access);
    buckets.examine(&prefix(bucket), &never_interrupted).unwrap()
}

/// Google's client asks for credentials before it writes, whether requests are signed or not.
fn signed(bucket: &Bucket) -> Access {
    let Some(stage) = bucket.stage().filter(|_| bucket.name.starts_with("gs:")) else { return bucket.access.clone() };
    let key = std::env::temp_dir().join(format!("lastword-test-gs-{}", std::process::id()));
    let base = &stage.endpoint;
    let text = format!(
        r#"{{"gcs_base_url":"{base}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#
    );
    std::fs::write(&key, text).unwrap();
    let service_account = SecretName::parse(&format!("file:{}", key.display())).ok();
    Access { service_account, anonymous: false, ..bucket.access.clone() }
}

fn names(found: &Examination, outcome: FindingOutcome) -> Vec<&'static str> {
    found.findings.iter().filter(|finding| finding.outcome == outcome).map(|finding| finding.name).collect()
}

fn not_ok(found: &Examination) -> Vec<&'static str> {
    names(found, FindingOutcome::NotOk)
}

/// What the server in this process is found to be when it behaves, or does not.
fn examined(
    manners: Manners,
    hook: impl FnMut(&Asked) -> Option<Fault> + Send + 'static,
) -> (Examination, Vec<String>) {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    bucket.put("lake/one", b"one");
    stage.behave(manners);
    stage.before_each(hook);
    let found = examine(&bucket);
    (found, stage.keys(bucket.named().name()))
}

fn behaving(manners: Manners) -> Examination {
    let (found, keys) = examined(manners, |_| None);
    assert_eq!(keys, ["lake/one"], "{manners:?}: nothing is left behind");
    found
}

#[test]
fn real_stores_are_examined_and_left_as_they_were() {
    for bucket in bucket::all() {
        bucket.put("lake/one", b"one");
        let found = examine_through(&bucket, signed(&bucket));
        let name = &bucket.name;
        assert!(found.is_whole, "{name}: {found:#?}");
        assert_eq!(bucket.keys(), ["lake/one"], "{name}");
        assert_eq!((found.left_count, found.is_interrupted, found.keeps_versions), (0, false, false), "{name}");
        assert!((100..700).contains(&found.requests), "{name}: {}", found.requests);
        let (sources, log, wrong): (bool, bool, &[&str]) = match bucket.server {
            // It checks and writes without a lock: who wins where writers race is seen now and then.
            "moto" => (true, found.may_hold_log(), &["conditional_create", "conditional_replace"]),
            // It fails to list some names, takes no notice of conditions, and takes the range of a first byte for the whole object.
            "s3rver" => (
                false,
                false,
                &["listing", "order", "fenced_reads", "ranges", "conditional_create", "conditional_replace"],
            ),
            // It orders keys by their UTF-16, not by their bytes.
            "azurite" => (true, true, &["order"]),
            _ => (true, true, &[]),
        };
        assert_eq!((found.may_hold_sources(), found.may_hold_log()), (sources, log), "{name}: {found:#?}");
        assert!(not_ok(&found).iter().all(|name| wrong.contains(name)), "{name}: {found:#?}");
        for finding in &found.findings {
            assert_eq!(finding.outcome == FindingOutcome::Ok || finding.name == "slashes", finding.follows.is_empty());
            assert!(!finding.saw.is_empty() && !finding.saw.contains(SECRET) && !finding.saw.contains(AZURITE_KEY));
        }
    }
}

#[test]
fn each_finding_can_be_another_one() {
    let base = Manners::default();
    let mut seen = BTreeSet::new();
    for (manners, expected, (sources, log)) in [
        (base, &[][..], (true, true)),
        (Manners { is_unordered: true, ..base }, &["order", "start_after"], (true, true)),
        (Manners { has_weak_tags: true, ..base }, &["strong_tags", "fenced_reads"], (true, false)),
        (Manners { ignores_conditions: true, ..base }, &["fenced_reads"], (true, true)),
        (Manners { lets_two_win: true, ..base }, &["conditional_create", "conditional_replace"], (true, false)),
        (Manners { tags_sizes: true, ..base }, &["tags", "fenced_reads"], (false, false)),
        (Manners { is_stale: true, ..base }, &["read_after_write", "tags", "answers"], (false, false)),
        (Manners { lies: true, ..base }, &["fenced_reads", "answers"], (false, false)),
        (Manners { loses_keys: true, ..base }, &["listing"], (false, false)),
        (Manners { mangles_names: true, ..base }, &["names"], (false, false)),
        (Manners { shifts_ranges: true, ..base }, &["ranges"], (false, false)),
        (Manners { ahead: Duration::from_secs(3_600), ..base }, &["clock"], (true, true)),
    ] {
        let found = behaving(manners);
        let failed = not_ok(&found);
        for name in expected {
            assert!(failed.contains(name), "{manners:?}: {name} is not among {failed:?}");
        }
        assert_eq!((found.may_hold_sources(), found.may_hold_log()), (sources, log), "{manners:?}: {found:#?}");
        assert!(!expected.is_empty() || failed.is_empty(), "{found:#?}");
        seen.extend(failed);
    }
    for (part, fault, name, log) in [
        ("/sizes/large", Fault::Status(413), "sizes", false),
        ("/long/", Fault::Status(400), "long_key", true),
        ("/create/", Fault::Status(501), "conditional_create", false),
    ] {
        let hook = move |asked: &Asked| matches!(asked, Asked::Put { key } if key.contains(part)).then_some(fault);
        let (found, keys) = examined(base, hook);
        assert_eq!((not_ok(&found), found.may_hold_log(), found.may_hold_sources()), (vec![name], log, true));
        assert_eq!(keys, ["lake/one"]);
        seen.insert(name);
    }
    seen.extend(["write", "delete"]);
    let all = behaving(base).findings.iter().map(|finding| finding.name).collect::<BTreeSet<_>>();
    let never = all.difference(&seen).collect::<Vec<_>>();
    assert_eq!(never, [&"slashes"], "the others can fail");
}

#[test]
fn of_an_answer_that_was_lost_nothing_is_concluded() {
    // The winner of the first race is not told; the other two races are as they should be.
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let hook = move |asked: &Asked| {
        let is_first = matches!(asked, Asked::Put { key } if key.ends_with("/create/0"))
            && counted.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then_some(Fault::LoseAnswer)
    };
    let (found, keys) = examined(Manners::default(), hook);
    assert!(count.load(Ordering::SeqCst) >= 32);
    assert!(found.may_hold_log(), "{found:#?}");
    assert_eq!(keys, ["lake/one"]);
}

#[test]
fn a_bucket_that_can_only_be_read_may_hold_sources() {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    bucket.put("lake/one", b"one");
    stage.before_each(|asked| matches!(asked, Asked::Put { .. } | Asked::Delete { .. }).then_some(Fault::Status(403)));
    let found = examine(&bucket);
    assert_eq!(not_ok(&found), ["write"]);
    assert_eq!(names(&found, FindingOutcome::Ok), ["strong_tags", "tags", "fenced_reads", "ranges"]);
    assert!(found.may_hold_sources() && !found.may_hold_log() && found.left_count == 0, "{found:#?}");
    let of_log = found.findings.iter().find(|finding| finding.name == "conditional_create").unwrap();
    assert_eq!((of_log.needed_by, of_log.saw.as_str()), (NeededBy::Log, "nothing can be written"));

    // With nothing to read nothing is proven.
    stage.before_each(|_| None);
    bucket.delete("lake/one");
    stage.before_each(|asked| matches!(asked, Asked::Put { .. }).then_some(Fault::Status(403)));
    let found = examine(&bucket);
    assert!(!found.may_hold_sources(), "{found:#?}");
    // What cannot be read is nothing for sources.
    bucket.stage().unwrap().put(bucket.named().name(), "lake/one", b"one");
    stage.before_each(|asked| matches!(asked, Asked::Put { .. } | Asked::Get { .. }).then_some(Fault::Status(403)));
    let found = examine(&bucket);
    assert!(!found.may_hold_sources() && not_ok(&found).contains(&"ranges"), "{found:#?}");
}

#[test]
fn what_could_not_be_removed_is_named() {
    // Refused; and said to be gone without being so.
    for status in [403, 204] {
        let hook = move |asked: &Asked| matches!(asked, Asked::Delete { .. }).then_some(Fault::Status(status));
        let (found, keys) = examined(Manners::default(), hook);
        assert_eq!(not_ok(&found), ["delete"], "{found:#?}");
        assert!(found.may_hold_sources() && !found.may_hold_log());
        assert_eq!(found.left_count, keys.len() - 1);
        assert!(found.left_count > 50 && found.left.len() == found.left_count);
        let is_own = |key: &String| key.starts_with("lake/.lastword-doctor-");
        assert!(found.left.iter().all(|key| is_own(key) && keys.contains(key)));
    }
}

#[test]
fn the_word_to_stop_ends_it_and_everything_is_removed() {
    for stop_at in [1_u64, 2, 20, 150, 250] {
        let stage = Stage::start();
        let bucket = bucket::staged(&stage);
        bucket.put("lake/one", b"one");
        let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&stop);
        stage.before_each(move |_| {
            told.fetch_or(count.fetch_add(1, Ordering::SeqCst) + 1 >= stop_at, Ordering::SeqCst);
            None
        });
        let stop_check = || if stop.load(Ordering::SeqCst) { Err(Interrupted) } else { Ok(()) };
        match bucket.buckets().examine(&prefix(&bucket), &stop_check) {
            Ok(found) => {
                assert!(found.is_interrupted && !found.is_whole && !found.may_hold_sources(), "{found:#?}");
                assert_eq!(found.left_count, 0);
                assert!(names(&found, FindingOutcome::NotTried).len() > 2);
            }
            Err(error) => assert!(matches!(error, StoreError::Interrupted), "{error}"),
        }
        assert_eq!(stage.keys(bucket.named().name()), ["lake/one"], "stopped at request {stop_at}");
    }
}

#[test]
fn what_cannot_be_listed_is_an_error_and_nothing_is_made() {
    for (status, expected) in [(403, "status 403"), (404, "does not exist"), (400, "region, endpoint and credentials")]
    {
        let stage = Stage::start();
        let bucket = bucket::staged(&stage);
        stage.before_each(move |_| Some(Fault::Status(status)));
        let error = bucket.buckets().examine(&prefix(&bucket), &never_interrupted).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        assert!(stage.asked().iter().all(|asked| matches!(asked, Asked::List { .. })));
    }
}

#[test]
#[ignore = "it waits for a minute of silence"]
fn a_store_that_falls_silent_is_not_asked_for_all_the_rest() {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    bucket.put("lake/one", b"one");
    stage.before_each(|asked| matches!(asked, Asked::Get { .. }).then_some(Fault::Hang));
    let found = examine(&bucket);
    assert!(!found.is_whole && !found.is_interrupted && !found.may_hold_sources(), "{found:#?}");
    assert!(names(&found, FindingOutcome::NotTried).contains(&"clock"));
    assert_eq!(stage.keys(bucket.named().name()), ["lake/one"]);
}
