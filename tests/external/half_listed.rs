//! A directory whose listing fails midway: a real FUSE file system that hands out two names, and then says an error. Its
//! files may fail too, see `unreadable.rs`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::thread;

use lastword::external::{Listed, LocalStore, SourceUri, Store, StoreError, TrafficCounter, never_interrupted};

/// How it fails, and what its files hold. Errors are as the system numbers them; zero is none.
#[derive(Default)]
pub struct Faults {
    /// In the place of `c`.
    pub listing: AtomicI32,
    /// When `a` is read.
    pub reading: AtomicI32,
    /// Each file holds four of it.
    pub content: AtomicU8,
    /// When the files were written, in seconds.
    pub written: AtomicU64,
}

/// A file system with the directory `d`, in which are `a`, `b` and `c`.
pub struct HalfListed<'a>(&'a Path);

impl HalfListed<'_> {
    /// `None` where that is not allowed: it needs root and /dev/fuse.
    pub fn at(target: &Path, faults: Arc<Faults>) -> Option<HalfListed<'_>> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "half"]).arg(target);
        let is_mounted = mount.stdin(device.try_clone().unwrap()).status().is_ok_and(|status| status.success());
        // It ends with the mount.
        is_mounted.then(|| drop(thread::spawn(move || serve(device, &faults))));
        is_mounted.then_some(HalfListed(target))
    }
}

impl Drop for HalfListed<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).stderr(Stdio::null()).status();
    }
}

/// The root is 1 and `d` is 2, as the protocol numbers nodes; the others are files.
const NODES: [(&str, u64); 4] = [("d", 2), ("a", 3), ("b", 4), ("c", 5)];

fn serve(mut device: File, faults: &Faults) {
    let attributes = |node| attributes(node, faults.written.load(Ordering::Acquire));
    let mut request = vec![0; 1 << 18];
    while let Ok(length) = device.read(&mut request) {
        let number = |at: usize, width: usize| {
            request[at..at + width].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let (operation, unique, node) = (number(4, 4), number(8, 8), number(16, 8));
        let answer = match operation {
            // FORGET and its kin have no answer.
            2 | 36 | 42 => continue,
            // LOOKUP of a name that ends with a zero.
            1 => match NODES.iter().find(|(name, _)| name.as_bytes() == &request[40..length - 1]) {
                Some((_, node)) => Ok([&node.to_le_bytes()[..], &[0; 32], &attributes(*node)].concat()),
                None => Err(2),
            },
            // GETATTR.
            3 => Ok([&[0; 16][..], &attributes(node)].concat()),
            // OPEN, past the cache.
            14 => Ok([&[0; 8][..], &1_u32.to_le_bytes(), &[0; 4]].concat()),
            // READ.
            15 => match faults.reading.load(Ordering::Acquire) {
                error if error != 0 && node == NODES[1].1 => Err(error),
                _ => {
                    let begun = usize::try_from(number(48, 8)).unwrap().min(4);
                    Ok([faults.content.load(Ordering::Acquire); 4][begun..].to_vec())
                }
            },
            // STATFS.
            17 => Ok(vec![0; 80]),
            // INIT: version 7.31, and nothing that is optional.
            26 => Ok([&7_u32.to_le_bytes()[..], &31_u32.to_le_bytes(), &[0; 12], &65_536_u32.to_le_bytes(), &[0; 40]]
                .concat()),
            // OPENDIR, and what ends it.
            27 => Ok(vec![0; 16]),
            18 | 25 | 29 => Ok(Vec::new()),
            28 => read_directory(node, number(48, 8), faults.listing.load(Ordering::Acquire)),
            _ => Err(38),
        };
        let (error, body) = answer.map_or_else(|error: i32| (-error, Vec::new()), |body| (0, body));
        let length = u32::try_from(16 + body.len()).unwrap();
        let whole = [&length.to_le_bytes()[..], &error.to_le_bytes(), &unique.to_le_bytes(), &body].concat();
        // Who was asking may have gone.
        let _ = device.write(&whole);
    }
}

fn attributes(node: u64, written: u64) -> Vec<u8> {
    let (mode, size): (u32, u64) = if node <= 2 { (0o040_755, 0) } else { (0o100_644, 4) };
    let [one, block]: [u32; 2] = [1, 4096];
    let times = [&[0; 8][..], &written.to_le_bytes(), &written.to_le_bytes(), &[0; 12]].concat();
    let parts: [&[u8]; 9] = [
        &node.to_le_bytes(),
        &size.to_le_bytes(),
        &[0; 8],
        &times,
        &mode.to_le_bytes(),
        &one.to_le_bytes(),
        &[0; 12],
        &block.to_le_bytes(),
        &[0; 4],
    ];
    parts.concat()
}

/// READDIR: what follows behind `offset`.
fn read_directory(node: u64, offset: u64, error: i32) -> Result<Vec<u8>, i32> {
    let names: &[(&str, u64)] = match (node, error) {
        (1, _) => &NODES[..1],
        (_, 0) => &NODES[1..],
        _ => &NODES[1..3],
    };
    if offset == names.len() as u64 {
        // The root is whole.
        return if node == 1 || error == 0 { Ok(Vec::new()) } else { Err(error) };
    }
    let mut entries = Vec::new();
    for (next, (name, node)) in (1_u64..).zip(names) {
        let (length, kind): (u32, u32) = (u32::try_from(name.len()).unwrap(), if *node == 2 { 4 } else { 8 });
        let entry = [&node.to_le_bytes()[..], &next.to_le_bytes(), &length.to_le_bytes(), &kind.to_le_bytes()].concat();
        entries.extend(entry);
        entries.extend(name.bytes().chain([0; 8]).take(name.len().next_multiple_of(8)));
    }
    Ok(entries)
}

fn list(root: &Path) -> Result<Listed, StoreError> {
    let source = SourceUri::parse(root.to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap();
    LocalStore.list(&source, &never_interrupted, &TrafficCounter::default())
}

#[test]
fn defect_01_a_listing_that_fails_midway_is_an_error_with_the_name_of_its_directory() {
    let (dir, faults) = (tempfile::tempdir().unwrap(), Arc::new(Faults::default()));
    faults.listing.store(5, Ordering::Release);
    let Some(_mounted) = HalfListed::at(dir.path(), faults) else { return println!("skipped: no FUSE here") };
    let half = dir.path().join("d");
    // That is how it fails: with names before, and so not at the start.
    let entries: Vec<io::Result<_>> = std::fs::read_dir(&half).unwrap().collect();
    let (names, errors): (Vec<_>, Vec<_>) = entries.into_iter().partition(Result::is_ok);
    assert_eq!((names.len(), errors.len()), (2, 1));
    // As a source, and in one.
    for root in [&half, dir.path()] {
        let listed = list(root);
        let Err(StoreError::Unreadable { what, source }) = listed else { panic!("{listed:?}") };
        assert_eq!((what.as_str(), source.raw_os_error()), (half.to_str().unwrap(), Some(5)));
    }
}

/// The library of C takes it for the end of the directory.
#[test]
fn defect_01_a_listing_in_which_the_directory_is_gone_is_not_at_its_end() {
    let (dir, faults) = (tempfile::tempdir().unwrap(), Arc::new(Faults::default()));
    let Some(_mounted) = HalfListed::at(dir.path(), Arc::clone(&faults)) else {
        return println!("skipped: no FUSE here");
    };
    let half = dir.path().join("d");
    assert_eq!(list(dir.path()).unwrap().files.len(), 3);
    faults.listing.store(2, Ordering::Release);
    for root in [&half, dir.path()] {
        let listed = list(root);
        let Err(StoreError::Unsettled { what, .. }) = listed else { panic!("{listed:?}") };
        assert_eq!(what, half.to_str().unwrap());
    }
    faults.listing.store(0, Ordering::Release);
    assert_eq!(list(&half).unwrap().files.len(), 3);
}
