//! `[limits]`: how many attempts may run at the same time.

use std::collections::BTreeMap;

use lastword::core::vocabulary::{FieldError, Kind, Limits, Name};
use toml::de::DeValue;

use super::collection::KIND;
use super::document::{self, Field, Section, Wrong};

/// All keys.
pub(super) const KEYS: [&str; 3] = ["total", "kinds", "prefixes"];

pub(super) fn read(top: &Section<'_, '_>) -> Result<Limits, Wrong> {
    let Some(section) = top.section("limits")? else { return Ok(Limits::default()) };
    section.only(&KEYS)?;
    let total = match section.get("total") {
        Some(field) if matches!(field.value(), DeValue::String(text) if text == "none") => None,
        Some(field) if matches!(field.value(), DeValue::Integer(_)) => Some(most(&field)?),
        Some(field) => {
            let found = document::kind(field.value());
            return Err(field.wrong(&format!("must be a whole number of at least 1, or \"none\", found {found}")));
        }
        None => None,
    };
    // One kind is all that a file can have; a limit of another would hold nothing back.
    section.section("kinds")?.map_or(Ok(()), |kinds| kinds.only(&[KIND]))?;
    let limits = Limits {
        total,
        kinds: table(&section, "kinds", Kind::new)?,
        prefixes: table(&section, "prefixes", Name::new)?,
    };
    // Each was checked; what is left is about all of them.
    limits.check().map_err(|error| top.wrong("limits", &error.problem))?;
    Ok(limits)
}

fn table<K: Ord>(
    section: &Section<'_, '_>,
    key: &str,
    parse: fn(&str) -> Result<K, FieldError>,
) -> Result<BTreeMap<K, u32>, Wrong> {
    let inner = section.section(key)?;
    let fields = inner.iter().flat_map(Section::fields);
    fields.map(|(key, field)| Ok((parse(key).map_err(|error| field.wrong(&error.problem))?, most(&field)?))).collect()
}

fn most(field: &Field<'_, '_>) -> Result<u32, Wrong> {
    let found = field.whole(1, u64::from(u32::MAX))?;
    Ok(u32::try_from(found).unwrap_or(u32::MAX))
}
