//! What a user may write as a source in an object store: `s3://bucket/prefix/` and its kin. It must not know how one is
//! reached.

use std::fmt;

use super::FieldError;

/// The longest name of a bucket, in bytes: names with dots in them may be so long at Google, others have 63 at most.
const MAX_BUCKET_BYTES: usize = 222;

/// The longest key that any of the stores takes, in bytes.
const MAX_KEY_BYTES: usize = 1_024;

/// Kinds of object stores, each by the scheme of its URIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 3] = [Scheme::S3, Scheme::Gs, Scheme::Az];

    /// As it stands in front of `://`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Gs => "gs",
            Scheme::Az => "az",
        }
    }

    /// What its URIs call the place that holds objects.
    fn noun(self) -> &'static str {
        match self {
            Scheme::S3 | Scheme::Gs => "bucket",
            Scheme::Az => "container",
        }
    }

    pub(super) fn of(text: &str) -> Option<Scheme> {
        Scheme::ALL.into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A bucket or container, as `s3://bucket`. Where it is, and with which credentials it is reached, is not a part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    scheme: Scheme,
    name: String,
}

impl Bucket {
    /// Reads `s3://bucket`, as stores are named in a configuration.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub fn parse(text: &str) -> Result<Bucket, String> {
        let allowed = "must name a bucket, as s3://bucket, gs://bucket or az://container";
        let (scheme, name) = text.split_once("://").ok_or(allowed)?;
        let scheme = Scheme::of(scheme).ok_or(allowed)?;
        let name = name.strip_suffix('/').unwrap_or(name);
        // What stands behind a user's name and password is not repeated.
        let of_prefix = name.split_once('/').filter(|_| !name.contains('@'));
        if let Some(bucket) = of_prefix.and_then(|(bucket, _)| Bucket::new(scheme, bucket).ok()) {
            return Err(format!("must name the bucket alone, without a prefix, as {bucket}"));
        }
        Bucket::new(scheme, name)
    }

    fn new(scheme: Scheme, name: &str) -> Result<Bucket, String> {
        let noun = scheme.noun();
        if name.contains('@') {
            return Err(format!(
                "must not hold a user, a password or an account: credentials have a place of their own, and a {noun} has no @"
            ));
        }
        let is_in = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let ends = [name.bytes().next(), name.bytes().next_back()];
        let ends_well = ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
        let length = 3..=MAX_BUCKET_BYTES;
        if !ends_well || !name.bytes().all(is_in) || !length.contains(&name.len()) {
            return Err(format!(
                "names no {noun}: one has 3 to {MAX_BUCKET_BYTES} letters, digits, dots, hyphens and underscores, and \
                 begins and ends with a letter or digit"
            ));
        }
        Ok(Bucket { scheme, name: name.to_owned() })
    }

    /// The kind of the store.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// `s3://bucket`
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.name)
    }
}

/// A source in an object store: the objects of a bucket whose keys begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketPrefix {
    bucket: Bucket,
    prefix: String,
}

impl BucketPrefix {
    /// What follows `s3:`, with its slashes. Nothing of it is percent-encoded: keys are written as they are.
    pub(super) fn parse(scheme: Scheme, rest: &str) -> Result<BucketPrefix, FieldError> {
        let wrong = |problem: String| FieldError::new("source", problem);
        let form = format!("allowed is {scheme}://{}/prefix/", scheme.noun());
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(wrong(format!("has one slash where {scheme}: is followed by two; {form}")));
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket = Bucket::new(scheme, name).map_err(|problem| wrong(format!("{problem}; {form}")))?;
        if prefix.chars().any(char::is_control) {
            return Err(wrong("must not contain control characters".to_owned()));
        }
        if prefix.len() > MAX_KEY_BYTES {
            let length = prefix.len();
            return Err(wrong(format!("has a prefix of {length} bytes; at most {MAX_KEY_BYTES} are allowed")));
        }
        if prefix.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(wrong("must not contain `.` or `..`; name the prefix itself".to_owned()));
        }
        if prefix.starts_with('/') || prefix.contains("//") {
            return Err(wrong("must not contain an empty part (//) in its prefix".to_owned()));
        }
        // What is meant is what lies below it, and not every key that begins so.
        let end = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        Ok(BucketPrefix { bucket, prefix: format!("{prefix}{end}") })
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What the keys begin with: nothing, or something that ends with a slash.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether all objects of the other one are among those of this one, and not the other way round.
    #[cfg(feature = "_buckets")]
    pub(super) fn encloses(&self, other: &BucketPrefix) -> bool {
        self.bucket == other.bucket && self != other && other.prefix.starts_with(&self.prefix)
    }
}

/// `s3://bucket/prefix/`
impl fmt::Display for BucketPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.prefix)
    }
}
