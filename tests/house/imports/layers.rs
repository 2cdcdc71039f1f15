//! The layers of the library.

use super::arrows::Arrows;

/// The modules of `src`, from the bottom up. Each may need itself and whatever lies below its layer, never a neighbour.
/// `promises` holds no code and stands nowhere.
const LAYERS: &[&[&str]] = &[
    // What knows nothing of the library: kinds of errors, panics as values, what threads wait with, whose jobs they do.
    &["apart", "error", "membership", "sync", "unwind"],
    // Directories that are held open.
    &["held"],
    // What may happen. It cannot see the world.
    &["core"],
    // The world's time, in the words of the core.
    &["clock"],
    // Events as bytes, frames of bytes on a disk, objects, notes, what wakes whoever waits: none has to do with another.
    // Above all, the log does not know what a record means.
    &["codec", "log", "notes", "objects", "watch_cell"],
    // From a log back to what it means; an event for people; what users write.
    &["describe", "replay", "worker"],
    // What makes something of a log or an object, each by itself, on the caller's thread. `open` ties a log in a
    // directory to what replay can read of it.
    &["evlog", "external", "open", "reducer", "snapshot"],
    // Threads.
    &["engine"],
    &["testing"],
    // Every error of the library as one, so it has to know them all.
    &["umbrella"],
    &["lib"],
];

/// The module at the top of `src` that a file belongs to.
fn module(file: &str) -> &str {
    let local = file.strip_prefix("src/").unwrap_or(file);
    local.split_once('/').map_or_else(|| local.trim_end_matches(".rs"), |(module, _)| module)
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What speaks against each arrow that leaves its module and does not go down, for people.
pub(super) fn not_down(arrows: &Arrows) -> Vec<String> {
    let mut found = Vec::new();
    for ((from, to), names) in arrows {
        let (upper, lower) = (module(from), module(to));
        if upper == lower {
            continue;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let arrow = format!("{from} -> {to}: {}", names.join(", "));
        match (layer(upper), layer(lower)) {
            (Some(above), Some(below)) if above > below => {}
            (Some(above), Some(below)) if above == below => found.push(format!("{arrow} (a neighbour)")),
            (Some(_), Some(_)) => found.push(format!("{arrow} (upwards)")),
            (None, _) => found.push(format!("{arrow} ({upper} has no layer)")),
            (_, None) => found.push(format!("{arrow} ({lower} has no layer)")),
        }
    }
    found
}
