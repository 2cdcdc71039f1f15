//! Whose jobs a thread does: a thread that helps with a job belongs to whom the job is for.
//!
//! Owns the membership of each thread. *It must not know* what an engine is, nor what its jobs are: whoever waits for the end of
//! jobs asks whether it would wait for itself.

use std::cell::Cell;

thread_local! {
    /// Whose jobs this thread does.
    static OF_THIS_THREAD: Cell<Membership> = const { Cell::new(Membership(0)) };
}

/// Of somebody, by an address that nobody else has as long as the thread does his jobs; or of nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership(usize);

impl Membership {
    /// Of who lies at this address.
    pub(crate) fn of<T>(owner: *const T) -> Membership {
        Membership(owner.addr())
    }

    /// That of this thread.
    pub(crate) fn here() -> Membership {
        OF_THIS_THREAD.get()
    }

    /// From now on this thread does these jobs.
    pub(crate) fn join(self) {
        OF_THIS_THREAD.set(self);
    }
}
