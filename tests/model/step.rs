//! What comes of what happens: each act is one command to the core, and its consequences outside.

use std::sync::OnceLock;

use lastword::core::vocabulary::{
    Assign, AttemptObservation, AttemptRef, Built, Command, Completion, Deadline, Declaration, DeliveryKind,
    DeliveryRef, EngineCommand, FailureClass, FailureReport, Fingerprint, Input, ObservationOutcome, ObservationReport,
};

use super::act::{Act, Tried};
use super::met::{self, Met};
use super::point::{Look, Point, Voice};
use super::world::{COLLECTIONS, EMPTY, Heard, LEASED, Said, WORLDS, duties, lease, name, seen, version, worker};

impl Point {
    /// Whether it makes any difference: what is refused without a trace does not.
    pub(crate) fn act(&mut self, act: Act) -> bool {
        (self.just, self.verdict) = (met::MetSet::default(), OnceLock::new());
        self.left -= u8::from(act.costs());
        let happened = self.happen(act);
        self.truncate_prefix();
        self.compare_words();
        happened || self.broken.is_some()
    }

    fn happen(&mut self, act: Act) -> bool {
        match act {
            Act::Look(collection) => self.look(collection),
            Act::Tell(collection) => self.tell(collection),
            Act::Assign(worker, collection) => self.assign(worker, collection),
            Act::Complete(Tried(attempt)) | Act::CompleteLate(Tried(attempt)) | Act::Repeat(Tried(attempt)) => {
                let fingerprint = self.voice(attempt).fingerprint;
                self.complete(attempt, fingerprint)
            }
            Act::Confuse(Tried(attempt)) => {
                // What nobody ever wanted.
                let wrong = Heard { said: Said { source: 1, spec: 1 }, version: Some(version(0, EMPTY)) };
                self.complete(attempt, wrong.fingerprint().unwrap())
            }
            Act::Stop(Tried(attempt)) | Act::HandBack(Tried(attempt)) => {
                self.voices.retain(|voice| voice.attempt != attempt);
                self.must(&EngineCommand::Stopped { attempt })
            }
            Act::Publish(collection) => self.publish(collection, true),
            Act::FailPublish(collection) => self.publish(collection, false),
            Act::Due => self.due(),
            Act::Wait(until) | Act::Overrun(until) => {
                self.now = self.now.after(until);
                true
            }
            Act::Change(collection, content) => {
                self.ends[collection].content = content;
                true
            }
            Act::FailLook(collection) => {
                let seen = ObservationOutcome::Failed { cause: "gone".into() };
                self.must(&Command::Observe { name: name(collection).clone(), outcome: seen })
            }
            Act::Respec(collection) => self.change(collection, |said| said.spec = 1 - said.spec),
            Act::Resource(collection) => self.change(collection, |said| said.source = 1 - said.source),
            Act::Pause(collection) => self.must(&Command::Pause { name: name(collection).clone() }),
            Act::Resume(collection) => self.must(&Command::Resume { name: name(collection).clone() }),
            Act::Cancel(collection) => self.must(&Command::Cancel { name: name(collection).clone(), task: None }),
            Act::Refresh(collection) => self.refresh(collection, false),
            Act::Rebuild(collection) => self.refresh(collection, true),
            Act::Confirm(collection) => self.confirm(collection),
            Act::Drop(collection) => {
                self.ends[collection].heard = None;
                self.must(&Command::Drop { name: name(collection).clone() })
            }
            Act::Declare(collection) => {
                let said = Said::default();
                let command = WORLDS[self.world].declare(collection, said);
                let Ok(events) = self.say(&command) else { return false };
                self.hear(collection, Heard { said, version: None }, &events);
                true
            }
            Act::FailTransient(Tried(attempt)) => self.fail_attempt(attempt, FailureClass::Transient),
            Act::FailForGood(Tried(attempt)) => self.fail_attempt(attempt, FailureClass::Permanent),
            Act::FailMoved(Tried(attempt)) => self.move_under(attempt),
            Act::LoseLease(Tried(attempt)) => self.must(&EngineCommand::Lost { attempt }),
            Act::Crash => {
                // What runs in a process of its own lives on, and so does what is owed.
                self.voices.retain(|voice| voice.worker == LEASED);
                self.ends.iter_mut().for_each(|end| end.look = None);
                self.crash();
                true
            }
        }
    }

    /// Says what cannot be refused.
    fn must<'a>(&mut self, command: impl Into<Input<'a>>) -> bool {
        let input = command.into();
        if let Err(refused) = self.say(input) {
            self.fail("NothingWaitsSilently", format_args!("{input:?} is refused: {refused}"));
        }
        true
    }

    fn look(&mut self, collection: usize) -> bool {
        let (Some(of), Some(heard)) = (self.id(collection), self.ends[collection].heard) else { return false };
        let version = version(heard.said.source, self.ends[collection].content);
        self.ends[collection].look = Some(Look { of, began: self.state.last(), version });
        true
    }

    fn tell(&mut self, collection: usize) -> bool {
        let Some(look) = self.ends[collection].look.take() else { return false };
        let report = ObservationReport { collection: look.of, began: look.began, outcome: seen(look.version) };
        match self.say(&EngineCommand::Observe(report)) {
            Err(_) => self.just.meet(Met::ObservationTooOld),
            Ok(_) if look.began < self.ends[collection].heard_at => {
                self.fail("LatestNotLost", "a look that is older than the last word is believed");
            }
            Ok(events) => {
                if let Some(heard) = self.ends[collection].heard {
                    self.hear(collection, Heard { version: Some(look.version), ..heard }, &events);
                }
            }
        }
        true
    }

    fn assign(&mut self, by: usize, index: usize) -> bool {
        let Some(collection) = self.id(index) else { return false };
        let assign = Assign { worker: worker(by), collection, lease: lease(by), duties: duties(index) };
        self.must(&EngineCommand::Assign(assign));
        let Some(running) = self.collection(index).and_then(|collection| collection.status.running()) else {
            self.fail("NothingWaitsSilently", "a task that can start does not");
            return true;
        };
        let (attempt, fingerprint) = (running.attempt_of(collection), running.task.fingerprint);
        self.voices.push(Voice { worker: by, attempt, fingerprint, has_spoken: false });
        true
    }

    fn complete(&mut self, attempt: AttemptRef, fingerprint: Fingerprint) -> bool {
        let result = Built { output: None, rows: Some(1), ..Built::default() };
        self.voices.iter_mut().filter(|voice| voice.attempt == attempt).for_each(|voice| voice.has_spoken = true);
        self.must(&EngineCommand::Complete(Completion { attempt, fingerprint, result }.into()))
    }

    fn fail_attempt(&mut self, attempt: AttemptRef, class: FailureClass) -> bool {
        self.voices.retain(|voice| voice.attempt != attempt);
        self.must(&EngineCommand::Fail { attempt, failure: FailureReport { class, message: "no luck".into() } })
    }

    /// The worker says what it found instead, if it is something else than was heard.
    fn move_under(&mut self, attempt: AttemptRef) -> bool {
        let Some(collection) = COLLECTIONS.into_iter().find(|index| self.id(*index) == Some(attempt.collection)) else {
            return false;
        };
        let Some(heard) = self.ends[collection].heard else { return false };
        // It looked where its own word had sent it. That is not always the last one that was said.
        let wanted = self.state.collection(attempt.collection).and_then(|collection| collection.wanted.as_ref());
        let Some(own) = wanted.map(|wanted| Heard::of(&wanted.inputs)) else { return false };
        let is_last = own.said == heard.said;
        let known = if is_last { heard } else { own };
        let found = version(own.said.source, self.ends[collection].content);
        // Every look of the model finds something new, which is newer inputs: of no look more is to be known than that.
        let news = (known.version != Some(found)).then(|| {
            let outcome = seen(found);
            Box::new(AttemptObservation { outcome, last_observation: None, has_observer: true })
        });
        let is_newest = is_last && self.ends[collection].heard_at <= attempt.token.seq;
        let is_unmeasured = self.builds_anew(collection);
        self.just.meet_if(news.is_some() && is_newest && is_unmeasured, Met::MovedUnmeasured);
        if news.is_some() && is_newest && !is_unmeasured {
            // It is believed, whatever becomes of it.
            self.ends[collection].heard = Some(Heard { version: Some(found), ..heard });
            self.ends[collection].heard_at = self.state.last().next();
        }
        self.fail_attempt(attempt, FailureClass::SourceMoved(news))
    }

    /// Its task builds anew what is applied, of which it is told nothing: it cannot say what of it is gone.
    fn builds_anew(&self, index: usize) -> bool {
        let collection = self.collection(index).filter(|collection| collection.applied.is_some());
        collection.and_then(|collection| collection.status.live()).is_some_and(|task| task.rebuild)
    }

    fn publish(&mut self, index: usize, well: bool) -> bool {
        let (Some(collection), Some(owed)) = (self.id(index), self.publication(index)) else { return false };
        let delivered = DeliveryRef { collection, obligation: owed.id, delivery: DeliveryKind::Publish };
        self.must(&if well {
            EngineCommand::Delivered(delivered)
        } else {
            EngineCommand::DeliveryFailed { delivered, message: "down".into() }
        })
    }

    fn due(&mut self) -> bool {
        let Some(deadline) = self.state.first_due(self.now) else { return false };
        if matches!(deadline, Deadline::Settled(_)) {
            self.just.meet(Met::Settled);
        }
        self.must(&EngineCommand::Due(deadline))
    }

    fn change(&mut self, collection: usize, change: impl Fn(&mut Said)) -> bool {
        let Some(heard) = self.ends[collection].heard else { return false };
        let mut said = heard.said;
        change(&mut said);
        let mut declaration = Declaration::new(name(collection).clone());
        let new_source = said.source != heard.said.source;
        declaration.source = new_source.then(|| said.source());
        declaration.spec = (said.spec != heard.said.spec).then(|| said.spec());
        let Ok(events) = self.say(&Command::Declare(declaration.into())) else { return false };
        let version = heard.version.filter(|_| !new_source);
        self.hear(collection, Heard { said, version }, &events);
        true
    }

    fn refresh(&mut self, collection: usize, force: bool) -> bool {
        self.must(&Command::Refresh { name: name(collection).clone(), force, seen: None })
    }

    fn confirm(&mut self, collection: usize) -> bool {
        let Some(heard) = self.ends[collection].heard else { return false };
        let Some(fingerprint) = heard.fingerprint() else { return false };
        let Ok(events) = self.say(&Command::Confirm { name: name(collection).clone(), fingerprint }) else {
            self.fail("NothingWaitsSilently", "what is held cannot be confirmed");
            return true;
        };
        self.hear(collection, heard, &events);
        true
    }

    fn voice(&self, attempt: AttemptRef) -> Voice {
        *self.voices.iter().find(|voice| voice.attempt == attempt).unwrap()
    }

    /// Drops voices that make no difference any more: whoever has spoken repeats only what it said last, and nothing
    /// once nothing more may go wrong.
    fn truncate_prefix(&mut self) {
        let last = |index: usize, voices: &[Voice]| {
            let of = voices[index].attempt.collection;
            voices[index + 1..].iter().all(|later| later.attempt.collection != of || !later.has_spoken)
        };
        let kept = (0..self.voices.len()).filter(|index| {
            let voice = &self.voices[*index];
            !voice.has_spoken || self.is_open(voice) || (self.left > 0 && last(*index, &self.voices))
        });
        self.voices = kept.map(|index| self.voices[index]).collect();
    }
}
