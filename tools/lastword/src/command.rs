//! The commands that steer a log: carried out by the run that has it open, or on the log itself.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use lastword::core::CollectionView;
use lastword::core::vocabulary::{By, FieldError, Generation, Name, Seq, TaskId, Timestamp};
use lastword::log::lock_holder;
use serde_json::json;

use crate::answering::{asked, read_named};
use crate::config::Config;
use crate::console::{line, note, printable, quoted};
use crate::control::{
    APPLIED, Connection, Found, Hearer, PENDING, RETRY, Reached, Steer, TAKEN_WITHIN, Unmanaged, Verb, WithoutSocket,
    by, carry_out, known, reach, silent, taken, user,
};
use crate::differences::{NamedFile, unknown_in_log};
use crate::door::{Answer, Request, fingerprint};
use crate::fail::{CANNOT_OPEN, DEFECT, Fail, USAGE};
use crate::inspect::Inspected;
use crate::status::{self, Blemish};
use crate::words::{how_to_go_on, how_to_start, is_config, is_exported, last_event};

/// How long closing a log may take in which nothing runs.
const CLOSING: Duration = Duration::from_secs(10);

/// What an answer may be on its way, beyond what it may take.
const SLACK: Duration = Duration::from_secs(1);

/// A run is asked again after this, so that one that ends is noticed, and the next one is asked.
const ASKED_AGAIN: Duration = Duration::from_secs(2);

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Why; recorded with the command
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// Who; cli:USER if not given
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Which collection of which log.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The directory of the log, or the configuration that names it
    pub(crate) state: PathBuf,
    /// The collection
    name: String,
}

/// `lastword refresh`.
#[derive(Debug, Args)]
pub(crate) struct Refresh {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Build all of it anew, whether it is fresh or not
    #[arg(long)]
    force: bool,
    /// Read the content of all files again and compare it, whatever their times say. Takes a run, and as many looks as it
    /// takes; a content that was never read before counts as changed
    #[arg(long, conflicts_with_all = ["force", "seen"])]
    verify: bool,
    /// Only if no refresh was asked for since this event: repeating the command is harmless
    #[arg(long, value_name = "EVENT")]
    seen: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// `lastword cancel`.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only if this is its task
    #[arg(long, value_name = "N")]
    task: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// `lastword confirm`.
#[derive(Debug, Args)]
pub(crate) struct Confirm {
    #[command(flatten)]
    pub(crate) target: Target,
    /// What is accepted, as `lastword status` shows it
    fingerprint: String,
    #[command(flatten)]
    common: Common,
}

/// `lastword pause`, `resume` and `drop`.
#[derive(Debug, Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    common: Common,
}

/// `lastword reload`.
#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// The directory of the log, or the configuration that names it
    pub(crate) state: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// `lastword wait`.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Until this generation is applied; if not given, until an observation that begins now finds everything applied
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// For at most so long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The directory of the log that a person named: itself, or by a configuration.
pub(crate) fn state_of(named: &Path) -> Result<Cow<'_, Path>, Fail> {
    if asked(named, is_exported)? {
        let file = quoted(named);
        let problem = format!("is an exported log; log-dump import STATE {file} makes one of it that a run can open");
        return Err(Fail::new(CANNOT_OPEN, format!("{}: {problem}", named.display())));
    }
    Ok(if asked(named, is_config)? { read_named(named, Config::state_of)?.into() } else { named.into() })
}

pub(crate) fn refresh(arguments: &Refresh) -> Result<ExitCode, Fail> {
    let Refresh { target, force, verify, seen, common } = arguments;
    let verb = if *verify { Verb::Verify } else { Verb::Refresh { force: *force, seen: seen.map(Seq) } };
    steer(target, verb, common)
}

pub(crate) fn cancel(arguments: &Cancel) -> Result<ExitCode, Fail> {
    let Cancel { target, task, common } = arguments;
    steer(target, Verb::Cancel { task: task.map(|task| TaskId(Seq(task))) }, common)
}

pub(crate) fn confirm(arguments: &Confirm) -> Result<ExitCode, Fail> {
    let Confirm { target, fingerprint: text, common } = arguments;
    steer(target, Verb::Confirm { fingerprint: fingerprint(text)? }, common)
}

pub(crate) fn plain(verb: Verb, Plain { target, common }: &Plain) -> Result<ExitCode, Fail> {
    steer(target, verb, common)
}

fn steer(target: &Target, verb: Verb, common: &Common) -> Result<ExitCode, Fail> {
    let steer = Steer { name: name_of(&target.name)?, verb, by: asked_by(common)? };
    let state = state_of(&target.state)?;
    let refused = |fail| unknown_in_log(refused(&steer, fail), (&state, &target.state), &steer.name);
    let answer = match reach(&state, &steer).map_err(refused)? {
        Reached::Running(mut run) => run.ask(&Request::Steer(steer.clone())).map_err(refused)?,
        Reached::Opened(reconciler) => {
            let answer = Unmanaged::of(&state, &reconciler.handle())
                .and_then(|mut unmanaged| carry_out(&reconciler.handle(), &steer, &mut unmanaged));
            // A command that was refused is no reason not to close the log in order.
            let closed = reconciler.shutdown(CLOSING);
            let answer = answer.map_err(refused)?;
            closed?;
            let in_file =
                || NamedFile::of(&target.state)?.missing(|_| false).find(|name| **name == steer.name).cloned();
            let note = (steer.verb == Verb::Drop).then(in_file).flatten();
            answer
                .with_note(note.map(|_| "it is still in the configuration: the next start declares it anew".to_owned()))
        }
    };
    let text = if common.json { answer.to_string() } else { described(&steer, &answer) };
    let event =
        answer.number("seq").map_or_else(|| "nothing had to be changed".to_owned(), |seq| format!("event {seq}"));
    let done = format!("{}: {} was carried out ({event})", steer.name, steer.verb.name());
    let printed = carried_out(line(&text), &done);
    if !common.json {
        answer.text("note").into_iter().for_each(note);
    }
    printed.map(|()| ExitCode::SUCCESS)
}

/// An output that fails behind a command that does not: who sees the exit code is told that.
fn carried_out(printed: Result<bool, Fail>, done: &str) -> Result<(), Fail> {
    let only =
        |fail: Fail| Fail::new(fail.code, format!("{done}; only the receipt could not be printed: {}", fail.message));
    printed.map(drop).map_err(only)
}

/// A command that was refused, with what it was about.
fn refused(steer: &Steer, fail: Fail) -> Fail {
    let name = steer.name.as_str();
    if fail.code != USAGE || fail.message.contains(name) {
        return fail;
    }
    Fail::new(USAGE, format!("{name}: cannot {}: {}", steer.verb.name(), fail.message))
}

fn described(steer: &Steer, answer: &Answer) -> String {
    let (name, verb) = (printable(steer.name.as_str()), steer.verb.name());
    match answer.number("seq") {
        Some(seq) => format!("{name}: {verb}: event {seq}, generation {}", answer.number("generation").unwrap_or(0)),
        None => format!("{name}: {verb}: nothing had to be changed"),
    }
}

pub(crate) fn reload(arguments: &Reload) -> Result<ExitCode, Fail> {
    let Reload { state: named, common } = arguments;
    let by = asked_by(common)?;
    let state = state_of(named)?;
    let no_run = || match lock_holder(&state.join("LOCK")) {
        Some(_) => taken(&state),
        // What is no log, or a damaged one, is not read by a next run either.
        None => Inspected::open(&state).err().unwrap_or_else(|| {
            let state = state.display();
            Fail::new(
                CANNOT_OPEN,
                format!("{state}: no lastword runs here, so nothing was reloaded; the next one reads its file"),
            )
        }),
    };
    let mut run = Connection::open(&state)?.ok_or_else(no_run)?;
    // The run reads its own file again, and not the one that was named.
    if let Some(other) = Hearer::find(&state)?.differs(named).filter(|_| is_config(named)) {
        return Err(Fail::new(USAGE, format!("nothing was reloaded: {other}")));
    }
    let answer = run.ask(&Request::Reload(by))?;
    if common.json {
        carried_out(line(&answer.to_string()), "reload was carried out")?;
        return Ok(ExitCode::SUCCESS);
    }
    let names = |key: &str| -> String {
        let names: Vec<&str> = answer.list(key).iter().filter_map(|name| name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { printable(&names.join(", ")) }
    };
    let changed = answer.number("changed").unwrap_or(0);
    let text = format!("changed: {changed}; paused: {}; resumed: {}", names("paused"), names("resumed"));
    carried_out(line(&text), &format!("reload was carried out ({text})"))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn wait(arguments: &Wait) -> Result<ExitCode, Fail> {
    let name = name_of(&arguments.target.name)?;
    let state = state_of(&arguments.target.state)?;
    let generation = arguments.generation.map(Generation);
    let place = &arguments.target.state;
    let answer = wait_for(&state, &name, generation, arguments.timeout)
        .map_err(|fail| unknown_in_log(fail, (&state, place), &name))?;
    let answer = match answer.text("waited") == Some(APPLIED) {
        true => applied_after_all(answer, &state, place, &name, generation.is_some())?,
        false => answer,
    };
    let outcome = answer.text("waited").unwrap_or_default();
    let is_applied = outcome == APPLIED;
    if arguments.json {
        line(&answer.clone().without("since").without("by_file").to_string())?;
    } else {
        let (name, because) = (printable(name.as_str()), printable(answer.text("because").unwrap_or_default()));
        let because = if because.is_empty() { "what was heard so far is applied".to_owned() } else { because };
        let number = answer.number("generation").unwrap_or(0);
        let (condition, held) = (answer.text("condition").unwrap_or_default(), answer.text("held"));
        let go_on = how_to_go_on(condition, place, &name, held).filter(|_| held.is_some() || !answer.flag("by_file"));
        let go_on = go_on.unwrap_or_default();
        match outcome {
            APPLIED => drop(line(&format!("{name}: applied, generation {number}"))?),
            PENDING => {
                note(&format!("{name}: not within {}: {because}", humantime::format_duration(arguments.timeout)))
            }
            "nobody_runs" => {
                let start = how_to_start(place);
                note(&format!(
                    "{name}: no lastword runs here, so there is nothing to wait for: {because}{go_on}; {start}"
                ))
            }
            other => note(&format!("{name}: {other}: {because}{go_on}")),
        }
    }
    Ok(if is_applied { ExitCode::SUCCESS } else { ExitCode::from(DEFECT) })
}

/// What is applied has to be readable, and, unless one generation was asked for, what the file asks for.
fn applied_after_all(
    answer: Answer,
    state: &Path,
    place: &Path,
    name: &Name,
    is_of_generation: bool,
) -> Result<Answer, Fail> {
    let file = NamedFile::of(place).filter(|_| !is_of_generation);
    let (what, because) = match status::blemish(state, place, name, file.as_ref())? {
        Some(Blemish::Unreadable(why)) => ("unreadable", why),
        Some(Blemish::Differs(why)) => ("differs_from_file", why),
        None => return Ok(answer),
    };
    Ok(answer.with("waited", what.into()).with("because", because.into()))
}

/// Asks again and again: each answer comes within seconds. When the run ends meanwhile, the next one is asked, or the
/// log itself if there is none.
fn wait_for(state: &Path, name: &Name, generation: Option<Generation>, timeout: Duration) -> Result<Answer, Fail> {
    let (begun, mut since) = (Instant::now(), None);
    let left = || timeout.saturating_sub(begun.elapsed());
    loop {
        let mut run = match reach_to_wait(state, left())? {
            Waitable::Running(run) => run,
            Waitable::NoRun(inspected) => return at_rest(state, &inspected, name, generation),
            Waitable::Silent => return Ok(no_answer(&silent(None))),
            Waitable::Stopped(why) => return Ok(no_answer(&why)),
        };
        loop {
            let within = left();
            run.be_patient_for(within + SLACK);
            let asked = Some(within.min(ASKED_AGAIN));
            let answer = run.ask(&Request::Wait { name: name.clone(), generation, since, within: asked });
            if run.is_silent {
                return Ok(no_answer(&silent(run.pid)));
            }
            let is_late = begun.elapsed() >= timeout;
            if run.is_lost && !is_late {
                thread::sleep(RETRY);
                break;
            }
            let answer = answer?;
            if answer.text("waited") != Some(PENDING) || is_late {
                return Ok(answer);
            }
            since = since.or_else(|| answer.number("since").map(Timestamp));
        }
    }
}

/// The answer that a run did not give.
fn no_answer(why: &str) -> Answer {
    Answer::new(json!({
        "waited": "no_answer",
        "collection": null,
        "condition": null,
        "generation": null,
        "seq": null,
        "because": why,
    }))
}

/// Who can say how a collection is.
enum Waitable {
    Running(Connection),
    NoRun(Box<Inspected>),
    Silent,
    /// A process that was stopped while it starts or ends, and what to do.
    Stopped(String),
}

fn reach_to_wait(state: &Path, timeout: Duration) -> Result<Waitable, Fail> {
    let begun = Instant::now();
    loop {
        match Connection::find(state, timeout + SLACK)? {
            Found::Run(run) => return Ok(Waitable::Running(run)),
            Found::Silent => return Ok(Waitable::Silent),
            Found::Nobody => {}
        }
        let inspected = Inspected::open(state)?;
        match inspected.copy.writer_active() {
            false => return Ok(Waitable::NoRun(Box::new(inspected))),
            // A run that starts, or one that ends.
            true if begun.elapsed() < TAKEN_WITHIN.min(timeout) => thread::sleep(RETRY),
            true => {
                let holder = WithoutSocket::find(state);
                return holder.stopped().map(|_| Waitable::Stopped(holder.to_string())).ok_or_else(|| taken(state));
            }
        }
    }
}

/// What the log says while no run has it open.
fn at_rest(state: &Path, inspected: &Inspected, name: &Name, generation: Option<Generation>) -> Result<Answer, Fail> {
    let (id, _) = inspected.find(name.as_str())?;
    let view = CollectionView::of(&inspected.state, id, inspected.now);
    let unmanaged = Unmanaged::inspected(state, inspected);
    let last_event = last_event(inspected.copy.time(), inspected.now);
    view.map(|view| known(&view, unmanaged.get(name, id), generation, &last_event))
        .ok_or_else(|| Fail::new(USAGE, format!("there is no collection {name:?}")))
}

fn name_of(text: &str) -> Result<Name, Fail> {
    Name::new(text).map_err(|FieldError { problem, .. }| {
        Fail::new(USAGE, format!("there is no collection {text:?}: a name {problem}"))
    })
}

fn asked_by(common: &Common) -> Result<By, Fail> {
    by(&common.actor.clone().unwrap_or_else(user), common.cause.as_deref())
}
