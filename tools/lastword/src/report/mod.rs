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

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glob::Pattern;

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
    output: PathBuf,
    /// The last so many events at most; what came before is summed up in where the page begins
    #[arg(long, value_name = "N", default_value_t = MOST_EVENTS)]
    events: u64,
    /// Nothing after this event
    #[arg(long, value_name = "EVENT")]
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
    let input = Input::open(&arguments.state)?;
    let asked = Asked { events: arguments.events.max(1), to: arguments.to, patterns: &patterns };
    let piece = gather(&input, &asked)?;
    if let Some(told) = piece.left_out() {
        note(&format!("lastword: {told}"));
    }
    let page = html::recorded(&piece);
    write(&arguments.output, page.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The page that a run serves; its data is that of [`Live`].
pub(crate) fn page() -> String {
    html::live()
}

/// What a source holds may be private, and so may this: it is its owner's alone. A page that is there is replaced as a whole.
fn write(path: &Path, page: &[u8]) -> Result<(), Fail> {
    let failed = |error: &io::Error| Fail::io(path.display(), error);
    if path == Path::new("-") {
        let mut out = io::stdout().lock();
        return match out.write_all(page).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Fail::new(CANNOT_OPEN, format!("standard output: {error}")))
            }
            _ => Ok(()),
        };
    }
    let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
        return Err(Fail::new(USAGE, format!("{}: is a directory; -o names the file", path.display())));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let unfinished = path.with_file_name(hidden);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).and_then(|mut file| {
        file.write_all(page)?;
        std::fs::rename(&unfinished, path)
    });
    written.map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        failed(&error)
    })
}
