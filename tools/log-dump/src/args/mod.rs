//! Arguments, and what is allowed in them.

mod format;
mod selection;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::Styles;
use clap::{Args, Parser, Subcommand};
use glob::Pattern;
use lastword::core::vocabulary::Name;
use lastword::log::FrameHash;
use lastword::replay::Until;

pub(crate) use format::Format;
pub use selection::SelectionArgs;
pub(crate) use values::parse_rfc3339 as rfc3339;
pub(crate) use values::parse_until;
use values::{parse_glob, parse_hash, parse_name};

use crate::live::Live;
use crate::whole::directory_of;

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
    #[command(flatten)]
    Look(Look),
    /// Checks everything: frames, chain, anchor, legality of every event, invariants, objects.
    Verify {
        #[command(flatten)]
        log: LogArgs,
        /// That the log extends what it was when its head had this hash, as `head` printed it and somebody noted it
        /// elsewhere. Exit 1 if no frame has it: the log was rewritten, cut off, replaced by an older copy, or what the
        /// note names was deleted with the beginning of the log.
        #[arg(long, value_name = "HEX", value_parser = parse_hash)]
        expect_head: Option<FrameHash>,
        /// The same with a checkpoint that `head --checkpoint` or a run wrote: its log, event, hash and time.
        #[arg(long, value_name = "FILE", conflicts_with = "expect_head")]
        expect_checkpoint: Option<PathBuf>,
        /// That this key has signed it: what `key new` printed, or a file with it.
        #[arg(long, value_name = "KEY", requires = "expect_checkpoint")]
        public_key: Option<String>,
    },
    /// Makes keys that sign checkpoints. They belong outside of the log.
    Key {
        #[command(subcommand)]
        key: KeyCommand,
    },
    /// Prints counts and sizes.
    Stat {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        selection: SelectionArgs,
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

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes an ed25519 key in a file that only its owner may read, and prints the public key.
    New {
        /// The file; it must not exist.
        file: PathBuf,
        /// By which name its signatures are known.
        #[arg(long, default_value = "lastword")]
        name: String,
    },
}

impl Command {
    /// The files and directories on which the command depends.
    pub(crate) fn named(&self) -> Vec<PathBuf> {
        let named = match self {
            Command::Look(look) => look.named(),
            Command::Verify { log, expect_checkpoint, .. } => [Some(&*log.state), expect_checkpoint.as_deref()],
            Command::Stat { log, .. } => [Some(&*log.state), None],
            Command::Export { log, file, .. } => [Some(&*log.state), Some(directory_of(file))],
            Command::Import { state, file, .. } => [Some(directory_of(state)), Some(&**file)],
            Command::Key { key: KeyCommand::New { file, .. } } => [Some(directory_of(file)), None],
        };
        named.into_iter().flatten().filter(|named| *named != Path::new("-")).map(Path::to_owned).collect()
    }
}

/// What is asked of a log about what it has recorded. `lastword` has the same commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Look {
    /// Prints events, one line each.
    Dump(DumpArgs),
    /// Prints where the log ends.
    Head(HeadArgs),
    /// Prints every collection as the log knows it. Lag and waiting times are as of the last event that counts.
    State(StateArgs),
    /// Says why a collection is as it is, or what became of one of its tasks.
    ///
    /// An answer in one sentence, and the events that led there, back to the last commit or the declaration. With
    /// --json: all of these events as `dump --json` prints them, then the answer, {"kind":"why",...}, as the last line.
    Why(WhyArgs),
    /// Shows the segments of a collection, also while the log is written.
    Manifest(ManifestArgs),
    /// Says what changed between two points of a log, or where two logs part.
    ///
    /// With --json: a line for every collection that differs, or for every event behind the common part, and what it
    /// adds up to, {"kind":"diff",...}, as the last line.
    Diff(DiffArgs),
}

impl Look {
    fn log(&self) -> &LogArgs {
        match self {
            Look::Dump(DumpArgs { log, .. })
            | Look::Head(HeadArgs { log, .. })
            | Look::State(StateArgs { log, .. })
            | Look::Why(WhyArgs { log, .. })
            | Look::Manifest(ManifestArgs { log, .. })
            | Look::Diff(DiffArgs { log, .. }) => log,
        }
    }

    /// The directory of the log, or the exported file, that was named.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.log().state
    }

    pub(crate) fn is_json(&self) -> bool {
        self.log().json
    }

    /// The files and directories on which the answer depends.
    #[must_use]
    pub fn named(&self) -> [Option<&Path>; 2] {
        let beside = match self {
            Look::Head(HeadArgs { sign, .. }) => sign.as_deref(),
            Look::Diff(DiffArgs { between, .. }) => between.other.as_deref(),
            _ => None,
        };
        [Some(self.state()), beside]
    }

    /// The same question of a log that this process writes.
    pub(crate) fn of_live(mut self, live: Arc<Live>) -> Look {
        self.log_mut().live = Some(live);
        self
    }

    /// The same question of the log at another path.
    #[must_use]
    pub fn at(mut self, state: PathBuf) -> Look {
        self.log_mut().state = state;
        self
    }

    fn log_mut(&mut self) -> &mut LogArgs {
        match self {
            Look::Dump(DumpArgs { log, .. })
            | Look::Head(HeadArgs { log, .. })
            | Look::State(StateArgs { log, .. })
            | Look::Why(WhyArgs { log, .. })
            | Look::Manifest(ManifestArgs { log, .. })
            | Look::Diff(DiffArgs { log, .. }) => log,
        }
    }
}

/// The arguments of `dump`.
#[derive(Clone, Debug, Args)]
pub struct DumpArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) damage: DamageArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// How they are written.
    #[arg(long, value_enum, conflicts_with = "json")]
    pub(crate) format: Option<Format>,
    /// Those that come as well, as they come, until it is interrupted or --limit is reached.
    #[arg(long, conflicts_with_all = ["reverse", "up_to_damage"])]
    pub(crate) follow: bool,
    /// The last one first.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// At most so many, in the order in which they are written.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

/// The arguments of `head`.
#[derive(Clone, Debug, Args)]
pub struct HeadArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Only what HEAD says, which may be a second behind: nothing else is read, and nothing is copied.
    #[arg(long)]
    pub(crate) anchor: bool,
    /// A checkpoint to be noted elsewhere, in the shape of C2SP: the log, its last event, the hash of its last frame, and its
    /// time. `verify --expect-checkpoint` holds a log against it.
    #[arg(long, conflicts_with_all = ["anchor", "json"])]
    pub(crate) checkpoint: bool,
    /// The same, signed with the key in this file, which `key new` made.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["anchor", "json"])]
    pub(crate) sign: Option<PathBuf>,
    /// How a checkpoint names a log whose first frame was let go, as earlier ones named it: lastword/ and the hash of that frame.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["anchor", "json"])]
    pub(crate) origin: Option<String>,
}

/// The arguments of `state`.
#[derive(Clone, Debug, Args)]
pub struct StateArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) damage: DamageArgs,
    /// As of this event, or of the last event not later than this time: a number of an event, a time in RFC 3339, or
    /// how long ago, such as 2h.
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_until)]
    pub(crate) at: Option<Until>,
}

/// The arguments of `why`.
#[derive(Clone, Debug, Args)]
pub struct WhyArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// The collection. One that was dropped has an answer too; a name that was never declared is exit 2.
    #[arg(value_parser = parse_name)]
    pub(crate) name: Name,
    /// As of this event, or of the last event not later than this time: a number of an event, a time in RFC 3339, or
    /// how long ago, such as 2h.
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_until)]
    pub(crate) at: Option<Until>,
    /// Why this task was aborted, given up or committed, and its completions refused.
    #[arg(long, value_name = "N")]
    pub(crate) task: Option<u64>,
    /// All files that an observation found added (+), changed (~) or removed (-), not only the first 20 of each. With
    /// --json: behind each such event a line {"kind":"files",...}.
    #[arg(long)]
    pub(crate) files: bool,
}

/// The arguments of `manifest`.
#[derive(Clone, Debug, Args)]
pub struct ManifestArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// The collection.
    pub(crate) name: String,
    /// As of this event, or of the last event not later than this time: a number of an event, a time in RFC 3339, or
    /// how long ago, such as 2h. The end of the log without it.
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_until)]
    pub(crate) at: Option<Until>,
}

/// The arguments of `diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) between: BetweenArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// The directory of the log, or an exported file.
    pub(crate) state: PathBuf,
    /// JSON Lines with stable keys; the last line is a summary.
    #[arg(long)]
    pub(crate) json: bool,
    /// The log itself, in the process that writes it.
    #[arg(skip)]
    pub(crate) live: Option<Arc<Live>>,
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
    /// All files and segments that differ by name, not only the first 20 of each.
    #[arg(long, conflicts_with = "other")]
    pub(crate) files: bool,
}

/// The events that the arguments of `dump` or `stat` select; for the tests of what is accepted.
pub fn selected<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Option<SelectionArgs> {
    match Cli::try_parse_from(arguments.into_iter().map(str::to_owned)).ok()?.command {
        Command::Look(Look::Dump(DumpArgs { selection, .. })) | Command::Stat { selection, .. } => Some(selection),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
