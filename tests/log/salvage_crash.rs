//! Processes that are killed at one system call after the other while they open a damaged log, or while they go on with what
//! is left of it. Whatever was left before is left afterwards, and can be gone on with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lastword::core::vocabulary::Seq;
use lastword::log::{Durability, IfAbsent, LossAccepted, Salvage, SledLog};
use test_support::disk::has_strace;
use test_support::log_writer::{Writer, copy_tree, read_all};

const STATE: &str = "LASTWORD_DAMAGED";
const LAST: &str = "LASTWORD_DAMAGED_LAST";

/// What the killed process does. It is this very test binary, and without its variable this test is nothing.
#[test]
fn child() {
    let Some(state) = std::env::var_os(STATE) else { return };
    match std::env::var(LAST) {
        Ok(last) => drop(SledLog::accept_loss(state, Seq(last.parse().unwrap())).unwrap()),
        Err(_) => assert!(SledLog::open(state, IfAbsent::Refuse, Durability::Power).is_err(), "it is damaged"),
    }
}

fn was_killed_at(call: &str, step: usize, state: &Path, last: Option<Seq>) -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).arg(format!("-etrace={call}"));
    command.arg(format!("-einject={call}:signal=SIGKILL:when={step}"));
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "salvage_crash::child", "--nocapture"]);
    command.env(STATE, state).envs(last.map(|last| (LAST, last.0.to_string())));
    !command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// A log with damage in its middle.
fn damaged(home: &Path) -> PathBuf {
    let state = home.join("damaged");
    let mut writer = Writer::open(&state);
    for round in 0..40 {
        writer.commit(&[round * 20, 3_000]);
    }
    writer.close();
    let db = state.join("sled/db");
    let mut bytes = fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2] ^= 0x10;
    fs::write(&db, bytes).unwrap();
    state
}

fn whenever_it_is_killed(role: &str, accepts: bool, least: usize) {
    if std::env::var_os(STATE).is_some() || !has_strace() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let whole = damaged(home.path());
    let salvage = Salvage::of(&whole).unwrap();
    assert!(salvage.damage.is_some());
    let (last, frames) = (salvage.last(), read_all(&*salvage.copy.reader()).unwrap());
    assert!(last > Seq(20), "hardly anything is left");
    drop(salvage);
    let db = fs::read(whole.join("sled/db")).unwrap();
    let mut killed = 0;
    for call in ["rename", "mkdir", "unlinkat", "fsync", "fdatasync", "pwrite64", "openat", "ftruncate"] {
        let stride = match call {
            _ if std::env::var_os("LASTWORD_EXHAUSTIVE").is_some() => 1,
            "rename" => 1,
            "mkdir" | "unlinkat" => 3,
            _ => 11,
        };
        for step in (1..).step_by(stride) {
            let state = home.path().join(format!("{call}-{step}"));
            copy_tree(&whole, &state);
            let was_killed = was_killed_at(call, step, &state, accepts.then_some(last));
            let what = format!("{role}, killed at {call} {step}");
            let accepted = SledLog::accept_loss(&state, last).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(matches!(accepted, LossAccepted::Done(_)), "{what}: {accepted:?}");
            let kept: Vec<Vec<u8>> = fs::read_dir(&state)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("damaged-"))
                .filter_map(|path| fs::read(path.join("sled/db")).ok())
                .collect();
            assert!(kept.contains(&db), "{what}: what was damaged is not kept");
            let log = SledLog::open(&state, IfAbsent::Refuse, Durability::Power);
            let log = log.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(read_all(&*lastword::log::Log::reader(&log)).unwrap() == frames, "{what}: something else is left");
            drop(log);
            fs::remove_dir_all(&state).unwrap();
            if !was_killed {
                break;
            }
            killed += 1;
        }
    }
    println!("{role}: killed at {killed} places");
    assert!(killed > least, "{killed}");
}

#[test]
fn defect_43_an_opening_of_a_damaged_log_that_is_killed_leaves_what_there_was() {
    whenever_it_is_killed("opening", false, 8);
}

#[test]
fn defect_43_accepting_a_loss_can_be_killed_anywhere_and_asked_for_again() {
    whenever_it_is_killed("accepting", true, 8);
}
