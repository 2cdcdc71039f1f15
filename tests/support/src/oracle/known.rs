//! One collection: what was heard of it and what of that is wanted.

use std::collections::VecDeque;
use std::sync::Arc;

use lastword::core::vocabulary::{
    Admission, Built, Content, EmptySource, Event, Fingerprint, Generation, Inputs, Kind, Name, Policy, Recorded,
    RefreshReason, Seq, Source, Spec, TaskId, Timestamp, Token,
};

use super::inputs::InputsSeen;
use super::{Verdict, hold};

/// One incarnation, as far as events tell of it.
#[derive(Clone, Debug)]
pub struct Known {
    pub name: Name,
    pub kind: Kind,
    pub versioned: bool,
    pub policy: Arc<Policy>,
    /// What was heard last.
    pub latest: InputsSeen,
    /// What of that was admitted.
    pub wanted: InputsSeen,
    /// What was heard last waits for a person.
    pub held: bool,
    pub paused: bool,
    pub parked: bool,
    pub generation: Generation,
    /// Where its source was changed.
    sourced: Seq,
    pub applied: Option<Commit>,
    /// The live task, and what it is for.
    pub live: Option<(TaskId, Fingerprint)>,
    /// The attempt that was not told to stop.
    pub attempt: Option<Token>,
    /// Attempts of the live task so far.
    pub attempts: u32,
    /// The live task has no attempt, and may have one from here on.
    pub(super) waits: Option<Timestamp>,
    /// The source moved under the last attempt.
    pub(super) moved: bool,
    /// Attempts that ended with the process that ran them, since the last commit.
    pub(super) crashes: u32,
    pub unpublished: VecDeque<Commit>,
    pub(super) published: Seq,
}

/// What was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub seq: Seq,
    pub token: Token,
    pub fingerprint: Fingerprint,
    pub result: Arc<Built>,
}

impl Known {
    pub(super) fn declared(event: &Event) -> Option<Known> {
        let Event::CollectionDeclared { name, kind, source, spec, versioned, policy, .. } = event else { return None };
        let content = if *versioned { Content::Unknown } else { Content::Unversioned };
        let latest = InputsSeen::new(Inputs { source: source.clone(), spec: spec.clone(), content });
        Some(Known {
            name: name.clone(),
            kind: kind.clone(),
            versioned: *versioned,
            policy: Arc::clone(policy),
            wanted: latest.clone(),
            latest,
            held: false,
            paused: false,
            parked: false,
            generation: Generation(1),
            sourced: Seq::ZERO,
            applied: None,
            live: None,
            attempt: None,
            attempts: 0,
            waits: None,
            moved: false,
            crashes: 0,
            unpublished: VecDeque::new(),
            published: Seq::ZERO,
        })
    }

    /// Whether what was heard last is applied.
    pub fn is_fresh(&self) -> bool {
        self.applied.as_ref().is_some_and(|applied| Some(applied.fingerprint) == self.latest.fingerprint())
    }

    /// Whether its attempts run alone in the process of the reducer.
    pub fn is_isolated(&self) -> bool {
        self.crashes >= 2
    }

    /// Whether a commit is to be published.
    pub fn owes(&self) -> bool {
        !self.unpublished.is_empty()
    }

    pub(super) fn see_inputs(&mut self, recorded: &Recorded) -> Verdict {
        match &recorded.event {
            Event::SourceChanged { source, admission, .. } => self.see_source(source, *admission, recorded.seq),
            Event::SpecChanged { spec, admission, .. } => self.see_spec(spec, *admission, recorded.seq),
            Event::SourceObserved { observed, admission, .. } => {
                self.see_observed(Content::Observed(Arc::clone(observed)), *admission)
            }
            Event::CollectionHeld { observed, fingerprint, .. } => {
                hold(self.versioned, "LastWord", "an unversioned collection is observed")?;
                self.latest = self.latest.with_content(Content::Observed(Arc::clone(observed)));
                self.held = true;
                let is_it = self.latest.fingerprint() == Some(*fingerprint);
                hold(is_it, "LastWord", "what is held has another fingerprint")
            }
            Event::HoldConfirmed { fingerprint, generation, .. } => {
                hold(self.held, "LastWord", "something is confirmed that is not held")?;
                self.held = false;
                let is_it = self.latest.fingerprint() == Some(*fingerprint);
                hold(is_it, "LastWord", "something else is confirmed than is held")?;
                self.want(self.latest.clone(), Some((Some(*fingerprint), *generation)), self.generation)
            }
            event => {
                self.see_steering(event, recorded.at);
                Ok(())
            }
        }
    }

    fn see_source(&mut self, source: &Source, admission: Admission, seq: Seq) -> Verdict {
        // Nothing observed of one source counts under another.
        let content = if self.versioned { Content::Unknown } else { Content::Unversioned };
        self.latest = self.latest.with_source(source, content);
        (self.held, self.sourced) = (false, seq);
        self.admit(admission, self.generation)
    }

    fn see_spec(&mut self, spec: &Spec, admission: Admission, seq: Seq) -> Verdict {
        self.latest = self.latest.with_spec(spec);
        // A spec that is changed by the very next event was declared with the source, and the two are one change.
        let with_source = u64::from(self.sourced.next() == seq);
        let before = Generation(self.generation.0.saturating_sub(with_source));
        if !self.held || self.is_fresh() {
            self.held = false;
            return self.admit(admission, before);
        }
        // What is held stays out of what is wanted.
        let same_source = self.wanted.source() == self.latest.source();
        let content = if same_source { self.wanted.content().clone() } else { Content::Unknown };
        let wanted = self.latest.with_content(content);
        // Under this spec what was held is what was wanted anyway.
        self.held &= wanted.fingerprint() != self.latest.fingerprint();
        self.want(wanted, admitted(admission), before)
    }

    fn see_observed(&mut self, content: Content, admission: Admission) -> Verdict {
        hold(self.versioned, "LastWord", "an unversioned collection is observed")?;
        // What waited and is admitted now was heard before, and confirmed if it had to be.
        let is_new = self.held || *self.latest.content() != content;
        self.latest = self.latest.with_content(content);
        self.held = false;
        let waits = self.policy.empty_source == EmptySource::Hold;
        let is_loss = waits && self.latest.is_empty() && !self.returns();
        hold(!(is_new && is_loss), "LatestNotLost", "a loss is admitted that nobody has confirmed")?;
        self.admit(admission, self.generation)
    }

    /// Nothing is lost by coming back to what is wanted or applied.
    fn returns(&self) -> bool {
        self.latest.fingerprint() == self.wanted.fingerprint() || self.is_fresh()
    }

    fn admit(&mut self, admission: Admission, before: Generation) -> Verdict {
        match admitted(admission) {
            Some(said) => self.want(self.latest.clone(), Some(said), before),
            None => Ok(()),
        }
    }

    /// What is wanted has become this; `said` is what the event says of it. The number of its generation says whether it
    /// is something else than under the generation `before`.
    fn want(
        &mut self,
        wanted: InputsSeen,
        said: Option<(Option<Fingerprint>, Generation)>,
        before: Generation,
    ) -> Verdict {
        let old = self.wanted.fingerprint();
        self.wanted = wanted;
        let new = self.wanted.fingerprint();
        self.parked &= old == new;
        let Some((fingerprint, generation)) = said else { return Ok(()) };
        hold(new == fingerprint, "LastWord", "an event admits what was not said")?;
        let is_change = old.is_some() && old != new;
        let has_grown = if is_change { before < generation } else { before <= generation };
        hold(has_grown, "LatestNotLost", "a change of what is wanted has no generation of its own")?;
        self.generation = generation;
        Ok(())
    }

    fn see_steering(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::PolicyChanged { policy, .. } => self.policy = Arc::clone(policy),
            Event::CollectionPaused { .. } => self.paused = true,
            Event::CollectionResumed { .. } => self.paused = false,
            Event::RefreshRequested { reason: RefreshReason::Asked | RefreshReason::Drift(_), .. } => {
                (self.parked, self.moved) = (false, false);
                self.waits = self.waits.map(|from| from.min(at));
            }
            Event::TaskWoken { not_before, .. } => self.waits = self.waits.map(|_| *not_before),
            _ => {}
        }
    }
}

/// What an event says of what it admits.
fn admitted(admission: Admission) -> Option<(Option<Fingerprint>, Generation)> {
    match admission {
        Admission::Admitted { wanted, generation } => Some((wanted, generation)),
        _ => None,
    }
}
