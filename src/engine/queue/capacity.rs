//! Room in the queue, as a future.
//!
//! *Architecture invariant:* it waits for room and takes none.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Queue;
use crate::watch_cell::WaiterId;

/// Resolves when the queue of commands has room, or the reconciler has ended, or at once in a call that the engine's own
/// thread has made, which nobody makes room for; see
/// [`Handle::queue_capacity`](crate::engine::Handle::queue_capacity).
#[must_use = "a future does nothing unless it is polled"]
pub struct QueueCapacity {
    queue: Queue,
    waiter: WaiterId,
}

impl QueueCapacity {
    pub(in crate::engine) fn new(queue: Queue) -> QueueCapacity {
        QueueCapacity { queue, waiter: WaiterId::default() }
    }
}

impl Future for QueueCapacity {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let QueueCapacity { queue, waiter } = self.get_mut();
        let is_own = queue.life().is_called_out();
        queue.capacity.poll(waiter, context, |()| (is_own || queue.has_room()).then_some(()))
    }
}

impl Drop for QueueCapacity {
    fn drop(&mut self) {
        self.queue.capacity.deregister(&mut self.waiter);
    }
}

impl fmt::Debug for QueueCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueCapacity").field("full", &!self.queue.has_room()).finish_non_exhaustive()
    }
}
