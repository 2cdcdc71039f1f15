//! The policy keys, the same in `[defaults]` and in a collection, where they come first.

use std::time::Duration;

use lastword::core::vocabulary::{EmptySource, OnChange, Policy};
use toml::de::DeValue;

use super::document::{Field, Section, Wrong};

/// All keys.
pub(super) const KEYS: &[&str] = &[
    "quiet",
    "max_delay",
    "grace",
    "attempt_timeout",
    "max_attempts",
    "backoff_base",
    "backoff_cap",
    "on_change",
    "empty_source",
];

const ON_CHANGE: [(&str, OnChange); 3] = [
    ("supersede", OnChange::Supersede),
    ("finish_then_latest", OnChange::FinishThenLatest),
    ("reject", OnChange::Reject),
];

const EMPTY_SOURCE: [(&str, EmptySource); 2] = [("hold", EmptySource::Hold), ("apply", EmptySource::Apply)];

/// The policy of a collection: its own keys, then the defaults of the file, then those of the library.
pub(super) fn read(own: &Section<'_, '_>, defaults: Option<&Section<'_, '_>>) -> Result<Policy, Wrong> {
    let get = |key: &str| own.get(key).or_else(|| defaults.and_then(|defaults| defaults.get(key)));
    let mut policy = Policy::default();
    let span = |key: &str, target: &mut Duration| -> Result<(), Wrong> {
        if let Some(field) = get(key) {
            *target = field.duration()?;
        }
        Ok(())
    };
    span("quiet", &mut policy.coalesce.quiet)?;
    span("max_delay", &mut policy.coalesce.max_delay)?;
    span("grace", &mut policy.grace.0)?;
    span("backoff_base", &mut policy.retry.base)?;
    span("backoff_cap", &mut policy.retry.cap)?;
    if let Some(field) = get("attempt_timeout") {
        policy.attempt_timeout.0 = timeout(&field)?;
    }
    if let Some(field) = get("max_attempts") {
        let attempts = field.whole(1, u64::from(u32::MAX))?;
        policy.retry.max_attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    }
    if let Some(field) = get("on_change") {
        policy.on_change = one_of(&field, &ON_CHANGE)?;
    }
    if let Some(field) = get("empty_source") {
        policy.empty_source = one_of(&field, &EMPTY_SOURCE)?;
    }
    policy.check().map_err(|error| {
        let key = key_of(&error.field);
        get(key).map_or_else(|| own.wrong(key, &error.problem), |field| field.wrong(&error.problem))
    })?;
    Ok(policy)
}

fn timeout(field: &Field<'_, '_>) -> Result<Option<Duration>, Wrong> {
    match field.value() {
        DeValue::String(text) if text == "none" => Ok(None),
        _ => field.duration().map(Some),
    }
}

/// One of a few names.
fn one_of<T: Copy>(field: &Field<'_, '_>, allowed: &[(&str, T)]) -> Result<T, Wrong> {
    let found = match field.value() {
        DeValue::String(text) => allowed.iter().find(|(name, _)| name == text).map(|(_, meant)| *meant),
        _ => None,
    };
    let names = || allowed.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| field.wrong(&format!("must be one of {}", names())))
}

/// The key behind the name that the library has for a field.
fn key_of(field: &str) -> &str {
    match field {
        "policy.retry" => "max_attempts",
        "policy.retry.base" => "backoff_base",
        "policy.retry.cap" => "backoff_cap",
        other => other.rsplit('.').next().unwrap_or(other),
    }
}
