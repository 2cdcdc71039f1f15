//! One thing that is tried, and what follows if it is not well. It must not know the others.

use super::finding::NeededBy;
use super::place::Place;
use crate::external::buckets::fault::Fault;

/// Well, or not, and what was seen.
pub(super) type Verdict = Result<String, String>;

pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) needed_by: NeededBy,
    /// What follows if it is not well.
    pub(super) follows: &'static str,
    pub(super) run: fn(&Place<'_>) -> Result<Verdict, Fault>,
}

/// What was seen and is well.
pub(super) fn well(saw: impl Into<String>) -> Result<Verdict, Fault> {
    Ok(Ok(saw.into()))
}

/// What was seen and is not.
pub(super) fn not_well(saw: impl Into<String>) -> Result<Verdict, Fault> {
    Ok(Err(saw.into()))
}
