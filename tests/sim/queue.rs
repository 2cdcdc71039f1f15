//! What is going to happen, in the order of the monotonic clock and, at one moment, in the order it was decided.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::core::vocabulary::{
    AttemptRef, CollectionId, Command, DeliveryRef, EngineCommand, Input, ObservationOutcome, Seq, Token,
};

/// Something that happens at a moment of its own.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A person asks for something.
    Person,
    /// A source changes.
    World,
    /// The file that was written last in this directory is written again, perhaps within the clock's granularity.
    Rewrite(String),
    /// A file comes to this directory, and another one a second later, so many times more.
    Grows(String, u32),
    /// The wall clock jumps.
    Jump,
    /// A look at the source of a collection is due.
    LookDue(CollectionId),
    /// A look comes back; without a sight it looks only now.
    Looked { id: CollectionId, began: Seq, seen: Option<(ObservationOutcome, Option<Duration>)> },
    /// The worker of an attempt is through.
    Finishes(Token),
    /// The worker of an attempt has noticed that it was told to stop.
    Stops(Token),
    /// Somebody says a thing (again), whether it still matters or not.
    Says(Box<Told>),
    /// The lease of an attempt runs out.
    LeaseOut(AttemptRef),
    /// A courier comes back.
    Served { delivered: DeliveryRef, fails: bool },
    /// A destination is asked whether a commit is still there.
    Verifies(CollectionId),
    /// A second reader takes a snapshot.
    Snapshot,
    /// A prefix of the log is to go.
    Compact,
}

/// A command of either kind, to be kept.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Caller(Command),
    Engine(EngineCommand),
}

impl Told {
    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Told::Caller(command) => command.into(),
            Told::Engine(command) => command.into(),
        }
    }
}

impl From<Command> for Told {
    fn from(command: Command) -> Told {
        Told::Caller(command)
    }
}

impl From<EngineCommand> for Told {
    fn from(command: EngineCommand) -> Told {
        Told::Engine(command)
    }
}

/// What will happen.
#[derive(Default)]
pub(crate) struct Queue {
    coming: BTreeMap<(Duration, u64), (u32, Happening)>,
    tie: u64,
    /// How many of them are persons and changes of the world.
    storm: usize,
}

fn is_storm(happening: &Happening) -> bool {
    matches!(happening, Happening::Person | Happening::World | Happening::Jump)
}

impl Queue {
    /// Something will happen at `at`, done by the process of this number.
    pub(crate) fn put(&mut self, at: Duration, process: u32, happening: Happening) {
        self.tie += 1;
        self.storm += usize::from(is_storm(&happening));
        self.coming.insert((at, self.tie), (process, happening));
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.coming.keys().next().map(|(at, _)| *at)
    }

    /// The first thing that is due by `now`, and whose process it is of.
    pub(crate) fn take(&mut self, now: Duration) -> Option<(u32, Happening)> {
        let (at, _) = *self.coming.keys().next()?;
        if at > now {
            return None;
        }
        let (_, (process, happening)) = self.coming.pop_first()?;
        self.storm -= usize::from(is_storm(&happening));
        Some((process, happening))
    }

    /// Whether persons and the world are still busy.
    pub(crate) fn storms(&self) -> bool {
        self.storm > 0
    }

    /// Lets go of what is not `wanted`.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(u32, &Happening) -> bool) {
        self.coming.retain(|_, (process, happening)| wanted(*process, happening));
    }

    pub(crate) fn len(&self) -> usize {
        self.coming.len()
    }
}
