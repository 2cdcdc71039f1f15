//! What can be done about a log that does not open because it is damaged, and what it costs: one sentence, for both tools.

use std::path::Path;

use crate::describe::counted;
use crate::log::Salvage;

/// The ways on from a damaged log in `path`, which both tools put behind the damage. `state` and `file` are its directory
/// and the configuration of its run, as a shell takes them.
#[must_use]
pub fn way_on(path: &Path, state: &str, file: &str) -> String {
    let salvage = match Salvage::of(path) {
        Ok(salvage) => salvage,
        Err(error) if error.is_defect() && !error.is_too_new() => {
            return "restore a backup: nothing of it can be read; or move the directory away, and the next run builds \
                    everything anew"
                .to_owned();
        }
        Err(error) => return format!("restore a backup; what is left of it cannot be looked at now: {error}"),
    };
    if salvage.damage.is_none() {
        return "it is whole now that it was read again: try again, and look after the disk".to_owned();
    }
    let (last, anchor) = (salvage.last(), salvage.copy.anchor().position.seq);
    let lost = match anchor.0.saturating_sub(last.0) {
        0 => "whatever came after it".to_owned(),
        lost => format!("at least {} after it", counted(lost, "event")),
    };
    format!(
        "restore a backup; or see what is left, up to event {last}, with log-dump state {state} --up-to-damage (dump and \
         export take it too); or go on from there with lastword run {file} --accept-loss {last}, which gives up {lost} and \
         keeps the damaged files beside the log"
    )
}
