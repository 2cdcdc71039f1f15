//! `lastword doctor`: what a store does, before it is trusted. What is tried is the library's; here it is shown.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::Args;
use lastword::describe::counted;
use lastword::external::{
    BucketPrefix, Buckets, Examination, Finding, FindingOutcome, Interrupted, LocalStore, SourceUri, Store,
};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::config::Config;
use crate::console::{Table, line, note, printable};
use crate::fail::{CANNOT_OPEN, DEFECT, Fail, USAGE};

/// `lastword doctor`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where: s3://bucket/prefix/, gs://bucket/prefix/ or az://container/prefix/
    url: String,
    /// The configuration whose [stores] say where the bucket is and who asks; of a bucket that it does not name, and without
    /// it, the environment says so
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn doctor(arguments: &Arguments) -> Result<ExitCode, Fail> {
    let prefix = prefix_of(&arguments.url)?;
    let buckets = match &arguments.config {
        Some(file) => Config::stores_of(file, LocalStore)?,
        None => Buckets::new(),
    };
    let signals = Signals::register()?;
    let stop_check = || if signals.first() == 0 { Ok(()) } else { Err(Interrupted) };
    let found = buckets.examine(&prefix, &stop_check);
    if found.is_err() && signals.first() != 0 {
        return Ok(interrupted(&signals));
    }
    let found = found.map_err(|error| {
        if arguments.json {
            // The exit code says the same, whether anybody reads this or not.
            let _ = line(&unreached(&prefix, &error.to_string()).to_string());
        }
        Fail::new(CANNOT_OPEN, error.to_string())
    })?;
    if arguments.json {
        line(&json(&found).to_string())?;
    } else {
        for text in described(&found) {
            if !line(&text)? {
                break;
            }
        }
    }
    said_of_what_is_left(&found).iter().for_each(|text| note(text));
    Ok(match found.is_interrupted {
        true => interrupted(&signals),
        false if found.may_hold_log() => ExitCode::SUCCESS,
        false if found.may_hold_sources() => ExitCode::from(DEFECT),
        false => ExitCode::from(CANNOT_OPEN),
    })
}

fn prefix_of(url: &str) -> Result<BucketPrefix, Fail> {
    let source = SourceUri::parse(url).and_then(|source| source.resolve(Path::new("/")));
    let source = source.map_err(|error| Fail::new(USAGE, format!("the URL {}", error.problem)))?;
    let Some(prefix) = source.bucket() else {
        let instead = "the URL names a directory, and only object stores are examined; `lastword plan` shows what is found \
                       in a directory";
        return Err(Fail::new(USAGE, instead));
    };
    Buckets::new().serves(&source).map_err(|error| Fail::new(USAGE, format!("the URL {}", error.problem)))?;
    Ok(prefix.clone())
}

fn verdict(found: &Examination) -> String {
    let count = |outcome: FindingOutcome| found.findings.iter().filter(|finding| finding.outcome == outcome).count();
    let names = |outcome: FindingOutcome| {
        let some = found.findings.iter().filter(|finding| finding.outcome == outcome);
        some.map(|finding| finding.name).collect::<Vec<_>>().join(", ")
    };
    let not_ok = match count(FindingOutcome::NotOk) {
        0 => "nothing is not ok".to_owned(),
        _ => format!("not ok: {}", names(FindingOutcome::NotOk)),
    };
    let place = printable(&found.prefix);
    if found.is_interrupted {
        return format!("{place}: interrupted before everything was tried, so this is no verdict; {not_ok} until then");
    }
    match (found.may_hold_log(), found.may_hold_sources()) {
        (true, _) => format!("{place}: sources and a log may live here; {not_ok}"),
        (false, true) => format!("{place}: sources may live here, a log may not; {not_ok}"),
        (false, false) => format!("{place}: neither sources nor a log may live here; {not_ok}"),
    }
}

fn described(found: &Examination) -> Vec<String> {
    let mut table = Table::new(&["CHECK", "RESULT", "SEEN", "WHAT FOLLOWS"]);
    for Finding { name, outcome, saw, follows, .. } in &found.findings {
        let result = outcome.as_str().replace('_', " ");
        table.row(vec![(*name).to_owned(), result, saw.clone(), (*follows).to_owned()]);
    }
    let mut lines = table.lines();
    lines.push(verdict(found));
    lines
}

/// What stays behind, for a person to look after.
fn said_of_what_is_left(found: &Examination) -> Vec<String> {
    let mut said = Vec::new();
    if found.left_count > 0 {
        let shown = found.left.iter().take(3).map(|key| printable(key)).collect::<Vec<_>>().join(", ");
        let objects = counted(found.left_count as u64, "object");
        said.push(format!("{objects} could not be removed, and may still be there, among them {shown}"));
    }
    if found.keeps_versions {
        said.push(
            "the bucket keeps versions: what was made and removed is there as such until it lets go of them".to_owned(),
        );
    }
    said
}

fn json(found: &Examination) -> serde_json::Value {
    let finding = |finding: &Finding| {
        json!({
            "check": finding.name,
            "outcome": finding.outcome.as_str(),
            "needed_by": finding.needed_by.as_str(),
            "saw": finding.saw,
            "follows": finding.follows,
        })
    };
    json!({
        "v": 1,
        "url": found.prefix,
        "sources": found.may_hold_sources(),
        "log": found.may_hold_log(),
        "whole": found.is_whole,
        "interrupted": found.is_interrupted,
        "cause": null,
        "findings": found.findings.iter().map(finding).collect::<Vec<_>>(),
        "left": found.left,
        "left_count": found.left_count,
        "keeps_versions": found.keeps_versions,
        "requests": found.requests,
    })
}

/// The same object of what could not be listed: nothing was tried, and nothing made.
fn unreached(prefix: &BucketPrefix, cause: &str) -> serde_json::Value {
    json!({
        "v": 1,
        "url": prefix.to_string(),
        "sources": false,
        "log": false,
        "whole": false,
        "interrupted": false,
        "cause": cause,
        "findings": [],
        "left": [],
        "left_count": 0,
        "keeps_versions": false,
        "requests": null,
    })
}

/// The first SIGINT, SIGTERM or SIGHUP has everything removed that was made; the second ends at once.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn register() -> Result<Signals, Fail> {
        let first = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(AtomicBool::new(false));
        let uncaught = |error| Fail::new(CANNOT_OPEN, format!("signals cannot be caught: {error}"));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: at the first signal the flag is not set yet when the first of them reads it.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked)).map_err(uncaught)?;
            flag::register(signal, Arc::clone(&asked)).map_err(uncaught)?;
            let number = usize::try_from(signal).unwrap_or(usize::MAX);
            flag::register_usize(signal, Arc::clone(&first), number).map_err(uncaught)?;
        }
        Ok(Signals(first))
    }

    /// The number of the signal that came; 0 if none has.
    fn first(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// As a shell tells of who was ended by a signal.
fn interrupted(signals: &Signals) -> ExitCode {
    ExitCode::from(u8::try_from(signals.first().saturating_add(128)).unwrap_or(u8::MAX))
}
