//! The one door of a run: what the commands, dashboards and people ask of it, and what it answers.
//!
//! ```text
//!   lastword pause ..  curl  a browser               --http ADDR
//!        |              |        |                        |
//!        `--------------+--> state/control.sock      TCP: Host, Origin, token (guard)
//!                                |                        |
//!                                `---> places -> connection (HTTP/1.1) -> routes: the one table -> Request
//!                                                                                                  |
//!                                  engine <- Handle <- pool, or awaited <------------------- desk <'
//! ```
//!
//! **What is said.** HTTP/1.1 and JSON. [`routes`] is the one table of what may be asked; the server finds a request in it, the
//! commands write theirs from it, and `lastword api` and `GET /v1/openapi.json` print the document that is made of it
//! ([`openapi`]). Each answer has `"v":1`, a collection is the row of `lastword status --json`, and whatever goes wrong has one
//! shape: `{"v":1,"error":{"kind":"refused","field":null,"message":"..","code":2}}`, where `code` is the exit code that a
//! command ends with. What is no HTTP is answered with status 400 and no body.
//!
//! **Who may.** Over the socket its owner, or root: its mode says so, and the user of each connection is asked for besides.
//! Over TCP, which is off unless `lastword run --http` asks for it, whoever is on this machine may read; with a token
//! (`--http-token`) whoever has it may give commands, and only then may the address be one that other machines reach.
//! [`guard`] holds that, and that no page of another site asks in the name of the person at the browser. There is no TLS:
//! what leaves the machine goes through a proxy that has it.
//!
//! **Bounds** stand in [`limits`]. Who waits or follows events takes places of their own, and so does each way in, so that
//! commands are taken however many wait. Everything runs on one thread of its own, on which nothing blocks: calls of the
//! engine that take long and reads of files go to a pool of a few threads, in which reads never take the threads of
//! commands. A reader that is slow is cut off, one that follows events is never waited for by the engine, and neither holds
//! up the end of a run.
//!
//! *Invariant:* nothing here decides anything. A request becomes a call of a [`Handle`](lastword::Handle), whose
//! verdict is the answer.

mod answer;
mod connection;
mod desk;
mod events;
mod given;
mod guard;
mod limits;
mod looked;
mod looks;
mod openapi;
mod patient;
mod places;
mod pool;
mod refusal;
mod request;
mod routes;
mod rows;
mod server;

use std::process::ExitCode;

pub use answer::Answer;
pub(crate) use desk::{Desk, Reload};
pub(crate) use guard::{TokenFrom, token_from};
pub use limits::MOST_REQUEST;
pub(crate) use limits::MOST_ROWS;
pub(crate) use looked::NOT_FOUND;
pub(crate) use request::{Listed, fingerprint};
pub use request::{Message, Request};
pub(crate) use rows::{Page, ShownRow, rows_of};
pub(crate) use server::{Door, Http};

use crate::console::line;
use crate::fail::Fail;

/// `lastword api`.
pub(crate) fn print() -> Result<ExitCode, Fail> {
    line(&format!("{:#}", openapi::document()))?;
    Ok(ExitCode::SUCCESS)
}
