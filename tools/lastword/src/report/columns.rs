//! How the data of a page is written down: tables in which each value stands once, and columns of numbers.
//!
//! *It must not know* what the values mean.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

/// How long each part was when a page was told of it: parts only grow, so that what has come since is what stands behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<usize>);

impl Marks {
    pub(super) fn add(&mut self, length: usize) {
        self.0.push(length);
    }

    /// In the order in which they were added; the beginning where none was.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied().chain(std::iter::repeat(0))
    }
}

/// What of a list in JSON stands behind a length.
pub(super) fn tail(list: &str, from: Option<usize>) -> &str {
    let tail = list.get(from.unwrap_or(0)..).unwrap_or_default();
    tail.strip_prefix(',').unwrap_or(tail)
}

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

    pub(super) fn mark(&self, marks: &mut Marks) {
        marks.add(self.text.len());
    }

    /// What was added since, in the order of [`Table::mark`].
    pub(super) fn json(&self, lengths: &mut impl Iterator<Item = usize>) -> String {
        format!("[{}]", tail(&self.text, lengths.next()))
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

    pub(super) fn mark(&self, marks: &mut Marks) {
        self.texts.iter().for_each(|text| marks.add(text.len()));
    }

    /// What was added since, in the order of [`Columns::mark`].
    pub(super) fn json(&self, lengths: &mut impl Iterator<Item = usize>) -> String {
        let named = self.names.iter().zip(&self.texts);
        let columns: Vec<String> =
            named.map(|(name, text)| format!("\"{name}\":[{}]", tail(text, lengths.next()))).collect();
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
