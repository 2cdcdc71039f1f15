//! Where log and objects are, and how they are opened.
//!
//! *Architecture invariant:* it opens and replays. It starts no thread, and decides nothing about the log that it
//! opens.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::StartError;
use crate::core::State;
use crate::log::{Durability, IfAbsent, Log, OpenError, SledLog};
use crate::notes::Notes;
use crate::objects::{FileObjects, Objects};
use crate::replay::{self, Until};
use crate::snapshot::{Folding, Snapshots};

/// Where log and objects are.
pub(super) enum Storage {
    Directory(PathBuf),
    Given(Box<dyn Log>, Arc<dyn Objects>),
}

/// What a reconciler begins with.
pub(super) struct Opened {
    pub(super) log: Box<dyn Log>,
    pub(super) objects: Arc<dyn Objects>,
    pub(super) state: State,
    pub(super) snapshots: Option<Snapshots>,
    pub(super) notes: Notes,
}

impl Storage {
    /// Opens and replays. Of the notes at most `note_bytes` are kept.
    pub(super) fn open(self, durability: Durability, note_bytes: u64) -> Result<Opened, StartError> {
        match self {
            Storage::Given(log, objects) => {
                let state = replay::state_at(&*log.reader(), Until::End).map_err(StartError::Replay)?;
                Ok(Opened { log, objects, state, snapshots: None, notes: Notes::in_memory(note_bytes) })
            }
            Storage::Directory(path) => {
                let snapshots = Snapshots::of_log(&path);
                let mut replay = Folding::from_snapshots(snapshots.clone());
                let log = SledLog::open_visiting(&path, IfAbsent::Create, durability, &mut replay);
                let mut log = log.map_err(StartError::Log)?;
                let objects = FileObjects::open(log.objects()).map_err(StartError::Objects)?.of_log(path.clone());
                let io = |source| OpenError::Io { doing: "opening", path: path.clone(), source };
                let snapshots = Snapshots::of_held_log(&path).map_err(|error| StartError::Log(io(error)))?;
                // What was opened by the path just now is in the same directory as the log.
                log.check_place().map_err(|error| StartError::Log(error.into()))?;
                let (from, frames) = (replay.resumed().0, log.frames_read());
                let state = replay.finish().map_err(StartError::Replay)?;
                tracing::debug!(target: "lastword::snapshot", from, frames, last = state.last().0, "the log was replayed");
                let notes = Notes::beside_log(&path, note_bytes);
                let (log, objects) = (Box::new(log), Arc::new(objects));
                Ok(Opened { log, objects, state, snapshots: Some(snapshots), notes })
            }
        }
    }
}
