//! What is set once for a whole run: it cannot be changed by reading the file again.

use std::time::Duration;

use lastword::core::vocabulary::Policy;
use lastword::log::Durability;

use super::document::{Field, Section, Wrong};

/// The settings of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How many attempts run at the same time. Two: attempts that read footers wait for the disk more than they
    /// compute, and two leave room on small machines.
    pub(crate) workers: usize,
    /// How often each source is looked at: a listing is cheap, and nobody waits much longer for news.
    pub(crate) look_interval: Duration,
    pub(crate) durability: Durability,
    /// How many segments of one build are built at the same time.
    pub(crate) parallel: usize,
    /// How many bytes a look may read to know the content of files. 8 MiB: a hint that only times have moved is worth
    /// some milliseconds of reading, and not more.
    pub(crate) learning: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            workers: 2,
            look_interval: Duration::from_secs(5),
            durability: Durability::default(),
            parallel: 1,
            learning: 8 << 20,
        }
    }
}

/// One key: how it is read, and whether two files say the same.
struct Setting {
    key: &'static str,
    read: for<'f, 'd, 'i> fn(&'f Field<'d, 'i>, &mut Settings) -> Result<(), Wrong>,
    same: fn(&Settings, &Settings) -> bool,
}

const SETTINGS: &[Setting] = &[
    Setting { key: "workers", read: workers, same: |a, b| a.workers == b.workers },
    Setting { key: "look_interval", read: look_interval, same: |a, b| a.look_interval == b.look_interval },
    Setting { key: "durability", read: durability, same: |a, b| a.durability == b.durability },
    Setting { key: "parallel", read: parallel, same: |a, b| a.parallel == b.parallel },
    Setting { key: "learning", read: learning, same: |a, b| a.learning == b.learning },
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
        SETTINGS.iter().filter(|setting| !(setting.same)(self, other)).map(|setting| setting.key)
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

fn look_interval(field: &Field<'_, '_>, settings: &mut Settings) -> Result<(), Wrong> {
    const SHORTEST: Duration = Duration::from_millis(10);
    let found = field.duration()?;
    if !(SHORTEST..=Policy::LONGEST).contains(&found) {
        let found = humantime::format_duration(found);
        return Err(field.wrong(&format!("must be 10ms to a hundred years, found {found}")));
    }
    settings.look_interval = found;
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
