//! What a request gives: the fields of its route, each in its form, and no others. Whatever is not understood is refused:
//! half a command is none.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::core::vocabulary::{By, FieldError, Name};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::control::by;
use crate::fail::USAGE;

/// A query parameter, or a member of a body.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) is_needed: bool,
    pub(super) about: &'static str,
}

/// A field that need not be said.
pub(super) const fn may(name: &'static str, form: Form, about: &'static str) -> Field {
    Field { name, form, is_needed: false, about }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Whole,
    Flag,
    /// `300ms`, `5s`, `2m`.
    Span,
    /// Several, with commas between them, or said again.
    Words,
}

/// What a route takes.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    /// Its path has the name of a collection.
    pub(super) has_name: bool,
    /// The fields stand in the query, or else in the body.
    pub(super) in_query: bool,
    pub(super) fields: &'static [Field],
}

/// The fields of a request, by their names.
pub(super) struct Given {
    name: Option<String>,
    values: BTreeMap<&'static str, Value>,
}

impl Given {
    /// `segment`: the name in the path, still encoded.
    pub(super) fn read(expected: Expected, segment: &str, query: &str, body: &[u8]) -> Result<Given, Refusal> {
        let name = match expected.has_name {
            true => Some(decoded(segment)?),
            false => None,
        };
        let mut given = Given { name, values: BTreeMap::new() };
        match expected.in_query {
            true => {
                if !body.is_empty() {
                    return Err(Refusal::new("invalid_input", USAGE, "a GET has no body"));
                }
                form_urlencoded::parse(query.as_bytes())
                    .try_for_each(|(key, text)| given.take_text(expected, &key, &text))?;
            }
            false => {
                if !query.is_empty() {
                    return Err(Refusal::new("invalid_input", USAGE, "what a command takes stands in its body"));
                }
                members(body)?.into_iter().try_for_each(|(key, value)| given.take(expected, &key, value))?;
            }
        }
        match expected.fields.iter().find(|field| field.is_needed && !given.values.contains_key(field.name)) {
            Some(field) => Err(Refusal::field(field.name, "is missing")),
            None => Ok(given),
        }
    }

    /// A parameter of a query, which is a text whatever its form is.
    fn take_text(&mut self, expected: Expected, key: &str, text: &str) -> Result<(), Refusal> {
        let value = match expected.fields.iter().find(|field| field.name == key).map(|field| field.form) {
            Some(Form::Whole) => text.parse::<u64>().map(Value::from).map_err(|_| Refusal::field(key, WHOLE))?,
            Some(Form::Flag) => text.parse::<bool>().map(Value::from).map_err(|_| Refusal::field(key, FLAG))?,
            Some(Form::Words) => {
                let words = text.split(',').filter(|word| !word.is_empty()).map(Value::from);
                Value::Array(self.words_so_far(key).into_iter().flatten().chain(words).collect())
            }
            _ => text.into(),
        };
        self.take(expected, key, value)
    }

    fn words_so_far(&mut self, key: &str) -> Option<Vec<Value>> {
        match self.values.remove(key) {
            Some(Value::Array(words)) => Some(words),
            _ => None,
        }
    }

    fn take(&mut self, expected: Expected, key: &str, value: Value) -> Result<(), Refusal> {
        let Some(field) = expected.fields.iter().find(|field| field.name == key) else {
            return Err(Refusal {
                field: Some(key.to_owned()),
                ..Refusal::field(&format!("{key:?}"), "is not known here")
            });
        };
        let problem = match field.form {
            Form::Text if !value.is_string() => "must be a string",
            Form::Whole if !value.is_u64() => WHOLE,
            Form::Flag if !value.is_boolean() => FLAG,
            Form::Span if value.as_str().and_then(|text| humantime::parse_duration(text).ok()).is_none() => {
                "must be a time such as 300ms, 5s or 2m"
            }
            _ if self.values.insert(field.name, value).is_some() => "is said twice",
            _ => return Ok(()),
        };
        Err(Refusal::field(key, problem))
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.values.get(field).and_then(Value::as_str)
    }

    pub(super) fn number(&self, field: &str) -> Option<u64> {
        self.values.get(field).and_then(Value::as_u64)
    }

    pub(super) fn flag(&self, field: &str) -> bool {
        self.values.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn span(&self, field: &str) -> Option<Duration> {
        humantime::parse_duration(self.text(field)?).ok()
    }

    pub(super) fn words(&self, field: &str) -> Vec<String> {
        let words = self.values.get(field).and_then(Value::as_array).into_iter().flatten();
        words.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A number of entries in a page: all of `most` if it is not said.
    pub(super) fn limit(&self, most: usize) -> Result<usize, Refusal> {
        let asked = self.number("limit").map_or(Some(most), |limit| usize::try_from(limit).ok());
        let limit = asked.filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| Refusal::field("limit", format!("must be 1 to {most}")))
    }

    /// The collection in the path.
    pub(super) fn name(&self) -> Result<Name, Refusal> {
        self.named("name", self.name.as_deref().unwrap_or_default())
    }

    /// A text as the name of a collection.
    pub(super) fn named(&self, field: &str, text: &str) -> Result<Name, Refusal> {
        let wrong = |FieldError { problem, .. }: FieldError| Refusal::field(field, problem);
        Name::new(text).map_err(wrong)
    }

    pub(super) fn by(&self) -> Result<By, Refusal> {
        let actor = self.text("actor").unwrap_or("socket");
        let field = |fail: crate::fail::Fail| {
            let field = ["actor", "cause"].into_iter().find(|field| fail.message.starts_with(field));
            Refusal { field: field.map(str::to_owned), ..fail.into() }
        };
        by(actor, self.text("cause")).map_err(field)
    }
}

const WHOLE: &str = "must be a whole number";
const FLAG: &str = "must be true or false";

fn decoded(segment: &str) -> Result<String, Refusal> {
    let text = percent_decode_str(segment).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| Refusal::field("name", "must be UTF-8"))
}

/// The members of a body; of none at all there are none.
fn members(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Refusal::new("invalid_input", USAGE, "a body is one JSON object")),
    }
}
