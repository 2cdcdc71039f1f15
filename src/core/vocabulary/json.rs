//! JSON, read strictly: no key twice, and no number that canonical form would change.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::FieldError;

/// The largest whole number that every JSON reader keeps exact (2^53 - 1, RFC 8785 and RFC 7493).
const MOST_EXACT: u64 = (1 << 53) - 1;

/// Parses a JSON text, which must be all there is.
pub(super) fn parse_strict(field: &str, json: &str) -> Result<Value, FieldError> {
    let Strict(value) =
        serde_json::from_str(json).map_err(|error| FieldError::new(field, format!("must be JSON: {error}")))?;
    Ok(value)
}

/// What kind of value was found. Never the value itself: it may be a credential in the wrong place.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A number as it was given; of everything else, what kind of value it is.
pub(super) fn found(value: &Value) -> String {
    if value.is_number() { shortened(&value.to_string()) } else { kind(value).to_owned() }
}

/// A key or a number of a user, fit for one line.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// Refuses whole numbers that lose digits as IEEE 754 doubles.
pub(super) fn check_numbers(path: &str, value: &Value) -> Result<(), FieldError> {
    match value {
        Value::Number(number) => {
            // Canonical form writes 1e16 as a whole number, so how a number was spelled makes no difference.
            #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is exact as a double")]
            if number.as_f64().is_none_or(|value| value.abs() > MOST_EXACT as f64 && value.fract() == 0.0) {
                return Err(FieldError::new(
                    path,
                    format!("whole numbers must lie within ±{MOST_EXACT}, found {number}; write it as a string"),
                ));
            }
            Ok(())
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(at, item)| check_numbers(&format!("{path}[{at}]"), item))
        }
        Value::Object(members) => {
            members.iter().try_for_each(|(key, member)| check_numbers(&format!("{path}.{key}"), member))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// A JSON value of which every object names each key once. `serde_json::Value` keeps the last of two.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(de::Error::custom(format!("an object names the key {key:?} twice")));
            }
            let Strict(member) = map.next_value()?;
            members.insert(key, member);
        }
        Ok(Value::Object(members))
    }
}
