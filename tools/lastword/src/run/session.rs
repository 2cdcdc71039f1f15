//! A running reconciler with the collections of a configuration.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use lastword::core::vocabulary::{Fingerprint, Kind, Name, Seq};
use lastword::describe::Describer;
use lastword::engine::{Handle, ObserveInterval, Reconciler};
use lastword::log::{OpenError, PrivateCopy, lock_holder};
use lastword::worker::Worker;

use super::adopt::adopt;
use super::events::{Events, Format, Next};
use super::wishes::not_held;
use crate::config::{Config, KIND};
use crate::control::{Unmanaged, as_asked, by, is_stopped, user};
use crate::fail::{CANNOT_OPEN, DEFECT, Fail, unopened};

pub(crate) struct Session {
    reconciler: Reconciler,
    pub(crate) handle: Handle,
    pub(crate) events: Events,
    /// There was no event before this run.
    pub(crate) is_new: bool,
    /// The first event of this run, and what was known before it.
    pub(crate) past: (Seq, Describer),
}

impl Session {
    /// Opens the log, which is created if it is not there, with one worker for all collections of a file.
    pub(crate) fn start(
        config: &Config,
        worker: impl Worker,
        (observe_interval, accept_loss): (ObserveInterval, Option<Seq>),
        format: Format,
    ) -> Result<Session, Fail> {
        check_parent(&config.state)?;
        let kind = Kind::new(KIND).map_err(|error| Fail::new(DEFECT, error.to_string()))?;
        // Names and tasks come from what the log had led to: following it from its first event would cost all of it.
        let (sender, replayed) = mpsc::channel();
        let builder = Reconciler::open(&config.state);
        let builder = accept_loss.into_iter().fold(builder, lastword::Builder::accept_loss);
        let reconciler = builder
            .kind(kind, worker)
            .workers(config.settings.workers)
            .observe_interval(observe_interval)
            .list_budget(config.settings.list_budget)
            .observe_timeout(config.settings.observe_timeout)
            .observer_threads(config.settings.observer_threads)
            .durability(config.settings.durability)
            .snapshot_every(config.settings.snapshot_every)
            .retain(config.settings.retain)
            .software(concat!("lastword-cli ", env!("CARGO_PKG_VERSION")))
            .replayed(move |state| drop(sender.send((state.last().next(), Describer::behind(state)))))
            .start()
            .map_err(|error| {
                let fail = unopened(error, &config.state);
                let holder = lock_holder(&config.state.join("LOCK")).filter(|pid| is_stopped(*pid));
                let more = holder
                    .map_or_else(String::new, |pid| format!(", which is stopped; kill -CONT {pid} lets it go on"));
                if fail.code == CANNOT_OPEN { Fail::new(fail.code, format!("{}{more}", fail.message)) } else { fail }
            })?;
        let handle = reconciler.handle();
        let epoch = handle.stats()?.epoch;
        // It was shown before the start came to its end.
        let (next, describer) = replayed.recv().unwrap_or((Seq(1), Describer::new()));
        let past = (next, describer.clone());
        let events = Events::new(&handle, next, describer, epoch, format);
        Ok(Session { reconciler, handle, events, is_new: next == Seq(1), past })
    }

    /// Makes the log follow the file, and says what a person has to know.
    pub(crate) fn adopt(&self, config: &Config, unmanaged: &mut Unmanaged) -> Result<(), Fail> {
        adopt(&self.handle, config, unmanaged, &by(&user(), None)?)?.tell(config);
        Ok(())
    }

    /// Accepts what is held under a fingerprint.
    pub(crate) fn confirm(&self, fingerprint: Fingerprint) -> Result<(), Fail> {
        let list = self.handle.list()?;
        let held = list.into_iter().find(|status| status.view.held().is_some_and(|(_, held)| held == fingerprint));
        let held = held.ok_or_else(|| not_held(fingerprint))?;
        self.asked()?.confirm(held.view.name, fingerprint)?;
        Ok(())
    }

    /// Tries a collection again.
    pub(crate) fn refresh(&self, name: &Name) -> Result<(), Fail> {
        self.asked()?.refresh(name.clone())?;
        Ok(())
    }

    /// Builds a collection anew.
    pub(crate) fn rebuild(&self, name: &Name) -> Result<(), Fail> {
        self.asked()?.rebuild(name.clone())?;
        Ok(())
    }

    /// The handle of the person who started this.
    fn asked(&self) -> Result<Handle, Fail> {
        Ok(as_asked(&self.handle, &by(&user(), None)?))
    }

    /// Shuts down and shows what that adds to the log.
    pub(crate) fn close(mut self, timeout: Duration, mut show: impl FnMut(&str)) -> Result<(), Fail> {
        let closed = self.reconciler.shutdown(timeout);
        loop {
            match self.events.next_within(Duration::ZERO) {
                Ok(Next::Event(_, _, text)) => show(&text),
                Ok(Next::Forgotten(_)) => {}
                // What could not be read is not shown; how the log was closed is what counts.
                Ok(Next::Nothing | Next::Closed) | Err(_) => return Ok(closed?),
            }
        }
    }
}

/// The directory of a log is made, the ones above it are not: a wrong path is not to become a tree of directories.
fn check_parent(state: &Path) -> Result<(), Fail> {
    match state.parent() {
        Some(parent) if !parent.is_dir() => {
            if let Err(link @ OpenError::DanglingLink { .. }) = PrivateCopy::of(state) {
                return Err(link.into());
            }
            Err(Fail::new(CANNOT_OPEN, format!("{}: {} is not a directory", state.display(), parent.display())))
        }
        Some(_) | None => Ok(()),
    }
}
