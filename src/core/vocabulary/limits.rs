//! How many attempts may hold a worker at the same time.

use std::collections::BTreeMap;
use std::fmt;

use super::{FieldError, Kind, Name};

/// The most attempts that may hold a worker at the same time: over all collections, of one kind, and of the
/// collections whose names begin alike. An attempt that was told to stop counts until it has stopped or is abandoned.
/// What is not named has no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Over all collections.
    pub total: Option<u32>,
    /// Of each of these kinds.
    pub kinds: BTreeMap<Kind, u32>,
    /// Of the collections whose names begin with each of these; a name may be under several.
    pub prefixes: BTreeMap<Name, u32>,
}

/// What a limit is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All collections.
    Total,
    /// The collections of this kind.
    Kind(Kind),
    /// The collections whose names begin so.
    Prefix(Name),
}

impl Scope {
    /// Writes how many attempts it allows, `most`.
    pub(crate) fn write_most(&self, most: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = if most == 1 { "attempt" } else { "attempts" };
        write!(f, "at most {most} {attempts} may run for {self}")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Total => f.write_str("all collections"),
            Scope::Kind(kind) => write!(f, "collections of kind {kind}"),
            Scope::Prefix(prefix) => write!(f, "collections whose names begin with {prefix}"),
        }
    }
}

impl Limits {
    /// The most kinds and prefixes that may have a limit, together: each is looked at whenever work is given out.
    pub const MOST_SCOPES: usize = 1024;

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the field and what is allowed in it.
    pub fn check(&self) -> Result<(), FieldError> {
        let scopes = self.kinds.len() + self.prefixes.len();
        if scopes > Self::MOST_SCOPES {
            let problem = format!("must name at most {} kinds and prefixes, found {scopes}", Self::MOST_SCOPES);
            return Err(FieldError::new("limits", problem));
        }
        let total = self.total.map(|most| ("limits.total".to_owned(), most));
        let kinds = self.kinds.iter().map(|(kind, most)| (format!("limits.kinds.{kind}"), *most));
        let prefixes = self.prefixes.iter().map(|(prefix, most)| (format!("limits.prefixes.{prefix}"), *most));
        match total.into_iter().chain(kinds).chain(prefixes).find(|(_, most)| *most == 0) {
            Some((field, _)) => Err(FieldError::new(field, "must be at least 1; a pause stops a collection")),
            None => Ok(()),
        }
    }

    /// The longest prefix that has a limit and that `name` begins with. All others that it begins with are prefixes
    /// of this one.
    #[must_use]
    pub fn prefix_of<'l>(&'l self, name: &Name) -> Option<&'l Name> {
        self.prefixes_of(name).max_by_key(|prefix| prefix.as_str().len())
    }

    /// The prefixes that have a limit and that `name` begins with.
    pub(crate) fn prefixes_of<'l, 'n>(&'l self, name: &'n Name) -> impl Iterator<Item = &'l Name> + use<'l, 'n> {
        self.prefixes.keys().filter(|prefix| name.as_str().starts_with(prefix.as_str()))
    }
}
