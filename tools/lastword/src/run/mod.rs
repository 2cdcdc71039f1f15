//! `lastword run`: keeps the collections of a configuration in step, for ever or until they are settled.

mod events;
mod progress;
mod session;
mod settle;
mod signals;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use lastword::core::vocabulary::Name;
use lastword::external::External;

use crate::config::{Config, Entry};
use crate::console::{line, note, quoted};
use crate::fail::{DEFECT, Fail};
use crate::inspect::Inspected;
use crate::status::how_to_confirm;
pub(crate) use events::{Events, Next};
pub(crate) use session::Session;

use progress::Progress;
use settle::{Settling, Verdict};
use signals::Signals;

/// How long running attempts may take to stop at the end. What has not stopped by then is tried again at the next
/// start.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// How long to wait for an event before looking at signals, progress and settledness again: nobody notices a tenth
/// of a second.
const TURN: Duration = Duration::from_millis(100);

/// With `--once` sources are looked at at least so often: a look that finds every file aged is worth waiting for.
const ONCE_INTERVAL: Duration = Duration::from_millis(500);

/// `lastword run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration
    config: PathBuf,
    /// End when every collection of the configuration is settled: exit code 0 if all are fresh, 1 if not
    #[arg(long)]
    once: bool,
    /// How events are printed on standard output
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    log: Format,
    /// Print no events and no progress
    #[arg(short, long)]
    quiet: bool,
    /// Try a collection again that is parked or backing off, and look at its source again
    #[arg(long, value_name = "NAME")]
    refresh: Vec<String>,
    /// Build a collection anew, all of it, whether it is fresh or not
    #[arg(long, value_name = "NAME")]
    rebuild: Vec<String>,
    /// Accept what is held under this fingerprint, such as an emptied source
    #[arg(long, value_name = "FINGERPRINT")]
    confirm: Vec<String>,
}

/// How events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One readable line per event
    Text,
    /// One JSON object per event and line
    Json,
}

/// Why following the events came to its end.
enum End {
    /// With `--once`: nothing is left to wait for.
    Settled(Vec<(Name, Verdict)>),
    /// A signal.
    Asked,
    /// Nobody reads what is printed.
    Unread,
    /// The reconciler is gone; closing it says why.
    Died,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Fail> {
    let config = Config::read(&arguments.config)?;
    let signals = Signals::register()?;
    let interval = if arguments.once { config.look_interval.min(ONCE_INTERVAL) } else { config.look_interval };
    let mut session = Session::start(&config, External::local(), interval, arguments.log)?;
    let mut progress = Progress::new(arguments.quiet);
    let end = begin(&session, &config, arguments)
        .and_then(|()| follow(&mut session, &config, arguments, (&signals, &mut progress)));
    progress.clear();
    // Whatever happened, the log is closed in order; what went wrong first is what is reported.
    let closed = session.close(SHUTDOWN, |text| {
        if !arguments.quiet {
            // Nobody has to read the last lines.
            let _ = line(text);
        }
    });
    let end = end?;
    closed?;
    match end {
        End::Settled(verdicts) => {
            let stuck = report(&verdicts, &arguments.config);
            let damaged = damaged(&config)?;
            Ok(if stuck || damaged { ExitCode::from(DEFECT) } else { ExitCode::SUCCESS })
        }
        End::Asked if arguments.once => Err(Fail::new(DEFECT, "interrupted before everything was settled")),
        End::Died => Err(Fail::new(DEFECT, "the reconciler ended without a reason")),
        End::Asked | End::Unread => Ok(ExitCode::SUCCESS),
    }
}

/// Says everything that the person had to say: the configuration, then what is to be accepted or tried again.
fn begin(session: &Session, config: &Config, arguments: &Arguments) -> Result<(), Fail> {
    for name in session.declare(config)? {
        let file = config.file.display();
        note(&format!("{name} is in the log and not in {file}: unmanaged, it stays as it was declared there"));
    }
    arguments.confirm.iter().try_for_each(|fingerprint| session.confirm(fingerprint))?;
    arguments.refresh.iter().try_for_each(|name| session.refresh(name))?;
    arguments.rebuild.iter().try_for_each(|name| session.rebuild(name))
}

fn follow(
    session: &mut Session,
    config: &Config,
    arguments: &Arguments,
    (signals, progress): (&Signals, &mut Progress),
) -> Result<End, Fail> {
    let mut settling = arguments.once.then(|| Settling::new(config));
    let mut polled = Instant::now();
    loop {
        match session.events.next_within(TURN)? {
            Next::Event(event, text) => {
                progress.clear();
                if !arguments.quiet && !line(&text)? {
                    return Ok(End::Unread);
                }
                settling.iter_mut().for_each(|settling| settling.hear(&event));
            }
            Next::Nothing => {}
            Next::Closed => return Ok(End::Died),
        }
        if signals.asked() {
            return Ok(End::Asked);
        }
        let every = if arguments.once { TURN } else { progress.interval() };
        if polled.elapsed() < every {
            continue;
        }
        polled = Instant::now();
        let Ok(list) = session.handle.list() else { return Ok(End::Died) };
        let Some(ahead) = session.ahead() else { continue };
        progress.show(&list, ahead);
        if let Some(verdicts) = settling.as_mut().and_then(|settling| settling.judge(&list, ahead)) {
            return Ok(End::Settled(verdicts));
        }
    }
}

/// One line for each collection that is not fresh, and whether there is one.
fn report(verdicts: &[(Name, Verdict)], file: &Path) -> bool {
    let mut stuck = 0;
    for (name, verdict) in verdicts {
        if let Verdict::Stuck { condition, cause, held } = verdict {
            let confirm = held.map(|held| how_to_confirm(&quoted(file), held)).unwrap_or_default();
            note(&format!("{name}: {condition}: {cause}{confirm}"));
            stuck += 1;
        }
    }
    if stuck > 0 {
        note(&format!("{stuck} of {} collections are not fresh", verdicts.len()));
    }
    stuck > 0
}

/// One line for each collection of the file whose manifest cannot be read to its last leaf, and whether there is one.
/// Nothing else reads a manifest whose source rests.
fn damaged(config: &Config) -> Result<bool, Fail> {
    let inspected = Inspected::open(&config.state)?;
    let mut found = false;
    for Entry { name, .. } in &config.collections {
        let collection = inspected.state.id_of(name).and_then(|id| inspected.state.collection(id));
        let Some(Err(fail)) = collection.map(|collection| inspected.manifest(collection)) else { continue };
        let what = if fail.code == DEFECT { "is damaged" } else { "cannot be read" };
        let rebuild = format!("lastword run {} --rebuild {}", quoted(&config.file), quoted(Path::new(name.as_str())));
        note(&format!("{name}: its manifest {what}: {fail}; {rebuild} builds it anew"));
        found = true;
    }
    Ok(found)
}
