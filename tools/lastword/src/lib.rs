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
mod dropped;
mod facts;
mod fail;
mod foresee;
mod init;
mod inspect;
mod manifest;
mod outlet;
mod patience;
mod plan;
mod readable;
mod record;
mod run;
mod status;
mod told;
mod words;

use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use clap::builder::Styles;
use clap::{Parser, Subcommand};
use lastword::apart::Unfinished;
use lastword::describe::panicked;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
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
    /// Show the segments of a collection, also while the log is written
    Manifest {
        /// The directory of the log, or the configuration that names it
        state: PathBuf,
        /// The collection
        name: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
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
    /// The file or directory that a person named, on which all of the command depends.
    fn named(&self) -> Option<&Path> {
        match self {
            Command::Init { file } => Some(file),
            Command::Run(run::Arguments { config, .. }) | Command::Plan { config } => Some(config),
            Command::Status(status::Arguments { state, .. }) | Command::Manifest { state, .. } => Some(state),
            Command::Refresh(command::Refresh { target, .. })
            | Command::Cancel(command::Cancel { target, .. })
            | Command::Confirm(command::Confirm { target, .. })
            | Command::Wait(command::Wait { target, .. })
            | Command::Pause(command::Plain { target, .. })
            | Command::Resume(command::Plain { target, .. })
            | Command::Drop(command::Plain { target, .. }) => Some(&target.state),
            Command::Reload(command::Reload { state, .. }) => Some(state),
            Command::Demo { dir } => dir.as_deref(),
            Command::Doctor(_) | Command::DemoWorker { .. } => None,
        }
    }
}

impl Command {
    /// How long it waits for what it depends on and does not answer. A run that is to go on waits until that answers again, and
    /// what a run is asked has a limit of its own.
    fn patience(&self) -> Option<Duration> {
        match self {
            Command::Plan { .. } | Command::Status(_) | Command::Manifest { .. } => Some(answering::READS_WITHIN),
            Command::Run(run::Arguments { once: true, .. }) => Some(answering::RUNS_WITHIN),
            _ => None,
        }
    }
}

/// The code of a program that panicked.
const PANICKED: u8 = 101;

/// How long a signal waits for the private copies to be removed, which may be large; one that comes later does not wait.
const COPIES_REMOVED_WITHIN: Duration = Duration::from_secs(30);

/// What comes within this time of the first signal is the same request.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// How long the end waits for the reader of standard error.
const LAST_NOTES: Duration = Duration::from_secs(1);

/// The signal that has begun to end this process; 0 before one has.
static ENDS_BY: AtomicI32 = AtomicI32::new(0);

/// A command that failed because what it works on was taken away by a signal has nothing to say: the signal ends the process.
fn leave_to_signal() -> Option<ExitCode> {
    let signal = ENDS_BY.load(Ordering::SeqCst);
    if signal == 0 {
        return None;
    }
    thread::sleep(COPIES_REMOVED_WITHIN + ONE_REQUEST);
    Some(ExitCode::from(u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX)))
}

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
    named.as_deref().into_iter().for_each(fail::remember_named);
    let work = move || dispatch(arguments.command);
    let failed = |fail: Fail| {
        leave_to_signal().unwrap_or_else(|| {
            console::note(&format!("lastword: {fail}"));
            ExitCode::from(fail.code)
        })
    };
    let code = match answering::apart(named, patience, work) {
        Ok(ended) => ended.unwrap_or_else(failed),
        Err(Unfinished::Silent(path)) => {
            // They may lie where nothing answers either.
            let _ = patience::within(COPIES_REMOVED_WITHIN, lastword::log::remove_private_copies);
            failed(answering::silent_for(&path, patience.unwrap_or_default()))
        }
        // Its text was printed by the hook.
        Err(Unfinished::Panicked(_)) => leave_to_signal().unwrap_or(ExitCode::from(PANICKED)),
    };
    console::settle_notes(LAST_NOTES);
    code
}

/// Has the private copies of this process removed before a signal ends it, and says what it has begun. A run ends in order instead.
fn remove_copies_on_signals() {
    let all = [SIGHUP, SIGINT, SIGTERM];
    let is_removing = Arc::new(AtomicBool::new(false));
    for signal in all {
        let _ = register_conditional_default(signal, Arc::clone(&is_removing));
    }
    let Ok(mut signals) = Signals::new(all) else { return };
    let wait = move || {
        for signal in signals.forever() {
            let insists = Arc::clone(&is_removing);
            // `timeout` and terminals signal a process and then its group: that is one request.
            thread::spawn(move || {
                thread::sleep(ONE_REQUEST);
                insists.store(true, Ordering::Relaxed);
            });
            // Before they are gone: a command that misses them is not to say so.
            ENDS_BY.store(signal, Ordering::SeqCst);
            // They may lie where nothing answers either.
            let _ = patience::within(COPIES_REMOVED_WITHIN, lastword::log::remove_private_copies);
            control::interrupted().iter().for_each(|text| console::note(text));
            // Ends the process as the signal would have.
            let _ = emulate_default_handler(signal);
        }
    };
    // Without a thread for that they stay behind.
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(wait);
}

fn dispatch(command: Command) -> Result<ExitCode, Fail> {
    let looks_after_signals =
        matches!(command, Command::Run(_) | Command::Doctor(_) | Command::Demo { .. } | Command::DemoWorker { .. });
    if !looks_after_signals {
        remove_copies_on_signals();
    }
    match command {
        Command::Init { file } => init::init(&file),
        Command::Run(arguments) => run::run(&arguments),
        Command::Plan { config } => plan::plan(&config),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Manifest { state, name, json } => manifest::manifest(&command::state_of(&state)?, &name, json),
        Command::Refresh(arguments) => command::refresh(&arguments),
        Command::Cancel(arguments) => command::cancel(&arguments),
        Command::Pause(arguments) => command::plain(Verb::Pause, &arguments),
        Command::Resume(arguments) => command::plain(Verb::Resume, &arguments),
        Command::Confirm(arguments) => command::confirm(&arguments),
        Command::Drop(arguments) => command::plain(Verb::Drop, &arguments),
        Command::Wait(arguments) => command::wait(&arguments),
        Command::Reload(arguments) => command::reload(&arguments),
        Command::Demo { dir } => demo::demo(dir),
        Command::DemoWorker { dir } => demo::worker_process(&dir),
    }
}
