//! A process whose descriptors run out, in whatever surrounds the log: commits need none, and what fails for it is well
//! again once there are some.

use std::env;
use std::fs::File;
use std::process::Command;
use std::time::Duration;

use lastword::log::{Durability, IfAbsent, Log, SledLog};
use lastword::objects::{FileObjects, Objects};
use lastword::snapshot::Snapshots;
use test_support::log_writer::{Writer, read_all};

const CHILD: &str = "LASTWORD_WITHOUT_DESCRIPTORS";

#[test]
fn defect_41_running_out_of_descriptors_does_not_take_the_log_with_it() {
    if env::var_os(CHILD).is_none() {
        let mut command = Command::new("prlimit");
        command.args(["--nofile=60", "--"]).arg(env::current_exe().unwrap()).args([
            "--exact",
            "descriptors::defect_41_running_out_of_descriptors_does_not_take_the_log_with_it",
            "--nocapture",
        ]);
        let output = command.env(CHILD, "1").output().unwrap();
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}\n{error}");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut writer = Writer::open(&state);
    writer.commit(&[10]);
    let objects = FileObjects::open(writer.log.objects()).unwrap();
    objects.put(&[b"before".to_vec()]).unwrap();
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(taken.len() > 5 && File::open("/dev/null").is_err());
    for n in 0..100 {
        writer.try_commit(&[10, 5_000]).unwrap();
        writer.log.tick(Duration::from_secs(n)).unwrap();
    }
    // What needs some fails for now.
    assert!(objects.put(&[b"without".to_vec()]).is_err());
    assert!(Snapshots::of_log(&state).list().is_err());
    drop(taken);
    let hashes = objects.put(&[b"before".to_vec(), b"without".to_vec()]).unwrap();
    assert_eq!(objects.list().unwrap().len(), hashes.len());
    writer.commit(&[10]);
    let frames = writer.frames();
    writer.close();
    let log = SledLog::open(&state, IfAbsent::Refuse, Durability::Power).unwrap();
    assert!(log.was_clean());
    assert_eq!(read_all(&*log.reader()).unwrap(), frames);
}
