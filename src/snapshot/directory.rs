//! The files in `snapshots/`: `<seq, 20 digits>.snap`, written beside their place and renamed into it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{self, SnapshotError, SnapshotHeader};
use crate::core::vocabulary::Seq;
use crate::held::{HeldDirectory, make_directory};

/// Where they lie in the directory of a log.
const NAME: &str = "snapshots";

const ENDING: &str = ".snap";
/// Of a file that is being written. What a crash leaves of it is removed by the next one.
const UNFINISHED: &str = ".snap.new";

/// The snapshots of one log. Nothing here is ever needed: a log without them opens as well, only later.
#[derive(Clone, Debug)]
pub struct Snapshots {
    path: PathBuf,
    /// The directory of the log, for a writer: what is written goes there, whatever the path leads to.
    log: Option<Arc<HeldDirectory>>,
}

impl Snapshots {
    /// Those in `directory`, which need not be there.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Snapshots {
        Snapshots { path: directory.into(), log: None }
    }

    /// Those of the log in the directory `state`.
    #[must_use]
    pub fn of_log(state: impl AsRef<Path>) -> Snapshots {
        Snapshots { path: state.as_ref().join(NAME), log: None }
    }

    /// Those of a log that this process writes: from here on they are written to the directory that is at `state` now.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn of_held_log(state: &Path) -> io::Result<Snapshots> {
        let log = Some(Arc::new(HeldDirectory::open(state)?));
        Ok(Snapshots { log, ..Snapshots::of_log(state) })
    }

    /// The events at which there is a file, the last one first.
    ///
    /// # Errors
    /// When the directory cannot be listed. One that is not there is empty.
    pub fn list(&self) -> Result<Vec<Seq>, SnapshotError> {
        let listed = self.open().and_then(|open| open.map_or_else(|| Ok(Vec::new()), |directory| listed(&directory)));
        listed.map_err(|error| self.failed(error))
    }

    /// The header of the snapshot at `seq`.
    ///
    /// # Errors
    /// When it is not there, damaged or too new.
    pub fn header(&self, seq: Seq) -> Result<SnapshotHeader, SnapshotError> {
        check_name(seq, file::read_header(&self.path(seq))?)
    }

    /// The snapshot at `seq`, whole, but with a state that was not checked yet.
    ///
    /// # Errors
    /// When it is not there, damaged or too new.
    pub fn read(&self, seq: Seq) -> Result<(SnapshotHeader, Vec<u8>), SnapshotError> {
        let (header, body) = file::read(&self.path(seq))?;
        Ok((check_name(seq, header)?, body))
    }

    /// Writes a snapshot: it is there whole or not at all. One at the same event is replaced.
    ///
    /// # Errors
    /// When the disk refuses. What was written by then is removed.
    pub fn write(&self, header: &SnapshotHeader, body: &[u8]) -> Result<(), SnapshotError> {
        let directory = self.make().map_err(|error| self.failed(error))?;
        remove_unfinished(&directory).map_err(|error| self.failed(error))?;
        let name = name_of(header.position.seq);
        let unfinished = format!("{name}.new");
        let written =
            write_file(&directory, &unfinished, header, body).and_then(|()| directory.rename(&unfinished, &name));
        if written.is_err() {
            let _ = directory.remove_file(&unfinished);
        }
        written.and_then(|()| directory.sync()).map_err(|error| self.failed(error))
    }

    /// Removes all but the last `keep`, and those before `begins`: the log cannot confirm them any more.
    ///
    /// # Errors
    /// When the directory cannot be listed or a file not be removed.
    pub fn prune(&self, keep: usize, begins: Seq) -> Result<(), SnapshotError> {
        let Some(directory) = self.open()? else { return Ok(()) };
        for (index, seq) in listed(&directory)?.into_iter().enumerate() {
            if index >= keep || seq < begins {
                directory.remove_file(&name_of(seq))?;
            }
        }
        Ok(())
    }

    /// Removes those behind `last`, the last event of the log: another one led to them.
    ///
    /// # Errors
    /// When the directory cannot be listed or a file not be removed.
    pub fn forget_behind(&self, last: Seq) -> Result<(), SnapshotError> {
        let Some(directory) = self.open()? else { return Ok(()) };
        for seq in listed(&directory)?.into_iter().filter(|seq| *seq > last) {
            directory.remove_file(&name_of(seq))?;
        }
        Ok(())
    }

    /// What was refused, and where.
    fn failed(&self, error: io::Error) -> SnapshotError {
        SnapshotError::Io(io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }

    /// The directory, if it is there.
    fn open(&self) -> io::Result<Option<HeldDirectory>> {
        let opened = match &self.log {
            Some(log) => log.below(NAME),
            None => HeldDirectory::open(&self.path),
        };
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// The directory, which is made if it is not there.
    fn make(&self) -> io::Result<HeldDirectory> {
        if let Some(log) = &self.log {
            log.make_directory(NAME)?;
            return log.below(NAME);
        }
        match make_directory(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => HeldDirectory::open(&self.path),
        }
    }

    fn path(&self, seq: Seq) -> PathBuf {
        self.path.join(name_of(seq))
    }
}

fn name_of(seq: Seq) -> String {
    format!("{:020}{ENDING}", seq.0)
}

/// The last one first.
fn listed(directory: &HeldDirectory) -> io::Result<Vec<Seq>> {
    let names = directory.names(".")?;
    let mut found: Vec<Seq> = names.iter().filter_map(|name| seq_of(name.to_str()?)).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

fn remove_unfinished(directory: &HeldDirectory) -> io::Result<()> {
    let names = directory.names(".")?;
    let mut unfinished = names.iter().filter_map(|name| name.to_str()).filter(|name| name.ends_with(UNFINISHED));
    unfinished.try_for_each(|name| directory.remove_file(name))
}

/// A file under the name of another one is not what it says.
fn check_name(seq: Seq, header: SnapshotHeader) -> Result<SnapshotHeader, SnapshotError> {
    if header.position.seq == seq {
        Ok(header)
    } else {
        Err(SnapshotError::Damaged("it stands under the name of another one"))
    }
}

fn seq_of(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(ENDING)?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_ours).map(Seq)
}

fn write_file(directory: &HeldDirectory, name: &str, header: &SnapshotHeader, body: &[u8]) -> io::Result<()> {
    let mut file = directory.create_new(name)?;
    file.write_all(&header.encode())?;
    file.write_all(body)?;
    file.sync_all()
}
