//! A worker with a destination, and reactions to each publication, discard and verification that a test chooses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lastword::core::OutboxView;
use lastword::core::vocabulary::*;
use lastword::engine::Builder;
use lastword::testing::{Gate, Sources};
use lastword::worker::{CommitView, Context, DeliveryError, DiscardRequest, Failure, Observer, VerifyOutcome, Worker};
use tempfile::TempDir;

use crate::support::*;
use test_support::file_destination::{FileDestination, parts};

/// Both duties.
pub const BOTH: Duties = Duties { publish: true, discard: true };

/// Builds two outputs, `a` and `b`, and does in between what the spec says: `do` is `wait` for the gate that it names,
/// `deaf` (waits and does not listen), or `fail`. With `keep` the result has the `a` of the one before instead, with
/// `take` the output that it names; with `write` the attempt makes live by itself what it has, as no attempt should.
#[derive(Clone)]
pub struct Press {
    pub destination: FileDestination,
    pub sources: Sources,
    duties: Duties,
    /// Which process this one is in, counted by openings.
    life: u64,
    desk: Arc<Desk>,
    _home: Arc<TempDir>,
}

#[derive(Default)]
struct Desk {
    gates: Mutex<BTreeMap<String, Gate>>,
    reactions: Mutex<BTreeMap<(Act, String), VecDeque<Reaction>>>,
    calls: Mutex<Vec<Call>>,
    served: Mutex<usize>,
    refused: Mutex<Vec<String>>,
    life: Mutex<u64>,
}

/// What a courier was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    Publish,
    Discard,
    Verify,
}

/// What happens instead of the thing itself, or before it.
#[derive(Clone)]
pub enum Reaction {
    /// It fails.
    Refuse(&'static str),
    Panic(&'static str),
    /// It waits for a gate first.
    Wait(Gate),
    /// It is done, and its answer is lost.
    DoAndRefuse(&'static str),
}

/// One call, as it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub act: Act,
    pub name: String,
    /// Of the commit, or of the obligation.
    pub seq: Seq,
}

impl Press {
    pub fn new() -> Press {
        Press::with(BOTH)
    }

    pub fn with(duties: Duties) -> Press {
        let home = tempfile::tempdir().unwrap();
        let (destination, sources) = (FileDestination::at(home.path()), Sources::new());
        Press { destination, sources, duties, life: 0, desk: Arc::default(), _home: Arc::new(home) }
    }

    /// The same press, as an upgrade makes it.
    pub fn with_duties(self, duties: Duties) -> Press {
        Press { duties, ..self }
    }

    /// The same press in the next process: attempts of the one before make no more outputs.
    pub fn reborn(&self) -> Press {
        let mut life = lock(&self.desk.life);
        *life += 1;
        Press { life: *life, ..self.clone() }
    }

    /// Why attempts that wrote by themselves were refused.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.desk.refused).clone()
    }

    /// The gate that specs and reactions name.
    pub fn gate(&self, name: &str) -> Gate {
        lock(&self.desk.gates).entry(name.to_owned()).or_default().clone()
    }

    /// The next call of this kind for this collection does so; what nobody says anything of succeeds.
    pub fn next(&self, act: Act, name: &str, reaction: Reaction) {
        lock(&self.desk.reactions).entry((act, name.to_owned())).or_default().push_back(reaction);
    }

    pub fn calls(&self) -> Vec<Call> {
        lock(&self.desk.calls).clone()
    }

    pub fn count(&self, act: Act, name: &str) -> usize {
        self.calls().iter().filter(|call| call.act == act && call.name == name).count()
    }

    #[track_caller]
    pub fn until_calls(&self, act: Act, name: &str, count: usize) {
        until(&format!("{count} times {act:?} of {name}"), || self.count(act, name) >= count);
    }

    /// Waits until so many calls, in this life and earlier ones, have come to their end.
    #[track_caller]
    pub fn until_served(&self, count: usize) {
        until(&format!("{count} calls served"), || *lock(&self.desk.served) >= count);
    }

    fn attempt(&self, context: &Context) -> Result<Built, Failure> {
        let script = context.spec().to_value();
        let text = |key: &str| script.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let kept = script.get("keep").and_then(|_| context.applied()?.result.output.as_deref());
        let kept = kept.and_then(|output| parts(output).into_iter().next());
        let taken = script.get("take").map(|_| text("take"));
        let first = kept.or(taken).map_or_else(|| self.make(context, "a"), Ok)?;
        match text("do").as_str() {
            "wait" => self.gate(&text("gate")).pass(context)?,
            "deaf" => self.gate(&text("gate")).pass_deaf(),
            "fail" => return Err(Failure::Transient("as it was told".to_owned())),
            _ => {}
        }
        let second = self.make(context, "b")?;
        if script.get("write").is_some()
            && let Err(refused) =
                self.destination.write(context.name().as_str(), context.collection(), context.token(), &second)
        {
            lock(&self.desk.refused).push(refused.to_string());
        }
        Ok(Built { output: Some(format!("{first} {second}").into()), ..Built::default() })
    }

    fn make(&self, context: &Context, part: &str) -> Result<String, Failure> {
        let life = lock(&self.desk.life);
        if *life != self.life {
            return Err(Failure::Permanent("this process is dead".to_owned()));
        }
        Ok(self.destination.make(context.token(), part)?)
    }

    fn react<T>(
        &self,
        act: Act,
        name: &Name,
        seq: Seq,
        serve: impl FnOnce() -> Result<T, DeliveryError>,
    ) -> Result<T, DeliveryError> {
        let reaction = lock(&self.desk.reactions).get_mut(&(act, name.to_string())).and_then(VecDeque::pop_front);
        lock(&self.desk.calls).push(Call { act, name: name.to_string(), seq });
        let _served = Served(&self.desk);
        match reaction {
            None => serve(),
            Some(Reaction::Refuse(why)) => Err(DeliveryError(why.to_owned())),
            Some(Reaction::Panic(why)) => panic!("{why}"),
            Some(Reaction::Wait(gate)) => {
                gate.pass_deaf();
                serve()
            }
            Some(Reaction::DoAndRefuse(why)) => serve().and(Err(DeliveryError(why.to_owned()))),
        }
    }
}

impl Worker for Press {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        self.attempt(context)
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(&self.sources)
    }

    fn duties(&self) -> Duties {
        self.duties
    }

    fn publish(&self, publication: &CommitView<'_>) -> Result<(), DeliveryError> {
        let serve = || self.destination.publish(publication);
        self.react(Act::Publish, publication.name, publication.commit, serve)
    }

    fn discard(&self, discarding: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        let serve = || self.destination.discard(discarding);
        self.react(Act::Discard, discarding.name, discarding.obligation, serve)
    }

    fn verifies(&self) -> bool {
        true
    }

    fn verify(&self, verification: &CommitView<'_>) -> Result<VerifyOutcome, DeliveryError> {
        let serve = || self.destination.verify(verification);
        self.react(Act::Verify, verification.name, verification.commit, serve)
    }
}

/// Counts a call when it ends, in whatever way.
struct Served<'d>(&'d Desk);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        *lock(&self.0.served) += 1;
    }
}

/// A lab with a press.
pub fn lab_with(press: &Press, settings: impl Fn(Builder) -> Builder + Send + 'static) -> Lab {
    let press = press.clone();
    Lab::with(move |builder| settings(builder.kind(kind("press"), press.reborn())))
}

pub fn lab(press: &Press) -> Lab {
    lab_with(press, |builder| builder)
}

/// An unversioned collection of the press, whose grace is a second.
pub fn printed(of: &str, json: &str) -> Declaration {
    let mut declaration = declaration(of, json);
    declaration.kind = Some(kind("press"));
    declaration.policy =
        Some(Policy { grace: Grace(std::time::Duration::from_secs(1)), ..declaration.policy.unwrap_or_default() });
    declaration
}

impl Lab {
    #[track_caller]
    pub fn print(&self, of: &str, json: &str) -> Receipt {
        self.harness.declare(printed(of, json))
    }

    /// Declares, and waits until that is committed.
    #[track_caller]
    pub fn commit(&self, of: &str, json: &str) {
        let receipt = self.print(of, json);
        self.applied(of, receipt.generation.0);
    }

    #[track_caller]
    pub fn owes(&self, of: &str) -> OutboxView {
        self.view(of).outbox.expect("it has a destination")
    }

    /// Waits until a collection owes nothing.
    #[track_caller]
    pub fn until_met(&self, of: &str) {
        until(&format!("{of} owing nothing"), || {
            let owes = self.owes(of);
            owes.unpublished + owes.undiscarded == 0
        });
    }

    /// Lets the time pass until the next try of what could not be delivered.
    #[track_caller]
    pub fn pass_backoff(&self, of: &str) {
        let failure = self.owes(of).failure.expect("it has failed");
        self.advance(failure.retry_at.since(self.stats().at));
    }

    /// Drives the clock until no destination is owed anything.
    #[track_caller]
    pub fn settle_debts(&self) {
        until("all debts settled", || {
            // No backoff is longer.
            self.advance(Retry::default().cap);
            let stats = self.stats();
            stats.undelivered + stats.attempts + stats.deliveries == 0
        });
    }

    /// The destination holds what the last `published` event says.
    #[track_caller]
    pub fn is_as_published(&self, press: &Press, of: &str) {
        let said = self.of(of, |event| match event {
            Event::Published { token, .. } => Some(*token),
            _ => None,
        });
        assert_eq!(press.destination.live(of).map(|live| live.token), said.last().copied());
    }

    /// The commits that were published, in the order of their events.
    pub fn published(&self, of: &str) -> Vec<Seq> {
        self.of(of, |event| match event {
            Event::Published { commit, .. } => Some(*commit),
            _ => None,
        })
    }

    /// The commits, in order.
    pub fn commits(&self, of: &str) -> Vec<Seq> {
        let names = self.names();
        let is_one = |recorded: &&Recorded| matches!(&recorded.event, Event::TaskCompleted { collection, .. } if names[collection] == of);
        self.events().iter().filter(is_one).map(|recorded| recorded.seq).collect()
    }

    /// What some events of the collections of this name say.
    pub fn of<T>(&self, of: &str, say: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        let names = self.names();
        let events = self.events();
        let its = events.iter().filter(|recorded| {
            recorded.event.collection(recorded.seq).is_some_and(|id| names.get(&id).is_some_and(|name| name == of))
        });
        its.filter_map(|recorded| say(&recorded.event)).collect()
    }

    fn names(&self) -> BTreeMap<CollectionId, String> {
        let declared = |recorded: &Recorded| match &recorded.event {
            Event::CollectionDeclared { name, .. } => Some((CollectionId(recorded.seq), name.to_string())),
            _ => None,
        };
        self.events().iter().filter_map(declared).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
