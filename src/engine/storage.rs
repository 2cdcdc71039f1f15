//! Where log and objects are, and how they are opened.
//!
//! *Architecture invariant:* it opens and replays. It starts no thread, and decides nothing about the log that it
//! opens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StartError;
use super::sweep::Marker;
use crate::core::State;
use crate::core::vocabulary::{FieldError, Seq};
use crate::log::{Durability, IfAbsent, Log, LossAccepted, OpenError, SledLog};
use crate::notes::Notes;
use crate::objects::{FileObjects, Objects};
use crate::replay::{self, Until};
use crate::snapshot::{Folding, Snapshots};
use crate::unwind;

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
    /// What nothing names in the store of objects may be removed.
    pub(super) may_sweep: bool,
    /// The note that nothing is to be swept.
    pub(super) marker: Option<Marker>,
    /// The log was closed in order.
    pub(super) was_clean: bool,
    /// What was found instead of the events whose loss was accepted just now.
    pub(super) lost: Option<String>,
}

impl Storage {
    /// Opens and replays. Of the notes at most `note_bytes` are kept.
    ///
    /// A log whose loss is accepted is shortened first; if it ends at another event, nothing is changed.
    pub(super) fn open(
        self,
        durability: Durability,
        accept_loss: Option<Seq>,
        note_bytes: u64,
    ) -> Result<Opened, StartError> {
        match self {
            Storage::Given(log, objects) => {
                let state = replay::state_at(&*log.reader(), Until::End).map_err(StartError::Replay)?;
                // A store that was handed in may hold objects of others, and ones that are to be named later.
                let notes = Notes::in_memory(note_bytes);
                Ok(Opened {
                    log,
                    objects,
                    state,
                    snapshots: None,
                    notes,
                    may_sweep: false,
                    marker: None,
                    was_clean: false,
                    lost: None,
                })
            }
            Storage::Directory(path) => {
                let lost = accept_loss.map(|last| accept(&path, last)).transpose()?;
                let snapshots = Snapshots::of_log(&path);
                let mut replay = Folding::from_snapshots(snapshots.clone());
                let log = SledLog::open_visiting(&path, IfAbsent::Create, durability, &mut replay);
                let mut log = log.map_err(StartError::Log)?;
                let objects = FileObjects::open(log.objects()).map_err(StartError::Objects)?.of_log(path.clone());
                let io = |source| OpenError::Io { doing: "opening", path: path.clone(), source };
                let snapshots = Snapshots::of_held_log(&path).map_err(|error| StartError::Log(io(error)))?;
                let notes = Notes::beside_log(&path, note_bytes);
                let (marker, was_clean) = (Marker::at(&log.objects()).ok(), log.was_clean());
                // What is kept of a damaged log may name what nothing else does.
                let may_sweep = !log.keeps_damaged();
                // What was opened by the path just now is in the same directory as the log.
                log.check_place().map_err(|error| StartError::Log(error.into()))?;
                let (from, frames) = (replay.resumed().0, log.frames_read());
                let state = replay.finish().map_err(StartError::Replay)?;
                if state.last() == Seq::ZERO {
                    unwind::tell(|| {
                        tracing::info!(target: "lastword::log", path = %path.display(), "began a new log");
                    });
                }
                unwind::tell(|| {
                    tracing::debug!(target: "lastword::snapshot", from, frames, last = state.last().0, "the log was replayed");
                });
                let (log, objects) = (Box::new(log), Arc::new(objects));
                Ok(Opened {
                    log,
                    objects,
                    state,
                    snapshots: Some(snapshots),
                    notes,
                    may_sweep,
                    marker,
                    was_clean,
                    lost,
                })
            }
        }
    }
}

/// Shortens a damaged log to what is left of it.
fn accept(path: &Path, last: Seq) -> Result<String, StartError> {
    let refused = |problem| StartError::Setting(FieldError::new("accept_loss", problem));
    match SledLog::accept_loss(path, last).map_err(StartError::Log)? {
        LossAccepted::Done(found) => Ok(found),
        LossAccepted::NoLoss => Err(refused("must not be given: the log is whole".to_owned())),
        LossAccepted::OtherEnd(end) => {
            Err(refused(format!("must be {end}, the last event that is left, found {last}; nothing was changed")))
        }
    }
}
