//! Where a bucket is and who asks, said by names: what is secret stands in the environment or in a file, and is looked up
//! when it is needed. It must not keep what it has looked up.

use std::fmt;
use std::fs;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use crate::external::{Bucket, FieldError, Scheme};

/// The largest file that is read for a credential, in bytes.
const MOST_READ: u64 = 64 << 10;

/// Where a bucket is and who asks. What is not said here is what the environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The address of the store, as `https://minio.example.com`. By default the cloud's own.
    pub endpoint: Option<String>,
    /// The region, for `s3`.
    pub region: Option<String>,
    /// The account that the container belongs to, for `az`.
    pub account: Option<String>,
    /// Who asks, for `s3`.
    pub access_key_id: Option<SecretName>,
    /// The secret that belongs to it, for `s3`.
    pub secret_access_key: Option<SecretName>,
    /// The token that belongs to temporary credentials, for `s3`.
    pub session_token: Option<SecretName>,
    /// The key of the account, for `az`.
    pub access_key: Option<SecretName>,
    /// The key of a service account as JSON, for `gs`.
    pub service_account: Option<SecretName>,
    /// Whether an `http://` endpoint is allowed. What is sent over it can be read and changed on the way.
    pub allow_http: bool,
    /// Whether the bucket stands in the path of requests, as it does by default, or in the name of the host; for `s3`.
    pub path_style: Option<bool>,
    /// Whether requests are not signed, for what everybody may read.
    pub anonymous: bool,
}

impl Access {
    /// Checks all that can be checked without reaching the store. The errors name the field, and repeat no value.
    ///
    /// # Errors
    /// The first field that is wrong, and what is allowed there.
    pub fn check(&self, bucket: &Bucket) -> Result<(), FieldError> {
        let scheme = bucket.scheme();
        let (s3, gs, az) = (scheme == Scheme::S3, scheme == Scheme::Gs, scheme == Scheme::Az);
        let fields = [
            ("region", self.region.is_some(), s3),
            ("account", self.account.is_some(), az),
            ("access_key_id", self.access_key_id.is_some(), s3),
            ("secret_access_key", self.secret_access_key.is_some(), s3),
            ("session_token", self.session_token.is_some(), s3),
            ("access_key", self.access_key.is_some(), az),
            ("service_account", self.service_account.is_some(), gs),
            ("path_style", self.path_style.is_some(), s3),
        ];
        if let Some((field, ..)) = fields.iter().find(|(_, is_said, is_of)| *is_said && !is_of) {
            return Err(FieldError::new(*field, format!("is nothing that {scheme}:// has")));
        }
        for (field, text) in [("region", &self.region), ("account", &self.account)] {
            let is_name = |text: &String| {
                (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            if text.as_ref().is_some_and(|text| !is_name(text)) {
                return Err(FieldError::new(field, "must be 1 to 64 letters, digits and hyphens"));
            }
        }
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint, self.allow_http)?;
        }
        for (one, other, of) in [
            (&self.access_key_id, &self.secret_access_key, ["access_key_id", "secret_access_key"]),
            (&self.secret_access_key, &self.access_key_id, ["secret_access_key", "access_key_id"]),
            (&self.session_token, &self.access_key_id, ["session_token", "access_key_id"]),
        ] {
            if one.is_some() && other.is_none() {
                return Err(FieldError::new(of[0], format!("needs {} beside it", of[1])));
            }
        }
        let named = [&self.access_key_id, &self.access_key, &self.service_account];
        if self.anonymous && named.iter().any(|name| name.is_some()) {
            return Err(FieldError::new("anonymous", "must not be true where credentials are named"));
        }
        Ok(())
    }
}

pub(super) fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), FieldError> {
    let wrong = |problem: &str| Err(FieldError::new("endpoint", problem));
    let (scheme, rest) = endpoint.split_once("://").unwrap_or_default();
    let host = rest.strip_suffix('/').unwrap_or(rest);
    if host.contains('@') {
        return wrong("must not hold a user or a password");
    }
    if !matches!(scheme, "http" | "https") || host.is_empty() {
        return wrong("must be https://host or https://host:port");
    }
    if !host.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'\\')) {
        return wrong("must be a host, and a port or a path behind it");
    }
    if !is_authority(host.split('/').next().unwrap_or_default()) {
        return wrong("must name a host and, behind a colon, a port from 1 to 65535");
    }
    if scheme == "http" && !allow_http {
        return wrong("is http://, over which everything can be read on the way; allow_http = true allows it");
    }
    Ok(())
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`.
fn is_authority(text: &str) -> bool {
    let (is_host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            (!name.is_empty() && name.bytes().all(is_part), port)
        }
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<NonZeroU16>().is_ok();
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Whether a text can stand in a header: a key with the end of its line in it cannot.
pub(super) fn is_one_word(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

/// The name of something secret: `env:NAME` or `file:PATH`. Only the name is ever shown or kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretName {
    /// An environment variable.
    Env(String),
    /// A file, of which white space at the end does not count.
    File(PathBuf),
}

impl SecretName {
    /// Reads a name. What is none may be the secret itself: the error does not repeat it.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<SecretName, String> {
        let is_variable = |name: &str| {
            let mut bytes = name.bytes();
            bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match text.split_once(':') {
            Some(("env", name)) if is_variable(name) => Ok(SecretName::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() && !path.chars().any(char::is_control) => {
                Ok(SecretName::File(PathBuf::from(path)))
            }
            _ => Err("must name where the secret is, as env:NAME or file:PATH, and not be the secret".to_owned()),
        }
    }

    /// Looks it up. The error names the place and what is wrong with it.
    pub(super) fn look_up(&self) -> Result<String, String> {
        let found = match self {
            SecretName::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => format!("{self} is not set"),
                std::env::VarError::NotUnicode(_) => format!("{self} is no text"),
            })?,
            SecretName::File(path) => {
                let unreadable = |error: std::io::Error| format!("{self} cannot be read: {error}");
                let length = fs::metadata(path).map_err(unreadable)?.len();
                if length > MOST_READ {
                    return Err(format!("{self} has {length} bytes; at most {MOST_READ} are read"));
                }
                fs::read_to_string(path).map_err(unreadable)?
            }
        };
        let found = found.trim_end();
        if found.is_empty() { Err(format!("{self} is empty")) } else { Ok(found.to_owned()) }
    }

    /// The same of a key, which is one word: with more than that no request can be made.
    pub(super) fn look_up_key(&self) -> Result<String, String> {
        let found = self.look_up()?;
        if is_one_word(&found) { Ok(found) } else { Err(format!("{self} holds more than one word")) }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretName::Env(name) => write!(f, "env:{name}"),
            SecretName::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused_and_not_repeated() {
        for name in ["env:AWS_KEY", "env:_x", "file:/run/secrets/key", "file:key"] {
            assert_eq!(SecretName::parse(name).unwrap().to_string(), name);
        }
        for secret in ["AKIASECRET", "env:", "env:A-B", "env:1A", "file:", "file:a\nb", "http:secret", ""] {
            let error = SecretName::parse(secret).unwrap_err();
            assert!(error.contains("env:NAME") && (secret.len() < 8 || !error.contains(secret)), "{secret}: {error}");
        }
    }

    #[test]
    fn a_secret_is_looked_up_where_it_is_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let name = SecretName::File(path.clone());
        assert!(name.look_up().unwrap_err().contains("cannot be read"));
        fs::write(&path, "  \n").unwrap();
        assert!(name.look_up().unwrap_err().ends_with("is empty"));
        fs::write(&path, "s3cr3t\n").unwrap();
        assert_eq!((name.look_up().unwrap(), name.look_up_key().unwrap()), ("s3cr3t".to_owned(), "s3cr3t".to_owned()));
        fs::write(&path, "s3cr3t\r\nmore").unwrap();
        assert!(name.look_up_key().is_err_and(|error| error.ends_with("holds more than one word")));
        assert!(!format!("{name:?} {name}").contains("s3cr3t"));
        fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(name.look_up().unwrap_err().contains("has 70000 bytes"));
        assert!(SecretName::Env("LASTWORD_NOT_SET".to_owned()).look_up().unwrap_err().ends_with("is not set"));
    }

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let secret = || SecretName::parse("env:X").ok();
        let keys = || Access { access_key_id: secret(), secret_access_key: secret(), ..Access::default() };
        let text = |text: &str| Some(text.to_owned());
        let check = |bucket: &str, access: &Access| {
            let found = access.check(&Bucket::parse(bucket).unwrap());
            found.map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        for (bucket, access, expected) in [
            ("s3://lake", Access::default(), ""),
            ("s3://lake", Access { session_token: secret(), region: text("eu-central-1"), ..keys() }, ""),
            ("gs://lake", Access { region: text("eu"), ..Access::default() }, "region: is nothing that gs:// has"),
            ("az://lake", keys(), "access_key_id: is nothing that az:// has"),
            ("s3://lake", Access { account: text("a"), ..Access::default() }, "account: is nothing that s3:// has"),
            ("az://lake", Access { path_style: Some(true), ..Access::default() }, "path_style: is nothing"),
            (
                "s3://lake",
                Access { region: text("eu central"), ..Access::default() },
                "region: must be 1 to 64 letters",
            ),
            (
                "s3://lake",
                Access { access_key_id: secret(), ..Access::default() },
                "access_key_id: needs secret_access_key",
            ),
            (
                "s3://lake",
                Access { session_token: secret(), ..Access::default() },
                "session_token: needs access_key_id",
            ),
            ("s3://lake", Access { anonymous: true, ..keys() }, "anonymous: must not be true"),
            (
                "s3://lake",
                Access { endpoint: text("minio:9000"), ..Access::default() },
                "endpoint: must be https://host",
            ),
            (
                "s3://lake",
                Access { endpoint: text("ftp://minio"), ..Access::default() },
                "endpoint: must be https://host",
            ),
            (
                "s3://lake",
                Access { endpoint: text("https://me:pw0rd@minio"), ..Access::default() },
                "must not hold a user",
            ),
            (
                "s3://lake",
                Access { endpoint: text("https://minio?x"), ..Access::default() },
                "endpoint: must be a host",
            ),
            ("s3://lake", Access { endpoint: text("http://minio"), ..Access::default() }, "endpoint: is http://"),
            ("s3://lake", Access { endpoint: text("http://m:9000/"), allow_http: true, ..Access::default() }, ""),
        ] {
            let found = check(bucket, &access);
            assert!(
                if expected.is_empty() { found.is_empty() } else { found.contains(expected) },
                "{access:?}: {found}"
            );
            assert!(!found.contains("pw0rd"));
        }
    }

    /// What the client of the store would panic over, or take for another host.
    #[test]
    fn an_endpoint_names_a_host_and_a_port() {
        for right in ["minio", "minio:9000", "10.0.0.1:65535", "[::1]", "[::1]:9000", "a_b.example.com/path"] {
            assert_eq!(check_endpoint(&format!("https://{right}"), false), Ok(()), "{right}");
        }
        for wrong in
            ["127.0.0.1:9:9", "m:99999", "m:0", "m:abc", "m:", ":9", "[::1", "[x]:9", "[::1]9", "%zz:9", "<x>", "m:+9"]
        {
            let found = check_endpoint(&format!("https://{wrong}"), false).unwrap_err().to_string();
            assert!(found.starts_with("endpoint: must "), "{wrong}: {found}");
        }
    }
}
