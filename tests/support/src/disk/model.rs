//! A disk as a file system without journal may treat it, told by a recording what was done to it.
//!
//! * What was written to a file is there after a power cut once an `fsync` or `fdatasync` of it has *returned* that was
//!   *entered* after the write had returned. `sync_file_range` promises nothing: neither the length nor the cache of
//!   the drive are its business.
//! * A name (created, renamed, removed) is there once its directory was synced. A rename is one step.
//! * After a failed sync, what it should have covered may never reach the disk, even if the next sync succeeds.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::trace::Call;

pub type Ino = usize;

/// A disk: what is on it for certain, and what is on its way.
pub struct Disk {
    /// Only what lies below is of interest. This directory itself was there before.
    root: PathBuf,
    pub inodes: Vec<Inode>,
    /// Changes of names that are not durable, in order.
    pub names: Vec<Renaming>,
    now: Names,
    descriptors: HashMap<i64, Descriptor>,
    next: u64,
}

type Names = HashMap<(Ino, OsString), Ino>;

#[derive(Default)]
pub struct Inode {
    pub is_directory: bool,
    /// What is there for certain. Of a directory: the durable names.
    pub entries: BTreeMap<OsString, Ino>,
    pub bytes: Arc<Vec<u8>>,
    /// Names the content of `bytes`: the same for the same writes in the same order.
    pub identity: u64,
    pub pending: Vec<Write>,
    /// The content as a process sees it, while it has to be known for copies.
    now: Vec<u8>,
}

/// A change of a file that is not durable.
#[derive(Clone)]
pub struct Write {
    pub id: u64,
    end: usize,
    /// A sync that should have covered it has failed.
    lost: bool,
    pub change: Change,
}

#[derive(Clone)]
pub enum Change {
    Data { offset: u64, bytes: Arc<Vec<u8>> },
    Length(u64),
}

/// A change of names that is not durable.
#[derive(Clone)]
pub struct Renaming {
    pub id: u64,
    end: usize,
    /// A sync that should have covered it has failed.
    lost: bool,
    pub removed: Option<(Ino, OsString)>,
    pub added: Option<(Ino, OsString, Ino)>,
}

struct Descriptor {
    ino: Ino,
    position: u64,
    appends: bool,
}

/// What a call meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing for the disk.
    Nothing,
    /// The disk may hold something else from here on.
    Changed,
    /// This was told to the outside.
    Told(String),
}

impl Disk {
    pub fn new(root: &Path) -> Disk {
        let top = Inode { is_directory: true, ..Inode::default() };
        let (inodes, names, now) = (vec![top], Vec::new(), Names::new());
        Disk { root: root.to_owned(), inodes, names, now, descriptors: HashMap::new(), next: 1 }
    }

    /// Another process: it has no files open yet.
    pub fn begin_process(&mut self) {
        self.descriptors.clear();
    }

    pub fn take(&mut self, call: &Call) -> Step {
        if call.failed() {
            return self.failed(call);
        }
        match call.name.as_str() {
            "openat" | "open" | "creat" => self.open(call),
            "close" => self.close(call),
            "dup" | "dup2" | "dup3" | "fcntl" => self.duplicate(call),
            "lseek" => self.seek(call),
            "write" | "pwrite64" => self.write(call),
            "copy_file_range" => self.copy(call),
            "ftruncate" => self.truncate(call),
            "mkdir" => self.make_directory(&call.path(0), call),
            "mkdirat" => self.make_directory(&call.path(1), call),
            "rename" => self.rename(&call.path(0), &call.path(1), call),
            "renameat" | "renameat2" => self.rename(&call.path(1), &call.path(3), call),
            "unlink" | "rmdir" => self.unlink(&call.path(0), call),
            "unlinkat" => self.unlink(&call.path(1), call),
            "fsync" | "fdatasync" => self.sync(call),
            "sync_file_range" | "read" | "pread64" | "getdents64" | "flock" => Step::Nothing,
            _ => {
                // Nothing else is expected on our files; should it come, the model has to learn it first.
                assert!(!call.concerns(&self.root), "the model does not know {}", call.describe());
                Step::Nothing
            }
        }
    }

    fn failed(&mut self, call: &Call) -> Step {
        let is_sync = matches!(call.name.as_str(), "fsync" | "fdatasync");
        if let (true, Some(open)) = (is_sync, self.descriptors.get(&call.descriptor(0).0)) {
            let directory = open.ino;
            let covered = self.inodes[directory].pending.iter_mut().filter(|write| write.end < call.begin);
            covered.for_each(|write| write.lost = true);
            let covered = self.names.iter_mut().filter(|change| change.end < call.begin && change.concerns(directory));
            covered.for_each(|change| change.lost = true);
        }
        Step::Nothing
    }

    fn open(&mut self, call: &Call) -> Step {
        let at = usize::from(call.name == "openat");
        let path = call.path(at);
        if path == self.root {
            self.descriptors.insert(call.result, Descriptor { ino: 0, position: 0, appends: false });
            return Step::Nothing;
        }
        let Some((parent, name)) = self.place(&path) else { return Step::Nothing };
        let flags = call.arguments.get(at + 1).map_or("O_CREAT|O_TRUNC", String::as_str);
        let mut step = Step::Nothing;
        let ino = match self.now.get(&(parent, name.clone())) {
            Some(ino) => *ino,
            None => {
                assert!(flags.contains("O_CREAT"), "{} was opened and is not known", path.display());
                step = Step::Changed;
                self.create(parent, name, false, call.end)
            }
        };
        if flags.contains("O_TRUNC") && !self.inodes[ino].now.is_empty() {
            self.change(ino, Change::Length(0), call.end);
            step = Step::Changed;
        }
        let appends = flags.contains("O_APPEND");
        self.descriptors.insert(call.result, Descriptor { ino, position: 0, appends });
        step
    }

    fn close(&mut self, call: &Call) -> Step {
        self.descriptors.remove(&call.descriptor(0).0);
        Step::Nothing
    }

    fn duplicate(&mut self, call: &Call) -> Step {
        let duplicates = call.name != "fcntl" || call.arguments[1].starts_with("F_DUPFD");
        let ours = duplicates.then(|| self.descriptors.get(&call.descriptor(0).0)).flatten();
        if let Some(open) = ours {
            // The position would be shared; nobody writes without an offset through a copy.
            let copy = Descriptor { ino: open.ino, position: u64::MAX, appends: false };
            self.descriptors.insert(call.result, copy);
        }
        Step::Nothing
    }

    fn seek(&mut self, call: &Call) -> Step {
        if let Some(open) = self.descriptors.get_mut(&call.descriptor(0).0) {
            open.position = u64::try_from(call.result).unwrap();
        }
        Step::Nothing
    }

    fn write(&mut self, call: &Call) -> Step {
        let (number, path) = call.descriptor(0);
        if number == 1 && path.as_ref().is_none_or(|path| !path.starts_with(&self.root)) {
            return Step::Told(String::from_utf8_lossy(&call.bytes(1)).into_owned());
        }
        let Some(open) = self.descriptors.get_mut(&number) else {
            assert!(path.is_none_or(|path| !path.starts_with(&self.root)), "unknown: {}", call.describe());
            return Step::Nothing;
        };
        let written = usize::try_from(call.result).unwrap();
        let mut bytes = call.bytes(1);
        bytes.truncate(written);
        let length = self.inodes[open.ino].now.len() as u64;
        let offset = match call.name.as_str() {
            "pwrite64" => call.number(3),
            _ if open.appends => length,
            _ => open.position,
        };
        if call.name == "write" {
            open.position = offset + written as u64;
        }
        let ino = open.ino;
        self.change(ino, Change::Data { offset, bytes: Arc::new(bytes) }, call.end);
        Step::Changed
    }

    fn copy(&mut self, call: &Call) -> Step {
        assert!(call.arguments[1] == "NULL" && call.arguments[3] == "NULL", "{}", call.describe());
        let count = u64::try_from(call.result).unwrap();
        let (Some(from), Some(to)) = (self.open_at(call, 0), self.open_at(call, 2)) else { return Step::Nothing };
        let (source, at) = (self.descriptors[&from].ino, self.descriptors[&from].position);
        let bytes = self.inodes[source].now[at as usize..(at + count) as usize].to_vec();
        let (target, offset) = (self.descriptors[&to].ino, self.descriptors[&to].position);
        for number in [from, to] {
            self.descriptors.get_mut(&number).unwrap().position += count;
        }
        self.change(target, Change::Data { offset, bytes: Arc::new(bytes) }, call.end);
        Step::Changed
    }

    fn open_at(&self, call: &Call, index: usize) -> Option<i64> {
        let (number, path) = call.descriptor(index);
        let known = self.descriptors.contains_key(&number);
        assert!(known || path.is_none_or(|path| !path.starts_with(&self.root)), "unknown: {}", call.describe());
        known.then_some(number)
    }

    fn truncate(&mut self, call: &Call) -> Step {
        let Some(number) = self.open_at(call, 0) else { return Step::Nothing };
        let ino = self.descriptors[&number].ino;
        self.change(ino, Change::Length(call.number(1)), call.end);
        Step::Changed
    }

    fn make_directory(&mut self, path: &Path, call: &Call) -> Step {
        let Some((parent, name)) = self.place(path) else { return Step::Nothing };
        self.create(parent, name, true, call.end);
        Step::Changed
    }

    fn rename(&mut self, from: &Path, to: &Path, call: &Call) -> Step {
        let (Some(from), Some((parent, name))) = (self.place(from), self.place(to)) else { return Step::Nothing };
        let ino = self.now.remove(&from).unwrap_or_else(|| panic!("unknown: {}", call.describe()));
        self.now.insert((parent, name.clone()), ino);
        self.rename_pending(Some(from), Some((parent, name, ino)), call.end)
    }

    fn unlink(&mut self, path: &Path, call: &Call) -> Step {
        let Some(place) = self.place(path) else { return Step::Nothing };
        self.now.remove(&place).unwrap_or_else(|| panic!("unknown: {}", call.describe()));
        self.rename_pending(Some(place), None, call.end)
    }

    fn sync(&mut self, call: &Call) -> Step {
        let Some(number) = self.open_at(call, 0) else { return Step::Nothing };
        let ino = self.descriptors[&number].ino;
        if self.inodes[ino].is_directory {
            self.sync_names(ino, call.begin)
        } else {
            self.sync_data(ino, call.begin)
        }
        Step::Changed
    }

    fn sync_data(&mut self, ino: Ino, begun: usize) {
        let inode = &mut self.inodes[ino];
        let (covered, rest) =
            std::mem::take(&mut inode.pending).into_iter().partition(|write| write.end < begun && !write.lost);
        let covered: Vec<Write> = covered;
        inode.pending = rest;
        for write in covered {
            apply(Arc::make_mut(&mut inode.bytes), &write.change);
            inode.identity = follow(inode.identity, write.id);
        }
    }

    fn sync_names(&mut self, directory: Ino, begun: usize) {
        let is_covered = |change: &Renaming| change.end < begun && !change.lost && change.concerns(directory);
        let (covered, mut rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.names).into_iter().partition(is_covered);
        for change in covered {
            if let Some((parent, name)) = &change.removed {
                self.inodes[*parent].entries.remove(name);
                // Its older names in other directories are gone with it.
                rest.retain(|other| {
                    other.id > change.id
                        || other.added.as_ref().is_none_or(|(dir, added, _)| (dir, added) != (parent, name))
                });
            }
            if let Some((parent, name, ino)) = change.added {
                self.inodes[parent].entries.insert(name, ino);
            }
        }
        self.names = rest;
    }

    /// The directory and the name of a path below the root.
    fn place(&self, path: &Path) -> Option<(Ino, OsString)> {
        let local = path.strip_prefix(&self.root).ok()?;
        if local.as_os_str().is_empty() {
            return None;
        }
        let mut directory = 0;
        for name in local.parent()? {
            directory = *self.now.get(&(directory, name.to_owned()))?;
        }
        Some((directory, local.file_name()?.to_owned()))
    }

    fn create(&mut self, parent: Ino, name: OsString, is_directory: bool, end: usize) -> Ino {
        let ino = self.inodes.len();
        self.inodes.push(Inode { is_directory, identity: ino as u64, ..Inode::default() });
        self.now.insert((parent, name.clone()), ino);
        self.rename_pending(None, Some((parent, name, ino)), end);
        ino
    }

    fn rename_pending(
        &mut self,
        removed: Option<(Ino, OsString)>,
        added: Option<(Ino, OsString, Ino)>,
        end: usize,
    ) -> Step {
        let id = self.id();
        self.names.push(Renaming { id, end, lost: false, removed, added });
        Step::Changed
    }

    fn change(&mut self, ino: Ino, change: Change, end: usize) {
        let id = self.id();
        let inode = &mut self.inodes[ino];
        apply(&mut inode.now, &change);
        inode.pending.push(Write { id, end, lost: false, change });
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Renaming {
    fn concerns(&self, directory: Ino) -> bool {
        let removed = self.removed.as_ref().is_some_and(|(parent, _)| *parent == directory);
        removed || self.added.as_ref().is_some_and(|(parent, ..)| *parent == directory)
    }
}

/// The name of a content after one more change.
pub fn follow(identity: u64, change: u64) -> u64 {
    (identity.rotate_left(17) ^ change).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

pub fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => content.resize(*length as usize, 0),
        Change::Data { offset, bytes } => put(content, *offset as usize, bytes),
    }
}

/// Writes; whatever lies before it and was never written is zero.
pub fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}
