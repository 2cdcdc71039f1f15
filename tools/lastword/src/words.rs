//! Times and commands as people read and type them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use lastword::core::vocabulary::Timestamp;
use lastword::evlog;

use crate::console::{quoted, shell};

/// A command as a person types it.
pub(crate) fn command(verb: &str, place: &Path, name: &str) -> String {
    command_with(verb, place, name, "")
}

/// The same with an option. Behind `--` a name may begin like one.
pub(crate) fn command_with(verb: &str, place: &Path, name: &str, option: &str) -> String {
    let (place, quoted_name, space) = (quoted(place), shell(name), if option.is_empty() { "" } else { " " });
    match name.starts_with('-') {
        true => format!("lastword {verb} {place}{space}{option} -- {quoted_name}"),
        false => format!("lastword {verb} {place} {quoted_name}{space}{option}"),
    }
}

/// What a person types to have a collection go on that waits for one; nothing if it waits for no person. `place`: the
/// directory of the log, or the configuration; `held`: what waits to be confirmed.
pub(crate) fn how_to_go_on(condition: &str, place: &Path, name: &str, held: Option<&str>) -> Option<String> {
    if let Some(held) = held {
        return Some(format!("; confirm it with: {} {held}", command("confirm", place, name)));
    }
    let (what, verb) = match condition {
        "parked" => ("to try it again", "refresh"),
        "paused" => ("to go on", "resume"),
        _ => return None,
    };
    Some(format!("; {what}: {}", command(verb, place, name)))
}

/// What brings a run back. `place`: the directory of the log, or the configuration.
pub(crate) fn how_to_start(place: &Path) -> String {
    format!("start it: lastword run {}", if is_config(place) { quoted(place) } else { "FILE".to_owned() })
}

/// Whether a person named a configuration, and not the directory of a log or an exported one. What is not there is one if it is
/// called so.
pub(crate) fn is_config(named: &Path) -> bool {
    let is_called_so = named.extension().is_some_and(|ending| ending == "toml");
    !named.is_dir() && !is_exported(named) && (is_called_so || named.exists())
}

/// Whether it is an exported log.
pub(crate) fn is_exported(named: &Path) -> bool {
    let begins_so = || {
        let mut begins = [0; evlog::MAGIC.len()];
        File::open(named).and_then(|mut file| file.read_exact(&mut begins)).is_ok_and(|()| begins == evlog::MAGIC)
    };
    named.is_file() && (named.extension().is_some_and(|ending| ending == "evlog") || begins_so())
}

/// When the log heard of anything last.
pub(crate) fn last_event(last: Timestamp, now: Timestamp) -> String {
    format!("last event at {} ({})", seconds(&last.to_string()), ago(now.since(last)))
}

pub(crate) fn ago(span: Duration) -> String {
    format!("{} ago", short(span))
}

/// A person reads no more than tenths below a minute, minutes below a day, and hours above.
pub(crate) fn short(span: Duration) -> String {
    let rounded = |to: u64| humantime::format_duration(Duration::from_secs(span.as_secs() / to * to)).to_string();
    match span.as_secs() {
        0..60 => format!("{:.1}s", span.as_secs_f64()),
        60..3600 => rounded(1),
        3600..86_400 => rounded(60),
        _ => rounded(3600),
    }
}

/// A time without its fraction of a second.
pub(crate) fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}
