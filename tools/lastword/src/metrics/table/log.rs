//! The log, what it costs, and what waits for it.

use super::super::seen::unix;
use super::row::{Kind, Metric, count, float, known, one, times};

pub(super) const LOG: &[Metric] = &[
    Metric {
        name: "lastword_events_total",
        kind: Kind::Counter,
        unit: "events",
        labels: &[],
        help: "Events logged",
        read: |seen| count(seen.stats.counters.events),
    },
    Metric {
        name: "lastword_frames_total",
        kind: Kind::Counter,
        unit: "frames",
        labels: &[],
        help: "Frames logged: each is one commit of the log, with one barrier",
        read: |seen| count(seen.stats.counters.frames),
    },
    Metric {
        name: "lastword_frame_bytes_total",
        kind: Kind::Counter,
        unit: "bytes",
        labels: &[],
        help: "Bytes of the frames logged; by lastword_frames_total it is the size of one",
        read: |seen| count(seen.stats.counters.frame_bytes),
    },
    Metric {
        name: "lastword_frame_max_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        labels: &[],
        help: "The longest frame since the start of the run",
        read: |seen| count(seen.stats.counters.frame_longest),
    },
    Metric {
        name: "lastword_barrier_seconds",
        kind: Kind::Histogram,
        unit: "seconds",
        labels: &[],
        help: "How long it took to append a frame and to make it durable: what every command and commit waits for",
        read: |seen| times(&seen.stats.counters.barrier_times),
    },
    Metric {
        name: "lastword_barrier_max_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &[],
        help: "The longest of these times since the start of the run",
        read: |seen| one(seen.stats.counters.barrier_longest.as_secs_f64()),
    },
    Metric {
        name: "lastword_log_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        labels: &[],
        help: "Bytes of the files that hold the log; left out while the disk does not answer",
        read: |seen| known(seen.log.map(|log| float(log.bytes))),
    },
    Metric {
        name: "lastword_log_events",
        kind: Kind::Gauge,
        unit: "events",
        labels: &[],
        help: "Events in the log, without those that were let go",
        read: |seen| count((seen.stats.durable.0 + 1).saturating_sub(seen.stats.begins.0)),
    },
    Metric {
        name: "lastword_log_last_event",
        kind: Kind::Gauge,
        unit: "1",
        labels: &[],
        help: "The number of the last durable event",
        read: |seen| count(seen.stats.durable.0),
    },
    Metric {
        name: "lastword_snapshot_age_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &[],
        help: "How long ago the last event of the newest snapshot was recorded; left out without a snapshot",
        read: |seen| {
            let now = unix(std::time::SystemTime::now());
            known(seen.log.and_then(|log| log.snapshot).map(|(_, at)| (now - at).max(0.0)))
        },
    },
    Metric {
        name: "lastword_snapshot_age_events",
        kind: Kind::Gauge,
        unit: "events",
        labels: &[],
        help: "Events behind the newest snapshot, or all of the log without one: what the next start has to replay",
        read: |seen| {
            let replayed = |log: super::super::seen::LogFiles| {
                let from = log.snapshot.map_or(seen.stats.begins.0.saturating_sub(1), |(seq, _)| seq);
                float(seen.stats.durable.0.saturating_sub(from))
            };
            known(seen.log.map(replayed))
        },
    },
    Metric {
        name: "lastword_snapshots_total",
        kind: Kind::Counter,
        unit: "snapshots",
        labels: &[],
        help: "Snapshots taken",
        read: |seen| count(seen.stats.counters.snapshots),
    },
    Metric {
        name: "lastword_snapshots_failed_total",
        kind: Kind::Counter,
        unit: "snapshots",
        labels: &[],
        help: "Snapshots that could not be taken",
        read: |seen| count(seen.stats.counters.snapshots_failed),
    },
    Metric {
        name: "lastword_compactions_total",
        kind: Kind::Counter,
        unit: "compactions",
        labels: &[],
        help: "How often the beginning of the log was let go",
        read: |seen| count(seen.stats.counters.compactions),
    },
    Metric {
        name: "lastword_queue_messages",
        kind: Kind::Gauge,
        unit: "messages",
        labels: &[],
        help: "Commands, questions and reports that wait for the engine: the depth of its queue",
        read: |seen| count(seen.stats.queued),
    },
    Metric {
        name: "lastword_queue_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        labels: &[],
        help: "The bytes of what waits in the queue",
        read: |seen| count(seen.stats.queued_bytes),
    },
    Metric {
        name: "lastword_waiters",
        kind: Kind::Gauge,
        unit: "callers",
        labels: &[],
        help: "Callers that wait for a collection",
        read: |seen| count(seen.stats.waiters),
    },
    Metric {
        name: "lastword_wakes_total",
        kind: Kind::Counter,
        unit: "wakes",
        labels: &[],
        help: "How often the engine's thread woke",
        read: |seen| count(seen.stats.wakes),
    },
];
