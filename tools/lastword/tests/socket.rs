//! The socket of a run: who may use it, what becomes of one that was left, and that nothing said on it does harm.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use support::{Answered, Client, Place, Running, lastword, text, until};

/// What a run answers to some bytes.
fn say(place: &Place, bytes: &[u8]) -> Answered {
    let mut client = place.client();
    // It may hang up before everything was said.
    let _ = client.send(bytes);
    client.answer().unwrap()
}

/// A connection that was answered, if it was not refused.
fn served(place: &Place) -> Option<Client> {
    let mut client = place.client();
    let answered = client.get("/v1/run").unwrap();
    (answered.status == 200).then_some(client)
}

fn running() -> (Place, Running) {
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    (place, run)
}

#[test]
fn nobody_else_may_connect() {
    let (place, run) = running();
    let found = fs::metadata(place.socket()).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(place.state()).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(!place.state().join("control.new").exists());
    run.stop();
    assert!(!place.socket().exists());
}

#[test]
fn a_socket_that_was_left_is_replaced() {
    let (place, run) = running();
    run.kill();
    assert!(place.socket().exists());
    let ended = place.command(&["pause"]).expect_code(0);
    assert!(ended.stdout.contains("lineitem: pause: event"), "{}", ended.stdout);
    let run = Running::start(&place);
    assert_eq!(fs::metadata(place.socket()).unwrap().permissions().mode() & 0o7777, 0o600);
    place.command(&["resume"]).expect_code(0);
    place.command(&["wait"]).expect_code(0);
    run.stop();
}

#[test]
fn a_second_run_does_not_take_the_socket() {
    let (place, run) = running();
    let second = place.once().expect_code(3);
    assert!(second.stderr.contains("another writer"), "{}", second.stderr);
    place.command(&["wait"]).expect_code(0);
    run.stop();
}

#[test]
fn a_writer_without_a_socket_is_named() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let reconciler = lastword::Reconciler::open(place.state()).start().unwrap();
    for arguments in [&["pause"][..], &["wait"]] {
        let ended = place.command(arguments).expect_code(3);
        assert!(ended.stderr.contains("another program has the log open"), "{}", ended.stderr);
    }
    reconciler.shutdown(Duration::from_secs(5)).unwrap();
    place.command(&["pause"]).expect_code(0);
}

#[test]
fn a_path_longer_than_a_socket_may_have_is_no_obstacle() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let deep = "d".repeat(200);
    fs::create_dir(place.dir.path().join(&deep)).unwrap();
    place.look_often();
    let config = fs::read_to_string(place.config()).unwrap();
    place.configure(&config.replace("\"state\"", &format!("\"{deep}/state\"")));
    let state = place.dir.path().join(&deep).join("state");
    let child = support::program().args(["run", text(&place.config())]).spawn().unwrap();
    until("the run takes commands", || state.join("control.sock").exists());
    lastword(&["wait", text(&state), "lineitem"]).expect_code(0);
    support::signal(&child, "TERM");
    support::wait(child, Duration::from_secs(30)).expect_code(0);
}

#[test]
fn garbage_is_refused_and_harms_nobody() {
    let (place, run) = running();
    place.command(&["wait"]).expect_code(0);
    let before = place.last_event();
    let binary: Vec<u8> = (0..=255).chain([b'\n']).collect();
    let head = "POST /v1/collections/lineitem/pause HTTP/1.1\r\nhost: lastword\r\n";
    let with = |body: &str| format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    // What is no HTTP, or has no end: a status, and no more words.
    let long = format!("{head}cause: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("{head}{}\r\n", "a: b\r\n".repeat(1000));
    let lines = b"{\"v\":1,\"do\":\"pause\",\"name\":\"lineitem\"}\n";
    for bytes in [&binary[..], &vec![b'x'; 4 << 20], long.as_bytes(), many.as_bytes(), lines] {
        let answered = say(&place, bytes);
        assert!([400, 431].contains(&answered.status), "{answered:?}");
    }
    // What is HTTP: an error in the one shape, which says what is wrong.
    let (nested, huge) = (with(&"[".repeat(8000)), with(&"x".repeat(4 << 20)));
    for (bytes, status) in [
        ("GET /v2/run HTTP/1.1\r\n\r\n", 404),
        ("BREW /v1/run HTTP/1.1\r\n\r\n", 405),
        (nested.as_str(), 400),
        (huge.as_str(), 413),
        (with(r#"{"v":2}"#).as_str(), 400),
    ] {
        let answered = say(&place, bytes.as_bytes());
        let (kind, code, message) = answered.error();
        assert_eq!((answered.status, &answered.json()["v"], code), (status, &1.into(), 2), "{answered:?}");
        assert!(!kind.is_empty() && !message.is_empty());
    }
    // Half a command is none, and who never says the other half keeps nobody waiting.
    let mut silent = UnixStream::connect(place.socket()).unwrap();
    silent.write_all(b"POST /v1/collections/lineitem/pau").unwrap();
    let mut gone = UnixStream::connect(place.socket()).unwrap();
    gone.write_all(b"POST /v1/collections/lineitem/drop HTTP/1.1\r\ncontent-length: 20\r\n\r\n{\"actor\":").unwrap();
    drop(gone);
    assert_eq!(place.last_event(), before);
    place.command(&["refresh"]).expect_code(0);

    // Several in one go are answered in order, and one that is refused does not end the conversation.
    let mut client = place.client();
    let first = "POST /v1/collections/nation/drop HTTP/1.1\r\nhost: lastword\r\n\r\n";
    client.send(format!("{first}{}", with("{}")).as_bytes()).unwrap();
    let (kind, code, _) = client.answer().unwrap().error();
    assert_eq!((kind.as_str(), code), ("not_found", 2));
    assert!(client.answer().unwrap().json()["seq"].is_u64());
    drop(client);

    let ended = run.stop();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let mut rest = String::new();
    silent.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "who is silent hears the end of the run, and no answer");
}

#[test]
fn too_many_connections_are_refused_until_some_are_closed() {
    let (place, run) = running();
    // Of each it is known that it is served: the one that found out that the run has begun may still be counted.
    let mut open: Vec<Client> = Vec::new();
    for _ in 0..200 {
        open.extend((open.len() < 64).then(|| served(&place)).flatten());
    }
    assert_eq!(open.len(), 64);
    let (kind, code, message) = place.client().get("/v1/run").unwrap().error();
    assert!(kind == "busy" && code == 3 && message.contains("connections are open"), "{kind}: {message}");
    let ended = place.command(&["pause"]).expect_code(3);
    assert!(ended.stderr.contains("connections are open"), "{}", ended.stderr);
    open.truncate(10);
    until("there is room again", || place.command(&["pause"]).code == Some(0));
    run.stop();
}

/// A backup is put back under a run, and a second run is started for the same path.
#[test]
fn defect_10_a_run_whose_directory_was_replaced_ends_and_leaves_the_socket_of_the_next_one() {
    let (place, first) = running();
    place.command(&["wait"]).expect_code(0);
    let aside = place.dir.path().join("aside");
    fs::rename(place.state(), &aside).unwrap();
    let second = Running::start(&place);
    // It hears of it within a tick, without anything to do.
    let ended = first.ended().expect_code(3);
    assert!(ended.stderr.contains("while it was in use"), "{}", ended.stderr);
    assert!(place.socket().exists(), "the socket of another run was removed");
    place.command(&["pause"]).expect_code(0);
    second.stop();
    assert!(!place.socket().exists());
    assert!(!aside.join("control.sock").exists(), "its own socket stayed behind");
}

#[test]
fn defect_10_a_run_that_is_told_to_end_does_not_wait_for_the_answer_of_another() {
    let (place, first) = running();
    place.command(&["wait"]).expect_code(0);
    // Not a run: it takes connections and never answers.
    fs::remove_file(place.socket()).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(place.socket()).unwrap();
    first.stop();
    assert!(place.socket().exists(), "a socket that is not its own was removed");
}

#[test]
fn a_socket_that_another_has_removed_is_made_again() {
    let (place, run) = running();
    let before = place.client().get("/v1/run").unwrap();
    assert_eq!(before.status, 200, "{before:?}");
    fs::remove_file(place.socket()).unwrap();
    until("the run takes commands again", || UnixStream::connect(place.socket()).is_ok());
    let found = fs::metadata(place.socket()).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    // It is the run that has carried this out: the log is not free.
    place.command(&["pause"]).expect_code(0);
    assert_eq!(place.last_of("writer_opened")["seq"], 1);
    assert_eq!(place.last_of("collection_paused")["collection"], "lineitem");
    run.stop();
    assert!(!place.socket().exists() && !place.state().join("control.new").exists());
}
