//! Those who declare, and a world that changes under them.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::core::vocabulary::{
    AttemptTimeout, Coalesce, CollectionId, Command, Declaration, EmptySource, EngineCommand, Fingerprint, Grace, Kind,
    Limits, MaxLag, Name, OnChange, Policy, Priority, Resync, Retry, Seq, Source, Spec,
};
use lastword::core::{CollectionView, Pending};

use super::dice::Dice;
use super::looks::NUMBERS;
use super::queue::Happening;
use super::sim::Sim;

/// The storm of a small world lasts about this long, and so does that of a large one.
const STORM: Duration = Duration::from_secs(120);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Sim {
    /// Lays out what will come.
    pub(crate) fn begin_storm(&mut self) {
        let storm = u64::try_from(STORM.as_millis()).unwrap();
        let (actions, changes) = (self.weather.actions, self.weather.changes);
        // A large world is declared first, in a few minutes; a small one comes together as it goes.
        for n in 0..self.weather.collections {
            let at = Duration::from_millis(self.dice.below(storm / 4));
            let command = self.declaration_of(n, true);
            self.after(at, Happening::Says(Box::new(command.into())));
        }
        for _ in 0..actions {
            let at = Duration::from_millis(self.dice.below(storm));
            self.queue.put(at, 0, Happening::Person);
        }
        for _ in 0..changes {
            let at = Duration::from_millis(self.dice.below(storm));
            let jumps = self.dice.chance(self.weather.jump);
            self.queue.put(at, 0, if jumps { Happening::Jump } else { Happening::World });
        }
        self.plan_copies(STORM);
        for n in 0..self.weather.sources {
            let directory = format!("/lake/{n}");
            for _ in 0..self.dice.below(4) {
                self.lake.change(&directory, self.clock.wall, self.clock.stretch, &mut self.dice);
            }
        }
        let trouble = self.weather.mischief / 20;
        self.destination.shelf.trouble(self.dice.clone(), trouble);
    }

    fn any_collection(&mut self) -> usize {
        self.dice.index(self.weather.collections)
    }

    fn name_of(n: usize) -> Name {
        Name::new(&format!("{}{n}", ["a", "ab", "c"][n % 3])).unwrap()
    }

    /// Something is said of collection `n`; everything that has to be, if it is to be a new one.
    fn declaration_of(&mut self, n: usize, new: bool) -> Command {
        let mut declaration = Declaration::new(Sim::name_of(n));
        let known = self.state().id_of(&declaration.name).and_then(|id| self.collection(id));
        let kind = known.map(|collection| collection.kind.clone());
        let is_new = new || kind.is_none();
        let kind = kind.unwrap_or_else(|| self.kind_of(n));
        if is_new {
            declaration.kind = Some(kind.clone());
            declaration.versioned = Some(Sim::is_files(&kind) || self.dice.chance(800));
        }
        if is_new || self.dice.chance(400) {
            declaration.source = Some(self.any_source(&kind));
        }
        if is_new || self.dice.chance(500) {
            declaration.spec = Some(self.any_spec(&kind));
        }
        if is_new || self.dice.chance(150) {
            declaration.policy = Some(self.any_policy());
        }
        if self.dice.chance(150) {
            declaration.revision = Some(self.dice.below(20));
        }
        Command::Declare(Box::new(declaration))
    }

    /// A name has one kind for ever, so that what is said late of it still makes sense.
    fn kind_of(&self, n: usize) -> Kind {
        let mut dice = Dice::new(self.seed ^ n as u64);
        let text = if dice.chance(self.weather.files) { "files" } else { dice.pick(&["plain", "dest", "far"]) };
        Kind::new(text).unwrap()
    }

    fn any_source(&mut self, kind: &Kind) -> Source {
        let n = self.dice.index(self.weather.sources);
        Source::new(&if Sim::is_files(kind) { format!("/lake/{n}") } else { format!("s{n}") }).unwrap()
    }

    fn any_spec(&mut self, kind: &Kind) -> Spec {
        let files = [
            r#"{"format":"parquet","target_rows":500}"#,
            r#"{"target_rows":500,"format":"parquet","recipe":"2"}"#,
            r#"{"format":"parquet","target_rows":40,"params":{"lists":100}}"#,
            r#"{"format":"parquet","target_rows":40,"params":{"lists":200}}"#,
            r#"{"format":"parquet","target_rows":40,"columns":["id"]}"#,
            r#"{"format":"parquet","target_rows":40,"columns":["id","text"]}"#,
            r#"{"format":"parquet","target_rows":1500}"#,
        ];
        let others = ["{}", r#"{"a":1,"b":[2]}"#, r#"{"b": [2.0], "a": 1}"#];
        Spec::parse(self.dice.pick(if Sim::is_files(kind) { &files } else { &others })).unwrap()
    }

    fn any_policy(&mut self) -> Policy {
        let dice = &mut self.dice;
        Policy {
            on_change: dice.pick(&[OnChange::Supersede, OnChange::FinishThenLatest, OnChange::Reject]),
            grace: Grace(dice.pick(&[secs(0), secs(1), secs(5)])),
            coalesce: dice.pick(&[Coalesce::NONE, Coalesce::default()]),
            empty_source: dice.pick(&[EmptySource::Hold, EmptySource::Apply]),
            retry: Retry {
                max_attempts: dice.pick(&[1, 3, 10]),
                max_lost: dice.pick(&[1, 3, 50]),
                slow: dice.pick(&[None, Some(secs(30)), Some(secs(600))]),
                max_lost_alone: dice.pick(&[None, Some(1), Some(3)]),
                ..Retry::default()
            },
            attempt_timeout: AttemptTimeout(dice.pick(&[None, Some(secs(2)), Some(secs(30))])),
            priority: Priority(dice.pick(&[-1000, 0, 0, 1, 1000])),
            resync: Resync(dice.pick(&[None, None, Some(secs(10)), Some(secs(45))])),
            max_lag: MaxLag(dice.pick(&[None, Some(secs(0)), Some(secs(5)), Some(secs(600))])),
        }
    }

    /// A person asks for something.
    pub(crate) fn person(&mut self) {
        let n = self.any_collection();
        let name = Sim::name_of(n);
        let command = match self.dice.below(40) {
            0..14 => self.declaration_of(n, false),
            14..18 => {
                let last = self.state().last();
                let earlier = Seq(last.0 - self.dice.below(last.0.min(40)));
                let seen = self.dice.pick(&[None, Some(last), Some(earlier)]);
                Command::Refresh { name, force: self.dice.chance(300), seen }
            }
            18..20 => Command::Cancel { name, task: None },
            20..23 => Command::Pause { name },
            23..28 => Command::Resume { name },
            28..33 => self.confirmation(name),
            33..35 => Command::Drop { name },
            35..37 => self.limit(),
            37 => self.declaration_of(n, true),
            _ => {
                self.drift(&name);
                return;
            }
        };
        self.say(command.clone());
        if self.dice.chance(self.weather.twice) {
            let late = self.dice.millis(0, 20_000);
            self.after(late, Happening::Says(Box::new(command.into())));
        }
    }

    fn confirmation(&mut self, name: Name) -> Command {
        let id = self.state().id_of(&name);
        let held = match id.and_then(|id| self.collection(id)).and_then(|collection| collection.pending) {
            Some(Pending::Held { fingerprint, .. }) => Some(fingerprint),
            Some(Pending::Settling { .. } | Pending::Waiting { .. }) | None => None,
        };
        let fingerprint = held.filter(|_| self.dice.chance(800)).unwrap_or(Fingerprint([7; 32]));
        Command::Confirm { name, fingerprint }
    }

    fn limit(&mut self) -> Command {
        if !self.weather.limits {
            return Command::Limit(Limits::default());
        }
        let most = [None, Some(1), Some(2), Some(5)];
        let total = self.dice.pick(&most);
        let kinds = ["plain", "dest", "far"].map(|kind| Some((Kind::new(kind).unwrap(), self.dice.pick(&most)?)));
        let prefixes = ["a", "ab", "c"].map(|prefix| Some((Name::new(prefix).unwrap(), self.dice.pick(&most)?)));
        let kinds = kinds.into_iter().flatten().collect();
        Command::Limit(Limits { total, kinds, prefixes: prefixes.into_iter().flatten().collect::<BTreeMap<_, _>>() })
    }

    fn drift(&mut self, name: &Name) {
        let Some(id) = self.state().id_of(name) else { return };
        let applied = self.collection(id).and_then(|collection| collection.applied.as_ref()).map(|applied| applied.seq);
        let commit = self.dice.pick(&[applied.unwrap_or(Seq(1)), Seq(1)]);
        self.say(EngineCommand::Drifted { collection: id, commit, message: "gone".into() });
    }

    /// A source changes, and mostly somebody says so.
    pub(crate) fn world(&mut self) {
        let n = self.dice.index(self.weather.sources);
        let source = if self.dice.chance(self.weather.files) {
            let directory = format!("/lake/{n}");
            self.lake.change(&directory, self.clock.wall, self.clock.stretch, &mut self.dice);
            if self.dice.chance(400) {
                let soon = self.dice.millis(1, 1500);
                self.after(soon, Happening::Rewrite(directory.clone()));
            }
            directory
        } else {
            match self.dice.below(10) {
                0 => self.numbers[n].trouble = Some(self.dice.pick(&["gone", "forbidden"])),
                1 | 2 => self.numbers[n].trouble = None,
                _ => self.numbers[n].content = u8::try_from(self.dice.below(u64::from(NUMBERS))).unwrap(),
            }
            format!("s{n}")
        };
        self.trace(|| format!("{source} changes"));
        if self.dice.chance(700) {
            self.hint(&source);
        }
    }

    /// A writer is not through yet.
    pub(crate) fn rewrite(&mut self, directory: &str) {
        self.lake.rewrite(directory, self.clock.wall, self.clock.stretch, &mut self.dice);
        self.trace(|| format!("{directory} is rewritten"));
        if self.dice.chance(300) {
            self.hint(directory);
        }
    }

    pub(crate) fn hint(&mut self, source: &str) {
        let of_source = self.state().collections().filter(|(_, c)| c.latest.source.as_str() == source);
        let ids: Vec<CollectionId> = of_source.map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.ask_for_look(id));
    }

    /// A collection as it is shown.
    pub(crate) fn view(&self, id: CollectionId) -> CollectionView {
        CollectionView::of(self.state(), id, self.now()).unwrap()
    }
}
