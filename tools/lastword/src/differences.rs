//! What a configuration file says and the log does not have, or the other way round: a run reads its file when it starts and
//! when it is told to, and until then everything it says is of what the file said before.
//!
//! Values are not repeated: they stand in the file, and one of them could be a secret in the wrong place.

use std::path::Path;

use lastword::core::vocabulary::Name;
use serde_json::{Map, Value};

use crate::config::{Config, Entry, KIND};
use crate::console::quoted;
use crate::control::{Gone, Hearer};
use crate::facts::Facts;
use crate::fail::{Fail, USAGE};
use crate::told::Told;
use crate::words::{how_to_start, is_config};

/// The file that a person named instead of the directory of its log, as it is now.
pub(crate) struct NamedFile<'p> {
    path: &'p Path,
    read: Result<Config, Fail>,
}

impl<'p> NamedFile<'p> {
    /// `None` if the directory of the log was named.
    pub(crate) fn of(named: &'p Path) -> Option<NamedFile<'p>> {
        is_config(named).then(|| NamedFile { path: named, read: Config::read(named) })
    }

    /// Why it cannot be taken, if so.
    pub(crate) fn refused(&self) -> Option<String> {
        let fail = self.read.as_ref().err()?;
        Some(format!("{fail}; a reload or the next start refuses the file"))
    }

    /// How one collection of the log differs from what the file says of it. `gone`: what is known of it as gone from the file.
    pub(crate) fn difference(&self, facts: &Facts, gone: Option<&Gone>) -> Option<String> {
        let config = self.read.as_ref().ok().filter(|_| facts.kind == KIND)?;
        let entry = Name::new(&facts.name).ok().and_then(|name| config.get(&name));
        let what = match (entry, gone) {
            (None, Some(_)) => return None,
            (None, None) => "is gone from",
            (Some(_), Some(_)) => "is back in",
            (Some(entry), None) => changed(entry, facts)?,
        };
        Some(format!("{}: {what} {}", facts.name, quoted(self.path)))
    }

    /// The keys of the policy of one collection that the file has another value of. What is applied does not depend on them.
    pub(crate) fn other_policy(&self, facts: &Facts, gone: Option<&Gone>) -> Option<String> {
        let config = self.read.as_ref().ok().filter(|_| facts.kind == KIND && gone.is_none())?;
        let entry = config.get(&Name::new(&facts.name).ok()?)?;
        let in_file: Map<String, Value> = serde_json::from_str(&entry.policy.to_json()).ok()?;
        let known = facts.policy.as_ref()?;
        let others = in_file.iter().filter(|(key, value)| known.get(*key).is_some_and(|known| known != *value));
        let others: Vec<&str> = others.map(|(key, _)| key.as_str()).collect();
        let (name, file) = (&facts.name, quoted(self.path));
        (!others.is_empty()).then(|| format!("{name}: has another policy ({}) in {file}", others.join(", ")))
    }

    /// The keys at the top that differ from what the run or the log was told, and whether a reload reads all of them.
    pub(crate) fn other_top(&self, told: &Told, is_run: bool) -> Option<(String, bool)> {
        let (keys, are_read_again) = told.differs(self.read.as_ref().ok()?)?;
        let whose = if is_run { "run" } else { "log" };
        Some((format!("{}: {} differ from those of the {whose}", quoted(self.path), keys.join(", ")), are_read_again))
    }

    /// What has a run told that a reload does not tell it.
    pub(crate) fn start_again(&self, pid: u32) -> String {
        format!("only a new start reads that; end the run with: kill {pid}, and {}", how_to_start(self.path))
    }

    /// The names that the file has and the log has not; `in_log` are those of the log.
    pub(crate) fn missing<'n>(&self, in_log: impl Fn(&str) -> bool + 'n) -> impl Iterator<Item = &Name> {
        let entries = self.read.as_ref().ok().map(|config| &config.collections);
        entries.into_iter().flatten().map(|entry| &entry.name).filter(move |name| !in_log(name.as_str()))
    }

    /// What is said of one that is missing.
    pub(crate) fn is_missing(&self, name: &Name) -> String {
        format!("{name}: is in {} and not in the log: never read, or dropped", quoted(self.path))
    }

    /// What brings the two together. `is_run`: a run has the log open.
    pub(crate) fn way_on(&self, is_run: bool) -> String {
        match is_run {
            true => format!("the run has not read it since; have it read: lastword reload {}", quoted(self.path)),
            false => format!("the next run reads it; {}", how_to_start(self.path)),
        }
    }
}

/// A refusal of a name that the log does not have, with the way on if the file that was named has it, or if it is a pattern.
/// `state`: the directory of the log; `named`: that, or the configuration.
pub(crate) fn unknown_in_log(fail: Fail, (state, named): (&Path, &Path), name: &Name) -> Fail {
    if fail.code != USAGE || !fail.message.contains("there is no collection") {
        return fail;
    }
    if name.as_str().contains(['*', '?', '[']) {
        let patterns = "this takes one name and no patterns, which only status does";
        return Fail::new(USAGE, format!("{}; {patterns}", fail.message));
    }
    match NamedFile::of(named) {
        Some(file) if file.missing(|_| false).any(|known| known == name) => {
            let way_on = match Hearer::find(state) {
                Ok(hearer) => {
                    let is_run = matches!(hearer, Hearer::Run(_));
                    hearer.differs(named).unwrap_or_else(|| file.way_on(is_run))
                }
                Err(unknown) => unknown.message,
            };
            Fail::new(USAGE, format!("{}; {} has it: {way_on}", fail.message, quoted(named)))
        }
        _ => fail,
    }
}

/// What a declaration of the file would change.
fn changed(entry: &Entry, facts: &Facts) -> Option<&'static str> {
    let declared = entry.declaration().ok()?;
    let source = declared.source.as_ref().map(|source| source.as_str());
    let spec = declared.spec.and_then(|spec| serde_json::from_str::<Value>(spec.as_str()).ok());
    match (source == Some(&facts.source), spec.as_ref() == Some(&facts.spec)) {
        (true, true) => None,
        (false, true) => Some("has another source in"),
        (true, false) => Some("has another spec in"),
        (false, false) => Some("has another source and spec in"),
    }
}
