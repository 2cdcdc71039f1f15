//! The pure core: no I/O, no clock, no threads, no randomness, no unordered iteration.
//!
//! ```text
//! Command | EngineCommand --decide(&State, at)--> [Event] --fold--> State
//! ```
//!
//! *Architecture invariant:* nothing here imports another module of this crate, and nothing here can observe the
//! world: time, ids and observations come in with a command. `tests/house/rules.rs` holds that.

mod collection;
mod commit;
mod condition;
mod decide;
mod outbox;
mod state;
mod status;
mod surroundings;
mod view;
pub mod vocabulary;

pub use collection::{Collection, Pending, Unobservable, Wanted};
pub use commit::Applied;
pub use condition::{Condition, NotObserved};
pub(crate) use decide::clip;
pub use decide::{Events, decide};
pub use outbox::{DiscardSet, Outbox, OutboxEntry, OutboxItem};
pub use state::{Draining, Illegal, Orphan, Parts, ReadyKind, Restored, RunsAt, State, Violation};
pub use status::{Attempt, LastFailure, Parked, Parking, Running, Status, Task, Waiting};
pub(crate) use surroundings::Surroundings;
pub use view::{CollectionView, DeliveryFailure, DroppedView, Lag, OutboxView};
