//! The end of a simulation: nothing goes wrong any more, everything comes to rest, and then it is held against what the
//! sources hold.

use std::time::Duration;

use lastword::core::vocabulary::{
    AttemptTimeout, Coalesce, CollectionId, Command, Content, Declaration, Limits, MaxLag, Name, OnChange, ParkCause,
    Policy, Resync,
};
use lastword::core::{Condition, Parking};
use lastword::log::Keep;
use lastword::replay;
use test_support::oracle::Known;

use super::queue::{Happening, Told};
use super::sim::Sim;
use super::weather::Weather;
use super::witness::holds;

impl Sim {
    /// Storm, calm, and every check at the end.
    pub(crate) fn run(&mut self) {
        while self.queue.storms() && self.step() {}
        self.become_calm();
        while self.step() {}
        self.assert_rest();
        self.wake_everything();
        self.assert_fresh();
        self.restless();
        let before = self.state().digest();
        self.crash(Keep::None, Some(before));
        while self.step() {}
        self.assert_fresh();
        // What zombies have made is only known to be all once their process is gone.
        self.destination.assert_tidy(&self.live_segments());
        self.assert_replays();
        let verified = replay::verify(self.disk.reader(), Some(self.objects()));
        assert_eq!(verified.unwrap_or_else(|error| panic!("{error}")).digest, self.state().digest());
    }

    /// No more faults; every source can be read, every worker works, and what would come due for ever does not.
    fn become_calm(&mut self) {
        self.trace(|| "calm".to_owned());
        self.is_calm = true;
        self.weather.twice = 0;
        self.queue.retain(|_, happening| match happening {
            // Persons have said everything; workers, looks and couriers may still be late.
            Happening::Says(command) => matches!(**command, Told::Engine(_)),
            happening => !matches!(happening, Happening::Snapshot | Happening::Compact | Happening::Rewrite(_)),
        });
        self.numbers.iter_mut().for_each(|number| number.trouble = None);
        for n in 0..self.weather.sources {
            self.lake.heal(&format!("/lake/{n}"), self.clock.wall, self.clock.stretch, &mut self.dice);
        }
        self.destination.shelf.trouble(self.dice.clone(), 0);
        self.workers_calm();
        let collections = self.state().collections();
        let policies: Vec<(Name, Policy)> = collections.map(|(_, c)| (c.name.clone(), (*c.policy).clone())).collect();
        for (name, policy) in policies {
            let policy = Policy { resync: Resync(None), attempt_timeout: AttemptTimeout(None), ..policy };
            assert!(self.say(Command::Declare(Box::new(Declaration::new(name).policy(policy)))));
        }
        self.say(Command::Limit(Limits::default()));
        self.look_at_everything();
        self.commit_alone();
    }

    fn look_at_everything(&mut self) {
        let ids: Vec<CollectionId> = self.state().collections().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.ask_for_look(id));
    }

    /// NothingWaitsSilently and LatestNotLost: whatever does not wait for a person is applied.
    fn assert_rest(&self) {
        for (id, seen) in &self.witness.known {
            let view = self.view(*id);
            let what = || format!("{} ({id}) rests as {view:#?}\nlast word {:?}", seen.name, seen.latest.inputs());
            match view.condition.name() {
                _ if view.held().is_some() => assert!(!seen.is_fresh(), "{}", what()),
                "fresh" => assert!(seen.is_fresh(), "LatestNotLost: {}", what()),
                "parked" => assert!(seen.parked, "NothingWaitsSilently: {}", what()),
                "paused" => assert!(seen.paused, "NothingWaitsSilently: {}", what()),
                _ => panic!("NothingWaitsSilently: {}", what()),
            }
            self.assert_last_word(*id);
        }
        assert_eq!(self.state().all_draining().count(), 0, "an attempt drains for ever");
        assert_eq!(self.state().running().count(), 0, "an attempt runs for ever");
        self.assert_replays();
    }

    /// The last word is what is declared and what the source holds now, whether it is applied or not.
    fn assert_last_word(&self, id: CollectionId) {
        let seen = &self.witness.known[&id];
        let collection = self.collection(id).unwrap();
        assert_eq!(&*collection.latest, seen.latest.inputs(), "LatestNotLost: {}", seen.name);
        if let (Content::Observed(observed), false) = (seen.latest.content(), Sim::is_files(&seen.kind)) {
            let now = [self.number(seen.latest.source()).content];
            assert_eq!(observed.version.as_bytes(), now, "LatestNotLost: {} was not looked at", seen.name);
        }
        assert_ne!(*seen.latest.content(), Content::Unknown, "LatestNotLost: {} was never looked at", seen.name);
    }

    /// A directory that gets a file every second for two minutes: under whichever policy, what is built from it is committed
    /// again and again. Attempts take up to three seconds, and a collection may be behind for five.
    fn restless(&mut self) {
        const SECONDS: u32 = 120;
        // It makes many events, and one world in four is enough.
        if !self.seed.is_multiple_of(4) {
            return;
        }
        let files = |seen: &Known| Sim::is_files(&seen.kind);
        let Some((id, source, name)) = self
            .witness
            .known
            .iter()
            .find(|(_, seen)| files(seen))
            .map(|(id, seen)| (*id, seen.latest.source().to_owned(), seen.name.clone()))
        else {
            return;
        };
        // The others have the workers for themselves at another time.
        let others: Vec<Name> =
            self.witness.known.values().filter(|seen| seen.name != name).map(|seen| seen.name.clone()).collect();
        for other in &others {
            assert!(self.say(Command::Pause { name: other.clone() }));
        }
        let on_change = self.dice.pick(&[OnChange::Supersede, OnChange::Supersede, OnChange::FinishThenLatest]);
        let policy = Policy {
            on_change,
            coalesce: Coalesce::NONE,
            max_lag: MaxLag(Some(Duration::from_secs(5))),
            attempt_timeout: AttemptTimeout(None),
            ..Policy::default()
        };
        assert!(self.say(Command::Declare(Box::new(Declaration::new(name.clone()).policy(policy)))));
        self.after(Duration::ZERO, Happening::Grows(source, SECONDS));
        self.commit_alone();
        let before = self.witness.met.get("task_completed").copied().unwrap_or(0);
        while self.step() {}
        let commits = self.witness.met.get("task_completed").copied().unwrap_or(0) - before;
        assert!(commits > 8, "{name} ({id}) under {on_change:?} was committed {commits} times in {SECONDS} s");
        self.counts.add("a source that never rests");
        for other in others {
            assert!(self.say(Command::Resume { name: other }));
        }
        self.commit_alone();
        while self.step() {}
        self.assert_fresh();
    }

    /// A file comes, and the next one in a second.
    pub(crate) fn grow(&mut self, directory: &str, more: u32) {
        self.lake.grow(directory, more, self.clock.wall, self.clock.stretch, &mut self.dice);
        self.hint(directory);
        if let Some(more) = more.checked_sub(1) {
            self.after(Duration::from_secs(1), Happening::Grows(directory.to_owned(), more));
        }
    }

    /// Whatever waits for a person has one.
    fn wake_everything(&mut self) {
        for _ in 0..3 {
            let ids: Vec<CollectionId> = self.state().collections().map(|(id, _)| id).collect();
            for id in ids {
                let view = self.view(id);
                let name = view.name.clone();
                if view.paused {
                    assert!(self.say(Command::Resume { name: name.clone() }));
                }
                if let Some((_, fingerprint)) = view.held() {
                    assert!(self.say(Command::Confirm { name: name.clone(), fingerprint }));
                }
                if view.condition.name() == "parked" {
                    self.counts.add(match view.condition {
                        Condition::Parked { cause: Parking::Cancelled, .. } => "parked: cancelled",
                        Condition::Parked { cause: Parking::Failed(ParkCause::Permanent), .. } => "parked: permanent",
                        _ => "parked: attempts",
                    });
                    assert!(self.say(Command::Refresh { name, force: false, seen: None }));
                }
            }
            self.commit_alone();
            while self.step() {}
        }
    }

    /// Everything is applied, published, tidied up, and made of what the sources hold.
    fn assert_fresh(&mut self) {
        for (id, seen) in &self.witness.known {
            assert!(seen.is_fresh(), "LatestNotLost: {} is not fresh: {:#?}", seen.name, self.view(*id));
            self.assert_last_word(*id);
            let applied = seen.applied.as_ref().unwrap();
            if Sim::is_files(&seen.kind) {
                self.assert_built_from_files(seen);
            } else {
                let output = applied.result.output.as_deref().unwrap_or_default();
                let content = match seen.latest.content() {
                    Content::Observed(observed) => observed.version.to_string(),
                    Content::Unversioned | Content::Unknown => "unversioned".to_owned(),
                };
                assert_eq!(output, format!("{} {content} {id}", applied.token), "{} was built of other", seen.name);
            }
        }
        holds(self.witness.delivered());
        holds(self.witness.hold_against(self.state()));
        assert_eq!(self.jobs(), 0, "a worker is still busy");
        assert_eq!(self.queue.len(), 0, "something is still to come");
        if self.state().len() <= Weather::SMALL {
            self.state().check().unwrap();
        }
    }
}
