//! Arguments, and what is allowed in them.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::builder::Styles;
use clap::{Args, Parser, Subcommand};
use glob::Pattern;
use lastword::codec;
use lastword::core::vocabulary::{Name, Seq, Timestamp};
use lastword::replay::Until;

/// Prints, verifies, exports and imports logs of lastword. It works on a private copy and never creates or changes
/// the log that it reads, also while a writer has it open.
///
/// STATE is the directory of a log, or a file that `export` wrote. Data goes to stdout, diagnostics to stderr.
///
/// Exit codes: 0 ok; 1 a defect was found, or two logs part; 2 usage, or no such collection or task; 3 cannot open
/// (absent, no log, forbidden, busy, I/O), or the output cannot be written (a full disk); 4 the format is too new; 5 the
/// log is shorter than its anchor; 6 replay diverged. A reader that goes away (`| head`) is no failure. A selection that
/// finds nothing is none either, and said on stderr.
#[derive(Debug, Parser)]
#[command(name = "log-dump", version, styles = Styles::plain())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints events, one line each.
    Dump {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        damage: DamageArgs,
        #[command(flatten)]
        selection: SelectionArgs,
    },
    /// Checks everything: frames, chain, anchor, legality of every event, invariants, objects.
    Verify {
        #[command(flatten)]
        log: LogArgs,
        /// That the log extends what it was when its head had this hash, as `head` printed it and somebody noted it
        /// elsewhere. Exit 1 if no frame has it: the log was rewritten, cut off, replaced by an older copy, or what the
        /// note names was deleted with the beginning of the log.
        #[arg(long, value_name = "HEX", value_parser = parse_hash)]
        expect_head: Option<String>,
    },
    /// Prints where the log ends.
    Head {
        #[command(flatten)]
        log: LogArgs,
        /// Only what HEAD says, which may be a second behind: nothing else is read, and nothing is copied.
        #[arg(long)]
        anchor: bool,
    },
    /// Prints every collection as the log knows it. Lag and waiting times are as of the last event that counts.
    State {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        damage: DamageArgs,
        /// As of this event, or of the last event not later than this time: a number of an event, a time in RFC 3339, or
        /// how long ago, such as 2h.
        #[arg(long, value_name = "SEQ|TIME", value_parser = parse_until)]
        at: Option<Until>,
    },
    /// Prints counts and sizes.
    Stat {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        selection: SelectionArgs,
    },
    /// Says why a collection is as it is, or what became of one of its tasks.
    ///
    /// An answer in one sentence, and the events that led there, back to the last commit or the declaration. With
    /// --json: all of these events as `dump --json` prints them, then the answer, {"kind":"why",...}, as the last line.
    Why {
        #[command(flatten)]
        log: LogArgs,
        /// The collection. One that was dropped has an answer too; a name that was never declared is exit 2.
        #[arg(value_parser = parse_name)]
        name: Name,
        /// As of this event, or of the last event not later than this time: a number of an event, a time in RFC 3339, or
        /// how long ago, such as 2h.
        #[arg(long, value_name = "SEQ|TIME", value_parser = parse_until)]
        at: Option<Until>,
        /// Why this task was aborted, given up or committed, and its completions refused.
        #[arg(long, value_name = "N")]
        task: Option<u64>,
        /// All files that an observation found added (+), changed (~) or removed (-), not only the first 20 of each. With
        /// --json: behind each such event a line {"kind":"files",...}.
        #[arg(long)]
        files: bool,
    },
    /// Says what changed between two points of a log, or where two logs part.
    ///
    /// With --json: a line for every collection that differs, or for every event behind the common part, and what it
    /// adds up to, {"kind":"diff",...}, as the last line.
    Diff {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        between: BetweenArgs,
    },
    /// Writes frames and objects as one portable stream (`.evlog`).
    Export {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        damage: DamageArgs,
        /// Where to; it must not exist. `-`, or nothing, is stdout.
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
    },
    /// Makes a log of a portable stream.
    Import {
        /// The directory of the log to be made; it must not exist.
        state: PathBuf,
        /// The stream; `-` is stdin.
        file: PathBuf,
        #[command(flatten)]
        damage: DamageArgs,
        /// JSON Lines.
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    /// The file or directory on which all of the command depends.
    pub(crate) fn named(&self) -> Option<&Path> {
        match self {
            Command::Dump { log, .. }
            | Command::Verify { log, .. }
            | Command::Head { log, .. }
            | Command::State { log, .. }
            | Command::Stat { log, .. }
            | Command::Why { log, .. }
            | Command::Diff { log, .. }
            | Command::Export { log, .. } => Some(&log.state),
            Command::Import { state, .. } => state.parent(),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// The directory of the log, or an exported file.
    pub(crate) state: PathBuf,
    /// JSON Lines with stable keys; the last line is a summary.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with a log that is damaged.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DamageArgs {
    /// Of a damaged log or stream, what lies before the damage. The exit code is still that of the damage.
    #[arg(long)]
    pub(crate) up_to_damage: bool,
}

/// Between what.
#[derive(Clone, Debug, Args)]
pub(crate) struct BetweenArgs {
    /// Another log, such as a backup: where do the two part, and what follows on each side? Exit 0 if one is the
    /// beginning of the other, 1 if they part.
    pub(crate) other: Option<PathBuf>,
    /// From the state as of this event, or of the last event not later than this time (as `state --at`).
    #[arg(
        long, value_name = "SEQ|TIME", value_parser = parse_until,
        required_unless_present = "other", conflicts_with = "other",
    )]
    pub(crate) from: Option<Until>,
    /// To the state as of this event or time; the end of the log without it.
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_until, conflicts_with = "other")]
    pub(crate) to: Option<Until>,
    /// Collections whose name matches: `*` any characters, `?` one, `[a-z]` one of these.
    #[arg(long, value_name = "GLOB", value_parser = parse_glob, conflicts_with = "other")]
    pub(crate) collection: Option<Pattern>,
}

/// Which events. All conditions have to hold.
#[derive(Clone, Debug, Default, Args)]
pub struct SelectionArgs {
    /// From this event on.
    #[arg(long, value_name = "SEQ")]
    pub(crate) from: Option<u64>,
    /// Up to but without this event.
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// From this time on: RFC 3339, seconds since the Unix epoch, or how long ago, such as 2h or 30m.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Up to but without this time (half-open, like --to): RFC 3339, seconds since the Unix epoch, or how long ago.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// The last N of what the other conditions leave.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
    /// Events of these types.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_type)]
    types: Vec<u16>,
    /// Events of collections whose name matches: `*` any characters, `?` one, `[a-z]` one of these.
    #[arg(long, value_name = "GLOB", value_parser = parse_glob)]
    collection: Option<Pattern>,
}

impl SelectionArgs {
    /// All events behind this one.
    pub(crate) fn behind(seq: Seq) -> SelectionArgs {
        SelectionArgs { from: Some(seq.next().0), ..SelectionArgs::default() }
    }

    /// What is said if nothing was selected of a log that holds these events.
    pub(crate) fn nothing(&self, first: Seq, last: Seq) -> String {
        if last < first {
            return "there are no events in this log".to_owned();
        }
        let collection = self.collection.as_ref().map(|glob| format!(" of collections {:?}", glob.as_str()));
        format!("no event{} is selected; the log holds events {first} to {last}", collection.unwrap_or_default())
    }

    /// The first event that may be selected.
    pub fn first(&self) -> Seq {
        Seq(self.from.unwrap_or(1).max(1))
    }

    /// The first event behind those that may be selected, in a log that ends with `end`.
    pub fn end(&self, end: Seq) -> Seq {
        let behind = end.next();
        Seq(self.to.unwrap_or(behind.0)).min(behind).max(self.first().min(behind))
    }

    /// Whether an event of a log is selected, `last` aside. `name` is that of its collection.
    pub fn holds(&self, seq: Seq, at: Timestamp, event_type: u16, name: Option<&str>) -> bool {
        self.from.is_none_or(|from| seq.0 >= from)
            && self.to.is_none_or(|to| seq.0 < to)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && (self.types.is_empty() || self.types.contains(&event_type))
            && self.collection.as_ref().is_none_or(|glob| name.is_some_and(|name| glob.matches(name)))
    }

    /// Whether nothing from here on can be selected, so that reading may stop.
    pub fn is_over(&self, seq: Seq, at: Timestamp) -> bool {
        self.to.is_some_and(|to| seq.0 >= to) || self.until.is_some_and(|until| at >= until)
    }
}

/// The events that the arguments of `dump` or `stat` select; for the tests of what is accepted.
pub fn selected<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Option<SelectionArgs> {
    match Cli::try_parse_from(arguments.into_iter().map(str::to_owned)).ok()?.command {
        Command::Dump { selection, .. } | Command::Stat { selection, .. } => Some(selection),
        _ => None,
    }
}

/// RFC 3339 with any offset, or seconds since the Unix epoch with up to six decimals.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_seconds(text).or_else(|| parse_rfc3339(text)).or_else(|| parse_ago(text)).ok_or_else(|| {
        "expected a time in RFC 3339, such as 2026-11-23T10:00:00Z, seconds since 1970-01-01, or how long ago, such as 2h"
            .to_owned()
    })
}

fn parse_seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let micros = format!("{fraction:0<6}").parse::<u64>().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros).map(Timestamp)
}

/// So long before now.
fn parse_ago(text: &str) -> Option<Timestamp> {
    let ago = humantime::parse_duration(text).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    // The log cannot be older than that.
    Some(Timestamp(0).after(now.saturating_sub(ago)))
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let since_epoch = |utc: &str| {
        let at = humantime::parse_rfc3339(utc).ok()?;
        at.duration_since(UNIX_EPOCH).ok().map(|since| Timestamp(0).after(since).0)
    };
    if text.ends_with('Z') {
        return since_epoch(text).map(Timestamp);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let minutes = hours.parse::<u64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    let (local, shift) = (since_epoch(&format!("{local}Z"))?, minutes.checked_mul(60_000_000)?);
    match sign {
        "+" => local.checked_sub(shift).map(Timestamp),
        "-" => local.checked_add(shift).map(Timestamp),
        _ => None,
    }
}

fn parse_until(text: &str) -> Result<Until, String> {
    match text.parse() {
        Ok(seq) => Ok(Until::Seq(Seq(seq))),
        Err(_) => parse_rfc3339(text).or_else(|| parse_ago(text)).map(Until::Time).ok_or_else(|| {
            "expected the number of an event, a time in RFC 3339, or how long ago, such as 2h".to_owned()
        }),
    }
}

fn parse_name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.problem)
}

/// As hashes are printed.
fn parse_hash(text: &str) -> Result<String, String> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { Ok(text.to_ascii_lowercase()) } else { Err("must be 64 hexadecimal digits".to_owned()) }
}

fn parse_type(text: &str) -> Result<u16, String> {
    type_names().find(|(_, name)| *name == text).map(|(number, _)| number).ok_or_else(|| {
        let names: Vec<_> = type_names().map(|(_, name)| name).collect();
        format!("allowed are {}", names.join(", "))
    })
}

fn type_names() -> impl Iterator<Item = (u16, &'static str)> {
    codec::REGISTRY.iter().map(|(number, _, name)| (*number, *name))
}

fn parse_glob(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_allowed_form() {
        let expected = Ok(Timestamp(1_700_000_000_250_000));
        for text in [
            "1700000000.25",
            "2023-11-14T22:13:20.25Z",
            "2023-11-14T22:13:20.250000Z",
            "2023-11-14T23:43:20.25+01:30",
            "2023-11-14T17:13:20.25-05:00",
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
        for text in ["", "yesterday", "-5", "1.", ".5", "1.0000001", "2023-11-14", "2023-11-14T22:13:20"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn defect_48_a_time_may_be_how_long_ago_it_was() {
        let now = || Timestamp(0).after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let (before, found, after) = (now(), parse_time("2h").unwrap(), now());
        let hours = std::time::Duration::from_secs(7200);
        assert!(found.after(hours) >= before && found.after(hours) <= after);
        let Ok(Until::Time(at)) = parse_until("1d 30m") else { panic!("a time") };
        assert!(at < found);
        assert_eq!(parse_time("999999y").unwrap_or(Timestamp(0)), Timestamp(0), "before everything");
        assert!(parse_time("2 parsecs").is_err());
    }

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
