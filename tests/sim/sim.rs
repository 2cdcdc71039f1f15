//! One simulated world: the real reducer, driven step by step as the engine drives it, on a disk that fails and under
//! a clock that jumps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lastword::core::vocabulary::{CollectionId, Command, Kind, Limits, Name, PathSetRef, Recorded, Timestamp};
use lastword::core::{Collection, RunsAt, State};
use lastword::external::External;
use lastword::log::{Keep, Position};
use lastword::objects::MemoryObjects;
use lastword::reducer::{Reducer, ReducerError};

use super::clock::Clock;
use super::couriers::Destination;
use super::dice::Dice;
use super::disk::{Disk, Fault};
use super::history::Copies;
use super::lake::Lake;
use super::looks::{Looks, sets_of_numbers};
use super::queue::{Happening, Queue, Told};
use super::weather::Weather;
use super::witness::Witness;
use super::workers::Workers;

/// A world in which more happens than this, and so much more for each collection, does not come to rest: ten times
/// what the liveliest needs.
const MOST_STEPS: u64 = 10_000;
const MOST_STEPS_EACH: u64 = 100;

pub(crate) struct Sim {
    pub(crate) seed: u64,
    pub(crate) weather: Weather,
    pub(crate) dice: Dice,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    pub(crate) copies: Copies,
    /// Nothing only while one process is being replaced by the next.
    reducer: Option<Reducer>,
    /// Counts processes.
    pub(crate) process: u32,
    pub(crate) queue: Queue,
    pub(crate) lake: Lake,
    pub(crate) numbers: Vec<Number>,
    pub(crate) objects: Arc<MemoryObjects>,
    /// The files behind the contents of sources that are numbers.
    pub(crate) sets: Vec<PathSetRef>,
    pub(crate) external: External,
    pub(crate) looks: Looks,
    pub(crate) workers: Workers,
    pub(crate) destination: Destination,
    pub(crate) witness: Witness,
    /// What was said in this batch, and whether it was accepted.
    said: Vec<(Told, bool)>,
    /// The last frame that a process was told is durable.
    acknowledged: Position,
    /// Nothing goes wrong any more.
    pub(crate) is_calm: bool,
    pub(crate) steps: u64,
    pub(crate) counts: Counts,
    /// The last lines of what happened, and how many are kept.
    trace: VecDeque<String>,
    traced: usize,
}

/// A source whose content is a number; 0 is no files at all.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub(crate) content: u8,
    pub(crate) trouble: Option<&'static str>,
}

/// What was met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) of: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, what: &'static str) {
        *self.of.entry(what).or_insert(0) += 1;
    }
}

impl Sim {
    /// The world of a seed, which remembers the last `traced` lines of what happens.
    pub(crate) fn new(seed: u64, traced: usize) -> Sim {
        let mut dice = Dice::new(seed);
        let weather = Weather::of(seed, &mut dice);
        let (clock, disk, lake) = (Clock::new(&mut dice), Disk::new(), Lake::default());
        let numbers = vec![Number { content: 1, trouble: None }; weather.sources];
        let external = External::local().in_store(lake.clone());
        let objects = Arc::new(MemoryObjects::new());
        let workers = Workers::new(&weather);
        let mut sim = Sim {
            seed,
            weather,
            dice,
            clock,
            disk,
            copies: Copies::default(),
            reducer: None,
            process: 0,
            queue: Queue::default(),
            lake,
            numbers,
            sets: sets_of_numbers(&*objects),
            objects,
            external,
            looks: Looks::default(),
            workers,
            destination: Destination::default(),
            witness: Witness::default(),
            said: Vec::new(),
            acknowledged: Position::START,
            is_calm: false,
            steps: 0,
            counts: Counts::default(),
            trace: VecDeque::new(),
            traced,
        };
        sim.reopen(None);
        sim.begin_storm();
        sim
    }

    pub(crate) fn state(&self) -> &State {
        self.reducer().state()
    }

    pub(crate) fn reducer(&self) -> &Reducer {
        self.reducer.as_ref().unwrap()
    }

    pub(crate) fn writer(&mut self) -> &mut Reducer {
        self.reducer.as_mut().unwrap()
    }

    pub(crate) fn collection(&self, id: CollectionId) -> Option<&Collection> {
        self.state().collection(id)
    }

    /// Says something to the reducer, in this batch; says whether it was accepted.
    pub(crate) fn say(&mut self, command: impl Into<Told>) -> bool {
        let command = command.into();
        let verdict = self.writer().command(command.input());
        let verdict = verdict.unwrap_or_else(|error| panic!("{error} after {command:?}"));
        self.trace(|| format!("{command:?} -> {}", verdict.as_ref().map_or_else(ToString::to_string, |_| "ok".into())));
        self.said.push((command, verdict.is_ok()));
        verdict.is_ok()
    }

    pub(crate) fn after(&mut self, span: Duration, happening: Happening) {
        self.queue.put(self.clock.monotonic + span, self.process, happening);
    }

    /// When something happens next, or is due.
    fn next(&self) -> Option<Duration> {
        let (state, now) = (self.state(), self.clock.now());
        let local = self.workers.has_idle(false).then(|| state.next_ready(self.workers.kinds(false), now)).flatten();
        let kinds = self.workers.kinds(true);
        let far = self.workers.has_idle(true).then(|| state.next_ready_at(RunsAt::Elsewhere, kinds, now)).flatten();
        let owed = state.next_outbox_due(now);
        let due = [state.next_deadline(), local, far, owed].into_iter().flatten().min();
        let copying = self.copies.is_writing().then_some(self.clock.monotonic);
        [due.map(|at| self.clock.when(at)), self.queue.next(), copying].into_iter().flatten().min()
    }

    /// One batch, one frame, and what follows from it. Says whether there was anything to do.
    pub(crate) fn step(&mut self) -> bool {
        let Some(next) = self.next() else { return false };
        self.steps += 1;
        let most = MOST_STEPS + MOST_STEPS_EACH * self.weather.collections as u64;
        assert!(self.steps < most, "it does not come to rest");
        // Nobody wakes exactly in time.
        let late = if self.dice.chance(300) { self.dice.millis(0, 700) } else { Duration::ZERO };
        self.clock.pass_until(next.max(self.clock.monotonic) + late);
        let fault = self.fault();
        let before = fault.map(|_| self.state().digest());
        let now = self.clock.now();
        self.writer().begin(now);
        self.take_happenings();
        if self.is_struck() {
            self.counts.add("crash before the frame");
            self.crash(Keep::None, None);
            return true;
        }
        self.finish_batch();
        if let (Some(fault), Some(before)) = (fault, before)
            && self.reducer().frame_events() > 0
        {
            self.fail(fault, before);
            return true;
        }
        self.commit();
        if self.is_struck() {
            self.counts.add("crash after the frame");
            self.crash(Keep::None, None);
            return true;
        }
        self.send_couriers();
        true
    }

    fn take_happenings(&mut self) {
        let most = 1 + self.dice.index(self.weather.batch);
        for _ in 0..most {
            let Some((process, happening)) = self.queue.take(self.clock.monotonic) else { break };
            self.happen(process, happening);
        }
    }

    fn happen(&mut self, process: u32, happening: Happening) {
        match happening {
            Happening::Person => self.person(),
            Happening::World => self.world(),
            Happening::Rewrite(directory) => self.rewrite(&directory),
            Happening::Grows(directory, more) => self.grow(&directory, more),
            Happening::Jump => self.clock.jump(&mut self.dice),
            Happening::LookDue(id) => self.look_due(id),
            Happening::Looked { id, began, seen } => self.looked(id, began, seen),
            Happening::Finishes(token) => self.finishes(token),
            Happening::Stops(token) => self.stops(token),
            Happening::Says(command) => {
                self.counts.add("said late or twice");
                self.say(*command);
            }
            Happening::LeaseOut(attempt) => self.lease_out(attempt),
            Happening::Served { delivered, fails } => self.served(delivered, fails, process),
            Happening::Verifies(id) => self.verifies(id),
            Happening::Snapshot => self.take_snapshot(),
            Happening::Compact => self.compact(),
        }
    }

    /// Deadlines last, then work for whoever is idle: as the engine does it.
    fn finish_batch(&mut self) {
        self.writer().deadlines().unwrap();
        self.assign();
        self.write_base();
    }

    /// The process ends here, perhaps.
    fn is_struck(&mut self) -> bool {
        !self.is_calm && self.dice.chance(self.weather.crash)
    }

    fn fault(&mut self) -> Option<Fault> {
        if self.is_calm || !self.dice.chance(self.weather.fault) {
            return None;
        }
        let torn = Fault::Torn(self.dice.below(1000));
        let (all, none) = (Keep::All, Keep::None);
        Some(self.dice.pick(&[
            Fault::Append(all),
            Fault::Append(none),
            Fault::Barrier(all),
            Fault::Barrier(none),
            torn,
            torn,
        ]))
    }

    /// A batch of its own, of what was just said.
    pub(crate) fn commit_alone(&mut self) {
        self.finish_batch();
        self.commit();
        self.send_couriers();
    }

    /// Makes the batch durable and sees to what follows.
    fn commit(&mut self) {
        let wall = self.clock.wall;
        let committed = self.writer().commit(wall).unwrap_or_else(|error| panic!("{error}"));
        self.acknowledged = self.reducer().durable_position();
        self.copies.is_restored = false;
        let monotonic = self.clock.monotonic;
        self.writer().tick(monotonic).unwrap();
        self.check();
        for event in &committed.events {
            self.witness.see(event);
            self.trace(|| format!("    {} {:?}", event.seq, event.event));
        }
        let said = std::mem::take(&mut self.said);
        self.check_said(&said);
        for event in &committed.events {
            self.follow(event);
        }
        self.look_after_moves(&committed.events);
    }

    /// What a durable event means for workers, looks and destinations.
    fn follow(&mut self, event: &Recorded) {
        self.follow_look(event);
        self.follow_work(event);
        self.follow_files(event);
        self.destination.follow(event);
    }

    /// The commit goes wrong, and with it the process ends.
    fn fail(&mut self, fault: Fault, before: [u8; 32]) {
        let after = self.state().digest();
        self.trace(|| format!("the commit fails: {fault:?}"));
        self.disk.order(fault);
        let wall = self.clock.wall;
        let error = self.writer().commit(wall).expect_err("a commit succeeded that was made to fail");
        assert!(matches!(error, ReducerError::Log(_)), "{error}");
        let again = self.writer().commit(wall);
        assert!(matches!(again, Err(ReducerError::Dead)), "a dead reducer went on: {again:?}");
        let (name, keep) = match fault {
            Fault::Append(Keep::All) => ("append failed, all kept", Keep::All),
            Fault::Append(Keep::None) => ("append failed, none kept", Keep::None),
            Fault::Barrier(Keep::All) => ("barrier failed, all kept", Keep::All),
            Fault::Barrier(Keep::None) => ("barrier failed, none kept", Keep::None),
            Fault::Torn(_) => ("torn", Keep::None),
        };
        self.counts.add(name);
        self.crash(keep, Some(if keep == Keep::All { after } else { before }));
    }

    /// The process ends, and another one begins; the log then adds up to `expected`, if that is known.
    pub(crate) fn crash(&mut self, keep: Keep, expected: Option<[u8; 32]>) {
        self.said.clear();
        let old = self.reducer.take();
        let process = self.process;
        // Late voices, persons and other machines go on; the process and what it had begun do not.
        self.queue.retain(|of, happening| of == process + 1 || survives(happening));
        self.workers_die();
        // Another process may take over while the old one only sleeps.
        let sleeper = old.filter(|_| expected.is_none() && self.dice.chance(300));
        if sleeper.is_none() {
            self.disk.crash(keep);
        }
        if self.dice.chance(500) {
            let down = self.dice.millis(0, 600_000);
            self.clock.pass_until(self.clock.monotonic + down);
        }
        if self.weather.jump > 0 && !self.copies.is_restored && self.dice.chance(300) {
            self.clock.jump(&mut self.dice);
        }
        let may_restore = expected.is_none() && sleeper.is_none() && !self.is_calm;
        if may_restore && self.weather.backups && self.dice.chance(200) {
            self.restore_backup();
        }
        self.reopen(expected);
        if let Some(sleeper) = sleeper {
            self.wake_deposed(sleeper);
        }
    }

    /// A process that was replaced while it slept cannot write any more.
    fn wake_deposed(&mut self, mut deposed: Reducer) {
        self.counts.add("a deposed process woke up");
        deposed.begin(self.clock.now());
        // Something that nobody else says, so that it changes something.
        let limits = Limits { total: Some(12_345), ..Limits::default() };
        deposed.command(&Command::Limit(limits)).unwrap().unwrap();
        let error = deposed.commit(self.clock.wall).expect_err("EpochFenced: a deposed writer has written");
        assert!(matches!(error, ReducerError::Log(_)), "{error}");
    }

    /// A process opens the log, and everything that is due after that is arranged.
    pub(crate) fn reopen(&mut self, expected: Option<[u8; 32]>) {
        self.process += 1;
        let (log, state) = self.open_log(expected, self.acknowledged);
        self.clock.open(state.at());
        let opened = Reducer::open(log, state, "sim", self.clock.now(), self.clock.wall);
        self.reducer = Some(opened.unwrap_or_else(|error| panic!("{error}")));
        self.external = External::local().in_store(self.lake.clone());
        self.looks = Looks::default();
        self.destination.process_ended();
        self.trace(|| "a process opens the log".to_owned());
        if !self.is_calm && self.dice.chance(self.weather.crash.min(100)) {
            // It ends before its first frame.
            self.crash(Keep::None, None);
            return;
        }
        self.commit();
        self.workers_resume();
        let ids: Vec<CollectionId> = self.state().collections().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.ask_for_look(id));
        self.send_couriers();
    }

    /// A log that a backup has replaced knows nothing of what was acknowledged.
    pub(crate) fn acknowledge(&mut self, position: Position) {
        self.acknowledged = position;
    }

    /// `State::check` after every step, or after some in a large world.
    fn check(&self) {
        let is_small = self.state().len() <= Weather::SMALL;
        if is_small || self.steps.is_multiple_of(64) {
            self.state().check().unwrap_or_else(|violation| panic!("{violation}"));
        }
    }

    /// What was acknowledged is what the log says: the last word of each collection that was spoken of.
    fn check_said(&self, said: &[(Told, bool)]) {
        let mut spoken: BTreeSet<&Name> = BTreeSet::new();
        for (command, accepted) in said.iter().rev() {
            let Told::Caller(command) = command else { continue };
            let Some(name) = command.name().filter(|_| *accepted) else { continue };
            let decides = matches!(command, Command::Declare(_) | Command::Drop { .. });
            let is_last = decides && spoken.insert(name);
            let seen = self.witness.id_of(name).and_then(|id| self.witness.known.get(&id));
            match command {
                Command::Declare(declaration) if is_last => {
                    let seen = seen.expect("a declaration was acknowledged and is not in the log");
                    let same = |text: &str, now: &str| text == now;
                    let source = declaration.source.as_ref().is_none_or(|s| same(s.as_str(), seen.latest.source()));
                    let spec = declaration.spec.as_ref().is_none_or(|s| same(s.as_str(), seen.latest.spec()));
                    assert!(
                        source && spec,
                        "LatestNotLost: {declaration:?} was acknowledged, latest {:?}",
                        seen.latest.inputs()
                    );
                }
                Command::Drop { .. } if is_last => assert!(seen.is_none(), "a drop was acknowledged and forgotten"),
                _ => {}
            }
        }
    }

    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        if self.traced == 0 {
            return;
        }
        if self.trace.len() == self.traced {
            self.trace.pop_front();
        }
        let mut line = line();
        if line.len() > 600 {
            line.truncate((0..=600).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0));
        }
        self.trace.push_back(format!("{:>6} {:>12?} {line}", self.steps, self.clock.monotonic));
    }

    /// The last lines of the trace.
    pub(crate) fn traced(&self) -> impl Iterator<Item = &str> {
        self.trace.iter().map(String::as_str)
    }

    /// The content and trouble of a source that is a number.
    pub(crate) fn number(&self, source: &str) -> &Number {
        &self.numbers[source[1..].parse::<usize>().unwrap()]
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn is_files(kind: &Kind) -> bool {
        kind.as_str() == "files"
    }
}

/// What goes on when a process ends.
fn survives(happening: &Happening) -> bool {
    match happening {
        Happening::Person
        | Happening::World
        | Happening::Rewrite(_)
        | Happening::Grows(..)
        | Happening::Jump
        | Happening::Says(_)
        | Happening::LeaseOut(_)
        | Happening::Snapshot
        | Happening::Compact
        | Happening::Finishes(_)
        | Happening::Stops(_) => true,
        Happening::LookDue(_) | Happening::Looked { .. } | Happening::Served { .. } | Happening::Verifies(_) => false,
    }
}
