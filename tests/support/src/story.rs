//! A short life of a few collections that uses every type of event, written by the real reducer at fixed times. So
//! the same program always writes the same log.

use std::sync::Arc;

use lastword::codec;
use lastword::core::State;
use lastword::core::vocabulary::*;
use lastword::log::{FrameBuilder, FrameHash, Log};
use lastword::objects::{Objects, tree};
use lastword::reducer::Reducer;
use lastword::replay::{self, Until};

/// 2026-11-23T10:00:00Z.
pub const START: u64 = 1_795_428_000_000_000;

/// Writes the story and closes the log.
pub fn tell(mut log: Box<dyn Log>, objects: &dyn Objects) {
    accept_a_loss(log.as_mut());
    let state = replay::state_at(log.reader().as_ref(), Until::End).unwrap();
    let at = Timestamp(START + 1_000_000);
    let reducer = Reducer::open(log, state, "lastword 0.1.0 (story)", at, at).unwrap();
    let mut teller = Teller { reducer, at, worker: 0, duties: Duties::default() };
    teller.commit();
    teller.a_day(objects);
    teller.reducer.close().unwrap();
}

/// A first frame by hand: no command leads to a loss being accepted yet.
fn accept_a_loss(log: &mut dyn Log) {
    let mut builder = FrameBuilder::new();
    let opened = Event::WriterOpened { software: "lastword 0.1.0 (story)".into() };
    let accepted = Event::DataLossAccepted { last: Seq(1), found: "the disk was replaced".into() };
    // Neither does one to a base, which stands for nothing here.
    let base = Event::CheckpointPart { at: Seq::ZERO, hash: [0; 32], part: 0, parts: 1, bytes: [].into() };
    for event in [opened, accepted, base] {
        let mut payload = Vec::new();
        let tag = codec::encode(&event, None, &mut payload).unwrap();
        builder.push(tag.event_type, tag.version, &payload).unwrap();
    }
    let (epoch, time) = (Epoch(START / 1000), Timestamp(START));
    let frame = builder.seal(Seq(1), epoch, time, time, FrameHash::ZERO).unwrap();
    log.append(&frame).unwrap();
    log.barrier().unwrap();
}

struct Teller {
    reducer: Reducer,
    at: Timestamp,
    worker: u32,
    duties: Duties,
}

impl Teller {
    fn a_day(&mut self, objects: &dyn Objects) {
        let name = Name::new("lineitem").unwrap();
        let files = |sizes: &[(&str, u64)]| stored(objects, sizes);
        let three = files(&[("a.parquet", 10), ("b/grün.parquet", 20), ("c%.parquet", 30)]);
        let many: Vec<(String, u64)> = (0..400).map(|n| (format!("part-{n:04}.parquet"), n)).collect();
        let many = files(&many.iter().map(|(path, size)| (path.as_str(), *size)).collect::<Vec<_>>());
        let none = files(&[]);

        self.declare(&name, |d| d.source = Some(Source::new("lake/lineitem/").unwrap()));
        self.observe(&name, three.clone(), Delta { added: 3, ..Delta::default() });
        let first = self.assign();
        // Superseded while it runs: the change settles, is admitted, and the old attempt stops.
        self.observe(&name, many.clone(), Delta { added: 400, removed: 3, changed: 0 });
        self.pass(300_000);
        self.due();
        self.complete(first, &name, Built { rows: Some(60), ..Built::default() });
        let second = self.assign();
        let wanted = self.wanted(&name);
        self.command(EngineCommand::Complete(Box::new(Completion {
            attempt: second,
            fingerprint: wanted,
            result: manifest(objects, second.token, 4_000),
        })));
        // An empty source waits for a person.
        self.observe(&name, none.clone(), Delta { removed: 400, ..Delta::default() });
        let held = self.held(&name);
        self.command(Command::Confirm { name: name.clone(), fingerprint: held });
        let third = self.assign();
        self.fail(third, FailureClass::Transient, "connection reset\nby peer \u{7f} \"quoted\" grün");
        // What made it fail is gone: the source can be observed again.
        let seen = ObservationOutcome::Failed { cause: "connection refused".into() };
        self.command(Command::Observe { name: name.clone(), outcome: seen });
        self.observe(&name, none, Delta::default());
        let fourth = self.assign();
        self.fail(fourth, FailureClass::Permanent, "no such column: l_orderkey");
        self.command(Command::Refresh { name: name.clone(), force: false, seen: None });
        self.command(Command::Pause { name: name.clone() });
        self.command(Command::Resume { name: name.clone() });
        self.declare(&name, |d| d.spec = Some(Spec::parse(r#"{"format":"parquet","target_rows":1000}"#).unwrap()));
        self.declare(&name, |d| {
            d.policy = Some(Policy { attempt_timeout: AttemptTimeout(None), ..Policy::default() });
        });
        self.declare(&name, |d| d.source = Some(Source::new("lake/elsewhere/").unwrap()));
        let seen = ObservationOutcome::Failed { cause: "lake/elsewhere/ does not exist".into() };
        self.command(Command::Observe { name: name.clone(), outcome: seen });
        // A second one of another kind, which is dropped while it is built.
        let other = Name::new("zone \"x\"/orders").unwrap();
        self.declare(&other, |d| {
            d.source = Some(Source::new("orders").unwrap());
            d.versioned = Some(false);
        });
        let fifth = self.assign();
        self.command(Command::Drop { name: other.clone() });
        self.complete(fifth, &name, Built { output: Some("späte Antwort".into()), ..Built::default() });
        // And one that is committed and stays.
        let plain = Name::new("plain").unwrap();
        self.declare(&plain, |d| {
            d.source = Some(Source::new("plain").unwrap());
            d.versioned = Some(false);
        });
        let sixth = self.assign();
        let fingerprint = self.wanted(&plain);
        let result = Built { rows: Some(u64::MAX), output: Some("{\"bytes\":3}".into()), ..Built::default() };
        self.command(EngineCommand::Complete(Box::new(Completion { attempt: sixth, fingerprint, result })));
        self.a_destination(&plain);
    }

    /// What was committed is built anew for a destination that is down at first.
    fn a_destination(&mut self, name: &Name) {
        self.command(Command::Limit(Limits { total: Some(4), ..Limits::default() }));
        self.duties = Duties { publish: true, discard: true };
        let by = By::new(Some("ops@\u{fc}ber"), Some("the disk of \"plain\" was replaced")).unwrap();
        let refresh = Command::Refresh { name: name.clone(), force: true, seen: None };
        self.command_by(&refresh, Some(&Arc::new(by)));
        let attempt = self.assign();
        self.complete(
            attempt,
            name,
            Built { rows: Some(u64::MAX), output: Some("plain-2".into()), ..Built::default() },
        );
        let collection = attempt.collection;
        let first =
            |teller: &Teller| teller.state().first_outbox_entry(collection).map(|(_, _, o)| (o.id, o.delivery()));
        let (obligation, delivery) = first(self).unwrap();
        let delivered = DeliveryRef { collection, obligation, delivery };
        self.command(EngineCommand::DeliveryFailed { delivered, message: "503".into() });
        while let Some((obligation, delivery)) = first(self) {
            self.command(EngineCommand::Delivered(DeliveryRef { collection, obligation, delivery }));
        }
    }

    fn state(&self) -> &State {
        self.reducer.state()
    }

    fn wanted(&self, name: &Name) -> Fingerprint {
        let id = self.state().id_of(name).unwrap();
        self.state().collection(id).unwrap().wanted_fingerprint().unwrap()
    }

    fn held(&self, name: &Name) -> Fingerprint {
        let id = self.state().id_of(name).unwrap();
        match self.state().collection(id).unwrap().pending {
            Some(lastword::core::Pending::Held { fingerprint, .. }) => fingerprint,
            other => panic!("nothing is held: {other:?}"),
        }
    }

    fn pass(&mut self, micros: u64) {
        self.at = Timestamp(self.at.0 + micros);
    }

    fn commit(&mut self) {
        self.reducer.commit(self.at).unwrap();
    }

    fn command<C>(&mut self, command: C)
    where
        for<'a> &'a C: Into<Input<'a>>,
    {
        self.command_by(&command, None);
    }

    fn command_by<'a>(&mut self, command: impl Into<Input<'a>>, by: Option<&Arc<By>>) {
        let input = command.into();
        self.pass(1_001);
        self.reducer.begin(self.at);
        self.reducer.command_by(input, by).unwrap().unwrap_or_else(|refused| panic!("{input:?}: {refused}"));
        self.commit();
    }

    fn due(&mut self) {
        self.reducer.begin(self.at);
        self.reducer.deadlines().unwrap();
        self.commit();
    }

    fn declare(&mut self, name: &Name, change: impl FnOnce(&mut Declaration)) {
        let mut declaration = Declaration::new(name.clone());
        if self.state().id_of(name).is_none() {
            declaration.kind = Some(Kind::new("files").unwrap());
        }
        change(&mut declaration);
        self.command(Command::Declare(Box::new(declaration)));
    }

    fn observe(&mut self, name: &Name, observed: SourceState, delta: Delta) {
        let seen = ObservationOutcome::Content { state: observed, delta: Some(delta), missing: None };
        self.command(Command::Observe { name: name.clone(), outcome: seen });
    }

    fn assign(&mut self) -> AttemptRef {
        self.pass(500);
        self.worker += 1;
        self.reducer.begin(self.at);
        let worker = WorkerName::new(&format!("worker-{}", self.worker)).unwrap();
        let kinds = [(Kind::new("files").unwrap(), self.duties)].into();
        let id = self.reducer.assign(&worker, &kinds, None).unwrap().expect("a task is ready");
        self.commit();
        self.state().running().find(|(running, _)| *running == id).unwrap().1
    }

    /// Offers a result that was built from what `of` wants.
    fn complete(&mut self, attempt: AttemptRef, of: &Name, result: Built) {
        let id = self.state().id_of(of).unwrap();
        let wanted = self.state().collection(id).unwrap().wanted_fingerprint();
        let fingerprint = wanted.unwrap_or(Fingerprint([7; 32]));
        self.command(EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result })));
    }

    fn fail(&mut self, attempt: AttemptRef, class: FailureClass, message: &str) {
        self.command(EngineCommand::Fail { attempt, failure: FailureReport { class, message: message.into() } });
    }
}

/// A file version as `log-format.md` lays it out.
fn version(size: u64) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&size.to_le_bytes());
    for seconds in [1_700_000_000_i64, 1_700_000_001] {
        bytes.extend_from_slice(&seconds.to_le_bytes());
        bytes.extend_from_slice(&500_u32.to_le_bytes());
    }
    bytes.extend_from_slice(&(1_000 + size).to_le_bytes());
    bytes
}

/// A path set, stored.
fn stored(objects: &dyn Objects, files: &[(&str, u64)]) -> SourceState {
    let root =
        tree::build(objects, files.iter().map(|(path, size)| (path.as_bytes().to_vec(), version(*size)))).unwrap();
    let mut digest = blake3::Hasher::new_derive_key("lastword 2026 path set v1");
    digest.update(&(files.len() as u64).to_le_bytes());
    for (path, size) in files {
        digest.update(&(path.len() as u32).to_le_bytes()).update(path.as_bytes()).update(&version(*size));
    }
    let set = PathSetRef { root: root.hash, files: root.entries, bytes: files.iter().map(|(_, size)| size).sum() };
    SourceState { version: Version::new(digest.finalize().as_bytes()).unwrap(), set: Some(set) }
}

/// A manifest with one segment of one fragment, stored.
fn manifest(objects: &dyn Objects, token: Token, rows: u64) -> Built {
    let mut header = 1_u16.to_le_bytes().to_vec();
    [1_000_000, 1, rows].iter().for_each(|number: &u64| header.extend_from_slice(&number.to_le_bytes()));
    let mut key = vec![1];
    key.extend_from_slice(&token.epoch.0.to_be_bytes());
    key.extend_from_slice(&token.seq.0.to_be_bytes());
    key.extend_from_slice(&0_u32.to_be_bytes());
    let mut value = vec![0xab; 32];
    value.extend_from_slice(&rows.to_le_bytes());
    value.push(1);
    value.extend_from_slice(&4_u32.to_le_bytes());
    value.extend_from_slice(b"out/");
    value.extend_from_slice(&1_u32.to_le_bytes());
    value.extend_from_slice(&9_u32.to_le_bytes());
    value.extend_from_slice(b"a.parquet");
    value.extend_from_slice(&version(10));
    [0, rows].iter().for_each(|number: &u64| value.extend_from_slice(&number.to_le_bytes()));
    let root = tree::build(objects, [(vec![0], header), (key, value)]).unwrap();
    Built {
        manifest: Some(root.hash),
        segments: Some(SegmentCounts { kept: 0, new: 1, dropped: 0 }),
        rows: Some(rows),
        output: None,
    }
}
