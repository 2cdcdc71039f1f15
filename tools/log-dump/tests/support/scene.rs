//! A log that a test writes step by step, with the real reducer on a real log, at times of its own.

use std::path::Path;
use std::sync::Arc;

use lastword::core::vocabulary::*;
use lastword::core::{CollectionView, State};
use lastword::log::Durability;
use lastword::log::{IfAbsent, SledLog};
use lastword::reducer::Reducer;
use lastword::replay::{Until, state_at};

/// 2026-11-23T10:00:00Z.
pub const START: u64 = 1_795_428_000_000_000;

pub struct DecisionContext {
    reducer: Reducer,
    at: Timestamp,
    workers: u32,
    /// What the kind does beside building, from the next attempt on.
    pub duties: Duties,
}

impl DecisionContext {
    /// Opens or goes on with the log at `path`. Every step takes a second.
    pub fn open(path: &Path) -> DecisionContext {
        let log = SledLog::open(path, IfAbsent::Create, Durability::Power).unwrap();
        let state = state_at(lastword::log::Log::reader(&log).as_ref(), Until::End).unwrap();
        let at = Timestamp(state.at().0.max(START) + 1_000_000);
        let reducer = Reducer::open(Box::new(log), state, "lastword 0.1.0 (scene)", at, at).unwrap();
        let mut scene = DecisionContext { reducer, at, workers: 0, duties: Duties::default() };
        scene.reducer.commit(at).unwrap();
        scene
    }

    pub fn close(self) {
        self.reducer.close().unwrap();
    }

    /// The last event.
    pub fn last(&self) -> u64 {
        self.reducer.state().last().0
    }

    pub fn pass(&mut self, seconds: u64) {
        self.at = Timestamp(self.at.0 + seconds * 1_000_000);
    }

    pub fn due(&mut self) {
        self.reducer.begin(self.at);
        self.reducer.deadlines().unwrap();
        self.reducer.commit(self.at).unwrap();
    }

    pub fn command<'a>(&mut self, command: impl Into<Input<'a>>) {
        self.command_by(command, None);
    }

    pub fn command_by<'a>(&mut self, command: impl Into<Input<'a>>, by: Option<By>) {
        let input = command.into();
        self.pass(1);
        self.reducer.begin(self.at);
        let by = by.map(Arc::new);
        self.reducer.command_by(input, by.as_ref()).unwrap().unwrap_or_else(|refused| panic!("{input:?}: {refused}"));
        self.reducer.commit(self.at).unwrap();
    }

    pub fn declare(&mut self, name: &str, change: impl FnOnce(&mut Declaration)) {
        let mut declaration = Declaration::new(named(name));
        if self.state().id_of(&named(name)).is_none() {
            declaration.kind = Some(kind());
        }
        change(&mut declaration);
        self.command(&Command::Declare(Box::new(declaration)));
    }

    /// Declares an unversioned collection: its source alone is what it is built from.
    pub fn declare_plain(&mut self, name: &str, source: &str) {
        let is_new = self.state().id_of(&named(name)).is_none();
        self.declare(name, |d| {
            d.source = Some(Source::new(source).unwrap());
            d.versioned = is_new.then_some(false);
        });
    }

    pub fn observe(&mut self, name: &str, version: &[u8], files: u64) {
        let root = ObjectHash([7; 32]);
        let set = Some(PathSetRef { root, files, bytes: files * 100 });
        let observed = SourceState { version: Version::new(version).unwrap(), set };
        self.see(name, ObservationOutcome::Content { state: observed, delta: None, missing: None });
    }

    pub fn see(&mut self, name: &str, seen: ObservationOutcome) {
        self.command(&Command::Observe { name: named(name), outcome: seen });
    }

    pub fn assign(&mut self) -> AttemptRef {
        self.workers += 1;
        let worker = WorkerName::new(&format!("worker-{}", self.workers)).unwrap();
        self.reducer.begin(self.at);
        let kinds = [(kind(), self.duties)].into();
        let id = self.reducer.assign(&worker, &kinds, None).unwrap().expect("a task is ready");
        self.reducer.commit(self.at).unwrap();
        self.state().running().find(|(running, _)| *running == id).unwrap().1
    }

    /// Offers a result built from what the attempt's task was to build, as `fingerprint` says.
    pub fn complete(&mut self, attempt: AttemptRef, fingerprint: Fingerprint) {
        let result = Built { rows: Some(60), ..Built::default() };
        self.command(&EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result })));
    }

    pub fn fail(&mut self, attempt: AttemptRef, class: FailureClass, message: &str) {
        self.command(&EngineCommand::Fail { attempt, failure: FailureReport { class, message: message.into() } });
    }

    /// Declares, builds and commits an unversioned collection, and says from what.
    pub fn commit_plain(&mut self, name: &str, source: &str) -> Fingerprint {
        self.declare_plain(name, source);
        let attempt = self.assign();
        let wanted = self.wanted(name);
        self.complete(attempt, wanted);
        wanted
    }

    pub fn wanted(&self, name: &str) -> Fingerprint {
        self.view(name).wanted.unwrap()
    }

    pub fn view(&self, name: &str) -> CollectionView {
        let id = self.state().id_of(&named(name)).unwrap();
        CollectionView::of(self.state(), id, self.at).unwrap()
    }

    fn state(&self) -> &State {
        self.reducer.state()
    }
}

pub fn named(name: &str) -> Name {
    Name::new(name).unwrap()
}

pub fn kind() -> Kind {
    Kind::new("files").unwrap()
}
