//! From a stream to a log in a new directory.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process;

use super::{EvlogError, ImportError, Item, Reader, Totals};
use crate::log::{Durability, Frame, IfAbsent, Log, Position, SledLog};
use crate::objects::{FileObjects, Objects};
use crate::replay::check_checkpoint;

/// Frames and objects are made durable in batches of about this many bytes: enough that a sync is shared, little
/// enough to hold in memory.
const BATCH_BYTES: usize = 4 << 20;

/// Makes the log in the directory `target` of a stream. It is built beside the target and renamed into place, closed
/// in order, so that it is there whole or not at all.
///
/// # Errors
/// When the target exists, the stream is not whole, or the disk refuses. What was built by then is removed.
pub fn import(input: &mut dyn Read, target: impl AsRef<Path>) -> Result<Totals, ImportError> {
    build(input, target.as_ref(), false).map(|(totals, _)| totals)
}

/// The same of a damaged stream: the log ends before the first defect, which comes beside it.
///
/// # Errors
/// As above, and the defect if what comes before it is no log.
pub fn import_up_to_damage(
    input: &mut dyn Read,
    target: impl AsRef<Path>,
) -> Result<(Totals, Option<EvlogError>), ImportError> {
    build(input, target.as_ref(), true)
}

fn build(input: &mut dyn Read, target: &Path, up_to_damage: bool) -> Result<(Totals, Option<EvlogError>), ImportError> {
    refuse_existing(target)?;
    let mut reader = Reader::new(input)?;
    let place = beside(target)?;
    refuse_existing(&place)?;
    let building = Building(place);
    let damage = fill(&mut reader, &building.0, up_to_damage)?;
    refuse_existing(target)?;
    fs::rename(&building.0, target).map_err(failed("renaming", &building.0))?;
    let parent = parent_of(target);
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed("syncing", parent))?;
    Ok((reader.totals(), damage))
}

fn fill(
    reader: &mut Reader<&mut dyn Read>,
    path: &Path,
    up_to_damage: bool,
) -> Result<Option<EvlogError>, ImportError> {
    // Nothing of it is acknowledged before it is closed, and closing syncs.
    let mut log = Box::new(SledLog::open(path, IfAbsent::Create, Durability::Process).map_err(ImportError::Open)?);
    let objects = FileObjects::open(log.objects())?;
    let mut batch = Batch::default();
    let mut damage = None;
    while let Some(item) = reader.next() {
        let item = match item {
            Ok(item) => item,
            Err(error) if up_to_damage && reader.is_log() => {
                damage = Some(error);
                break;
            }
            Err(error) => return Err(error.into()),
        };
        match item {
            Item::Object(bytes) => batch.object(bytes, &objects)?,
            Item::Frame(frame) => {
                if log.appended() == Position::START && !reader.totals().start.is_whole() {
                    let start = reader.totals().start;
                    log.begin_behind(start.seq, start.hash)?;
                }
                batch.frame(&frame.as_frame(), &objects, log.as_mut())?;
            }
        }
    }
    batch.put(&objects)?;
    let start = reader.totals().start;
    if !start.is_whole() {
        log.barrier()?;
        log.truncate_prefix(start, check_checkpoint)?;
    }
    log.close().map_err(ImportError::Log)?;
    Ok(damage)
}

/// What is not durable yet.
#[derive(Default)]
struct Batch {
    objects: Vec<Vec<u8>>,
    object_bytes: usize,
    frame_bytes: usize,
}

impl Batch {
    fn object(&mut self, bytes: Vec<u8>, objects: &FileObjects) -> Result<(), ImportError> {
        self.object_bytes = self.object_bytes.saturating_add(bytes.len());
        self.objects.push(bytes);
        if self.object_bytes >= BATCH_BYTES { self.put(objects) } else { Ok(()) }
    }

    fn frame(&mut self, frame: &Frame<'_>, objects: &FileObjects, log: &mut dyn Log) -> Result<(), ImportError> {
        log.append(frame)?;
        self.frame_bytes = self.frame_bytes.saturating_add(frame.bytes().len());
        if self.frame_bytes >= BATCH_BYTES {
            self.put(objects)?;
            log.barrier()?;
            self.frame_bytes = 0;
        }
        Ok(())
    }

    fn put(&mut self, objects: &FileObjects) -> Result<(), ImportError> {
        if !self.objects.is_empty() {
            objects.put(&self.objects)?;
            self.objects.clear();
            self.object_bytes = 0;
        }
        Ok(())
    }
}

/// A log that is being built; what is left of it goes with this value.
struct Building(PathBuf);

impl Drop for Building {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refuse_existing(path: &Path) -> Result<(), ImportError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(ImportError::Exists { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("looking at", path)(error)),
    }
}

fn beside(target: &Path) -> Result<PathBuf, ImportError> {
    let Some(name) = target.file_name() else {
        return Err(failed("naming", target)(io::Error::from(io::ErrorKind::InvalidInput)));
    };
    let parent = parent_of(target);
    // The log would make missing parents; a typing error in a path should not.
    fs::metadata(parent).map_err(failed("looking at", parent))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".importing-{}", process::id()));
    Ok(parent.join(hidden))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImportError {
    move |source| ImportError::Io { doing, path: path.to_owned(), source }
}
