//! One point of a history: the real state of the core, and around it what sources hold and workers have in hand.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use lastword::codec::state::{decode_state, encode_state};
use lastword::core::vocabulary::{
    AbortReason, AttemptRef, CollectionId, Command, EngineCommand, Epoch, Event, Fingerprint, Generation, Input,
    Recorded, Rejection, Seq, Timestamp,
};
use lastword::core::{Collection, Events, State, decide};

pub(crate) use test_support::oracle::Broken;

use super::canon::canonical_hash;
use super::met::{Met, MetSet};
use super::oracle::{Known, Oracle};
use super::world::{COLLECTIONS, Heard, Said, name, origin};

#[derive(Clone)]
pub(crate) struct Point {
    pub(crate) world: usize,
    /// The one collection that there is, if there are not both.
    pub(crate) only: Option<usize>,
    /// How many more things may go wrong or be asked for.
    pub(crate) left: u8,
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) ends: [End; 2],
    /// Attempts whose workers may still say something.
    pub(crate) voices: Vec<Voice>,
    pub(crate) oracle: Oracle,
    pub(crate) broken: Option<Broken>,
    // What does not make two points different.
    /// What was met on the last step.
    pub(crate) just: MetSet,
    pub(crate) log: Log,
    /// What [`Point::verdict`] found: each invariant asks.
    pub(crate) verdict: OnceLock<Result<(), Broken>>,
}

/// What lies around one collection.
#[derive(Clone, Copy, Hash)]
pub(crate) struct End {
    /// What its sources hold.
    pub(crate) content: u8,
    /// A look that is on its way.
    pub(crate) look: Option<Look>,
    /// What was said and not refused; nothing while it is not declared.
    pub(crate) heard: Option<Heard>,
    /// The event that it was accepted with.
    pub(crate) heard_at: Seq,
}

#[derive(Clone, Copy, Hash)]
pub(crate) struct Look {
    pub(crate) of: CollectionId,
    pub(crate) began: Seq,
    pub(crate) version: u8,
}

/// An attempt, as its worker knows it.
#[derive(Clone, Copy, Hash)]
pub(crate) struct Voice {
    pub(crate) worker: usize,
    pub(crate) attempt: AttemptRef,
    pub(crate) fingerprint: Fingerprint,
    /// It has said what it had to say, and can only repeat itself.
    pub(crate) has_spoken: bool,
}

/// A part of all histories: one world, one collection or both, and how many things may go wrong or be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) world: usize,
    pub(crate) only: Option<usize>,
    pub(crate) interferences: u8,
}

impl Point {
    /// The beginning of a world in which `left` things may go wrong or be asked for.
    pub(crate) fn begin(Part { world, only, interferences: left }: Part) -> Point {
        let origin = origin(world);
        let heard = Some(Heard { said: Said::default(), version: None });
        let end = End { content: 1, look: None, heard, heard_at: Seq::ZERO };
        let mut oracle = Oracle::default();
        for recorded in origin.log.events() {
            oracle.see(&recorded, &origin.state).unwrap();
        }
        let mut point = Point {
            world,
            only,
            left,
            state: origin.state.clone(),
            now: origin.now,
            ends: [end; 2],
            voices: Vec::new(),
            oracle,
            broken: None,
            just: MetSet::default(),
            log: origin.log.clone(),
            verdict: OnceLock::new(),
        };
        if let Some(only) = only {
            point.ends[1 - only].heard = None;
            point.say(&Command::Drop { name: name(1 - only).clone() }).unwrap();
        }
        point
    }

    /// The collections that there are.
    pub(crate) fn collections(&self) -> impl Iterator<Item = usize> + use<> {
        let only = self.only;
        COLLECTIONS.into_iter().filter(move |index| only.is_none_or(|only| only == *index))
    }

    pub(crate) fn id(&self, collection: usize) -> Option<CollectionId> {
        self.state.id_of(name(collection))
    }

    pub(crate) fn collection(&self, collection: usize) -> Option<&Collection> {
        self.state.collection(self.id(collection)?)
    }

    pub(crate) fn known(&self, collection: usize) -> Option<&Known> {
        self.oracle.known.get(&self.id(collection)?)
    }

    pub(crate) fn is_open(&self, voice: &Voice) -> bool {
        self.oracle.open.contains_key(&voice.attempt.token)
    }

    pub(crate) fn break_on(&mut self, verdict: Result<(), Broken>) {
        self.broken = self.broken.take().or(verdict.err());
    }

    pub(crate) fn fail(&mut self, invariant: &'static str, found: impl fmt::Display) {
        self.break_on(Err(Broken { invariant, found: found.to_string().into() }));
    }

    /// What a reducer does with a command: decide, fold, and, which is the reason for all this, check.
    pub(crate) fn say<'a>(&mut self, command: impl Into<Input<'a>>) -> Result<Vec<Arc<Recorded>>, Rejection> {
        let input = command.into();
        let epoch = match input {
            Input::Engine(EngineCommand::Open { .. }) => Epoch(self.state.epoch().0 + 1),
            _ => self.state.epoch(),
        };
        let mut events = Events::new();
        decide(&self.state, input, self.now, &mut events)?;
        let mut said: Vec<Arc<Recorded>> = Vec::with_capacity(events.as_slice().len());
        for (seq, event) in events.drain() {
            let recorded = Arc::new(Recorded { seq, at: self.now, epoch, by: None, event });
            self.just.see(&recorded, &self.state);
            if starves(said.last().map(Arc::as_ref), &recorded, &self.state) {
                self.fail("NobodyStarves", "an attempt of a collection that was superseded for too long is superseded");
            }
            if let Err(illegal) = self.state.fold(&recorded) {
                self.fail("Legal", illegal);
                return Ok(said);
            }
            let verdict = self.oracle.see(&recorded, &self.state);
            self.break_on(verdict);
            self.log = self.log.with(Arc::clone(&recorded));
            said.push(recorded);
        }
        if let Err(violation) = self.state.check() {
            let found = format_args!("of collection {}, {}", violation.collection, violation.found).to_string();
            self.fail(violation.invariant, found);
        }
        let verdict = self.oracle.hold_against(&self.state);
        self.break_on(verdict);
        Ok(said)
    }

    /// A word was accepted: what is heard from now on, and since when.
    pub(crate) fn hear(&mut self, collection: usize, heard: Heard, events: &[Arc<Recorded>]) {
        self.ends[collection].heard = Some(heard);
        if let Some(first) = events.first() {
            self.ends[collection].heard_at = first.seq;
        }
    }

    /// What was said from outside is what the events tell of.
    pub(crate) fn compare_words(&mut self) {
        for collection in self.collections() {
            let told = self.known(collection).map(|known| Heard::of(known.latest.inputs()));
            if told != self.ends[collection].heard {
                let heard = self.ends[collection].heard;
                self.fail("LatestNotLost", format_args!("{heard:?} was said, and the log tells of {told:?}"));
            }
        }
    }

    /// The process ends, another one opens the log. What it finds there adds up to what the dead one knew; and should
    /// the dead one only have been asleep, it writes nothing any more.
    pub(crate) fn crash(&mut self) {
        self.just.meet(Met::Crash);
        match self.log.replay(origin(self.world)) {
            Ok(replayed) if replayed == self.state && replayed.check().is_ok() => self.state = replayed,
            Ok(_) => self.fail("SameFold", "replay leads elsewhere"),
            Err(illegal) => self.fail("SameFold", illegal),
        }
        let mut bytes = Vec::new();
        encode_state(&self.state, &mut bytes).unwrap();
        match decode_state(&bytes) {
            Ok(restored) if restored == self.state && restored.check().is_ok() => {}
            Ok(_) => self.fail("SameFold", "a snapshot leads elsewhere"),
            Err(error) => self.fail("SameFold", error),
        }
        let deposed = self.state.epoch();
        let _ = self.say(&EngineCommand::Open { software: "model".into() });
        let Some(collection) = self.id(0).or(self.id(1)) else { return };
        let event = Event::CollectionPaused { collection };
        let late = Recorded { seq: self.state.last().next(), at: self.now, epoch: deposed, by: None, event };
        if self.state.clone().fold(&late).is_ok() {
            self.fail("EpochFenced", "a writer that was deposed can append");
        }
    }

    pub(crate) fn canonical(&self) -> u64 {
        let Point { world, only, left, state, now, ends, voices, oracle, broken, just: _, log: _, verdict: _ } = self;
        canonical_hash(&(world, only, left, state, ends, voices, oracle, broken), *now)
    }
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.canonical());
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Point) -> bool {
        self.canonical() == other.canonical()
    }
}

/// Whether an observation aborts an attempt of a collection whose source never rests, though the task is not the first one
/// since the last commit.
fn starves(before: Option<&Recorded>, recorded: &Recorded, state: &State) -> bool {
    let Event::TaskAborted { collection, reason: AbortReason::Superseded, stopping: Some(_), .. } = recorded.event
    else {
        return false;
    };
    let is_observed = before.is_some_and(|before| matches!(before.event, Event::SourceObserved { .. }));
    let behind = state.collection(collection).and_then(|found| found.policy.max_lag.0.zip(found.unapplied_since));
    let is_late = behind.is_some_and(|(most, since)| state.at().since(since) > most);
    let is_another = state.collection(collection).is_some_and(|found| {
        let applied = found.applied.as_ref().map_or(Generation(0), |applied| applied.generation);
        found.status.live().is_some_and(|task| task.generation > applied.next())
    });
    is_observed && is_late && is_another
}

/// The log: points that have a beginning in common share it.
#[derive(Clone, Default)]
pub(crate) struct Log(Option<Arc<Entry>>);

struct Entry {
    recorded: Arc<Recorded>,
    before: Log,
}

impl Log {
    pub(crate) fn with(&self, recorded: Arc<Recorded>) -> Log {
        Log(Some(Arc::new(Entry { recorded, before: self.clone() })))
    }

    /// From the first on.
    pub(crate) fn events(&self) -> Vec<Arc<Recorded>> {
        self.events_after(Seq::ZERO)
    }

    pub(crate) fn events_after(&self, after: Seq) -> Vec<Arc<Recorded>> {
        let mut events = Vec::new();
        let mut log = self;
        while let Some(entry) = log.0.as_ref().filter(|entry| entry.recorded.seq > after) {
            events.push(Arc::clone(&entry.recorded));
            log = &entry.before;
        }
        events.reverse();
        events
    }

    fn replay(&self, origin: &super::world::Origin) -> Result<State, lastword::core::Illegal> {
        let mut state = origin.state.clone();
        self.events_after(state.last()).iter().try_for_each(|recorded| state.fold(recorded))?;
        Ok(state)
    }
}
