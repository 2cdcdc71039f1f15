//! How much of a file's content its `stat` tells.
//!
//! *Strong*: every write moves the ctime, so as long as `stat` says the same the content is the same. *Weak*: the times
//! carry no information, and say the same of other bytes:
//!
//! * a ctime of zero or before (images that were made to be reproducible),
//! * a file system that is an image as a whole,
//! * one ctime for all files of a mount that nobody can write through, or of a store that knows nothing of mounts.
//!
//! An object is strong or weak as its entity tag is, whatever the others are.
//!
//! Weak files are named by their content. Once read they can be believed for as long as the mount is the same: what is
//! mounted there cannot change. Across another mount they cannot.
//!
//! It judges a listing as a whole. It must not read files.

use std::collections::BTreeMap;

use super::mount::{Mount, Mounts};
use super::{Instant, Listing, SourcePath, Stat};

/// What is known of all files of one mount.
struct Area {
    mount: Option<Mount>,
    files: usize,
    /// The ctime of all its files, if they have the same.
    ctime: Option<Instant>,
    is_other_mount: bool,
    is_other_file_system: bool,
}

/// What a listing tells of its files together.
pub(super) struct Evidence<'a> {
    mounts: &'a Mounts,
    /// By the mount's number; nothing where no mount is known.
    areas: BTreeMap<Option<u64>, Area>,
}

/// What the `stat` of one file tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Its times carry no information.
    pub(super) is_weak: bool,
    /// It lies on another mount than the last observation found there, and so nothing that it says is the same.
    pub(super) is_elsewhere: bool,
    /// Unfinished looks have found the same times for so long that they can be trusted; see [`super::memory`].
    pub(super) has_aged: bool,
    /// It lies on another file system, though its times carry information: what it says is hardly of another file.
    pub(super) is_moved: bool,
}

impl<'a> Evidence<'a> {
    /// Of this listing, where the last observation found the mounts `before`.
    pub(super) fn of(listing: &Listing, mounts: &'a Mounts, before: Option<&Mounts>) -> Evidence<'a> {
        let mut areas: BTreeMap<Option<u64>, Area> = BTreeMap::new();
        for (path, stat) in listing.iter().filter(|(_, stat)| !stat.tag.is_some()) {
            let mount = mounts.of(path);
            let area = areas.entry(mount.map(|mount| mount.id)).or_insert_with(|| {
                let was = before.map(|before| before.of(path));
                let file_system = |mount: Option<&Mount>| mount.map(|mount| mount.file_system);
                Area {
                    mount: mount.copied(),
                    files: 0,
                    ctime: Some(stat.ctime),
                    is_other_mount: was.is_some_and(|was| was != mount),
                    is_other_file_system: was.is_some_and(|was| file_system(was) != file_system(mount)),
                }
            });
            area.files += 1;
            area.ctime = area.ctime.filter(|ctime| *ctime == stat.ctime);
        }
        Evidence { mounts, areas }
    }

    /// What one file of the listing tells.
    pub(super) fn told(&self, path: &SourcePath, stat: &Stat) -> Told {
        if stat.tag.is_some() {
            return Told { is_weak: stat.tag.is_weak(), ..Told::default() };
        }
        let mount = self.mounts.of(path).map(|mount| mount.id);
        let Some(area) = self.areas.get(&mount) else { return Told::default() };
        let is_weak = stat.ctime.seconds <= 0 || area.is_weak();
        Told {
            is_weak,
            is_elsewhere: is_weak && area.is_other_mount,
            has_aged: false,
            is_moved: !is_weak && area.is_other_file_system,
        }
    }
}

impl Area {
    fn is_weak(&self) -> bool {
        match self.mount {
            Some(mount) => mount.is_image || (mount.is_read_only && self.ctime.is_some()),
            None => self.files > 1 && self.ctime.is_some(),
        }
    }
}
