//! `lastword metrics`: what a run would tell Prometheus, on standard output.

use std::path::PathBuf;
use std::process::ExitCode;

use super::page::page;
use crate::command::state_of;
use crate::console::line;
use crate::control::{Connection, taken};
use crate::door::Request;
use crate::fail::{CANNOT_OPEN, Fail};
use crate::inspect::Inspected;

/// `lastword metrics`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the log, or the configuration that names it
    #[arg(required_unless_present = "table")]
    pub(crate) state: Option<PathBuf>,
    /// Print the table of all metrics, in Markdown
    #[arg(long, conflicts_with = "state")]
    table: bool,
}

/// Without a run there are none: they are counted since its start, and a log alone knows nothing of looks and barriers.
pub(crate) fn metrics(arguments: &Arguments) -> Result<ExitCode, Fail> {
    let Some(named) = &arguments.state else {
        line(page().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    let state = state_of(named)?;
    let no_run = || {
        // What is no log says so.
        let found = Inspected::open(&state);
        match found {
            Err(fail) => fail,
            Ok(found) if found.copy.writer_active() => taken(&state),
            Ok(_) => {
                let state = state.display();
                Fail::new(CANNOT_OPEN, format!("{state}: no lastword runs here, so there are no metrics"))
            }
        }
    };
    let mut run = Connection::open(&state)?.ok_or_else(no_run)?;
    let text = run.ask_body(&Request::Metrics)?;
    line(String::from_utf8_lossy(&text).trim_end_matches('\n'))?;
    Ok(ExitCode::SUCCESS)
}
