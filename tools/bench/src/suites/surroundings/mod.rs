//! What surrounds the work must not cost it: sources that hang, somebody who lists, directories in which nothing happens.
//! Each is held against the same without it, in the same rounds.

mod hanging;
pub(crate) mod idle;
mod listed;

use crate::bench::Bench;
use crate::failure::Result;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    hanging::run(bench)?;
    listed::run(bench)?;
    idle::run(bench)
}
