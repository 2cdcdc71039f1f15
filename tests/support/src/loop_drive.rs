//! A drive whose power can be cut, made of three real file systems, each in an image file of the one before:
//!
//! ```text
//! home (in memory)   bench.img, the copies
//!   bench/           drive.img: what the drive has on its medium
//!     drive/         disk.img: what the drive was given. The page cache of this file system is the drive's cache
//!       disk/        what the log is written to
//! ```
//!
//! A write that the file system in `disk` sends to its drive becomes one to `disk.img` and counts as done when it is
//! in the cache of `drive`; a flush that it sends becomes an fsync of `disk.img`. Freezing `drive` stops the drive at once
//! and in the middle of whatever it was told to do: the kernel threads of `disk`, its journal's too, go on until their
//! next write to the drive, and stay there. Nothing of `disk` is flushed by that; what only its page cache has is not in
//! the copy. Freezing `bench` stops the medium in the same way.
//!
//! Everything is mounted in a mount namespace of its own, as is the memory that all of it is in. The namespace ends with
//! the last process in it and takes its mounts and loop devices with it, also if a test is killed.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::disk::Dice;

/// Set to the name of the test that has a namespace of its own.
const ALONE: &str = "LASTWORD_LOOP_ALONE";

/// Some four times what three lives leave.
const DISK: &str = "32M";
/// Each has room for the one before, and for a journal of its own.
const DRIVE: &str = "48M";
const BENCH: &str = "64M";

/// Everything that is needed, once: the answer of this machine itself is the only good one.
const PROBE: &str = "cd \"$0\" && truncate -s 16M image && mkfs.ext4 -q -F image && e2fsck -fn image >/dev/null 2>&1 \
    && mkdir mounted && mount -o loop image mounted && fsfreeze -f mounted && fsfreeze -u mounted && umount mounted";

/// Runs `test` of this binary again in a mount namespace of its own, and says whether this is that run. Where there are
/// no loop devices the test fails and says so.
pub fn is_alone(test: &str) -> bool {
    if let Some(alone) = env::var_os(ALONE) {
        return alone == test;
    }
    let home = tempfile::tempdir().unwrap();
    let probe = Command::new("unshare").args(["--mount", "bash", "-c", PROBE]).arg(home.path()).output();
    let missing = match probe {
        Ok(probe) if probe.status.success() => None,
        Ok(probe) => Some(String::from_utf8_lossy(&probe.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(missing) = missing {
        panic!("no loop devices, or not root: {missing}");
    }
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(env::current_exe().unwrap()).args(["--exact", test, "--ignored", "--nocapture"]);
    let status = command.env(ALONE, test).status().unwrap();
    assert!(status.success(), "{test}: {status}");
    false
}

fn run(program: &str, words: &[&str], paths: &[&Path]) {
    let output = Command::new(program).args(words).args(paths).stdin(Stdio::null()).output().unwrap();
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {words:?} {paths:?}: {}: {text}{error}", output.status);
}

/// Makes the same file again, without blocks for what is zero.
pub fn copy(from: &Path, to: &Path) {
    run("cp", &["--sparse=always"], &[from, to]);
}

/// How the log's file system is made and mounted. ext4 renames as if files were synced before unless it is told not to
/// (`noauto_da_alloc`), and commits its journal every five seconds: neither is to help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ext4 {
    blocks: &'static str,
    options: &'static str,
}

pub const FILE_SYSTEMS: [Ext4; 4] = [
    Ext4 { blocks: "4096", options: "commit=300,noauto_da_alloc" },
    Ext4 { blocks: "1024", options: "commit=300,noauto_da_alloc" },
    // The data of a file may come after its length.
    Ext4 { blocks: "4096", options: "commit=300,noauto_da_alloc,data=writeback" },
    Ext4 { blocks: "1024", options: "commit=300,noauto_da_alloc,nodelalloc" },
];

impl Ext4 {
    /// Which of [`FILE_SYSTEMS`] it is.
    pub fn number(self) -> usize {
        FILE_SYSTEMS.iter().position(|ext4| *ext4 == self).unwrap()
    }

    /// A new, empty one.
    pub fn make(self, image: &Path) {
        make(image, DISK, self.blocks);
    }
}

fn make(image: &Path, size: &str, blocks: &str) {
    run("truncate", &["-s", size], &[image]);
    // Everything at once: nothing of it is to be written later, when nobody asked for anything.
    run("mkfs.ext4", &["-q", "-F", "-b", blocks, "-E", "lazy_itable_init=0,lazy_journal_init=0"], &[image]);
}

/// A mounted file system, until it is dropped.
pub struct Mount(PathBuf);

impl Mount {
    fn image(image: &Path, at: PathBuf, options: &str) -> Mount {
        fs::create_dir_all(&at).unwrap();
        run("mount", &["-o", &format!("loop,{options}")], &[image, &at]);
        let mount = Mount(at);
        // What it wants to be zero it has to write. A request for zeroes takes the range out of the cache of what is below,
        // and that is where it has to be read from.
        fs::write(Path::new("/sys/fs/ext4").join(mount.device()).join("extent_max_zeroout_kb"), "0").unwrap();
        mount
    }

    /// Its loop device: `loop0`.
    fn device(&self) -> String {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == self.0.to_str()).unwrap();
        line.split(' ').next().unwrap().trim_start_matches("/dev/").to_owned()
    }

    fn memory(at: PathBuf) -> Mount {
        // A limit, and far more than is ever in use.
        run("mount", &["-t", "tmpfs", "-o", "size=2g", "none"], &[&at]);
        Mount(at)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |options: &[&str]| Command::new("umount").args(options).arg(&self.0).output();
        for _ in 0..100 {
            if unmount(&[]).is_ok_and(|output| output.status.success()) {
                return;
            }
            // A process that was killed, or a loop device that was let go, may not be gone quite yet.
            thread::sleep(Duration::from_millis(20));
        }
        let _ = unmount(&["--lazy"]);
    }
}

/// A directory in memory that no other process sees.
pub struct Home {
    mount: Mount,
    // Not before it is unmounted.
    _directory: tempfile::TempDir,
}

impl Home {
    pub fn make() -> Home {
        let directory = tempfile::tempdir().unwrap();
        Home { mount: Mount::memory(directory.path().to_owned()), _directory: directory }
    }

    pub fn path(&self) -> &Path {
        self.mount.path()
    }
}

/// What a drive still has when its power is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// All that it had taken: it has no cache, or one with a battery.
    Kept,
    /// What was flushed.
    Lost,
    /// What was flushed, and of the rest some sectors, chosen by the dice of this seed.
    Partly(u64),
}

const SECTOR: usize = 512;

/// A drive that runs.
pub struct Drive {
    // In the order in which they have to be unmounted.
    disk: Mount,
    drive: Mount,
    bench: Mount,
}

/// Nothing may stop this between freezing and thawing, so it is a process of its own that ignores the signals of a
/// terminal, and waits for a line that says when. What it reads of a drive whose medium stands still has to be in the
/// cache, or it would wait for the medium: it is read before, and should the cache have lost it again, the medium is thawed
/// after some seconds, and that it was late is said. `cmp` shows that what was copied did not move meanwhile.
const CUT: &str = "trap '' HUP INT TERM; frozen=$1 from=$2 to=$3 cached=$4 taken=$5 again=$6 told=$7 notes=$8 late=$9
    cat \"$cached\" >/dev/null
    read -r || exit 1
    fsfreeze -f \"$frozen\" || exit 1
    (sleep 5; fsfreeze -u \"$frozen\") >/dev/null 2>&1 & watchdog=$!
    cp --sparse=always \"$from\" \"$to\" && cp --sparse=always \"$cached\" \"$taken\" &&
        cp --sparse=always \"$cached\" \"$again\" && cp \"$told\" \"$notes\" && cmp \"$from\" \"$to\"
    status=$?
    fsfreeze -u \"$frozen\" 2>/dev/null || status=$late
    kill -9 $watchdog
    exit $status";
const LATE: i32 = 75;

impl Drive {
    /// A drive with this content, mounted. `home` is a directory of its own.
    pub fn with(image: &Path, ext4: Ext4, home: &Path) -> Drive {
        fs::create_dir_all(home).unwrap();
        make(&home.join("bench.img"), BENCH, "4096");
        let bench = Mount::image(&home.join("bench.img"), home.join("bench"), "noatime");
        make(&bench.path().join("drive.img"), DRIVE, "4096");
        let drive = Mount::image(&bench.path().join("drive.img"), home.join("drive"), "noatime");
        // Every block has its place before, so that the drive only overwrites, as drives do.
        run("cp", &["--sparse=never"], &[image, &drive.path().join("disk.img")]);
        run("sync", &["--file-system"], &[drive.path()]);
        let disk = Mount::image(&drive.path().join("disk.img"), home.join("disk"), ext4.options);
        Drive { disk, drive, bench }
    }

    /// The directory for the log.
    pub fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// Cuts the power once `moment` is over, and goes on as if nothing had been. [`find`] makes of `image` what the drive
    /// would have had. `notes` becomes a copy of the file `told`, taken while nothing can reach the drive: what is told
    /// there was there before.
    pub fn cut(&self, cache: Cache, image: &Path, told: &Path, notes: &Path, mut moment: impl FnMut()) {
        let (given, medium) = (self.drive.path().join("disk.img"), self.bench.path().join("drive.img"));
        let Copies { medium: to, taken, again } = Copies::of(image);
        let (frozen, from, to) = match cache {
            Cache::Kept => (&self.drive, &given, image),
            Cache::Lost | Cache::Partly(_) => (&self.bench, &medium, to.as_path()),
        };
        let mut cut = || {
            let mut bash = Command::new("bash");
            bash.args(["-c", CUT, "cut"]).args([frozen.path(), from, to, &given, &taken, &again, told, notes]);
            bash.arg(LATE.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut bash = bash.spawn().unwrap();
            moment();
            bash.stdin.take().unwrap().write_all(b"now\n").unwrap();
            let output = bash.wait_with_output().unwrap();
            let is_late = output.status.code() == Some(LATE);
            assert!(is_late || output.status.success(), "cut: {}", String::from_utf8_lossy(&output.stderr));
            !is_late
        };
        assert!((0..3).any(|_| cut()), "the drive cannot be read without its medium");
    }

    /// Unmounts everything in order. `image` becomes what the drive has then.
    pub fn stop(self, image: &Path) {
        let Drive { disk, drive, bench } = self;
        drop(disk);
        copy(&drive.path().join("disk.img"), image);
        drop((drive, bench));
    }
}

/// What a cut leaves beside its image.
struct Copies {
    /// The medium as it was.
    medium: PathBuf,
    /// What the drive had been given, twice.
    taken: PathBuf,
    again: PathBuf,
}

impl Copies {
    fn of(image: &Path) -> Copies {
        let [medium, taken, again] = ["medium", "taken", "again"].map(|name| image.with_extension(name));
        Copies { medium, taken, again }
    }
}

/// Makes the image of a cut.
pub fn find(cache: Cache, image: &Path, home: &Path) {
    let Copies { medium, taken, again } = Copies::of(image);
    if cache != Cache::Kept {
        let drive = Mount::image(&medium, home.join("medium"), "noatime");
        copy(&drive.path().join("disk.img"), image);
        drop(drive);
        fs::remove_file(&medium).unwrap();
    }
    if let Cache::Partly(seed) = cache {
        mix(image, &taken, &again, Dice(seed));
    }
    fs::remove_file(&taken).unwrap();
    fs::remove_file(&again).unwrap();
}

/// Writes some of the sectors in which `taken` differs into `image`.
///
/// While the medium stands still no flush comes to its end, so all of them were given to the drive after the last one
/// that did, and which of them it has written by itself, and in which order, is its own business. That the drive was
/// given more of them while `taken` was copied does no harm; but a sector that is not the same in a second copy may have
/// been read half written, and drives write whole sectors.
fn mix(image: &Path, taken: &Path, again: &Path, mut dice: Dice) {
    let [old, new, again] = [image, taken, again].map(|path| fs::read(path).unwrap());
    let file = File::options().write(true).open(image).unwrap();
    let eighths = 1 + dice.below(7);
    for at in (0..old.len()).step_by(SECTOR) {
        let [old, new, again] = [&old, &new, &again].map(|image| &image[at..at + SECTOR]);
        if old != new && new == again && dice.below(8) < eighths {
            file.write_all_at(new, at as u64).unwrap();
        }
    }
}

/// The file system that is found in a copy of `image` once the power is back: its journal is replayed, and then it is
/// whole. If it is not, what was copied was never on a drive.
pub fn mount(image: &Path, ext4: Ext4, home: &Path) -> Mount {
    let found = home.join("found.img");
    copy(image, &found);
    drop(Mount::image(&found, home.join("found"), ext4.options));
    run("e2fsck", &["-fn"], &[&found]);
    Mount::image(&found, home.join("found"), ext4.options)
}
