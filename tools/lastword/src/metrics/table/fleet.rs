//! What collections do and wait for, and how far they are behind.

use super::super::seen::{LAGS, NAMED, Named, unix};
use super::row::{Kind, Metric, Sample, Value, by, count, float, labelled, one};

/// As many as the texts below say.
const _: () = assert!(NAMED == 20, "the number stands in help and documentation");

pub(super) const FLEET: &[Metric] = &[
    Metric {
        name: "lastword_build_info",
        kind: Kind::Gauge,
        unit: "1",
        labels: &["version"],
        help: "Always 1; the version of the program is its label",
        read: |_| vec![labelled([env!("CARGO_PKG_VERSION")], 1.0)],
    },
    Metric {
        name: "lastword_opened_timestamp_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &[],
        help: "When the run opened its log, in seconds since 1970. Every counter begins with zero then",
        read: |seen| one(unix(seen.opened)),
    },
    Metric {
        name: "lastword_collections",
        kind: Kind::Gauge,
        unit: "collections",
        labels: &["condition"],
        help: "Collections by their condition: what each does or waits for. The sum is all of them",
        read: |seen| {
            let each = seen.fleet.conditions.iter();
            each.map(|(condition, number)| labelled([condition], float(*number))).collect()
        },
    },
    Metric {
        name: "lastword_collections_flagged",
        kind: Kind::Gauge,
        unit: "collections",
        labels: &["flag"],
        help: "Collections that are held, parked, paused, unobservable or not observed, also where the condition is another",
        read: |seen| {
            let stats = &seen.stats;
            by([
                ("held", stats.held),
                ("not_observed", stats.not_observed),
                ("parked", stats.parked),
                ("paused", stats.paused),
                ("unobservable", stats.unobservable),
            ])
        },
    },
    Metric {
        name: "lastword_collection_needs_somebody",
        kind: Kind::Gauge,
        unit: "1",
        labels: &["collection", "condition"],
        help: "1 for a collection that a person has to see to: the first 20 by name",
        read: |seen| seen.fleet.stuck.iter().map(|named| of(named, 1.0)).collect(),
    },
    Metric {
        name: "lastword_collection_lag_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &["collection", "condition"],
        help: "How long ago the first inputs that are not applied were heard of: the 20 collections that are furthest behind",
        read: |seen| seen.fleet.worst.iter().map(|named| of(named, named.lag)).collect(),
    },
    Metric {
        name: "lastword_lag_max_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &[],
        help: "The greatest lag of a collection whose source can be observed; 0 if none is behind",
        read: |seen| one(seen.stats.lag.as_secs_f64()),
    },
    Metric {
        name: "lastword_lag_seconds",
        kind: Kind::Histogram,
        unit: "seconds",
        labels: &[],
        help: "The lags of all collections as they are at this moment, where they are known. Its buckets go up and down: \
               histogram_quantile takes them as they are, without rate",
        read: |seen| {
            let fleet = seen.fleet;
            let mut below = 0;
            let each = fleet.within.map(|within| within - std::mem::replace(&mut below, within));
            let buckets = LAGS.iter().map(|bound| f64::from(*bound)).zip(each).collect();
            let value = Value::Histogram { sum: fleet.lag_sum, count: fleet.lags, buckets };
            vec![Sample { labels: Vec::new(), value }]
        },
    },
    Metric {
        name: "lastword_lag_unknown",
        kind: Kind::Gauge,
        unit: "collections",
        labels: &[],
        help: "Collections whose lag is not known: their source cannot be observed, is late, or nobody has looked since the start",
        read: |seen| count(seen.fleet.unknown),
    },
    Metric {
        name: "lastword_listed_age_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &[],
        help: "How old the list is from which conditions, lags and names come; it is made anew when it is nine times as old as that took",
        read: |seen| one(seen.fleet.age().as_secs_f64()),
    },
];

fn of(named: &Named, number: f64) -> Sample {
    labelled([named.name.as_str(), named.condition], number)
}
