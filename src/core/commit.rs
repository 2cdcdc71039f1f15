//! A commit: what a collection has applied. It knows neither the collection nor its outbox, both of which hold it.

use std::sync::Arc;

use super::vocabulary::{Built, Fingerprint, Generation, Inputs, Seq, TaskId, Timestamp, Token};

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Applied {
    /// What it was built from.
    pub fingerprint: Fingerprint,
    /// The newest generation that it satisfies.
    pub generation: Generation,
    /// The task that built it.
    pub task: TaskId,
    /// The token of the attempt that built it.
    pub token: Token,
    /// The event that committed it.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// What was built.
    pub result: Arc<Built>,
    /// The inputs that it was built from.
    pub inputs: Arc<Inputs>,
}
