//! The configuration: which collections are to be kept in step, and how.
//!
//! Everything is checked before anything is opened or created; the first thing that is wrong is reported with its
//! line and key. Values are not repeated in errors where they could be a secret in the wrong place.

mod collection;
mod document;
mod file;
mod limits;
mod policy;
mod settings;
mod stores;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::{Limits, Name};
use lastword::external::{Access, Bucket, Buckets, Store};

use crate::fail::{Fail, USAGE};
pub use collection::Entry;
pub(crate) use collection::KIND;
use document::{Document, Field, Section, join};
use file::text_of;
pub(crate) use settings::Settings;

/// A configuration that was read and checked.
#[derive(Debug)]
pub struct Config {
    /// The file, as it was named.
    pub(crate) file: PathBuf,
    /// The directory of the log.
    pub state: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    /// Where buckets are and who asks, of those of which the environment does not say it.
    stores: BTreeMap<Bucket, Access>,
    /// What is no mistake for sure, and may be one.
    pub(crate) remarks: Vec<String>,
    /// In order of their names.
    pub collections: Vec<Entry>,
}

impl Config {
    /// Reads and checks a configuration file. Relative paths in it start at the directory it lies in.
    pub(crate) fn read(file: &Path) -> Result<Config, Fail> {
        let (text, base) = text_of(file)?;
        Config::parse(file, &text, &base).map_err(|error| Fail::new(USAGE, error.to_string()))
    }

    /// The directory of the log that a configuration file names, whatever else is wrong in it: who wants to pause a
    /// collection need not mend the file first.
    pub(crate) fn state_of(file: &Path) -> Result<PathBuf, Fail> {
        let (text, base) = text_of(file)?;
        let state = || {
            let document = Document::new(file, &text)?;
            let tables = document.parse()?;
            directory(&state_field(&document.top(&tables))?, &base)
        };
        state().map_err(|error: document::Wrong| Fail::new(USAGE, error.to_string()))
    }

    /// What a file says of buckets, whatever else is in it: who examines a store need not have written the rest.
    pub(crate) fn stores_of(file: &Path, directories: impl Store + 'static) -> Result<Buckets, Fail> {
        let (text, base) = text_of(file)?;
        let stores = || {
            let document = Document::new(file, &text)?;
            let tables = document.parse()?;
            stores::read(&document.top(&tables), &base)
        };
        let stores = stores().map_err(|error: document::Wrong| Fail::new(USAGE, error.to_string()))?;
        Ok(through(&stores::accesses(stores), directories))
    }

    /// Checks the bytes of a configuration file; relative paths in it start at `base`.
    pub fn parse(file: &Path, text: &[u8], base: &Path) -> Result<Config, document::Wrong> {
        let document = Document::new(file, text)?;
        let tables = document.parse()?;
        let top = document.top(&tables);
        top.only(&keys().collect::<Vec<_>>())?;
        let directory = directory(&state_field(&top)?, base)?;
        let defaults = top.section("defaults")?;
        if let Some(defaults) = &defaults {
            defaults.only(&policy::keys().collect::<Vec<_>>())?;
        }
        let mut collections = Vec::new();
        let section = top.section("collections")?;
        for (name, field) in section.iter().flat_map(Section::fields) {
            collections.push(collection::read(name, &field, defaults.as_ref(), (base, &directory))?);
        }
        if collections.is_empty() {
            return Err(top.wrong("collections", "at least one is needed: [collections.NAME]"));
        }
        let (settings, limits, stores) = (Settings::read(&top)?, limits::read(&top)?, stores::read(&top, base)?);
        let remarks = stores::unused(file, &stores, &collections);
        let (file, stores) = (file.to_owned(), stores::accesses(stores));
        Ok(Config { file, state: directory, settings, limits, stores, remarks, collections })
    }

    /// The keys that differ from those of a run that began with `self`, and that only a new start can change.
    pub fn needs_restart(&self, new: &Config) -> Vec<&'static str> {
        let state = (self.state != new.state).then_some("state");
        let stores = (self.stores != new.stores).then_some("stores");
        state.into_iter().chain(stores).chain(self.settings.differences(&new.settings)).collect()
    }

    /// What stands at its top, each key with a text that tells two apart. `limits` comes last: it is read again.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let stores = ("stores", format!("{:?}", self.stores));
        self.settings.shown().chain([stores, ("limits", shown_limits(&self.limits))]).collect()
    }

    /// What its sources are read through: buckets, as the file says, beside the directories of `directories`.
    pub(crate) fn buckets(&self, directories: impl Store + 'static) -> Buckets {
        through(&self.stores, directories)
    }

    /// Refuses the first name that no new collection may have; `is_known`: whether a log has it already, and it stays.
    pub(crate) fn check_names(&self, is_known: impl Fn(&Name) -> bool) -> Result<(), Fail> {
        let mut new = self.collections.iter().filter(|entry| !is_known(&entry.name));
        new.try_for_each(|entry| entry.name.check_new().map_err(|error| self.wrong(entry, &error.problem)))
    }

    /// What is wrong with one collection of the file.
    pub(crate) fn wrong(&self, entry: &Entry, problem: &str) -> Fail {
        let (file, line, key) = (self.file.display(), entry.line, join("collections", entry.name.as_str()));
        Fail::new(USAGE, format!("{file}:{line}: {key}: {problem}"))
    }

    /// The names of its collections.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name> {
        self.collections.iter().map(|entry| entry.name.clone())
    }

    /// The collection of this name, if the file has it.
    pub(crate) fn get(&self, name: &Name) -> Option<&Entry> {
        self.collections.iter().find(|entry| entry.name == *name)
    }
}

/// Limits as a text that tells two apart.
pub(crate) fn shown_limits(limits: &Limits) -> String {
    format!("{limits:?}")
}

fn through(stores: &BTreeMap<Bucket, Access>, directories: impl Store + 'static) -> Buckets {
    let begin = Buckets::beside(directories);
    stores.iter().fold(begin, |buckets, (bucket, access)| buckets.access(bucket.clone(), access.clone()))
}

/// All keys at the top.
fn keys() -> impl Iterator<Item = &'static str> {
    ["state"].into_iter().chain(settings::keys()).chain(["limits", "defaults", "stores", "collections"])
}

/// Every key that a file may have, wherever.
#[cfg(test)]
pub(crate) fn every_key() -> impl Iterator<Item = &'static str> {
    keys().chain(limits::KEYS).chain(collection::keys())
}

fn state_field<'d, 'i>(top: &Section<'d, 'i>) -> Result<Field<'d, 'i>, document::Wrong> {
    top.require("state", "the directory of the log")
}

fn directory(state: &Field<'_, '_>, base: &Path) -> Result<PathBuf, document::Wrong> {
    let text = state.text()?;
    if text.is_empty() {
        return Err(state.wrong("must not be empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(state.wrong("must not contain control characters"));
    }
    if text.contains("://") {
        return Err(state.wrong("must be a path; the log is on this machine"));
    }
    Ok(base.join(text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lastword::core::vocabulary::{Kind, Policy};

    use super::*;

    fn check(text: &str, expected: &str) {
        let found = Config::parse(Path::new("lake.toml"), text.as_bytes(), Path::new("/conf"));
        let found = found.map(|config| format!("{config:?}")).unwrap_or_else(|wrong| wrong.to_string());
        assert!(found.contains(expected), "{text}\nexpected: {expected}\nfound:    {found}");
    }

    const START: &str = "state = \"state\"\n";
    const LINEITEM: &str = "[collections.lineitem]\nsource = \"lake/lineitem/\"\nspec = { format = \"parquet\" }\n";

    #[test]
    fn the_example_of_the_design_is_read() {
        let text = format!("{START}{LINEITEM}target_rows = 1_000_000\n");
        let config = Config::parse(Path::new("lake.toml"), text.as_bytes(), Path::new("/conf")).unwrap();
        let entry = config.get(&Name::new("lineitem").unwrap()).unwrap();
        assert_eq!(config.state, Path::new("/conf/state"));
        assert_eq!(entry.source.url(), "file:///conf/lake/lineitem");
        assert_eq!(entry.spec.as_str(), r#"{"format":"parquet","target_rows":1000000}"#);
        assert_eq!((entry.line, &entry.policy), (2, &Policy::default()));
    }

    #[test]
    fn policies_of_a_collection_come_before_the_defaults() {
        let text = format!(
            "{START}[defaults]\nquiet = \"1s\"\ngrace = \"2s\"\n{LINEITEM}quiet = \"50ms\"\nattempt_timeout = \"none\"\nmax_attempts = 3\n"
        );
        let config = Config::parse(Path::new("lake.toml"), text.as_bytes(), Path::new("/conf")).unwrap();
        let policy = &config.collections[0].policy;
        assert_eq!(policy.coalesce.quiet, Duration::from_millis(50));
        assert_eq!(policy.grace.0, Duration::from_secs(2));
        assert_eq!((policy.attempt_timeout.0, policy.retry.max_attempts), (None, 3));
    }

    #[test]
    fn limits_priorities_and_resyncs_are_read() {
        let text = format!(
            "{START}[limits]\ntotal = 4\nkinds.external = 3\nprefixes = {{ \"tmp-\" = 1 }}\n{LINEITEM}priority = -1000\nresync = \"24h\"\n"
        );
        let config = Config::parse(Path::new("lake.toml"), text.as_bytes(), Path::new("/conf")).unwrap();
        let policy = &config.collections[0].policy;
        assert_eq!((policy.priority.0, policy.resync.0), (-1000, Some(Duration::from_secs(24 * 3600))));
        let Limits { total, kinds, prefixes } = &config.limits;
        assert_eq!((*total, kinds[&Kind::new(KIND).unwrap()], prefixes[&Name::new("tmp-").unwrap()]), (Some(4), 3, 1));
        let none = format!("{START}[limits]\ntotal = \"none\"\n{LINEITEM}");
        let config = Config::parse(Path::new("lake.toml"), none.as_bytes(), Path::new("/conf")).unwrap();
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn case_38_what_is_wrong_is_named_with_line_and_key() {
        for (text, expected) in [
            ("", "lake.toml:1: state: is missing"),
            ("state = 7\n", "lake.toml:1: state: must be a string, found a whole number"),
            ("state = \"\"\n", "lake.toml:1: state: must not be empty"),
            ("state = \"s\"\nstat = 1\n", "lake.toml:2: stat: is unknown; allowed are state, workers,"),
            ("state = \"s\"\n", "lake.toml:1: collections: at least one is needed"),
            ("state = \"s\"\ncollections = 1\n", "lake.toml:2: collections: must be a table, found a whole number"),
            ("state = \"s\"\nstate = \"t\"\n", "lake.toml:2: duplicate key state"),
            ("state = \"s\n", "lake.toml:1: "),
            (
                "state = \"s\"\nworkers = 0\n[collections.a]\nsource=\"x\"\nspec={format=\"parquet\"}\n",
                "lake.toml:2: workers: must be a whole number of at least 1, found 0",
            ),
            (
                "state = \"s\"\nlook_interval = \"soon\"\n[collections.a]\nsource=\"x\"\nspec={format=\"parquet\"}\n",
                "lake.toml:2: look_interval: must be \"auto\", or a duration such as \"200ms\"",
            ),
            (
                "state = \"s\"\nparallel = 0\n[collections.a]\nsource=\"x\"\nspec={format=\"parquet\"}\n",
                "lake.toml:2: parallel: must be",
            ),
            (
                "state = \"s\"\nlearning = -1\n[collections.a]\nsource=\"x\"\nspec={format=\"parquet\"}\n",
                "lake.toml:2: learning: must be",
            ),
            (
                "state = \"s\"\ndurability = \"none\"\n[collections.a]\nsource=\"x\"\nspec={format=\"parquet\"}\n",
                "lake.toml:2: durability: must be \"power\"",
            ),
            (
                "state = \"s\"\nwatch = \"no\"\n[collections.a]\nsource=\"x\"\nspec={format=\"parquet\"}\n",
                "lake.toml:2: watch: must be true or false, found a string",
            ),
        ] {
            check(text, expected);
        }
        for (lines, expected) in [
            ("[collections.a]\n", "lake.toml:2: collections.a.source: is missing"),
            ("[collections.a]\nsource = \"x\"\n", "lake.toml:2: collections.a.spec: is missing"),
            ("[collections.\"a b\"]\n", "lake.toml:2: collections.\"a b\".source: is missing"),
            ("[collections.\"\"]\n", "lake.toml:2: collections.\"\": must have 1 to 200 bytes"),
            ("[collections]\na = 1\n", "lake.toml:3: collections.a: must be a table, found a whole number"),
            ("[collections.a]\nsource = 1\n", "lake.toml:3: collections.a.source: must be a string"),
            (
                "[collections.a]\nsource = \"ftp://bucket/x\"\n",
                "lake.toml:3: collections.a.source: has the unknown scheme ftp",
            ),
            ("[collections.a]\nsource = \"../x\"\n", "lake.toml:3: collections.a.source: must not contain `..`"),
            (
                "[collections.a]\nsource = \"file://me:hunter2@localhost/x\"\n",
                "lake.toml:3: collections.a.source: must not hold a user or a password",
            ),
            (
                "[collections.a]\nsource = \"x\"\nspec = \"parquet\"\n",
                "lake.toml:4: collections.a.spec: must be a table, found a string",
            ),
            (
                "[collections.a]\nsource = \"x\"\nspec = {}\n",
                "lake.toml:4: collections.a.spec.format: must be \"files\" or \"parquet\", it is missing",
            ),
            (
                "[collections.a]\nsource = \"x\"\n[collections.a.spec]\nformat = \"csv\"\n",
                "lake.toml:5: collections.a.spec.format: must be \"files\" or \"parquet\", found csv",
            ),
            (
                "[collections.a]\nsource = \"x\"\n[collections.a.spec]\nformat = \"parquet\"\nrows = 1\n",
                "lake.toml:6: collections.a.spec.rows: is unknown",
            ),
            (
                "[collections.a]\nsource = \"x\"\n[collections.a.spec]\nformat = \"parquet\"\n[collections.a.spec.params]\npassword = \"hunter2\"\n",
                "lake.toml:7: collections.a.spec.params.password: must name where the secret is kept",
            ),
            (
                "[collections.a]\nsource = \"x\"\nspec = {format = \"parquet\", params = {at = 2026-01-01}}\n",
                "lake.toml:4: collections.a.spec.params.at: must not be a date",
            ),
        ] {
            check(&format!("{START}{lines}"), expected);
        }
        for (line, expected) in [
            (
                "target_rows = 0",
                "lake.toml:5: collections.lineitem.target_rows: must be a whole number of at least 1, found 0",
            ),
            (
                "target_rows = -5",
                "lake.toml:5: collections.lineitem.target_rows: must be a whole number of at least 1, found -5",
            ),
            (
                "target_rows = 1.5",
                "lake.toml:5: collections.lineitem.target_rows: must be a whole number of at least 1, found 1.5",
            ),
            (
                "target_rows = \"9\"",
                "lake.toml:5: collections.lineitem.target_rows: must be a whole number of at least 1, found a string",
            ),
            (
                "target_rows = 9_007_199_254_740_992",
                "lake.toml:5: collections.lineitem.target_rows: must be a whole number of at most 9007199254740991",
            ),
            (
                "quiet = 200",
                "lake.toml:5: collections.lineitem.quiet: must be a duration such as \"200ms\" or \"5s\", found a whole number",
            ),
            ("quiet = \"1h\"", "lake.toml:5: collections.lineitem.quiet: must be at most max_delay"),
            (
                "max_attempts = 0",
                "lake.toml:5: collections.lineitem.max_attempts: must be a whole number of at least 1, found 0",
            ),
            (
                "attempt_timeout = \"0s\"",
                "lake.toml:5: collections.lineitem.attempt_timeout: must be longer than zero, or none",
            ),
            (
                "backoff_base = \"1h\"",
                "lake.toml:5: collections.lineitem.backoff_base: must be longer than zero and at most",
            ),
            ("grace = \"5000y\"", "lake.toml:5: collections.lineitem.grace: must be at most a hundred years"),
            (
                "colour = 1",
                "lake.toml:5: collections.lineitem.colour: is unknown; allowed are source, spec, target_rows, quiet",
            ),
        ] {
            check(&format!("{START}{LINEITEM}{line}\n"), expected);
        }
        check(
            "state = \"x/lineitem/state\"\n[collections.a]\nsource = \"x\"\nspec = {format = \"parquet\"}\n",
            "lake.toml:3: collections.a.source: must not hold the log (state), which changes with every observation",
        );
        check(
            "state = \"s\"\n[collections.a]\nsource = \"x\"\nspec = {format = \"parquet\", target_rows = 5}\ntarget_rows = 6\n",
            "lake.toml:5: collections.a.target_rows: is given twice",
        );
        check(
            &format!("{START}[defaults]\ntarget_rows = 5\n{LINEITEM}"),
            "lake.toml:3: defaults.target_rows: is unknown",
        );
        for (line, expected) in [
            ("total = 0", "lake.toml:3: limits.total: must be a whole number of at least 1, found 0"),
            (
                "total = \"all\"",
                "lake.toml:3: limits.total: must be a whole number of at least 1, or \"none\", found a string",
            ),
            ("many = 1", "lake.toml:3: limits.many: is unknown; allowed are total, kinds, prefixes"),
            ("kinds = 1", "lake.toml:3: limits.kinds: must be a table"),
            ("kinds = { external = 0 }", "lake.toml:3: limits.kinds.external: must be a whole number of at least 1"),
            ("kinds = { extern = 2 }", "lake.toml:3: limits.kinds.extern: is unknown; allowed are external"),
            ("prefixes = { \"\" = 1 }", "lake.toml:3: limits.prefixes.\"\": must have 1 to 200 bytes"),
        ] {
            check(&format!("{START}[limits]\n{line}\n{LINEITEM}"), expected);
        }
        for (line, expected) in [
            ("parallel = 0", "parallel: must be a whole number of at least 1"),
            ("snapshot_every = -1", "snapshot_every: must be a whole number of at least 0"),
            ("retain = 7", "retain: must be \"all\" or such as"),
            ("retain = {}", "retain: must name events, age or both"),
            ("retain = { events = 0 }", "retain.events: must be a whole number of at least 1"),
            ("retain = { age = \"long\" }", "retain.age: must be a duration"),
            ("retain = { size = 1 }", "retain.size: is unknown; allowed are events, age"),
        ] {
            check(&format!("{START}{line}\n{LINEITEM}"), &format!("lake.toml:2: {expected}"));
        }
        for (line, expected) in [
            ("priority = 1001", "lineitem.priority: must be a whole number from -1000 to 1000, found 1001"),
            ("priority = -1001", "lineitem.priority: must be a whole number from -1000 to 1000, found -1001"),
            ("priority = \"high\"", "lineitem.priority: must be a whole number from -1000 to 1000, found a string"),
            ("resync = \"1ms\"", "lineitem.resync: must be at least 1 s, or none"),
            ("resync = \"no\"", "lineitem.resync: must be a duration such as \"200ms\" or \"5s\", or \"none\""),
            (
                "attempt_timeout = 0",
                "lineitem.attempt_timeout: must be a duration such as \"200ms\" or \"5s\", or \"none\"",
            ),
        ] {
            check(&format!("{START}{LINEITEM}{line}\n"), &format!("lake.toml:5: collections.{expected}"));
        }
        check(
            &format!("{START}[defaults]\nquiet = \"9s\"\n{LINEITEM}"),
            "lake.toml:3: defaults.quiet: must be at most max_delay",
        );
    }

    #[test]
    fn defect_04_how_long_a_look_may_take_stands_in_the_file() {
        let read = |text: &str| {
            Config::parse(Path::new("lake.toml"), format!("{text}{START}{LINEITEM}").as_bytes(), Path::new("/conf"))
        };
        let found = read("look_timeout = \"5m\"\nlook_threads = 7\n").unwrap();
        assert_eq!((found.settings.observe_timeout, found.settings.observer_threads), (Duration::from_secs(300), 7));
        assert_eq!(read("").unwrap().needs_restart(&found), ["look_timeout", "look_threads"]);
        for (line, expected) in [
            ("look_timeout = \"0s\"", "lake.toml:1: look_timeout: must be 10ms to a hundred years, found 0s"),
            ("look_threads = 0", "lake.toml:1: look_threads: must be a whole number of at least 1"),
        ] {
            let wrong = read(&format!("{line}\n")).unwrap_err().to_string();
            assert!(wrong.contains(expected), "{wrong}");
        }
    }

    #[test]
    fn defect_16_a_typo_is_refused_with_what_is_allowed_and_what_was_meant() {
        for (text, expected) in [
            (
                "[limits]\nkinds = { externl = 3 }\n",
                "limits.kinds.externl: is unknown; allowed are external; did you mean external?",
            ),
            ("lokk_interval = \"5s\"\n", "did you mean look_interval?"),
            ("wacth = true\n", "did you mean watch?"),
            ("worker = 3\n", "did you mean workers?"),
            ("durabillity = \"power\"\n", "did you mean durability?"),
        ] {
            check(&format!("{START}{text}{LINEITEM}"), expected);
        }
        for (spec, expected) in [
            ("colums = [\"a\"]", "lake.toml:4: collections.lineitem.spec.colums: is unknown; allowed are format, "),
            ("colums = [\"a\"]", "did you mean columns?"),
            ("exlude = [\"*.csv\"]", "did you mean exclude?"),
        ] {
            check(&format!("{START}{}", LINEITEM.replace(" }", &format!(", {spec} }}"))), expected);
        }
        let far = Config::parse(
            Path::new("lake.toml"),
            format!("{START}kind = 1\n{LINEITEM}").as_bytes(),
            Path::new("/conf"),
        );
        assert!(!far.unwrap_err().to_string().contains("did you mean"));
    }

    #[test]
    fn case_39_no_error_repeats_a_secret() {
        for text in [
            "state = \"s\"\n[collections.a]\nsource = \"file://me:hunter2@localhost/x\"\nspec = {format = \"parquet\"}\n",
            "state = \"s\"\n[collections.a]\nsource = \"x\"\nspec = {format = \"parquet\", params = {password = \"hunter2\"}}\n",
            "state = \"s\"\n[collections.a]\nsource = \"x\"\nspec = {format = \"parquet\"}\nquiet = \"hunter2\"\n",
            "state = \"s\"\ndurability = \"hunter2\"\n",
            "state = \"s\"\npassword = hunter2\n",
        ] {
            let wrong = Config::parse(Path::new("lake.toml"), text.as_bytes(), Path::new("/conf")).unwrap_err();
            assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
        }
    }
}
