//! Keys that cannot be named here, and why: how they are written would be that of another key, or of none. It must not know
//! where they were listed.

/// Characters of a key that a cause shows at most.
const SHOWN: usize = 80;

/// Why a source with this key cannot be observed.
pub(super) fn unnameable(key: &str) -> String {
    format!("it has the key {}, with {}, which cannot be named here; {WAY_OUT}", shown(key), reason(key))
}

/// The same of a key that ends with a slash: without bytes it would stand for a directory.
pub(super) fn slashed(key: &str) -> String {
    let key = shown(key);
    format!("it has the key {key}, which ends with a slash and has bytes, and cannot be named here; {WAY_OUT}")
}

const WAY_OUT: &str = "move such objects, or name a prefix beside them";

/// Why a listing with this key is none of what was asked for.
pub(super) fn beside(key: &str) -> String {
    format!("the store lists what was not asked for: the key {} does not begin with the prefix", shown(key))
}

/// Whether this is how the `object_store` crate writes a key: it leaves out a slash at either end.
pub(super) fn is_written(key: &str, location: &str) -> bool {
    let key = key.strip_prefix('/').unwrap_or(key);
    key.strip_suffix('/').unwrap_or(key) == location
}

fn reason(key: &str) -> &'static str {
    if key.contains(|c: char| c.is_ascii_control()) {
        "a control character"
    } else if key.split('/').any(|part| matches!(part, "." | "..")) {
        "a part that is `.` or `..`"
    } else {
        "an empty part (//)"
    }
}

/// Fit for one line, and not longer than it has to be.
fn shown(key: &str) -> String {
    let mut shown: String = key.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if key.chars().nth(SHOWN).is_some() {
        shown.push_str("..");
    }
    format!("\"{shown}\"")
}
