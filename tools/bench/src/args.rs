//! What the command line says.

use std::fmt;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures lastword against the raw limit of the disk, bare sled, SQLite, PostgreSQL and Restate.
///
/// A ratio above 1 means that lastword is better. A target is met or not; it is no promise about another machine.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Args {
    /// One JSON object per row instead of a table.
    #[arg(long)]
    pub(crate) json: bool,

    /// Small sizes: all suites in about two minutes. Good to see that they work, not to judge by.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Where the data goes, on the disk that is to be measured. Default: beside this program.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// What to measure. Default: everything.
    #[arg(value_name = "SUITE")]
    pub(crate) suites: Vec<Suite>,

    /// A question to a process of its own, as JSON; its answer goes to the standard output.
    #[arg(long, hide = true)]
    pub(crate) child: Option<String>,
}

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// From a changed source to the durable acknowledgement.
    Declare,
    /// From a declaration through its task to a commit that others see.
    Cycle,
    /// From a log back to a state.
    Replay,
    /// Opening, with a snapshot and without.
    Open,
    /// Resident bytes of an idle collection.
    Memory,
    /// Declarations over ever more collections.
    Scale,
    /// Bytes on disk for a byte of events.
    Disk,
    /// Files: balancing, looking, building again.
    Plan,
    /// The slowest acknowledgements of millions.
    Tail,
    /// Sources that hang, lists that somebody asks for, directories that nothing happens in.
    Surroundings,
    /// Many files and objects: the time of a look, what it holds, and one change of many.
    Reach,
}

impl Suite {
    pub(crate) const ALL: [Suite; 11] = [
        Suite::Declare,
        Suite::Cycle,
        Suite::Replay,
        Suite::Open,
        Suite::Memory,
        Suite::Scale,
        Suite::Disk,
        Suite::Plan,
        Suite::Tail,
        Suite::Surroundings,
        Suite::Reach,
    ];
}

/// As it is written on the command line.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        f.write_str(&name.unwrap_or_default())
    }
}
