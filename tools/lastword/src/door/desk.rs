//! What is answered: a request becomes calls of a handle, whose verdict is the answer. Nothing here decides anything, and it
//! must not know how a request has travelled.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lastword::Handle;
use lastword::core::vocabulary::{By, Name, Rejection, Seq, Timestamp};
use lastword::core::{CollectionView, Lag};
use lastword::describe::{Describer, plain_json};
use lastword::engine::{CollectionStatus, CommandError, WatchItem};
use lastword::external::{Manifest, manifest_json};
use lastword::objects::FileObjects;
use log_dump::{About, Asked};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::answer::Answer;
use super::events::{Following, Past};
use super::limits::{MOST_ROWS, MOST_WAIT};
use super::looked::look;
use super::openapi;
use super::pool::Pool;
use super::refusal::Refusal;
use super::request::{Listed, Request};
use super::rows::page;
use crate::config::Config;
use crate::control::{Steer, Unmanaged, Verb, Waiting, absolute, carry_out};
use crate::dropped::waiting;
use crate::fail::{CANNOT_OPEN, Fail, USAGE};
use crate::metrics::{MEDIA, Metrics};
use crate::report;
use crate::status::{Filter, Known, Serving};
use crate::told::Told;

/// An engine that is well answers at once.
const ENGINE_WITHIN: Duration = Duration::from_secs(1);

/// What connections and the run have in common.
pub(crate) struct Desk {
    pub(crate) handle: Handle,
    state: PathBuf,
    /// What is paused because it is gone from the file.
    unmanaged: Mutex<Unmanaged>,
    file: Mutex<FileOfRun>,
    pub(super) past: Past,
    reloads: SyncSender<Reload>,
    /// One reload at a time: who comes meanwhile waits, and takes no thread.
    reloading: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
    /// How long an observation may take.
    observe_timeout: Duration,
    metrics: Metrics,
    report: report::Live,
}

/// What a run reads.
#[derive(Default)]
struct FileOfRun {
    /// The names in it.
    names: BTreeSet<Name>,
    /// What it says at its top.
    told: Told,
    /// The file that is read again; none before it was read.
    path: Option<PathBuf>,
}

/// A wish that only the run itself can fulfil.
pub(crate) struct Reload {
    pub(crate) by: By,
    pub(crate) answer: SyncSender<Result<Answer, Fail>>,
}

/// What goes back.
pub(super) enum Reply {
    /// JSON.
    Json(String),
    /// A text of another media type.
    Text(&'static str, String),
    /// Events as they come.
    Events(Following),
}

impl Desk {
    /// `past`: what was known before an event, from where on events are described.
    pub(crate) fn new(
        handle: Handle,
        (state, unmanaged): (&Path, Unmanaged),
        past: (Seq, Describer),
        observe_timeout: Duration,
    ) -> (Arc<Desk>, Receiver<Reload>) {
        let (reloads, wishes) = sync_channel(1);
        let desk = Desk {
            past: Past::new(handle.clone(), past),
            metrics: Metrics::new(handle.clone(), state),
            report: report::Live::new(handle.clone(), state),
            handle,
            state: state.to_owned(),
            unmanaged: Mutex::new(unmanaged),
            file: Mutex::default(),
            reloads,
            reloading: tokio::sync::Mutex::new(()),
            stopping: AtomicBool::new(false),
            observe_timeout,
        };
        (Arc::new(desk), wishes)
    }

    /// The list of what is gone; only the thread that holds it pauses, resumes or drops.
    pub(crate) fn unmanaged(&self) -> MutexGuard<'_, Unmanaged> {
        // A panic between two changes leaves the list as it was before or after: both are right.
        self.unmanaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file is this one now.
    pub(crate) fn manages(&self, config: &Config) {
        let path = Some(absolute(&config.file));
        *self.file() = FileOfRun { names: config.names().collect(), told: Told::of(config), path };
    }

    fn file(&self) -> MutexGuard<'_, FileOfRun> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) async fn answer(self: &Arc<Desk>, pool: &Arc<Pool>, request: Request) -> Result<Reply, Refusal> {
        let json = |answer: Answer| Ok(Reply::Json(answer.to_string()));
        match request {
            Request::Steer(steer) => {
                let desk = Arc::clone(self);
                json(pool.command(move || desk.steer(&steer)).await??)
            }
            Request::Reload(by) => json(self.reload(pool, by).await?),
            Request::Wait { name, generation, since, within } => {
                let since = match since {
                    Some(since) => since,
                    None => self.look_after_now(&name).await?,
                };
                let gone = |view: &CollectionView| self.unmanaged().get(&view.name, view.id).cloned();
                let (timeout, within) =
                    (self.observe_timeout, within.map_or(MOST_WAIT, |within| within.min(MOST_WAIT)));
                let waiting = Waiting { handle: &self.handle, name: &name, generation, since, timeout, within };
                json(waiting.wait(|| self.is_stopping(), gone).await?)
            }
            Request::List(listed) => self.list(pool, listed).await,
            // The engine knows what is applied now.
            Request::Look(Asked { about: About::Manifest(name), at: None, json: true }) => {
                let found = self.find(name, " in the log").await?;
                let desk = Arc::clone(self);
                Ok(Reply::Json(pool.read(move || desk.manifest(&found)).await??))
            }
            Request::Look(asked) => {
                let desk = Arc::clone(self);
                let (media, text) = pool.look(move || look(&asked, &desk.handle, &desk.state)).await??;
                Ok(Reply::Text(media, text))
            }
            Request::Show(name) => {
                let found = self.find(name, "").await?;
                let desk = Arc::clone(self);
                let row = pool.read(move || desk.rows(vec![found], None).pop()).await?;
                let unread = || Refusal::new("bug", crate::fail::DEFECT, "this row cannot be read");
                Ok(Reply::Json(row.ok_or_else(unread)?))
            }
            Request::Dropped => {
                let desk = Arc::clone(self);
                Ok(Reply::Json(pool.read(move || desk.dropped()).await??))
            }
            Request::Events(wanted) => {
                let following = Following::new(self, pool, wanted).await?;
                following.page_or_stream().await
            }
            Request::Run => json(self.run().await),
            Request::Metrics => {
                let desk = Arc::clone(self);
                Ok(Reply::Text(MEDIA, pool.read(move || desk.metrics.render()).await??))
            }
            Request::Report { from, before, to } => {
                let wanted = report::Wanted { from, before, to };
                let desk = Arc::clone(self);
                Ok(Reply::Json(pool.read(move || desk.report.data(wanted)).await??))
            }
            Request::Page => Ok(Reply::Text("text/html; charset=utf-8", report::page())),
            Request::Api => Ok(Reply::Json(openapi::document().to_string())),
            Request::Alive => json(Answer::new(json!({"alive": true}))),
            Request::Ready => json(self.ready().await?),
        }
    }

    /// `place`: where it is sought, for who is told that it is not there.
    async fn find(&self, name: Name, place: &str) -> Result<CollectionStatus, Fail> {
        let found = self.handle.request().status(name.clone()).await?;
        found.ok_or_else(|| Fail::new(USAGE, format!("there is no collection {name:?}{place}")))
    }

    /// A commit in between takes away what the one before had: then it is read once more.
    fn manifest(&self, found: &CollectionStatus) -> Result<String, Fail> {
        let applied = |status: &CollectionStatus| Some(status.view.applied.as_ref()?.result.manifest);
        match self.read_manifest(found) {
            Ok(manifest) => Ok(manifest),
            Err(fail) => match self.handle.status(found.view.name.clone())? {
                Some(now) if applied(&now) != applied(found) => self.read_manifest(&now),
                _ => Err(fail),
            },
        }
    }

    fn read_manifest(&self, found: &CollectionStatus) -> Result<String, Fail> {
        let view = &found.view;
        let Some(applied) = &view.applied else {
            return Ok(lines(manifest_json(view.name.as_str(), None, &[])));
        };
        let without = || Fail::new(USAGE, format!("collections of the kind {:?} have no segments", view.kind));
        let root = applied.result.manifest.ok_or_else(without)?;
        let objects = FileObjects::open_read_only(self.state.join("objects"))?;
        let manifest = Manifest::read(&objects, root)?;
        let json = manifest_json(view.name.as_str(), Some(applied.fingerprint), &manifest.segments);
        Ok(lines(json))
    }

    fn steer(&self, steer: &Steer) -> Result<Answer, Fail> {
        let answer = carry_out(&self.handle, steer, &mut self.unmanaged())?;
        let note = (steer.verb == Verb::Drop && self.file().names.contains(&steer.name))
            .then(|| "it is still in the configuration: the next start or reload declares it anew".to_owned());
        Ok(answer.with_note(note))
    }

    async fn reload(self: &Arc<Desk>, pool: &Arc<Pool>, by: By) -> Result<Answer, Refusal> {
        let _first = self.reloading.lock().await;
        let desk = Arc::clone(self);
        let asked = pool.command(move || {
            let (answer, answered) = sync_channel(1);
            desk.reloads.send(Reload { by, answer }).map_err(|_| shutting_down())?;
            answered.recv().unwrap_or_else(|_| Err(shutting_down()))
        });
        Ok(asked.await??)
    }

    /// The engine's time, and an observation soon that begins after it.
    async fn look_after_now(&self, name: &Name) -> Result<Timestamp, Fail> {
        let now = self.handle.request().stats().await?.at;
        match self.handle.hint(name.clone()).await {
            // Its source is not observed: then only its log can say how it is.
            Ok(()) | Err(CommandError::Refused(Rejection::Field(_))) => Ok(now),
            Err(error) => Err(error.into()),
        }
    }

    async fn list(self: &Arc<Desk>, pool: &Arc<Pool>, listed: Listed) -> Result<Reply, Refusal> {
        let Listed { after, most, matches, conditions, unhealthy } = listed;
        let field = |fail: Fail| {
            let field = if fail.message.starts_with("condition") { "condition" } else { "match" };
            Refusal { field: Some(field.to_owned()), ..fail.into() }
        };
        let filter = Filter::new(&matches, &conditions, unhealthy).map_err(field)?;
        let found = self.handle.request().list_page(after, most).await.map_err(Fail::from)?;
        let next = found.last().filter(|_| found.len() == most).map(|last| last.view.id.0.0);
        let desk = Arc::clone(self);
        let rows = pool.read(move || desk.rows(found, Some(&filter))).await?;
        Ok(Reply::Json(page("collections", &rows, next)))
    }

    fn rows(&self, found: Vec<CollectionStatus>, filter: Option<&Filter>) -> Vec<String> {
        let serving = Serving::new(&self.state, self.file().path.clone());
        let again = |name: &Name| self.handle.status(name.clone()).ok().flatten();
        let known = found.into_iter().map(|status| {
            let gone = self.unmanaged().get(&status.view.name, status.view.id).cloned();
            Known { live: self.volatile(&status), gone, status }
        });
        known.filter_map(|known| serving.row(known, filter, again)).collect()
    }

    /// What the log does not have.
    fn volatile(&self, status: &CollectionStatus) -> Value {
        let mut live = status.live();
        live["since"] = json!(self.since(&status.view).map(|since| since.to_string()));
        live
    }

    /// Since when something is to be done for a collection that is not behind, such as a rebuild that was asked for.
    fn since(&self, view: &CollectionView) -> Option<Timestamp> {
        if view.parked_since.is_some() || matches!(view.lag, Lag::Since(_)) {
            return view.parked_since;
        }
        let created = view.task?.0;
        let mut watch = self.handle.watch(created);
        let mut next = || watch.next_within(Duration::ZERO).ok();
        let found = match next()? {
            // It is far behind, and comes next.
            WatchItem::Lagged { .. } => next()?,
            found => found,
        };
        match found {
            WatchItem::Event(event) => (event.seq == created).then_some(event.at),
            WatchItem::Lagged { .. } => None,
        }
    }

    fn dropped(&self) -> Result<String, Fail> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let found = self.handle.list_dropped(after, MOST_ROWS)?;
            after = found.last().map(|last| last.id);
            let now = self.handle.stats()?.at;
            rows.extend(found.iter().filter_map(|view| waiting(view, now)));
            if after.is_none() || rows.len() >= MOST_ROWS {
                break;
            }
        }
        rows.truncate(MOST_ROWS);
        Ok(page("dropped", &rows, None))
    }

    async fn run(&self) -> Answer {
        // What it reads is known, whatever its engine does.
        let stats = timeout(ENGINE_WITHIN, self.handle.request().stats()).await.ok().and_then(Result::ok);
        let file = self.file();
        let path = file.path.as_ref().map(|path| path.display().to_string());
        Answer::new(file.told.json())
            .with("pid", std::process::id().into())
            .with("state", self.state.display().to_string().into())
            .with("file", json!(path))
            .with("epoch", json!(stats.as_ref().map(|stats| stats.epoch.0)))
            .with("begins", json!(stats.as_ref().map(|stats| stats.begins.0)))
            .with("durable", json!(stats.as_ref().map(|stats| stats.durable.0)))
            .with("collections", json!(stats.as_ref().map(|stats| stats.collections)))
            .with("time", json!(stats.as_ref().map(|stats| stats.at.to_string())))
    }

    async fn ready(&self) -> Result<Answer, Refusal> {
        let not_ready = |why: &str| Refusal::new("not_ready", CANNOT_OPEN, why);
        if self.is_stopping() {
            return Err(not_ready("lastword is shutting down"));
        }
        if self.file().path.is_none() {
            return Err(not_ready("the configuration is not loaded yet"));
        }
        match timeout(ENGINE_WITHIN, self.handle.request().stats()).await {
            Ok(Ok(stats)) => Ok(Answer::new(json!({"ready": true, "durable": stats.durable.0}))),
            Ok(Err(error)) => Err(not_ready(&Fail::from(error).message)),
            Err(_) => Err(not_ready("the engine does not answer")),
        }
    }
}

/// As the command prints it.
fn lines(json: Value) -> String {
    plain_json(json.to_string()) + "\n"
}

fn shutting_down() -> Fail {
    Fail::new(CANNOT_OPEN, "lastword is shutting down")
}
