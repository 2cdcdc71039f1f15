//! What is set once for a whole run: it cannot be changed by reading the file again.

use std::time::Duration;

use lastword::core::vocabulary::Policy;
use lastword::engine::{ObserveInterval, Retention};
use lastword::log::Durability;
use toml::de::DeValue;

use super::document::{Field, Section, Wrong};

/// The settings of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How many attempts run at the same time. Two: attempts that read footers wait for the disk more than they
    /// compute, and two leave room on small machines.
    pub(crate) workers: usize,
    /// How often each source is observed: by what an observation costs, for few want to wait longer for a change than they
    /// have to.
    pub(crate) observe_interval: ObserveInterval,
    /// How many requests a day the observations of one source may take: about ten cents.
    pub(crate) list_budget: u64,
    /// How long an observation may take: longer than listing a million files does.
    pub(crate) observe_timeout: Duration,
    /// How many observations run at the same time.
    pub(crate) observer_threads: usize,
    pub(crate) durability: Durability,
    /// Whether directories are watched, so that changes are observed at once: it costs the kernel a watch per directory
    /// and nothing else.
    pub(crate) watch: bool,
    /// How many segments of one build are built at the same time.
    pub(crate) parallel: usize,
    /// How many bytes an observation may read to hash the content of files. 8 MiB: a hint that only times have moved is
    /// worth some milliseconds of reading, and not more.
    pub(crate) learning: u64,
    /// After how many events a snapshot is taken; 0 for never. About a tenth of a second of replay.
    pub(crate) snapshot_every: u64,
    /// How much of the log is kept: all of it.
    pub(crate) retain: Retention,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            workers: 2,
            observe_interval: ObserveInterval::Auto,
            list_budget: 20_000,
            observe_timeout: Duration::from_secs(60),
            observer_threads: 2,
            watch: true,
            durability: Durability::default(),
            parallel: 1,
            learning: 8 << 20,
            snapshot_every: 100_000,
            retain: Retention::default(),
        }
    }
}

/// One key: how it is read, and what it is, as a text that tells two apart.
struct Setting {
    key: &'static str,
    read: for<'f, 'd, 'i> fn(&'f Field<'d, 'i>, &mut Settings) -> Result<(), Wrong>,
    show: fn(&Settings) -> String,
}

const SETTINGS: &[Setting] = &[
    Setting { key: "workers", read: workers, show: |a| format!("{:?}", a.workers) },
    Setting { key: "look_interval", read: observe_interval, show: |a| format!("{:?}", a.observe_interval) },
    Setting { key: "list_budget", read: list_budget, show: |a| format!("{:?}", a.list_budget) },
    Setting { key: "look_timeout", read: observe_timeout, show: |a| format!("{:?}", a.observe_timeout) },
    Setting { key: "look_threads", read: observer_threads, show: |a| format!("{:?}", a.observer_threads) },
    Setting { key: "watch", read: watch, show: |a| format!("{:?}", a.watch) },
    Setting { key: "durability", read: durability, show: |a| format!("{:?}", a.durability) },
    Setting { key: "parallel", read: parallel, show: |a| format!("{:?}", a.parallel) },
    Setting { key: "learning", read: learning, show: |a| format!("{:?}", a.learning) },
    Setting { key: "snapshot_every", read: snapshot_every, show: |a| format!("{:?}", a.snapshot_every) },
    Setting { key: "retain", read: retain, show: |a| format!("{:?}", a.retain) },
];

/// All keys.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key)
}

impl Settings {
    pub(super) fn read(top: &Section<'_, '_>) -> Result<Settings, Wrong> {
        let mut settings = Settings::default();
        for setting in SETTINGS {
            if let Some(field) = top.get(setting.key) {
                (setting.read)(&field, &mut settings)?;
            }
        }
        Ok(settings)
    }

    /// The keys in which two files differ.
    pub(super) fn differences(&self, other: &Settings) -> impl Iterator<Item = &'static str> {
        SETTINGS.iter().filter(|setting| (setting.show)(self) != (setting.show)(other)).map(|setting| setting.key)
    }

    /// Every key, and what it is.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&'static str, String)> {
        SETTINGS.iter().map(|setting| (setting.key, (setting.show)(self)))
    }
}

fn workers(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.workers = threads(field)?;
    Ok(())
}

fn parallel(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.parallel = threads(field)?;
    Ok(())
}

/// More would be a mistake and not a wish.
fn threads(field: &Field<'_, '_>) -> Result<usize, Wrong> {
    Ok(usize::try_from(field.whole(1, 1024)?).unwrap_or(usize::MAX))
}

fn learning(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.learning = field.whole(0, i64::MAX.unsigned_abs())?;
    Ok(())
}

fn observe_interval(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.observe_interval = match field.value() {
        DeValue::String(text) if text == "auto" => ObserveInterval::Auto,
        _ => {
            in_bounds(field, field.duration_as("must be \"auto\", or a duration such as \"200ms\" or \"5s\"")?)?.into()
        }
    };
    Ok(())
}

fn list_budget(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.list_budget = field.whole(1, i64::MAX.unsigned_abs())?;
    Ok(())
}

fn observe_timeout(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.observe_timeout = span(field)?;
    Ok(())
}

fn observer_threads(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.observer_threads = threads(field)?;
    Ok(())
}

fn span(field: &Field<'_, '_>) -> Result<Duration, Wrong> {
    in_bounds(field, field.duration()?)
}

fn in_bounds(field: &Field<'_, '_>, found: Duration) -> Result<Duration, Wrong> {
    const SHORTEST: Duration = Duration::from_millis(10);
    if !(SHORTEST..=Policy::LONGEST).contains(&found) {
        let found = humantime::format_duration(found);
        return Err(field.wrong(&format!("must be 10ms to a hundred years, found {found}")));
    }
    Ok(found)
}

fn watch(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.watch = field.boolean()?;
    Ok(())
}

fn snapshot_every(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.snapshot_every = field.whole(0, i64::MAX.unsigned_abs())?;
    Ok(())
}

fn retain(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.retain = match field.value() {
        DeValue::String(text) if text == "all" => Retention::default(),
        DeValue::Table(_) => {
            let section = field.section()?;
            section.only(&["events", "age"])?;
            let events = section.get("events").map(|events| events.whole(1, i64::MAX.unsigned_abs())).transpose()?;
            let age = section.get("age").map(|age| age.duration()).transpose()?;
            if events.is_none() && age.is_none() {
                return Err(field.wrong("must name events, age or both"));
            }
            Retention { events, age }
        }
        _ => return Err(field.wrong("must be \"all\" or such as { events = 1_000_000, age = \"90d\" }")),
    };
    Ok(())
}

fn durability(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    settings.durability = match field.text()? {
        "power" => Durability::Power,
        "process" => Durability::Process,
        _ => {
            let allowed = "must be \"power\" (survives a power cut) or \"process\" (survives the end of lastword)";
            return Err(field.wrong(allowed));
        }
    };
    Ok(())
}
