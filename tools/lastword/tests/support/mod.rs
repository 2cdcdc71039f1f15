//! Real files, the real program, and counts that owe nothing to the library.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "every test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that cannot help fails its test")]

mod asked;
mod dead_mount;

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lastword::core::vocabulary::Seq;
use lastword::describe::Describer;
use lastword::log::PrivateCopy;
use lastword::replay;
use parquet::column::writer::ColumnWriter;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use tempfile::TempDir;

#[allow(unused_imports, reason = "every test binary uses a part of this")]
pub use asked::{Answered, Client};
#[allow(unused_imports, reason = "every test binary uses a part of this")]
pub use dead_mount::DeadMount;

/// A directory with a lake and a configuration.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    /// With `more` behind the usual configuration of the collection `lineitem`.
    pub fn new(more: &str) -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("lake")).unwrap();
        let place = Place { dir };
        place.configure(&format!(
            "state = \"state\"\n[collections.lineitem]\nsource = \"lake/\"\nspec = {{ format = \"parquet\" }}\ntarget_rows = 1000\n{more}"
        ));
        place
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    /// Has sources looked at every tenth of a second.
    pub fn look_often(&self) {
        self.set("look_interval = \"100ms\"\n");
    }

    /// Puts lines at the top of the configuration.
    pub fn set(&self, lines: &str) {
        let config = fs::read_to_string(self.config()).unwrap();
        self.configure(&format!("{lines}{config}"));
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("lake.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn socket(&self) -> PathBuf {
        self.state().join("control.sock")
    }

    /// A conversation with the run.
    pub fn client(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    /// Runs a command on the collection `lineitem`: its verb first, what else it takes behind.
    pub fn command(&self, arguments: &[&str]) -> Ended {
        let state = self.state();
        let target = [arguments[0], text(&state), "lineitem"];
        lastword(&[&target, &arguments[1..]].concat())
    }

    /// The position of the last event.
    pub fn last_event(&self) -> u64 {
        PrivateCopy::of(self.state()).unwrap().end().seq.0
    }

    /// The last event of this type, as `log-dump dump --json` shows it.
    pub fn last_of(&self, event_type: &str) -> Value {
        let copy = PrivateCopy::of(self.state()).unwrap();
        let reader = copy.reader();
        let mut describer = Describer::behind(&replay::begin(&*reader).unwrap());
        let events = replay::events(&*reader, Seq::ZERO).map(|event| describer.describe(&event.unwrap()).json());
        let events = events.map(|line| serde_json::from_str::<Value>(&line).unwrap());
        events.filter(|event| event["type"] == event_type).last().unwrap()
    }

    pub fn lake(&self) -> PathBuf {
        self.dir.path().join("lake")
    }

    /// Writes a file of `groups` row groups with 500 rows each.
    pub fn write(&self, name: impl AsRef<Path>, groups: i64, salt: i64) {
        let unfinished = self.lake().join("_unfinished");
        write_parquet(&unfinished, groups, salt);
        let path = self.lake().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(unfinished, path).unwrap();
    }

    /// A file that is no Parquet, last modified so long ago.
    pub fn spoil(&self, name: &str, age: Duration) {
        let path = self.lake().join(name);
        fs::write(&path, "no Parquet").unwrap();
        File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    pub fn count(&self) -> u64 {
        count_rows(&self.lake())
    }

    pub fn once(&self) -> Ended {
        lastword(&["run", text(&self.config()), "--once"])
    }

    /// Everything that `lastword manifest --json` says.
    pub fn manifest(&self) -> Value {
        let ended = lastword(&["manifest", text(&self.state()), "lineitem", "--json"]).expect_code(0);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// The condition of the collection, once there is one.
    pub fn condition(&self) -> Option<String> {
        let ended = lastword(&["status", text(&self.state()), "lineitem", "--json"]);
        let status: Value = serde_json::from_str(&ended.stdout).ok()?;
        Some(status["condition"].as_str().unwrap().to_owned())
    }

    pub fn status(&self) -> Value {
        let ended = lastword(&["status", text(&self.state()), "lineitem", "--json"]).expect_code(0);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

/// `lastword run` on a place, until it is stopped; a test that fails takes it down.
pub struct Running {
    child: Option<Child>,
}

impl Running {
    /// Starts it and waits until it takes commands.
    pub fn start(place: &Place) -> Running {
        Running::started_by(program().args(["run", text(&place.config())]), place)
    }

    /// The same by a command of the test's.
    pub fn started_by(command: &mut Command, place: &Place) -> Running {
        let running = Running { child: Some(command.spawn().unwrap()) };
        until("the run takes commands", || UnixStream::connect(place.socket()).is_ok());
        running
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.as_ref().unwrap(), name);
    }

    /// Ends it in order, and fails if it does not end well.
    pub fn stop(self) -> Ended {
        self.signal("TERM");
        self.wait().expect_code(0)
    }

    pub fn kill(self) {
        self.signal("KILL");
        self.wait();
    }

    /// How it ends by itself.
    pub fn ended(self) -> Ended {
        self.wait()
    }

    fn wait(mut self) -> Ended {
        wait(self.child.take().unwrap(), Duration::from_secs(30))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn segments(manifest: &Value) -> &Vec<Value> {
    manifest["segments"].as_array().unwrap()
}

pub fn rows(manifest: &Value) -> u64 {
    segments(manifest).iter().map(|segment| segment["rows"].as_u64().unwrap()).sum()
}

/// The paths in a manifest, each once.
pub fn paths(manifest: &Value) -> Vec<String> {
    let fragments = segments(manifest).iter().flat_map(|segment| segment["fragments"].as_array().unwrap());
    let mut paths: Vec<String> = fragments.map(|fragment| fragment["path"].as_str().unwrap().to_owned()).collect();
    paths.sort();
    paths.dedup();
    paths
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ended {
    pub fn expect_code(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastword"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end; a test that hangs is killed after two minutes.
pub fn lastword(arguments: &[&str]) -> Ended {
    wait(program().args(arguments).spawn().unwrap(), Duration::from_secs(120))
}

pub fn wait(mut child: Child, timeout: Duration) -> Ended {
    let begun = Instant::now();
    let id = child.id().to_string();
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if waiting.recv_timeout(timeout).is_err() {
            let _ = Command::new("kill").args(["-9", &id]).status();
        }
    });
    child.stdin.take();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let _ = done.send(());
    guard.join().unwrap();
    Ended {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
        took: begun.elapsed(),
    }
}

/// Sends a signal to one process that this test started.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits until `holds`, for at most 30 s.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "did not happen: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn write_parquet(path: &Path, groups: i64, salt: i64) {
    let schema = Arc::new(parse_message_type("message row { required int64 key; required int64 value; }").unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    for group in 0..groups {
        let mut row_group = writer.next_row_group().unwrap();
        let mut factor = 1;
        while let Some(mut column) = row_group.next_column().unwrap() {
            let values: Vec<i64> = (0..500).map(|row| (group * 500 + row) * factor + salt).collect();
            let ColumnWriter::Int64ColumnWriter(writer) = column.untyped() else { panic!("another column") };
            writer.write_batch(&values, None, None).unwrap();
            column.close().unwrap();
            factor += 2;
        }
        row_group.close().unwrap();
    }
    writer.close().unwrap();
}

fn count_rows(directory: &Path) -> u64 {
    let mut rows = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rows += count_rows(&path);
            continue;
        }
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        rows += reader.get_row_iter(None).unwrap().inspect(|row| assert!(row.is_ok())).count() as u64;
    }
    rows
}
