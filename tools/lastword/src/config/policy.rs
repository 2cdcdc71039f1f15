//! The policy keys, the same in `[defaults]` and in a collection, where they come first. The library reads them: here is
//! only where each was found.

use lastword::core::vocabulary::{FieldError, Policy};

use super::collection::json;
use super::document::{Section, Wrong};

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
