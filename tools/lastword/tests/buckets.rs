//! Sources in buckets, at real servers, and a directory of documents beside them.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use support::{Place, Running, lastword, program, rows, text, until, write_parquet};
use test_buckets::bucket::{self, Bucket, SECRET};
use test_buckets::parrot::{Parrot, answer};
use test_buckets::servers::AZURITE_KEY;
use test_buckets::stage::{Asked, Fault, Stage};

/// Parquet below `lake/` of a bucket, and documents in a directory.
fn place(bucket: &Bucket) -> Place {
    let place = Place::new("");
    fs::create_dir(place.dir.path().join("documents")).unwrap();
    place.configure(&format!(
        "state = \"state\"\n{}\n\
         [collections.lineitem]\nsource = \"{}/lake\"\nspec = {{ format = \"parquet\" }}\ntarget_rows = 500\nquiet = \"0s\"\n\
         [collections.documents]\nsource = \"documents/\"\nspec = {{ format = \"files\", include = [\"*.md\"] }}\nquiet = \"0s\"\n",
        bucket.toml(),
        bucket.name
    ));
    place
}

fn put(place: &Place, bucket: &Bucket, key: &str, groups: i64, salt: i64) {
    let path = place.dir.path().join("upload");
    write_parquet(&path, groups, salt);
    bucket.put(key, &fs::read(path).unwrap());
}

fn manifest(place: &Place, name: &str) -> Value {
    let shown = lastword(&["manifest", text(&place.state()), name, "--json"]).expect_code(0);
    serde_json::from_str(&shown.stdout).unwrap()
}

fn segments(manifest: &Value) -> Vec<String> {
    manifest["segments"].as_array().unwrap().iter().map(|segment| segment["id"].to_string()).collect()
}

#[test]
fn a_bucket_and_a_directory_of_documents_are_kept_in_step() {
    for bucket in bucket::all() {
        let place = place(&bucket);
        put(&place, &bucket, "lake/a.parquet", 1, 0);
        put(&place, &bucket, "lake/year=2026/b.parquet", 1, 1);
        bucket.put("lake/README.md", b"no data");
        for (name, content) in [("one.md", "1"), ("two.md", "2"), ("three.txt", "3")] {
            fs::write(place.dir.path().join("documents").join(name), content).unwrap();
        }
        let planned = lastword(&["plan", text(&place.config())]).expect_code(0);
        assert!(planned.stdout.contains("left out: 1 other ending"), "{}", planned.stdout);
        place.once().expect_code(0);
        let first = place.manifest();
        assert_eq!(rows(&first), 1000, "{}", bucket.name);
        let documents = manifest(&place, "documents");
        assert_eq!((rows(&documents), segments(&documents).len()), (2, 2), "each document is a segment of its own");

        // The same size, other bytes: that object is built anew, and nothing else.
        put(&place, &bucket, "lake/a.parquet", 1, 7);
        fs::write(place.dir.path().join("documents/one.md"), "one").unwrap();
        place.once().expect_code(0);
        let (before, after) = (segments(&first), segments(&place.manifest()));
        assert_eq!(after.iter().filter(|id| before.contains(id)).count(), 1, "{}", bucket.name);
        let kept = segments(&documents);
        let now = segments(&manifest(&place, "documents"));
        assert_eq!(now.iter().filter(|id| kept.contains(id)).count(), 1, "the other document stays");

        // Nothing has changed.
        let seq = place.last_event();
        place.once().expect_code(0);
        assert_eq!(place.last_event(), seq + 1, "{}: the log was opened, and that is all", bucket.name);
        check_no_secret(&place);

        // All gone is held, and not committed.
        for key in ["lake/a.parquet", "lake/year=2026/b.parquet"] {
            bucket.delete(key);
        }
        place.once().expect_code(1);
        assert_eq!(place.condition().as_deref(), Some("held"), "{}", bucket.name);
        assert_eq!(rows(&place.manifest()), 1000);
    }
}

/// What was looked up is in nothing that anybody sees.
fn check_no_secret(place: &Place) {
    let log = text(&place.state()).to_owned();
    let status = lastword(&["status", &log, "--json"]).expect_code(0);
    let traced = lastword(&["run", text(&place.config()), "--once", "--log", "json"]);
    for said in [&status.stdout, &status.stderr, &traced.stdout, &traced.stderr] {
        assert!(!said.contains(SECRET) && !said.contains(AZURITE_KEY), "{said}");
    }
    for secret in [SECRET, AZURITE_KEY] {
        let found = Command::new("grep").args(["-rlF", secret, &log]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "in the state directory");
    }
}

#[test]
fn a_bucket_that_cannot_be_reached_is_a_cause_and_no_empty_source() {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    let place = place(&bucket);
    put(&place, &bucket, "lake/a.parquet", 1, 0);
    fs::write(place.dir.path().join("documents/one.md"), "1").unwrap();
    place.once().expect_code(0);
    let name = bucket.named().name().to_owned();
    for (fault, expected) in [
        (Fault::Status(403), "status 403"),
        (Fault::Status(400), "check region, endpoint and credentials"),
        (Fault::Status(404), "does not exist"),
    ] {
        stage.before_each(move |_| Some(fault));
        let ended = place.once().expect_code(1);
        assert!(ended.stderr.contains(expected), "{fault:?}: {}", ended.stderr);
        assert_eq!(rows(&place.manifest()), 500);
    }
    stage.before_each(|_| None);
    stage.remove_bucket(&name);
    let ended = place.once().expect_code(1);
    assert!(ended.stderr.contains("does not exist"), "{}", ended.stderr);
    assert_eq!(rows(&place.manifest()), 500);
    // It is back.
    stage.new_bucket(&name);
    put(&place, &bucket, "lake/a.parquet", 1, 0);
    place.once().expect_code(0);
}

#[test]
fn status_shows_what_a_look_took_that_the_store_asked_to_wait_and_when_the_next_one_is_due() {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    let place = place(&bucket);
    // A request a day.
    place.configure(&format!("list_budget = 1\n{}", fs::read_to_string(place.config()).unwrap()));
    put(&place, &bucket, "lake/a.parquet", 1, 0);
    let asked = AtomicU32::new(0);
    stage.before_each(move |request| {
        let is_first = matches!(request, Asked::List { .. }) && asked.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then_some(Fault::Status(503))
    });
    let run = Running::start(&place);
    until("it was looked at", || place.status()["live"]["last_look"]["succeeded"] == true);
    let live = place.status()["live"].clone();
    assert_eq!((&live["last_look"]["requests"], &live["look"]), (&2.into(), &Value::Null), "{live}");
    assert_eq!(
        (&live["last_look"]["throttled"]["times"], &live["last_look"]["throttled"]["status"]),
        (&1.into(), &503.into())
    );
    assert!(live["next_look_in_seconds"].as_f64().unwrap() > 86_400.0, "two requests are two days: {live}");
    let shown = lastword(&["status", text(&place.state()), "lineitem"]).expect_code(0).stdout;
    for part in [" NEXT ", " ago, 2 requests ", "day", "its store asked to wait once during one look (status 503"] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    run.stop();
}

/// A share of the threads is a bucket's own: whoever else is followed goes on.
#[test]
fn a_bucket_that_falls_silent_holds_up_nothing_else() {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    let place = place(&bucket);
    place.look_often();
    stage.before_each(|_| Some(Fault::Hang));
    let document = |name: &str| fs::write(place.dir.path().join("documents").join(name), name).unwrap();
    document("one.md");
    let run = Running::start(&place);
    let documents = |n| {
        until("the documents are followed", || {
            let shown = lastword(&["manifest", text(&place.state()), "documents", "--json"]);
            serde_json::from_str(&shown.stdout).is_ok_and(|manifest: Value| rows(&manifest) == n)
        });
    };
    documents(1);
    document("two.md");
    documents(2);
    let silent = place.status();
    assert_ne!(silent["health"], "ok", "{silent}");
    assert!(silent["live"]["look"].is_object(), "it is being looked at: {silent}");
    run.stop();
}

#[test]
fn other_keys_of_the_same_store_rebuild_nothing() {
    let bucket = bucket::staged(&Stage::start());
    let place = place(&bucket);
    put(&place, &bucket, "lake/a.parquet", 1, 0);
    fs::write(place.dir.path().join("documents/one.md"), "1").unwrap();
    place.once().expect_code(0);
    let (seq, before) = (place.last_event(), fs::read_to_string(place.config()).unwrap());
    let secret = place.dir.path().join("rotated");
    fs::write(&secret, "another-key").unwrap();
    let rotated = |line: &str| match line.split_once(" = \"file:") {
        Some((key, _)) => format!("{key} = \"file:{}\"\n", secret.display()),
        None => format!("{line}\n"),
    };
    let after: String = before.lines().map(rotated).collect();
    assert_ne!(before, after);
    place.configure(&after);
    place.once().expect_code(0);
    assert_eq!(place.last_event(), seq + 1, "the log was opened, and that is all");
}

#[test]
fn what_is_wrong_with_a_store_is_named_with_line_and_key() {
    for (lines, expected) in [
        ("[stores.lake]\n", "lake.toml:2: stores: a key of it must name a bucket, as s3://bucket"),
        ("[stores.\"ftp://lake\"]\n", "must name a bucket"),
        ("[stores.\"s3://me:secret@lake\"]\n", "must not hold a user, a password or an account"),
        ("[stores.\"s3://lake\"]\nregio = \"eu\"\n", "lake.toml:3: stores.\"s3://lake\".regio: is unknown"),
        ("[stores.\"s3://lake\"]\nregion = 1\n", "region: must be a string"),
        ("[stores.\"s3://lake\"]\nregion = \"eu west\"\n", "lake.toml:3: stores.\"s3://lake\".region: must be 1 to 64"),
        ("[stores.\"s3://lake\"]\nendpoint = \"http://minio\"\n", "endpoint: is http://"),
        (
            "[stores.\"s3://lake\"]\naccess_key_id = \"env:A\"\nsecret_access_key = \"wJalrXUtnFEMI\"\n",
            "lake.toml:4: stores.\"s3://lake\".secret_access_key: must name where the secret is, as env:NAME or file:PATH",
        ),
        ("[stores.\"s3://lake\"]\naccess_key_id = \"env:A\"\n", "access_key_id: needs secret_access_key beside it"),
        ("[stores.\"gs://lake\"]\nregion = \"eu\"\n", "region: is nothing that gs:// has"),
        (
            "[stores.\"s3://lake/docs\"]\n",
            "lake.toml:2: stores: a key of it must name the bucket alone, without a prefix, as s3://lake\n",
        ),
        ("[stores.\"s3://me:secret@lake/docs\"]\n", "must not hold a user, a password or an account"),
        ("[stores.\"s3://lake\"]\n[stores.\"S3://lake/\"]\n", "is there twice"),
    ] {
        let place = Place::new("");
        let collection = "[collections.lineitem]\nsource = \"s3://lake/x\"\nspec = { format = \"parquet\" }\n";
        place.configure(&format!("state = \"state\"\n{lines}{collection}"));
        for command in ["plan", "run"] {
            let ended = lastword(&[command, text(&place.config())]).expect_code(2);
            assert!(ended.stderr.contains(expected), "{lines}\n{}", ended.stderr);
            assert!(!ended.stderr.contains("wJalr") && !ended.stderr.contains("secret@"), "{}", ended.stderr);
            assert!(!place.state().exists());
        }
        // The run that is there goes on with what it has.
        place.configure(&format!("state = \"state\"\n{collection}").replace("s3://lake/x", "lake/"));
        fs::create_dir_all(place.lake()).unwrap();
        let run = Running::start(&place);
        until("it answers", || place.status()["live"]["last_look"]["succeeded"] == true);
        let seq = place.last_event();
        place.configure(&format!("state = \"state\"\n{lines}{collection}"));
        let ended = lastword(&["reload", text(&place.state())]).expect_code(2);
        assert!(ended.stderr.contains(expected), "{lines}\n{}", ended.stderr);
        assert_eq!(place.last_event(), seq);
        run.stop();
    }
}

/// What the client of the store would panic over.
#[test]
fn what_the_environment_has_wrong_is_named_by_its_variable() {
    let place = Place::new("");
    let collection = "[collections.lineitem]\nsource = \"s3://lake/x\"\nspec = { format = \"parquet\" }\n";
    place.configure(&format!("state = \"state\"\n{collection}"));
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t\r")];
    for set in [&[("AWS_ENDPOINT_URL", "127.0.0.1:9000")][..], &[("AWS_ENDPOINT_URL", "")], &keys] {
        let (name, _) = set.last().unwrap();
        for arguments in [&["plan", text(&place.config())][..], &["doctor", "s3://lake/x/"]] {
            let output = program().args(arguments).envs(set.iter().copied()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(&format!("the environment variable {name} ")), "{arguments:?}: {said}");
            assert!(!said.contains("panicked") && !said.contains("s3cr3t"), "{arguments:?}: {said}");
        }
    }
}

/// A store whose name is mistyped leaves its bucket to the environment.
#[test]
fn a_store_of_a_bucket_that_no_source_names_is_remarked() {
    let bucket = bucket::staged(&Stage::start());
    let place = place(&bucket);
    put(&place, &bucket, "lake/a.parquet", 1, 0);
    fs::write(place.dir.path().join("documents/one.md"), "1").unwrap();
    let right = fs::read_to_string(place.config()).unwrap();
    let remark =
        format!("lake.toml:2: stores.\"s3://lak\": no source lies in this bucket; sources name {}\n", bucket.name);
    let with_another = right.replacen('\n', "\n[stores.\"s3://lak\"]\nregion = \"eu\"\n", 1);
    let planned = lastword(&["plan", text(&place.config())]).expect_code(0);
    assert!(!planned.stderr.contains("no source lies"), "{}", planned.stderr);
    place.configure(&with_another);
    let planned = lastword(&["plan", text(&place.config())]).expect_code(0);
    assert!(planned.stderr.contains(&remark), "{}", planned.stderr);
    let ended = place.once().expect_code(0);
    assert!(ended.stderr.contains(&remark), "{}", ended.stderr);
}

#[test]
fn a_pattern_or_a_query_is_no_prefix() {
    let place = Place::new("");
    for source in ["s3://lake/docs/*.txt", "s3://lake/docs?x=1", "gs://lake/?", "az://lake/a/**/b"] {
        place.configure(&format!(
            "state = \"state\"\n[collections.docs]\nsource = \"{source}\"\nspec = {{ format = \"files\" }}\n"
        ));
        for command in ["plan", "run"] {
            let ended = lastword(&[command, text(&place.config())]).expect_code(2);
            let expected = "lake.toml:3: collections.docs.source: must be a prefix, and neither a pattern nor a query";
            assert!(ended.stderr.contains(expected) && ended.stderr.contains("include = "), "{}", ended.stderr);
        }
    }
}

/// A page for debugging in the place of a store, of which nothing is to be seen anywhere.
#[test]
fn what_answers_and_is_no_store_leaves_no_word_anywhere() {
    const TOKEN: &str = "TOKENSECRET99";
    let parrot = Parrot::start(|head| answer(200, "", &format!("token: {head}")));
    for scheme in ["s3", "gs", "az"] {
        let place = Place::new("");
        let secret = |name: &str, said: &str| {
            fs::write(place.dir.path().join(name), said).unwrap();
            format!("\"file:{name}\"")
        };
        let keys = match scheme {
            "s3" => format!(
                "access_key_id = {}\nsecret_access_key = {}\nsession_token = {}\n",
                secret("id", "AKIDSECRETID"),
                secret("key", "s3cr3tVALUE77"),
                secret("token", TOKEN)
            ),
            "az" => format!("account = \"accountsecret66\"\naccess_key = {}\n", secret("key", "czNjcjN0VkFMVUU3Nw==")),
            _ => "anonymous = true\n".to_owned(),
        };
        place.configure(&format!(
            "state = \"state\"\n[collections.docs]\nsource = \"{scheme}://lake/docs/\"\nspec = {{ format = \"files\" }}\n\
             quiet = \"0s\"\n[stores.\"{scheme}://lake\"]\nendpoint = \"http://{}\"\nallow_http = true\n{keys}",
            parrot.address
        ));
        let (config, state) = (place.config(), place.state());
        let planned = lastword(&["plan", text(&config)]).expect_code(1);
        let ended = lastword(&["run", "--once", "--log", "json", text(&config)]).expect_code(1);
        assert!(ended.stderr.contains("the answer to a listing is no listing"), "{}", ended.stderr);
        let page = place.dir.path().join("page.html");
        let shown = [
            planned,
            ended,
            lastword(&["status", text(&state), "--json"]),
            lastword(&["status", text(&state), "docs"]),
            lastword(&["doctor", &format!("{scheme}://lake/docs/"), "--json", "--config", text(&config)]),
            lastword(&["report", text(&state), "-o", text(&page)]),
        ];
        for secret in [TOKEN, "AKIDSECRETID", "s3cr3tVALUE77", "AWS4-HMAC", "SharedKey"] {
            for ended in &shown {
                assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(secret), "{scheme}: {}", ended.stderr);
            }
            let found = Command::new("grep").args(["-rlF", secret, text(&state), text(&page)]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{scheme} {secret}");
        }
    }
}
