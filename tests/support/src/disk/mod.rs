//! What a process did to its disk, recorded by strace, and what the disk may hold when the power goes.
//!
//! [`trace`] reads a recording, [`model`] knows what a file system promises, [`cut`] chooses what is left of what was
//! not synced, [`image`] makes a directory of it, [`check`] opens that. [`life`] is what the process does meanwhile.

pub mod check;
pub mod cut;
pub mod image;
pub mod life;
pub mod model;
pub mod trace;

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether strace is there. Without it a test is skipped and says so, unless `LASTWORD_REQUIRE_STRACE=1` forbids that.
pub fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        let required = std::env::var_os("LASTWORD_REQUIRE_STRACE").is_some_and(|value| value == "1");
        assert!(!required, "strace is not installed");
        println!("SKIPPED: strace is not installed");
    }
    there
}

/// Every call that can change a disk, or say which file a descriptor stands for.
pub const RECORDED: &str = "open,openat,creat,close,dup,dup2,dup3,fcntl,lseek,write,writev,pwrite64,pwritev,pwritev2,\
    ftruncate,truncate,fallocate,copy_file_range,sendfile,splice,rename,renameat,renameat2,link,linkat,symlink,\
    symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,fdatasync,sync_file_range,sync,syncfs,msync";

/// strace, recording all of that with its data into `trace`. What it runs is still to be added.
pub fn recording(trace: &Path) -> Command {
    let mut command = Command::new("strace");
    // Paths and data as hex: nothing in a line has to be unquoted. 64 MiB are more than any one write.
    command.args(["-f", "-y", "-qq", "-xx", "-s67108864", "--seccomp-bpf"]).arg(format!("-etrace={RECORDED}"));
    command.arg("-o").arg(trace);
    command
}

/// Where images are made: in memory if that is possible.
pub fn fast_directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let fast = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok()).flatten();
    fast.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// SplitMix64: the same numbers for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub fn coin(&mut self) -> bool {
        self.roll() & 1 == 1
    }
}
