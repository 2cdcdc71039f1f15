//! What an observation left out, counted by the reason. It must not know the rules: whoever observes has its own.

use std::fmt;

/// Why something below a source is no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its name begins with a dot.
    Hidden,
    /// Its name begins with `_` and is not one of a partition (`_year=2023`).
    Underscore,
    /// Its name says that a writer is not done with it.
    Temporary,
    /// It stands for a directory in a store that has none: `x_$folder$`.
    Marker,
    /// A file system or a storage device keeps it for itself: `lost+found`, `@eaDir` and their like.
    System,
    /// It is no regular file: a FIFO, a socket, a device, a link that is not followed.
    Special,
    /// It is a link that leads nowhere.
    DeadLink,
    /// It has no bytes.
    Empty,
    /// Its writer is not done with it: it changed a moment ago, and its end is missing.
    Unfinished,
    /// The pattern of an `exclude` matches it.
    Excluded,
    /// There is an `include`, and no pattern of it matches the file.
    NotIncluded,
    /// Its name has another ending than those of its format, and there is no `include`.
    OtherEnding,
}

impl SkipReason {
    /// All reasons, in the order in which they are shown.
    pub const ALL: [SkipReason; 12] = [
        SkipReason::Hidden,
        SkipReason::Underscore,
        SkipReason::Temporary,
        SkipReason::Marker,
        SkipReason::System,
        SkipReason::Special,
        SkipReason::DeadLink,
        SkipReason::Empty,
        SkipReason::Unfinished,
        SkipReason::Excluded,
        SkipReason::NotIncluded,
        SkipReason::OtherEnding,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SkipReason::Hidden => "hidden",
            SkipReason::Underscore => "underscore",
            SkipReason::Temporary => "temporary",
            SkipReason::Marker => "marker",
            SkipReason::System => "system",
            SkipReason::Special => "special",
            SkipReason::DeadLink => "dead_link",
            SkipReason::Empty => "empty",
            SkipReason::Unfinished => "unfinished",
            SkipReason::Excluded => "excluded",
            SkipReason::NotIncluded => "not_included",
            SkipReason::OtherEnding => "other_ending",
        }
    }
}

/// How many files and directories an observation left out. A directory counts once: what lies below it was not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped([u64; SkipReason::ALL.len()]);

impl Skipped {
    /// Counts one more.
    pub fn add(&mut self, reason: SkipReason) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// How many were left out for this reason.
    #[must_use]
    pub fn of(&self, reason: SkipReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// How many were left out in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The reasons for which something was left out, each with how many.
    pub fn reasons(&self) -> impl Iterator<Item = (SkipReason, u64)> {
        SkipReason::ALL.into_iter().map(|reason| (reason, self.of(reason))).filter(|(_, count)| *count > 0)
    }
}

/// `2 hidden, 1 not included`; empty if nothing was left out.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (reason, count)) in self.reasons().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {}", reason.name().replace('_', " "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_and_a_name_of_its_own() {
        let mut skipped = Skipped::default();
        assert_eq!((skipped.to_string().as_str(), skipped.total()), ("", 0));
        for (at, reason) in SkipReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            (0..=at).for_each(|_| skipped.add(reason));
            assert_eq!(skipped.of(reason), at as u64 + 1);
        }
        assert_eq!(skipped.total(), 78);
        let names: std::collections::BTreeSet<_> = SkipReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), SkipReason::ALL.len());
        assert!(skipped.to_string().starts_with("1 hidden, 2 underscore, "));
        assert!(
            skipped
                .to_string()
                .ends_with(", 7 dead link, 8 empty, 9 unfinished, 10 excluded, 11 not included, 12 other ending")
        );
    }
}
