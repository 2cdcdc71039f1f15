//! How a source is read, laid out and built: the spec of an external collection. It must not know how any of
//! that is done.

use serde_json::{Map, Value};

use super::{FieldError, Patterns};

/// Files of any kind, which are not cut.
pub(super) const FILES: &str = "files";

/// Files of Parquet, which are cut at their row groups.
pub(super) const PARQUET: &str = "parquet";

/// The names of the formats that the library brings, in ascending order.
pub(super) const BROUGHT: &[&str] = &[
    FILES,
    #[cfg(feature = "external")]
    PARQUET,
];

/// A changed document rebuilds itself and nothing else; rows are many to a segment.
fn default_target_rows(format: &str) -> u64 {
    if format == FILES { 1 } else { 1_000_000 }
}

/// The greatest whole number that every JSON implementation reads exactly: 2^53 - 1.
const MAX_TARGET_ROWS: u64 = (1 << 53) - 1;

const MAX_RECIPE_BYTES: usize = 256;

const KEYS: [&str; 8] =
    ["format", "target_rows", "columns", "params", "recipe", "follow_symlinks", "include", "exclude"];

/// The spec of an external collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalSpec {
    /// The format of the files: `parquet`, `files` for documents of any kind, or one that [`External::format`](super::External::format) was given.
    pub format: String,
    /// About how many rows a segment has: a million if nothing else is said. Of `files`, how many files: one if nothing else
    /// is said.
    pub target_rows: u64,
    /// The *read keys*: the columns the result is built from, in the order given; `None` for all. A column is named
    /// by its field at the top of the schema, or by the dotted path of a leaf.
    pub columns: Option<Vec<String>>,
    /// Free parameters of the builder, as canonical JSON (RFC 8785).
    pub params: Option<Vec<u8>>,
    /// The user's version of the code that builds.
    pub recipe: Option<String>,
    /// Whether symbolic links below the source are followed.
    pub follow_symlinks: bool,
    /// Only files that one of these matches are data; `None` for all. Which segments are built anew when they change
    /// follows from the files that they select, not from the patterns.
    pub include: Option<Patterns>,
    /// What one of these matches is no data: a file, or a directory with all that lies below it. It counts before
    /// `include`, and before the rules for names and for tables.
    pub exclude: Option<Patterns>,
}

impl ExternalSpec {
    /// The members that a spec may have.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        KEYS.into_iter()
    }

    /// Reads and checks a spec from the text of one JSON object. Duplicate keys are the caller's to refuse: the
    /// canonical form has none.
    ///
    /// # Errors
    /// The first field that is wrong, and what is allowed there.
    pub fn parse(text: &str) -> Result<ExternalSpec, FieldError> {
        ExternalSpec::parse_with(text, BROUGHT)
    }

    /// The same, where other formats are known.
    pub(super) fn parse_with(text: &str, formats: &[&str]) -> Result<ExternalSpec, FieldError> {
        let value =
            serde_json::from_str(text).map_err(|error| FieldError::new("spec", format!("must be JSON: {error}")))?;
        ExternalSpec::read(&value, formats)
    }

    /// Reads and checks a spec of files in a format that the library brings.
    ///
    /// # Errors
    /// The first field that is wrong, and what is allowed there.
    pub fn from_json(value: &Value) -> Result<ExternalSpec, FieldError> {
        ExternalSpec::read(value, BROUGHT)
    }

    fn read(value: &Value, formats: &[&str]) -> Result<ExternalSpec, FieldError> {
        let Value::Object(fields) = value else {
            return Err(FieldError::new("spec", format!("must be a JSON object, found {}", kind(value))));
        };
        for key in fields.keys() {
            if !KEYS.contains(&key.as_str()) {
                return Err(FieldError::new(field(key), format!("is unknown; allowed are {}", KEYS.join(", "))));
            }
        }
        let format = format(fields, formats)?;
        let columns = columns(fields)?;
        if format == FILES && columns.is_some() {
            return Err(FieldError::new(field("columns"), "must not be given: files that are not cut have no columns"));
        }
        Ok(ExternalSpec {
            target_rows: target_rows(fields, default_target_rows(&format))?,
            format,
            columns,
            params: params(fields)?,
            recipe: recipe(fields)?,
            follow_symlinks: follow_symlinks(fields)?,
            include: patterns(fields, "include")?,
            exclude: patterns(fields, "exclude")?,
        })
    }
}

fn format(fields: &Map<String, Value>, formats: &[&str]) -> Result<String, FieldError> {
    let problem = match fields.get("format") {
        Some(Value::String(format)) if formats.contains(&format.as_str()) => return Ok(format.clone()),
        Some(Value::String(format)) => format!("found {}", shortened(format)),
        Some(other) => format!("found {}", kind(other)),
        None => "it is missing".to_owned(),
    };
    let allowed: Vec<String> = formats.iter().map(|name| format!("{name:?}")).collect();
    let allowed = if allowed.is_empty() { "a format that this program reads".to_owned() } else { allowed.join(" or ") };
    Err(FieldError::new(field("format"), format!("must be {allowed}, {problem}")))
}

fn target_rows(fields: &Map<String, Value>, default: u64) -> Result<u64, FieldError> {
    let Some(value) = fields.get("target_rows") else { return Ok(default) };
    if let Some(rows) = value.as_u64().filter(|rows| (1..=MAX_TARGET_ROWS).contains(rows)) {
        return Ok(rows);
    }
    let limit = if value.as_u64().unwrap_or(0) > MAX_TARGET_ROWS { "at most 9007199254740991" } else { "at least 1" };
    let found = if value.is_number() { shortened(&value.to_string()) } else { kind(value).to_owned() };
    Err(FieldError::new(field("target_rows"), format!("must be a whole number of {limit}, found {found}")))
}

fn columns(fields: &Map<String, Value>) -> Result<Option<Vec<String>>, FieldError> {
    let refuse = |problem: String| Err(FieldError::new(field("columns"), problem));
    let Some(value) = fields.get("columns") else { return Ok(None) };
    let Value::Array(items) = value else {
        return refuse(format!("must be an array of column names, found {}", kind(value)));
    };
    let mut columns = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::String(name) if !name.is_empty() => columns.push(name.clone()),
            Value::String(_) => return refuse("must not hold an empty name".to_owned()),
            other => return refuse(format!("must be an array of column names, found {} in it", kind(other))),
        }
    }
    let mut sorted: Vec<_> = columns.iter().collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return refuse(format!("must be distinct, found {} twice", shortened(pair[0])));
    }
    if columns.is_empty() {
        return refuse("must name at least one column; leave it out to read all".to_owned());
    }
    Ok(Some(columns))
}

fn patterns(fields: &Map<String, Value>, key: &str) -> Result<Option<Patterns>, FieldError> {
    let refuse = |problem: String| FieldError::new(field(key), problem);
    let Some(value) = fields.get(key) else { return Ok(None) };
    let Value::Array(items) = value else {
        return Err(refuse(format!("must be an array of patterns, found {}", kind(value))));
    };
    let text = |item: &Value| match item {
        Value::String(text) => Ok(text.clone()),
        other => Err(refuse(format!("must be an array of patterns, found {} in it", kind(other)))),
    };
    let texts = items.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Patterns::new(&texts).map(Some).map_err(refuse)
}

fn params(fields: &Map<String, Value>) -> Result<Option<Vec<u8>>, FieldError> {
    let refuse = |problem: String| FieldError::new(field("params"), problem);
    match fields.get("params") {
        None => Ok(None),
        Some(value @ Value::Object(_)) => serde_json_canonicalizer::to_vec(value)
            .map(Some)
            .map_err(|error| refuse(format!("has no canonical form: {error}"))),
        Some(other) => Err(refuse(format!("must be a JSON object, found {}", kind(other)))),
    }
}

fn recipe(fields: &Map<String, Value>) -> Result<Option<String>, FieldError> {
    let refuse = |problem: String| Err(FieldError::new(field("recipe"), problem));
    match fields.get("recipe") {
        None => Ok(None),
        Some(Value::String(recipe)) if recipe.len() <= MAX_RECIPE_BYTES => Ok(Some(recipe.clone())),
        Some(Value::String(recipe)) => {
            refuse(format!("must have at most {MAX_RECIPE_BYTES} bytes, found {}", recipe.len()))
        }
        Some(other) => refuse(format!("must be a string, found {}", kind(other))),
    }
}

fn follow_symlinks(fields: &Map<String, Value>) -> Result<bool, FieldError> {
    match fields.get("follow_symlinks") {
        None => Ok(false),
        Some(Value::Bool(follow)) => Ok(*follow),
        Some(other) => {
            Err(FieldError::new(field("follow_symlinks"), format!("must be true or false, found {}", kind(other))))
        }
    }
}

fn field(key: &str) -> String {
    let key: String = key.chars().take(64).filter(|c| !c.is_control()).collect();
    format!("spec.{key}")
}

/// What kind of value was found. Never the value itself: it may be a credential in the wrong place.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A name or number of a user, fit for one line.
fn shortened(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As with every format that there is, whatever the features.
    fn parse(text: &str) -> Result<ExternalSpec, FieldError> {
        ExternalSpec::parse_with(text, &[FILES, "parquet"])
    }

    #[test]
    fn a_spec_has_defaults() {
        let spec = parse(r#"{"format":"parquet"}"#).unwrap();
        let expected = ExternalSpec {
            format: "parquet".into(),
            target_rows: 1_000_000,
            columns: None,
            params: None,
            recipe: None,
            follow_symlinks: false,
            include: None,
            exclude: None,
        };
        assert_eq!(spec, expected);
        let text = r#"{"format":"parquet","target_rows":9007199254740991,"columns":["b","a"],"params":{"z":1.0,"a":[]},"recipe":"v2","follow_symlinks":true}"#;
        let spec = parse(text).unwrap();
        assert_eq!(spec.target_rows, 9_007_199_254_740_991);
        assert_eq!(spec.columns, Some(vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(spec.params.as_deref(), Some(&br#"{"a":[],"z":1}"#[..]));
        assert_eq!(spec.recipe.as_deref(), Some("v2"));
        assert!(spec.follow_symlinks);
        let spec = parse(r#"{"format":"parquet","include":["*.parquet"],"exclude":["tmp_*","a/b"]}"#).unwrap();
        assert!(spec.include.unwrap().is_match(b"x/a.parquet"));
        assert!(spec.exclude.unwrap().is_match(b"a/b"));
    }

    #[test]
    fn case_38_what_is_wrong_is_named_with_what_is_allowed() {
        for (text, expected) in [
            ("{", "spec: must be JSON: EOF while parsing"),
            ("[]", "spec: must be a JSON object, found an array"),
            ("{}", "spec.format: must be \"files\" or \"parquet\", it is missing"),
            (r#"{"format":"csv"}"#, "spec.format: must be \"files\" or \"parquet\", found csv"),
            (r#"{"format":1}"#, "spec.format: must be \"files\" or \"parquet\", found a number"),
            (r#"{"format":"parquet","rows":1}"#, "spec.rows: is unknown; allowed are format, target_rows, columns"),
            (
                r#"{"format":"parquet","target_rows":0}"#,
                "spec.target_rows: must be a whole number of at least 1, found 0",
            ),
            (
                r#"{"format":"parquet","target_rows":-5}"#,
                "spec.target_rows: must be a whole number of at least 1, found -5",
            ),
            (
                r#"{"format":"parquet","target_rows":1.5}"#,
                "spec.target_rows: must be a whole number of at least 1, found 1.5",
            ),
            (
                r#"{"format":"parquet","target_rows":"9"}"#,
                "spec.target_rows: must be a whole number of at least 1, found a string",
            ),
            (
                r#"{"format":"parquet","target_rows":9007199254740992}"#,
                "of at most 9007199254740991, found 9007199254740992",
            ),
            (r#"{"format":"parquet","columns":"a"}"#, "spec.columns: must be an array of column names, found a string"),
            (r#"{"format":"parquet","columns":["a",""]}"#, "spec.columns: must not hold an empty name"),
            (r#"{"format":"parquet","columns":["a","b","a"]}"#, "spec.columns: must be distinct, found a twice"),
            (r#"{"format":"parquet","columns":[]}"#, "spec.columns: must name at least one column"),
            (r#"{"format":"parquet","params":[]}"#, "spec.params: must be a JSON object, found an array"),
            (r#"{"format":"parquet","recipe":7}"#, "spec.recipe: must be a string, found a number"),
            (
                r#"{"format":"parquet","follow_symlinks":"yes"}"#,
                "spec.follow_symlinks: must be true or false, found a string",
            ),
            (
                r#"{"format":"parquet","include":"*.parquet"}"#,
                "spec.include: must be an array of patterns, found a string",
            ),
            (r#"{"format":"parquet","include":[]}"#, "spec.include: must hold 1 to 64 patterns, found 0"),
            (
                r#"{"format":"parquet","exclude":["a",1]}"#,
                "spec.exclude: must be an array of patterns, found a number in it",
            ),
            (
                r#"{"format":"parquet","exclude":["a["]}"#,
                "spec.exclude: holds the pattern a[, which is wrong: unclosed character class",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let long = format!(r#"{{"format":"parquet","recipe":"{}"}}"#, "x".repeat(257));
        assert!(parse(&long).unwrap_err().to_string().contains("at most 256 bytes, found 257"));
    }
}
