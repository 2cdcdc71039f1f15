//! The door of a run: what it answers is what its document says and what the commands print, whoever asks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that cannot help fails its test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Answered, Client, Place, Running, lastword, text, until};

fn running() -> (Place, Running) {
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    (place, run)
}

/// Seven more collections of the same files: `c0` to `c6`.
fn many() -> (Place, Running) {
    let more: String = (0..7)
        .map(|n| format!("[collections.c{n}]\nsource = \"lake/\"\nspec = {{ format = \"parquet\" }}\n"))
        .collect();
    let place = Place::new(&more);
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    for name in (0..7).map(|n| format!("c{n}")).chain(["lineitem".to_owned()]) {
        lastword(&["wait", text(&place.state()), &name]).expect_code(0);
    }
    (place, run)
}

fn document() -> Value {
    serde_json::from_str(&lastword(&["api"]).expect_code(0).stdout).unwrap()
}

/// Checks the document, and each answer by the schema that the document has for it.
const CHECK: &str = r##"
import json, sys
try:
    from jsonschema import Draft202012Validator
    from openapi_spec_validator import validate
except ImportError as error:
    print("SKIPPED:", error)
    sys.exit(0)
document, answers = json.load(sys.stdin)
validate(document)
for what, shape, answer in answers:
    schema = {"$ref": "#/components/schemas/" + shape, "components": document["components"]}
    wrong = [f"{'/'.join(map(str, e.path))}: {e.message[:200]}" for e in Draft202012Validator(schema).iter_errors(answer)]
    if wrong:
        sys.exit(f"{what}: {wrong[:3]}")
print("checked", len(answers))
"##;

fn check(document: &Value, answers: &[(String, String, Value)]) {
    let Ok(mut child) = Command::new("python3")
        .args(["-W", "ignore", "-c", CHECK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return println!("SKIPPED: python3 is not installed");
    };
    child.stdin.take().unwrap().write_all(json!([document, answers]).to_string().as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    println!("{said}");
    assert!(said.starts_with("SKIPPED") || said.starts_with(&format!("checked {}", answers.len())), "{said}");
}

#[test]
fn what_the_document_says_is_answered_and_nothing_else_is() {
    let (place, run) = running();
    let document = document();
    let mut client = place.client();
    assert_eq!(client.get("/v1/openapi.json").unwrap().json(), document, "`lastword api` prints the same");
    let mut answers = Vec::new();
    // What ends a thing comes last.
    let mut operations: Vec<(&String, &String, &Value)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().iter().map(move |(method, it)| (path, method, it)))
        .collect();
    operations.sort_by_key(|(path, _, _)| path.ends_with("/drop"));
    for (path, method, operation) in &operations {
        let target = path.replace("{name}", "lineitem");
        let parameters = operation["parameters"].as_array().unwrap();
        let query: Vec<String> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| Some(format!("{}={}", parameter["name"].as_str()?, value(&parameter["name"])?)))
            .collect();
        let answered = match method.as_str() {
            "get" if query.is_empty() => client.get(&target),
            "get" => client.get(&format!("{target}?{}", query.join("&"))),
            _ => client.post(&target, &body(operation).to_string()),
        };
        let answered = answered.unwrap();
        let what = format!("{method} {target}");
        let contents = operation["responses"]["200"]["content"].as_object().unwrap();
        let (media, content) = contents.get_key_value("application/json").or_else(|| contents.iter().next()).unwrap();
        assert!(answered.head.contains("cache-control: no-store") && answered.head.contains("nosniff"), "{what}");
        // Nothing is held or built, so that nothing can be confirmed or cancelled: that is an answer too.
        let expected = if path.ends_with("/confirm") || path.ends_with("/cancel") { 409 } else { 200 };
        assert_eq!(answered.status, expected, "{what}: {}", answered.body);
        assert!(answered.head.contains(&format!("content-type: {media}\r\n")), "{what}: {}", answered.head);
        let shape = content["schema"]["$ref"].as_str().unwrap();
        let shape = if expected == 200 { shape.rsplit('/').next().unwrap() } else { "Error" };
        let is_text = media != "application/json";
        answers.push((what, shape.to_owned(), if is_text { answered.body.into() } else { answered.json() }));
        // A name that is not there, and what is no field of it.
        let wrong = match method.as_str() {
            "get" => client.get(&format!("{target}?nonsense=1")),
            _ => client.post(&target, "{\"nonsense\":1}"),
        };
        let wrong = wrong.unwrap();
        assert_eq!(wrong.status, 400, "{method} {target}: {}", wrong.body);
        assert_eq!(wrong.json()["error"]["field"], "nonsense");
        answers.push((format!("{method} {target}?nonsense"), "Error".to_owned(), wrong.json()));
    }
    // Every method at every path, and paths that are like them.
    let paths: BTreeSet<String> = operations.iter().map(|(path, _, _)| path.replace("{name}", "lineitem")).collect();
    let others = ["/", "/v1", "/v1/", "/v1/runs", "/v2/run", "/v1/collections/lineitem/", "/v1/collections//wait"];
    for target in paths.iter().map(String::as_str).chain(others) {
        for method in ["get", "post", "put", "delete", "patch", "options", "head"] {
            if operations
                .iter()
                .any(|(path, of, _)| path.replace("{name}", "lineitem") == target && of.as_str() == method)
            {
                continue;
            }
            let mut client = place.client();
            client.send(format!("{} {target} HTTP/1.1\r\nhost: a\r\n\r\n", method.to_uppercase()).as_bytes()).unwrap();
            let head = client.head().unwrap();
            let expected = if paths.contains(target) { " 405 " } else { " 404 " };
            assert!(head.lines().next().unwrap().contains(expected), "{method} {target}: {head}");
            assert_eq!(head.contains("\r\nallow: "), expected == " 405 ", "{head}");
        }
    }
    run.stop();
    check(&document, &answers);
}

/// What a parameter is asked with; not at all if its default is as good.
fn value(name: &Value) -> Option<&'static str> {
    match name.as_str()? {
        "timeout" => Some("20s"),
        "limit" => Some("3"),
        "match" => Some("line*,nothing"),
        "condition" => Some("fresh,paused"),
        "from" => Some("1"),
        "collection" => Some("lineitem"),
        _ => None,
    }
}

/// A body with each member that does no harm.
fn body(operation: &Value) -> Value {
    let members = operation["requestBody"]["content"]["application/json"]["schema"]["properties"].as_object().unwrap();
    let value = |name: &str| match name {
        "fingerprint" => Some(json!("ab".repeat(32))),
        "actor" => Some(json!("test")),
        "cause" => Some(json!("because")),
        "force" => Some(json!(false)),
        _ => None,
    };
    members.keys().filter_map(|name| Some((name.clone(), value(name)?))).collect()
}

#[test]
fn pages_have_every_collection_once_and_filters_hold() {
    let (place, run) = many();
    let mut client = place.client();
    let mut pages = |query: &str| -> Vec<String> {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = client.get(&format!("/v1/collections?limit=3{query}{cursor}")).unwrap().json();
            let rows = page["collections"].as_array().unwrap();
            assert!(rows.len() <= 3);
            names.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names,
            }
        }
    };
    let all = pages("");
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (8, 8), "{all:?}");
    lastword(&["pause", text(&place.state()), "c5"]).expect_code(0);
    assert_eq!(pages("&condition=paused"), ["c5"]);
    assert_eq!(pages("&match=c%5B1-3%5D").len(), 3);
    assert_eq!(pages("&match=c5&match=c6&unhealthy=true"), ["c5"]);
    assert_eq!(pages("&condition=parked"), Vec::<String>::new());
    let wrong = client.get("/v1/collections?condition=happy").unwrap();
    assert_eq!((wrong.status, &wrong.json()["error"]["field"]), (400, &json!("condition")));
    run.stop();
}

#[test]
fn a_row_is_what_status_prints() {
    let (place, run) = running();
    let shown = lastword(&["status", text(&place.state()), "--json"]).expect_code(0).stdout;
    let body = place.client().get("/v1/collections/lineitem").unwrap().body;
    let (mut shown, mut row): (Value, Value) =
        (serde_json::from_str(&shown).unwrap(), serde_json::from_str(&body).unwrap());
    // Only the time goes on.
    for row in [&mut shown, &mut row] {
        for key in ["time", "live"] {
            assert!(row.as_object_mut().unwrap().remove(key).is_some());
        }
    }
    assert_eq!(shown, row);
    // In the same order, also behind what a page is made of.
    let keys = |text: &str| -> Vec<String> {
        let names = row.as_object().unwrap().keys().map(|key| format!("\"{key}\":"));
        let mut found: Vec<(usize, String)> = names.filter_map(|key| Some((text.find(&key)?, key))).collect();
        found.sort();
        found.into_iter().map(|(_, key)| key).collect()
    };
    let printed = lastword(&["status", text(&place.state()), "--json"]).expect_code(0).stdout;
    let page = place.client().get("/v1/collections").unwrap().body;
    let first = page.find("{\"v\":1,\"name\"").unwrap();
    assert_eq!(keys(printed.trim_end()), keys(&page[first..]));
    run.stop();
}

#[test]
fn a_manifest_is_what_the_command_prints() {
    let (place, run) = running();
    assert_eq!(place.client().get("/v1/collections/lineitem/manifest").unwrap().json(), place.manifest());
    assert_eq!(place.client().get("/v1/collections/nation/manifest").unwrap().error().0, "not_found");
    run.stop();
}

#[test]
fn a_person_may_use_curl() {
    let (place, run) = running();
    let curl = |more: &[&str]| {
        let socket = place.socket();
        Command::new("curl").args(["-sS", "--max-time", "60", "--unix-socket", text(&socket)]).args(more).output()
    };
    let Ok(listed) = curl(&["http://lastword/v1/collections"]) else {
        return println!("SKIPPED: curl is not installed");
    };
    let page: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(page["collections"][0]["name"], "lineitem");
    let paused = curl(&["-d", "{\"cause\":\"by hand\"}", "http://lastword/v1/collections/lineitem/pause"]).unwrap();
    let paused: Value = serde_json::from_slice(&paused.stdout).unwrap();
    assert!(paused["seq"].is_u64(), "{paused}");
    assert_eq!(place.last_of("collection_paused")["by"], json!({"actor": "socket", "cause": "by hand"}));
    let resumed = curl(&["-X", "POST", "http://lastword/v1/collections/lineitem/resume"]).unwrap();
    assert!(resumed.status.success());
    let waited = curl(&["http://lastword/v1/collections/lineitem/wait?timeout=30s"]).unwrap();
    let waited: Value = serde_json::from_slice(&waited.stdout).unwrap();
    assert_eq!(waited["waited"], "applied", "{waited}");
    run.stop();
}

#[test]
fn events_are_those_of_the_log_in_pages_and_as_they_come() {
    let (place, run) = running();
    let mut client = place.client();
    let (mut events, mut from) = (Vec::new(), 1);
    loop {
        let page = client.get(&format!("/v1/events?limit=2&from={from}")).unwrap().json();
        let found = page["events"].as_array().unwrap().clone();
        let next = page["next"].as_u64().unwrap();
        if found.is_empty() {
            assert_eq!(next, from);
            break;
        }
        assert!(found.len() <= 2);
        events.extend(found);
        from = next;
    }
    let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=place.last_event()).collect::<Vec<_>>());
    let committed = place.last_of("task_completed");
    assert!(events.contains(&committed), "as log-dump prints it: {committed}");
    let none = client.get("/v1/events?collection=nation").unwrap().json();
    assert_eq!(none["events"], json!([]));

    let mut lines = place.client();
    lines.send(b"GET /v1/events?follow=true&collection=lineitem HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert!(lines.head().unwrap().contains("content-type: application/x-ndjson"));
    let mut server_sent = place.client();
    let head =
        format!("GET /v1/events?follow=true&from={from} HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n");
    server_sent.send(head.as_bytes()).unwrap();
    assert!(server_sent.head().unwrap().contains("content-type: text/event-stream"));
    place.command(&["pause"]).expect_code(0);
    let paused = place.last_of("collection_paused");
    assert_eq!(serde_json::from_str::<Value>(&lines.line().unwrap()).unwrap(), paused);
    let data = server_sent.line().unwrap();
    assert_eq!(serde_json::from_str::<Value>(data.strip_prefix("data: ").unwrap()).unwrap(), paused);
    // Who follows does not hold up the end, whether he reads or not.
    run.stop();
    assert!(lines.line().is_err());
}

#[test]
fn who_reads_nothing_keeps_nobody_from_anything() {
    let (place, run) = many();
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut client = place.client();
        // Far more than a socket holds, and none of it is read.
        let asked = "GET /v1/collections HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
        client.send(asked.as_bytes()).unwrap();
        silent.push(client);
        let mut client = place.client();
        client.send(b"GET /v1/events?follow=true&from=1 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        silent.push(client);
    }
    place.command(&["refresh"]).expect_code(0);
    place.command(&["wait"]).expect_code(0);
    lastword(&["status", text(&place.state()), "--check"]).expect_code(0);
    run.stop();
}

#[test]
fn who_waits_and_hangs_up_leaves_the_place() {
    let (place, run) = running();
    let wait = || {
        let mut client = place.client();
        let asked = "GET /v1/collections/lineitem/wait?generation=99 HTTP/1.1\r\nhost: a\r\n\r\n";
        client.send(asked.as_bytes()).unwrap();
        client
    };
    // Three times as many as there are places, each of which would be waited for for a minute.
    for _ in 0..3 {
        drop((0..64).map(|_| wait()).collect::<Vec<_>>());
        until("a place is free", || {
            let asked = "/v1/collections/lineitem/wait?generation=99&timeout=0s";
            place.client().get(asked).unwrap().status == 200
        });
    }
    run.stop();
}

#[test]
fn a_command_is_carried_out_though_who_gave_it_hangs_up() {
    let (place, run) = running();
    for turn in 0..20 {
        let (verb, event) =
            if turn % 2 == 0 { ("pause", "collection_paused") } else { ("resume", "collection_resumed") };
        let body = format!("{{\"cause\":\"turn {turn}\"}}");
        let head = format!(
            "POST /v1/collections/lineitem/{verb} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut client = place.client();
        client.send(format!("{head}{body}").as_bytes()).unwrap();
        drop(client);
        let before = format!("turn {turn}");
        until("it was carried out", || {
            let page = place.client().get("/v1/events").unwrap().json();
            let events = page["events"].as_array().unwrap().iter();
            events.filter(|found| found["type"] == event).any(|found| found["by"]["cause"] == before)
        });
    }
    run.stop();
}

/// A run that answers over TCP as well, and where.
fn over_tcp(place: &Place, more: &[&str], token: Option<&str>) -> (std::process::Child, String) {
    let mut command = support::program();
    command.args(["run", text(&place.config()), "--quiet", "--http", "127.0.0.1:0"]).args(more);
    command.envs(token.map(|token| ("LASTWORD_TEST_TOKEN", token)));
    let mut child = command.spawn().unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "it did not say where");
        if let Some((_, rest)) = line.split_once("http://") {
            break rest.split('/').next().unwrap().to_owned();
        }
    };
    // Somebody has to read it.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    (child, address)
}

fn asked(address: &str, head: &str) -> Answered {
    let mut client = Client::tcp(address);
    client.send(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    client.answer().unwrap()
}

#[test]
fn over_tcp_a_run_is_read_and_not_steered() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let (child, address) = over_tcp(&place, &[], None);
    let own = format!("host: {address}");
    let status = |first: &str, headers: &str| asked(&address, &format!("{first} HTTP/1.1\r\n{headers}")).status;
    assert_eq!(status("GET /v1/collections", &own), 200);
    assert_eq!(status("GET /v1/collections", "host: localhost"), 200);
    assert_eq!(status("GET /v1/collections", "host: evil.example"), 421);
    assert_eq!(status("GET /v1/collections", "a: b"), 421, "without a host");
    assert_eq!(status("GET /v1/collections", &format!("{own}\r\norigin: http://evil.example")), 403);
    assert_eq!(status("GET /v1/collections", &format!("{own}\r\norigin: http://{address}")), 200);
    assert_eq!(status("GET /v1/collections", &format!("{own}\r\nsec-fetch-site: cross-site")), 403);
    for path in ["pause", "refresh", "drop", "cancel", "resume", "confirm"] {
        assert_eq!(status(&format!("POST /v1/collections/lineitem/{path}"), &own), 403, "{path}");
    }
    assert_eq!(status("POST /v1/reload", &own), 403);
    assert_eq!(status("OPTIONS /v1/collections", &own), 405);
    until("it is ready", || status("GET /readyz", &own) == 200);
    assert_eq!(status("GET /healthz", &own), 200);
    // However many there are, the socket has places of its own.
    let held: Vec<_> = (0..80)
        .map(|_| {
            let mut client = Client::tcp(&address);
            client.send(format!("GET /v1/run HTTP/1.1\r\n{own}\r\n\r\n").as_bytes()).unwrap();
            client
        })
        .collect();
    place.command(&["pause"]).expect_code(0);
    drop(held);
    support::signal(&child, "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn with_its_token_a_run_is_steered_over_tcp() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let token = "0123456789abcdef-right";
    let (child, address) = over_tcp(&place, &["--http-token", "env:LASTWORD_TEST_TOKEN"], Some(token));
    let pause =
        |more: &str| asked(&address, &format!("POST /v1/collections/lineitem/pause HTTP/1.1\r\nhost: a.example{more}"));
    let without = pause("");
    assert_eq!((without.status, without.error().0), (401, "token_missing".to_owned()));
    assert!(without.head.contains("www-authenticate: bearer"), "{}", without.head);
    for wrong in
        ["Bearer x", "Bearer 0123456789abcdef-wrong", "Bearer 0123456789abcdef", "Basic 0123456789abcdef-right"]
    {
        assert_eq!(pause(&format!("\r\nauthorization: {wrong}")).status, 401, "{wrong}");
    }
    let right = format!("\r\nauthorization: Bearer {token}");
    assert_eq!(pause(&format!("{right}\r\norigin: http://evil.example")).status, 403);
    assert_eq!(asked(&address, "GET /v1/run HTTP/1.1\r\nhost: a.example").status, 401);
    assert_eq!(asked(&address, "GET /healthz HTTP/1.1\r\nhost: a.example").status, 200);
    until("it is declared", || pause(&right).status == 200);
    let run = asked(&address, &format!("GET /v1/run HTTP/1.1\r\nhost: a.example{right}"));
    assert!(run.status == 200 && !run.body.contains(token), "{}", run.body);
    support::signal(&child, "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn an_address_that_cannot_be_had_is_refused_before_anything_is_made() {
    let place = Place::new("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (config, file) = (place.config(), place.dir.path().join("token"));
    std::fs::write(&file, "short").unwrap();
    let short = format!("file:{}", text(&file));
    let cases: BTreeMap<&str, (Vec<&str>, i32)> = BTreeMap::from([
        ("reached by other machines", (vec!["--http", "0.0.0.0:0"], 2)),
        ("Address already in use", (vec!["--http", &taken], 3)),
        ("must be an address and a port", (vec!["--http", "here"], 2)),
        ("env:NAME or file:PATH", (vec!["--http", "127.0.0.1:0", "--http-token", "0123456789abcdef"], 2)),
        ("is not set", (vec!["--http", "127.0.0.1:0", "--http-token", "env:LASTWORD_TEST_NOTHING"], 2)),
        ("a token has", (vec!["--http", "127.0.0.1:0", "--http-token", &short], 2)),
        ("--http <ADDRESS>", (vec!["--http-token", "env:A"], 2)),
    ]);
    for (said, (more, code)) in cases {
        let ended = lastword(&[&["run", text(&config)][..], &more].concat()).expect_code(code);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        assert!(!place.state().exists());
    }
}

#[test]
fn a_run_of_an_older_version_is_told_from_one_that_does_not_answer() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let listener = std::os::unix::net::UnixListener::bind(place.socket()).unwrap();
    let served = std::thread::spawn(move || {
        // What it said to whatever it did not understand.
        let (mut stream, _) = listener.accept().unwrap();
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
        stream.write_all(b"{\"v\":1,\"error\":\"a request is one JSON object per line\",\"code\":2}\n").unwrap();
    });
    let ended = place.command(&["pause"]).expect_code(1);
    served.join().unwrap();
    assert!(ended.stderr.contains("if it is of another version, end it and start it again"), "{}", ended.stderr);
}
