//! Commands to a log that a run may have open: `refresh`, `cancel`, `pause`, `resume`, `confirm`, `drop`, `wait`,
//! `reload`.
//!
//! ```text
//!   lastword pause STATE NAME
//!        |  is there a socket in STATE that a run answers?
//!        |-- yes --> control.sock --> the door of `lastword run` --> Handle --> reducer, log
//!        |-- no, and the log is free -----> a reconciler without workers --> reducer, log     (no run)
//!        |                                  (what the log would refuse is refused without opening it)
//!        `-- no, and the log is taken ----> exit code 3: another program writes it
//! ```
//!
//! **Which process is the writer is decided by the lock of the log alone.** A run binds its socket after it has opened
//! the log and removes it before it closes it; a socket of a process that died refuses connections, and the next run
//! replaces it. A log that is taken without a socket is asked again for a moment: the run may still be replaying it.
//!
//! **Who may.** The socket is made in a directory of mode 0700, given mode 0600 there, and renamed into place: at no
//! time can another user connect. A process that can connect could also write the log, so nothing else is asked of it;
//! the actor of a command is what its sender says, for the audit and not for access.
//!
//! **What is said** there is HTTP/1.1 and JSON: see [`door`](crate::door), which answers it and holds its bounds. Nothing that
//! is said on a socket can end a run or keep it from its work.
//!
//! *Invariant:* nothing here decides anything. A request becomes a call of a [`Handle`](lastword::Handle), whose
//! verdict is the answer.

mod by;
mod client;
mod gone;
mod hearer;
mod run_file;
mod socket;
mod steer;
mod waiting;
mod without_socket;

pub(crate) use by::{because_of, by, user};
pub(crate) use client::{
    Connection, Found, RETRY, Reached, TAKEN_WITHIN, interrupted, is_stopped, reach, silence, silent,
};
pub(crate) use gone::{GONE_FROM, Gone, Unmanaged};
pub(crate) use hearer::Hearer;
pub(crate) use run_file::{RunFile, absolute};
pub(crate) use socket::{Socket, SocketPlace};
pub use steer::Steer;
pub(crate) use steer::{Verb, as_asked, carry_out};
pub(crate) use waiting::{APPLIED, PENDING, Waiting, known};
pub(crate) use without_socket::{WithoutSocket, taken};
