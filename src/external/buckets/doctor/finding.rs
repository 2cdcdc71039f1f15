//! What was found out about a store, as plain data. It must not know how.

/// What an object store was found to do below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examination {
    /// The prefix that it was asked to hold something below.
    pub prefix: String,
    /// What was tried, in this order.
    pub findings: Vec<Finding>,
    /// Keys that were made and could not be removed, at most a hundred of them. Nothing else is left of the examination.
    pub left: Vec<String>,
    /// How many keys that may be.
    pub left_count: usize,
    /// Whether the bucket keeps older versions: what was made and removed stays there as such.
    pub keeps_versions: bool,
    /// Whether it went to its end: it was not told to stop, and the store answered.
    pub is_whole: bool,
    /// Whether it was told to stop.
    pub is_interrupted: bool,
    /// Requests that were sent, those that were tried again included.
    pub requests: u64,
}

impl Examination {
    /// Whether sources may live there: objects could be read, and nothing that sources need was found wanting.
    #[must_use]
    pub fn may_hold_sources(&self) -> bool {
        let needed = || self.findings.iter().filter(|finding| finding.needed_by == NeededBy::Sources);
        let could_read = needed().any(|finding| finding.name == READS && finding.outcome == FindingOutcome::Ok);
        self.is_whole && could_read && needed().all(|finding| finding.outcome != FindingOutcome::NotOk)
    }

    /// Whether a log may live there as well: all that one needs was tried, and was well.
    #[must_use]
    pub fn may_hold_log(&self) -> bool {
        let mut needed = self.findings.iter().filter(|finding| finding.needed_by != NeededBy::Nothing);
        self.may_hold_sources() && needed.all(|finding| finding.outcome == FindingOutcome::Ok)
    }
}

/// The check that reads an object, whether it was made for that or found.
pub(super) const READS: &str = "ranges";

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What, as one word that stays the same.
    pub name: &'static str,
    /// How it went.
    pub outcome: FindingOutcome,
    /// What needs it.
    pub needed_by: NeededBy,
    /// What was seen, or why it could not be tried.
    pub saw: String,
    /// What follows from that if it is not well. Empty if it is.
    pub follows: &'static str,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingOutcome {
    /// As it has to be.
    Ok,
    /// Not so.
    NotOk,
    /// It could not be tried.
    NotTried,
}

impl FindingOutcome {
    /// `ok`, `not_ok` or `not_tried`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FindingOutcome::Ok => "ok",
            FindingOutcome::NotOk => "not_ok",
            FindingOutcome::NotTried => "not_tried",
        }
    }
}

/// What needs a store to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NeededBy {
    /// It is good to have, or good to know.
    Nothing,
    /// A log.
    Log,
    /// A source, and a log.
    Sources,
}

impl NeededBy {
    /// `nothing`, `log` or `sources`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NeededBy::Nothing => "nothing",
            NeededBy::Log => "log",
            NeededBy::Sources => "sources",
        }
    }
}
