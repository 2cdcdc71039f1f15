//! A log as it is, for commands that read it and change nothing.

use std::path::Path;

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{CollectionId, Name, Seq, SourceState, Timestamp};
use lastword::core::{Collection, State};
use lastword::external::{Manifest, PathSet, load_set};
use lastword::log::{OpenError, PrivateCopy};
use lastword::objects::FileObjects;
use lastword::replay;
use lastword::snapshot::{Folding, Snapshots};

use crate::fail::{Fail, USAGE, unopened};

/// What a log adds up to, whether a writer has it open or not.
pub(crate) struct Inspected {
    pub(crate) copy: PrivateCopy,
    pub(crate) state: State,
    /// The later of the wall clock and the log's last event: the moment that is shown.
    pub(crate) now: Timestamp,
}

impl Inspected {
    pub(crate) fn open(path: &Path) -> Result<Inspected, Fail> {
        let absent = || Fail::from(OpenError::Absent { path: path.to_owned() }).of_absent();
        Inspected::open_if_there(path)?.ok_or_else(absent)
    }

    /// `None` if there is no log at this path.
    pub(crate) fn open_if_there(path: &Path) -> Result<Option<Inspected>, Fail> {
        let (copy, folding) = match PrivateCopy::of_visiting(path, || Folding::from_snapshots(Snapshots::of_log(path)))
        {
            Err(OpenError::Absent { .. }) => return Ok(None),
            opened => opened.map_err(|error| unopened(error, path))?,
        };
        let state = folding.finish()?;
        let now = SystemClock::new().wall().max(state.at());
        Ok(Some(Inspected { copy, state, now }))
    }

    /// Whether there is a collection of this name.
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.state.id_of(name).is_some()
    }

    /// When an event was recorded, if it is still in the log.
    pub(crate) fn time_of(&self, seq: Seq) -> Option<Timestamp> {
        let reader = self.copy.reader();
        let event = replay::events(&*reader, seq).next()?.ok()?;
        (event.seq == seq).then_some(event.at)
    }

    /// The collection that a person named.
    pub(crate) fn find(&self, name: &str) -> Result<(CollectionId, &Collection), Fail> {
        let unknown = || Fail::new(USAGE, format!("there is no collection {name:?} in the log"));
        let name = Name::new(name).map_err(|_| unknown())?;
        let id = self.state.id_of(&name).ok_or_else(unknown)?;
        self.state.collection(id).map(|collection| (id, collection)).ok_or_else(unknown)
    }

    /// The manifest of the last commit of a collection, if there was one.
    pub(crate) fn manifest(&self, collection: &Collection) -> Result<Option<Manifest>, Fail> {
        let Some(root) = collection.applied.as_ref().and_then(|applied| applied.result.manifest) else {
            return Ok(None);
        };
        let objects = FileObjects::open_read_only(self.copy.objects())?;
        Ok(Some(Manifest::read(&objects, root)?))
    }

    /// The files of an observation. `None` if there was none, or its set cannot be read any more.
    pub(crate) fn files(&self, observed: Option<&SourceState>) -> Option<PathSet> {
        let objects = FileObjects::open_read_only(self.copy.objects()).ok()?;
        load_set(&objects, observed?.set?.root).ok()
    }
}
