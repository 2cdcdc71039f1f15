//! What a log has recorded, asked of the run that has it open: byte for byte what the same command reads from the log.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use lastword::core::vocabulary::{Name, Seq, TaskId};
use log_dump::{About, Asked, point};
use serde_json::Value;
use support::{Ended, Place, Running, lastword, program, text};

/// A name that is a path, a query and markup at once.
const ODD: &str = "a/b?c=\"d\"&<e>%2F ü";

/// Two commits of `lineitem`, one of a collection with an odd name, and a run that is idle. Beside it the event of the first.
fn running() -> (Place, Running, u64) {
    let odd = serde_json::json!(ODD);
    let place = Place::new(&format!("[collections.{odd}]\nsource = \"lake/\"\nspec = {{ format = \"parquet\" }}\n"));
    place.write("a.parquet", 2, 0);
    place.write("'b'\\ <c>.parquet", 1, 1);
    place.once().expect_code(0);
    let first = place.last_event();
    place.write("d.parquet", 1, 2);
    let run = Running::start(&place);
    for name in ["lineitem", ODD] {
        lastword(&["wait", text(&place.state()), name]).expect_code(0);
    }
    (place, run, first)
}

/// A directory in which nothing is but the socket of the run: whoever answers for it, it is no log.
fn only_the_socket(place: &Place) -> PathBuf {
    let elsewhere = place.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::hard_link(place.socket(), elsewhere.join("control.sock")).unwrap();
    elsewhere
}

/// Arguments of `lastword`, of which the first are the verb and the log.
fn at(state: &Path, arguments: &[&str]) -> Ended {
    let command = [&[arguments[0], text(state)], &arguments[1..]].concat();
    lastword(&command)
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What log-dump prints beside a run.
fn beside(place: &Place, asked: &Asked) -> String {
    let buffer = Buffer::default();
    asked.answer(&place.state(), buffer.clone()).unwrap();
    String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
}

/// Every question, as arguments and as a value.
fn questions(first: u64, task: u64) -> Vec<(Vec<String>, Asked)> {
    let name = |name: &str| Name::new(name).unwrap();
    let why = |of: &str, task, files| About::Why { name: name(of), task, files };
    let (number, task_id) = (task.to_string(), Some(TaskId(Seq(task))));
    let about: [(Vec<&str>, About); 8] = [
        (vec!["state"], About::State),
        (vec!["manifest", "lineitem"], About::Manifest(name("lineitem"))),
        (vec!["manifest", ODD], About::Manifest(name(ODD))),
        (vec!["why", "lineitem"], why("lineitem", None, false)),
        (vec!["why", "lineitem", "--files"], why("lineitem", None, true)),
        (vec!["why", "lineitem", "--task", &number], why("lineitem", task_id, false)),
        (vec!["why", ODD], why(ODD, None, false)),
        (vec!["why", ODD, "--files"], why(ODD, None, true)),
    ];
    let mut all = Vec::new();
    let points = [None, Some(first.to_string()), Some("2999-01-01T00:00:00.000001Z".to_owned())];
    for (arguments, about) in about {
        for moment in &points {
            // The task is of the second commit.
            if arguments.contains(&"--task") && moment.as_ref() == Some(&first.to_string()) {
                continue;
            }
            for json in [false, true] {
                let mut command: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
                moment.iter().for_each(|at| command.extend(["--at".to_owned(), at.clone()]));
                json.then(|| command.push("--json".to_owned()));
                let at = moment.as_deref().map(|text| point(text).unwrap());
                all.push((command, Asked { about: about.clone(), at, json }));
            }
        }
    }
    all
}

#[test]
fn what_a_run_answers_is_what_its_log_says() {
    let (place, run, first) = running();
    let completed = ["dump", "--collection", "lineitem", "--type", "task_completed", "--json"];
    let completed = at(&place.state(), &completed).expect_code(0).stdout;
    let completed: Vec<Value> = completed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let task = completed.iter().rev().find_map(|event| event["task"].as_u64()).unwrap();
    let elsewhere = only_the_socket(&place);
    let last = place.last_event().to_string();
    let mut told = Vec::new();
    for (command, asked) in questions(first, task) {
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let answered = at(&elsewhere, &arguments).expect_code(0);
        assert_eq!(answered.stdout, beside(&place, &asked), "{arguments:?}");
        assert_eq!(answered.stderr, "", "{arguments:?}");
        assert!(answered.stdout.len() > 100, "{arguments:?}: {}", answered.stdout);
        if asked.at == Some(point(&first.to_string()).unwrap()) {
            told.push((command, answered.stdout));
        }
    }
    assert_eq!(place.last_event().to_string(), last, "the run was idle");
    let ended = at(&elsewhere, &["why", "lineitem", "--at", &last]).expect_code(0);
    told.push((["why", "lineitem", "--at", &last].map(str::to_owned).to_vec(), ended.stdout));
    // How long ago it was is found out by who asks.
    at(&elsewhere, &["state", "--at", "1s"]).expect_code(0);
    run.stop();
    for (command, answered) in told {
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        // The hash of the last frame is that of the whole log, which has ended since.
        let without = |text: &str| text.split("\"head\"").next().unwrap().to_owned();
        assert_eq!(without(&at(&place.state(), &arguments).expect_code(0).stdout), without(&answered), "{arguments:?}");
    }
    // Where no run answers there is no log.
    at(&elsewhere, &["state"]).expect_code(3);
}

#[test]
fn what_is_not_in_the_log_is_told_with_the_same_words_and_code() {
    let (place, run, first) = running();
    let (elsewhere, first) = (only_the_socket(&place), first.to_string());
    let questions: [&[&str]; 8] = [
        &["why", "nation"],
        &["why", "nation", "--json"],
        &["why", "nation", "--at", &first],
        &["why", "lineitem", "--task", "1"],
        &["manifest", "nation"],
        &["manifest", "nation", "--json"],
        &["manifest", "<b>\"n\"/..", "--at", &first],
        &["manifest", "lineitem", "--at", "1", "--json"],
    ];
    let told = questions.map(|arguments| {
        let ended = at(&elsewhere, arguments).expect_code(2);
        assert_eq!(ended.stdout, "");
        ended.stderr
    });
    let last = place.last_event();
    run.stop();
    for (arguments, told) in questions.iter().zip(told) {
        let ended = at(&place.state(), arguments).expect_code(2);
        // What was asked for at no event was asked of the end, which came later now.
        let end = format!("up to event {}", place.last_event());
        assert_eq!(ended.stderr.replace(&end, &format!("up to event {last}")), told, "{arguments:?}");
    }
}

#[test]
fn over_http_an_answer_has_its_media_type_and_an_error_its_code() {
    let (place, run, first) = running();
    let mut client = place.client();
    for (target, media) in [
        ("/v1/state".to_owned(), "application/x-ndjson"),
        (format!("/v1/state?text=true&at={first}"), "text/plain; charset=utf-8"),
        ("/v1/collections/lineitem/why?files=true".to_owned(), "application/x-ndjson"),
        ("/v1/collections/lineitem/why?text=true".to_owned(), "text/plain; charset=utf-8"),
        ("/v1/collections/lineitem/manifest".to_owned(), "application/json"),
        (format!("/v1/collections/lineitem/manifest?at={first}"), "application/json"),
        ("/v1/collections/lineitem/manifest?text=true".to_owned(), "text/plain; charset=utf-8"),
    ] {
        let answered = client.get(&target).unwrap();
        assert_eq!(answered.status, 200, "{target}: {}", answered.body);
        assert!(answered.head.contains(&format!("content-type: {media}\r\n")), "{target}: {}", answered.head);
        assert!(answered.body.ends_with('\n'), "{target}");
    }
    for (target, status, kind) in [
        ("/v1/collections/nation/why", 404, "not_found"),
        ("/v1/collections/lineitem/why?task=1", 404, "not_found"),
        ("/v1/collections/nation/manifest", 404, "not_found"),
        ("/v1/collections/nation/manifest?text=true", 404, "not_found"),
        ("/v1/state?at=soon", 400, "invalid_input"),
        ("/v1/collections/%0a/why", 400, "invalid_input"),
    ] {
        let refused = client.get(target).unwrap();
        let (found, code, _) = refused.error();
        assert_eq!((refused.status, found.as_str(), code), (status, kind, 2), "{target}");
    }
    run.stop();
}

#[test]
fn who_reads_no_answer_or_goes_away_delays_no_commit() {
    let (place, run, _) = running();
    let mut silent = Vec::new();
    for turn in 0..16 {
        let mut client = place.client();
        // Far more than a socket holds, and none of it is read.
        let asked = "GET /v1/collections/lineitem/why HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
        client.send(asked.as_bytes()).unwrap();
        // Every other one goes away.
        (turn % 2 == 0).then(|| silent.push(client));
    }
    place.write("e.parquet", 1, 3);
    place.command(&["refresh"]).expect_code(0);
    place.command(&["wait"]).expect_code(0);
    assert_eq!(support::rows(&place.manifest()), 2500);
    // Who finds no place there reads the log himself.
    at(&place.state(), &["why", "lineitem"]).expect_code(0);
    drop(silent);
    run.stop();
}

/// A socket that answers each request with what it is given for it, and how many were asked.
fn answering(place: &Place, answer: impl Fn(&str) -> String + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let _ = fs::remove_file(place.socket());
    let listener = UnixListener::bind(place.socket()).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 4096]);
            while let Ok(length @ 1..) = stream.read(&mut request) {
                let head = String::from_utf8_lossy(&request[..length]).into_owned();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                let _ = stream.write_all(answer(&target).as_bytes());
                noted.lock().unwrap().push(target);
            }
        }
    });
    asked
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_run_that_gives_no_answer_is_no_reason_to_give_none() {
    let (place, run, _) = running();
    let expected = at(&only_the_socket(&place), &["why", "lineitem"]).expect_code(0).stdout;
    // One that was stopped has the log open, and answers nothing.
    run.signal("STOP");
    let stopped = at(&place.state(), &["why", "lineitem"]);
    run.signal("CONT");
    assert_eq!((stopped.code, &stopped.stdout), (Some(0), &expected));
    // One that was killed leaves its socket.
    run.kill();
    assert!(place.socket().exists());
    assert_eq!(at(&place.state(), &["why", "lineitem"]).expect_code(0).stdout, expected);
    let error = |kind: &str, code: u8| {
        format!(r#"{{"v":1,"error":{{"kind":"{kind}","field":null,"message":"not from here","code":{code}}}}}"#)
    };
    for (status, kind) in [
        // Of an older version, with as many connections as it takes, with an answer that is too long, in trouble of its own.
        ("404 Not Found", error("no_route", 2)),
        ("400 Bad Request", error("invalid_input", 2)),
        ("503 Service Unavailable", error("busy", 3)),
        ("413 Content Too Large", error("too_large", 3)),
        ("500 Internal Server Error", error("bug", 1)),
        ("404 Not Found", "nothing that is known".to_owned()),
    ] {
        let body = kind.clone();
        let asked = answering(&place, move |target| match target {
            "/healthz" => http("200 OK", r#"{"v":1,"alive":true}"#),
            _ => http(status, &body),
        });
        let ended = at(&place.state(), &["why", "lineitem"]).expect_code(0);
        assert_eq!((&ended.stdout, ended.stderr.as_str()), (&expected, ""), "{kind}");
        assert_eq!(*asked.lock().unwrap(), ["/healthz", "/v1/collections/lineitem/why?text=true"]);
    }
    // A run that hangs up in the middle, and one of before there was HTTP.
    for half in ["HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nhalf of", "{\"v\":1}\n"] {
        let half = half.to_owned();
        let listener = {
            let _ = fs::remove_file(place.socket());
            UnixListener::bind(place.socket()).unwrap()
        };
        thread::spawn(move || {
            let (mut stream, mut request) = (listener.accept().unwrap().0, [0; 4096]);
            let _ = stream.read(&mut request);
            if half.starts_with("HTTP") {
                let _ = stream.write_all(http("200 OK", r#"{"v":1,"alive":true}"#).as_bytes());
                let _ = stream.read(&mut request);
            }
            let _ = stream.write_all(half.as_bytes());
        });
        assert_eq!(at(&place.state(), &["why", "lineitem"]).expect_code(0).stdout, expected);
    }
}

/// A run reads its log where it lies: there is no room for a copy, and none is needed.
#[test]
fn a_run_makes_no_copy_of_its_log() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let mut command = program();
    command.args(["run", text(&place.config())]).env("TMPDIR", place.dir.path().join("absent"));
    let run = Running::started_by(&mut command, &place);
    lastword(&["wait", text(&place.state()), "lineitem"]).expect_code(0);
    let elsewhere = only_the_socket(&place);
    for question in
        [&["why", "lineitem"][..], &["state"], &["manifest", "lineitem"], &["manifest", "lineitem", "--at", "3"]]
    {
        at(&elsewhere, question).expect_code(0);
    }
    run.stop();
}
