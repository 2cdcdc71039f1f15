//! `log-dump`: looks at a log without touching it. See `log-dump --help`, and `log-format.md` for what it reads.
//!
//! The program is [`run`]. [`look`] is for `lastword`, whose commands of the same names are these, and [`Asked`] for its runs,
//! which answer the same; [`changed_files`] and [`changes_inputs`] are for its page. What else is public is there for the tests of
//! what it parses.
#![forbid(unsafe_code)]

mod anchor;
#[doc(hidden)]
pub mod args;
mod asked;
pub mod changed_files;
mod diff;
mod dump;
mod fail;
mod head;
mod input;
mod live;
mod manifest;
mod output;
mod point;
pub mod proof;
pub mod signals;
mod sought;
mod stat;
mod state;
mod transfer;
mod verify;
pub mod whole;
mod why;

use std::io::Write;
use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use args::{Cli, Command, KeyCommand};
pub use args::{DiffArgs, DumpArgs, HeadArgs, Look, ManifestArgs, StateArgs, WhyArgs};
pub use asked::{About, Asked, point, said};
use clap::Parser;
use fail::Exit;
pub use fail::Failure;
pub use input::{named_by, state_of};
use lastword::apart::{self, Unfinished};
use lastword::describe::panicked;
pub use live::Live;
use output::{Output, complain};
pub use output::{print, speak_as};
use verify::Expected;
pub use why::changes_inputs;

/// How long a log or a stream that does not answer is waited for: a server that another one takes over from is back by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    panic::set_hook(Box::new(|info| panicked(info).iter().for_each(|line| complain(line))));
    let cli = Cli::try_parse().unwrap_or_else(|error| usage(&error));
    signals::remove_copies_on_signals(|| ());
    let named = cli.command.named();
    let paths = move |ask: apart::Ask<'_>| named.iter().for_each(|named| ask(named));
    let ended = apart::apart(
        move || dispatch(cli.command),
        paths,
        Some(ANSWERS_WITHIN),
        |path, answers| {
            let seconds = ANSWERS_WITHIN.as_secs();
            let what = match answers {
                true => "answers again".to_owned(),
                false => {
                    format!("does not answer, and is waited for, for {seconds}s at most; Ctrl-C or a signal ends that")
                }
            };
            complain(&format!("{}: {what}", output::quoted(path)));
        },
    );
    match ended {
        Ok(Ok(())) | Ok(Err(Failure::OutputClosed)) => ExitCode::SUCCESS,
        Ok(Err(Failure::Error(exit, problem))) => signals::leave_to_signal().unwrap_or_else(|| {
            complain(&problem);
            ExitCode::from(exit.0)
        }),
        Err(Unfinished::Silent(path)) => signals::leave_to_signal().unwrap_or_else(|| {
            // They may lie where nothing answers either.
            let _ = apart::within(signals::REMOVED_WITHIN, lastword::log::remove_private_copies);
            let seconds = ANSWERS_WITHIN.as_secs();
            complain(&format!("{}: has not answered for {seconds}s", output::quoted(&path)));
            ExitCode::from(Exit::CANNOT_OPEN.0)
        }),
        // Its text was printed by the hook. Whatever made us panic was in the log.
        Err(Unfinished::Panicked(_)) => ExitCode::from(Exit::DEFECT.0),
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Look(question) => look(&question),
        Command::Verify { log, expect_head, expect_checkpoint, public_key } => {
            verify::run(&log, &Expected::read(expect_head, expect_checkpoint.as_deref(), public_key.as_deref())?)
        }
        Command::Key { key: KeyCommand::New { file, name } } => proof::new_key(&file, &name),
        Command::Stat { log, selection } => stat::run(&log, &selection),
        Command::Export { log, damage, file } => transfer::export(&log, damage, &file),
        Command::Import { state, file, damage, json } => transfer::import(&state, &file, damage, json),
    }
}

/// Answers on standard output what a log is asked, whichever program asks it. What has to be said beside the answer is said as
/// [`speak_as`] set it.
///
/// # Errors
/// When there is no answer, or when it cannot be written.
pub fn look(question: &Look) -> Result<(), Failure> {
    look_into(question, Output::new())
}

/// The same, answered to `output`.
fn look_into(question: &Look, output: Output) -> Result<(), Failure> {
    match question {
        Look::Dump(args) => dump::run(args, output),
        Look::Head(HeadArgs { log, anchor: true, .. }) => head::anchor(log, output),
        Look::Head(args) if args.checkpoint || args.sign.is_some() => head::checkpoint(args, output),
        Look::Head(HeadArgs { log, .. }) => head::run(log, output),
        Look::State(args) => state::run(args, output),
        Look::Why(args) => why::run(args, output),
        Look::Manifest(args) => manifest::run(args, output),
        Look::Diff(DiffArgs { log, between }) => diff::run(log, between, output),
    }
}

/// Says what is wrong with the arguments, which it repeats as they may be shown, and ends the program.
fn usage(error: &clap::Error) -> ! {
    if error.use_stderr() {
        // With all that is in the arguments: without, they could not be found in it.
        let given = error.render().ansi().to_string();
        let arguments: Vec<_> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let wild = arguments.iter().filter(|argument| argument.contains(char::is_control));
        let shown = wild.fold(given, |given, argument| given.replace(argument.as_str(), &output::printable(argument)));
        for line in shown.lines() {
            let _ = writeln!(std::io::stderr(), "{}", output::printable(line));
        }
        std::process::exit(error.exit_code());
    }
    let mut out = std::io::stdout().lock();
    let code = match write!(out, "{}", error.render()).and_then(|()| out.flush()) {
        Err(failed) if failed.kind() != std::io::ErrorKind::BrokenPipe => {
            output::complain(&format!("writing the output: {failed}"));
            i32::from(fail::Exit::CANNOT_OPEN.0)
        }
        _ => error.exit_code(),
    };
    std::process::exit(code)
}
