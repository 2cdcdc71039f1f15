//! What a run was told for the whole of it: the keys at the top of its file. A file that says something else is found by
//! digests, so that no value is repeated.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use lastword::core::vocabulary::Limits;
use serde_json::{Map, Value, json};

use crate::config::{Config, shown_limits};

/// Two programs may write one setting differently: digests are of one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The key that a run reads again, and that a log has.
const LIMITS: &str = "limits";

/// The keys that are known, each with a digest of what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told(BTreeMap<String, String>);

impl Told {
    pub(crate) fn of(config: &Config) -> Told {
        Told(config.shown().into_iter().map(|(key, shown)| (key.to_owned(), digest(&shown))).collect())
    }

    /// All that a log knows of it.
    pub(crate) fn of_log(limits: &Limits) -> Told {
        Told(BTreeMap::from([(LIMITS.to_owned(), digest(&shown_limits(limits)))]))
    }

    /// As a run answers.
    pub(crate) fn json(&self) -> Value {
        json!({ "version": VERSION, "settings": self.0 })
    }

    /// What a run has answered; `None` if it is of another version.
    pub(crate) fn parse(version: Option<&str>, settings: &Map<String, Value>) -> Option<Told> {
        let known = settings.iter().map(|(key, digest)| Some((key.clone(), digest.as_str()?.to_owned())));
        (version == Some(VERSION)).then(|| known.collect::<Option<_>>().map(Told))?
    }

    /// The keys in which a file says something else, and whether all of them are read again.
    pub(crate) fn differs(&self, config: &Config) -> Option<(Vec<&'static str>, bool)> {
        let others = config.shown().into_iter();
        let others = others.filter(|(key, shown)| self.0.get(*key).is_some_and(|known| *known != digest(shown)));
        let others: Vec<&str> = others.map(|(key, _)| key).collect();
        let are_read_again = others == [LIMITS];
        (!others.is_empty()).then_some((others, are_read_again))
    }
}

fn digest(shown: &str) -> String {
    let mut hasher = DefaultHasher::new();
    shown.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
