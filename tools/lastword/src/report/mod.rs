//! `lastword report`: one self-contained page that shows a log at any of its moments.
//!
//! Rust folds the log once with the real core and writes the row of a collection after each event that changed it; the
//! page looks rows up and folds nothing. So all of it is at each moment what `state --at` says.
//!
//! ```text
//!   log --input--> events --gather--> tables and columns (data) --html--> one file
//!                             |
//!                  rows, limits, attempts, causes, files
//! ```
//!
//! The same page beside a run asks `GET /v1/report` for the same data (`live`).
//!
//! *It must not know* how a page looks: that is in `page/`.

mod attempts;
mod besides;
mod causes;
mod columns;
mod events;
mod files;
mod gather;
mod html;
mod input;
mod live;
mod rows;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glob::Pattern;
use log_dump::whole;

use crate::command::state_of;
use crate::console::note;
use crate::fail::{CANNOT_OPEN, Fail, USAGE};
use gather::{Asked, gather};
use input::Input;
pub(crate) use live::{Live, Wanted};

/// As many events as a browser shows at once without making anybody wait.
const MOST_EVENTS: u64 = 100_000;

/// `lastword report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the log, the configuration that names it, or an exported stream
    pub(crate) state: PathBuf,
    /// Where the page is written; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The last so many events at most; what came before is summed up in where the page begins
    #[arg(long, value_name = "N", default_value_t = MOST_EVENTS)]
    events: u64,
    /// Nothing after this event
    #[arg(long, value_name = "EVENT", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    /// Only collections whose names match; may be repeated
    #[arg(long, value_name = "PATTERN")]
    collection: Vec<String>,
}

pub(crate) fn report(arguments: &Arguments) -> Result<ExitCode, Fail> {
    let pattern = |text: &String| {
        Pattern::new(text).map_err(|error| Fail::new(USAGE, format!("--collection {text:?}: {}", error.msg)))
    };
    let patterns = arguments.collection.iter().map(pattern).collect::<Result<Vec<_>, Fail>>()?;
    let log = state_of(&arguments.state).ok();
    let spared: Vec<&Path> = [Some(&*arguments.state), log.as_deref()].into_iter().flatten().collect();
    let to_output = Path::new("-") == arguments.output;
    if !to_output {
        whole::check(&arguments.output, &spared).map_err(Fail::of_log_dump)?;
    }
    let input = Input::open(&arguments.state)?;
    let asked = Asked { events: arguments.events.max(1), to: arguments.to, patterns: &patterns };
    let piece = gather(&input, &asked)?;
    if piece.collections == 0 && !patterns.is_empty() {
        let given = arguments.collection.join(", ");
        return Err(Fail::new(
            USAGE,
            format!("--collection {given:?}: no name matches; lastword status shows them all"),
        ));
    }
    if let Some(told) = piece.left_out() {
        note(&format!("lastword: {told}"));
    }
    let page = html::recorded(&piece);
    match to_output {
        true => print(page.as_bytes())?,
        // What a source holds may be private, and so may this: it is its owner's alone.
        false => whole::write(&arguments.output, 0o600, page.as_bytes(), &spared).map_err(Fail::of_log_dump)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The page that a run serves; its data is that of [`Live`].
pub(crate) fn page() -> String {
    html::live()
}

fn print(page: &[u8]) -> Result<(), Fail> {
    let mut out = io::stdout().lock();
    match out.write_all(page).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fail::new(CANNOT_OPEN, format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
