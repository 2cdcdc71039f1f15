//! Lines: what is asked and answered, as JSON objects.

use std::fmt;
use std::time::Duration;

use lastword::core::vocabulary::{
    By, CollectionId, FieldError, Fingerprint, Generation, Name, Receipt, Seq, TaskId, Timestamp,
};
use lastword::describe::plain_json;
use serde_json::{Map, Value, json};

use super::by::by;
use super::steer::{Steer, Verb};
use crate::fail::{Fail, USAGE};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Steer(Steer),
    /// Until `generation` is applied; without one, until an observation that began after `since` finds everything
    /// applied. `since`: the asker's first question, by the engine's clock, as it was answered.
    Wait {
        name: Name,
        generation: Option<Generation>,
        since: Option<Timestamp>,
        /// For at most so long, if that is less than a run waits by itself.
        within: Option<Duration>,
    },
    /// Read the file again.
    Reload(By),
    /// What only the running process knows, of one collection or of all.
    Look {
        name: Option<Name>,
    },
    /// Collections as they are, one or a page of all, with what only the running process knows.
    Status {
        name: Option<Name>,
        /// Those declared after this one.
        after: Option<CollectionId>,
    },
    /// What is left of dropped collections.
    Dropped,
    /// What the run was told for the whole of it.
    Settings,
    /// What it tells Prometheus.
    Metrics,
}

impl Request {
    /// The line of a request, without its end.
    pub fn line(&self) -> String {
        let mut line = Map::from_iter([("v".to_owned(), json!(1))]);
        let mut put = |key: &str, value: Value| drop(line.insert(key.to_owned(), value));
        let asked = match self {
            Request::Steer(steer) => {
                put("do", json!(steer.verb.name()));
                put("name", json!(steer.name.as_str()));
                match steer.verb {
                    Verb::Refresh { force, seen } => {
                        put("force", json!(force));
                        seen.iter().for_each(|seen| put("seen", json!(seen.0)));
                    }
                    Verb::Verify => put("verify", json!(true)),
                    Verb::Cancel { task: Some(task) } => put("task", json!(task.0.0)),
                    Verb::Confirm { fingerprint } => put("fingerprint", json!(fingerprint.to_string())),
                    Verb::Cancel { task: None } | Verb::Pause | Verb::Resume | Verb::Drop => {}
                }
                Some(&steer.by)
            }
            Request::Wait { name, generation, since, within } => {
                put("do", json!("wait"));
                put("name", json!(name.as_str()));
                generation.iter().for_each(|generation| put("generation", json!(generation.0)));
                since.iter().for_each(|since| put("since", json!(since.0)));
                let millis = |within: &Duration| u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                within.iter().for_each(|within| put("within_ms", json!(millis(within))));
                None
            }
            Request::Reload(by) => {
                put("do", json!("reload"));
                Some(by)
            }
            Request::Look { name } => {
                put("do", json!("look"));
                name.iter().for_each(|name| put("name", json!(name.as_str())));
                None
            }
            Request::Settings => {
                put("do", json!("settings"));
                None
            }
            Request::Metrics => {
                put("do", json!("metrics"));
                None
            }
            Request::Dropped => {
                put("do", json!("dropped"));
                None
            }
            Request::Status { name, after } => {
                put("do", json!("status"));
                name.iter().for_each(|name| put("name", json!(name.as_str())));
                after.iter().for_each(|after| put("after", json!(after.0.0)));
                None
            }
        };
        if let Some(by) = asked {
            by.actor().iter().for_each(|actor| put("actor", json!(actor)));
            by.cause().iter().for_each(|cause| put("cause", json!(cause)));
        }
        Value::Object(line).to_string()
    }

    /// Whether it is to change something.
    pub(super) fn is_command(&self) -> bool {
        matches!(self, Request::Steer(_) | Request::Reload(_))
    }

    /// Whether a command that was carried out already changes nothing, or nothing of account, when it is given again.
    pub(super) fn is_harmless_twice(&self) -> bool {
        let Request::Steer(Steer { verb, .. }) = self else { return true };
        match verb {
            Verb::Refresh { force, seen } => !force || seen.is_some(),
            Verb::Cancel { task } => task.is_some(),
            Verb::Verify | Verb::Pause | Verb::Resume | Verb::Confirm { .. } => true,
            Verb::Drop => false,
        }
    }

    /// Reads a line. Whatever it does not understand it refuses: half a command is none.
    pub fn parse(line: &[u8]) -> Result<Request, Fail> {
        let value = serde_json::from_slice(line).map_err(|_| wrong("a request is one JSON object per line"))?;
        let Value::Object(line) = value else { return Err(wrong("a request is one JSON object per line")) };
        if line.get("v") != Some(&json!(1)) {
            return Err(wrong("v: must be 1, the protocol that this program speaks"));
        }
        let mut fields = Fields { line, known: vec!["v", "do"] };
        let verb = fields.text("do")?.ok_or_else(|| wrong("do: is missing"))?;
        let request = match verb.as_str() {
            "refresh" => {
                let (force, seen) = (fields.flag("force")?, fields.number("seen")?.map(Seq));
                let verify = fields.flag("verify")?;
                if verify && (force || seen.is_some()) {
                    return Err(wrong("verify: goes with neither force nor seen"));
                }
                fields.steer(if verify { Verb::Verify } else { Verb::Refresh { force, seen } })?
            }
            "cancel" => {
                let task = fields.number("task")?.map(|task| TaskId(Seq(task)));
                fields.steer(Verb::Cancel { task })?
            }
            "pause" => fields.steer(Verb::Pause)?,
            "resume" => fields.steer(Verb::Resume)?,
            "confirm" => {
                let text = fields.text("fingerprint")?.unwrap_or_default();
                fields.steer(Verb::Confirm { fingerprint: fingerprint(&text)? })?
            }
            "drop" => fields.steer(Verb::Drop)?,
            "wait" => Request::Wait {
                name: fields.name()?,
                generation: fields.number("generation")?.map(Generation),
                since: fields.number("since")?.map(Timestamp),
                within: fields.number("within_ms")?.map(Duration::from_millis),
            },
            "reload" => Request::Reload(fields.by()?),
            "look" => {
                let named = fields.line.contains_key("name");
                Request::Look { name: named.then(|| fields.name()).transpose()? }
            }
            "dropped" => Request::Dropped,
            "settings" => Request::Settings,
            "metrics" => Request::Metrics,
            "status" => {
                let named = fields.line.contains_key("name");
                let name = named.then(|| fields.name()).transpose()?;
                Request::Status { name, after: fields.number("after")?.map(|after| CollectionId(Seq(after))) }
            }
            _ => return Err(wrong("do: is none of the commands of this program")),
        };
        fields.end()?;
        Ok(request)
    }
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Refresh { .. } | Verb::Verify => "refresh",
            Verb::Cancel { .. } => "cancel",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Confirm { .. } => "confirm",
            Verb::Drop => "drop",
        }
    }
}

/// As a person names it.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Steer(Steer { name, verb, .. }) => write!(f, "{name}: {}", verb.name()),
            Request::Wait { name, .. } => write!(f, "{name}: wait"),
            Request::Reload(_) => f.write_str("reload"),
            Request::Metrics => f.write_str("metrics"),
            Request::Look { .. } | Request::Status { .. } | Request::Dropped | Request::Settings => {
                f.write_str("status")
            }
        }
    }
}

/// A fingerprint that a person or a program wrote.
pub(crate) fn fingerprint(text: &str) -> Result<Fingerprint, Fail> {
    Fingerprint::from_hex(text).ok_or_else(|| wrong("fingerprint: must be 64 hexadecimal digits"))
}

/// The keys of a request, of which each has to be known.
struct Fields {
    line: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    fn get(&mut self, key: &'static str) -> Option<&Value> {
        self.known.push(key);
        self.line.get(key)
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, Fail> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(format!("{key}: must be a string"))),
        }
    }

    fn number(&mut self, key: &'static str) -> Result<Option<u64>, Fail> {
        self.get(key)
            .map(|value| value.as_u64().ok_or_else(|| wrong(format!("{key}: must be a whole number"))))
            .transpose()
    }

    fn flag(&mut self, key: &'static str) -> Result<bool, Fail> {
        self.get(key)
            .map_or(Ok(false), |value| value.as_bool().ok_or_else(|| wrong(format!("{key}: must be true or false"))))
    }

    fn name(&mut self) -> Result<Name, Fail> {
        let text = self.text("name")?.ok_or_else(|| wrong("name: is missing"))?;
        Name::new(&text).map_err(|error: FieldError| wrong(error.to_string()))
    }

    fn by(&mut self) -> Result<By, Fail> {
        let actor = self.text("actor")?.unwrap_or_else(|| "socket".to_owned());
        let cause = self.text("cause")?;
        by(&actor, cause.as_deref())
    }

    fn steer(&mut self, verb: Verb) -> Result<Request, Fail> {
        Ok(Request::Steer(Steer { name: self.name()?, verb, by: self.by()? }))
    }

    fn end(self) -> Result<(), Fail> {
        match self.line.keys().find(|key| !self.known.contains(&key.as_str())) {
            Some(key) => Err(wrong(format!("{key:?} is not known here"))),
            None => Ok(()),
        }
    }
}

fn wrong(message: impl Into<String>) -> Fail {
    Fail::new(USAGE, message)
}

/// What is answered, and what `--json` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(Map<String, Value>);

impl Answer {
    /// From an object; `v` is put before it.
    pub(crate) fn new(object: Value) -> Answer {
        let mut line = Map::from_iter([("v".to_owned(), json!(1))]);
        if let Value::Object(members) = object {
            line.extend(members);
        }
        Answer(line)
    }

    pub(crate) fn receipt(receipt: &Receipt) -> Answer {
        Answer::new(json!({
            "seq": receipt.seq.map(|seq| seq.0),
            "collection": receipt.collection.map(|id| id.0.0),
            "generation": receipt.generation.0,
        }))
    }

    /// The same with a sentence for people.
    pub(crate) fn with_note(mut self, note: Option<String>) -> Answer {
        if let Some(note) = note {
            self.0.insert("note".to_owned(), note.into());
        }
        self
    }

    pub(super) fn failed(fail: &Fail) -> Answer {
        Answer::new(json!({"error": fail.message, "code": fail.code}))
    }

    /// Reads an answer; one that says what went wrong becomes that.
    pub fn parse(line: &[u8]) -> Option<Result<Answer, Fail>> {
        let Value::Object(line) = serde_json::from_slice(line).ok()? else { return None };
        if line.get("v") != Some(&json!(1)) {
            return None;
        }
        let Some(message) = line.get("error") else { return Some(Ok(Answer(line))) };
        let code = u8::try_from(line.get("code")?.as_u64()?).ok()?;
        Some(Err(Fail::new(code, message.as_str()?)))
    }

    /// The same with another value under a key.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Answer {
        self.0.insert(key.to_owned(), value);
        self
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.as_u64()
    }

    pub(crate) fn object(&self, key: &str) -> Option<&Map<String, Value>> {
        self.0.get(key)?.as_object()
    }

    pub(crate) fn list(&self, key: &str) -> &[Value] {
        self.0.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn without(mut self, key: &str) -> Answer {
        self.0.remove(key);
        self
    }
}

/// One line of JSON.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain_json(Value::Object(self.0.clone()).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_read_as_it_was_written() {
        let name = Name::new("line \"item\"").unwrap();
        let ann = by("cli:ann", Some("because")).unwrap();
        let verbs = [
            Verb::Refresh { force: false, seen: None },
            Verb::Refresh { force: true, seen: Some(Seq(7)) },
            Verb::Verify,
            Verb::Cancel { task: None },
            Verb::Cancel { task: Some(TaskId(Seq(7))) },
            Verb::Pause,
            Verb::Resume,
            Verb::Confirm { fingerprint: fingerprint(&"ab".repeat(32)).unwrap() },
            Verb::Drop,
        ];
        let steers = verbs.map(|verb| Request::Steer(Steer { name: name.clone(), verb, by: ann.clone() }));
        let others = [
            Request::Wait { name: name.clone(), generation: Some(Generation(3)), since: None, within: None },
            Request::Wait {
                name: name.clone(),
                generation: None,
                since: Some(Timestamp(9)),
                within: Some(Duration::from_millis(250)),
            },
            Request::Reload(by("cli:ann", None).unwrap()),
            Request::Look { name: None },
            Request::Metrics,
            Request::Look { name: Some(name.clone()) },
            Request::Status { name: Some(name), after: None },
            Request::Status { name: None, after: Some(CollectionId(Seq(7))) },
        ];
        for request in steers.into_iter().chain(others) {
            assert_eq!(Request::parse(request.line().as_bytes()).unwrap(), request);
            assert!(request.line().len() < super::super::MOST_REQUEST);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "",
            "pause",
            "[]",
            "{}",
            r#"{"v":2,"do":"pause","name":"a"}"#,
            r#"{"v":1,"name":"a"}"#,
            r#"{"v":1,"do":"dance","name":"a"}"#,
            r#"{"v":1,"do":"pause"}"#,
            r#"{"v":1,"do":"pause","name":7}"#,
            r#"{"v":1,"do":"pause","name":""}"#,
            r#"{"v":1,"do":"pause","name":"a","task":1}"#,
            r#"{"v":1,"do":"refresh","name":"a","force":1}"#,
            r#"{"v":1,"do":"cancel","name":"a","task":-1}"#,
            r#"{"v":1,"do":"confirm","name":"a"}"#,
            r#"{"v":1,"do":"confirm","name":"a","fingerprint":"ab"}"#,
            r#"{"v":1,"do":"drop","name":"a","actor":""}"#,
            r#"{"v":1,"do":"drop","name":"a","cause":"a\nb"}"#,
            r#"{"v":1,"do":"reload","name":"a"}"#,
        ] {
            assert_eq!(Request::parse(line.as_bytes()).map_err(|fail| fail.code), Err(USAGE), "{line}");
        }
    }
}
