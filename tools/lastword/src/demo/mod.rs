//! `lastword demo`: a day in the life of a source, with real Parquet files, a real log and a process that is killed.
//!
//! What the demo tells is not what it believes: at its end every claim is checked against the events of the log and
//! against rows that were counted by another reader.

mod claims;
mod day;
mod lake;
mod stage;
mod worker;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::console::{Table, bold, line, quoted};
use crate::control::Unmanaged;
use crate::fail::{CANNOT_OPEN, DEFECT, Fail, USAGE};
use crate::run::{Format, Next, Session};
use claims::Findings;
use stage::{Stage, UNDER_WAY};
use worker::{Gate, SlowWorker};

/// The configuration of the demo, left in its directory so that `lastword run` can go on with it.
const CONFIG: &str = r#"# Written by `lastword demo`.
state = "state"
look_interval = "100ms"

[collections.lineitem]
source = "lake/"
spec = { format = "parquet" }
target_rows = 3_000
quiet = "50ms"
"#;

pub(crate) fn demo(dir: Option<PathBuf>) -> Result<ExitCode, Fail> {
    let begun = Instant::now();
    let directory = prepare(dir)?;
    let mut stage = Stage::new(&directory)?;
    stage.say(&format!("A day in the life of a source, played in {}", directory.display()))?;
    let told = day::play(&mut stage)?;
    stage.close()?;

    let Findings { chapters, whole } = claims::check(&directory.join("state"), &told)?;
    let verdict = |found: &Result<String, String>| if found.is_ok() { "ok" } else { "NOT AS TOLD" }.to_owned();
    let mut table = Table::new(&[">", "WHAT WAS DONE", "WHAT HAPPENED, BY THE LOG (EVENTS)", ""]);
    for (number, (told, found)) in told.iter().zip(&chapters).enumerate() {
        let (Ok(text) | Err(text)) = found;
        table.row(vec![(number + 1).to_string(), told.done.to_owned(), text.clone(), verdict(found)]);
    }
    for (claim, found) in &whole {
        let (Ok(text) | Err(text)) = found;
        table.row(vec![String::new(), (*claim).to_owned(), text.clone(), verdict(found)]);
    }
    line("")?;
    line(&bold("What was done, and what happened"))?;
    for text in table.lines() {
        line(&text)?;
    }
    let failed = chapters.iter().chain(whole.iter().map(|(_, found)| found)).filter(|found| found.is_err()).count();
    epilogue(&directory, begun.elapsed(), failed)
}

fn epilogue(directory: &Path, took: Duration, failed: usize) -> Result<ExitCode, Fail> {
    let shown = quoted(directory);
    line("")?;
    line(&format!("All of it is in the log, kept in {shown} ({:.1} s). To look at it:", took.as_secs_f64()))?;
    // Who runs it through cargo has not installed anything. The build that is there is the one to use.
    let (log_dump, lastword) = match std::env::var_os("CARGO") {
        Some(_) => {
            ("cargo run --release -q -p log-dump --", "cargo run --release -q -p lastword-cli --bin lastword --")
        }
        None => ("log-dump", "lastword"),
    };
    for command in [
        format!("{log_dump} dump {shown}/state"),
        format!("{lastword} manifest {shown}/state lineitem"),
        format!("{lastword} status {shown}/state"),
        format!("{lastword} run {shown}/lake.toml --once"),
    ] {
        line(&format!("    {command}"))?;
    }
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Fail::new(DEFECT, format!("{failed} claims do not hold")))
}

/// An empty directory with the configuration and no lake yet.
fn prepare(dir: Option<PathBuf>) -> Result<PathBuf, Fail> {
    let directory = match dir {
        Some(dir) => given(dir)?,
        None => temporary()?,
    };
    let failed = |error: std::io::Error| Fail::new(CANNOT_OPEN, format!("{}: {error}", directory.display()));
    fs::create_dir(directory.join("lake")).map_err(failed)?;
    fs::write(directory.join("lake.toml"), CONFIG).map_err(failed)?;
    fs::canonicalize(&directory).map_err(failed)
}

fn given(dir: PathBuf) -> Result<PathBuf, Fail> {
    let failed = |error: std::io::Error| Fail::new(CANNOT_OPEN, format!("{}: {error}", dir.display()));
    fs::create_dir_all(&dir).map_err(failed)?;
    if fs::read_dir(&dir).map_err(failed)?.next().is_some() {
        return Err(Fail::new(
            USAGE,
            format!("{}: is not empty; the demo needs a directory of its own", dir.display()),
        ));
    }
    Ok(dir)
}

fn temporary() -> Result<PathBuf, Fail> {
    let parent = std::env::temp_dir();
    for number in 0..1000 {
        let path = parent.join(format!("lastword-demo-{}-{number}", process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Fail::new(CANNOT_OPEN, format!("{}: {error}", path.display()))),
        }
    }
    Err(Fail::new(CANNOT_OPEN, format!("{}: no name is free", parent.display())))
}

/// The hidden process: begins an attempt, never ends it, and waits to be killed.
pub(crate) fn worker_process(directory: &Path) -> Result<ExitCode, Fail> {
    // Longer than the killing of it takes; nothing of it must stay behind.
    const LIFE: Duration = Duration::from_secs(30);
    let begun = Instant::now();
    let config = Config::read(&directory.join("lake.toml"))?;
    let gate = Gate::new();
    gate.close();
    let mut session =
        Session::start(&config, SlowWorker::new(gate.clone()), (config.settings.observe_interval, None), Format::Text)?;
    session.adopt(&config, &mut Unmanaged::read(&config.state))?;
    let mut said = false;
    while begun.elapsed() < LIFE {
        let came = match session.events.next_within(Duration::from_millis(20))? {
            Next::Event(_, _, text) => line(&text)?,
            Next::Nothing if gate.is_waited_at() && !said => {
                said = true;
                line(UNDER_WAY)?
            }
            Next::Nothing | Next::Forgotten(_) => true,
            Next::Closed => false,
        };
        if !came {
            break;
        }
    }
    // As if killed: it was not told to end in order, and its attempt would not stop.
    process::exit(i32::from(DEFECT))
}
