//! What is done with an answer that is none: nothing of it is repeated, and nowhere that it leads to is gone.

use lastword::external::{
    Access, Bucket, Buckets, SecretName, SourceUri, Store, StoreError, TrafficCounter, never_interrupted,
};
use test_buckets::parrot::{Parrot, answer};
use test_buckets::stage::Stage;

const TOKEN: &str = "TOKENSECRET99";
/// What no request holds, and an answer does.
const MARK: &str = "ANSWERSECRET88";

const PAGE: &str = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>lake/a</Key><LastModified>2026-01-01T00:00:00.000Z\
                    </LastModified><ETag>\"11\"</ETag><Size>3</Size></Contents></ListBucketResult>";

struct Asking {
    buckets: Buckets,
    source: lastword::external::SourceLocation,
    _secrets: tempfile::TempDir,
}

/// Asks this address for a bucket of this kind, with temporary credentials where there are such.
fn asking(scheme: &str, address: &str) -> Asking {
    asking_at(scheme, &format!("http://{address}"), "czNjcjN0VkFMVUU3Nw==")
}

fn asking_at(scheme: &str, endpoint: &str, account_key: &str) -> Asking {
    let secrets = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        std::fs::write(secrets.path().join(name), text).unwrap();
        SecretName::parse(&format!("file:{}", secrets.path().join(name).display())).ok()
    };
    let mut access = Access { endpoint: Some(endpoint.to_owned()), allow_http: true, ..Access::default() };
    match scheme {
        "s3" => {
            access.access_key_id = secret("id", "AKIDSECRETID");
            access.secret_access_key = secret("key", "s3cr3tVALUE77");
            access.session_token = secret("token", TOKEN);
        }
        "az" => {
            access.account = Some("accountsecret66".to_owned());
            access.access_key = secret("key", account_key);
        }
        _ => access.anonymous = true,
    }
    let bucket = Bucket::parse(&format!("{scheme}://lake")).unwrap();
    let source = SourceUri::parse(&format!("{scheme}://lake/lake/")).unwrap().resolve("/".as_ref()).unwrap();
    Asking { buckets: Buckets::new().access(bucket, access), source, _secrets: secrets }
}

impl Asking {
    fn list(&self) -> Result<lastword::external::Listed, StoreError> {
        self.buckets.list(&self.source, &never_interrupted, &TrafficCounter::default())
    }
}

fn check_silent(said: &str, what: &str) {
    let said = said.to_ascii_lowercase();
    for secret in [TOKEN, MARK, "AKIDSECRETID", "s3cr3tVALUE77", "accountsecret66"] {
        assert!(!said.contains(&secret.to_ascii_lowercase()), "{what}: {said}");
    }
}

/// Says a text in some form.
type Form = fn(&str) -> String;

#[test]
fn no_redirect_is_followed_and_the_token_goes_nowhere_else() {
    let elsewhere = Parrot::start(|_| answer(200, "", PAGE));
    for status in [301, 302, 303, 307, 308] {
        for scheme in ["s3", "gs", "az"] {
            let location = format!("location: http://{}/lake?list-type=2\r\n", elsewhere.address);
            let region = "x-amz-bucket-region: eu-west-3\r\n";
            let named = Parrot::start(move |_| answer(status, &format!("{location}{region}"), ""));
            let error = asking(scheme, &named.address).list().unwrap_err();
            assert!(matches!(error, StoreError::Unreadable { .. }), "{error:?}");
            assert_eq!(elsewhere.heard(), Vec::<String>::new(), "{scheme} {status}");
            let said = error.to_string();
            for part in [&format!("status {status}"), "to 127.0.0.1,", "eu-west-3", "not followed", "`endpoint`"] {
                assert!(said.contains(part), "{part:?} is not in {said}");
            }
            assert_eq!(named.heard().len(), 1, "it is not tried again");
        }
    }
    // A host that is what was sent is not named.
    let named = Parrot::start(|_| answer(307, &format!("location: http://{TOKEN}.example.com/\r\n"), ""));
    let said = asking("s3", &named.address).list().unwrap_err().to_string();
    check_silent(&said, "a host");
    assert!(said.contains("status 307 and leads elsewhere;"), "{said}");
}

#[test]
fn an_object_is_read_from_nowhere_else() {
    let elsewhere = Parrot::start(|_| answer(206, "content-range: bytes 0-2/3\r\netag: \"11\"\r\n", "abc"));
    let location = format!("location: http://{}/lake/lake/a\r\n", elsewhere.address);
    let named = Parrot::start(move |head| match head.contains("/lake/lake/a") {
        true => answer(307, &location, ""),
        false => answer(200, "", PAGE),
    });
    let asking = asking("s3", &named.address);
    let (path, stat) = asking.list().unwrap().files.remove(0);
    let reader = asking.buckets.open(&asking.source, &path, &stat).unwrap();
    let error = reader.read(0, 3).unwrap_err();
    assert!(error.to_string().contains("status 307"), "{error}");
    assert_eq!(elsewhere.heard(), Vec::<String>::new());
}

/// Proxies, pages for debugging and gateways answer with what they were asked.
#[test]
fn nothing_of_an_answer_is_repeated() {
    let listing = |part: &str| format!("<ListBucketResult><IsTruncated>false</IsTruncated>{part}</ListBucketResult>");
    let object = |key: &str, modified: &str, size: &str| {
        listing(&format!(
            "<Contents><Key>{key}</Key><LastModified>{modified}</LastModified><ETag>\"1\"</ETag><Size>{size}</Size></Contents>"
        ))
    };
    let forms: [(&str, Form); 4] = [
        ("text", |all| all.to_owned()),
        ("json", |all| format!("{{\"headers\": {all:?}}}")),
        ("xml", |all| format!("<{0}>{all}</{0}>", MARK)),
        ("html", |all| format!("<!DOCTYPE {MARK}><html><body {MARK}={MARK}>{all}&{MARK};")),
    ];
    for scheme in ["s3", "gs", "az"] {
        let parrot = Parrot::start(|_| Vec::new());
        let asking = asking(scheme, &parrot.address);
        let heard = |what: &str| {
            // Whether it passes for a listing is not asked here.
            let Err(said) = asking.list() else { return };
            check_silent(&format!("{said} {said:?}"), &format!("{scheme} {what}"));
            assert!(said.to_string().len() > 20, "{scheme} {what}: {said}");
        };
        for status in [200, 206, 400, 401, 403, 404, 405, 409, 412] {
            for (what, form) in forms {
                parrot.say(move |head| answer(status, "", &form(&format!("{MARK} {head}"))));
                heard(&format!("{status} {what}"));
            }
            let coded = format!("<Error><Code>{MARK}</Code><Message>{MARK}</Message></Error>");
            parrot.say(move |_| answer(status, &format!("{MARK}: {MARK}\r\n"), &coded));
            heard(&format!("{status} code"));
        }
        for text in [
            format!("<ListBucketResult><IsTruncated>{MARK}</IsTruncated></ListBucketResult>"),
            object("lake/a", MARK, "1"),
            object("lake/a", "2026-01-01T00:00:00.000Z", MARK),
            listing(&format!("<Contents><{MARK}>{MARK}</{MARK}></Contents>")),
            listing(&format!("<{MARK}")),
            format!("{{\"{MARK}\": \"status code: 404 {MARK}\"}}"),
        ] {
            let what = text.clone();
            parrot.say(move |_| answer(200, "", &text));
            heard(&what);
        }
        // And what is no HTTP.
        parrot.say(|_| format!("{MARK}\r\n\r\n").into_bytes());
        heard("no HTTP");
    }
}

#[test]
fn a_cause_says_what_to_do() {
    let stage = Stage::start();
    let said = |asking: Asking| asking.list().unwrap_err().to_string();
    for scheme in ["s3", "gs", "az"] {
        let found = said(asking_at(scheme, &stage.endpoint.replace("http://", "https://"), "a2V5"));
        assert!(found.contains("does not speak TLS") && found.contains("http://"), "{scheme}: {found}");
        assert!(found.contains("`allow_http = true`"), "{scheme}: {found}");
    }
    let found = said(asking_at("s3", &stage.endpoint, ""));
    assert!(found.contains("s3://lake/lake/ does not exist: there is no such bucket, or its endpoint"), "{found}");
    let found = said(asking_at("az", &stage.endpoint, "s3cr3tVALUE77!"));
    assert!(found.contains("access_key of [stores], or AZURE_STORAGE_ACCOUNT_KEY"), "{found}");
    check_silent(&found, "a key");
}
