//! A policy as JSON: one object whose keys are those of the tool's configuration file, which reads its own by the same
//! table. It must not know where the text comes from.
//!
//! The JSON of events has a form of its own, in `describe`: there durations are numbers of microseconds.

use std::time::Duration;

use serde_json::{Map, Value};

use super::json::{found, kind, parse_strict, shortened};
use super::{EmptySource, FieldError, OnChange, Policy, PolicyChange, Priority};

/// One key: how it is read into a policy, and written; and how it is changed alone.
pub(super) struct Key {
    name: &'static str,
    read: fn(&Value, &mut Policy) -> Result<(), String>,
    write: fn(&Policy) -> Value,
    /// Changes it to what a policy says.
    pub(super) take: fn(&mut PolicyChange, &Policy),
    /// Whether it is changed.
    pub(super) changes: fn(&PolicyChange) -> bool,
}

impl Key {
    /// The one that is called so.
    pub(super) fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|known| known.name == name)
    }
}

/// Every key, in the order in which they are written.
const KEYS: &[Key] = &[
    Key {
        name: "quiet",
        read: |value, policy| span(value).map(|span| policy.coalesce.quiet = span),
        write: |policy| text(policy.coalesce.quiet),
        take: |change, policy| change.quiet = Some(policy.coalesce.quiet),
        changes: |change| change.quiet.is_some(),
    },
    Key {
        name: "max_delay",
        read: |value, policy| span(value).map(|span| policy.coalesce.max_delay = span),
        write: |policy| text(policy.coalesce.max_delay),
        take: |change, policy| change.max_delay = Some(policy.coalesce.max_delay),
        changes: |change| change.max_delay.is_some(),
    },
    Key {
        name: "grace",
        read: |value, policy| span(value).map(|span| policy.grace.0 = span),
        write: |policy| text(policy.grace.0),
        take: |change, policy| change.grace = Some(policy.grace),
        changes: |change| change.grace.is_some(),
    },
    Key {
        name: "attempt_timeout",
        read: |value, policy| span_or_none(value).map(|span| policy.attempt_timeout.0 = span),
        write: |policy| text_or_none(policy.attempt_timeout.0),
        take: |change, policy| change.attempt_timeout = Some(policy.attempt_timeout),
        changes: |change| change.attempt_timeout.is_some(),
    },
    Key {
        name: "max_attempts",
        read: |value, policy| count(value).map(|count| policy.retry.max_attempts = count),
        write: |policy| policy.retry.max_attempts.into(),
        take: |change, policy| change.max_attempts = Some(policy.retry.max_attempts),
        changes: |change| change.max_attempts.is_some(),
    },
    Key {
        name: "max_lost",
        read: |value, policy| count(value).map(|count| policy.retry.max_lost = count),
        write: |policy| policy.retry.max_lost.into(),
        take: |change, policy| change.max_lost = Some(policy.retry.max_lost),
        changes: |change| change.max_lost.is_some(),
    },
    Key {
        name: "max_lost_alone",
        read: |value, policy| count_or_none(value).map(|count| policy.retry.max_lost_alone = count),
        write: |policy| policy.retry.max_lost_alone.map_or_else(|| "none".into(), Value::from),
        take: |change, policy| change.max_lost_alone = Some(policy.retry.max_lost_alone),
        changes: |change| change.max_lost_alone.is_some(),
    },
    Key {
        name: "backoff_base",
        read: |value, policy| span(value).map(|span| policy.retry.base = span),
        write: |policy| text(policy.retry.base),
        take: |change, policy| change.base = Some(policy.retry.base),
        changes: |change| change.base.is_some(),
    },
    Key {
        name: "backoff_cap",
        read: |value, policy| span(value).map(|span| policy.retry.cap = span),
        write: |policy| text(policy.retry.cap),
        take: |change, policy| change.cap = Some(policy.retry.cap),
        changes: |change| change.cap.is_some(),
    },
    Key {
        name: "slow_retry",
        read: |value, policy| span_or_none(value).map(|span| policy.retry.slow = span),
        write: |policy| text_or_none(policy.retry.slow),
        take: |change, policy| change.slow = Some(policy.retry.slow),
        changes: |change| change.slow.is_some(),
    },
    Key {
        name: "max_lag",
        read: |value, policy| span_or_none(value).map(|span| policy.max_lag.0 = span),
        write: |policy| text_or_none(policy.max_lag.0),
        take: |change, policy| change.max_lag = Some(policy.max_lag),
        changes: |change| change.max_lag.is_some(),
    },
    Key {
        name: "on_change",
        read: |value, policy| one_of(value, &ON_CHANGE).map(|one| policy.on_change = one),
        write: |policy| name_of(policy.on_change, &ON_CHANGE),
        take: |change, policy| change.on_change = Some(policy.on_change),
        changes: |change| change.on_change.is_some(),
    },
    Key {
        name: "priority",
        read: |value, policy| priority(value).map(|priority| policy.priority.0 = priority),
        write: |policy| policy.priority.0.into(),
        take: |change, policy| change.priority = Some(policy.priority),
        changes: |change| change.priority.is_some(),
    },
    Key {
        name: "resync",
        read: |value, policy| span_or_none(value).map(|span| policy.resync.0 = span),
        write: |policy| text_or_none(policy.resync.0),
        take: |change, policy| change.resync = Some(policy.resync),
        changes: |change| change.resync.is_some(),
    },
    Key {
        name: "empty_source",
        read: |value, policy| one_of(value, &EMPTY_SOURCE).map(|one| policy.empty_source = one),
        write: |policy| name_of(policy.empty_source, &EMPTY_SOURCE),
        take: |change, policy| change.empty_source = Some(policy.empty_source),
        changes: |change| change.empty_source.is_some(),
    },
];

const ON_CHANGE: [(&str, OnChange); 3] = [
    ("supersede", OnChange::Supersede),
    ("finish_then_latest", OnChange::FinishThenLatest),
    ("reject", OnChange::Reject),
];

const EMPTY_SOURCE: [(&str, EmptySource); 2] = [("hold", EmptySource::Hold), ("apply", EmptySource::Apply)];

/// The key under which people write what a field of [`Policy::check`] is about.
fn key_of(field: &str) -> &str {
    match field {
        "policy.retry" => "max_attempts",
        "policy.retry.base" => "backoff_base",
        "policy.retry.cap" => "backoff_cap",
        "policy.retry.slow" => "slow_retry",
        other => other.rsplit('.').next().unwrap_or(other),
    }
}

impl Policy {
    /// The keys of a policy, in JSON and in the configuration file of the tool. The page `settings` of the documentation
    /// has what each is for.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        KEYS.iter().map(|key| key.name)
    }

    /// Sets what one key says: a duration is a text such as `"200ms"`, or `"none"` where it may be left out.
    /// [`check_by_key`](Policy::check_by_key) says whether all of them go together.
    ///
    /// # Errors
    /// Names the key as `policy.KEY`, and what is allowed there.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), FieldError> {
        let known = Key::find(key).ok_or_else(|| {
            let allowed: Vec<_> = Policy::keys().collect();
            FieldError::new(field(key), format!("is unknown; allowed are {}", allowed.join(", ")))
        })?;
        (known.read)(value, self).map_err(|problem| FieldError::new(field(key), problem))
    }

    /// The same as [`check`](Policy::check), with the field named by its key: `policy.backoff_base`.
    ///
    /// # Errors
    /// Names the key, and what is allowed there.
    pub fn check_by_key(&self) -> Result<(), FieldError> {
        self.check().map_err(|error| FieldError::new(field(key_of(&error.field)), error.problem))
    }

    /// Reads a policy from one JSON object, strictly: an unknown key or one that is there twice is an error. What it does
    /// not say is as by default.
    ///
    /// ```
    /// use lastword::policy::{OnChange, Policy};
    ///
    /// let policy = Policy::from_json(r#"{"on_change":"finish_then_latest","attempt_timeout":"none"}"#)?;
    /// assert_eq!((policy.on_change, policy.attempt_timeout.0), (OnChange::FinishThenLatest, None));
    /// assert_eq!(Policy::from_json(&policy.to_json())?, policy);
    /// let wrong = Policy::from_json(r#"{"grace":5}"#).unwrap_err();
    /// assert_eq!(wrong.to_string(), r#"policy.grace: must be a duration such as "200ms" or "5s", found a whole number"#);
    /// # Ok::<(), lastword::errors::FieldError>(())
    /// ```
    ///
    /// # Errors
    /// Names the key, and what is allowed there.
    pub fn from_json(text: &str) -> Result<Policy, FieldError> {
        Policy::from_value(&parse_strict("policy", text)?)
    }

    pub(super) fn from_value(value: &Value) -> Result<Policy, FieldError> {
        let Value::Object(members) = value else {
            return Err(FieldError::new("policy", format!("must be a JSON object, found {}", kind(value))));
        };
        let mut policy = Policy::default();
        members.iter().try_for_each(|(key, value)| policy.set(key, value))?;
        policy.check_by_key()?;
        Ok(policy)
    }

    /// The policy as one JSON object, with every key, as [`from_json`](Policy::from_json) reads it. Durations are in whole
    /// microseconds, as the log keeps them.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Object(self.to_members()).to_string()
    }

    pub(super) fn to_members(&self) -> Map<String, Value> {
        let policy = self.in_whole_micros();
        KEYS.iter().map(|key| (key.name.to_owned(), (key.write)(&policy))).collect()
    }
}

fn field(key: &str) -> String {
    format!("policy.{}", shortened(key))
}

fn text(span: Duration) -> Value {
    humantime::format_duration(span).to_string().into()
}

fn text_or_none(span: Option<Duration>) -> Value {
    span.map_or_else(|| "none".into(), text)
}

fn name_of<T: PartialEq>(value: T, names: &[(&'static str, T)]) -> Value {
    names.iter().find(|(_, meant)| *meant == value).map(|(name, _)| *name).into()
}

fn span(value: &Value) -> Result<Duration, String> {
    duration(value, "must be a duration such as \"200ms\" or \"5s\"")
}

fn span_or_none(value: &Value) -> Result<Option<Duration>, String> {
    match value {
        Value::String(text) if text == "none" => Ok(None),
        _ => duration(value, "must be a duration such as \"200ms\" or \"5s\", or \"none\"").map(Some),
    }
}

fn duration(value: &Value, allowed: &str) -> Result<Duration, String> {
    match value {
        Value::String(text) => {
            let span = humantime::parse_duration(text).map_err(|_| allowed.to_owned())?;
            // What is kept are microseconds, and what was written must not become nothing.
            let is_kept = span.is_zero() || span >= Duration::from_micros(1);
            if is_kept {
                Ok(span)
            } else {
                Err(format!("must be at least 1us if it is not zero, found {}", shortened(text)))
            }
        }
        other => Err(format!("{allowed}, found {}", kind(other))),
    }
}

fn count(value: &Value) -> Result<u32, String> {
    if let Some(count) = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0) {
        return Ok(count);
    }
    let limit = if value.as_u64().is_some_and(|count| count > 0) { "at most 4294967295" } else { "at least 1" };
    Err(format!("must be a whole number of {limit}, found {}", found(value)))
}

fn count_or_none(value: &Value) -> Result<Option<u32>, String> {
    match value {
        Value::String(text) if text == "none" => Ok(None),
        _ => count(value).map(Some).map_err(|problem| format!("{problem}; or \"none\"")),
    }
}

fn priority(value: &Value) -> Result<i16, String> {
    let most = Priority::HIGHEST;
    let priority = value.as_i64().and_then(|priority| i16::try_from(priority).ok());
    let priority = priority.filter(|priority| (-most..=most).contains(priority));
    priority.ok_or_else(|| format!("must be a whole number from -{most} to {most}, found {}", found(value)))
}

/// One of a few names.
fn one_of<T: Copy>(value: &Value, allowed: &[(&str, T)]) -> Result<T, String> {
    let found = value.as_str().and_then(|text| allowed.iter().find(|(name, _)| *name == text));
    let names = || allowed.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    found.map(|(_, meant)| *meant).ok_or_else(|| format!("must be one of {}", names()))
}

#[cfg(test)]
mod tests {
    use super::super::{AttemptTimeout, Coalesce, Grace, MaxLag, Resync, Retry};
    use super::*;

    #[test]
    fn defect_35_a_policy_is_read_back_from_its_json() {
        let odd = Policy {
            on_change: OnChange::Reject,
            empty_source: EmptySource::Apply,
            grace: Grace(Duration::from_micros(1_234_567)),
            coalesce: Coalesce { quiet: Duration::ZERO, max_delay: Duration::from_secs(3661) },
            retry: Retry {
                max_attempts: 3,
                max_lost: 7,
                base: Duration::from_millis(1),
                cap: Duration::from_secs(90),
                slow: None,
                max_lost_alone: None,
            },
            attempt_timeout: AttemptTimeout(None),
            priority: Priority(-1000),
            resync: Resync(Some(Duration::from_secs(86_400))),
            max_lag: MaxLag(None),
        };
        for policy in [Policy::default(), odd.clone()] {
            assert_eq!(Policy::from_json(&policy.to_json()), Ok(policy));
        }
        let written: Value = serde_json::from_str(&odd.to_json()).unwrap();
        assert!(Policy::keys().all(|key| written.get(key).is_some_and(|value| !value.is_null())), "{written}");
        assert_eq!(Policy::from_json("{}"), Ok(Policy::default()));
        // What is finer than the log keeps is not written either.
        let fine = Policy { grace: Grace(Duration::from_nanos(1_000_001)), ..Policy::default() };
        assert_eq!(Policy::from_json(&fine.to_json()), Ok(fine.in_whole_micros()));
    }

    #[test]
    fn defect_35_what_is_wrong_with_a_policy_is_named_by_its_key() {
        for (text, expected) in [
            ("", "policy: must be JSON: EOF"),
            ("[]", "policy: must be a JSON object, found an array"),
            (r#"{"grace":"1s","grace":"2s"}"#, "policy: must be JSON: an object names the key \"grace\" twice"),
            (r#"{"colour":1}"#, "policy.colour: is unknown; allowed are quiet, max_delay, grace,"),
            ("{\"\\u001b[31m\":1}", "policy.\\u{1b}[31m: is unknown"),
            (r#"{"grace":"soon"}"#, "policy.grace: must be a duration such as \"200ms\" or \"5s\""),
            (
                r#"{"resync":7}"#,
                "policy.resync: must be a duration such as \"200ms\" or \"5s\", or \"none\", found a whole",
            ),
            (r#"{"max_attempts":0}"#, "policy.max_attempts: must be a whole number of at least 1, found 0"),
            (r#"{"max_attempts":-1}"#, "policy.max_attempts: must be a whole number of at least 1, found -1"),
            (
                r#"{"max_lost":4294967296}"#,
                "policy.max_lost: must be a whole number of at most 4294967295, found 42949",
            ),
            (r#"{"max_lost":"9"}"#, "policy.max_lost: must be a whole number of at least 1, found a string"),
            (r#"{"priority":1001}"#, "policy.priority: must be a whole number from -1000 to 1000, found 1001"),
            (
                r#"{"on_change":"stop"}"#,
                "policy.on_change: must be one of \"supersede\", \"finish_then_latest\", \"reject\"",
            ),
            (r#"{"empty_source":null}"#, "policy.empty_source: must be one of \"hold\", \"apply\""),
            (r#"{"backoff_base":"1h"}"#, "policy.backoff_base: must be longer than zero and at most the cap"),
            (r#"{"backoff_base":"1ns"}"#, "policy.backoff_base: must be at least 1us if it is not zero, found 1ns"),
            (
                r#"{"attempt_timeout":"999ns"}"#,
                "policy.attempt_timeout: must be at least 1us if it is not zero, found 999ns",
            ),
            (r#"{"quiet":"1h"}"#, "policy.quiet: must be at most max_delay"),
            (r#"{"attempt_timeout":"0s"}"#, "policy.attempt_timeout: must be longer than zero, or none"),
        ] {
            let error = Policy::from_json(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
