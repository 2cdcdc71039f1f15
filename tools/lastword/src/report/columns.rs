//! How the data of a page is written down: tables in which each value stands once, and columns of numbers.
//!
//! *It must not know* what the values mean.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

/// Values that are named by their place. The same value is the same place.
#[derive(Default)]
pub(super) struct Table {
    places: HashMap<String, usize>,
    text: String,
}

impl Table {
    pub(super) fn place(&mut self, value: &Value) -> i64 {
        let key = value.to_string();
        if let Some(place) = self.places.get(&key) {
            return as_number(*place);
        }
        let place = self.places.len();
        if place > 0 {
            self.text.push(',');
        }
        self.text.push_str(&key);
        self.places.insert(key, place);
        as_number(place)
    }

    /// The place of a text.
    pub(super) fn text(&mut self, text: &str) -> i64 {
        self.place(&Value::String(text.to_owned()))
    }

    /// The same of a text that may not be there: -1.
    pub(super) fn maybe(&mut self, text: Option<&str>) -> i64 {
        text.map_or(-1, |text| self.text(text))
    }

    pub(super) fn json(&self) -> String {
        format!("[{}]", self.text)
    }
}

/// Rows of as many numbers as there are names.
pub(super) struct Columns<const N: usize> {
    names: [&'static str; N],
    texts: [String; N],
    rows: usize,
}

impl<const N: usize> Columns<N> {
    pub(super) fn new(names: [&'static str; N]) -> Columns<N> {
        Columns { names, texts: std::array::from_fn(|_| String::new()), rows: 0 }
    }

    pub(super) fn push(&mut self, row: [Option<i64>; N]) {
        for (text, value) in self.texts.iter_mut().zip(row) {
            if self.rows > 0 {
                text.push(',');
            }
            // Writing into a string does not fail.
            let _ = match value {
                Some(value) => write!(text, "{value}"),
                None => write!(text, "null"),
            };
        }
        self.rows += 1;
    }

    pub(super) fn json(&self) -> String {
        let columns: Vec<String> =
            self.names.iter().zip(&self.texts).map(|(name, text)| format!("\"{name}\":[{text}]")).collect();
        format!("{{{}}}", columns.join(","))
    }
}

pub(super) fn as_number(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of the log; those beyond what a browser counts exactly do not come about.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
