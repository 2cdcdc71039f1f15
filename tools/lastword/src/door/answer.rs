//! What is answered, and what `--json` prints: one JSON object. It must not know what was asked.

use std::fmt;

use lastword::core::vocabulary::Receipt;
use lastword::describe::plain_json;
use serde_json::{Map, Value, json};

use crate::fail::Fail;

/// An answer.
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

    /// Reads an answer; one that says what went wrong becomes that.
    pub fn parse(line: &[u8]) -> Option<Result<Answer, Fail>> {
        let Value::Object(line) = serde_json::from_slice(line).ok()? else { return None };
        if line.get("v") != Some(&json!(1)) {
            return None;
        }
        match line.get("error") {
            None => Some(Ok(Answer(line))),
            Some(error) => Some(Err(failed(error)?)),
        }
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

/// What `{"v":1,"error":{..}}` says.
pub(super) fn failed(error: &Value) -> Option<Fail> {
    let code = u8::try_from(error.get("code")?.as_u64()?).ok()?;
    Some(Fail::new(code, error.get("message")?.as_str()?))
}

/// One line of JSON.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain_json(Value::Object(self.0.clone()).to_string()))
    }
}
