//! What is asked of a log about what it has recorded, as the fields of a request: what `lastword why`, `state` and `manifest`
//! ask. It must not know how anything is answered.

use lastword::core::vocabulary::{Seq, TaskId};
use log_dump::{About, Asked, point, said};
use serde_json::{Value, json};

use super::given::{Field, Form, Given, may};
use super::refusal::Refusal;

const AT: Field = may(
    "at",
    Form::Text,
    "As of this event, or of the last event not later than this time: a number, or a time in RFC 3339; the end if it is not said",
);
const TEXT: Field = may("text", Form::Flag, "As people read it (text/plain), and not as `--json` prints it");

/// Of the questions about all, and about a manifest.
pub(super) const OF_A_MOMENT: &[Field] = &[AT, TEXT];

/// Of the question why.
pub(super) const OF_WHY: &[Field] = &[
    AT,
    may("task", Form::Whole, "What became of this task"),
    may("files", Form::Flag, "All files that an observation found changed"),
    TEXT,
];

pub(super) fn state(given: &Given) -> Result<Asked, Refusal> {
    asked(given, About::State)
}

pub(super) fn manifest(given: &Given) -> Result<Asked, Refusal> {
    asked(given, About::Manifest(given.name()?))
}

pub(super) fn why(given: &Given) -> Result<Asked, Refusal> {
    let task = given.number("task").map(Seq).map(TaskId);
    asked(given, About::Why { name: given.name()?, task, files: given.flag("files") })
}

fn asked(given: &Given, about: About) -> Result<Asked, Refusal> {
    let at = given.text("at").map(point).transpose().map_err(|problem| Refusal::field("at", problem))?;
    Ok(Asked { about, at, json: !given.flag("text") })
}

/// Says a question in fields; its collection is in the path.
pub(super) fn put(asked: &Asked, mut put: impl FnMut(&str, Value)) {
    let Asked { about, at, json } = asked;
    at.and_then(said).iter().for_each(|at| put("at", json!(at)));
    (!json).then(|| put("text", json!(true)));
    if let About::Why { task, files, .. } = about {
        task.iter().for_each(|task| put("task", json!(task.0.0)));
        files.then(|| put("files", json!(true)));
    }
}
