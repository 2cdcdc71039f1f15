//! The routes of what a log has recorded: what `lastword why`, `state` and `manifest` ask. It must not know how anything is
//! answered.

use lastword::core::vocabulary::{Seq, TaskId};
use log_dump::{About, Asked, point, said};
use serde_json::{Value, json};

use super::given::{Field, Form, Given};
use super::refusal::Refusal;
use super::request::Request;
use super::routes::{READS, Route, may};

const AT: Field = may(
    "at",
    Form::Text,
    "As of this event, or of the last event not later than this time: a number, or a time in RFC 3339; the end if it is not said",
);
const TEXT: Field = may("text", Form::Flag, "As people read it (text/plain), and not as `--json` prints it");

pub(super) static STATE: Route = Route {
    path: "/v1/state",
    id: "state",
    summary: "Every collection as the log knows it: what `lastword state --json` prints, which is JSON Lines",
    fields: &[AT, TEXT],
    answer: "Lines",
    read: |given| asked(given, About::State),
    ..READS
};

pub(super) static WHY: Route = Route {
    path: "/v1/collections/{name}/why",
    id: "why",
    summary: "Why it is as it is, or what became of one of its tasks, also if it was dropped: what `lastword why --json` prints, \
              which is JSON Lines with the answer as the last",
    fields: &[
        AT,
        may("task", Form::Whole, "What became of this task"),
        may("files", Form::Flag, "All files that an observation found changed"),
        TEXT,
    ],
    answer: "Lines",
    read: |given| {
        let task = given.number("task").map(Seq).map(TaskId);
        asked(given, About::Why { name: given.name()?, task, files: given.flag("files") })
    },
    ..READS
};

pub(super) static MANIFEST: Route = Route {
    path: "/v1/collections/{name}/manifest",
    id: "manifest",
    summary: "The segments that it consists of, and the rows of which files are in each: what `lastword manifest --json` prints",
    fields: &[AT, TEXT],
    answer: "Manifest",
    read: |given| asked(given, About::Manifest(given.name()?)),
    ..READS
};

fn asked(given: &Given, about: About) -> Result<Request, Refusal> {
    let at = given.text("at").map(point).transpose().map_err(|problem| Refusal::field("at", problem))?;
    Ok(Request::Look(Asked { about, at, json: !given.flag("text") }))
}

/// The route of a question, and the fields that say the rest of it.
pub(super) fn fields_of(asked: &Asked, mut put: impl FnMut(&str, Value)) -> &'static Route {
    let Asked { about, at, json } = asked;
    at.and_then(said).iter().for_each(|at| put("at", json!(at)));
    (!json).then(|| put("text", json!(true)));
    match about {
        About::State => &STATE,
        About::Manifest(_) => &MANIFEST,
        About::Why { task, files, .. } => {
            task.iter().for_each(|task| put("task", json!(task.0.0)));
            files.then(|| put("files", json!(true)));
            &WHY
        }
    }
}
