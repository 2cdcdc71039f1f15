//! `lastword`: keeps collections of Parquet files in step, shows them, and demonstrates it all.
//!
//! Data goes to standard output, everything said to a person to standard error. Exit codes: 0 ok, 1 something is not
//! as it should be (a collection is not fresh, a stored thing is damaged), 2 usage, 3 cannot open, 4 format too new,
//! 5 log shorter than its anchor, 6 replay diverged. `run` ends in order and with 0 on the first SIGINT or SIGTERM (with
//! `--once`: 1, because not everything was settled), and at once with 130 or 143 on one that comes a second later or more, or
//! if the state directory does not answer.
//!
//! The program is [`run`]; what else is public is there for the tests of what it parses.

mod answering;
mod beside;
mod command;
#[doc(hidden)]
pub mod config;
mod console;
#[doc(hidden)]
pub mod control;
mod demo;
mod differences;
mod doctor;
#[doc(hidden)]
pub mod door;
mod dropped;
mod facts;
mod fail;
mod foresee;
mod init;
mod inspect;
mod look;
mod metrics;
mod outlet;
mod patience;
mod plan;
mod readable;
mod record;
mod report;
mod run;
mod status;
mod told;
mod words;

use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::Styles;
use clap::{Parser, Subcommand};
use lastword::apart::Unfinished;
use lastword::describe::panicked;
use log_dump::signals::{REMOVED_WITHIN, leave_to_signal, remove_copies_on_signals};
use log_dump::whole::directory_of;
use tracing_subscriber::filter::LevelFilter;

use control::Verb;
use fail::Fail;

/// Keeps collections in step with the files they are built from.
#[derive(Debug, Parser)]
#[command(name = "lastword", version, propagate_version = true, styles = Styles::plain(), after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Say more on standard error; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

/// What scripts and supervisors rely on.
const EXIT_CODES: &str = "\
Exit codes: 0 ok; 1 something is not as it should be (a collection is not fresh, a source does not answer, status --check,
something stored is damaged); 2 usage, a wrong file, or no such collection; 3 cannot open (absent, forbidden, busy, I/O),
or an output cannot be written; 4 format too new; 5 log shorter than its anchor; 6 replay diverged.
doctor: 0 if sources and a log may live there; 1 if only sources may; 2 usage; 3 if neither may, or it cannot be reached.
A run ends with 0 only if it was asked to (SIGINT, SIGTERM), or with --once if all are fresh; whatever else ends it ends it
with another code, so that a supervisor starts it again. Nobody who reads what it prints, or stops to, ends it.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented configuration to begin with; a file that is there is not overwritten
    Init {
        /// The file
        #[arg(default_value = "lastword.toml")]
        file: PathBuf,
    },
    /// Keep the configured collections in step; SIGINT and SIGTERM end it in order, with exit code 0
    Run(run::Arguments),
    /// Show what a build would do now, without changing anything
    Plan {
        /// The configuration
        config: PathBuf,
    },
    /// Examine an object store before it is trusted with sources or a log; what is made there is removed again
    Doctor(doctor::Arguments),
    /// Show who has a log open and how its collections are, also while it is written
    Status(status::Arguments),
    /// Write one page for a browser that shows a log at each of its moments, and needs no network
    Report(report::Arguments),
    /// Show what a run tells in numbers, in the text format of Prometheus
    Metrics(metrics::Arguments),
    #[command(flatten)]
    Look(log_dump::Look),
    /// Look at a source again, and try again what is parked or backing off
    Refresh(command::Refresh),
    /// Abort the task of a collection, which stays as it is until a change or a refresh
    Cancel(command::Cancel),
    /// Start no more attempts
    Pause(command::Plain),
    /// Start attempts again
    Resume(command::Plain),
    /// Accept what is held, such as an emptied source
    Confirm(command::Confirm),
    /// Forget a collection, its task and its timers
    Drop(command::Plain),
    /// Wait until a collection is in step: exit code 0 if it is, 1 with the cause if it will not be or not in time
    Wait(command::Wait),
    /// Have the running lastword read its configuration again; a bad one changes nothing
    Reload(command::Reload),
    /// Print what can be asked of a run over HTTP, as an OpenAPI document
    Api,
    /// Play a day in the life of a source, on real files and with a real log
    Demo {
        /// Where to play; must be empty or absent. A new temporary directory if not given
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// The process that the demo kills
    #[command(hide = true)]
    DemoWorker {
        /// The demo's directory
        dir: PathBuf,
    },
}

impl Command {
    /// What else it depends on: where it writes to, and what it reads beside that.
    fn beside(&self) -> Vec<PathBuf> {
        let beside = match self {
            Command::Init { file } => Some(directory_of(file)),
            Command::Report(report::Arguments { output, .. }) => Some(directory_of(output)),
            Command::Look(question) => question.named()[1],
            _ => None,
        };
        beside.into_iter().map(Path::to_owned).collect()
    }

    /// The file or directory that a person named, on which all of the command depends.
    fn named(&self) -> Option<&Path> {
        match self {
            Command::Init { file } => Some(file),
            Command::Run(run::Arguments { config, .. }) | Command::Plan { config } => Some(config),
            Command::Metrics(metrics::Arguments { state, .. }) => state.as_deref(),
            Command::Status(status::Arguments { state, .. }) => Some(state),
            Command::Look(question) => Some(question.state()),
            Command::Refresh(command::Refresh { target, .. })
            | Command::Cancel(command::Cancel { target, .. })
            | Command::Confirm(command::Confirm { target, .. })
            | Command::Wait(command::Wait { target, .. })
            | Command::Pause(command::Plain { target, .. })
            | Command::Resume(command::Plain { target, .. })
            | Command::Drop(command::Plain { target, .. }) => Some(&target.state),
            Command::Reload(command::Reload { state, .. }) | Command::Report(report::Arguments { state, .. }) => {
                Some(state)
            }
            Command::Demo { dir } => dir.as_deref(),
            Command::Doctor(_) | Command::Api | Command::DemoWorker { .. } => None,
        }
    }
}

impl Command {
    /// How long it waits for what it depends on and does not answer. A run that is to go on waits until that answers again, and
    /// what a run is asked has a limit of its own.
    fn patience(&self) -> Option<Duration> {
        match self {
            Command::Init { .. }
            | Command::Plan { .. }
            | Command::Status(_)
            | Command::Look(_)
            | Command::Report(_) => Some(answering::READS_WITHIN),
            Command::Run(run::Arguments { once: true, .. }) => Some(answering::RUNS_WITHIN),
            _ => None,
        }
    }
}

/// The code of a program that panicked.
const PANICKED: u8 = 101;

/// How long the end waits for the reader of standard error.
const LAST_NOTES: Duration = Duration::from_secs(1);

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    panic::set_hook(Box::new(|info| {
        panicked(info).iter().for_each(|line| console::note(&format!("lastword: {line}")))
    }));
    let arguments = Arguments::try_parse().unwrap_or_else(|error| console::usage(&error));
    let level = match arguments.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt().with_writer(|| console::Notes).with_ansi(false).with_max_level(level).init();
    // A file that becomes too large for a limit is an error like others, and not the end of the process.
    let _ = signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), Arc::default());
    let (named, patience) = (arguments.command.named().map(Path::to_owned), arguments.command.patience());
    let beside = arguments.command.beside();
    named.as_deref().into_iter().for_each(fail::remember_named);
    let work = move || dispatch(arguments.command);
    let failed = |fail: Fail| {
        leave_to_signal().unwrap_or_else(|| {
            console::note(&format!("lastword: {fail}"));
            ExitCode::from(fail.code)
        })
    };
    let code = match answering::apart((named, beside), patience, work) {
        Ok(ended) => ended.unwrap_or_else(failed),
        Err(Unfinished::Silent(path)) => {
            // They may lie where nothing answers either.
            let _ = patience::within(REMOVED_WITHIN, lastword::log::remove_private_copies);
            failed(answering::silent_for(&path, patience.unwrap_or_default()))
        }
        // Its text was printed by the hook.
        Err(Unfinished::Panicked(_)) => leave_to_signal().unwrap_or(ExitCode::from(PANICKED)),
    };
    console::settle_notes(LAST_NOTES);
    code
}

fn dispatch(command: Command) -> Result<ExitCode, Fail> {
    let looks_after_signals =
        matches!(command, Command::Run(_) | Command::Doctor(_) | Command::Demo { .. } | Command::DemoWorker { .. });
    if !looks_after_signals {
        // A run ends in order instead.
        remove_copies_on_signals(|| control::interrupted().iter().for_each(|text| console::note(text)));
    }
    match command {
        Command::Init { file } => init::init(&file),
        Command::Run(arguments) => run::run(&arguments),
        Command::Plan { config } => plan::plan(&config),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Metrics(arguments) => metrics::metrics(&arguments),
        Command::Look(question) => look::look(question),
        Command::Refresh(arguments) => command::refresh(&arguments),
        Command::Cancel(arguments) => command::cancel(&arguments),
        Command::Pause(arguments) => command::plain(Verb::Pause, &arguments),
        Command::Resume(arguments) => command::plain(Verb::Resume, &arguments),
        Command::Confirm(arguments) => command::confirm(&arguments),
        Command::Drop(arguments) => command::plain(Verb::Drop, &arguments),
        Command::Wait(arguments) => command::wait(&arguments),
        Command::Reload(arguments) => command::reload(&arguments),
        Command::Api => door::print(),
        Command::Demo { dir } => demo::demo(dir),
        Command::DemoWorker { dir } => demo::worker_process(&dir),
    }
}
