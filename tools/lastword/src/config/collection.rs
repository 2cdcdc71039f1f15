//! One `[collections.NAME]`: its source, its spec and its policies.

use std::path::{Component, Path, PathBuf};

use lastword::core::vocabulary::{Declaration, FieldError, Kind, Name, Policy, Source, Spec};
use lastword::external::{ExternalSpec, SourceLocation, SourceUri};
use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use super::document::{Field, Section, Wrong, kind};
use super::policy;
use crate::fail::{Fail, USAGE};

/// The kind of every collection of a configuration file.
pub(crate) const KIND: &str = "external";

/// The greatest whole number that every JSON implementation reads exactly: 2^53 - 1.
const MOST_ROWS: u64 = (1 << 53) - 1;

/// One collection of the file.
#[derive(Debug)]
pub struct Entry {
    pub(crate) name: Name,
    /// The line that begins it.
    pub(crate) line: usize,
    pub source: SourceLocation,
    pub(crate) layout: ExternalSpec,
    pub(crate) spec: Spec,
    pub(crate) policy: Policy,
}

impl Entry {
    /// What the engine is told.
    pub fn declaration(&self) -> Result<Declaration, Fail> {
        let wrong = |error: FieldError| Fail::new(USAGE, format!("{}: {error}", self.name));
        let mut declaration = Declaration::new(self.name.clone());
        declaration.kind = Some(Kind::new(KIND).map_err(wrong)?);
        declaration.source = Some(Source::new(&self.source.url()).map_err(wrong)?);
        declaration.spec = Some(self.spec.clone());
        declaration.versioned = Some(true);
        declaration.policy = Some(self.policy.clone());
        Ok(declaration)
    }
}

/// All keys of a collection.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    ["source", "spec", "target_rows"].into_iter().chain(policy::keys())
}

pub(super) fn read(
    name: &str,
    field: &Field<'_, '_>,
    defaults: Option<&Section<'_, '_>>,
    (base, state): (&Path, &Path),
) -> Result<Entry, Wrong> {
    let name = Name::new(name).map_err(|error| field.wrong(&error.problem))?;
    let section = field.section()?;
    section.only_but(&keys().collect::<Vec<_>>(), |key| {
        ExternalSpec::keys()
            .any(|known| known == key)
            .then(|| format!("belongs in the spec: spec = {{ .., {key} = .. }}"))
    })?;

    let at = section.require("source", "a path of a directory, or a prefix of a bucket: s3://bucket/prefix/")?;
    let source = SourceUri::parse(at.text()?).and_then(|uri| uri.resolve(base));
    let source = source.map_err(|error| at.wrong(&error.problem))?;
    if source.bucket().is_some_and(|prefix| prefix.prefix().contains(['*', '?'])) {
        return Err(at.wrong(
            "must be a prefix, and neither a pattern nor a query: name the prefix, and which of its objects count by \
             include of the spec, as include = [\"*.txt\"]",
        ));
    }
    if source.directory().is_some_and(|directory| lexical(state).starts_with(directory)) {
        return Err(at.wrong("must not hold the log (state), which changes with every observation"));
    }
    let (layout, spec) = spec(&section)?;
    let policy = policy::read(&section, defaults)?;
    Ok(Entry { name, line: field.line(), source, layout, spec, policy })
}

/// A path without `.` and `..`, by its text alone: it need not exist yet.
fn lexical(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, component| {
        if component == Component::ParentDir {
            whole.pop();
        } else {
            whole.push(component);
        }
        whole
    })
}

/// The spec, with `target_rows` as a part of it.
fn spec(section: &Section<'_, '_>) -> Result<(ExternalSpec, Spec), Wrong> {
    let at = section.require("spec", "write spec = { format = \"parquet\" } or { format = \"files\" }")?;
    let inner = at.section()?;
    inner.only(&ExternalSpec::keys().collect::<Vec<_>>())?;
    let mut members = table(&inner)?;
    if let Some(rows) = section.get("target_rows") {
        let whole = rows.whole(1, MOST_ROWS)?;
        if members.insert("target_rows".to_owned(), whole.into()).is_some() {
            return Err(rows.wrong("is given twice, here and in the spec"));
        }
    }
    let value = Value::Object(members);
    let place = |error: FieldError| locate(&at, &inner, &error);
    let layout = ExternalSpec::from_json(&value).map_err(place)?;
    let spec = Spec::parse(&value.to_string()).map_err(place)?;
    Ok((layout, spec))
}

/// An error of the library names a field as `spec.params.password`: the key of that name is where it is reported.
fn locate(spec: &Field<'_, '_>, inner: &Section<'_, '_>, error: &FieldError) -> Wrong {
    let mut path = error.field.split('.').skip(1);
    let Some(first) = path.next() else { return spec.wrong(&error.problem) };
    let Some(mut found) = inner.get(first) else { return inner.wrong(first, &error.problem) };
    for key in path {
        match found.section().ok().and_then(|section| section.get(key)) {
            Some(field) => found = field,
            None => break,
        }
    }
    found.wrong(&error.problem)
}

fn table(section: &Section<'_, '_>) -> Result<Map<String, Value>, Wrong> {
    section.fields().map(|(key, field)| Ok((key.to_owned(), json(&field, field.value())?))).collect()
}

/// A value of TOML as JSON. Dates have no place in JSON, and not every number has.
pub(super) fn json(field: &Field<'_, '_>, value: &DeValue<'_>) -> Result<Value, Wrong> {
    match value {
        DeValue::String(text) => Ok(Value::String(text.to_string())),
        DeValue::Boolean(boolean) => Ok(Value::Bool(*boolean)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|whole| Value::Number(whole.into()))
            .map_err(|_| field.wrong("is beyond the numbers that JSON can hold")),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| field.wrong("must be a finite number")),
        DeValue::Array(items) => items.iter().map(|item| json(field, item.get_ref())).collect(),
        DeValue::Table(members) => match field.section() {
            Ok(section) => table(&section).map(Value::Object),
            // Inside an array: the key of the array is near enough for an error.
            Err(_) => members
                .iter()
                .map(|(key, member)| Ok((key.get_ref().to_string(), json(field, member.get_ref())?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
        },
        DeValue::Datetime(_) => Err(field.wrong(&format!("must not be {}; write it as a string", kind(value)))),
    }
}
