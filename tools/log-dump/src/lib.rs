//! `log-dump`: looks at a log without touching it. See `log-dump --help`, and `log-format.md` for what it reads.
//!
//! The program is [`run`]; what else is public is there for the tests of what it parses.
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod args;
mod diff;
mod dump;
mod fail;
mod head;
mod input;
mod output;
mod point;
mod signals;
mod stat;
mod state;
mod transfer;
mod verify;
mod why;

use std::io::Write;
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use args::{Cli, Command};
use clap::Parser;
use fail::{Exit, Failure};
use lastword::apart::{self, Unfinished};
use lastword::core::vocabulary::{Seq, TaskId};
use lastword::describe::panicked;
use lastword::replay::Until;
use output::complain;

/// How long a log or a stream that does not answer is waited for: a server that another one takes over from is back by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// How long the private copies of this process may take to be removed then.
const COPIES_REMOVED_WITHIN: Duration = Duration::from_secs(30);

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    panic::set_hook(Box::new(|info| panicked(info).iter().for_each(|line| complain(line))));
    let cli = Cli::try_parse().unwrap_or_else(|error| usage(&error));
    signals::remove_copies_on_signals();
    let named = cli.command.named().map(Path::to_owned);
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
            let _ = apart::within(COPIES_REMOVED_WITHIN, lastword::log::remove_private_copies);
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
        Command::Dump { log, damage, selection } => dump::run(&log, damage, &selection),
        Command::Verify { log, expect_head } => verify::run(&log, expect_head.as_deref()),
        Command::Head { log, anchor: true } => head::anchor(&log),
        Command::Head { log, anchor: false } => head::run(&log),
        Command::State { log, damage, at } => state::run(&log, damage, at),
        Command::Stat { log, selection } => stat::run(&log, &selection),
        Command::Why { log, name, at, task, files } => {
            why::run(&log, &name, at.unwrap_or(Until::End), task.map(Seq).map(TaskId), files)
        }
        Command::Diff { log, between } => diff::run(&log, &between),
        Command::Export { log, damage, file } => transfer::export(&log, damage, &file),
        Command::Import { state, file, damage, json } => transfer::import(&state, &file, damage, json),
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
