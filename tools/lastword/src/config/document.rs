//! A TOML document whose every key knows its line, so that what is wrong can be named.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong, and where: `lake.toml:7: collections.lineitem.target_rows: must be ...`.
#[derive(Debug)]
pub struct Wrong {
    file: String,
    line: usize,
    /// Empty where the document is no TOML at all.
    key: String,
    problem: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// What the parser says of a key that is there twice.
const DUPLICATE_KEY: &str = "duplicate key";

/// The text of a file.
pub(crate) struct Document<'i> {
    file: String,
    text: &'i str,
}

impl<'i> Document<'i> {
    pub(crate) fn new(file: &Path, bytes: &'i [u8]) -> Result<Document<'i>, Wrong> {
        let file = file.display().to_string();
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Document { file, text }),
            Err(error) => {
                let line = line_of(bytes, error.valid_up_to());
                Err(Wrong { file, line, key: String::new(), problem: "must be UTF-8".to_owned() })
            }
        }
    }

    pub(crate) fn parse(&self) -> Result<Spanned<DeTable<'i>>, Wrong> {
        DeTable::parse(self.text).map_err(|error| {
            // The message names what was expected; the text of the line stays out of it, but for the name of a key.
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().trim().replace('\n', ", ");
            let key = error.span().filter(|_| message == DUPLICATE_KEY).and_then(|span| self.text.get(span));
            let key = key.filter(|key| !key.contains(['=', '\n']));
            self.wrong(at, "", key.map_or_else(|| message.clone(), |key| format!("{message} {key}")))
        })
    }

    /// The table at the top.
    pub(crate) fn top<'d>(&'d self, table: &'d Spanned<DeTable<'i>>) -> Section<'d, 'i> {
        Section { document: self, path: String::new(), at: 0, table: table.get_ref() }
    }

    fn wrong(&self, at: usize, key: &str, problem: impl Into<String>) -> Wrong {
        let line = line_of(self.text.as_bytes(), at);
        Wrong { file: self.file.clone(), line, key: key.to_owned(), problem: problem.into() }
    }
}

/// Whether one letter too many, too few, another or two in the wrong order make the difference.
fn is_near(found: &str, meant: &str) -> bool {
    let (found, meant): (Vec<char>, Vec<char>) = (found.chars().collect(), meant.chars().collect());
    let same = found.iter().zip(&meant).take_while(|(a, b)| a == b).count();
    let (rest, of) = (found.get(same..).unwrap_or_default(), meant.get(same..).unwrap_or_default());
    let behind = |rest: &[char], skip: usize| rest.get(skip..).map(<[char]>::to_vec);
    let swapped = rest.len() > 1 && of.len() > 1 && rest[0] == of[1] && rest[1] == of[0];
    behind(rest, 1).is_some_and(|rest| rest == of)
        || behind(of, 1).is_some_and(|of| rest == of)
        || behind(rest, 1).is_some_and(|rest| behind(of, 1) == Some(rest))
        || swapped && behind(rest, 2) == behind(of, 2)
}

fn line_of(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// A table of the document.
pub(crate) struct Section<'d, 'i> {
    document: &'d Document<'i>,
    path: String,
    at: usize,
    table: &'d DeTable<'i>,
}

impl<'d, 'i> Section<'d, 'i> {
    /// Refuses every key but these.
    pub(crate) fn only(&self, allowed: &[&str]) -> Result<(), Wrong> {
        self.only_but(allowed, |_| None)
    }

    /// The same, with what is said of a key that belongs elsewhere.
    pub(crate) fn only_but(&self, allowed: &[&str], elsewhere: impl Fn(&str) -> Option<String>) -> Result<(), Wrong> {
        let unknown = self.fields().find(|(key, _)| !allowed.contains(key));
        let Some((key, field)) = unknown else { return Ok(()) };
        if let Some(place) = elsewhere(key) {
            return Err(field.wrong(&place));
        }
        let meant = allowed.iter().find(|allowed| is_near(key, allowed));
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        Err(field.wrong(&format!("is unknown; allowed are {}{meant}", allowed.join(", "))))
    }

    /// All keys, in their order in the file.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'d str, Field<'d, 'i>)> + use<'d, 'i> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let (document, path) = (self.document, self.path.clone());
        entries.into_iter().map(move |(key, value)| {
            let name: &'d str = key.get_ref();
            let field = Field { document, path: join(&path, name), at: key.span().start, value: value.get_ref() };
            (name, field)
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<Field<'d, 'i>> {
        self.fields().find(|(name, _)| *name == key).map(|(_, field)| field)
    }

    pub(crate) fn require(&self, key: &str, what: &str) -> Result<Field<'d, 'i>, Wrong> {
        self.get(key).ok_or_else(|| self.wrong(key, &format!("is missing: {what}")))
    }

    pub(crate) fn section(&self, key: &str) -> Result<Option<Section<'d, 'i>>, Wrong> {
        self.get(key).map(|field| field.section()).transpose()
    }

    /// Something about a key of this table, which may not be there.
    pub(crate) fn wrong(&self, key: &str, problem: &str) -> Wrong {
        let at = self.get(key).map_or(self.at, |field| field.at);
        self.document.wrong(at, &join(&self.path, key), problem)
    }
}

/// One key with its value.
pub(crate) struct Field<'d, 'i> {
    document: &'d Document<'i>,
    path: String,
    at: usize,
    value: &'d DeValue<'i>,
}

impl<'d, 'i> Field<'d, 'i> {
    pub(crate) fn wrong(&self, problem: &str) -> Wrong {
        self.document.wrong(self.at, &self.path, problem)
    }

    /// The line of the key.
    pub(crate) fn line(&self) -> usize {
        line_of(self.document.text.as_bytes(), self.at)
    }

    pub(crate) fn value(&self) -> &'d DeValue<'i> {
        self.value
    }

    pub(crate) fn text(&self) -> Result<&'d str, Wrong> {
        match self.value {
            DeValue::String(text) => Ok(text),
            other => Err(self.wrong(&format!("must be a string, found {}", kind(other)))),
        }
    }

    pub(crate) fn section(&self) -> Result<Section<'d, 'i>, Wrong> {
        match self.value {
            DeValue::Table(table) => {
                Ok(Section { document: self.document, path: self.path.clone(), at: self.at, table })
            }
            other => Err(self.wrong(&format!("must be a table, found {}", kind(other)))),
        }
    }

    pub(crate) fn whole(&self, least: u64, most: u64) -> Result<u64, Wrong> {
        let found = match self.value {
            DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(whole) if (least..=most).contains(&whole) => return Ok(whole),
                _ => number.to_string(),
            },
            DeValue::Float(number) => number.to_string(),
            other => kind(other).to_owned(),
        };
        let above = matches!(self.value, DeValue::Integer(number) if !number.as_str().starts_with('-'))
            && !matches!(self.value, DeValue::Integer(number) if u64::from_str_radix(number.as_str(), number.radix()).is_ok_and(|whole| whole < least));
        let limit = if above { format!("at most {most}") } else { format!("at least {least}") };
        Err(self.wrong(&format!("must be a whole number of {limit}, found {found}")))
    }

    pub(crate) fn boolean(&self) -> Result<bool, Wrong> {
        match self.value {
            DeValue::Boolean(found) => Ok(*found),
            other => Err(self.wrong(&format!("must be true or false, found {}", kind(other)))),
        }
    }

    pub(crate) fn duration(&self) -> Result<Duration, Wrong> {
        self.duration_as("must be a duration such as \"200ms\" or \"5s\"")
    }

    /// `allowed`: what is said of anything else.
    pub(crate) fn duration_as(&self, allowed: &str) -> Result<Duration, Wrong> {
        match self.value {
            DeValue::String(text) => humantime::parse_duration(text).map_err(|_| self.wrong(allowed)),
            other => Err(self.wrong(&format!("{allowed}, found {}", kind(other)))),
        }
    }
}

/// What kind of value was found; never the value itself.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The path of a key: one that TOML would have in quotes is in quotes.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
