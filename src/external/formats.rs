//! Which formats there are: those that the library brings, and a program's own. It must not know how any of them cuts.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(feature = "external")]
use super::Parquet;
use super::spec::{BROUGHT, FILES};
use super::{Format, WholeFiles};

/// The format that the library brings under that name, as a spec has it: `files`, and `parquet` with the feature
/// `external`.
#[must_use]
pub fn format_of(name: &str) -> Option<&'static dyn Format> {
    match name {
        FILES => Some(&WholeFiles),
        #[cfg(feature = "external")]
        "parquet" => Some(&Parquet),
        _ => None,
    }
}

/// The formats that specs may name: those that the library brings, and a program's own, which come first.
#[derive(Default)]
pub(super) struct Formats(BTreeMap<String, Box<dyn Format>>);

impl Formats {
    pub(super) fn add(&mut self, name: String, format: Box<dyn Format>) {
        self.0.insert(name, format);
    }

    pub(super) fn get(&self, name: &str) -> Option<&dyn Format> {
        match self.0.get(name) {
            Some(format) => Some(&**format),
            None => format_of(name),
        }
    }

    /// In ascending order.
    pub(super) fn names(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.0.keys().map(String::as_str).chain(BROUGHT.iter().copied()).collect();
        names.into_iter().collect()
    }
}
