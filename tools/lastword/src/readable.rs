//! Whether what is applied can be read: a manifest that is damaged or gone lets everything that the log says look well, because
//! nothing reads it as long as its source rests.

use std::path::Path;

use lastword::core::vocabulary::ObjectHash;
use lastword::external::Manifest;
use lastword::objects::{FileObjects, Objects};

use crate::config::KIND;
use crate::facts::Facts;
use crate::fail::{DEFECT, Fail};
use crate::words::{command, command_with};

/// How much of a manifest is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The object that the log names: one small file.
    Root,
    /// Everything.
    Whole,
}

/// What is wrong with the manifest of a collection of the log in `state`, if anything is.
pub(crate) fn problem(state: &Path, facts: &Facts, depth: Depth) -> Option<String> {
    let root = ObjectHash::from_hex(facts.manifest.as_deref()?)?;
    let read = || -> Result<(), Fail> {
        let objects = FileObjects::open_read_only(state.join("objects"))?;
        match depth {
            // What the manifests of other kinds are made of is theirs.
            Depth::Whole if facts.kind == KIND => drop(Manifest::read(&objects, root)?),
            Depth::Whole | Depth::Root => drop(objects.get(root)?),
        }
        Ok(())
    };
    read().err().map(|fail| described(&fail))
}

/// `its manifest is damaged: ..`
pub(crate) fn described(fail: &Fail) -> String {
    format!("its manifest {}: {fail}", if fail.code == DEFECT { "is damaged" } else { "cannot be read" })
}

/// What to type, with a run or without. `place`: the directory of the log, or the configuration.
/// One that is paused is not built before it goes on.
pub(crate) fn way_on(place: &Path, facts: &Facts) -> String {
    format!(
        "{}build it anew with: {}",
        resumed(place, &facts.name, facts.paused),
        command_with("refresh", place, &facts.name, "--force")
    )
}

/// What comes before that for one that is paused.
pub(crate) fn resumed(place: &Path, name: &str, is_paused: bool) -> String {
    let resume = || format!("it is paused, resume it first: {}; then ", command("resume", place, name));
    if is_paused { resume() } else { String::new() }
}
