//! Which collections are shown, in which order, and what they add up to.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use glob::Pattern;
use lastword::core::vocabulary::Name;

use super::row::Row;
use crate::console::grouped;
use crate::fail::{Fail, USAGE};

/// The words of `--condition`: all that a collection may be, and `unmanaged`.
pub(crate) const CONDITIONS: [&str; 20] = [
    "fresh",
    "awaiting_observation",
    "awaiting_caller",
    "not_observed",
    "no_worker",
    "unobservable",
    "settling",
    "held",
    "running",
    "draining",
    "backing_off",
    "failing",
    "moving",
    "waiting_for_worker",
    "isolated",
    "limit",
    "parked",
    "undelivered",
    "paused",
    "unmanaged",
];

/// The order of what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// Those first that need somebody
    Problems,
    /// By name
    Name,
    /// Those first that are furthest behind, or of which that is not known
    Lag,
    /// Those first that are as they are for longest
    #[value(alias = "age")]
    Since,
    /// By the word of the condition
    Condition,
}

impl Order {
    pub(super) fn sort(self, rows: &mut [Row]) {
        let name = |row: &Row| row.facts.name.clone();
        match self {
            Order::Problems => rows.sort_by_cached_key(|row| (row.rank(), name(row))),
            Order::Name => rows.sort_by_cached_key(name),
            Order::Lag => rows.sort_by_cached_key(|row| {
                let lag = row.lag();
                (lag.is_some(), Reverse(lag), name(row))
            }),
            Order::Condition => rows.sort_by_cached_key(|row| (row.facts.condition.clone(), name(row))),
            Order::Since => {
                rows.sort_by_cached_key(|row| (row.facts.since.is_none(), row.facts.since.clone(), name(row)))
            }
        }
    }
}

/// What a person asked for. All conditions have to hold.
pub(super) struct Selection {
    names: Vec<(String, Pattern)>,
    conditions: Vec<String>,
    unhealthy: bool,
}

impl Selection {
    pub(super) fn new(names: &[String], conditions: &[String], unhealthy: bool) -> Result<Selection, Fail> {
        let pattern = |name: &String| {
            let wrong = |error: glob::PatternError| Fail::new(USAGE, format!("{name:?}: {}", error.msg));
            Ok((name.clone(), Pattern::new(name).map_err(wrong)?))
        };
        let names = names.iter().map(pattern).collect::<Result<_, Fail>>()?;
        Ok(Selection { names, conditions: conditions.to_vec(), unhealthy })
    }

    /// The names that stand for themselves; nothing if there is a pattern, or no name at all.
    pub(super) fn exact(&self) -> Option<Vec<Name>> {
        let names = self.names.iter().filter(|(name, _)| !name.contains(['*', '?', '[']));
        let exact: Vec<Name> = names.filter_map(|(name, _)| Name::new(name).ok()).collect();
        (!self.names.is_empty() && exact.len() == self.names.len()).then_some(exact)
    }

    pub(super) fn holds_name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|(exact, glob)| exact == name || glob.matches(name))
    }

    /// Whether what is left of a dropped collection of this name is shown: it is in no condition.
    pub(super) fn holds_dropped(&self, name: &str) -> bool {
        self.conditions.is_empty() && self.holds_name(name)
    }

    /// The first name or pattern that none of these has.
    pub(super) fn unknown<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> Option<&str> {
        let is_there =
            |(exact, glob): &&(String, Pattern)| names.clone().any(|name| exact == name || glob.matches(name));
        self.names.iter().find(|asked| !is_there(asked)).map(|(asked, _)| asked.as_str())
    }

    pub(super) fn holds(&self, row: &Row) -> bool {
        let facts = &row.facts;
        let is = |word: &String| {
            *word == facts.condition || word == "paused" && facts.paused || word == "unmanaged" && row.gone.is_some()
        };
        (self.conditions.is_empty() || self.conditions.iter().any(is)) && (!self.unhealthy || row.needs_somebody())
    }

    /// What is said if nothing is left of `all`.
    pub(super) fn nothing(&self, all: usize) -> String {
        let mut asked = Vec::new();
        if !self.conditions.is_empty() {
            asked.push(format!("is {}", self.conditions.join(" or ")));
        }
        if self.unhealthy {
            asked.push("needs somebody".to_owned());
        }
        match all {
            0 => "there are no collections".to_owned(),
            1 => format!("the one collection is not shown: not one {}", asked.join(" and ")),
            all => format!("none of {} collections {}", grouped(all as u64), asked.join(" and ")),
        }
    }
}

/// How many there are of each condition; `all`: before some were left out.
pub(super) fn summary(rows: &[Row], all: usize) -> String {
    let mut counts: BTreeMap<String, (u8, u64)> = BTreeMap::new();
    for row in rows {
        // What is wrong besides does not make two of one word.
        let (rank, count) = counts.entry(row.condition()).or_insert((u8::MAX, 0));
        *rank = (*rank).min(if row.condition() == "fresh" { 5 } else { row.rank() });
        *count += 1;
    }
    let mut counts: Vec<(u8, String)> =
        counts.into_iter().map(|(word, (rank, count))| (rank, format!("{} {word}", grouped(count)))).collect();
    counts.sort();
    let mut counts: Vec<String> = counts.into_iter().map(|(_, count)| count).collect();
    // A condition hides these.
    let paused = rows.iter().filter(|row| row.facts.paused && row.facts.condition != "paused").count();
    let unmanaged = rows.iter().filter(|row| row.gone.is_some()).count();
    let besides = [(paused, "paused as well"), (unmanaged, "unmanaged")].into_iter().filter(|(count, _)| *count > 0);
    counts.extend(besides.map(|(count, what)| format!("of them {} {what}", grouped(count as u64))));
    let shown = grouped(rows.len() as u64);
    let shown = if rows.len() == all { shown } else { format!("{shown} of {}", grouped(all as u64)) };
    let collections = if all == 1 { "collection" } else { "collections" };
    format!("{shown} {collections}: {}", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_48_every_condition_can_be_asked_for() {
        let design = include_str!("../../../../src/design.md");
        let words = design.split("* **condition**:").nth(1).unwrap().split("\n* **").next().unwrap();
        let words: Vec<&str> = words.split('`').skip(1).step_by(2).collect();
        assert!(words.len() > 10, "{words:?}");
        assert_eq!(words[..], CONDITIONS[..CONDITIONS.len() - 1], "and `unmanaged`");
    }
}
