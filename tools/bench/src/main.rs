//! Measures lastword against the raw limit of the disk, bare sled, SQLite, PostgreSQL and Restate: all of them in one
//! run on one machine, in turns, told as ratios. What each suite measures stands at the head of its file.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod child;
mod contestants;
mod failure;
mod load;
mod peers;
mod place;
mod ratio;
mod report;
mod suites;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use bench::Bench;
use failure::{Result, explain};
use place::Place;
use report::Report;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    if let Some(asked) = &args.child {
        return suites::answer(asked);
    }
    let place = Place::new(args.dir.as_deref())?;
    eprintln!("{place}");
    let report = Report::new(args.json, place.file_system());
    let mut bench = Bench { quick: args.quick, place, report };
    let suites = if args.suites.is_empty() { args::Suite::ALL.to_vec() } else { args.suites };
    for suite in suites {
        suites::run(suite, &mut bench).map_err(|error| format!("{suite}: {}", explain(&error)))?;
        bench.place.clear()?;
    }
    Ok(())
}
