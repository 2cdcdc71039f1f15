//! A seeded random walk through a small world full of zombies, crashes and contradictions.
//!
//! A failure prints its seed; `WALK_SEED=n cargo test -p lastword --test core walk` walks that one again.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::core::vocabulary::{
    Assign, AttemptObservation, AttemptRef, AttemptTimeout, Coalesce, CollectionId, Command, Declaration, DeliveryKind,
    DeliveryRef, Duties, EmptySource, EngineCommand, Event, FailureClass, FailureReport, Fingerprint, Grace, Limits,
    MaxLag, Missing, ObservationOutcome, ObservationReport, OnChange, Policy, Priority, Resync, Retry, Seq, Source,
    Spec, TaskId, WorkerName,
};
use lastword::core::{CollectionView, OutboxItem};
use test_support::oracle::ledger::Ledger;
use test_support::oracle::{Oracle, Verdict};

use super::said::Said;
use super::world::{BOTH, Told, World, completion, content, kind, millis, name, observed, secs};

/// Together about 200,000 commands: what a debug build does in a few seconds.
const WALKS: u64 = 100;
const STEPS: u64 = 2000;
const NAMES: [&str; 3] = ["a", "ab", "c"];
/// Attempts whose workers may still say something, dead ones included.
const MOST_VOICES: usize = 12;

#[test]
fn walk() {
    let only: Option<u64> = std::env::var("WALK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..WALKS, |seed| seed..seed + 1);
    let mut met = BTreeMap::new();
    for seed in seeds {
        let mut walk = Walk::new(seed);
        for _ in 0..STEPS {
            walk.step();
        }
        walk.come_to_rest();
        walk.wake_everything();
        for recorded in &walk.world.record {
            *met.entry(recorded.event.type_name()).or_insert(0_u64) += 1;
        }
    }
    // Everything but the loss of data and the parts of a base, which no command decides.
    assert!(
        only.is_some() || (met.len() == 26 && met.values().all(|times| *times > WALKS / 4)),
        "met too little: {met:?}"
    );
}

struct Walk {
    seed: u64,
    dice: Dice,
    world: World,
    oracle: Oracle,
    ledger: Ledger,
    said: Said,
    voices: Vec<AttemptRef>,
}

/// Tells how to repeat a walk that failed.
impl Drop for Walk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.seed;
            eprintln!("WALK_SEED={seed} cargo test -p lastword --test core walk");
        }
    }
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let (dice, world) = (Dice(seed), World::new());
        let (oracle, ledger, said) = (Oracle::default(), Ledger::default(), Said::default());
        let mut walk = Walk { seed, dice, world, oracle, ledger, said, voices: Vec::new() };
        walk.look(0);
        walk
    }

    /// Says something, and looks at everything that came of it.
    fn say(&mut self, command: impl Into<Told>) -> bool {
        let command = command.into();
        match &command {
            Told::Engine(EngineCommand::Complete(completion)) => {
                self.ledger.write(completion.attempt, &self.world.state)
            }
            Told::Engine(EngineCommand::Open { .. }) => self.ledger.write_all(&self.world.state),
            _ => {}
        }
        let before = self.world.record.len();
        let said = self.world.say(command.clone());
        if said.is_ok() {
            self.said.hear(&command, &self.world.record[before..], &self.world);
        }
        self.look(before);
        said.is_ok()
    }

    /// Looks at what was recorded behind `from`, and at the state that came of it.
    fn look(&mut self, from: usize) {
        for recorded in &self.world.record[from..] {
            let verdict = self.oracle.see(recorded).and_then(|()| self.ledger.see(recorded, &self.world.state));
            verdict.unwrap_or_else(|broken| panic!("{broken}, at {recorded:?}"));
        }
        holds(self.oracle.hold_against(&self.world.state));
        self.said.watch(&self.world.state);
    }

    /// The attempts that were started and have not ended.
    fn open(&self) -> Vec<AttemptRef> {
        self.oracle.open_attempts().collect()
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..9 => self.declare(),
            9..23 => self.observe(),
            23..45 => self.assign(),
            45..62 => self.answer(),
            62..73 => self.pass_time(),
            73..85 => self.steer(),
            85..92 => self.deliver(),
            92 => self.drift(),
            93 => self.limit(),
            94..96 => drop(self.say(EngineCommand::Open { software: "test".into() })),
            96 => self.babble(),
            97 => self.world.assert_replays(),
            _ => self.forget_voices(),
        }
    }

    fn any_name(&mut self) -> lastword::core::vocabulary::Name {
        name(self.dice.pick(&NAMES))
    }

    fn declare(&mut self) {
        let name = self.any_name();
        let new = self.world.state.id_of(&name).is_none();
        let mut declaration = Declaration::new(name);
        if new {
            declaration.kind = Some(kind());
            declaration.versioned = Some(self.dice.below(4) > 0);
        }
        if new || self.dice.below(3) == 0 {
            declaration.source = Some(Source::new(self.dice.pick(&["s1", "s2", "s3"])).unwrap());
        }
        if self.dice.below(2) == 0 {
            declaration.spec = Some(Spec::parse(self.dice.pick(&["{}", r#"{"a":1}"#])).unwrap());
        }
        if new || self.dice.below(8) == 0 {
            declaration.policy = Some(self.policy());
        }
        if self.dice.below(4) == 0 {
            declaration.revision = Some(self.dice.below(40));
        }
        self.say(Command::Declare(declaration.into()));
    }

    fn policy(&mut self) -> Policy {
        let coalesce = self.dice.pick(&[Coalesce::NONE, Coalesce::default()]);
        let grace = Grace(self.dice.pick(&[secs(0), secs(5)]));
        let retry = Retry {
            max_attempts: self.dice.pick(&[1, 2, 10]),
            max_lost: self.dice.pick(&[1, 3, 50]),
            slow: self.dice.pick(&[None, Some(secs(600))]),
            max_lost_alone: self.dice.pick(&[None, Some(1), Some(3)]),
            ..Retry::default()
        };
        let attempt_timeout = AttemptTimeout(self.dice.pick(&[None, Some(secs(1)), Some(secs(3600))]));
        let on_change = self.dice.pick(&[OnChange::Supersede, OnChange::FinishThenLatest, OnChange::Reject]);
        let empty_source = self.dice.pick(&[EmptySource::Hold, EmptySource::Apply]);
        let priority = Priority(self.dice.pick(&[-1000, -1, 0, 0, 1, 1000]));
        let resync = Resync(self.dice.pick(&[None, Some(secs(1)), Some(secs(3600))]));
        let max_lag = MaxLag(self.dice.pick(&[None, Some(secs(0)), Some(secs(5))]));
        Policy { on_change, empty_source, coalesce, grace, retry, attempt_timeout, priority, resync, max_lag }
    }

    /// The position of the log now, or some events ago.
    fn position(&mut self) -> Seq {
        let last = self.world.state.last();
        let late = Seq(last.0 - self.dice.below(last.0.min(12)));
        self.dice.pick(&[last, late])
    }

    fn outcome(&mut self) -> ObservationOutcome {
        match self.dice.below(6) {
            0 => ObservationOutcome::Failed { cause: self.dice.pick(&["gone", "forbidden"]).into() },
            _ => {
                let (version, gone) = (self.dice.pick(&[0, 1, 2]), self.dice.pick(&[None, Some(0), Some(11)]));
                ObservationOutcome::Content { state: observed(version), delta: None, missing: gone.map(Missing::from) }
            }
        }
    }

    fn observe(&mut self) {
        let name = self.any_name();
        let (id, began) = (self.world.state.id_of(&name), self.position());
        // Sources that could not be observed are often found as they were.
        let failed = id.and_then(|id| self.world.state.collection(id)).filter(|c| c.unobservable.is_some());
        let known = failed.and_then(|collection| collection.observed().cloned()).filter(|_| self.dice.below(4) > 0);
        let outcome = match known {
            Some(known) => ObservationOutcome::Content { state: (*known).clone(), delta: None, missing: None },
            None => self.outcome(),
        };
        match id.filter(|_| self.dice.below(3) > 0) {
            Some(collection) => self.say(EngineCommand::Observe(ObservationReport { collection, began, outcome })),
            None => self.say(Command::Observe { name, outcome }),
        };
    }

    fn assign(&mut self) {
        let ready = self.world.state.first_ready([&kind()], self.world.now);
        let behind = |id| self.world.state.collection(id).and_then(|collection| collection.unapplied_since);
        assert_eq!(ready, self.oracle.next(self.world.now, behind), "of those that may start, the best is next");
        let any = self.any_name();
        let tried = if self.dice.below(8) == 0 { self.world.state.id_of(&any) } else { ready };
        let Some(collection) = tried else { return };
        let before = self.world.record.len();
        let started = self.start(collection);
        assert!(started || ready != Some(collection), "what is first in the queue and cannot start blocks it");
        let has_begun =
            self.world.record[before..].iter().any(|recorded| matches!(recorded.event, Event::TaskStarted { .. }));
        // The highest token is the newest attempt's.
        self.voices.extend(self.open().last().filter(|_| has_begun));
    }

    /// The duties of "a" and "ab" are always the same; those of "c" change with the weather.
    fn start(&mut self, collection: CollectionId) -> bool {
        let worker = WorkerName::new(self.dice.pick(&["w1", "w2", "w3"])).unwrap();
        let lease = self.dice.pick(&[None, None, None, Some(secs(30))]);
        let any = Duties { publish: self.dice.below(2) == 0, discard: self.dice.below(2) == 0 };
        let duties = match self.world.state.collection(collection).map(|c| c.name.as_str()) {
            Some("a") => BOTH,
            Some("ab") => Duties { publish: false, discard: true },
            Some(_) | None => any,
        };
        self.say(EngineCommand::Assign(Assign { worker, collection, lease, duties }))
    }

    /// Whoever delivers has done it, even if it says that it has not.
    fn deliver(&mut self) {
        let owing: Vec<_> = self.world.state.outboxes_due(self.world.now).collect();
        if owing.is_empty() {
            return;
        }
        let id = self.dice.pick(&owing);
        let delivered = self.perform(id);
        let message = "down".into();
        let other = self.any_name();
        let other = self.world.state.id_of(&other).unwrap_or(CollectionId(Seq(1)));
        let command = match self.dice.below(8) {
            0..5 => EngineCommand::Delivered(delivered),
            5 => EngineCommand::DeliveryFailed { delivered, message },
            6 => EngineCommand::Delivered(DeliveryRef { obligation: Seq(delivered.obligation.0 + 1), ..delivered }),
            _ => EngineCommand::Delivered(DeliveryRef { collection: other, ..delivered }),
        };
        // One event may have made two collections owe something.
        let (EngineCommand::Delivered(said) | EngineCommand::DeliveryFailed { delivered: said, .. }) = &command else {
            return;
        };
        let is_fine = self
            .world
            .state
            .first_outbox_entry(said.collection)
            .is_some_and(|(_, _, first)| (first.id, first.delivery()) == (said.obligation, said.delivery));
        if is_fine {
            self.perform(said.collection);
        }
        assert_eq!(self.say(command.clone()), is_fine, "{command:?}");
    }

    fn perform(&mut self, id: CollectionId) -> DeliveryRef {
        let (_, _, first) = self.world.state.first_outbox_entry(id).unwrap();
        if let OutboxItem::Discard(leaving) = &first.item {
            holds(self.ledger.discard(id, leaving));
        }
        assert_eq!(first.delivery() == DeliveryKind::Discard, matches!(first.item, OutboxItem::Discard(_)));
        DeliveryRef { collection: id, obligation: first.id, delivery: first.delivery() }
    }

    fn first_owing(&self) -> Option<CollectionId> {
        self.world.state.outboxes_due(self.world.now).next()
    }

    fn drift(&mut self) {
        let name = self.any_name();
        let Some(collection) = self.world.state.id_of(&name) else { return };
        let applied = self.world.state.collection(collection).and_then(|c| c.applied.as_ref()).map(|a| a.seq);
        let commit = self.dice.pick(&[applied.unwrap_or(Seq(1)), Seq(1)]);
        assert!(self.say(EngineCommand::Drifted { collection, commit, message: "gone".into() }));
    }

    fn limit(&mut self) {
        let most = |dice: &mut Dice| dice.pick(&[None, Some(1), Some(2), Some(3)]);
        let total = most(&mut self.dice);
        let kinds = most(&mut self.dice).map(|most| (kind(), most)).into_iter().collect();
        let prefixes = ["a", "ab", "c"].map(|prefix| Some((name(prefix), most(&mut self.dice)?)));
        let prefixes = prefixes.into_iter().flatten().collect();
        self.say(Command::Limit(Limits { total, kinds, prefixes }));
    }

    /// A worker says something: the running one, one that was told to stop, or one that ended long ago.
    fn answer(&mut self) {
        if self.voices.is_empty() {
            return;
        }
        let open = self.open();
        let among = if open.is_empty() || self.dice.below(2) == 0 { &self.voices } else { &open };
        let attempt = self.dice.pick(among);
        let message = "no luck".into();
        let result = self.ledger.result(attempt, &self.world.state, || self.dice.below(2) == 0);
        let command = match self.dice.below(11) {
            0..5 => completion(attempt, self.world.fingerprint_of(attempt), result),
            5 => EngineCommand::Stopped { attempt },
            6 => EngineCommand::Fail { attempt, failure: FailureReport { class: FailureClass::Permanent, message } },
            7 => EngineCommand::Fail { attempt, failure: FailureReport { class: FailureClass::Transient, message } },
            8 => {
                let (outcome, last) = (self.outcome(), self.position());
                let last_observation = self.dice.pick(&[None, None, Some(last)]);
                let has_observer = self.dice.below(2) == 0;
                let observation = AttemptObservation { outcome, last_observation, has_observer };
                let class = FailureClass::SourceMoved(self.dice.pick(&[None, Some(Box::new(observation))]));
                EngineCommand::Fail { attempt, failure: FailureReport { class, message } }
            }
            9 => EngineCommand::Lost { attempt },
            _ => completion(attempt, Fingerprint([7; 32]), result),
        };
        // Some say it twice.
        if self.dice.below(3) == 0 {
            self.say(command.clone());
        }
        self.say(command);
    }

    /// A caller mixes up who it is.
    fn babble(&mut self) {
        let (Some(first), Some(last)) = (self.voices.first().copied(), self.voices.last().copied()) else { return };
        let attempt = self.dice.pick(&[
            AttemptRef { collection: first.collection, ..last },
            AttemptRef { task: first.task, ..last },
            AttemptRef { attempt: last.attempt + 1, ..last },
            AttemptRef { token: first.token, ..last },
        ]);
        self.say(EngineCommand::Stopped { attempt });
        let result = self.ledger.result(attempt, &self.world.state, || true);
        self.say(EngineCommand::Lost { attempt });
        self.say(completion(attempt, self.world.fingerprint_of(last), result));
    }

    fn forget_voices(&mut self) {
        let open = self.open();
        while self.voices.len() > MOST_VOICES {
            let at = self.voices.iter().position(|voice| !open.contains(voice)).unwrap_or(0);
            self.voices.remove(at);
        }
    }

    fn pass_time(&mut self) {
        let span = self.dice.pick(&[Duration::ZERO, millis(100), secs(1), secs(6), secs(7200)]);
        self.world.now = self.world.now.after(millis(self.dice.below(3)).max(span));
        // Mostly the engine keeps up with what is due; sometimes other things are said first.
        if self.dice.below(4) > 0 {
            self.do_what_is_due();
        }
    }

    fn do_what_is_due(&mut self) {
        while let Some(deadline) = self.world.state.first_due(self.world.now) {
            assert!(self.say(EngineCommand::Due(deadline)), "{deadline:?} was refused and would come due for ever");
        }
    }

    fn steer(&mut self) {
        let name = self.any_name();
        let held = self.world.state.id_of(&name).and_then(|id| self.view(id)?.held());
        let task = self.dice.pick(&[None, self.voices.last().map(|voice| voice.task), Some(TaskId(Seq(1)))]);
        let command = match self.dice.below(14) {
            0..3 => {
                let last = self.world.state.last();
                let earlier = Seq(last.0 - self.dice.below(last.0.min(40)));
                let seen = self.dice.pick(&[None, Some(last), Some(earlier)]);
                Command::Refresh { name, force: self.dice.below(3) == 0, seen }
            }
            3 => Command::Cancel { name, task },
            4..6 => Command::Pause { name },
            6..9 => Command::Resume { name },
            9..13 => {
                let held = held.filter(|_| self.dice.below(4) > 0);
                let fingerprint = held.map_or(Fingerprint([7; 32]), |(_, fingerprint)| fingerprint);
                Command::Confirm { name, fingerprint }
            }
            _ => Command::Drop { name },
        };
        self.say(command);
    }

    fn view(&self, id: lastword::core::vocabulary::CollectionId) -> Option<CollectionView> {
        CollectionView::of(&self.world.state, id, self.world.now)
    }

    /// Every worker answers, nobody is paused, and time goes on until nothing is left to do.
    fn come_to_rest(&mut self) {
        for text in NAMES {
            self.say(Command::Resume { name: name(text) });
            // A resync would come due for ever.
            let policy = self.world.state.id_of(&name(text)).and_then(|id| self.world.state.collection(id));
            if let Some(policy) = policy.map(|c| Policy { resync: Resync(None), ..(*c.policy).clone() }) {
                assert!(self.say(Command::Declare(Declaration::new(name(text)).policy(policy).into())));
            }
        }
        for _ in 0..1000 {
            for attempt in self.open() {
                let result = self.ledger.result(attempt, &self.world.state, || true);
                self.say(completion(attempt, self.world.fingerprint_of(attempt), result));
            }
            self.do_what_is_due();
            while let Some(collection) = self.world.state.first_ready([&kind()], self.world.now) {
                assert!(self.start(collection), "what is ready can start");
                if self.world.state.collection(collection).is_some_and(|c| c.status.attempt().is_none()) {
                    break;
                }
            }
            while let Some(id) = self.first_owing() {
                let delivered = self.perform(id);
                assert!(self.say(EngineCommand::Delivered(delivered)), "what is owed first can be met");
            }
            if self.open().is_empty() {
                let state = &self.world.state;
                let owed = state.next_outbox_due(self.world.now);
                let next = [state.next_deadline(), state.next_ready([&kind()], self.world.now), owed];
                let Some(next) = next.into_iter().flatten().min() else { break };
                self.world.now = self.world.now.max(next);
            }
        }
        assert!(self.open().is_empty(), "OneLive: everything that was started has ended");
        assert_eq!(self.world.state.all_draining().count(), 0);
        for (id, collection) in self.world.state.collections() {
            let view = self.view(id).unwrap();
            let rests = ["fresh", "held", "parked", "awaiting_observation", "unobservable"];
            assert!(rests.contains(&view.condition.name()), "NothingWaitsSilently: {view:#?}");
            let is_applied = view.latest.is_some() && view.applied.map(|a| a.fingerprint) == view.latest;
            let shown = match view.condition.name() {
                "fresh" => is_applied,
                // Never observed, or everything heard was applied before.
                "unobservable" => is_applied || view.latest.is_none(),
                // What is applied was to be built anew.
                "parked" if is_applied => collection.rebuild,
                _ => !is_applied,
            };
            assert!(shown, "LatestNotLost: {collection:#?}");
            assert_eq!(&self.said.heard(id), &*collection.latest, "LatestNotLost");
        }
        self.world.assert_replays();
    }

    /// Whatever waits for a person has one: in the end everything is fresh.
    fn wake_everything(&mut self) {
        for text in NAMES {
            self.say(Command::Observe { name: name(text), outcome: content(2) });
            let held = self.world.state.id_of(&name(text)).and_then(|id| self.view(id)?.held());
            if let Some((_, fingerprint)) = held {
                assert!(self.say(Command::Confirm { name: name(text), fingerprint }));
            }
            self.say(Command::Refresh { name: name(text), force: false, seen: None });
        }
        // Also what was given up has its end.
        assert!(self.say(EngineCommand::Open { software: "test".into() }));
        self.come_to_rest();
        holds(self.oracle.delivered());
        holds(self.ledger.settled());
        for (_, collection) in self.world.state.collections() {
            assert!(collection.is_fresh(), "LatestNotLost: {collection:#?}");
        }
    }
}

fn holds(verdict: Verdict) {
    verdict.unwrap_or_else(|broken| panic!("{broken}"));
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }
}
