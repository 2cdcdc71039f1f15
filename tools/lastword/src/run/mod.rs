//! `lastword run`: keeps the collections of a configuration in step, for ever or until they are settled.

mod adopt;
mod checkpoint;
mod events;
mod printer;
mod progress;
mod session;
mod settle;
mod signals;
mod unwatched;
mod wishes;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{By, Name, Seq};
use lastword::describe::{counted, view_json};
use lastword::engine::ObserveInterval;
use lastword::external::{External, LocalStore, Manifest, Store};
use lastword::objects::FileObjects;

use crate::config::{Config, Entry};
use crate::console::{never_wait_for_notes, note, quoted, shell};
use crate::control::{Socket, Unmanaged, absolute, by, user};
use crate::door::{Answer, Desk, Door, Http, Reload, TokenFrom, token_from};
use crate::facts::Facts;
use crate::fail::{CANNOT_OPEN, DEFECT, Fail, USAGE};
use crate::patience::within;
use crate::readable::{Depth, problem, resumed, way_on};
use crate::record::{LastRun, Record};
use crate::words::how_to_go_on;
pub(crate) use events::{Format, Next};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
pub(crate) use session::Session;

use adopt::adopt;
use checkpoint::{Noter, Noting};
use printer::Printer;
use progress::Progress;
use settle::{Settling, Verdict};
use signals::Signals;
use unwatched::Unwatched;
use wishes::Wishes;

/// How long running attempts may take to stop at the end. What has not stopped by then is tried again at the next
/// start.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// How long to wait for an event before checking signals, progress and settledness again: a person does not notice a
/// tenth of a second.
const TURN: Duration = Duration::from_millis(100);

/// How often it is seen whether the list of what is gone from the file is there: soon enough for a person who asks twice.
const KEEP: Duration = Duration::from_secs(1);

/// A file that is read again may lie on a mount that does not answer: then it is as good as unreadable.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// With `--once` all collections are judged again and again, which takes the reducer's time: nine tenths of it are left to
/// the work.
const REST_FROM_LISTS: u32 = 9;

/// With `--once` sources are observed at least so often: an observation that finds every file aged is worth waiting
/// for.
const ONCE_INTERVAL: Duration = Duration::from_millis(500);

/// `lastword run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration
    pub(crate) config: PathBuf,
    /// End when every collection of the configuration is settled: exit code 0 if all are fresh, 1 if not, 3 if its output
    /// could not be written
    #[arg(long)]
    pub(crate) once: bool,
    /// How events are printed on standard output
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    log: Format,
    /// Print no events and no progress
    #[arg(short, long)]
    quiet: bool,
    /// Try a collection again that is parked or backing off, and observe its source again
    #[arg(long, value_name = "NAME")]
    refresh: Vec<String>,
    /// Build a collection anew, all of it, whether it is fresh or not
    #[arg(long, value_name = "NAME")]
    rebuild: Vec<String>,
    /// Accept what is held under this fingerprint, such as an emptied source
    #[arg(long, value_name = "FINGERPRINT")]
    confirm: Vec<String>,
    /// Of a damaged log, go on behind this event and give up what came after it. It has to be the last one that is left;
    /// what was there is kept in damaged-N in the state directory
    #[arg(long, value_name = "SEQ")]
    accept_loss: Option<u64>,
    /// Answer over HTTP at this address as well, such as 127.0.0.1:8080: read-only, unless there is a token
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    http: Option<SocketAddr>,
    /// Where the token is that a request over HTTP has to carry: env:NAME or file:PATH. With it commands are taken there, and
    /// an address may be one that other machines reach
    #[arg(long, value_name = "WHERE", value_parser = token_from, requires = "http")]
    http_token: Option<TokenFrom>,
    /// Note where the log ends, in this file or with the command behind a |, so that `log-dump verify --expect-checkpoint` can
    /// prove later that nothing before was changed: at the start, from time to time, and at the end
    #[arg(long, value_name = "FILE|COMMAND")]
    checkpoint: Option<String>,
    /// How often
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "checkpoint", value_parser = humantime::parse_duration)]
    checkpoint_every: Duration,
    /// Signed with the key in this file, which `log-dump key new` made
    #[arg(long, value_name = "FILE", requires = "checkpoint")]
    checkpoint_key: Option<PathBuf>,
}

/// Why following the events came to its end.
enum End {
    /// With `--once`: nothing is left to wait for.
    Settled(Vec<(Name, Verdict)>),
    /// A signal.
    Asked,
    /// The reconciler is gone; closing it says why.
    Died,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Fail> {
    let config = Config::read(&arguments.config)?;
    let wishes = Wishes::read((&arguments.confirm, &arguments.refresh, &arguments.rebuild), &config)?;
    let http = listen(arguments)?;
    let noting = arguments
        .checkpoint
        .as_ref()
        .map(|to| Noting::new(&config, to, arguments.checkpoint_every, arguments.checkpoint_key.as_deref()));
    let noting = noting.transpose()?;
    let signals = Signals::register()?;
    never_wait_for_notes();
    let printer = Printer::start(arguments.log, arguments.quiet)?;
    config.remarks.iter().for_each(|remark| note(remark));
    let interval = match config.settings.observe_interval {
        interval if !arguments.once => interval,
        ObserveInterval::Fixed(interval) => interval.min(ONCE_INTERVAL).into(),
        _ => ONCE_INTERVAL.into(),
    };
    let directories: Box<dyn Store> =
        if config.settings.watch { Box::new(LocalStore) } else { Box::new(Unwatched(LocalStore)) };
    let worker = External::local()
        .in_store(config.buckets(directories))
        .parallel(config.settings.parallel)
        .learning(config.settings.learning);
    raise_descriptors();
    let last = LastRun::read(&config.state);
    let session = Session::start(&config, worker, (interval, arguments.accept_loss.map(Seq)), arguments.log)?;
    let record = begun(&config, session.is_new, last);
    let noter = noting.and_then(Noting::start);
    let (desk, reloads) = Desk::new(
        session.handle.clone(),
        (&config.state, Unmanaged::of(&config.state, &session.handle)?),
        session.past.clone(),
        config.settings.observe_timeout,
    );
    let progress = Progress::new(arguments.quiet);
    let mut run = Run { arguments, config, session, desk, reloads, signals, printer, progress };
    let end = run.begin(&wishes).and_then(|()| {
        let _door = run.serve(http);
        let end = run.follow();
        // Who still waits for a reload is told that there will be none.
        run.reloads = sync_channel(0).1;
        end
    });
    // As long as the log is open: afterwards it would take a copy of it.
    let damaged = match &end {
        Ok(End::Settled(_)) => run.damaged(),
        _ => Vec::new(),
    };
    run.progress.clear();
    // Whatever happened, the log is closed in order; what went wrong first is what is reported.
    let printer = run.printer;
    let closed = run.session.close(SHUTDOWN, |text| printer.print(text));
    noter.into_iter().for_each(Noter::finish);
    let printed = printer.finish(arguments.once, || run.signals.asked());
    let ended = end.and_then(|end| {
        closed?;
        end.verdicts()
    });
    let failed = ended.as_ref().err().map(ToString::to_string);
    record.iter().for_each(|record| {
        record.end(failed.as_deref()).unwrap_or_else(|error| unrecorded(&run.config.state, &error));
    });
    match ended? {
        Some(verdicts) => {
            let stuck = report(&verdicts, &arguments.config);
            damaged.iter().for_each(|text| note(text));
            printed?;
            Ok(if stuck || !damaged.is_empty() { ExitCode::from(DEFECT) } else { ExitCode::SUCCESS })
        }
        None if arguments.once => Err(Fail::new(DEFECT, "interrupted before everything was settled")),
        None => Ok(ExitCode::SUCCESS),
    }
}

impl End {
    /// Nothing if it was asked for before there were any.
    fn verdicts(self) -> Result<Option<Vec<(Name, Verdict)>>, Fail> {
        match self {
            End::Settled(verdicts) => Ok(Some(verdicts)),
            End::Asked => Ok(None),
            End::Died => Err(Fail::new(DEFECT, "the reconciler ended without a reason")),
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

/// Listens where it is asked to, before anything is opened or made.
fn listen(arguments: &Arguments) -> Result<Option<Http>, Fail> {
    let token = arguments.http_token.as_ref().map(TokenFrom::read).transpose()?;
    arguments.http.map(|address| Http::listen(address, token)).transpose()
}

/// Says what a person has to know of the log that was opened, and notes that there is a run. `last`: what the one before
/// has left.
fn begun(config: &Config, is_new: bool, last: Option<LastRun>) -> Option<Record> {
    let state = &config.state;
    if is_new {
        note(&format!("began a new log in {}", quoted(state)));
    }
    if let Some(last) = last.filter(|last| !is_new && last.is_open()) {
        note(&format!("{}; nothing that was acknowledged is lost", last.crashed()));
    }
    Record::begin(state, &absolute(&config.file)).inspect_err(|error| unrecorded(state, error)).ok()
}

/// A record of the run is words and nothing else.
fn unrecorded(state: &Path, error: &io::Error) {
    // Where there is no directory any more there is nothing to know later.
    if error.kind() == io::ErrorKind::NotFound {
        return;
    }
    note(&format!("{}: that and how this run ends will not be known later: {error}", state.display()));
}

/// A run under way.
struct Run<'a> {
    arguments: &'a Arguments,
    config: Config,
    session: Session,
    desk: Arc<Desk>,
    reloads: Receiver<Reload>,
    signals: Signals,
    printer: Printer,
    progress: Progress,
}

impl Run<'_> {
    /// Says everything that the person had to say: the configuration, then what is to be accepted or tried again.
    fn begin(&self, wishes: &Wishes) -> Result<(), Fail> {
        let session = &self.session;
        session.adopt(&self.config, &mut self.desk.unmanaged())?;
        self.desk.manages(&self.config);
        wishes.confirm.iter().try_for_each(|fingerprint| session.confirm(*fingerprint))?;
        wishes.refresh.iter().try_for_each(|name| session.refresh(name))?;
        wishes.rebuild.iter().try_for_each(|name| session.rebuild(name))?;
        // With `--once` all of them are read at the end.
        if !self.arguments.once {
            self.tell_unreadable(wishes)?;
        }
        Ok(())
    }

    /// Says which manifests cannot be read: nothing else reads one whose source rests.
    fn tell_unreadable(&self, wishes: &Wishes) -> Result<(), Fail> {
        let rebuilt = |facts: &Facts| wishes.rebuild.iter().any(|name| name.as_str() == facts.name);
        let facts = self.session.handle.list()?;
        let facts = facts.iter().filter_map(|status| Facts::parse(&view_json(&status.view, status.at)));
        for facts in facts.filter(|facts| !rebuilt(facts)) {
            if let Some(problem) = problem(&self.config.state, &facts, Depth::Root) {
                note(&format!("{}: {problem}; {}", facts.name, way_on(&self.config.file, &facts)));
            }
        }
        Ok(())
    }

    /// Answers commands. A file system without sockets is no reason not to work.
    fn serve(&self, http: Option<Http>) -> Option<Door> {
        let unmade =
            |error: &io::Error| note(&format!("this run takes no commands: its socket cannot be made: {error}"));
        let socket = Socket::bind(&self.config.state).inspect_err(unmade).ok();
        if let Some(address) = http.as_ref().and_then(Http::address) {
            note(&format!("answers at {address}"));
        }
        Door::start(socket, http, Arc::clone(&self.desk)).inspect_err(unmade).ok()
    }

    fn follow(&mut self) -> Result<End, Fail> {
        let mut settling = self.arguments.once.then(|| Settling::new(&self.config));
        let mut judge_at = Instant::now() + TURN;
        let mut keep_at = Instant::now() + KEEP;
        loop {
            match self.session.events.next_within(TURN)? {
                Next::Event(event, name, text) => {
                    self.progress.clear();
                    self.printer.print(&text);
                    self.progress.hear(&event, name);
                    settling.iter_mut().for_each(|settling| settling.hear(&event));
                }
                Next::Forgotten(events) => {
                    let what = if events == 1 {
                        "was forgotten (retain) before it was"
                    } else {
                        "were forgotten (retain) before they were"
                    };
                    note(&format!("{} {what} printed; the run goes on", counted(events, "event")));
                }
                Next::Nothing => {}
                Next::Closed => return Ok(End::Died),
            }
            if self.signals.asked() {
                return Ok(End::Asked);
            }
            self.reload_if_asked();
            if Instant::now() >= keep_at {
                // Where it cannot be written what is gone is paused all the same; a reload says so.
                let _ = self.desk.unmanaged().keep();
                keep_at = Instant::now() + KEEP;
            }
            if self.progress.is_in_place() {
                self.printer.pause();
            }
            self.progress.show(&self.session.handle);
            let Some(settling) = settling.as_mut().filter(|_| Instant::now() >= judge_at) else { continue };
            let begun = Instant::now();
            let Ok(list) = self.session.handle.list() else { return Ok(End::Died) };
            if let Some(verdicts) = settling.judge(&list) {
                return Ok(End::Settled(verdicts));
            }
            judge_at = Instant::now() + TURN.max(begun.elapsed().saturating_mul(REST_FROM_LISTS));
        }
    }

    /// One line for each collection of the file whose manifest cannot be read to its last leaf. Nothing else reads a manifest
    /// whose source rests. Everything is settled by then: that this cannot be found out is only said.
    fn damaged(&self) -> Vec<String> {
        self.find_damaged().unwrap_or_else(|fail| {
            note(&format!("whether the manifests are whole was not found out: {fail}"));
            Vec::new()
        })
    }

    fn find_damaged(&self) -> Result<Vec<String>, Fail> {
        let objects = FileObjects::open_read_only(self.config.state.join("objects"))?;
        let list = self.session.handle.list()?;
        let views: BTreeMap<_, _> = list.into_iter().map(|status| (status.view.name.clone(), status.view)).collect();
        let mut found = Vec::new();
        for Entry { name, .. } in &self.config.collections {
            let Some(view) = views.get(name) else { continue };
            let Some(root) = view.applied.as_ref().and_then(|applied| applied.result.manifest) else { continue };
            let Err(error) = Manifest::read(&objects, root) else { continue };
            let fail = Fail::from(error);
            // What lacks a descriptor, or a disk that comes back, is no reason to build anything.
            let (what, when) =
                if fail.code == DEFECT { ("is damaged", "") } else { ("cannot be read", " if that lasts") };
            let (file, shell_name) = (quoted(&self.config.file), shell(name.as_str()));
            // As a word of its own it would be an option.
            let equals = if name.as_str().starts_with('-') { "=" } else { " " };
            let rebuild = format!("lastword run {file} --rebuild{equals}{shell_name}");
            let first = resumed(&self.config.file, name.as_str(), view.paused);
            found.push(format!("{name}: its manifest {what}: {fail}; {first}{rebuild} builds it anew{when}"));
        }
        Ok(found)
    }

    fn reload_if_asked(&mut self) {
        if self.signals.reload() {
            // No client waits for the answer; `reload` says it here.
            let _ = by(&user(), Some("SIGHUP")).and_then(|by| self.reload(&by));
        }
        while let Ok(Reload { by, answer }) = self.reloads.try_recv() {
            // The client that asked may be gone.
            let _ = answer.send(self.reload(&by));
        }
    }

    /// Reads the file again. If anything is wrong with it, everything stays as it is.
    fn reload(&mut self, by: &By) -> Result<Answer, Fail> {
        self.progress.clear();
        let file = quoted(&self.config.file);
        let adopted = self.read_again().and_then(|config| {
            let adopted = adopt(&self.session.handle, &config, &mut self.desk.unmanaged(), by)?;
            self.desk.manages(&config);
            adopted.tell(&config);
            config.remarks.iter().for_each(|remark| note(remark));
            self.config = config;
            Ok(adopted)
        });
        match &adopted {
            Ok(_) => note(&format!("{file} was read again")),
            Err(fail) => note(&format!("{file} was read again, and nothing was changed: {fail}")),
        }
        adopted.map(|adopted| adopted.answer())
    }

    fn read_again(&self) -> Result<Config, Fail> {
        if self.arguments.once {
            return Err(Fail::new(USAGE, "a run with --once reads its file once"));
        }
        let file = self.config.file.clone();
        let silent =
            || Fail::new(CANNOT_OPEN, format!("{}: cannot be read: nothing answers", self.config.file.display()));
        let config = within(READ_WITHIN, move || Config::read(&file)).ok_or_else(silent)??;
        let fixed = self.config.needs_restart(&config);
        if !fixed.is_empty() {
            let (file, keys) = (self.config.file.display(), fixed.join(", "));
            return Err(Fail::new(USAGE, format!("{file}: {keys}: can only be changed by a new start")));
        }
        Ok(config)
    }
}

/// The soft limit of descriptors is made for programs that use `select`: watches, sources and sockets want more.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // With those that there are it works too.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// One line for each collection that is not fresh, and whether there is one.
fn report(verdicts: &[(Name, Verdict)], file: &Path) -> bool {
    let mut stuck = 0;
    for (name, verdict) in verdicts {
        if let Verdict::Stuck { condition, cause, held } = verdict {
            let held = held.map(|held| held.to_string());
            let go_on = how_to_go_on(condition, file, name.as_str(), held.as_deref()).unwrap_or_default();
            note(&format!("{name}: {condition}: {cause}{go_on}"));
            stuck += 1;
        }
    }
    if stuck > 0 {
        note(&format!("{stuck} of {} collections are not fresh", verdicts.len()));
    }
    stuck > 0
}
