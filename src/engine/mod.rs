//! Threads, queues, shutdown: what carries commands to the reducer and its decisions to workers, destinations and
//! watchers.
//!
//! ```text
//!  Handle --Message--> queue --+                       +--> observers   crew of threads, calls Observer
//!                              v                       |
//!                        the loop (run) --- calls ---> +--> workers     crew of threads, calls Worker::run
//!                              ^    owns the reducer   |
//!  crews ---Report--> queue ---+                       +--> leases      remote workers
//!                                                      |
//!  Response <-- Reply <-- batch, once it is durable    +--> deliveries  crew of threads, calls Worker::publish, ..
//!  Watch    <-- feed  <-- events, once durable         +--> history     background snapshotter
//! ```
//!
//! Read from the top: `reconciler` and `builder` (what an owner holds, and how it starts), `handle` (what callers
//! hold), `run` (the loop), then the parts that it calls, and last the data that they exchange: `message`,
//! `report`, `reply`, `status`, `stats`.
//!
//! *Architecture invariant:* nothing is decided here. The engine hands over, waits, wakes and releases.

mod background;
mod batch;
mod builder;
mod crew;
mod deliveries;
mod env;
mod error;
mod feed;
mod floor;
mod handle;
mod history;
mod leases;
mod life;
mod message;
mod named_objects;
mod notebooks;
mod observers;
mod queue;
mod reconciler;
mod remote;
mod reply;
mod report;
mod retention;
mod run;
#[cfg(all(test, lastword_shuttle))]
mod schedules;
mod stats;
mod status;
mod storage;
mod sweep;
mod tally;
mod waits;
mod workers;

pub use builder::Builder;
pub use error::{
    CommandError, CompactError, EngineError, MOST_BYTES_IN_BATCH, MOST_IN_BATCH, StartError, SubmitError, WatchError,
};
pub use feed::{Watch, WatchItem};
pub use handle::{Handle, MOST_IN_PAGE, NextAssignment, Requests};
pub use observers::ObserveInterval;
pub use queue::QueueCapacity;
pub use reconciler::Reconciler;
pub use remote::{AttemptState, CompletionOutcome, HeartbeatReply, LeasedAssignment};
pub use reply::Response;
pub use retention::Retention;
pub use stats::{Counters, Stats, Times};
pub use status::{CollectionStatus, LastObservation, LastVerification, Observing};
pub use waits::{SettleOutcome, WaitOutcome};
