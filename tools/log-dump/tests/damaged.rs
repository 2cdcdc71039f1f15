//! What can still be done with a damaged log, and what a private copy leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::*;
use support::*;

/// Larger than one segment of sled, so that there is something behind the damage.
fn large_log() -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, path) = story_log();
    let noise = |n: u64| {
        let mut bytes = vec![0; 4_000];
        blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let large = (0..200).map(|n| encoded(&Event::DataLossAccepted { last: Seq(n), found: noise(n).into() }));
    append_each(&path, large.collect());
    (dir, path)
}

fn damage(path: &Path) {
    let db = fs::File::options().write(true).open(path.join("sled/db")).unwrap();
    db.set_len(db.metadata().unwrap().len() / 2).unwrap();
}

#[test]
fn defect_43_a_log_without_its_head_is_damaged_and_not_absent() {
    let (dir, path) = story_log();
    fs::remove_file(path.join("HEAD")).unwrap();
    for (command, more) in [("head", &["--anchor"][..]), ("head", &[]), ("dump", &[])] {
        let refused = on(&path, command, more);
        assert_eq!(code(&refused), 1, "{command} {more:?}: {}", err(&refused));
        assert!(err(&refused).contains("HEAD is missing"), "{command} {more:?}: {}", err(&refused));
        assert!(err(&refused).contains("--accept-loss"), "{command} {more:?}: {}", err(&refused));
    }
    let nowhere = on(&dir.path().join("nowhere"), "head", &["--anchor"]);
    assert_eq!(code(&nowhere), 3);
    assert!(err(&nowhere).contains("there is no log"), "{}", err(&nowhere));
}

#[test]
fn defect_43_a_damaged_log_is_shown_up_to_the_damage() {
    let (dir, path) = large_log();
    let whole = ok(&path, "dump", &[]);
    damage(&path);
    let plain = on(&path, "dump", &[]);
    assert!(matches!(code(&plain), 1 | 5), "{}", err(&plain));
    assert!(err(&plain).contains("--up-to-damage"), "{}", err(&plain));

    let shown = on(&path, "dump", &["--up-to-damage"]);
    assert_eq!(code(&shown), code(&plain), "{}", err(&shown));
    assert!(err(&shown).contains("what is left up to event"), "{}", err(&shown));
    assert!(whole.starts_with(&out(&shown)) && out(&shown).lines().count() > 20, "not the beginning of the log");

    let state = on(&path, "state", &["--up-to-damage"]);
    assert_eq!(code(&state), code(&plain));
    assert!(out(&state).contains("plain"), "{}", out(&state));

    let file = dir.path().join("left.evlog");
    let export = on(&path, "export", &["--up-to-damage", file.to_str().unwrap()]);
    assert_eq!(code(&export), code(&plain), "{}", err(&export));
    ok(&file, "verify", &[]);
    assert_eq!(ok(&file, "dump", &[]), out(&shown));
    // A whole log is whole, whatever was asked for.
    let (_dir, path) = story_log();
    assert_eq!(ok(&path, "dump", &["--up-to-damage"]), ok(&path, "dump", &[]));
}

#[test]
fn what_is_left_of_a_damaged_stream_is_shown_and_made_a_log_of() {
    let (dir, path) = story_log();
    let (whole, stream) = (ok(&path, "dump", &[]), dir.path().join("backup.evlog"));
    ok(&path, "export", &[stream.to_str().unwrap()]);
    let bytes = fs::read(&stream).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() * 2 / 3] ^= 1;
    for (number, damaged) in [&bytes[..bytes.len() - 1], &bytes[..bytes.len() * 2 / 3], &flipped].iter().enumerate() {
        fs::write(&stream, damaged).unwrap();
        let plain = on(&stream, "dump", &[]);
        assert_eq!((code(&plain), out(&plain).as_str()), (1, ""), "{}", err(&plain));
        assert!(err(&plain).contains("--up-to-damage"), "{}", err(&plain));
        let shown = on(&stream, "dump", &["--up-to-damage"]);
        assert_eq!(code(&shown), 1, "{}", err(&shown));
        assert!(err(&shown).contains("what is left up to event"), "{}", err(&shown));
        assert!(whole.starts_with(&out(&shown)) && out(&shown).lines().count() > 5, "{}", out(&shown));
        assert_eq!(code(&on(&stream, "state", &["--up-to-damage"])), 1);

        let made = dir.path().join(format!("made-{number}"));
        let import = |more: &[&str]| {
            program().args(["import", made.to_str().unwrap(), stream.to_str().unwrap()]).args(more).output().unwrap()
        };
        assert_eq!(code(&import(&[])), 1);
        assert!(!made.exists());
        let imported = import(&["--up-to-damage"]);
        assert_eq!(code(&imported), 1);
        assert!(err(&imported).contains("the log ends before that, at event"), "{}", err(&imported));
        ok(&made, "verify", &[]);
        assert_eq!(ok(&made, "dump", &[]), out(&shown));
    }
    // Of nothing no log is made, and nothing is promised.
    for length in [1, 3, 16, 20] {
        fs::write(&stream, &bytes[..length]).unwrap();
        for command in ["dump", "verify", "state"] {
            let refused = on(&stream, command, &[]);
            assert_eq!(code(&refused), 1, "{}", err(&refused));
            assert!(!err(&refused).contains("--up-to-damage"), "{length}: {}", err(&refused));
            let counts = err(&refused).contains(if length == 1 { "after 1 byte;" } else { " bytes" });
            assert!(counts || length == 20, "{length}: {}", err(&refused));
        }
    }
    fs::write(&stream, &bytes[..20]).unwrap();
    let made = dir.path().join("of-nothing");
    let import =
        program().args(["import", "--up-to-damage", made.to_str().unwrap(), stream.to_str().unwrap()]).output();
    assert_eq!((code(&import.unwrap()), made.exists()), (1, false));
}

#[test]
fn defect_12_every_object_that_is_missing_is_named_and_the_rest_exported() {
    let (dir, path) = story_log();
    let mut objects: Vec<_> = look(&path.join("objects")).into_iter().map(|(path, ..)| path).collect();
    objects.retain(|path| path.is_file());
    // Those that the last events name are the last that were stored.
    objects.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    for object in &objects[objects.len() - 3..] {
        fs::remove_file(object).unwrap();
    }
    let verified = on(&path, "verify", &[]);
    assert_eq!(code(&verified), 1);
    assert!(err(&verified).matches("is missing").count() >= 2, "{}", err(&verified));

    let file = dir.path().join("left.evlog");
    let refused = on(&path, "export", &[file.to_str().unwrap()]);
    assert_eq!(code(&refused), 1);
    assert!(err(&refused).contains("export --up-to-damage") && !file.exists(), "{}", err(&refused));
    let export = on(&path, "export", &["--up-to-damage", file.to_str().unwrap()]);
    assert_eq!(code(&export), 1);
    assert!(err(&export).contains("is missing") && err(&export).contains("the stream ends before"), "{}", err(&export));
    ok(&file, "verify", &[]);
    assert!(ok(&path, "dump", &[]).starts_with(&ok(&file, "dump", &[])));
}

#[test]
fn defect_07_the_anchor_is_read_alone() {
    let (_dir, path) = story_log();
    let head = json(&path, "head", &[]).0.remove(0);
    fs::remove_dir_all(path.join("sled")).unwrap();
    // Not even room for a copy.
    let output = program()
        .args(["head", "--anchor", "--json", path.to_str().unwrap()])
        .env("TMPDIR", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", err(&output));
    let anchor: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    for key in ["anchor_seq", "hash", "epoch", "clean", "db_length"] {
        assert_eq!(anchor[key], head[key], "{key}");
    }
    assert_eq!(code(&on(&path.join("absent"), "head", &["--anchor"])), 3);
}

#[test]
fn defect_07_a_signal_leaves_no_copy_behind() {
    let (dir, path) = large_log();
    for signal in ["TERM", "INT", "HUP", "KILL"] {
        let copies = dir.path().join(signal);
        fs::create_dir(&copies).unwrap();
        let mut child = program()
            .args(["dump", path.to_str().unwrap()])
            .env("TMPDIR", &copies)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It prints more than a pipe holds, and nobody reads on.
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(fs::read_dir(&copies).unwrap().count(), 0, "an open copy has a name");
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{signal} does not end it");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(std::os::unix::process::ExitStatusExt::signal(&status).is_some(), "{status}");
        assert_eq!(fs::read_dir(&copies).unwrap().count(), 0, "{signal} leaves a copy behind");
    }
}

/// A temporary directory on a file system of its own, which takes root.
#[test]
fn defect_07_a_copy_that_does_not_fit_is_refused_before_it_is_made() {
    let (dir, path) = large_log();
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let script = "mount -t tmpfs -o size=300k none \"$1\" || exit 77; TMPDIR=\"$1\" \"$2\" dump \"$3\"; code=$?; \
                  find \"$1\" -mindepth 1 | head -1; exit $code";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(&small).arg(program().get_program()).arg(&path);
    let Ok(output) = command.output() else {
        return println!("SKIPPED: there is no unshare");
    };
    if !err(&output).contains("private copy") && code(&output) != 3 {
        return println!("SKIPPED: nothing can be mounted: {}", err(&output));
    }
    assert_eq!(code(&output), 3, "{}", err(&output));
    assert!(err(&output).contains("a private copy takes") && err(&output).contains("bytes free"), "{}", err(&output));
    assert_eq!(out(&output), "", "a part of a copy was left");
}

#[test]
fn defect_47_a_configuration_is_named_as_one_and_says_where_its_log_is() {
    let (dir, path) = story_log();
    let config = dir.path().join("lake.toml");
    let state = path.file_name().unwrap().to_str().unwrap();
    fs::write(&config, format!("# mine\nstate = \"{state}\" # here\n[collections.a]\n")).unwrap();
    for (command, more) in [("dump", &[][..]), ("state", &["--up-to-damage"]), ("head", &[]), ("head", &["--anchor"])] {
        let refused = on(&config, command, more);
        assert_eq!(code(&refused), 3, "{}", err(&refused));
        let said = format!("this is a configuration; give the state directory {}", path.display());
        assert!(err(&refused).contains(&said), "{}", err(&refused));
    }
    // What is a log under that name is read.
    let named = dir.path().join("log.toml");
    ok(&path, "export", &[named.to_str().unwrap()]);
    ok(&named, "verify", &[]);
    fs::write(&config, "workers = 1").unwrap();
    assert!(err(&on(&config, "dump", &[])).contains("give the state directory that it names"));
}

#[test]
fn defect_48_an_output_that_is_not_whole_is_no_success() {
    let (_dir, path) = large_log();
    // Longer than a pipe holds, and nobody reads it.
    let mut child = program().arg("export").arg(&path).arg("-").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(3), "half a stream is none");
    for arguments in [&["--help"][..], &["export", "--help"], &["--version"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = program().args(arguments).stdout(full).status().unwrap();
        assert_eq!(ended.code(), Some(3), "{arguments:?}");
    }
}
