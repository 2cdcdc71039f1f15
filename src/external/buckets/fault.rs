//! What goes wrong with a request, in words that are the same each time and hold no secret. It must not repeat what the
//! `object_store` crate says: its texts have URLs, bodies and times in them.

use std::error::Error as _;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};
use object_store::{Error, path};

use super::answer::Unfit;
use super::key;
use crate::external::{SourcePath, StoreError};

/// Why a request has no answer that can be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// What the store said, or why it could not be asked.
    Store(Error),
    /// Nothing has arrived for a minute; the status with which the store asks to try again later, if it does.
    Silence(Option<u16>),
    /// The runtime could not be started.
    NoThreads(io::Error),
    /// The runtime ended, or what ran on it panicked.
    Ended,
    /// The work was told to stop.
    Interrupted,
    /// What was listed cannot be used.
    Listed(StoreError),
    /// A page, or the pages together, are no listing of what was asked for: why.
    Page(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Store(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Listed(error)
    }
}

impl Fault {
    /// Whether other credentials may help.
    pub(super) fn is_refusal(&self) -> bool {
        let Fault::Store(error) = self else { return false };
        matches!(error, Error::Unauthenticated { .. } | Error::PermissionDenied { .. })
            || matches!(status_of(error), Some(400 | 401 | 403))
    }

    /// As a listing of this source fails. A bucket that is not there is missing, and not empty.
    pub(super) fn of_listing(self, source: &str) -> StoreError {
        match self {
            Fault::Store(error) if is_missing(&error) => StoreError::Missing { what: source.to_owned() },
            other => other.of(source),
        }
    }

    /// The same for each of several who waited for one listing: what was listed is told again, in words.
    pub(super) fn of_shared_listing(&self, source: &str) -> StoreError {
        match self {
            Fault::Store(error) if is_missing(error) => StoreError::Missing { what: source.to_owned() },
            Fault::Interrupted => StoreError::Interrupted,
            Fault::Listed(StoreError::Limit { what, limit }) => {
                StoreError::Limit { what: what.clone(), limit: limit.clone() }
            }
            other => unreadable(source, other.words()),
        }
    }

    /// As a read of this object fails. One that is gone, or that is another one by now, has moved.
    pub(super) fn of_object(self, path: &SourcePath) -> StoreError {
        match self {
            Fault::Store(Error::NotFound { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {
                StoreError::Moved { path: path.clone() }
            }
            other => other.of(&path.to_string()),
        }
    }

    /// Whether the store said nothing: asking it for something else takes as long.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Fault::Silence(_) | Fault::NoThreads(_) | Fault::Ended => true,
            Fault::Store(error) => is_unreached(error),
            _ => false,
        }
    }

    /// Whether it tells of one of the pages: another look may come upon another one first.
    pub(super) fn is_of_page(&self) -> bool {
        matches!(self, Fault::Page(_) | Fault::Store(Error::InvalidPath { .. }))
    }

    /// Whether the store has answered, with something else than what was asked for.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Fault::Store(error) if status_of(error).is_some() || unfit(error).is_some())
    }

    /// What is wrong, and not with what.
    pub(super) fn words(&self) -> String {
        match self {
            Fault::Interrupted => "the work was told to stop".to_owned(),
            Fault::Listed(error) => error.to_string(),
            Fault::Page(why) => why.clone(),
            Fault::Store(error) => said(error),
            Fault::Silence(None) => "nothing has arrived for a minute".to_owned(),
            Fault::Silence(Some(status)) => format!(
                "nothing has arrived for a minute: the store asks to wait (status {status}, {})",
                means(*status)
            ),
            Fault::NoThreads(error) => error.to_string(),
            Fault::Ended => "the request was given up, a bug".to_owned(),
        }
    }

    fn of(self, what: &str) -> StoreError {
        match self {
            Fault::Interrupted => StoreError::Interrupted,
            Fault::Listed(error) => error,
            other => unreadable(what, other.words()),
        }
    }
}

/// Something that cannot be read, and why.
pub(super) fn unreadable(what: &str, why: String) -> StoreError {
    StoreError::Unreadable { what: what.to_owned(), source: io::Error::other(why) }
}

/// Where clients ask for the credentials of a machine when nobody has named any: an answer of these is none of the store.
const METADATA: [&str; 3] = ["169.254.169.254", "169.254.170.2", "metadata.google.internal"];

/// What the store said, or why it could not be asked.
fn said(error: &Error) -> String {
    if let Error::InvalidPath { source } = error {
        return match source {
            path::Error::EmptySegment { path } | path::Error::BadSegment { path, .. } => key::unnameable(path),
            _ => "it has a key that cannot be named here".to_owned(),
        };
    }
    if let Some(unfit) = unfit(error) {
        return unfit.words().to_owned();
    }
    let text = error.to_string();
    if METADATA.iter().any(|service| text.contains(service)) {
        return "no credentials were found: none are named, the environment has none, and the metadata service of this \
                machine gives none"
            .to_owned();
    }
    if let Some(status) = status_of(error) {
        // The code that S3 and its kin give, as NoSuchBucket: words of the protocol, and nothing of the request.
        let code = between(&text, "<Code>", "</Code>").filter(|code| is_word(code));
        let code = code.map(|code| format!(" {code}")).unwrap_or_default();
        return format!("the store answers with status {status}{code} ({})", means(status));
    }
    match error {
        Error::NotFound { .. } => "the store does not find it (status 404)".to_owned(),
        Error::PermissionDenied { .. } => format!("the store answers with status 403 ({})", means(403)),
        Error::Unauthenticated { .. } => format!("the store answers with status 401 ({})", means(401)),
        _ => deepest(error),
    }
}

/// The innermost cause: what the system or the protocol said, and not of whom it was asked.
fn deepest(error: &Error) -> String {
    let mut cause = error.source();
    let mut system = None;
    let mut last = None;
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<io::Error>().filter(|error| error.raw_os_error().is_some()) {
            system = Some(found.to_string());
        }
        last = Some(inner.to_string());
        cause = inner.source();
    }
    let cause = system.or(last).unwrap_or_default();
    let is_timeout = cause.contains("timed out") || cause.contains("deadline");
    // What holds a place or a request is left out.
    match cause {
        _ if is_timeout => "the store does not answer in time".to_owned(),
        cause if cause.contains("://") || cause.is_empty() || cause.len() > 120 => {
            "the store cannot be asked".to_owned()
        }
        cause => format!("the store cannot be asked: {cause}"),
    }
}

/// Whether what was asked for is not there.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) || status_of(error) == Some(404)
}

/// Whether no connection came about, or nothing came over it.
fn is_unreached(error: &Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<HttpError>())
        .any(|error| matches!(error.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout))
}

/// Why an answer to a listing was not taken for one.
fn unfit(error: &Error) -> Option<Unfit> {
    causes(error).find_map(|cause| cause.downcast_ref().and_then(Unfit::of))
}

/// What lies behind an error, from the outside in.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn std::error::Error + 'static)| (*cause).source())
}

/// The status of the answer, if there was one.
fn status_of(error: &Error) -> Option<u16> {
    // A key may say anything.
    if let Error::InvalidPath { .. } = error {
        return None;
    }
    between(&error.to_string(), "status code: ", " ").and_then(|status| status.trim_end_matches(':').parse().ok())
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(found, _)| found))
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What a person does about a status.
fn means(status: u16) -> &'static str {
    match status {
        301 | 307 | 308 => "the bucket is in another region, or behind another endpoint",
        400 => "it does not accept the request: check region, endpoint and credentials",
        401 | 403 => "the credentials may not do this, or there are none",
        404 => "it is not there",
        429 | 503 => "too many requests: it is asked more slowly",
        500..=599 => "it has trouble of its own",
        _ => "it does not do this",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_metadata_service_says_is_none_of_the_store() {
        let source = "Error performing GET http://169.254.169.254/latest/api/token: status code: 403 ".into();
        let found = Fault::Store(Error::Generic { store: "S3", source }).words();
        assert!(found.starts_with("no credentials were found"), "{found}");
        let source = "Error performing GET http://minio/b: status code: 403 ".into();
        let found = Fault::Store(Error::Generic { store: "S3", source }).words();
        assert!(found.starts_with("the store answers with status 403"), "{found}");
    }
}
