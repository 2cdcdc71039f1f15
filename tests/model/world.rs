//! The small world: two collections, what their sources may hold, what may be declared, and under which policies.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lastword::core::vocabulary::{
    AttemptTimeout, Coalesce, Command, Content, Declaration, Duties, EmptySource, EngineCommand, Epoch, Fingerprint,
    Grace, Input, Inputs, Kind, Limits, MaxLag, Name, ObjectHash, ObservationOutcome, OnChange, PathSetRef, Policy,
    Recorded, Resync, Retry, Source, SourceState, Spec, Timestamp, Version, WorkerName,
};
use lastword::core::{Events, State, decide};

use super::canon::{EPOCHS, SEQS, TIMES};
use super::point::Log;

pub(crate) const COLLECTIONS: [usize; 2] = [0, 1];
pub(crate) const WORKERS: [usize; 2] = [0, 1];
/// The worker that is a process of its own: it has a lease, and lives on when the reducer crashes.
pub(crate) const LEASED: usize = 1;
/// What a source may hold: no files, A, or B.
pub(crate) const CONTENTS: [u8; 3] = [EMPTY, 1, 2];
pub(crate) const EMPTY: u8 = 0;
pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// How the two collections are treated. Every policy that changes what is decided is in one of the worlds.
pub(crate) struct World {
    pub(crate) title: &'static str,
    on_change: [OnChange; 2],
    coalesce: [Coalesce; 2],
    empty_source: [EmptySource; 2],
    /// Whether changes that are observed let a running attempt finish, because the source never rests.
    restless: [bool; 2],
    /// Whether a task that has used up its attempts is retried all the same.
    slow: [bool; 2],
    /// How many attempts may hold a worker at the same time.
    total: Option<u32>,
}

const SETTLE: Coalesce = Coalesce { quiet: Duration::from_secs(1), max_delay: Duration::from_secs(2) };

pub(crate) const WORLDS: [World; 3] = [
    World {
        title: "a change supersedes",
        on_change: [OnChange::Supersede; 2],
        coalesce: [Coalesce::NONE, SETTLE],
        empty_source: [EmptySource::Hold, EmptySource::Apply],
        restless: [false, false],
        slow: [false, true],
        total: None,
    },
    World {
        title: "a change waits for the end of the task, and one attempt at a time",
        on_change: [OnChange::FinishThenLatest; 2],
        coalesce: [Coalesce::NONE, SETTLE],
        empty_source: [EmptySource::Hold, EmptySource::Hold],
        restless: [false, false],
        slow: [true, false],
        total: Some(1),
    },
    World {
        title: "declarations are refused while a task is live, or a source never rests",
        on_change: [OnChange::Reject, OnChange::Supersede],
        coalesce: [SETTLE, Coalesce::NONE],
        empty_source: [EmptySource::Hold, EmptySource::Hold],
        restless: [false, true],
        slow: [false, true],
        total: None,
    },
];

impl World {
    pub(crate) fn holds(&self, collection: usize) -> bool {
        self.empty_source[collection] == EmptySource::Hold
    }

    pub(crate) fn total(&self) -> Option<u32> {
        self.total
    }

    fn policy(&self, collection: usize) -> Policy {
        // The least there is: jitter of up to a microsecond is less than a step of time.
        let micro = Duration::from_micros(1);
        Policy {
            on_change: self.on_change[collection],
            grace: Grace(Duration::from_secs(2)),
            coalesce: self.coalesce[collection],
            empty_source: self.empty_source[collection],
            retry: Retry {
                max_attempts: 2,
                base: micro,
                cap: micro,
                slow: self.slow[collection].then_some(MILLI),
                max_lost: 2,
                max_lost_alone: None,
            },
            attempt_timeout: AttemptTimeout((collection == 0).then_some(Duration::from_secs(10))),
            resync: Resync(None),
            // Without a span: nothing is measured from a time that is long gone.
            max_lag: MaxLag(self.restless[collection].then_some(Duration::ZERO)),
            ..Policy::default()
        }
    }

    pub(crate) fn declare(&self, collection: usize, said: Said) -> Command {
        let declaration =
            Declaration::new(name(collection).clone()).kind(kind().clone()).policy(self.policy(collection));
        Command::Declare(declaration.source(said.source()).spec(said.spec()).into())
    }
}

/// Where every history of a world begins: both collections were declared, and nothing was seen of their sources.
pub(crate) struct Origin {
    pub(crate) state: State,
    pub(crate) log: Log,
    pub(crate) now: Timestamp,
}

pub(crate) fn origin(world: usize) -> &'static Origin {
    static ORIGINS: OnceLock<Vec<Origin>> = OnceLock::new();
    &ORIGINS.get_or_init(|| WORLDS.iter().map(Origin::of).collect())[world]
}

impl Origin {
    fn of(world: &World) -> Origin {
        let now = Timestamp(TIMES.start + (1 << 40));
        let mut origin = Origin { state: State::new(), log: Log::default(), now };
        // So that sequence numbers have their own range.
        for epoch in 1..SEQS.start {
            origin.say(&EngineCommand::Open { software: "model".into() }, Epoch(EPOCHS.start + epoch));
        }
        let epoch = origin.state.epoch();
        let limits = Limits { total: world.total, kinds: BTreeMap::new(), prefixes: BTreeMap::new() };
        origin.say(&Command::Limit(limits), epoch);
        for collection in COLLECTIONS {
            origin.say(&world.declare(collection, Said::default()), epoch);
        }
        origin
    }

    fn say<'a>(&mut self, command: impl Into<Input<'a>>, epoch: Epoch) {
        let mut events = Events::new();
        decide(&self.state, command, self.now, &mut events).unwrap();
        for (seq, event) in events.drain() {
            let recorded = Arc::new(Recorded { seq, at: self.now, epoch, by: None, event });
            self.state.fold(&recorded).unwrap();
            self.log = self.log.with(recorded);
        }
    }
}

/// What a declaration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Said {
    pub(crate) source: u8,
    pub(crate) spec: u8,
}

const SOURCES: [&str; 2] = ["s1", "s2"];
const SPECS: [&str; 2] = ["{}", r#"{"a":1}"#];

impl Said {
    pub(crate) fn source(self) -> Source {
        Source::new(SOURCES[usize::from(self.source)]).unwrap()
    }

    pub(crate) fn spec(self) -> Spec {
        Spec::parse(SPECS[usize::from(self.spec)]).unwrap()
    }

    pub(crate) fn source_of(source: &Source) -> u8 {
        u8::from(source.as_str() == SOURCES[1])
    }

    pub(crate) fn spec_of(spec: &Spec) -> u8 {
        u8::from(spec.as_str() == SPECS[1])
    }
}

/// A word: what was said, and what the source was seen to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Heard {
    pub(crate) said: Said,
    /// The byte that is the version.
    pub(crate) version: Option<u8>,
}

/// No two sources ever hold the same: what was seen of one can never pass for what was seen of another.
pub(crate) fn version(source: u8, content: u8) -> u8 {
    source * 3 + content
}

const VERSIONS: u8 = 6;

impl Heard {
    pub(crate) fn of(inputs: &Inputs) -> Heard {
        let said = Said { source: Said::source_of(&inputs.source), spec: Said::spec_of(&inputs.spec) };
        let version = match &inputs.content {
            Content::Observed(observed) => Some(observed.version.as_bytes()[0]),
            Content::Unknown | Content::Unversioned => None,
        };
        Heard { said, version }
    }

    pub(crate) fn fingerprint(self) -> Option<Fingerprint> {
        static ALL: OnceLock<Vec<Fingerprint>> = OnceLock::new();
        let all = ALL.get_or_init(|| {
            let all =
                (0..2).flat_map(|source| (0..2).flat_map(move |spec| (0..VERSIONS).map(move |v| (source, spec, v))));
            all.filter_map(|(source, spec, version)| fingerprint(Said { source, spec }, version)).collect()
        });
        let index = (self.said.source * 2 + self.said.spec) * VERSIONS + self.version?;
        Some(all[usize::from(index)])
    }
}

fn fingerprint(said: Said, version: u8) -> Option<Fingerprint> {
    Inputs { source: said.source(), spec: said.spec(), content: Content::Observed(observed(version).into()) }
        .fingerprint()
}

fn observed(version: u8) -> SourceState {
    let files = u64::from(version % 3);
    let set = PathSetRef { root: ObjectHash([version; 32]), files, bytes: files };
    SourceState { version: Version::new(&[version]).unwrap(), set: Some(set) }
}

pub(crate) fn seen(version: u8) -> ObservationOutcome {
    ObservationOutcome::Content { state: observed(version), delta: None, missing: None }
}

pub(crate) fn name(collection: usize) -> &'static Name {
    static NAMES: OnceLock<[Name; 2]> = OnceLock::new();
    &NAMES.get_or_init(|| ["a", "b"].map(|text| Name::new(text).unwrap()))[collection]
}

pub(crate) fn index_of(found: &Name) -> usize {
    usize::from(found == name(1))
}

pub(crate) fn kind() -> &'static Kind {
    static KIND: OnceLock<Kind> = OnceLock::new();
    KIND.get_or_init(|| Kind::new("k").unwrap())
}

pub(crate) fn worker(worker: usize) -> WorkerName {
    WorkerName::new(["w1", "w2"][worker]).unwrap()
}

pub(crate) fn lease(worker: usize) -> Option<Duration> {
    (worker == LEASED).then_some(Duration::from_secs(30))
}

/// What is built of "a" is published.
pub(crate) fn duties(collection: usize) -> Duties {
    Duties { publish: collection == 0, discard: false }
}
