//! The policy keys, the same in `[defaults]` and in a collection, where they come first. The library reads them: here is
//! only where each was found.

use lastword::core::vocabulary::{FieldError, Policy};

<<<<<<< HEAD
use super::collection::json;
use super::document::{Section, Wrong};
=======
use lastword::core::vocabulary::{EmptySource, OnChange, Policy, Priority};
use toml::de::DeValue;

use super::document::{Field, Section, Wrong};

/// How a key is read into a policy.
type Read = for<'f, 'd, 'i> fn(&'f Field<'d, 'i>, &mut Policy) -> Result<(), Wrong>;

/// Every key, and what it means.
const POLICY: &[(&str, Read)] = &[
    ("quiet", |field, policy| span(field, &mut policy.coalesce.quiet)),
    ("max_delay", |field, policy| span(field, &mut policy.coalesce.max_delay)),
    ("grace", |field, policy| span(field, &mut policy.grace.0)),
    ("attempt_timeout", |field, policy| span_or_none(field, &mut policy.attempt_timeout.0)),
    ("max_attempts", |field, policy| count(field, &mut policy.retry.max_attempts)),
    ("max_lost", |field, policy| count(field, &mut policy.retry.max_lost)),
    ("max_lost_alone", |field, policy| count_or_none(field, &mut policy.retry.max_lost_alone)),
    ("backoff_base", |field, policy| span(field, &mut policy.retry.base)),
    ("backoff_cap", |field, policy| span(field, &mut policy.retry.cap)),
    ("slow_retry", |field, policy| span_or_none(field, &mut policy.retry.slow)),
    ("on_change", |field, policy| one_of(field, &ON_CHANGE, &mut policy.on_change)),
    ("priority", |field, policy| priority(field, &mut policy.priority)),
    ("resync", |field, policy| span_or_none(field, &mut policy.resync.0)),
    ("max_lag", |field, policy| span_or_none(field, &mut policy.max_lag.0)),
    ("empty_source", |field, policy| one_of(field, &EMPTY_SOURCE, &mut policy.empty_source)),
];

const ON_CHANGE: [(&str, OnChange); 3] = [
    ("supersede", OnChange::Supersede),
    ("finish_then_latest", OnChange::FinishThenLatest),
    ("reject", OnChange::Reject),
];

const EMPTY_SOURCE: [(&str, EmptySource); 2] = [("hold", EmptySource::Hold), ("apply", EmptySource::Apply)];
>>>>>>> core

/// All keys.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    Policy::keys()
}

/// The policy of a collection: its own keys, then the defaults of the file, then those of the library.
pub(super) fn read(own: &Section<'_, '_>, defaults: Option<&Section<'_, '_>>) -> Result<Policy, Wrong> {
    let get = |key: &str| own.get(key).or_else(|| defaults.and_then(|defaults| defaults.get(key)));
    let mut policy = Policy::default();
    for key in Policy::keys() {
        if let Some(field) = get(key) {
            let value = json(&field, field.value())?;
            policy.set(key, &value).map_err(|error| field.wrong(&error.problem))?;
        }
    }
    policy.check_by_key().map_err(|FieldError { field, problem }| {
        let key = field.trim_start_matches("policy.");
        get(key).map_or_else(|| own.wrong(key, &problem), |field| field.wrong(&problem))
    })?;
    Ok(policy)
}
<<<<<<< HEAD
=======

fn span(field: &Field<'_, '_>, target: &mut Duration) -> Result<(), Wrong> {
    *target = field.duration()?;
    Ok(())
}

fn span_or_none(field: &Field<'_, '_>, target: &mut Option<Duration>) -> Result<(), Wrong> {
    *target = field.duration_or_none()?;
    Ok(())
}

fn count(field: &Field<'_, '_>, target: &mut u32) -> Result<(), Wrong> {
    let found = field.whole(1, u64::from(u32::MAX))?;
    *target = u32::try_from(found).unwrap_or(u32::MAX);
    Ok(())
}

fn count_or_none(field: &Field<'_, '_>, target: &mut Option<u32>) -> Result<(), Wrong> {
    if matches!(field.value(), DeValue::String(text) if text == "none") {
        *target = None;
        return Ok(());
    }
    count(field, target.get_or_insert(1))
}

fn priority(field: &Field<'_, '_>, target: &mut Priority) -> Result<(), Wrong> {
    target.0 = field.integer(-Priority::HIGHEST, Priority::HIGHEST)?;
    Ok(())
}

/// One of a few names.
fn one_of<T: Copy>(field: &Field<'_, '_>, allowed: &[(&str, T)], target: &mut T) -> Result<(), Wrong> {
    let found = match field.value() {
        DeValue::String(text) => allowed.iter().find(|(name, _)| name == text).map(|(_, meant)| *meant),
        _ => None,
    };
    let names = || allowed.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    *target = found.ok_or_else(|| field.wrong(&format!("must be one of {}", names())))?;
    Ok(())
}

/// The key behind the name that the library has for a field.
fn key_of(field: &str) -> &str {
    match field {
        "policy.retry" => "max_attempts",
        "policy.retry.base" => "backoff_base",
        "policy.retry.cap" => "backoff_cap",
        "policy.retry.slow" => "slow_retry",
        other => other.rsplit('.').next().unwrap_or(other),
    }
}
>>>>>>> core
