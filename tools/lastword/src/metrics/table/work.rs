//! What the engine has done: tasks, attempts, looks and deliveries.

use super::row::{Kind, Metric, by, count, one, times};

pub(super) const TASKS: &[Metric] = &[
    Metric {
        name: "lastword_tasks_created_total",
        kind: Kind::Counter,
        unit: "tasks",
        labels: &[],
        help: "Tasks created: each brings one collection to one fingerprint",
        read: |seen| count(seen.stats.counters.tasks),
    },
    Metric {
        name: "lastword_tasks_ended_total",
        kind: Kind::Counter,
        unit: "tasks",
        labels: &["outcome"],
        help: "Tasks that ended: committed, superseded by something newer, cancelled by a person, dropped with their \
               collection, or parked",
        read: |seen| {
            let counters = &seen.stats.counters;
            let parked = counters.parked_permanent + counters.parked_out_of_attempts + counters.parked_lost_too_often;
            by([
                ("cancelled", counters.cancelled),
                ("committed", counters.committed),
                ("dropped", counters.dropped),
                ("parked", parked),
                ("superseded", counters.superseded),
            ])
        },
    },
    Metric {
        name: "lastword_tasks_parked_total",
        kind: Kind::Counter,
        unit: "tasks",
        labels: &["cause"],
        help: "Tasks that were given up, by the cause",
        read: |seen| {
            let counters = &seen.stats.counters;
            by([
                ("lost_too_often", counters.parked_lost_too_often),
                ("out_of_attempts", counters.parked_out_of_attempts),
                ("permanent", counters.parked_permanent),
            ])
        },
    },
    Metric {
        name: "lastword_tasks_live",
        kind: Kind::Gauge,
        unit: "tasks",
        labels: &[],
        help: "Live tasks: collections that something is to be built for",
        read: |seen| count(seen.stats.live),
    },
    Metric {
        name: "lastword_tasks_waiting",
        kind: Kind::Gauge,
        unit: "tasks",
        labels: &[],
        help: "Live tasks of which no attempt runs",
        read: |seen| count(seen.stats.waiting),
    },
    Metric {
        name: "lastword_attempts_started_total",
        kind: Kind::Counter,
        unit: "attempts",
        labels: &[],
        help: "Attempts started",
        read: |seen| count(seen.stats.counters.attempts),
    },
    Metric {
        name: "lastword_attempts_failed_total",
        kind: Kind::Counter,
        unit: "attempts",
        labels: &["reason"],
        help: "Attempts that failed: the worker said so, ran too long, is gone, panicked, or the source changed under it",
        read: |seen| {
            let counters = &seen.stats.counters;
            by([
                ("failed", counters.failed_reported),
                ("panicked", counters.failed_panicked),
                ("source_moved", counters.failed_source_moved),
                ("timed_out", counters.failed_timed_out),
                ("worker_lost", counters.failed_worker_lost),
            ])
        },
    },
    Metric {
        name: "lastword_attempts_running",
        kind: Kind::Gauge,
        unit: "attempts",
        labels: &["where"],
        help: "Attempts that run or are being told to stop: in this process, or leased to workers elsewhere",
        read: |seen| by([("here", seen.stats.attempts), ("leased", seen.stats.leased)]),
    },
    Metric {
        name: "lastword_completions_rejected_total",
        kind: Kind::Counter,
        unit: "completions",
        labels: &["reason"],
        help: "Completions that could not commit: built from what is no longer wanted, of a task or attempt that may not, \
               committed before, or of a collection that is gone",
        read: |seen| {
            let counters = &seen.stats.counters;
            by([
                ("duplicate", counters.rejected_duplicate),
                ("not_live", counters.rejected_not_live),
                ("stale", counters.rejected_stale),
                ("unknown_collection", counters.rejected_unknown),
            ])
        },
    },
    Metric {
        name: "lastword_wasted_work_seconds_total",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[],
        help: "Time that workers spent on attempts which committed nothing",
        read: |seen| one(seen.stats.counters.wasted_work.as_secs_f64()),
    },
    Metric {
        name: "lastword_workers_idle",
        kind: Kind::Gauge,
        unit: "threads",
        labels: &[],
        help: "Threads of workers that have nothing to do",
        read: |seen| count(seen.stats.idle_workers),
    },
    Metric {
        name: "lastword_workers_abandoned",
        kind: Kind::Gauge,
        unit: "threads",
        labels: &[],
        help: "Threads of workers that were given up and have not come back",
        read: |seen| count(seen.stats.abandoned_workers),
    },
];

pub(super) const LOOKS: &[Metric] = &[
    Metric {
        name: "lastword_look_seconds",
        kind: Kind::Histogram,
        unit: "seconds",
        labels: &[],
        help: "How long looks at sources took that came back, whatever they found",
        read: |seen| times(&seen.stats.counters.looks),
    },
    Metric {
        name: "lastword_looks_failed_total",
        kind: Kind::Counter,
        unit: "looks",
        labels: &[],
        help: "Looks that could not observe their source",
        read: |seen| count(seen.stats.counters.looks_failed),
    },
    Metric {
        name: "lastword_look_requests_total",
        kind: Kind::Counter,
        unit: "requests",
        labels: &[],
        help: "Requests that looks sent over a wire; zero for directories",
        read: |seen| count(seen.stats.counters.look_requests),
    },
    Metric {
        name: "lastword_look_throttled_total",
        kind: Kind::Counter,
        unit: "answers",
        labels: &[],
        help: "How often a store asked looks to ask more slowly",
        read: |seen| count(seen.stats.counters.look_throttled),
    },
    Metric {
        name: "lastword_looks_running",
        kind: Kind::Gauge,
        unit: "looks",
        labels: &[],
        help: "Looks under way",
        read: |seen| count(seen.stats.observations),
    },
];

pub(super) const DELIVERIES: &[Metric] = &[
    Metric {
        name: "lastword_publish_lag_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &[],
        help: "How long ago the oldest commit was made that is still to be published; 0 if none is",
        read: |seen| one(seen.stats.publish_lag.as_secs_f64()),
    },
    Metric {
        name: "lastword_commits_unpublished",
        kind: Kind::Gauge,
        unit: "commits",
        labels: &[],
        help: "Commits that are to be published",
        read: |seen| count(seen.stats.unpublished),
    },
    Metric {
        name: "lastword_deliveries_due",
        kind: Kind::Gauge,
        unit: "deliveries",
        labels: &[],
        help: "What is to be published or discarded, of dropped collections as well",
        read: |seen| count(seen.stats.undelivered),
    },
    Metric {
        name: "lastword_deliveries_overdue",
        kind: Kind::Gauge,
        unit: "deliveries",
        labels: &[],
        help: "Deliveries that took longer than allowed and have not come back",
        read: |seen| count(seen.stats.overdue_deliveries),
    },
    Metric {
        name: "lastword_commits_published_total",
        kind: Kind::Counter,
        unit: "commits",
        labels: &[],
        help: "Commits published",
        read: |seen| count(seen.stats.counters.published),
    },
    Metric {
        name: "lastword_outputs_discarded_total",
        kind: Kind::Counter,
        unit: "deliveries",
        labels: &[],
        help: "Discards that were delivered",
        read: |seen| count(seen.stats.counters.discarded),
    },
    Metric {
        name: "lastword_deliveries_failed_total",
        kind: Kind::Counter,
        unit: "deliveries",
        labels: &[],
        help: "Publications and discards that failed; each is tried again",
        read: |seen| count(seen.stats.counters.publish_failed),
    },
    Metric {
        name: "lastword_verifications_total",
        kind: Kind::Counter,
        unit: "verifications",
        labels: &[],
        help: "Verifications of what was committed, whatever they found",
        read: |seen| count(seen.stats.counters.verifications),
    },
    Metric {
        name: "lastword_drifts_total",
        kind: Kind::Counter,
        unit: "verifications",
        labels: &[],
        help: "Verifications that found what was committed drifted, and led to a rebuild",
        read: |seen| count(seen.stats.counters.drifts),
    },
];
