//! What is in the log and not in the file any more: `STATE/unmanaged.json`.
//!
//! A collection that is gone from the file is paused, and goes on when it comes back; but not if a person had paused
//! it. The log cannot tell the two apart for ever (a pause is a flag of the state, and its event may be retired with
//! its prefix), so the reason is kept beside it. The list is written before the pause and after the resume: whatever
//! is lost between the two, a collection that a person paused is never resumed, and one that is gone is paused by the
//! next start. A run knows its list, and writes it anew when it is lost or damaged meanwhile. A list that is damaged before costs a `lastword resume` and nothing else. One that is lost, because the log was
//! exported and imported, is made again of what the log still has of the last pause of each: it was said with its cause. What a
//! person paused that was paused already has no event, and goes on then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lastword::Handle;
use lastword::core::CollectionView;
use lastword::core::vocabulary::{CollectionId, Event, Name, Recorded, Seq};
use lastword::engine::WatchItem;
use lastword::replay;
use rustix::fs::{AtFlags, statat};
use serde_json::{Map, Value, json};

use crate::beside;
use crate::config::KIND;
use crate::console::note;
use crate::fail::Fail;
use crate::inspect::Inspected;

const NAME: &str = "unmanaged.json";

/// The cause of a pause that a file implies, before the name of the file.
pub(crate) const GONE_FROM: &str = "gone from";

/// Events that are there come at once.
const EVENT_WITHIN: Duration = Duration::from_secs(5);

/// The list.
#[derive(Clone, Debug)]
pub(crate) struct Unmanaged {
    state: PathBuf,
    entries: BTreeMap<Name, Gone>,
    /// There is such a file, whatever is in it.
    is_written: bool,
    /// The directory, held: another one may be put in its place.
    directory: Option<Arc<File>>,
    /// The file as it was when it held this list.
    kept: Option<Stamp>,
}

/// What changes when a file does: its inode, its length, and the time of its last write.
type Stamp = (u64, i64, i64, u64);

/// One that is gone from its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Which incarnation; one that was dropped and declared again is another matter.
    pub(crate) id: CollectionId,
    /// From which file.
    pub(crate) file: String,
    /// It was paused because it is gone, and goes on when it comes back.
    pub(crate) resumes: bool,
}

impl Unmanaged {
    /// The list of a log; empty if there is none.
    pub(crate) fn read(state: &Path) -> Unmanaged {
        let directory = File::open(state);
        let found = match &directory {
            Ok(directory) => beside::read(directory, NAME),
            Err(error) => Err(error.kind().into()),
        };
        let is_written = !found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let entries = match found {
            Ok(bytes) => parse(&bytes).unwrap_or_else(|| {
                let path = state.join(NAME);
                note(&format!("{}: is damaged and counts as empty: what is paused stays paused", path.display()));
                BTreeMap::new()
            }),
            // Unreadable is as good as absent: see the module.
            Err(_) => BTreeMap::new(),
        };
        let directory = directory.ok().map(Arc::new);
        Unmanaged { state: state.to_owned(), entries, is_written, directory, kept: None }
    }

    /// The list of a log that this process has open.
    pub(crate) fn of(state: &Path, handle: &Handle) -> Result<Unmanaged, Fail> {
        let mut list = Unmanaged::read(state);
        if list.is_written {
            return Ok(list);
        }
        let paused = handle.list()?.into_iter().map(|status| status.view).filter(is_paused);
        let mut recalled = Recalled::new(paused.map(|view| (view.id, view.name)));
        let stats = handle.stats()?;
        let (mut watch, last) = (handle.watch(stats.begins), stats.durable);
        while !recalled.names.is_empty() {
            match watch.next_within(EVENT_WITHIN) {
                Ok(WatchItem::Event(event)) => {
                    recalled.hear(&event);
                    if event.seq >= last {
                        break;
                    }
                }
                Ok(WatchItem::Lagged { .. }) => {}
                // What is not known costs a `lastword resume`.
                Err(_) => break,
            }
        }
        list.entries = recalled.gone;
        Ok(list)
    }

    /// The list of a log that nobody has open.
    pub(crate) fn inspected(state: &Path, inspected: &Inspected) -> Unmanaged {
        let mut list = Unmanaged::read(state);
        if list.is_written {
            return list;
        }
        let ids = inspected.state.by_name().map(|(id, _)| id);
        let views = ids.filter_map(|id| CollectionView::of(&inspected.state, id, inspected.now)).filter(is_paused);
        let mut recalled = Recalled::new(views.map(|view| (view.id, view.name)));
        if !recalled.names.is_empty() {
            let reader = inspected.copy.reader();
            replay::events(&*reader, Seq::ZERO).map_while(Result::ok).for_each(|event| recalled.hear(&event));
        }
        list.entries = recalled.gone;
        list
    }

    /// What is known of a collection that is gone.
    pub(crate) fn get(&self, name: &Name, id: CollectionId) -> Option<&Gone> {
        self.entries.get(name).filter(|gone| gone.id == id)
    }

    pub(super) fn has(&self, name: &Name) -> bool {
        self.entries.contains_key(name)
    }

    /// Puts another list in place of this one, durably.
    pub(crate) fn replace(&mut self, entries: BTreeMap<Name, Gone>) -> Result<(), Fail> {
        if self.entries == entries && self.is_there() {
            return Ok(());
        }
        let unwritten = |error: io::Error| Fail::io(self.state.join(NAME).display(), &error);
        let held = self.directory.clone().map_or_else(|| File::open(&self.state).map(Arc::new), Ok);
        let written = held.and_then(|held| beside::write(&held, NAME, &render(&entries)).map(|()| held));
        self.directory = Some(written.map_err(unwritten)?);
        (self.entries, self.is_written) = (entries, true);
        self.kept = self.stamp();
        Ok(())
    }

    /// Writes it anew if it was lost or damaged since. One question to the file system if it was not.
    pub(crate) fn keep(&mut self) -> Result<(), Fail> {
        if self.is_there() { Ok(()) } else { self.replace(self.entries.clone()) }
    }

    /// Whether the file holds this list.
    fn is_there(&mut self) -> bool {
        let (stamp, Some(directory)) = (self.stamp(), &self.directory) else { return false };
        if stamp.is_none() || !self.is_written {
            return false;
        }
        if stamp == self.kept {
            return true;
        }
        let is_there = beside::read(directory, NAME).is_ok_and(|bytes| bytes == render(&self.entries).as_bytes());
        self.kept = stamp.filter(|_| is_there);
        is_there
    }

    fn stamp(&self) -> Option<Stamp> {
        let found = statat(self.directory.as_deref()?, NAME, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((found.st_ino, found.st_size, found.st_mtime, found.st_mtime_nsec))
    }

    /// A person pauses it: it is not to go on by itself.
    pub(super) fn stay_paused(&mut self, name: &Name) -> Result<(), Fail> {
        let mut entries = self.entries.clone();
        if let Some(gone) = entries.get_mut(name) {
            gone.resumes = false;
        }
        self.replace(entries)
    }

    /// It was dropped.
    pub(super) fn remove(&mut self, name: &Name) -> Result<(), Fail> {
        let mut entries = self.entries.clone();
        entries.remove(name);
        self.replace(entries)
    }
}

/// What the log says of why its collections are paused.
struct Recalled {
    /// Those that are.
    names: BTreeMap<CollectionId, Name>,
    gone: BTreeMap<Name, Gone>,
}

impl Recalled {
    fn new(paused: impl Iterator<Item = (CollectionId, Name)>) -> Recalled {
        Recalled { names: paused.collect(), gone: BTreeMap::new() }
    }

    /// The last pause of each counts.
    fn hear(&mut self, recorded: &Recorded) {
        let Event::CollectionPaused { collection: id } = recorded.event else { return };
        let Some(name) = self.names.get(&id) else { return };
        let file = recorded.by.as_ref().and_then(|by| by.cause()?.strip_prefix(GONE_FROM)?.strip_prefix(' '));
        match file {
            Some(file) => {
                drop(self.gone.insert(name.clone(), Gone { id, file: file.to_owned(), resumes: true }));
            }
            None => drop(self.gone.remove(name)),
        }
    }
}

/// Of other kinds nothing was ever in a file.
fn is_paused(view: &CollectionView) -> bool {
    view.paused && view.kind.as_str() == KIND
}

fn render(entries: &BTreeMap<Name, Gone>) -> String {
    let row = |(name, gone): (&Name, &Gone)| json!({"name": name.as_str(), "incarnation": gone.id.0.0, "file": gone.file, "resumes": gone.resumes});
    let rows: Vec<Value> = entries.iter().map(row).collect();
    format!("{}\n", json!({"v": 1, "collections": rows}))
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<Name, Gone>> {
    let whole: Value = serde_json::from_slice(bytes).ok()?;
    if whole.get("v")? != 1 {
        return None;
    }
    whole.get("collections")?.as_array()?.iter().map(|row| entry(row.as_object()?)).collect()
}

fn entry(row: &Map<String, Value>) -> Option<(Name, Gone)> {
    let name = Name::new(row.get("name")?.as_str()?).ok()?;
    let id = CollectionId(Seq(row.get("incarnation")?.as_u64()?));
    let file = row.get("file")?.as_str()?.to_owned();
    Some((name, Gone { id, file, resumes: row.get("resumes")?.as_bool()? }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_list_is_kept_and_a_damaged_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let name = Name::new("line\"item").unwrap();
        let gone = Gone { id: CollectionId(Seq(3)), file: "/a/lake.toml".to_owned(), resumes: true };
        let mut list = Unmanaged::read(dir.path());
        list.replace(BTreeMap::from([(name.clone(), gone.clone())])).unwrap();
        assert_eq!(Unmanaged::read(dir.path()).get(&name, gone.id), Some(&gone));
        assert_eq!(Unmanaged::read(dir.path()).get(&name, CollectionId(Seq(4))), None);
        list.stay_paused(&name).unwrap();
        assert!(!Unmanaged::read(dir.path()).get(&name, gone.id).unwrap().resumes);
        list.remove(&name).unwrap();
        assert!(Unmanaged::read(dir.path()).entries.is_empty());
        list.replace(BTreeMap::from([(name, gone)])).unwrap();
        fs::write(dir.path().join(NAME), "{\"v\":1,\"collections\":[{}]}").unwrap();
        assert!(Unmanaged::read(dir.path()).entries.is_empty());
    }
}
