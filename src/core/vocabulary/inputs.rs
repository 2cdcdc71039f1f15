//! What a collection is to be built from: sources, specs, versions, and the fingerprint over them.
//!
//! Every type here can only be made from input that was checked, so nothing behind it checks again.

use std::fmt;
use std::sync::{Arc, LazyLock};

use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};
use serde_json::Value;

use super::names::{check_text, text_traits};
use super::secrets::{refuse_credential, refuse_secrets};
use super::{FieldError, Fingerprint, ObjectHash, write_hex};

/// Where the data comes from: a path or URI. Whether a kind can read it is for that kind to say; checked here
/// is what holds for every source: 1 to 4,096 bytes, no control characters, no password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(Arc<str>);

impl Source {
    /// The most bytes a source may have: the longest path that Linux takes.
    pub const MOST_BYTES: usize = 4096;

    /// Checks a source.
    ///
    /// # Errors
    /// When it is empty, too long, holds control characters or a password.
    pub fn new(text: &str) -> Result<Source, FieldError> {
        check_text("source", text, Self::MOST_BYTES)?;
        refuse_credential("source", text)?;
        Ok(Source(text.into()))
    }

    /// A source as a log has it. It was checked when it was declared; rules that became stricter since do not make
    /// an old log unreadable.
    ///
    /// # Errors
    /// When it is no text that any version would have logged.
    pub(crate) fn recorded(text: &str) -> Result<Source, FieldError> {
        check_text("source", text, Self::MOST_BYTES)?;
        Ok(Source(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_traits!(Source, new);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How the source is read, laid out and built: one JSON object in canonical form (RFC 8785), so that key order
/// and white space make no difference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spec(Arc<str>);

/// The canonical form of the empty object.
const EMPTY: &str = "{}";

impl Spec {
    /// The most bytes a canonical spec may have. A spec is configuration; what is larger is data and belongs
    /// into the source.
    pub const MOST_BYTES: usize = 64 * 1024;

    /// Checks a spec and brings it into canonical form.
    ///
    /// # Errors
    /// When it is no JSON object, names a key twice, holds a number that canonical form would change, holds a
    /// credential in plain text, or is too long.
    pub fn parse(json: &str) -> Result<Spec, FieldError> {
        let value = super::json::parse_strict("spec", json)?;
        // The length first: what follows names the place of every value, which in an endless spec has no end.
        let spec = Spec::canonical(&value)?;
        super::json::check_numbers("spec", &value)?;
        refuse_secrets("spec", &value)?;
        // What is logged now has to be readable for ever.
        Spec::recorded(spec.as_str())?;
        Ok(spec)
    }

    /// A spec as a log has it: canonical already. It was checked when it was declared; rules that became stricter
    /// since do not make an old log unreadable.
    ///
    /// # Errors
    /// When it is no JSON object in canonical form.
    pub(crate) fn recorded(text: &str) -> Result<Spec, FieldError> {
        if text == EMPTY {
            return Ok(Spec::default());
        }
        let value = serde_json::from_str(text).map_err(|error| FieldError::new("spec", error.to_string()))?;
        let spec = Spec::canonical(&value)?;
        if spec.as_str() == text { Ok(spec) } else { Err(FieldError::new("spec", "is not in canonical form")) }
    }

    fn canonical(value: &Value) -> Result<Spec, FieldError> {
        if !value.is_object() {
            return Err(FieldError::new("spec", "must be a JSON object"));
        }
        let canonical =
            serde_json_canonicalizer::to_string(value).map_err(|e| FieldError::new("spec", e.to_string()))?;
        if canonical.len() > Self::MOST_BYTES {
            return Err(FieldError::new(
                "spec",
                format!("must have at most {} bytes, found {}", Self::MOST_BYTES, canonical.len()),
            ));
        }
        Ok(if canonical == EMPTY { Spec::default() } else { Spec(canonical.into()) })
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spec as a JSON value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        // A spec was parsed to be made, so it parses; an empty object stands for what cannot happen.
        serde_json::from_str(&self.0).unwrap_or_else(|_| Value::Object(serde_json::Map::new()))
    }
}

impl Default for Spec {
    /// The empty object: one for all, because many kinds need no more.
    fn default() -> Spec {
        static SHARED: LazyLock<Spec> = LazyLock::new(|| Spec(EMPTY.into()));
        SHARED.clone()
    }
}

text_traits!(Spec, parse);

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a source was observed to contain: 1 to 64 opaque bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(Box<[u8]>);

impl Version {
    /// The most bytes a version may have: room for two of the usual digests.
    pub const MOST_BYTES: usize = 64;

    /// Checks a version.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn new(bytes: &[u8]) -> Result<Version, FieldError> {
        if bytes.is_empty() || bytes.len() > Self::MOST_BYTES {
            return Err(FieldError::new(
                "version",
                format!("must have 1 to {} bytes, found {}", Self::MOST_BYTES, bytes.len()),
            ));
        }
        Ok(Version(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Version {
    type Error = FieldError;

    fn try_from(bytes: &[u8]) -> Result<Version, FieldError> {
        Version::new(bytes)
    }
}

impl AsRef<[u8]> for Version {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Hexadecimal.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

/// The files that an observation found: the root of an immutable tree of objects, and what it adds up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathSetRef {
    /// The root object of the set.
    pub root: ObjectHash,
    /// How many files it holds.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
}

/// What an observation says of a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceState {
    /// The version.
    pub version: Version,
    /// The files behind it, for kinds that read files.
    pub set: Option<PathSetRef>,
}

/// What a collection may be built from: source, spec and, for a versioned collection, what the source holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inputs {
    /// Where the data comes from.
    pub source: Source,
    /// How it is read, laid out and built.
    pub spec: Spec,
    /// What the source holds.
    pub content: Content,
}

/// What is known of the content of a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// The collection is unversioned: only source and spec count.
    Unversioned,
    /// The collection is versioned and this source was not observed yet.
    Unknown,
    /// The last observation.
    Observed(Arc<SourceState>),
}

impl Inputs {
    /// The fingerprint of these inputs, or `None` while the content is unknown.
    ///
    /// BLAKE3 in its key-derivation mode with the context `lastword 2026-11-23 fingerprint v1`, over: length of
    /// the source as u64 little-endian, source, length of the spec, spec, then the byte 0 for *unversioned* or
    /// the byte 1, the length of the version and the version.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        static CONTEXT: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context("lastword 2026-11-23 fingerprint v1"));
        let mut hasher = blake3::Hasher::new_from_context_key(&CONTEXT);
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        add(self.source.as_str().as_bytes());
        add(self.spec.as_str().as_bytes());
        match &self.content {
            Content::Unknown => return None,
            Content::Unversioned => {
                hasher.update(&[0]);
            }
            Content::Observed(observed) => {
                let version = observed.version.as_bytes();
                hasher.update(&[1]).update(&(version.len() as u64).to_le_bytes()).update(version);
            }
        }
        Some(Fingerprint(*hasher.finalize().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_10_key_order_and_white_space_are_no_change() {
        let a = Spec::parse(r#"{"b": 1.0, "a": [ "x" ]}"#).unwrap();
        let b = Spec::parse(r#"{"a":["x"],"b":1}"#).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.as_str(), r#"{"a":["x"],"b":1}"#);
    }

    #[test]
    fn case_38_a_spec_is_refused_by_field() {
        let problem = |json: &str| Spec::parse(json).unwrap_err().to_string();
        assert!(problem("nonsense").starts_with("spec: must be JSON"), "{}", problem("nonsense"));
        assert_eq!(problem("[1]"), "spec: must be a JSON object");
        assert!(problem(r#"{"a":1,"a":2}"#).contains("\"a\" twice"), "{}", problem(r#"{"a":1,"a":2}"#));
        for large in
            ["9007199254740993", "1e16", "1e17", "-1e17", "9007199254740993.0", "1e300", "18446744073709551616"]
        {
            let spec = format!(r#"{{"n":{large}}}"#);
            assert!(problem(&spec).starts_with("spec.n: whole numbers"), "{}", problem(&spec));
        }
    }

    #[test]
    fn what_is_declared_can_be_read_back() {
        for number in ["0.1", "1e-7", "-0.0", "9007199254740991", "1.5e15", "5e-324", "123456789.125"] {
            let spec = Spec::parse(&format!(r#"{{"n":{number}}}"#)).unwrap();
            assert_eq!(Spec::recorded(spec.as_str()), Ok(spec.clone()), "{number}");
            assert_eq!(Spec::parse(spec.as_str()), Ok(spec), "{number}");
        }
    }

    #[test]
    fn case_39_credentials_are_refused_by_name_and_kept_by_reference() {
        for bad in [
            r#"{"password":"x"}"#,
            r#"{"s3":{"secret_access_key":"x"}}"#,
            r#"{"a":[{"Api-Key":"x"}]}"#,
            r#"{"token":1}"#,
        ] {
            let error = Spec::parse(bad).unwrap_err();
            assert!(error.problem.contains("env:NAME"), "{error}");
            assert!(!error.to_string().contains("\"x\""), "{error}");
        }
        assert!(Spec::parse(r#"{"password":"env:DB_PASSWORD","token_count":3}"#).is_ok());
        assert!(Spec::parse(r#"{"url":"https://u:p@h/x"}"#).unwrap_err().field == "spec.url");
        assert!(Source::new("https://user:pw@host/x").is_err());
        assert!(Source::new("https://host/x?X-Amz-Signature=abc").is_err());
        assert!(Source::new("https://user@host/x").is_ok());
        assert!(Source::new("/a:b@c/x").is_ok());
        assert!(Source::new("https://host:8080/x@y").is_ok());
        assert!(Source::new("https://[::1]:80/x@y").is_ok());
        for hidden in
            ["https://u:hunter2@h/x\n", "dsn\tpostgres://u:hunter2@h/db", "https://ok/x,https://u:hunter2@h/x"]
        {
            let spec = serde_json::json!({ "url": hidden }).to_string();
            assert_eq!(Spec::parse(&spec).unwrap_err().field, "spec.url", "{hidden:?}");
        }
        let long = format!("{{\"url\":\"https://u:hunter2@h/{}\"}}", "x".repeat(5000));
        assert!(Spec::parse(&long).is_err());
        assert!(Source::new("https://u:hun/ter2@h/x").is_err());
    }

    #[test]
    fn a_fingerprint_separates_its_parts() {
        let inputs = |source: &str, spec: &str, content| Inputs {
            source: Source::new(source).unwrap(),
            spec: Spec::parse(spec).unwrap(),
            content,
        };
        let seen =
            |bytes: &[u8]| Content::Observed(SourceState { version: Version::new(bytes).unwrap(), set: None }.into());
        let a = inputs("s", "{}", Content::Unversioned).fingerprint().unwrap();
        assert_eq!(a.to_string(), "29a865ad921bb2bbb370bd0daa86143e15bb21571406f539a7914f38e5ec1631");
        assert_ne!(Some(a), inputs("s", "{}", seen(&[0])).fingerprint());
        assert_ne!(inputs("s", "{}", seen(&[0])).fingerprint(), inputs("s", "{}", seen(&[0, 0])).fingerprint());
        assert_eq!(inputs("s", "{}", Content::Unknown).fingerprint(), None);
    }
}
