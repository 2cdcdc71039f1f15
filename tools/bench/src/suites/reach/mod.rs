//! Many files, where they lie: a directory of 200,000 against a walk with `stat`, and what is resident meanwhile, in a
//! process of its own; 100,000 objects of a server in this process against a bare listing of them; and one of either changed,
//! observed, planned and committed, against the look alone.

mod documents;
pub(crate) mod files;
mod objects;

use crate::bench::Bench;
use crate::failure::Result;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    files::run(bench)?;
    objects::run(bench)
}
