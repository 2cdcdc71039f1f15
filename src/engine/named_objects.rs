//! Whether the trees that a result or an observation names are there, before anything is decided on them: what a commit
//! names has to be found by everybody who checks it later.
//!
//! *Architecture invariant:* it reads objects, and no more than it is allowed to. It knows neither what the entries of a
//! tree mean nor what becomes of what is refused.

use std::fmt;

use crate::core::vocabulary::{Built, FieldError, ObjectHash, SourceState};
use crate::objects::tree::{self, TreeError};
use crate::objects::{ObjectError, Objects};

/// Objects that are read of one tree on a worker's thread: some milliseconds. A tree that was not stored is noticed with
/// the first; one of which a part is missing, up to here.
pub(super) const ON_A_THREAD: usize = 256;

/// The same on the thread of the reducer, which everybody waits for.
pub(super) const IN_THE_LOOP: usize = 16;

/// Why what was named does not count.
pub(super) enum Unfounded {
    /// It is not there, or it is something else. That does not change by itself.
    Wrong(FieldError),
    /// It cannot be read now.
    Unread(FieldError),
}

impl From<Unfounded> for FieldError {
    fn from(unfounded: Unfounded) -> FieldError {
        match unfounded {
            Unfounded::Wrong(error) | Unfounded::Unread(error) => error,
        }
    }
}

impl fmt::Display for Unfounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfounded::Wrong(error) | Unfounded::Unread(error) => error.fmt(f),
        }
    }
}

/// The files that an observation names.
pub(super) fn check_set(objects: &dyn Objects, state: &SourceState, most: usize) -> Result<(), Unfounded> {
    const FIELD: &str = "set.root";
    let Some(set) = state.set else { return Ok(()) };
    let found = tree::entry_count(objects, set.root).map_err(|error| unfounded(FIELD, &error))?;
    if found != set.files {
        let problem = format!("must name a tree of {} files, found one of {found} entries", set.files);
        return Err(Unfounded::Wrong(FieldError::new(FIELD, problem)));
    }
    check_tree(objects, FIELD, set.root, most)
}

/// The manifest that a result names.
pub(super) fn check_built(objects: &dyn Objects, built: &Built, most: usize) -> Result<(), Unfounded> {
    built.manifest.map_or(Ok(()), |root| check_tree(objects, "manifest", root, most))
}

fn check_tree(objects: &dyn Objects, field: &'static str, root: ObjectHash, most: usize) -> Result<(), Unfounded> {
    let mut read = 0;
    let mut enter = |_| {
        read += 1;
        read <= most
    };
    let walked: Result<(), TreeError> = tree::walk(objects, root, &mut enter, &mut |_, _| Ok(()));
    walked.map_err(|error| unfounded(field, &error))
}

fn unfounded(field: &'static str, error: &TreeError) -> Unfounded {
    let problem = format!("must name a tree of objects that is stored: {error}");
    let error_of_field = FieldError::new(field, problem);
    match error {
        TreeError::Object(ObjectError::Io(..)) => Unfounded::Unread(error_of_field),
        _ => Unfounded::Wrong(error_of_field),
    }
}
