//! A seeded random walk through a small world full of zombies, crashes and contradictions.
//!
//! A failure prints its seed; `WALK_SEED=n cargo test -p lastword --test core walk` walks that one again.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::core::CollectionView;
use lastword::core::vocabulary::{
    AttemptRef, AttemptTimeout, Built, Coalesce, Command, Declaration, EmptySource, FailureClass, FailureReport,
    Fingerprint, Grace, Observation, OnChange, Policy, Retry, Seen, Seq, Source, Spec, Subject, TaskId,
};

use super::witness::Witness;
use super::world::{World, assign, completion, content, kind, millis, name, secs};

/// Together about 300,000 commands: what a debug build does in a few seconds.
const WALKS: u64 = 150;
const STEPS: u64 = 2000;
const NAMES: [&str; 3] = ["a", "b", "c"];
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
    // Everything but the loss of data, which no command decides.
    assert!(only.is_some() || (met.len() == 21 && met.values().all(|times| *times > WALKS)), "met too little: {met:?}");
}

struct Walk {
    seed: u64,
    dice: Dice,
    world: World,
    witness: Witness,
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
        let mut walk = Walk { seed, dice, world, witness: Witness::default(), voices: Vec::new() };
        walk.witness.see(&walk.world);
        walk
    }

    /// Says something, and looks at everything that came of it.
    fn say(&mut self, command: Command) -> bool {
        let said = self.world.say(command.clone());
        if said.is_ok() {
            self.witness.hear(&command, &self.world);
        }
        self.witness.see(&self.world);
        said.is_ok()
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..10 => self.declare(),
            10..26 => self.observe(),
            26..48 => self.assign(),
            48..66 => self.answer(),
            66..80 => self.pass_time(),
            80..94 => self.steer(),
            94..96 => drop(self.say(Command::Open { software: "test".into() })),
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
            ..Retry::default()
        };
        let attempt_timeout = AttemptTimeout(self.dice.pick(&[None, Some(secs(1)), Some(secs(3600))]));
        let on_change = self.dice.pick(&[OnChange::Supersede, OnChange::FinishThenLatest, OnChange::Reject]);
        let empty_source = self.dice.pick(&[EmptySource::Hold, EmptySource::Apply]);
        Policy { on_change, empty_source, coalesce, grace, retry, attempt_timeout, ..Policy::default() }
    }

    fn observation(&mut self) -> Observation {
        let name = self.any_name();
        let subject = match self.world.state.id_of(&name) {
            Some(id) if self.dice.below(2) == 0 => Subject::Id(id),
            Some(_) | None => Subject::Name(name),
        };
        let last = self.world.state.last();
        let late = Seq(last.0 - self.dice.below(last.0.min(12)));
        let began = self.dice.pick(&[None, Some(last), Some(late)]);
        let seen = match self.dice.below(6) {
            0 => Seen::Failed { cause: self.dice.pick(&["gone", "forbidden"]).into() },
            _ => content(self.dice.pick(&[0, 1, 2])),
        };
        Observation { subject, began, seen }
    }

    fn observe(&mut self) {
        let observation = self.observation();
        self.say(Command::Observe(observation));
    }

    fn assign(&mut self) {
        let ready = self.world.state.first_ready([&kind()], self.world.now);
        let any = self.any_name();
        let tried = if self.dice.below(8) == 0 { self.world.state.id_of(&any) } else { ready };
        let Some(collection) = tried else { return };
        let worker = self.dice.pick(&["w1", "w2", "w3"]);
        let started = self.say(assign(worker, collection));
        assert!(started || ready != Some(collection), "what is first in the queue and cannot start blocks it");
        self.voices.extend(self.witness.last_started());
    }

    /// A worker says something: the running one, one that was told to stop, or one that ended long ago.
    fn answer(&mut self) {
        if self.voices.is_empty() {
            return;
        }
        let at = usize::try_from(self.dice.below(self.voices.len() as u64)).unwrap();
        let attempt = self.voices[at];
        let message = "no luck".into();
        let command = match self.dice.below(10) {
            0..5 => completion(attempt, self.world.fingerprint_of(attempt), Built::default()),
            5 => Command::Stopped { attempt },
            6 => Command::Fail { attempt, failure: FailureReport { class: FailureClass::Permanent, message } },
            7 => Command::Fail { attempt, failure: FailureReport { class: FailureClass::Transient, message } },
            8 => {
                let seen = self.observation();
                let class = FailureClass::SourceMoved(self.dice.pick(&[None, Some(Box::new(seen))]));
                Command::Fail { attempt, failure: FailureReport { class, message } }
            }
            _ => completion(attempt, Fingerprint([7; 32]), Built::default()),
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
        self.say(Command::Stopped { attempt });
        self.say(completion(attempt, self.world.fingerprint_of(last), Built::default()));
    }

    fn forget_voices(&mut self) {
        let open = self.witness.open();
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
            assert!(self.say(Command::Due(deadline)), "{deadline:?} was refused and would come due for ever");
        }
    }

    fn steer(&mut self) {
        let name = self.any_name();
        let held = self.world.state.id_of(&name).and_then(|id| self.view(id)?.held());
        let task = self.dice.pick(&[None, self.voices.last().map(|voice| voice.task), Some(TaskId(Seq(1)))]);
        let command = match self.dice.below(14) {
            0..3 => Command::Refresh { name, force: self.dice.below(3) == 0, seen: None },
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
        }
        for _ in 0..1000 {
            for attempt in self.witness.open() {
                self.say(completion(attempt, self.world.fingerprint_of(attempt), Built::default()));
            }
            self.do_what_is_due();
            while let Some(collection) = self.world.state.first_ready([&kind()], self.world.now) {
                assert!(self.say(assign("w1", collection)), "what is ready can start");
                if self.world.state.collection(collection).is_some_and(|c| c.status.attempt().is_none()) {
                    break;
                }
            }
            if self.witness.open().is_empty() {
                let next = [self.world.state.next_deadline(), self.world.state.next_ready([&kind()])];
                let Some(next) = next.into_iter().flatten().min() else { break };
                self.world.now = self.world.now.max(next);
            }
        }
        assert!(self.witness.open().is_empty(), "OneLive: everything that was started has ended");
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
                _ => !is_applied,
            };
            assert!(shown, "LatestNotLost: {collection:#?}");
            assert_eq!(&self.witness.heard(id), &*collection.latest, "LatestNotLost");
        }
        self.world.assert_replays();
    }

    /// Whatever waits for a person has one: in the end everything is fresh.
    fn wake_everything(&mut self) {
        for text in NAMES {
            self.say(Command::Observe(Observation {
                subject: Subject::Name(name(text)),
                began: None,
                seen: content(2),
            }));
            self.say(Command::Refresh { name: name(text), force: false, seen: None });
        }
        self.come_to_rest();
        for (_, collection) in self.world.state.collections() {
            assert!(collection.is_fresh(), "LatestNotLost: {collection:#?}");
        }
    }
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
