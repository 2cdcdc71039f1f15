//! What a run can be asked in place of its log: questions that have one answer, as values that do not name a log. It must not
//! know who asks them, or how they travel.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lastword::core::vocabulary::{Name, Seq, TaskId};
use lastword::replay::Until;

use crate::args::{DamageArgs, LogArgs, Look, ManifestArgs, StateArgs, WhyArgs, parse_until};
use crate::fail::Failure;
use crate::live::Live;
use crate::look_into;
use crate::output::Output;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is asked.
    pub about: About,
    /// As of when; the end of the log if it is not said.
    pub at: Option<Until>,
    /// As JSON, as `--json` prints it.
    pub json: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// `state`: every collection.
    State,
    /// `manifest`: the segments of a collection.
    Manifest(Name),
    /// `why`: why a collection is as it is, or what became of one of its tasks.
    Why {
        /// The collection.
        name: Name,
        /// The task, if it is asked about one.
        task: Option<TaskId>,
        /// All files, and not only the first of each observation.
        files: bool,
    },
}

impl Asked {
    /// The question that is one of these; nothing if it has to be asked of the log itself.
    #[must_use]
    pub fn of(question: &Look) -> Option<Asked> {
        let (about, at) = match question {
            Look::State(StateArgs { damage: DamageArgs { up_to_damage: false }, at, .. }) => (About::State, *at),
            Look::Why(WhyArgs { name, at, task, files, .. }) => {
                (About::Why { name: name.clone(), task: task.map(Seq).map(TaskId), files: *files }, *at)
            }
            // What is no name is in no log, and its message is that of the command.
            Look::Manifest(ManifestArgs { name, at, .. }) => (About::Manifest(Name::new(name).ok()?), *at),
            _ => return None,
        };
        let is_said_exactly = at.is_none_or(|at| said(at).is_some_and(|text| point(&text) == Ok(at)));
        is_said_exactly.then_some(Asked { about, at, json: question.is_json() })
    }

    /// The same question of the log at `state`.
    #[must_use]
    pub fn look(self, state: PathBuf) -> Look {
        let Asked { about, at, json } = self;
        let log = LogArgs { state, json, live: None };
        match about {
            About::State => Look::State(StateArgs { log, damage: DamageArgs { up_to_damage: false }, at }),
            About::Manifest(name) => Look::Manifest(ManifestArgs { log, name: name.as_str().to_owned(), at }),
            About::Why { name, task, files } => {
                Look::Why(WhyArgs { log, name, at, task: task.map(|task| task.0.0), files })
            }
        }
    }

    /// The collection that is asked about.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        match &self.about {
            About::State => None,
            About::Manifest(name) | About::Why { name, .. } => Some(name),
        }
    }

    /// Reads the log at `state` and writes to `output` what [`look`](crate::look) prints. Nothing is said beside that.
    ///
    /// # Errors
    /// When there is no answer, or `output` takes it no more.
    pub fn answer(&self, state: &Path, output: impl Write + 'static) -> Result<(), Failure> {
        look_into(&self.clone().look(state.to_owned()), Output::of(Box::new(output)))
    }

    /// The same of a log that this process writes.
    ///
    /// # Errors
    /// As [`answer`](Asked::answer).
    pub fn answer_of(&self, live: Live, output: impl Write + 'static) -> Result<(), Failure> {
        let question = self.clone().look(live.state().to_owned()).of_live(Arc::new(live));
        look_into(&question, Output::of(Box::new(output)))
    }
}

/// A point of a log as [`point`] reads it; nothing of the end.
#[must_use]
pub fn said(until: Until) -> Option<String> {
    match until {
        Until::Seq(seq) => Some(seq.to_string()),
        Until::Time(at) => Some(at.to_string()),
        Until::End => None,
    }
}

/// A point of a log as `--at` takes it.
///
/// # Errors
/// What is expected.
pub fn point(text: &str) -> Result<Until, String> {
    parse_until(text)
}

#[cfg(test)]
mod tests {
    use lastword::core::vocabulary::Timestamp;

    use super::*;

    #[test]
    fn a_point_is_read_as_it_was_said() {
        for until in [Until::Seq(Seq(0)), Until::Seq(Seq(u64::MAX)), Until::Time(Timestamp(1_700_000_000_250_001))] {
            assert_eq!(point(&said(until).unwrap()), Ok(until));
        }
        assert_eq!(said(Until::End), None);
    }

    #[test]
    fn a_question_stays_the_same_wherever_its_log_is() {
        let name = Name::new("a/b \"c\"").unwrap();
        let at = Some(Until::Time(Timestamp(1_700_000_000_250_001)));
        for about in [
            About::State,
            About::Manifest(name.clone()),
            About::Why { name: name.clone(), task: Some(TaskId(Seq(3))), files: true },
            About::Why { name, task: None, files: false },
        ] {
            for json in [false, true] {
                let asked = Asked { about: about.clone(), at, json };
                let question = asked.clone().look(PathBuf::from("state"));
                assert_eq!(question.state(), Path::new("state"));
                assert_eq!(Asked::of(&question), Some(asked));
            }
        }
    }

    #[test]
    fn what_cannot_be_said_exactly_is_asked_of_the_log() {
        let far = Asked { about: About::State, at: Some(Until::Time(Timestamp(u64::MAX))), json: false };
        assert_eq!(Asked::of(&far.look(PathBuf::from("state"))), None);
    }
}
