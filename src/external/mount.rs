//! Which mount a file lies on. What `stat` says means something within one mount alone: where another one is in its place,
//! the same numbers may be of other files.
//!
//! It asks the system. It must not know what is concluded from the answers: `evidence.rs` does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;

use super::SourcePath;

/// One mount, as far as it can be told from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Names the mount. Another mount at the same place has another one, wherever the system can tell.
    pub id: u64,
    /// Names the file system, on whichever mount.
    pub file_system: u64,
    /// Whether nothing can be written through it.
    pub is_read_only: bool,
    /// Whether it is an image that was made as a whole (squashfs, erofs, cramfs, romfs, ISO 9660): its times are those
    /// that somebody gave it.
    pub is_image: bool,
}

/// The mounts of a source: that of the source itself, and of what below it lies on others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts(BTreeMap<SourcePath, Mount>);

impl Mounts {
    /// Everything from the directory or file `path` on lies on `mount`; the source itself has the empty path.
    pub fn insert(&mut self, path: SourcePath, mount: Mount) {
        self.0.insert(path, mount);
    }

    /// The mount that the file lies on, if that is known.
    #[must_use]
    pub fn of(&self, path: &SourcePath) -> Option<&Mount> {
        let root = SourcePath(Vec::new());
        if self.0.len() <= 1 {
            return self.0.get(&root);
        }
        let mut at = path.clone();
        loop {
            if let Some(mount) = self.0.get(&at) {
                return Some(mount);
            }
            if at == root {
                return None;
            }
            let parent = at.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            at.0.truncate(parent);
        }
    }
}

/// The mount of what is open.
#[cfg(target_os = "linux")]
pub(super) fn of_open(open: impl AsFd, device: u64) -> Mount {
    use rustix::fs::{AtFlags, StatVfsMountFlags, fstatvfs};
    const IMAGES: [u64; 6] = [0x7371_7368, 0xE0F5_E1E2, 0x28CD_3D45, 0x453D_CD28, 0x7275, 0x9660];
    let id = id(&open, OsStr::new(""), AtFlags::EMPTY_PATH);
    let mut mount = Mount { id: id.unwrap_or(0), ..Mount::default() };
    mount.file_system = match fstatvfs(&open) {
        Ok(found) => {
            mount.is_read_only = found.f_flag.contains(StatVfsMountFlags::RDONLY);
            mount.is_image = kind(&open).is_some_and(|kind| IMAGES.contains(&kind));
            name_of([device, found.f_fsid], mount.is_image.then_some([found.f_blocks, found.f_files]))
        }
        Err(_) => name(&[device]),
    };
    mount
}

/// Whether a file in an open directory lies on the mount that the directory lies on, also if its device is another one:
/// files of an overlay have the devices of its layers.
#[cfg(target_os = "linux")]
pub(super) fn is_shared(directory: impl AsFd, name: &OsStr, follows_links: bool) -> bool {
    use rustix::fs::AtFlags;
    let flags = if follows_links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let of_file = id(&directory, name, flags);
    of_file.is_some() && of_file == id(&directory, OsStr::new(""), AtFlags::EMPTY_PATH)
}

/// Whether what is open is what the kernel shows as files: of proc, sysfs, cgroups, debugfs, tracefs, securityfs, bpf and
/// configfs.
#[cfg(target_os = "linux")]
pub(super) fn is_of_kernel(open: impl AsFd) -> bool {
    const KERNEL: [u64; 9] = [
        0x9FA0,
        0x6265_6572,
        0x0027_E0EB,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0xCAFE_4A11,
        0x6265_6570,
    ];
    kind(&open).is_some_and(|kind| KERNEL.contains(&kind))
}

/// The number of a mount.
#[cfg(target_os = "linux")]
fn id(directory: impl AsFd, name: &OsStr, flags: rustix::fs::AtFlags) -> Option<u64> {
    use rustix::fs::{StatxFlags, statx};
    /// `STATX_MNT_ID_UNIQUE` (since Linux 6.8): a number that no other mount gets until the machine starts again. Before
    /// that, `STATX_MNT_ID`, which may be given out again.
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let id = |wanted: StatxFlags| {
        let found = statx(&directory, name, flags, wanted).ok()?;
        (found.stx_mask & wanted.bits() != 0).then_some(found.stx_mnt_id)
    };
    id(UNIQUE).or_else(|| id(StatxFlags::MNT_ID))
}

/// The kind of a file system: a magic number of 32 bits, whatever the type of the field is.
#[cfg(target_os = "linux")]
fn kind(open: impl AsFd) -> Option<u64> {
    rustix::fs::fstatfs(open).ok().map(|found| found.f_type as u64 & 0xFFFF_FFFF)
}

/// Of device and number of a file system; of an image also how many blocks and files it has. What is written to has other
/// counts at each observation, also where it is read through a mount that only reads.
#[cfg(target_os = "linux")]
fn name_of(numbers: [u64; 2], counts_of_image: Option<[u64; 2]>) -> u64 {
    let identity: Vec<u64> = numbers.into_iter().chain(counts_of_image.into_iter().flatten()).collect();
    name(&identity)
}

/// The mount of what is open: elsewhere no more is known than its device.
#[cfg(not(target_os = "linux"))]
pub(super) fn of_open<T>(_: T, device: u64) -> Mount {
    Mount { id: device, file_system: name(&[device]), ..Mount::default() }
}

/// Elsewhere a file lies on another mount if its device is another one.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_shared<T>(_: T, _: &OsStr, _: bool) -> bool {
    false
}

/// Elsewhere paths tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_of_kernel<T>(_: T) -> bool {
    false
}

fn name(identity: &[u64]) -> u64 {
    let bytes: Vec<u8> = identity.iter().flat_map(|part| part.to_le_bytes()).collect();
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(&bytes).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_on_the_mount_that_is_nearest_above_it() {
        let mount = |id| Mount { id, ..Mount::default() };
        let path = |text: &str| SourcePath(text.into());
        let mut mounts = Mounts::default();
        assert_eq!(mounts.of(&path("a")), None);
        mounts.insert(path(""), mount(1));
        assert_eq!(mounts.of(&path("d/e/f")), Some(&mount(1)));
        mounts.insert(path("d/e"), mount(2));
        mounts.insert(path("d/link"), mount(3));
        for (file, id) in
            [("a", 1), ("d/a", 1), ("d/e/f", 2), ("d/e/f/g", 2), ("d/eg", 1), ("d/link", 3), ("d/link2", 1)]
        {
            assert_eq!(mounts.of(&path(file)), Some(&mount(id)), "{file}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn defect_21_images_are_told_apart_by_what_they_hold() {
        let names = [
            name(&[1]),
            name_of([1, 0], None),
            name_of([2, 0], None),
            name_of([1, 1], None),
            name_of([1, 0], Some([8, 2])),
            name_of([1, 0], Some([8, 3])),
            name_of([1, 0], Some([9, 2])),
        ];
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }
}
