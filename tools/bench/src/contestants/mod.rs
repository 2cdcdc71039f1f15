//! Who is measured: lastword, two baselines that only write, and three peers that do the same work.

pub(crate) mod cycling;
pub(crate) mod frames;
pub(crate) mod lake;
pub(crate) mod lastword;
pub(crate) mod postgres;
pub(crate) mod queue;
pub(crate) mod restate;
pub(crate) mod sqlite;

use crate::failure::Result;
use crate::load::Client;

/// A peer that takes declarations: it keeps at most one live task per collection by its own means, and answers when
/// the change is durable.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    /// So many connections.
    fn clients(&self, count: usize) -> Result<Vec<Box<dyn Client>>>;
}
