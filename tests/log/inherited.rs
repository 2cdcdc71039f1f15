//! What a process brings along: its umask, and children that have inherited what it had open.
//!
//! The umask is the whole process's, so those tests run in a child: this test program itself.

use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lastword::core::vocabulary::*;
use lastword::engine::{Reconciler, Retention};
use lastword::worker::{Context, DeliveryError, DiscardRequest, Failure, Worker};
use rustix::fs::Mode;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use test_support::history::*;

const STATE: &str = "LASTWORD_INHERITED_STATE";
const MASK: &str = "LASTWORD_INHERITED_MASK";

/// Stores objects and keeps notes.
struct Stores;

impl Worker for Stores {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        for n in 0..40_u8 {
            let object = format!("{} {n}", context.token()).into_bytes();
            context.objects().put(&[object]).map_err(|error| Failure::Permanent(error.to_string()))?;
        }
        assert!(context.keep(b"a note"));
        Ok(Built::default())
    }

    fn duties(&self) -> Duties {
        Duties { publish: false, discard: true }
    }

    fn discard(&self, _: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        Ok(())
    }
}

/// Uses everything that lies in a state directory.
fn uses(state: &Path, first: u64) {
    let engine = builder(state).kind(Kind::new("stores").unwrap(), Stores).snapshot_every(2).start().unwrap();
    let handle = engine.handle();
    for n in first..first + 5 {
        let mut declaration = declaration("a", n);
        declaration.kind = Some(Kind::new("stores").unwrap());
        handle.declare(declaration).unwrap();
        settle(&handle);
        assert!(handle.status(Name::new("a").unwrap()).unwrap().unwrap().view.condition.name() == "fresh");
    }
    handle.compact(Retention { events: Some(0), age: None }).unwrap();
    engine.shutdown(LONG).unwrap();
}

/// The directories in a directory, and itself, with their modes.
fn directories(of: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut pending = vec![of.to_owned()];
    while let Some(path) = pending.pop() {
        let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap());
        pending.extend(entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()));
        found.push((path.clone(), fs::metadata(&path).unwrap().mode() & 0o777));
    }
    found
}

/// Not a test of its own: what the child does.
#[test]
fn child() {
    let Some(state) = std::env::var_os(STATE).map(PathBuf::from) else { return };
    let mask = std::env::var(MASK).unwrap().parse().unwrap();
    rustix::process::umask(Mode::from_raw_mode(mask));
    uses(&state, 0);
}

#[test]
fn directories_are_private_and_can_be_entered_whatever_the_umask_is() {
    for mask in [0o177, 0o777, 0] {
        let dir = tempfile::tempdir().unwrap();
        let (made, state) = (dir.path().join("missing"), dir.path().join("missing/too/state"));
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "inherited::child", "--nocapture"]);
        let status = child.env(STATE, &state).env(MASK, mask.to_string()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{mask:o}");
        let directories = directories(&made);
        assert!(directories.len() > 30, "{directories:?}");
        let wrong: Vec<_> = directories.iter().filter(|(_, mode)| *mode != 0o700).collect();
        assert!(wrong.is_empty(), "{mask:o}: {wrong:?}");
    }
}

#[test]
fn a_directory_that_its_owner_may_not_enter_is_put_right_where_it_is_met() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    uses(&state, 0);
    for (path, _) in directories(&state) {
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    }
    uses(&state, 10);
    let wrong: Vec<_> = directories(&state).into_iter().filter(|(_, mode)| mode & 0o700 != 0o700).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A process that waits until it is killed.
struct Waits(Child);

impl Drop for Waits {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one that has inherited what is given.
fn inherits(first: OwnedFd, second: OwnedFd) -> Waits {
    let mut command = Command::new("sleep");
    Waits(command.arg("1000").stdin(first).stdout(second).stderr(Stdio::null()).spawn().unwrap())
}

/// Those descriptors of this process that lead to the file, as a child that is forked gets them: what is opened is the same.
fn open_here(path: &Path) -> Vec<OwnedFd> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let is_it = |found: &fs::DirEntry| fs::read_link(found.path()).is_ok_and(|leads_to| leads_to == path);
    let all = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap());
    let numbers = all.filter(is_it).map(|entry| entry.file_name().to_str().unwrap().parse().unwrap());
    numbers.map(|number: i32| pidfd_getfd(&this, number, PidfdGetfdFlags::empty()).unwrap()).collect()
}

#[test]
fn a_log_that_was_closed_opens_though_a_child_has_inherited_what_was_open() {
    let dir = tempfile::tempdir().unwrap();
    let state = fs::canonicalize(dir.path()).unwrap().join("state");
    for n in 0..3 {
        let engine = builder(&state).start().unwrap();
        declare(&engine.handle(), n..n + 1);
        settle(&engine.handle());
        let mut inherited = open_here(&state.join("LOCK"));
        inherited.extend(open_here(&state.join("sled/db")));
        assert!(inherited.len() >= 3, "the lock, sled's own descriptor and one beside it");
        let again = || inherited[0].try_clone().unwrap();
        let children: Vec<_> = inherited.iter().map(|one| inherits(one.try_clone().unwrap(), again())).collect();
        drop(inherited);
        engine.shutdown(LONG).unwrap();
        builder(&state).start().unwrap().shutdown(LONG).unwrap();
        drop(children);
    }
}

#[test]
fn a_lock_that_only_another_process_holds_is_not_said_to_be_held_by_this_one() {
    let dir = tempfile::tempdir().unwrap();
    builder(dir.path()).start().unwrap().shutdown(LONG).unwrap();
    let lock = File::options().write(true).open(dir.path().join("LOCK")).unwrap();
    lock.lock().unwrap();
    // It is this process that has locked it.
    let child = inherits(lock.try_clone().unwrap().into(), lock.into());
    let busy = builder(dir.path()).start().map(drop).unwrap_err().to_string();
    assert!(busy.contains("another writer has the log open"), "{busy}");
    assert!(!busy.contains("this process"), "{busy}");
    drop(child);
    let engine = builder(dir.path()).start().unwrap();
    let busy = Reconciler::open(dir.path()).any_kind().start().map(drop).unwrap_err().to_string();
    assert!(busy.contains("this process has the log open already"), "{busy}");
    engine.shutdown(LONG).unwrap();
}
