//! The model: the points as states and the acts as transitions, with what a run remembers of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lastword::describe::Describer;
use stateright::{Checker, Model, Path, Property};

use super::act::Act;
use super::met::{Met, MetSet};
use super::point::{Broken, Part, Point};
use super::world::{WORLDS, origin};

pub(crate) struct Small {
    part: Part,
    properties: fn() -> Vec<Property<Small>>,
    /// What has happened on a step so far. Not every step leads to a point that is looked at: of two that lead to the
    /// same one only the first does.
    happened: AtomicU64,
    /// What was met at a point so far: the first time is the example.
    met: AtomicU64,
    /// The first thing that was found broken; others follow from it.
    broken: Mutex<Option<Broken>>,
    /// Where each point goes if nobody interferes: a world that never comes to rest goes in a circle.
    goes: Mutex<HashMap<u64, u64>>,
}

impl Small {
    pub(crate) fn new(part: Part, properties: fn() -> Vec<Property<Small>>) -> Small {
        let (happened, met) = (AtomicU64::new(0), AtomicU64::new(0));
        Small { part, properties, happened, met, broken: Mutex::new(None), goes: Mutex::default() }
    }

    /// One that has been through this.
    pub(crate) fn that_goes(ways: &[(u64, u64)]) -> Small {
        let small = Small::new(Part { world: 0, only: None, interferences: 0 }, Vec::new);
        small.goes.lock().unwrap().extend(ways.iter().copied());
        small
    }

    pub(crate) fn holds(&self, invariant: &'static str, point: &Point) -> bool {
        let Err(found) = point.verdict() else { return true };
        if found.invariant != invariant {
            return true;
        }
        // Only the first is a discovery, which is the shortest way there.
        let mut broken = self.broken.lock().unwrap();
        let is_first = broken.is_none();
        broken.get_or_insert_with(|| found.clone());
        !is_first
    }

    /// Whether it has happened by now, on the way to this point or elsewhere.
    pub(crate) fn meets(&self, met: Met) -> bool {
        self.meets_if(met, MetSet(self.happened.load(Ordering::Relaxed)).has(met))
    }

    pub(crate) fn meets_if(&self, met: Met, is_met: bool) -> bool {
        let bit = 1 << met as u8;
        is_met && self.met.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Never false by itself: what is remembered is looked at after the run.
    pub(crate) fn remembers_where_it_goes(&self, point: &Point) -> bool {
        let mut progress = Vec::new();
        point.progress(&mut progress);
        let next = progress.first().and_then(|act| self.next_state(point, *act));
        if let Some(next) = next.filter(|next| next.broken.is_none()) {
            self.goes.lock().unwrap().insert(point.canonical(), next.canonical());
        }
        true
    }

    /// Whether the world comes to rest from everywhere if nobody interferes.
    pub(crate) fn comes_to_rest(&self) -> bool {
        let goes = self.goes.lock().unwrap();
        let mut walks = HashMap::new();
        for (walk, start) in goes.keys().enumerate() {
            let mut here = start;
            // What an earlier walk came by leads to rest.
            while let (Some(next), Entry::Vacant(new)) = (goes.get(here), walks.entry(here)) {
                new.insert(walk);
                here = next;
            }
            if walks.get(here) == Some(&walk) && goes.contains_key(here) {
                return false;
            }
        }
        true
    }

    /// Says what was found and how it came to that: every act, and the events that followed.
    pub(crate) fn tell(&self, property: &str, path: Path<Point, Act>) -> String {
        let mut text = String::new();
        let (points, acts): (Vec<Point>, Vec<Option<Act>>) = path.into_vec().into_iter().unzip();
        let world = points[0].world;
        let _ = writeln!(text, "{property}, in the world in which {}:", WORLDS[world].title);
        let mut describer = Describer::new();
        for recorded in origin(world).log.events() {
            let _ = describer.describe(&recorded);
        }
        for (number, (point, act)) in points.iter().skip(1).zip(acts.iter().flatten()).enumerate() {
            let _ = writeln!(text, "{:>3}. {act:?}", number + 1);
            for recorded in point.log.events_after(points[number].state.last()) {
                let _ = writeln!(text, "       {}", describer.describe(&recorded));
            }
        }
        if let Some(Err(broken)) = points.last().map(Point::verdict) {
            let _ = writeln!(text, "     {broken}");
        }
        text
    }
}

impl Model for Small {
    type State = Point;
    type Action = Act;

    fn init_states(&self) -> Vec<Point> {
        vec![Point::begin(self.part)]
    }

    fn actions(&self, point: &Point, acts: &mut Vec<Act>) {
        point.acts(acts);
    }

    fn next_state(&self, point: &Point, act: Act) -> Option<Point> {
        let mut next = point.clone();
        let acted = catch_unwind(AssertUnwindSafe(|| next.act(act)));
        let acted = acted.unwrap_or_else(|_| {
            next.broken = Some(Broken { invariant: "NoPanic", found: "it panicked, see above".into() });
            true
        });
        if acted {
            self.happened.fetch_or(next.just.0, Ordering::Relaxed);
        }
        acted.then_some(next)
    }

    fn properties(&self) -> Vec<Property<Small>> {
        (self.properties)()
    }
}

/// The counterexample of an invariant, if there is one.
pub(crate) fn counterexample(checker: &impl Checker<Small>) -> Option<String> {
    let properties = checker.model().properties();
    let failed = properties
        .iter()
        .find(|property| property.expectation.discovery_is_failure() && checker.discovery(property.name).is_some())?;
    Some(checker.model().tell(failed.name, checker.discovery(failed.name)?))
}
