//! The files in `snapshots/`: `<seq, 20 digits>.snap`, written beside their place and renamed into it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::file::{self, SnapshotError, SnapshotHeader};
use crate::core::vocabulary::Seq;

const ENDING: &str = ".snap";
/// Of a file that is being written. What a crash leaves of it is removed by the next one.
const UNFINISHED: &str = ".snap.new";

/// The snapshots of one log. Nothing here is ever needed: a log without them opens as well, only later.
#[derive(Clone, Debug)]
pub struct Snapshots(PathBuf);

impl Snapshots {
    /// Those in `directory`, which need not be there.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Snapshots {
        Snapshots(directory.into())
    }

    /// Those of the log in the directory `state`.
    #[must_use]
    pub fn of_log(state: impl AsRef<Path>) -> Snapshots {
        Snapshots(state.as_ref().join("snapshots"))
    }

    /// The events at which there is a file, the last one first.
    ///
    /// # Errors
    /// When the directory cannot be listed. One that is not there is empty.
    pub fn list(&self) -> Result<Vec<Seq>, SnapshotError> {
        let mut found: Vec<Seq> = self.names()?.iter().filter_map(|name| seq_of(name)).collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        Ok(found)
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
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        self.remove_unfinished()?;
        let path = self.path(header.position.seq);
        let unfinished = path.with_extension("snap.new");
        let written = write_file(&unfinished, header, body).and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written.and_then(|()| File::open(&self.0)?.sync_all()).map_err(SnapshotError::Io)
    }

    /// Removes all but the last `keep`, and those before `begins`: the log cannot confirm them any more.
    ///
    /// # Errors
    /// When the directory cannot be listed or a file not be removed.
    pub fn prune(&self, keep: usize, begins: Seq) -> Result<(), SnapshotError> {
        for (index, seq) in self.list()?.into_iter().enumerate() {
            if index >= keep || seq < begins {
                fs::remove_file(self.path(seq))?;
            }
        }
        Ok(())
    }

    /// Removes those behind `last`, the last event of the log: another one led to them.
    ///
    /// # Errors
    /// When the directory cannot be listed or a file not be removed.
    pub fn forget_behind(&self, last: Seq) -> Result<(), SnapshotError> {
        for seq in self.list()?.into_iter().filter(|seq| *seq > last) {
            fs::remove_file(self.path(seq))?;
        }
        Ok(())
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for name in self.names()?.iter().filter(|name| name.ends_with(UNFINISHED)) {
            fs::remove_file(self.0.join(name))?;
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn path(&self, seq: Seq) -> PathBuf {
        self.0.join(format!("{:020}{ENDING}", seq.0))
    }
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

fn write_file(path: &Path, header: &SnapshotHeader, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&header.encode())?;
    file.write_all(body)?;
    file.sync_all()
}
