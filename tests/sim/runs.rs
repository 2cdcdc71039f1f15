//! Seeds one after the other, and what is reported of them. Speaks enough of the language of test harnesses for
//! `cargo test` with a filter, and for those that list tests first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use lastword::evlog;

use super::sim::{Counts, Sim};

/// What every run of CI does.
const SEEDS: u64 = 1000;

/// The trace of a failure shows so many of the last lines, unless `--trace` says something else.
const TRACED: usize = 80;

/// One seed in so many is run twice, to see that nothing but the seed decides.
const TWICE: u64 = 20;

/// The tests, as they are listed: one that is not asked for is not run.
const NAME: &str = "every_seed_comes_to_rest_and_the_same_seed_twice_is_the_same_log";

struct Asked {
    seeds: u64,
    from: u64,
    one: Option<u64>,
    traced: usize,
    /// Where the log of the one seed is written to, as a stream.
    export: Option<PathBuf>,
}

/// What a seed has come to.
struct Ran {
    trail: ([u8; 32], u64, u64),
    met: BTreeMap<&'static str, u64>,
    counts: Counts,
    steps: u64,
}

pub(crate) fn main(arguments: Vec<String>) -> ExitCode {
    let asked = match parse(&arguments) {
        Ok(Some(asked)) => asked,
        Ok(None) => return ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    match asked.one {
        Some(seed) => one(seed, &asked),
        None => many(&asked),
    }
}

fn parse(arguments: &[String]) -> Result<Option<Asked>, String> {
    let mut asked = Asked { seeds: SEEDS, from: 1, one: None, traced: TRACED, export: None };
    let (mut filters, mut rest) = (Vec::new(), arguments.iter());
    while let Some(argument) = rest.next() {
        let (flag, glued) =
            argument.split_once('=').map_or((argument.as_str(), None), |(a, b)| (a, Some(b.to_owned())));
        let mut number = || {
            let text = glued.clone().or_else(|| rest.next().cloned()).unwrap_or_default();
            text.parse::<u64>().map_err(|_| format!("{flag} has to be followed by a number, found {text:?}"))
        };
        match flag {
            "--seeds" => asked.seeds = number()?,
            "--from" => asked.from = number()?,
            "--seed" => asked.one = Some(number()?),
            "--trace" => asked.traced = usize::try_from(number()?).unwrap_or(TRACED),
            "--export" => asked.export = glued.or_else(|| rest.next().cloned()).map(PathBuf::from),
            "--list" => {
                println!("{NAME}: test");
                return Ok(None);
            }
            "--ignored" => return Ok(None),
            "--skip" => match glued.or_else(|| rest.next().cloned()) {
                Some(skipped) if NAME.contains(&skipped) => return Ok(None),
                Some(_) | None => {}
            },
            "--test-threads" | "--format" | "--color" | "-Z" if glued.is_none() => drop(rest.next()),
            _ if flag.starts_with('-') => {}
            _ => filters.push(argument.clone()),
        }
    }
    let wanted = filters.is_empty() || filters.iter().any(|filter| NAME.contains(filter.as_str()));
    Ok(Some(asked).filter(|_| wanted))
}

fn run(seed: u64) -> Ran {
    let mut sim = Sim::new(seed, 0);
    sim.run();
    Ran { trail: sim.disk.trail(), met: sim.witness.met, counts: sim.counts, steps: sim.steps }
}

fn many(asked: &Asked) -> ExitCode {
    let started = Instant::now();
    println!("running 1 test");
    // A failure is told once, by its repetition.
    std::panic::set_hook(Box::new(|_| ()));
    let (mut met, mut counts, mut steps, mut frames, mut bytes) = (BTreeMap::new(), Counts::default(), 0, 0_u64, 0_u64);
    for seed in asked.from..asked.from.saturating_add(asked.seeds) {
        let Ok(ran) = catch_unwind(|| run(seed)) else {
            eprintln!("seed {seed} fails; repeat it with\n    {}", command(seed));
            return one(seed, asked);
        };
        if seed.is_multiple_of(TWICE) {
            let again = catch_unwind(|| run(seed)).map(|again| again.trail).ok();
            if again != Some(ran.trail) {
                eprintln!("seed {seed} twice makes two logs: {:?} and {again:?}\n    {}", ran.trail, command(seed));
                return ExitCode::FAILURE;
            }
            counts.add("seeds run twice");
        }
        steps += ran.steps;
        frames += ran.trail.1;
        bytes += ran.trail.2;
        ran.met.into_iter().for_each(|(what, times)| *met.entry(what).or_insert(0) += times);
        ran.counts.of.into_iter().for_each(|(what, times)| *counts.of.entry(what).or_insert(0) += times);
        if asked.seeds > SEEDS && seed.is_multiple_of(5000) {
            println!("seed {seed}, {:?}", started.elapsed());
        }
    }
    let events: u64 = met.values().sum();
    let seconds = started.elapsed().as_secs_f64();
    println!("{} seeds from {}: {steps} steps, {frames} frames, {bytes} bytes of log", asked.seeds, asked.from);
    println!("events: {met:?}\nmet: {:?}", counts.of);
    println!(
        "{events} events in {seconds:.1} s: {:.0} a second, {:.1} million an hour on one core",
        events as f64 / seconds,
        events as f64 / seconds * 3600.0 / 1e6
    );
    match missed(asked, &met, &counts) {
        None => {
            println!("test {NAME} ... ok");
            ExitCode::SUCCESS
        }
        Some(missed) => {
            eprintln!("too little happens: {missed}");
            ExitCode::FAILURE
        }
    }
}

/// A simulation in which nothing happens proves nothing.
fn missed(asked: &Asked, met: &BTreeMap<&'static str, u64>, counts: &Counts) -> Option<String> {
    const EXPECTED: [&str; 14] = [
        "crash before the frame",
        "crash after the frame",
        "append failed, all kept",
        "append failed, none kept",
        "barrier failed, all kept",
        "barrier failed, none kept",
        "torn",
        "opened from a snapshot",
        "prefixes deleted",
        "backups restored",
        "a deposed process woke up",
        "said late or twice",
        "taken over",
        "taken over from a process before",
    ];
    let enough = asked.seeds / 100;
    let rare = EXPECTED.iter().find(|what| counts.of.get(*what).copied().unwrap_or(0) < enough);
    // Every event but the loss of data, which only a damaged disk makes.
    let kinds = met.values().filter(|times| **times > enough).count();
    match rare {
        Some(rare) => Some(format!("{rare}: {:?}", counts.of.get(rare))),
        None if kinds < 26 && asked.seeds >= SEEDS => Some(format!("{kinds} kinds of events in {met:?}")),
        None => None,
    }
}

fn command(seed: u64) -> String {
    format!("cargo test --all-features --test sim -- --seed {seed}")
}

/// One seed, with a trace of how it fails.
fn one(seed: u64, asked: &Asked) -> ExitCode {
    let _ = std::panic::take_hook();
    let mut sim = None;
    let result = catch_unwind(AssertUnwindSafe(|| sim.insert(Sim::new(seed, asked.traced)).run()));
    let Some(sim) = sim else { return ExitCode::FAILURE };
    match result {
        Ok(()) => {
            println!("seed {seed}: {:?}\n{:?}\n{:?}", sim.weather, sim.witness.met, sim.counts.of);
            println!("seed {seed} comes to rest after {} steps", sim.steps);
            if let Some(path) = &asked.export {
                let mut stream = BufWriter::new(File::create(path).unwrap());
                evlog::write(sim.disk.reader(), &*sim.objects, &mut stream).unwrap();
            }
            ExitCode::SUCCESS
        }
        Err(_) => {
            eprintln!("seed {seed}: {:?}\nits last steps:", sim.weather);
            sim.traced().for_each(|line| eprintln!("{line}"));
            eprintln!("seed {} fails; repeat it with\n    {}", sim.seed, command(seed));
            ExitCode::FAILURE
        }
    }
}
