//! The HTTP client that requests go out by, and what it does not follow. It must not know what is asked for.
//!
//! *Architecture invariant:* no redirect is followed. Whoever is asked is the endpoint that was named: a token of temporary
//! credentials would go with the request to any host that an answer names, and what that host lists would be the bucket. Nothing
//! is lost: a signature holds the name of its host, so that no other host takes it, and of another region of S3 no more is
//! needed than its name.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use object_store::client::{ClientConfigKey, HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use object_store::{ClientOptions, Result};

/// A name in a host that has so many letters may be a secret, and is looked for in the request.
const LONG: usize = 8;

/// A client as these options say: of what they can say, what is said here.
pub(super) fn client(options: &ClientOptions) -> Result<HttpClient> {
    let said = |key| options.get_config_value(&key);
    let duration = |key| said(key).and_then(|text| humantime::parse_duration(&text).ok());
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("lastword/", env!("CARGO_PKG_VERSION")))
        .https_only(said(ClientConfigKey::AllowHttp).as_deref() != Some("true"))
        // Over several connections more arrives at once than over one.
        .http1_only()
        // The length of an answer is that of an object.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate();
    builder = builder.connect_timeout(duration(ClientConfigKey::ConnectTimeout).unwrap_or(Duration::from_secs(10)));
    if let Some(timeout) = duration(ClientConfigKey::Timeout) {
        builder = builder.timeout(timeout);
    }
    if let Some(timeout) = duration(ClientConfigKey::ReadTimeout) {
        builder = builder.read_timeout(timeout);
    }
    let made =
        builder.build().map_err(|error| object_store::Error::Generic { store: "HTTP", source: Box::new(error) })?;
    Ok(HttpClient::new(made))
}

/// What is known here of a failure, through the errors of the client to where words are made of it.
#[derive(Debug)]
pub(super) struct Carried<T>(pub(super) T);

impl<T> fmt::Display for Carried<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what is known of it is carried in it")
    }
}

impl<T: fmt::Debug> Error for Carried<T> {}

/// An answer that leads elsewhere, and is not followed.
#[derive(Debug)]
pub(super) struct Redirected {
    status: u16,
    /// Where to, as far as it may be told.
    host: Option<String>,
    region: Option<String>,
}

impl Redirected {
    /// What an answer says of another place, if it does. `sent` is what was sent, of which nothing may come back into words.
    pub(super) fn of(answer: &HttpResponse, sent: &str) -> Option<Redirected> {
        let status = answer.status();
        if !status.is_redirection() || status.as_u16() == 304 {
            return None;
        }
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let host = header("location").and_then(host_of).filter(|host| is_told(host, sent));
        let region = header("x-amz-bucket-region").filter(|region| is_region(region)).map(str::to_owned);
        Some(Redirected { status: status.as_u16(), host, region })
    }

    pub(super) fn into_error(self) -> HttpError {
        // Of this kind nothing is tried again.
        HttpError::new(HttpErrorKind::Unknown, Carried(self))
    }

    /// What is wrong, and what to do.
    pub(super) fn words(&self) -> String {
        let Redirected { status, host, region } = self;
        let to = host.as_ref().map(|host| format!(", to {host}")).unwrap_or_default();
        let of = region.as_ref().map(|region| format!(", of the region {region}")).unwrap_or_default();
        format!(
            "the store answers with status {status} and leads elsewhere{to}{of}; that is not followed, for credentials would go \
             along: the bucket is in another region, or behind another endpoint, which `region` and `endpoint` name"
        )
    }
}

/// Why nothing can be sent in secret to whoever is there.
#[derive(Debug)]
pub(super) struct NotSecure(pub(super) &'static str);

/// The same error, or a better one where it would be the same if it were tried again.
pub(super) fn lasting(error: HttpError) -> HttpError {
    let (mut texts, mut cause) = (Vec::new(), error.source());
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    let says = |text: &str| texts.iter().any(|cause| cause.contains(text));
    let why = match () {
        () if says("InvalidContentType") => {
            "what answers does not speak TLS; if it is meant to be asked over http://, `endpoint` begins so, with \
             `allow_http = true`"
        }
        () if says("UnknownIssuer") => "its certificate is of nobody who is trusted on this machine",
        () if says("NotValidForName") || says("not valid for name") => "its certificate is for another host",
        () if says("Expired") || says("certificate expired") => "its certificate has expired",
        () if says("invalid peer certificate") => "its certificate is not valid",
        () => return error,
    };
    HttpError::new(HttpErrorKind::Unknown, Carried(NotSecure(why)))
}

/// The host of a URL, in small letters.
fn host_of(location: &str) -> Option<String> {
    let (_, rest) = location.split_once("//")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next()?.to_ascii_lowercase();
    let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (is_host && (1..=100).contains(&host.len())).then_some(host)
}

/// Whether no part of a host is something that was sent, but for the region, which is no secret.
fn is_told(host: &str, sent: &str) -> bool {
    !host.split('.').any(|part| part.len() >= LONG && !is_region(part) && sent.contains(part))
}

/// Whether a text has the form of a region, as `eu-west-1`, and so of no secret.
fn is_region(text: &str) -> bool {
    let is_word = |part: &str| (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.rsplit('-');
    parts.next().is_some_and(is_number) && parts.all(is_word) && (3..=4).contains(&text.split('-').count())
}

/// What was sent that an answer may repeat, in small letters.
pub(super) fn sent(request: &HttpRequest) -> String {
    let mut all = request.uri().to_string();
    for value in request.headers().values() {
        all.push('\n');
        all.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    all.make_ascii_lowercase();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_if_it_is_one_and_nothing_that_was_sent() {
        let told = |location: &str| host_of(location).filter(|host| is_told(host, "x\ntokensecret99 us-east-1"));
        assert_eq!(told("http://127.0.0.2:46777/lake?list-type=2").as_deref(), Some("127.0.0.2"));
        assert_eq!(told("//S3.us-east-1.example.com/").as_deref(), Some("s3.us-east-1.example.com"));
        assert_eq!(told("https://user:pw@minio/").as_deref(), Some("minio"));
        for none in ["/lake/", "https://TOKENSECRET99/x", "https://a.tokensecret99.b/x", "https://a b/", "https:///x"] {
            assert_eq!(told(none), None, "{none}");
        }
    }

    #[test]
    fn a_region_has_the_form_of_one() {
        assert!(["eu-west-1", "us-gov-east-1", "ap-southeast-2"].iter().all(|region| is_region(region)));
        assert!(!["TOKENSECRET99", "abc", "a-b", "eu-west-one", "x-y-z-w-1", ""].iter().any(|none| is_region(none)));
    }
}
