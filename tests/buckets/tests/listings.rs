//! What a store answers to a listing is whole or an error: what is no listing, what does not say where it goes on, what never
//! ends, and keys that cannot be told apart or named.

use lastword::external::{
    Access, Bucket as BucketName, Buckets, Listed, SourceLocation, SourceUri, Store, StoreError, TrafficCounter,
    never_interrupted,
};
use test_buckets::bucket::{self, Bucket};
use test_buckets::stage::{Asked, Fault, GoingOn, Manners, Stage};

fn list(buckets: &Buckets, source: &SourceLocation) -> Result<Listed, StoreError> {
    buckets.list(source, &never_interrupted, &TrafficCounter::default())
}

fn names(listed: &Listed) -> Vec<String> {
    listed.files.iter().map(|(path, _)| path.to_string()).collect()
}

/// Buckets of the server in this process, at S3's protocol and at Google's.
fn staged() -> [Bucket; 2] {
    [bucket::staged(&Stage::start()), bucket::gs(&Stage::start())]
}

impl Of for Bucket {
    fn put_at_stage(&self, key: &str, content: &[u8]) {
        self.stage().unwrap().put(self.named().name(), key, content);
    }

    /// Why it is not observable.
    fn why(&self, prefix: &str) -> String {
        let error = list(&self.buckets(), &self.source(prefix)).map(|listed| names(&listed)).unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. }), "{error:?}");
        error.to_string()
    }
}

trait Of {
    fn put_at_stage(&self, key: &str, content: &[u8]);
    fn why(&self, prefix: &str) -> String;
}

/// A container, at whatever the server in this process is told to say.
fn az(stage: &Stage) -> (Buckets, SourceLocation) {
    let access = Access {
        endpoint: Some(format!("{}/account", stage.endpoint)),
        account: Some("account".to_owned()),
        allow_http: true,
        anonymous: true,
        ..Access::default()
    };
    let source = SourceUri::parse("az://lake/docs/").unwrap().resolve("".as_ref()).unwrap();
    (Buckets::new().access(BucketName::parse("az://lake").unwrap(), access), source)
}

/// What is no listing, though the status is 200.
const NONE: [&str; 12] = [
    "<html><body>Please log in, token=s3cr3t</body></html>",
    "<!DOCTYPE html><html><head><title>s3cr3t</title></head><body><p/></body></html>",
    "<Error><Code>InternalError</Code><Message>s3cr3t</Message></Error>",
    "<a/>",
    "<ListAllMyBucketsResult><Buckets/><IsTruncated>false</IsTruncated></ListAllMyBucketsResult>",
    "<ListBucketResult></ListBucketResult>",
    "<ListBucketResult><Name>s3cr3t</Name><Prefix/></ListBucketResult>",
    "<ListBucketResult><IsTruncated>s3cr3t</IsTruncated></ListBucketResult>",
    "<ListBucketResult><IsTruncated>false</IsTruncated>",
    "{\"error\": \"s3cr3t\"}",
    "s3cr3t",
    "",
];

const CAUSE: &str = "answers there that is no object store";

#[test]
fn what_is_no_listing_is_no_empty_bucket() {
    for bucket in staged() {
        bucket.put_at_stage("docs/a", b"x");
        for text in NONE {
            bucket.stage().unwrap().before_each(move |_| Some(Fault::Say(text)));
            let why = bucket.why("docs/");
            assert!(why.contains(CAUSE) && !why.contains("s3cr3t"), "{text}: {why}");
        }
    }
}

#[test]
fn what_is_no_listing_is_no_last_page() {
    for bucket in staged() {
        (0..1_500).for_each(|n| bucket.put_at_stage(&format!("docs/{n:04}"), b"x"));
        for text in NONE {
            let mut first = true;
            bucket.stage().unwrap().before_each(move |_| (!std::mem::take(&mut first)).then_some(Fault::Say(text)));
            let why = bucket.why("docs/");
            assert!(why.contains(CAUSE) && !why.contains("s3cr3t"), "{text}: {why}");
        }
    }
}

#[test]
fn what_is_no_listing_tells_of_no_table() {
    for bucket in staged() {
        bucket.stage().unwrap().before_each(|_| Some(Fault::Say("<html/>")));
        assert!(bucket.why("t/year=2026/").contains(CAUSE));
    }
}

#[test]
fn what_is_no_listing_is_no_empty_container() {
    let stage = Stage::start();
    let (buckets, source) = az(&stage);
    let others = [
        "<a><Blobs/></a>",
        "<ListBucketResult><IsTruncated>false</IsTruncated><Blobs/></ListBucketResult>",
        "<EnumerationResults/>",
        "<EnumerationResults><Containers/><NextMarker/></EnumerationResults>",
    ];
    for text in NONE.into_iter().chain(others) {
        stage.before_each(move |_| Some(Fault::Say(text)));
        let why = list(&buckets, &source).unwrap_err().to_string();
        assert!(why.contains(CAUSE) && !why.contains("s3cr3t"), "{text}: {why}");
    }
    stage.before_each(|_| {
        Some(Fault::Say(
            "\u{feff}<?xml version=\"1.0\"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>",
        ))
    });
    assert!(list(&buckets, &source).unwrap().files.is_empty());
}

#[test]
fn a_listing_is_known_by_what_it_says() {
    for bucket in staged() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- <Error/> -->\n\
                    <s3:ListBucketResult xmlns:s3=\"http://s3.amazonaws.com/doc/2006-03-01/\"><s3:IsTruncated>false\
                    </s3:IsTruncated></s3:ListBucketResult>\n";
        bucket.stage().unwrap().before_each(move |_| Some(Fault::Say(text)));
        assert!(list(&bucket.buckets(), &bucket.source("docs/")).unwrap().files.is_empty());
    }
}

#[test]
fn a_listing_that_does_not_say_where_it_goes_on_is_not_whole() {
    for bucket in staged() {
        (0..2_500).for_each(|n| bucket.put_at_stage(&format!("docs/{n:04}"), b"x"));
        bucket.stage().unwrap().behave(Manners { going_on: GoingOn::Untold, ..Manners::default() });
        let why = bucket.why("docs/");
        assert!(why.contains("says that there is more and not where it goes on"), "{why}");
        // Nor is one that says it with nothing in it.
        let text = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken/></ListBucketResult>";
        bucket.stage().unwrap().before_each(move |_| Some(Fault::Say(text)));
        assert!(bucket.why("docs/").contains("says that there is more and not where it goes on"));
    }
}

#[test]
fn a_last_page_with_an_empty_token_is_the_last_one() {
    for bucket in staged() {
        (0..1_500).for_each(|n| bucket.put_at_stage(&format!("docs/{n:04}"), b"x"));
        bucket.stage().unwrap().behave(Manners { going_on: GoingOn::EmptyToken, ..Manners::default() });
        let requests = || bucket.stage().unwrap().asked().len();
        assert_eq!(list(&bucket.buckets(), &bucket.source("docs/")).unwrap().files.len(), 1_500);
        assert_eq!(requests(), 2);
    }
}

#[test]
fn a_listing_that_never_ends_is_an_error_with_a_cause() {
    for bucket in staged() {
        (0..50).for_each(|n| bucket.put_at_stage(&format!("docs/{n:04}"), b"x"));
        for is_unordered in [false, true] {
            for going_on in [GoingOn::SameToken, GoingOn::SamePage, GoingOn::InTurns] {
                bucket.stage().unwrap().behave(Manners { going_on, is_unordered, ..Manners::default() });
                // What never ends has no end that could be waited for: who counts says stop.
                bounded(&bucket, 200);
                let why = bucket.why("docs/");
                assert!(why.contains("goes round in a circle"), "{going_on:?} {is_unordered}: {why}");
            }
        }
    }
}

#[test]
fn pages_without_a_key_are_followed_for_long_and_not_for_ever() {
    let [bucket, _] = staged();
    bucket.put_at_stage("docs/a", b"x");
    bucket.stage().unwrap().behave(Manners { going_on: GoingOn::Empty, ..Manners::default() });
    bounded(&bucket, 20_000);
    let why = bucket.why("docs/");
    assert!(why.contains("pages without a key, and goes on"), "{why}");
    assert!(bucket.stage().unwrap().asked().len() > 2_000);
}

/// Refuses after so many requests.
fn bounded(bucket: &Bucket, most: u32) {
    let mut asked = 0;
    bucket.stage().unwrap().before_each(move |_| {
        asked += 1;
        (asked > most).then_some(Fault::Status(403))
    });
}

#[test]
fn what_was_not_asked_for_is_no_marker() {
    for bucket in staged() {
        bucket.put_at_stage("docs/a", b"x");
        bucket.put_at_stage("other/docs/b", b"x");
        bucket.stage().unwrap().behave(Manners { lists_beside: true, ..Manners::default() });
        let why = bucket.why("docs/");
        assert!(why.contains("lists what was not asked for"), "{why}");
    }
}

#[test]
fn a_key_that_cannot_be_named_is_said_with_its_reason() {
    for bucket in staged() {
        let long = format!("docs/{}\u{7f}", "ü".repeat(400));
        for (key, shown, reason) in [
            ("docs/a\tb", "docs/a\\tb", "a control character"),
            ("docs/a\rb", "docs/a\\rb", "a control character"),
            ("docs/\u{7f}", "docs/\\u{7f}", "a control character"),
            ("docs/a//b", "docs/a//b", "an empty part (//)"),
            ("docs/./b", "docs/./b", "a part that is `.` or `..`"),
            ("docs/b/..", "docs/b/..", "a part that is `.` or `..`"),
            ("docs/y//", "docs/y//", "an empty part (//)"),
            (&long, "docs/üüü", "a control character"),
        ] {
            bucket.put_at_stage("docs/fine", b"x");
            bucket.put_at_stage(key, b"x");
            let why = bucket.why("docs/");
            assert!(why.contains(&format!("\"{shown}")) && why.contains(reason), "{key:?}: {why}");
            assert!(why.chars().count() < 400 && !why.contains(|c: char| c.is_control()), "{why}");
            for other in ["a control character", "an empty part", "a part that is"] {
                assert!(reason.starts_with(other) || !why.contains(other), "{key:?}: {why}");
            }
            bucket.stage().unwrap().remove(bucket.named().name(), key);
        }
    }
    // Begins with an empty part: it would be taken for `a`.
    let [bucket, _] = staged();
    bucket.put_at_stage("/a", b"x");
    let why = bucket.why("");
    assert!(why.contains("\"/a\"") && why.contains("an empty part"), "{why}");
}

#[test]
fn the_key_that_is_named_is_the_same_each_time() {
    let [bucket, _] = staged();
    (0..20_500).for_each(|n| bucket.put_at_stage(&format!("docs/{n:05}"), b"x"));
    let (buckets, source) = (bucket.buckets(), bucket.source("docs/"));
    list(&buckets, &source).unwrap();
    // One in each lane; that of the last is found first.
    (0..20).for_each(|n| bucket.put_at_stage(&format!("docs/{n:02}999\t"), b"x"));
    bucket.put_at_stage("docs/20400/", b"x");
    for _ in 0..3 {
        let why = list(&buckets, &source).unwrap_err().to_string();
        assert!(why.contains("docs/00999\\t"), "{why}");
    }
}

#[test]
fn a_key_with_bytes_that_ends_with_a_slash_is_not_taken_for_another() {
    for bucket in staged() {
        bucket.put_at_stage("docs/z", b"plain");
        for key in ["docs/y/", "docs/z/", "docs/"] {
            bucket.put_at_stage(key, b"slashed");
            let why = bucket.why("docs/");
            assert!(why.contains(&format!("\"{key}\"")) && why.contains("ends with a slash and has bytes"), "{why}");
            bucket.stage().unwrap().remove(bucket.named().name(), key);
        }
    }
}

#[test]
fn a_key_without_bytes_that_ends_with_a_slash_is_a_marker() {
    for bucket in staged() {
        for (key, content) in [("docs/", ""), ("docs/a", ""), ("docs/a/", ""), ("docs/a/b", "x"), ("docs/c/", "")] {
            bucket.put_at_stage(key, content.as_bytes());
        }
        // Between `a` and `a/` in the order of the bytes: no reason to think that the store has no order.
        bucket.put_at_stage("docs/a-", b"x");
        (0..9_000).for_each(|n| bucket.put_at_stage(&format!("docs/d/{n:04}"), b"x"));
        let (buckets, source) = (bucket.buckets(), bucket.source("docs/"));
        for _ in 0..2 {
            bucket.stage().unwrap().asked();
            let listed = list(&buckets, &source).unwrap();
            assert_eq!(names(&listed)[..3], ["a", "a-", "a/b"]);
            assert_eq!(listed.files.len(), 9_003);
            assert_eq!(listed.left_out.skipped.to_string(), "3 marker");
        }
        let asked = bucket.stage().unwrap().asked();
        assert!(asked.iter().any(|asked| matches!(asked, Asked::List { start_after: Some(_) })), "in lanes");
    }
}

#[test]
fn blobs_are_held_to_the_same() {
    let stage = Stage::start();
    let (buckets, source) = az(&stage);
    let page = |names: &[(&str, u64)], next: &str| -> &'static str {
        let blobs: String = names
            .iter()
            .map(|(name, size)| {
                format!(
                    "<Blob><Name>{name}</Name><Properties><Last-Modified>Tue, 01 Dec 2026 05:00:00 GMT</Last-Modified>\
                     <Etag>0x8</Etag><Content-Length>{size}</Content-Length><Content-Type>x/y</Content-Type></Properties></Blob>"
                )
            })
            .collect();
        let text =
            format!("<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>");
        Box::leak(text.into_boxed_str())
    };
    for (text, cause) in [
        (page(&[("docs/a", 1)], "again"), "goes round in a circle"),
        (page(&[("docs/a", 1), ("b", 1)], ""), "lists what was not asked for"),
        (page(&[("docs/a", 1), ("other/docs/b", 1)], ""), "lists what was not asked for"),
        (page(&[("docs/y", 1), ("docs/y/", 2)], ""), "\"docs/y/\""),
        (page(&[("docs/a&#9;b", 1)], ""), "\"docs/a\\tb\""),
        (page(&[("docs/a//b", 1)], ""), "an empty part (//)"),
    ] {
        stage.before_each(move |_| Some(Fault::Say(text)));
        let why = list(&buckets, &source).unwrap_err().to_string();
        assert!(why.contains(cause), "{cause}: {why}");
    }
    let text = page(&[("docs/a", 1), ("docs/c/", 0), ("docs/c/d", 1)], "");
    stage.before_each(move |_| Some(Fault::Say(text)));
    let listed = list(&buckets, &source).unwrap();
    assert_eq!(
        (names(&listed), listed.left_out.skipped.to_string()),
        (vec!["a".to_owned(), "c/d".to_owned()], "1 marker".to_owned())
    );
}
