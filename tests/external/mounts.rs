//! Sources with mounts below them: real ones, where this user may mount.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lastword::external::{
    LocalStore, Mount, SourcePath, SourceUri, Store, StoreError, TrafficCounter, never_interrupted,
};

/// A file system that is mounted, until it is dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts with these arguments of `mount`; nothing if this user may not, or the machine cannot.
    pub fn new(arguments: &[&str], target: &Path) -> Option<Mounted> {
        run(Command::new("mount").args(arguments).arg(target)).then(|| Mounted(target.to_owned()))
    }

    pub fn tmpfs(target: &Path) -> Option<Mounted> {
        Mounted::new(&["-t", "tmpfs", "tmpfs"], target)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn run(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The mount of a file below a directory, as a look finds it.
fn mount_of(directory: &Path, file: &str) -> Mount {
    let source = SourceUri::parse(directory.to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap();
    let listed = LocalStore.list(&source, &never_interrupted, &TrafficCounter::default()).unwrap();
    let path = SourcePath(file.into());
    assert!(listed.files.iter().any(|(listed, _)| *listed == path), "{:?}", listed.files);
    *listed.mounts.of(&path).unwrap()
}

#[test]
fn defect_21_a_file_system_that_is_written_to_stays_the_same_one() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("d");
    fs::create_dir(&below).unwrap();
    fs::write(dir.path().join("a"), "x").unwrap();
    let Some(mounted) = Mounted::tmpfs(&below) else { return println!("skipped: this user cannot mount") };
    fs::write(below.join("b"), "x").unwrap();
    let before = mount_of(dir.path(), "d/b");
    assert_ne!((before.id, before.file_system), {
        let above = mount_of(dir.path(), "a");
        (above.id, above.file_system)
    });
    // It has grown, and holds more files.
    assert!(run(Command::new("mount").args(["-o", "remount,size=3m,nr_inodes=77"]).arg(&below)));
    (0..9).for_each(|n| fs::write(below.join(format!("{n}")), "x").unwrap());
    assert_eq!(mount_of(dir.path(), "d/b"), before);
    // Read through another mount, it is the same file system on that one.
    let bound = dir.path().join("e");
    fs::create_dir(&bound).unwrap();
    let other = Mounted::new(&["--bind", below.to_str().unwrap()], &bound).unwrap();
    let through = mount_of(dir.path(), "e/b");
    assert_eq!(through.file_system, before.file_system);
    assert_ne!(through.id, before.id);
    assert!(!through.is_read_only && !through.is_image);
    assert!(run(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&bound)));
    assert!(mount_of(dir.path(), "e/b").is_read_only && !mount_of(dir.path(), "d/b").is_read_only);
    drop((other, mounted));
    // Another one in its place.
    let _mounted = Mounted::tmpfs(&below).unwrap();
    fs::write(below.join("b"), "x").unwrap();
    assert_ne!(mount_of(dir.path(), "d/b").id, before.id);
}

/// Files of an overlay have the devices of its layers, and still lie on its mount.
#[test]
fn defect_21_files_of_an_overlay_lie_on_its_mount() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    ["lower", "upper", "lake"].iter().for_each(|name| fs::create_dir(path(name)).unwrap());
    let (lower, upper) = (Mounted::tmpfs(&path("lower")), Mounted::tmpfs(&path("upper")));
    let (Some(_lower), Some(_upper)) = (lower, upper) else { return println!("skipped: this user cannot mount") };
    ["upper/u", "upper/w"].iter().for_each(|name| fs::create_dir(path(name)).unwrap());
    fs::write(path("lower/a"), "x").unwrap();
    let shown = dir.path().to_str().unwrap();
    let options = format!("lowerdir={shown}/lower,upperdir={shown}/upper/u,workdir={shown}/upper/w");
    let overlay = Mounted::new(&["-t", "overlay", "overlay", "-o", &options], &path("lake"));
    let Some(_overlay) = overlay else { return println!("skipped: there are no overlays here") };
    fs::write(path("lake/b"), "x").unwrap();
    let device = |name: &str| fs::metadata(path(name)).unwrap().dev();
    println!("devices: {:?}", ["lake", "lake/a", "lake/b"].map(device));
    let mounts = |file: &str| mount_of(&path("lake"), file);
    assert_eq!(mounts("a"), mounts("b"));
    // One that is mounted for itself is on a mount of its own.
    fs::write(path("upper/other"), "x").unwrap();
    let _single = Mounted::new(&["--bind", path("upper/other").to_str().unwrap()], &path("lake/b")).unwrap();
    assert_ne!(mounts("a").id, mounts("b").id);
}

/// Whatever path they are mounted under.
#[test]
fn case_38_what_the_kernel_shows_as_files_is_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("d/e");
    fs::create_dir_all(&below).unwrap();
    for arguments in [&["-t", "proc", "proc"][..], &["--bind", "/sys"]] {
        let Some(_mounted) = Mounted::new(arguments, &below) else {
            return println!("skipped: this user cannot mount");
        };
        for directory in [dir.path(), &below] {
            let source = SourceUri::parse(directory.to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap();
            // What it would list has no end.
            let patience = std::time::Instant::now();
            let stop = || if patience.elapsed().as_secs() < 20 { Ok(()) } else { Err(lastword::external::Interrupted) };
            let error = LocalStore.list(&source, &stop, &TrafficCounter::default()).unwrap_err();
            assert!(matches!(&error, StoreError::Device { what } if what.ends_with("/d/e")), "{error}");
        }
    }
}
