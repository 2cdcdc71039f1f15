//! A declaration that changes a part of a policy. It must not know what any of it means: that is the policy's.

use std::time::Duration;

use serde_json::{Map, Value};

use super::json::{kind, parse_strict};
use super::policy_json::Key;
use super::{
    AttemptTimeout, Coalesce, EmptySource, FieldError, Grace, MaxLag, OnChange, Policy, Priority, Resync, Retry,
};

/// What of a [`Policy`] is changed: what is `None` stays as it is. The names are those of the policy's own fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// [`Policy::on_change`].
    pub on_change: Option<OnChange>,
    /// [`Policy::grace`].
    pub grace: Option<Grace>,
    /// [`Coalesce::quiet`].
    pub quiet: Option<Duration>,
    /// [`Coalesce::max_delay`].
    pub max_delay: Option<Duration>,
    /// [`Policy::empty_source`].
    pub empty_source: Option<EmptySource>,
    /// [`Retry::max_attempts`].
    pub max_attempts: Option<u32>,
    /// [`Retry::base`].
    pub base: Option<Duration>,
    /// [`Retry::cap`].
    pub cap: Option<Duration>,
    /// [`Retry::slow`].
    pub slow: Option<Option<Duration>>,
    /// [`Retry::max_lost`].
    pub max_lost: Option<u32>,
    /// [`Retry::max_lost_alone`].
    pub max_lost_alone: Option<Option<u32>>,
    /// [`Policy::attempt_timeout`].
    pub attempt_timeout: Option<AttemptTimeout>,
    /// [`Policy::priority`].
    pub priority: Option<Priority>,
    /// [`Policy::resync`].
    pub resync: Option<Resync>,
    /// [`Policy::max_lag`].
    pub max_lag: Option<MaxLag>,
}

impl PolicyChange {
    /// What it makes of `policy`.
    #[must_use]
    pub fn of(&self, policy: &Policy) -> Policy {
        // Without `..`: a new field does not compile before it has its place here.
        let Policy { on_change, grace, coalesce, empty_source, retry, attempt_timeout, priority, resync, max_lag } =
            policy;
        let Coalesce { quiet, max_delay } = *coalesce;
        let Retry { max_attempts, base, cap, slow, max_lost, max_lost_alone } = *retry;
        Policy {
            on_change: self.on_change.unwrap_or(*on_change),
            grace: self.grace.unwrap_or(*grace),
            coalesce: Coalesce { quiet: self.quiet.unwrap_or(quiet), max_delay: self.max_delay.unwrap_or(max_delay) },
            empty_source: self.empty_source.unwrap_or(*empty_source),
            retry: Retry {
                max_attempts: self.max_attempts.unwrap_or(max_attempts),
                base: self.base.unwrap_or(base),
                cap: self.cap.unwrap_or(cap),
                slow: self.slow.unwrap_or(slow),
                max_lost: self.max_lost.unwrap_or(max_lost),
                max_lost_alone: self.max_lost_alone.unwrap_or(max_lost_alone),
            },
            attempt_timeout: self.attempt_timeout.unwrap_or(*attempt_timeout),
            priority: self.priority.unwrap_or(*priority),
            resync: self.resync.unwrap_or(*resync),
            max_lag: self.max_lag.unwrap_or(*max_lag),
        }
    }

    /// Reads a change from one JSON object with keys of [`Policy::from_json`]: those that it has are changed.
    ///
    /// # Errors
    /// Names the key, and what is allowed there. Whether the policy that it leads to can be is known once that is.
    pub fn from_json(text: &str) -> Result<PolicyChange, FieldError> {
        PolicyChange::from_value(&parse_strict("policy_change", text)?)
    }

    pub(super) fn from_value(value: &Value) -> Result<PolicyChange, FieldError> {
        let Value::Object(members) = value else {
            return Err(FieldError::new("policy_change", format!("must be a JSON object, found {}", kind(value))));
        };
        let (mut policy, mut change) = (Policy::default(), PolicyChange::default());
        for (key, value) in members {
            policy.set(key, value)?;
            if let Some(key) = Key::find(key) {
                (key.take)(&mut change, &policy);
            }
        }
        Ok(change)
    }

    /// The change as one JSON object, with the keys that it changes, as [`from_json`](PolicyChange::from_json) reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Object(self.members()).to_string()
    }

    pub(super) fn members(&self) -> Map<String, Value> {
        let members = self.of(&Policy::default()).to_members();
        members.into_iter().filter(|(key, _)| Key::find(key).is_some_and(|key| (key.changes)(self))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_35_every_key_can_be_changed_alone_and_is_read_back() {
        for key in Policy::keys() {
            let Some(value) = Policy::default().to_members().remove(key) else { panic!("{key}") };
            let text = format!("{{\"{key}\":{value}}}");
            let change = PolicyChange::from_json(&text).unwrap();
            assert_ne!(change, PolicyChange::default(), "{key}");
            assert_eq!(change.to_json(), text);
        }
    }
}
