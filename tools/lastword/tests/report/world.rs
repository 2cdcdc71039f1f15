//! Logs by the real reducer, without threads and clocks: a fleet that lives for a while, as large as it has to be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use lastword::core::vocabulary::{
    AttemptRef, Built, By, Command, Completion, Declaration, Delta, Duties, EngineCommand, FailureClass, FailureReport,
    FileCounts, Kind, Limits, Missing, Name, ObservationOutcome, SegmentCounts, Source, SourceState, Spec, Timestamp,
    Version, WorkerName,
};
use lastword::core::{CollectionView, State};
use lastword::evlog;
use lastword::log::{Log, LogReader, MemoryDisk};
use lastword::objects::MemoryObjects;
use lastword::reducer::Reducer;

/// 2026-11-30T03:00:00Z.
const BEGIN: u64 = 1_796_007_600_000_000;
const SECOND: u64 = 1_000_000;

pub struct World {
    reducer: Reducer,
    reader: Box<dyn LogReader>,
    pub at: u64,
    dice: u64,
    kinds: BTreeMap<Kind, Duties>,
    names: Vec<Name>,
    version: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let disk = MemoryDisk::new();
        let log = disk.open();
        let reader = log.reader();
        let at = Timestamp(BEGIN);
        let mut reducer = Reducer::open(Box::new(log), State::new(), "lastword 0.1.0", at, at).unwrap();
        reducer.commit(at).unwrap();
        let kinds = [(Kind::new("external").unwrap(), Duties::default())].into();
        World { reducer, reader, at: BEGIN, dice: seed, kinds, names: Vec::new(), version: 0 }
    }

    pub fn chance(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % below
    }

    pub fn pass(&mut self, seconds: f64) {
        self.at += (seconds * SECOND as f64) as u64;
    }

    pub fn last(&self) -> u64 {
        self.reducer.state().last().0
    }

    /// One frame. What is refused is no matter.
    pub fn say(&mut self, commands: impl IntoIterator<Item = Command>, by: Option<&By>) {
        let at = Timestamp(self.at);
        self.reducer.begin(at);
        let by = by.cloned().map(Arc::new);
        for command in commands {
            let _ = self.reducer.command_by(&command, by.as_ref()).unwrap();
        }
        self.reducer.deadlines().unwrap();
        self.reducer.commit(at).unwrap();
    }

    pub fn tell(&mut self, command: EngineCommand) {
        let at = Timestamp(self.at);
        self.reducer.begin(at);
        let _ = self.reducer.command(&command).unwrap();
        self.reducer.deadlines().unwrap();
        self.reducer.commit(at).unwrap();
    }

    pub fn limit(&mut self, total: u32) {
        self.say([Command::Limit(Limits { total: Some(total), ..Limits::default() })], None);
    }

    pub fn declare(&mut self, name: &str, source: &str, by: Option<&By>) {
        let name = Name::new(name).unwrap();
        let mut declaration = Declaration::new(name.clone());
        declaration.kind = Some(Kind::new("external").unwrap());
        declaration.source = Some(Source::new(source).unwrap());
        declaration.spec = Some(Spec::parse(r#"{"format":"parquet","target_rows":1000000}"#).unwrap());
        self.say([Command::Declare(Box::new(declaration))], by);
        self.names.push(name);
    }

    /// Another content of its source; `gone` files of those that are applied are not there any more.
    pub fn observe(&mut self, name: &str, files: u64, gone: u64) {
        self.version += 1;
        let state = SourceState { version: Version::new(&self.version.to_be_bytes()).unwrap(), set: None };
        let delta = Some(Delta { added: u64::from(gone == 0), removed: gone, changed: 0 });
        let counts = FileCounts { files, missing: Missing::from(gone), of: files + gone };
        let outcome = ObservationOutcome::Counted { state, delta, counts };
        self.say([Command::Observe { name: Name::new(name).unwrap(), outcome }], None);
    }

    pub fn unobservable(&mut self, name: &str, cause: &str) {
        let outcome = ObservationOutcome::Failed { cause: cause.into() };
        self.say([Command::Observe { name: Name::new(name).unwrap(), outcome }], None);
    }

    /// Gives work to workers that are idle, so many at most.
    pub fn assign(&mut self, workers: usize) {
        self.reducer.begin(Timestamp(self.at));
        self.reducer.deadlines().unwrap();
        for number in 1..=workers {
            let worker = WorkerName::new(&format!("w{number}")).unwrap();
            if self.reducer.assign(&worker, &self.kinds, None).unwrap().is_none() {
                break;
            }
        }
        self.reducer.commit(Timestamp(self.at)).unwrap();
    }

    pub fn running(&self) -> Vec<AttemptRef> {
        self.reducer.state().running().map(|(_, attempt)| attempt).collect()
    }

    fn running_of(&self, name: &str) -> AttemptRef {
        let id = self.reducer.state().id_of(&Name::new(name).unwrap()).unwrap();
        let running = self.running().into_iter().find(|attempt| attempt.collection == id);
        running.unwrap_or_else(|| {
            let at = Timestamp(self.at);
            let views =
                self.reducer.state().by_name().filter_map(|(id, _)| CollectionView::of(self.reducer.state(), id, at));
            let views: Vec<String> = views.map(|view| format!("{}: {}", view.name, view.condition)).collect();
            panic!("nothing of {name} runs: {views:#?}")
        })
    }

    pub fn complete(&mut self, attempt: AttemptRef, rows: u64) {
        let id = attempt.collection;
        let Some(fingerprint) = self.reducer.state().collection(id).and_then(|of| of.wanted_fingerprint()) else {
            return self.tell(EngineCommand::Stopped { attempt });
        };
        let (kept, new) = (self.chance(9), 1 + self.chance(3));
        let segments = Some(SegmentCounts { kept, new, dropped: self.chance(3) });
        let result = Built { segments, rows: Some(rows), ..Built::default() };
        self.tell(EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result })));
        self.tell(EngineCommand::Stopped { attempt });
    }

    pub fn fail(&mut self, attempt: AttemptRef, class: FailureClass, message: &str) {
        self.tell(EngineCommand::Fail { attempt, failure: FailureReport { class, message: message.into() } });
        self.tell(EngineCommand::Stopped { attempt });
    }

    pub fn fail_name(&mut self, name: &str, class: FailureClass, message: &str) {
        let attempt = self.running_of(name);
        self.fail(attempt, class, message);
    }

    /// Whatever happens in a fleet, once.
    pub fn live(&mut self) {
        let pause = self.chance(3000) as f64 / 1000.0;
        self.pass(pause);
        let which = self.chance(self.names.len() as u64) as usize;
        let name = self.names[which].clone();
        match self.chance(40) {
            0 => self.say([Command::Pause { name }], None),
            1 | 2 => self.say(self.names.clone().into_iter().take(20).map(|name| Command::Resume { name }), None),
            3 => self.say([Command::Refresh { name, force: false, seen: None }], None),
            4 => self.unobservable(name.as_str(), "permission denied"),
            5 => self.observe(name.as_str(), 4, 40),
            6..=16 => self.observe(name.as_str(), 12, 0),
            17..=30 => self.assign(6),
            _ => {
                let running = self.running();
                if running.is_empty() {
                    return self.assign(6);
                }
                let attempt = running[self.chance(running.len() as u64) as usize];
                match self.chance(10) {
                    0 => self.fail(attempt, FailureClass::Permanent, "part-06.parquet is corrupt: no PAR1 at its end"),
                    1 | 2 => self.fail(attempt, FailureClass::Transient, "connection reset by peer"),
                    3 => self.tell(EngineCommand::Lost { attempt }),
                    _ => {
                        let rows = 1000 * (1 + self.chance(90_000));
                        self.complete(attempt, rows);
                    }
                }
            }
        }
    }

    /// Writes the log as a stream.
    pub fn export(&self, path: &Path) {
        let mut stream = BufWriter::new(File::create(path).unwrap());
        evlog::write(self.reader.as_ref(), &MemoryObjects::new(), &mut stream).unwrap();
    }
}

/// A fleet with something of everything: what the screenshots show.
pub fn fleet() -> World {
    let mut world = World::new(7);
    let by = By::new(Some("cli:dana"), Some("nightly load")).unwrap();
    world.limit(4);
    let names = [
        "orders",
        "lineitem",
        "customer",
        "part",
        "supplier",
        "nation",
        "region",
        "clickstream",
        "sessions",
        "embeddings/docs",
        "embeddings/tickets",
        "embeddings/wiki",
        "tenant-01/events",
        "tenant-02/events",
        "tenant-03/events",
        "tenant-04/events",
        "invoices",
        "shipments",
        "prices",
        "reviews",
        "images/thumbs",
        "audio",
        "geo/tiles",
        "geo/places",
    ];
    for name in names {
        world.declare(name, &format!("s3://lake/{name}/"), Some(&by));
        world.pass(0.2);
        world.observe(name, 12, 0);
    }
    for _ in 0..40 {
        world.pass(2.0);
        world.assign(4);
        for attempt in world.running() {
            world.pass(1.5);
            let rows = 1000 * (1 + world.chance(90_000));
            world.complete(attempt, rows);
        }
    }
    for _ in 0..400 {
        world.live();
    }
    // Everything at rest again, and then what a person finds in the morning.
    for _ in 0..60 {
        world.say(names.map(|name| Command::Resume { name: Name::new(name).unwrap() }), None);
        world
            .say(names.map(|name| Command::Refresh { name: Name::new(name).unwrap(), force: false, seen: None }), None);
        for name in names {
            world.observe(name, 12, 0);
        }
        world.pass(400.0);
        for _ in 0..20 {
            world.assign(4);
            for attempt in world.running() {
                world.pass(0.7);
                let rows = 1000 * (1 + world.chance(90_000));
                world.complete(attempt, rows);
            }
        }
        if world.reducer.state().collections().all(|(_, collection)| collection.is_fresh()) {
            break;
        }
    }
    let work = |world: &mut World, name: &str| {
        world.observe(name, 13, 0);
        world.pass(40.0);
        world.assign(4);
    };
    work(&mut world, "lineitem");
    world.fail_name(
        "lineitem",
        FailureClass::Permanent,
        "part-06.parquet is corrupt: it is not finished or cut short (no PAR1 at its end)",
    );
    world.pass(30.0);
    world.observe("orders", 4, 40);
    world.pass(60.0);
    world.unobservable("geo/tiles", "s3://lake/geo/tiles/: access denied (status 403)");
    work(&mut world, "reviews");
    world.fail_name("reviews", FailureClass::Transient, "connection reset by peer");
    world.pass(2.0);
    let by = By::new(Some("cli:dana"), Some("the producer is being moved")).unwrap();
    world.say([Command::Pause { name: Name::new("invoices").unwrap() }], Some(&by));
    for name in ["clickstream", "embeddings/docs", "embeddings/wiki", "tenant-02/events", "prices", "sessions"] {
        world.observe(name, 14, 0);
    }
    world.pass(35.0);
    world.assign(4);
    world.pass(12.0);
    world.observe("tenant-02/events", 15, 0);
    world
}

/// So many collections and events.
pub fn large(collections: usize, events: u64) -> World {
    let mut world = World::new(11);
    world.limit(48);
    for number in 0..collections {
        world.declare(&format!("tenant-{:03}/table-{number:04}", number % 97), &format!("s3://lake/{number}/"), None);
        world.observe(&format!("tenant-{:03}/table-{number:04}", number % 97), 12, 0);
    }
    while world.last() < events {
        world.assign(6);
        world.live();
        for attempt in world.running().into_iter().take(2) {
            let rows = 1000 * (1 + world.chance(90_000));
            world.complete(attempt, rows);
        }
    }
    world
}
