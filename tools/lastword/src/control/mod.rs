//! Commands to a log that a run may have open: `refresh`, `cancel`, `pause`, `resume`, `confirm`, `drop`, `wait`,
//! `reload`.
//!
//! ```text
//!   lastword pause STATE NAME
//!        |  is there a socket in STATE that a run answers?
//!        |-- yes --> control.sock --> a thread of `lastword run` --> Handle --> reducer, log
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
//! **The protocol.** One JSON object per line, one answer for each, in order:
//!
//! ```json
//! {"v":1,"do":"pause","name":"lineitem","actor":"cli:ann","cause":"disk is being replaced"}
//! {"v":1,"seq":17,"collection":3,"generation":2}
//! {"v":1,"do":"drop","name":"nation","actor":"cli:ann"}
//! {"v":1,"error":"there is no collection \"nation\"","code":2}
//! ```
//!
//! | `do` | other keys | answer |
//! |---|---|---|
//! | `refresh` | `name`, `force`? (build all of it anew), `seen`? (only if none was asked for since that event), or `verify`? (read and compare all content) | receipt |
//! | `cancel` | `name`, `task`? (only that one) | receipt |
//! | `pause`, `resume`, `drop` | `name` | receipt |
//! | `confirm` | `name`, `fingerprint` | receipt |
//! | `wait` | `name`, `generation`?, `since`?, `within_ms`? | `waited`, `condition`, `generation`, `because`, `held` (what waits to be confirmed), `by_file` (paused because it is gone from the file), `seq`, `since` |
//! | `reload` | | `changed`, `paused`, `resumed`, `unmanaged` |
//! | `look` | `name`? | `looks`: what only the running process knows |
//! | `status` | `name`?, `after`? | `rows`, `looks`, `next` |
//! | `dropped` | | `rows`: what is left of dropped collections and waits, [`MOST_ROWS`] at most; each as a text, `describe::dropped_json` |
//! | `settings` | | `settings`: a digest of each key at the top of the file as the run was told it, of one `version` of the program; `file`: the configuration that it reads |
//! | `metrics` | | `text`: what a run tells Prometheus, in its text format |
//!
//! Commands also take `actor` and `cause`, each of 1 to 256 bytes. A receipt has `seq` (the last event that the command
//! added, null if it changed nothing), `collection` (the incarnation), `generation`, and sometimes a `note` for people.
//! `code` is the exit code that the tool ends with. A `wait` is answered within [`MOST_WAIT`] even if there is nothing
//! to tell (`"waited":"pending"`), so that no thread is held for a client that has gone; the client asks again, with
//! the `since` that it was given. With `within_ms` it is answered after so many milliseconds, if that is sooner.
//!
//! `status` answers with [`MOST_ROWS`] collections at most: in `rows` each as a text, the row of `describe::view_json`, and
//! in `looks` the same of each as `look` does; `next` is what to give as `after` for those that follow, null behind the
//! last.
//!
//! **Bounds.** A request has at most [`MOST_REQUEST`] bytes and [`REQUEST_WITHIN`] to arrive, [`MOST_CONNECTIONS`] are
//! served at a time; a client that sends anything else gets an error and is disconnected. Who has asked to `wait` takes
//! none of these places but one of [`MOST_WAITING`] others, so that commands are taken however many wait. Nothing that is
//! said on a socket can end a run or keep it from its work.
//!
//! *Invariant:* nothing here decides anything. A request becomes a call of a [`Handle`](lastword::Handle), whose
//! verdict is the answer.

mod by;
mod client;
mod gone;
mod hearer;
mod protocol;
mod run_file;
mod server;
mod socket;
mod steer;
mod waiting;
mod without_socket;

use std::time::Duration;

pub(crate) use by::{because_of, by, user};
pub(crate) use client::{
    Connection, Found, RETRY, Reached, TAKEN_WITHIN, interrupted, is_stopped, reach, silence, silent,
};
pub(crate) use gone::{GONE_FROM, Gone, Unmanaged};
pub(crate) use hearer::Hearer;
pub(crate) use protocol::fingerprint;
pub use protocol::{Answer, Request};
pub(crate) use run_file::{RunFile, absolute};
pub(crate) use server::{Desk, Reload, Server};
pub(crate) use steer::{Steer, Verb, as_asked, carry_out};
pub(crate) use waiting::{APPLIED, PENDING, known};
pub(crate) use without_socket::{WithoutSocket, taken};

/// The most bytes of a request: a name, an actor and a cause, each fully escaped, with room to spare.
pub const MOST_REQUEST: usize = 8 << 10;

/// How long a connection may take to send its next request. The tool sends its requests at once.
pub(crate) const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Connections that are served at the same time: each has a thread, and more than a few people rarely wait at once.
pub(crate) const MOST_CONNECTIONS: usize = 64;

/// Connections that wait, beside those: each holds a thread too, and asks its collection twenty times a second.
pub(crate) const MOST_WAITING: usize = 64;

/// Collections in an answer to `status`: some milliseconds of the reducer's time, and, with the longest specs, half of what
/// an answer may have.
pub(crate) const MOST_ROWS: usize = 500;

/// A `wait` is answered after this at the latest.
pub(crate) const MOST_WAIT: Duration = Duration::from_secs(2);
