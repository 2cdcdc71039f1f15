//! Every metric there is: one row each.
//!
//! Owns the names, and what each stands for. Names are as Prometheus asks for: a prefix, the unit as the last word (seconds,
//! bytes), `_total` for what is only counted up. *It must not know* how they are written.

mod fleet;
mod log;
mod row;
mod work;

pub(super) use row::{Kind, Metric, Sample, Value};

/// All rows, in the order in which they are shown.
pub(super) fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|(_, rows)| rows.iter())
}

/// The rows by what they are about.
pub(super) const SECTIONS: [(&str, &[Metric]); 5] = [
    ("Of the fleet", fleet::FLEET),
    ("Of tasks and attempts", work::TASKS),
    ("Of looks at sources", work::LOOKS),
    ("Of deliveries", work::DELIVERIES),
    ("Of the log and the engine", log::LOG),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_none_comes_twice() {
        let mut names = BTreeSet::new();
        for Metric { name, kind, unit, labels, help, .. } in all() {
            assert!(names.insert(*name), "{name} comes twice");
            assert!(name.starts_with("lastword_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}: what is counted up ends so");
            let base = name.trim_end_matches("_total");
            for word in ["seconds", "bytes"] {
                assert_eq!(*unit == word, base.ends_with(&format!("_{word}")), "{name} has the unit {unit}");
            }
            assert!(!["le", "quantile", "job", "instance"].iter().any(|taken| labels.contains(taken)), "{name}");
            assert!(!help.is_empty() && !help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
        }
        assert!(names.len() > 40, "{names:?}");
    }
}
