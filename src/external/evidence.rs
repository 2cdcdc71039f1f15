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
}

/// What is known of the mounts that files were found on before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before<'a> {
    /// These.
    On(&'a Mounts),
    /// Nothing, and nobody makes up for it: what is weak counts as found elsewhere.
    Unknown,
    /// Nothing, and what is weak is doubted until it has been read.
    Doubted,
}

/// What a listing tells of its files together.
pub(super) struct Evidence<'a> {
    mounts: &'a Mounts,
    before: Before<'a>,
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
    /// Of this listing, which is all that there is on these mounts.
    pub(super) fn of(listing: &Listing, mounts: &'a Mounts, before: Before<'a>) -> Evidence<'a> {
        let mut areas: BTreeMap<Option<u64>, Area> = BTreeMap::new();
        for (path, stat) in listing.iter().filter(|(_, stat)| !stat.tag.is_some()) {
            let mount = mounts.of(path);
            let first = || Area { mount: mount.copied(), files: 0, ctime: Some(stat.ctime) };
            let area = areas.entry(mount.map(|mount| mount.id)).or_insert_with(first);
            area.files += 1;
            area.ctime = area.ctime.filter(|ctime| *ctime == stat.ctime);
        }
        Evidence { mounts, before, areas }
    }

    /// What one file of the listing tells.
    pub(super) fn told(&self, path: &SourcePath, stat: &Stat) -> Told {
        if stat.tag.is_some() {
            return Told { is_weak: stat.tag.is_weak(), ..Told::default() };
        }
        let mount = self.mounts.of(path);
        let Some(area) = self.areas.get(&mount.map(|mount| mount.id)) else { return Told::default() };
        let is_weak = stat.ctime.seconds <= 0 || area.is_weak();
        // Of each file for itself: of two that lie on one mount now, one may have lain on another.
        let (is_other_mount, is_other_file_system) = match self.before {
            Before::On(before) => {
                let (was, file_system) = (before.of(path), |mount: &Mount| mount.file_system);
                (was != mount, was.map(file_system) != mount.map(file_system))
            }
            Before::Unknown => (true, false),
            Before::Doubted => (false, false),
        };
        Told {
            is_weak,
            is_elsewhere: is_weak && is_other_mount,
            has_aged: false,
            is_moved: !is_weak && is_other_file_system,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SourcePath {
        SourcePath(text.into())
    }

    fn mounts(of: &[(&str, u64)]) -> Mounts {
        let mut mounts = Mounts::default();
        of.iter().for_each(|(at, id)| {
            mounts.insert(path(at), Mount { id: *id, file_system: *id, is_read_only: true, ..Mount::default() })
        });
        mounts
    }

    /// Which of the files are held to lie elsewhere than before.
    fn check(before: &[(&str, u64)], now: &[(&str, u64)], expected: &[&str]) {
        let stat = Stat::default();
        let listing: Listing = ["a", "d/x", "d/y", "e/x"].iter().map(|name| (path(name), stat)).collect();
        let (before, now) = (mounts(before), mounts(now));
        let evidence = Evidence::of(&listing, &now, Before::On(&before));
        let elsewhere = listing.iter().filter(|(path, stat)| evidence.told(path, stat).is_elsewhere);
        let found: Vec<_> = elsewhere.map(|(path, _)| path.to_string()).collect();
        assert_eq!(found, expected, "{before:?} to {now:?}");
    }

    #[test]
    fn defect_21_each_file_is_held_against_the_mount_that_it_was_found_on() {
        check(&[("", 1)], &[("", 1)], &[]);
        check(&[("", 1)], &[("", 2)], &["a", "d/x", "d/y", "e/x"]);
        // What was mounted below is not any more: what it covered comes to light.
        check(&[("", 1), ("d", 2)], &[("", 1)], &["d/x", "d/y"]);
        check(&[("", 1)], &[("", 1), ("d", 2)], &["d/x", "d/y"]);
        // One file system in place of another, which still lies somewhere else.
        check(&[("", 1), ("d", 2), ("e", 3)], &[("", 1), ("d", 3), ("e", 3)], &["d/x", "d/y"]);
        check(&[("", 1), ("d", 2), ("e", 3)], &[("", 1), ("d", 3), ("e", 2)], &["d/x", "d/y", "e/x"]);
    }
}
