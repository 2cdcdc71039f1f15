//! What goes wrong with a request, in words that are the same each time and hold no secret. It must not repeat what the
//! `object_store` crate says: its texts have URLs, bodies and times in them.

use std::io;

use object_store::client::{HttpError, HttpErrorKind};
use object_store::{Error, path};

use super::answer::Unfit;
use super::key;
use super::outgoing::{Carried, NotSecure, Redirected};
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
        let is_other = |error| unfit(error).is_some() || found::<Carried<Redirected>>(error).is_some();
        matches!(self, Fault::Store(error) if status_of(error).is_some() || is_other(error))
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

/// What names credentials, and a part of the address under which each kind of store's client looks for those of the machine.
const CREDENTIALS: [(&str, &str); 3] = [
    ("/metadata/identity", "access_key of [stores], or AZURE_STORAGE_ACCOUNT_KEY"),
    ("/computeMetadata", "service_account of [stores], or GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT"),
    (
        "/",
        "access_key_id and secret_access_key of [stores], or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and \
         session_token or AWS_SESSION_TOKEN where they are temporary",
    ),
];

/// Codes that stores give with a status: words of their protocols, that say more than the status. What else stands there may
/// be a part of the request.
const CODES: [&str; 44] = [
    "AccessDenied",
    "AccountIsDisabled",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationHeaderMalformed",
    "AuthorizationPermissionMismatch",
    "AuthorizationSourceIPMismatch",
    "BlobNotFound",
    "ContainerBeingDeleted",
    "ContainerNotFound",
    "ExpiredToken",
    "IllegalLocationConstraintException",
    "InsufficientAccountPermissions",
    "InternalError",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "InvalidAuthenticationInfo",
    "InvalidBucketName",
    "InvalidHeaderValue",
    "InvalidObjectState",
    "InvalidQueryParameterValue",
    "InvalidRange",
    "InvalidRequest",
    "InvalidResourceName",
    "InvalidSecurity",
    "InvalidToken",
    "InvalidUri",
    "MethodNotAllowed",
    "NoSuchBucket",
    "NoSuchKey",
    "NotImplemented",
    "OperationTimedOut",
    "PermanentRedirect",
    "PublicAccessNotPermitted",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ResourceNotFound",
    "ServerBusy",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "TemporaryRedirect",
];

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
    if let Some((_, path)) = asked_of(error).filter(|(host, _)| METADATA.contains(&host.as_str())) {
        let named = CREDENTIALS.iter().find(|(part, _)| path.contains(part)).map_or("", |(_, named)| named);
        return format!(
            "no credentials were found, and the metadata service of this machine gives none: they are named by {named}; for \
             what everybody may read, say anonymous = true in [stores]"
        );
    }
    if let Some(Carried(redirected)) = found::<Carried<Redirected>>(error) {
        return redirected.words();
    }
    if let Some((status, body)) = answer_of(error) {
        let code = between(&body, "<Code>", "</Code>").and_then(|code| CODES.into_iter().find(|known| *known == code));
        let code = code.map(|code| format!(" {code}")).unwrap_or_default();
        return format!("the store answers with status {status}{code} ({})", means(status));
    }
    match error {
        Error::NotFound { .. } => "the store does not find it (status 404)".to_owned(),
        Error::PermissionDenied { .. } => format!("the store answers with status 403 ({})", means(403)),
        Error::Unauthenticated { .. } => format!("the store answers with status 401 ({})", means(401)),
        _ => unasked(error),
    }
}

/// Why there is no answer that can be used. Causes are told apart, and none is repeated but the system's own: any other may
/// hold what was answered, and an answer what was asked.
fn unasked(error: &Error) -> String {
    let is_system = |error: &&io::Error| error.raw_os_error().is_some();
    let system = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).filter(is_system).last();
    if let Some(system) = system {
        return match system.kind() {
            io::ErrorKind::TimedOut => "the store does not answer in time".to_owned(),
            _ => format!("the store cannot be asked: {system}"),
        };
    }
    if let Some(Carried(NotSecure(why))) = found(error) {
        return format!("the store cannot be asked: {why}");
    }
    let Some(http) = found::<HttpError>(error) else {
        // Whoever answered is no store, or not of this kind.
        return "what answers is no store of this kind: its answer cannot be read; check `endpoint`".to_owned();
    };
    let texts: Vec<String> = causes(http).map(|cause| cause.to_string()).collect();
    let says = |text: &str| texts.iter().any(|cause| cause.contains(text));
    let why = match http.kind() {
        HttpErrorKind::Timeout => return "the store does not answer in time".to_owned(),
        _ if says("timed out") || says("deadline") => return "the store does not answer in time".to_owned(),
        _ if says("dns error") || says("lookup address") => "the name of its host is not found",
        _ if says("fatal alert") || says("peer is incompatible") => "no form of TLS is known to both",
        HttpErrorKind::Connect => "no connection comes about",
        HttpErrorKind::Interrupted | HttpErrorKind::Request => "the connection was closed before the answer had come",
        _ if says("end of file before message length") || says("closed before message") => {
            "the connection was closed before the answer had come"
        }
        _ => "what answers does not speak HTTP as a store does; check `endpoint`",
    };
    format!("the store cannot be asked: {why}")
}

/// The error, what caused it, and so on.
fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn found<T: std::error::Error + 'static>(error: &Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether what was asked for is not there.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) || status_of(error) == Some(404)
}

/// Whether no connection came about, or nothing came over it.
fn is_unreached(error: &Error) -> bool {
    found::<HttpError>(error)
        .is_some_and(|error| matches!(error.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout))
}

/// Why an answer to a listing was not taken for one.
fn unfit(error: &Error) -> Option<Unfit> {
    causes(error).find_map(|cause| cause.downcast_ref().and_then(Unfit::of))
}

/// The host that was asked, and the path, if the error says it.
fn asked_of(error: &Error) -> Option<(String, String)> {
    let text = causes(error).map(|cause| cause.to_string()).find(|text| text.starts_with("Error performing "))?;
    let (_, url) = text.split(' ').nth(3)?.split_once("://")?;
    let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    Some((authority.split(':').next()?.to_owned(), path.to_owned()))
}

/// The status of the answer, and its text, if there was one. The text of what was asked or answered is not looked at for it.
fn answer_of(error: &Error) -> Option<(u16, String)> {
    causes(error).find_map(|cause| {
        let text = cause.to_string();
        let (status, body) = text.strip_prefix("Server returned non-2xx status code: ")?.split_at_checked(3)?;
        Some((status.parse().ok()?, body.to_owned()))
    })
}

/// The status of the answer, if there was one.
fn status_of(error: &Error) -> Option<u16> {
    // A key may say anything.
    if let Error::InvalidPath { .. } = error {
        return None;
    }
    answer_of(error).map(|(status, _)| status)
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(found, _)| found))
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
    use std::fmt;

    use super::*;

    /// As the client's errors come: one around the other.
    #[derive(Debug)]
    struct Chain(&'static str, Option<Box<Chain>>);

    impl fmt::Display for Chain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Chain {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|inner| inner as _)
        }
    }

    fn words(texts: &[&'static str]) -> String {
        let chain = texts.iter().rev().fold(None, |inner, text| Some(Box::new(Chain(text, inner))));
        Fault::Store(Error::Generic { store: "S3", source: chain.unwrap() }).words()
    }

    #[test]
    fn what_the_metadata_service_says_is_none_of_the_store() {
        let refused = "Server returned non-2xx status code: 403 Forbidden: http://169.254.169.254/";
        let found = words(&["Error performing GET http://169.254.169.254/latest/api/token in 1ms - ..", refused]);
        assert!(found.starts_with("no credentials were found") && found.contains("AWS_SECRET_ACCESS_KEY"), "{found}");
        let found = words(&["Error performing GET http://minio/b in 1ms - http://169.254.169.254/", refused]);
        assert!(found.starts_with("the store answers with status 403 ("), "{found}");
    }

    #[test]
    fn without_credentials_it_says_what_names_them() {
        for (place, keys) in [
            (
                "GET http://169.254.169.254/metadata/identity/oauth2/token?x",
                ["access_key of", "AZURE_STORAGE_ACCOUNT_KEY"],
            ),
            (
                "GET http://metadata.google.internal/computeMetadata/v1/instance/x",
                ["service_account of", "GOOGLE_APPLICATION_CREDENTIALS"],
            ),
            (
                "PUT http://169.254.169.254/latest/api/token",
                ["access_key_id and secret_access_key", "AWS_ACCESS_KEY_ID"],
            ),
        ] {
            let text: &'static str = format!("Error performing {place} in 1ms").leak();
            let found = words(&[text, "HTTP error"]);
            assert!(keys.iter().all(|key| found.contains(key)) && found.contains("anonymous = true"), "{found}");
        }
    }

    #[test]
    fn a_code_is_told_if_it_is_known() {
        let found = words(&["Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>"]);
        assert!(found.starts_with("the store answers with status 403 AccessDenied ("), "{found}");
        let found = words(&["Server returned non-2xx status code: 403 Forbidden: <Code>TOKENSECRET99</Code>"]);
        assert!(found.starts_with("the store answers with status 403 ("), "{found}");
    }

    #[test]
    fn no_status_is_taken_out_of_an_answer() {
        let found = words(&["cannot be read", "invalid type: string \"status code: 404 NoSuchBucket\""]);
        assert!(found.starts_with("what answers is no store of this kind"), "{found}");
    }
}
