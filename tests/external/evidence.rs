//! What a look reads and what it believes: how much at most, what it goes on with, and where times say nothing.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use lastword::core::vocabulary::{Epoch, Missing, Name, Seq, Token};
use lastword::external::{
    Build, BuildError, External, ExternalSpec, Instant, Mount, Mounts, NoBuilder, ScanRequest, SourcePath, Stat,
    WholeFiles, build, never_interrupted, scan,
};
use lastword::objects::Objects;

use super::lake::{Lake, Shelf, changed};
use super::metered::Metered;
use super::mounts::Mounted;

const MIB: u64 = 1 << 20;

#[test]
fn defect_02_a_file_of_a_terabyte_is_named_and_not_read() {
    let store = Metered::new(64 * MIB);
    let mut lake = Lake::new();
    lake.external = External::local().reading(16 * MIB).in_store(store.clone());
    lake.write("b.parquet", "one");
    File::create(lake.path("a.parquet")).unwrap().set_len(1 << 40).unwrap();
    let error = lake.look_at(lake.now()).unwrap_err().to_string();
    assert_eq!(error, "the content of a.parquet is not read yet, which alone tells whether it has changed");
    assert!(store.taken() <= 16 * MIB);
    // Its times tell what it holds once they have aged: what is read then nobody has asked for, and it is bounded too.
    assert_eq!(lake.aged().state.set.unwrap().files, 2);
    assert!(store.taken() <= 9 * MIB);
    assert!(!changed(&lake.aged()));
    assert!(store.taken() <= 9 * MIB);
}

#[test]
fn defect_02_a_large_file_from_the_future_ages_from_the_first_look_on() {
    let mut lake = Lake::new();
    lake.external = External::local().reading(MIB);
    lake.write("a.parquet", &"x".repeat(3 << 20));
    File::options().write(true).open(lake.path("a.parquet")).unwrap().set_modified(lake.in_an_hour()).unwrap();
    let now = lake.now();
    lake.look_at(now).unwrap_err();
    lake.look_at(now.after(std::time::Duration::from_secs(1))).unwrap_err();
    assert_eq!(lake.look_at(now.after(std::time::Duration::from_secs(3))).unwrap().racy, 0);
}

/// Three mebibytes whose content is known, and looks that read one each.
fn large_and_learned() -> (Lake, Metered) {
    let store = Metered::new(u64::MAX / 2);
    let mut lake = Lake::new();
    lake.external = External::local().in_store(store.clone());
    lake.write("a.parquet", "small");
    lake.write("large.parquet", &"x".repeat(3 << 20));
    lake.aged();
    lake.external = External::local().learning(0).reading(MIB).in_store(store.clone());
    assert!(!changed(&lake.aged()));
    store.taken();
    (lake, store)
}

/// Looks until one is finished; says how many were not.
fn until_finished(lake: &mut Lake, store: &Metered, named: &str) -> u64 {
    for unfinished in 0..10 {
        let found = lake.look_when_aged();
        // Beside it the first and the last bytes of two files, which say whether they are finished.
        let taken = store.taken();
        assert!(taken <= MIB + 16, "one look reads no more than it may, and has read {taken}");
        match found {
            Ok(observation) => {
                assert_eq!(observation.racy, 0);
                return unfinished;
            }
            Err(error) => {
                let expected = format!("the content of {named} is not read yet");
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
        }
    }
    panic!("ten looks did not come to an end");
}

#[test]
fn defect_02_what_one_look_did_not_read_the_next_one_goes_on_with_and_it_is_never_unchanged() {
    let (mut lake, store) = large_and_learned();
    let before = lake.known.clone();
    lake.chmod("large.parquet");
    assert_eq!(until_finished(&mut lake, &store, "large.parquet"), 2);
    assert_eq!(lake.known, before, "it has not changed, and three looks have read it once");
    // Another content of the same length.
    lake.write("large.parquet", &"y".repeat(3 << 20));
    assert!(until_finished(&mut lake, &store, "large.parquet") > 0);
    assert_ne!(lake.known, before);
}

#[test]
fn defect_46_a_change_of_mode_of_large_files_changes_nothing() {
    let (mut lake, store) = large_and_learned();
    let before = lake.known.clone();
    lake.chmod("a.parquet");
    lake.chmod("large.parquet");
    until_finished(&mut lake, &store, "large.parquet");
    assert_eq!(lake.known, before);
    // In the middle of it the file is written.
    lake.chmod("large.parquet");
    lake.look_when_aged().unwrap_err();
    store.taken();
    lake.write("large.parquet", &"z".repeat(3 << 20));
    until_finished(&mut lake, &store, "large.parquet");
    assert_ne!(lake.known, before);
}

const ZERO: Instant = Instant { seconds: 0, nanoseconds: 0 };

/// A file of an image that was made to be reproducible.
fn image(shelf: &Shelf, id: u64, files: &[(&str, &str)]) {
    *shelf.mount.lock().unwrap() = Some(Mount { id, file_system: 7, is_read_only: true, is_image: false });
    let mut on_it = shelf.files.lock().unwrap();
    on_it.clear();
    for (inode, (name, content)) in (1..).zip(files) {
        let stat = Stat { size: content.len() as u64, mtime: ZERO, ctime: ZERO, inode, ..Stat::default() };
        on_it.insert(SourcePath((*name).into()), (stat, (*content).into()));
    }
}

#[test]
fn defect_21_another_image_with_the_same_times_is_another_content() {
    for restarted in [false, true] {
        let (mut lake, shelf) = (Lake::new(), Shelf::default());
        lake.external = External::local().in_store(shelf.clone());
        image(&shelf, 1, &[("a", "one"), ("b", "two")]);
        let first = lake.aged();
        assert_eq!(first.weak, 0, "it was read on this mount");
        assert!(!changed(&lake.aged()));
        assert_eq!(shelf.read.swap(0, Ordering::Relaxed), 6, "once");
        // The same image, mounted again.
        image(&shelf, 2, &[("a", "one"), ("b", "two")]);
        assert_eq!(lake.aged().state, first.state);
        assert_eq!(shelf.read.swap(0, Ordering::Relaxed), 6, "times say nothing across mounts");
        if restarted {
            lake = lake.restarted();
            lake.external = External::local().in_store(shelf.clone());
        }
        image(&shelf, 3, &[("a", "one"), ("b", "six")]);
        let other = lake.aged();
        assert_eq!((other.delta.unwrap().changed, other.weak), (1, 0));
        assert_ne!(other.state.version, first.state.version, "a version is never the name of other bytes");
        // And back.
        image(&shelf, 4, &[("a", "one"), ("b", "two")]);
        assert_eq!(lake.aged().state.version, first.state.version);
    }
}

/// After a restart, before the first look: nobody knows on which mount the wanted files were found.
#[test]
fn defect_21_an_attempt_that_knows_no_mounts_believes_no_weak_file() {
    for believes_mounts in [true, false] {
        let (mut lake, shelf) = (Lake::new(), Shelf::default());
        lake.external = External::local().in_store(shelf.clone());
        image(&shelf, 1, &[("a", "one"), ("b", "two")]);
        lake.aged();
        let wanted = lake.set();
        // Another image, with the same times, was mounted while nobody looked.
        image(&shelf, 1, &[("a", "one"), ("b", "six")]);
        let source = lake.location();
        let read = shelf.read.swap(0, Ordering::Relaxed);
        let plan = ScanRequest { known: Some(&wanted), ..ScanRequest::new(&shelf, &source, lake.now()) };
        let plan = ScanRequest { believes_unknown_mounts: true, ..plan };
        assert_eq!(scan(&plan).unwrap().version, wanted.digest(), "who only plans reads nothing");
        assert_eq!((read, shelf.read.load(Ordering::Relaxed)), (6, 0));
        let spec = ExternalSpec::parse(r#"{"format":"parquet"}"#).unwrap();
        let mut mounts = Mounts::default();
        shelf.mount.lock().unwrap().iter().for_each(|mount| mounts.insert(SourcePath(Vec::new()), *mount));
        let failed = build(&Build {
            collection: &Name::new("lake").unwrap(),
            store: &shelf,
            format: &WholeFiles,
            objects: &lake.objects,
            source: &source,
            spec: &spec,
            wanted: wanted.digest(),
            known: Some(&wanted),
            mounts: believes_mounts.then_some(&mounts),
            most_read: 1 << 29,
            applied: None,
            previous: None,
            token: Token { epoch: Epoch(1), seq: Seq(1) },
            builder: &NoBuilder,
            parallel: 1,
            leftovers: &[],
            stop_check: &never_interrupted,
            finished: &|_| (),
            progress: &|_| (),
            learned: &|_, _, _| (),
            now: &|| lake.now(),
        })
        .map_err(|failed| failed.error);
        match failed {
            Ok(_) => assert!(believes_mounts, "the name of one content was given to another"),
            Err(error) => assert!(!believes_mounts && matches!(error, BuildError::Moved { .. }), "{error:?}"),
        }
    }
}

/// What is applied is what losses are measured against.
#[test]
fn defect_36_what_is_applied_and_cannot_be_read_is_not_nothing_lost() {
    let mut lake = Lake::new();
    for n in 0..20 {
        lake.write(&format!("{n}.parquet"), "one");
    }
    lake.aged();
    lake.apply();
    let applied = lake.applied.clone().unwrap();
    lake.objects.remove(applied.set.unwrap().root).unwrap();
    let mut lake = lake.restarted();
    // As long as all of it is there nothing is missing, whatever is known of it.
    assert_eq!(lake.look_when_aged().unwrap().missing, Some(Missing::default()));
    let mut lake = lake.restarted();
    for n in 0..19 {
        fs::remove_file(lake.path(&format!("{n}.parquet"))).unwrap();
    }
    let error = lake.look_when_aged().unwrap_err().to_string();
    assert!(error.contains("what is applied cannot be read") && error.contains("is missing"), "{error}");
}

#[test]
fn defect_21_after_a_restart_it_is_told_how_much_is_only_believed() {
    let (mut lake, shelf) = (Lake::new(), Shelf::default());
    lake.external = External::local().in_store(shelf.clone());
    image(&shelf, 1, &[("a", "one"), ("b", "two"), ("c", "six")]);
    let first = lake.aged();
    // While nobody looked another one was mounted, and looks read two files each.
    let mut lake = lake.restarted();
    lake.external = External::local().learning(0).reading(2 * 4096).in_store(shelf.clone());
    image(&shelf, 2, &[("a", "one"), ("b", "two"), ("c", "ten")]);
    let believed = lake.look_when_aged().unwrap();
    assert_eq!((believed.weak, changed(&believed)), (1, false));
    assert!(believed.observe_again.is_some(), "soon");
    let read = lake.look_when_aged().unwrap();
    assert_eq!((read.weak, read.delta.unwrap().changed), (0, 1));
    assert_ne!(read.state.version, first.state.version);
}

#[test]
fn defect_21_one_time_for_all_files_says_as_little() {
    let (mut lake, shelf) = (Lake::new(), Shelf::default());
    lake.external = External::local().learning(0).in_store(shelf.clone());
    // Nobody can write there, and all files have one time; or the store knows nothing of mounts.
    for mount in [Some(Mount { id: 1, is_read_only: true, ..Mount::default() }), None] {
        *shelf.mount.lock().unwrap() = mount;
        ["a", "b"].iter().for_each(|name| shelf.put(name, -100, "one"));
        assert!(lake.aged().weak == 0 && lake.set_has_contents());
        lake.known = None;
    }
    // A file system that is written to has its own clock.
    *shelf.mount.lock().unwrap() = Some(Mount { id: 2, ..Mount::default() });
    lake = Lake::new();
    lake.external = External::local().learning(0).in_store(shelf.clone());
    lake.aged();
    assert!(!lake.set_has_contents());
}

/// Real images: ext4 with zeroed times, made file by file alike.
#[test]
fn defect_21_a_mounted_image_that_is_swapped_is_noticed() {
    let mut lake = Lake::new();
    let (home, target) = (tempfile::tempdir().unwrap(), lake.path("mounted"));
    fs::create_dir(&target).unwrap();
    let make = |name: &str, content: &str| -> bool {
        let (files, image) = (home.path().join(name), home.path().join(format!("{name}.img")));
        fs::create_dir(&files).unwrap();
        fs::write(files.join("a.parquet"), content).unwrap();
        File::create(&image).unwrap().set_len(8 << 20).unwrap();
        let mut zero = String::new();
        for field in ["ctime", "mtime", "ctime_extra", "mtime_extra"] {
            zero += &format!("set_inode_field /a.parquet {field} 0\n");
        }
        run(Command::new("mkfs.ext4").args(["-q", "-d"]).arg(&files).arg(&image), "")
            && run(Command::new("debugfs").args(["-w", "-f", "-"]).arg(&image), &zero)
    };
    let mount = |name: &str| {
        let image = home.path().join(format!("{name}.img"));
        Mounted::new(&["-o", "loop,ro", image.to_str().unwrap()], &target)
    };
    if !(make("one", "one") && make("two", "two")) {
        return println!("skipped: no mkfs.ext4 or debugfs here; the tests above cover what stat says");
    }
    let Some(mounted) = mount("one") else { return println!("skipped: this user cannot mount images") };
    let first = lake.look_when_aged().unwrap();
    let stat = |lake: &Lake| lake.set().get(&SourcePath(b"mounted/a.parquet".to_vec())).unwrap();
    let before = stat(&lake);
    assert_eq!(before.last_stat.ctime, ZERO);
    drop(mounted);
    let _mounted = mount("two").unwrap();
    let second = lake.look_when_aged().unwrap();
    assert_eq!(stat(&lake).last_stat, before.last_stat, "stat says the same of the other image");
    assert_eq!(second.delta.unwrap().changed, 1);
    assert_ne!(second.state.version, first.state.version);
}

/// Whether a program is there and has done what it was to do.
fn run(command: &mut Command, input: &str) -> bool {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

/// Maps a file and writes into it, a byte for each line that it is told.
struct Mapper(Child, BufReader<std::process::ChildStdout>);

impl Mapper {
    fn start(file: &Path) -> Option<Mapper> {
        const PROGRAM: &str = "import mmap, sys
file = open(sys.argv[1], 'r+b')
mapped = mmap.mmap(file.fileno(), 0)
for line in sys.stdin:
    mapped[0:1] = line[0].encode()
    print('written', flush=True)
";
        let mut python = Command::new("python3");
        let child = python.args(["-c", PROGRAM]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.ok()?;
        let answers = BufReader::new(child.stdout.take()?);
        Some(Mapper(child, answers))
    }

    fn write(&mut self, byte: char) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{byte}").unwrap();
        let mut answer = String::new();
        self.1.read_line(&mut answer).unwrap();
        assert_eq!(answer, "written\n");
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn defect_22_a_write_through_a_mapping_is_found_when_somebody_asks_for_it() {
    for attempt in 0..5 {
        let mut lake = Lake::new();
        lake.write("a.parquet", "one");
        let Some(mut mapper) = Mapper::start(&lake.path("a.parquet")) else {
            return println!("skipped: there is no python3 to map a file with");
        };
        // The page is dirty from here on, and a write to it moves no time.
        mapper.write('1');
        lake.aged();
        let before = lake.set();
        mapper.write('2');
        let found = lake.aged();
        if lake.set().files().next() != before.files().next() {
            println!("round {attempt}: the page was written back meanwhile");
            continue;
        }
        assert!(!changed(&found), "nothing tells of it");
        lake.verify = true;
        assert_eq!(lake.aged().delta.unwrap().changed, 1);
        assert!(!changed(&lake.aged()), "it was asked for once");
        lake.verify = true;
        assert!(!changed(&lake.aged()), "and now it is what it was");
        return;
    }
    panic!("five pages in a row were written back within a moment");
}

#[test]
fn defect_21_a_content_check_takes_as_many_looks_as_it_takes_and_what_was_never_read_has_changed() {
    let (mut lake, shelf) = (Lake::new(), Shelf::default());
    lake.external = External::local().learning(0).reading(2 * 4096).in_store(shelf.clone());
    *shelf.mount.lock().unwrap() = Some(Mount { id: 1, ..Mount::default() });
    for (n, name) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        shelf.put(name, -100 - n as i64, "one");
    }
    lake.aged();
    lake.verify = true;
    let mut weak = Vec::new();
    while weak.last() != Some(&0) {
        let observation = lake.look_when_aged().unwrap();
        assert!(changed(&observation), "no content was known");
        weak.push(observation.weak);
    }
    assert_eq!(weak, [3, 1, 0]);
    assert_eq!(shelf.read.swap(0, Ordering::Relaxed), 15, "each once");
    // Now they are known. One is written without a trace, and a second check finds that one.
    for (path, (_, content)) in shelf.files.lock().unwrap().iter_mut() {
        if path.0 == b"d" {
            *content = b"two".to_vec();
        }
    }
    lake.verify = true;
    let found: Vec<_> = (0..3).map(|_| lake.look_when_aged().unwrap().delta.map(|delta| delta.changed)).collect();
    assert_eq!(found, [None, Some(1), None]);
}
