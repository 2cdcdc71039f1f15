//! What the environment says of object stores, looked at before it is believed: what is wrong there is named by the variable
//! and not repeated, for it may be secret. It must not keep what it has read.

use std::ffi::OsString;
use std::fs;

use super::access::{Access, check_endpoint, is_one_word};
use crate::external::Scheme;

/// The variables of a kind of store, with the field of [`Access`] that takes their place.
const VARIABLES: [(Scheme, &str, &str); 21] = [
    (Scheme::S3, "AWS_ENDPOINT_URL_S3", "endpoint"),
    (Scheme::S3, "AWS_ENDPOINT_URL", "endpoint"),
    (Scheme::S3, "AWS_ENDPOINT", "endpoint"),
    (Scheme::S3, "AWS_REGION", "region"),
    (Scheme::S3, "AWS_DEFAULT_REGION", "region"),
    (Scheme::S3, "AWS_ACCESS_KEY_ID", "access_key_id"),
    (Scheme::S3, "AWS_SECRET_ACCESS_KEY", "access_key_id"),
    (Scheme::S3, "AWS_SESSION_TOKEN", "access_key_id"),
    (Scheme::S3, "AWS_TOKEN", "access_key_id"),
    (Scheme::S3, "AWS_WEB_IDENTITY_TOKEN_FILE", "key_file"),
    (Scheme::S3, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "key_file"),
    (Scheme::S3, "AWS_ENDPOINT_URL_STS", "key_endpoint"),
    (Scheme::S3, "AWS_METADATA_ENDPOINT", "key_endpoint"),
    (Scheme::Gs, "GOOGLE_BASE_URL", "endpoint"),
    (Scheme::Gs, "GOOGLE_SERVICE_ACCOUNT", "service_account"),
    (Scheme::Gs, "GOOGLE_APPLICATION_CREDENTIALS", "service_account"),
    (Scheme::Az, "AZURE_STORAGE_ENDPOINT", "endpoint"),
    (Scheme::Az, "AZURE_ENDPOINT", "endpoint"),
    (Scheme::Az, "AZURE_FEDERATED_TOKEN_FILE", "key_file"),
    (Scheme::Az, "AZURE_STORAGE_ACCOUNT_NAME", "account"),
    (Scheme::Az, "AZURE_STORAGE_ACCOUNT_KEY", "access_key"),
];

/// What says that `http://` may be used.
pub(super) fn allows_http(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => "AWS_ALLOW_HTTP",
        Scheme::Gs => "GOOGLE_ALLOW_HTTP",
        Scheme::Az => "AZURE_ALLOW_HTTP",
    }
}

/// What a word says of yes or no; the same words that the clients of stores take.
pub(super) fn yes_or_no(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" | "y" => Some(true),
        "0" | "false" | "off" | "no" | "n" => Some(false),
        _ => None,
    }
}

/// Checks what the environment says beside `access`. `all` of it; `is_read` knows what the client of such a store reads, and
/// `breaks` what it takes from none.
///
/// # Errors
/// The first variable that is wrong, or missing, and what is allowed.
pub(super) fn check(
    scheme: Scheme,
    access: &Access,
    all: &[(OsString, OsString)],
    is_read: impl Fn(&str) -> bool,
    breaks: impl Fn(&str, &str) -> bool,
) -> Result<(), String> {
    let is_known = |name: &str| VARIABLES.iter().any(|(_, known, _)| *known == name) || name == allows_http(scheme);
    let is_replaced = |name: &str| {
        let field = VARIABLES.iter().find(|(of, known, _)| *of == scheme && *known == name).map(|(_, _, field)| *field);
        field.is_some_and(|field| replaces(access, field))
    };
    let named = all.iter().filter_map(|(name, value)| Some((name.to_str()?, value)));
    for (name, value) in named.clone().filter(|(name, _)| is_read(name) && !is_replaced(name)) {
        let problem = match value.to_str() {
            None => Some("is not UTF-8, and would be ignored"),
            Some(value) if name == allows_http(scheme) => yes_or_no(value).is_none().then_some("must be true or false"),
            // Of those that are known it is said below. A key in JSON has lines.
            Some(value)
                if !is_known(name) && value.contains(char::is_control) && !value.trim_start().starts_with('{') =>
            {
                Some("has a control character in it, as the end of a line of Windows is one")
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            return Err(format!("the environment variable {name} {problem}"));
        }
    }
    let found = |name: &str| named.clone().find(|(known, _)| *known == name).and_then(|(_, value)| value.to_str());
    check_known(scheme, access, |name| found(name).map(str::to_owned))?;
    let others = named.clone().filter(|(name, _)| is_read(name) && !is_known(name));
    for (name, value) in others.filter_map(|(name, value)| Some((name, value.to_str()?))) {
        if breaks(name, value) {
            return Err(format!("the environment variable {name} is not what this kind of store takes"));
        }
    }
    Ok(())
}

/// Whether what `access` says takes the place of what a variable with this field would say.
fn replaces(access: &Access, field: &str) -> bool {
    match field {
        "endpoint" => access.endpoint.is_some(),
        "region" => access.region.is_some(),
        "account" => access.account.is_some(),
        "access_key_id" => access.access_key_id.is_some() || access.anonymous,
        "access_key" => access.access_key.is_some() || access.anonymous,
        "key_file" | "key_endpoint" => {
            access.access_key_id.is_some() || access.access_key.is_some() || access.anonymous
        }
        _ => access.service_account.is_some() || access.anonymous,
    }
}

/// Those of which it is known what they have to be.
fn check_known(scheme: Scheme, access: &Access, variable: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let replaced = |field: &str| replaces(access, field);
    let counts = VARIABLES.iter().filter(|(of, _, field)| *of == scheme && !replaced(field));
    for (_, name, field) in counts {
        let Some(value) = variable(name) else { continue };
        let problem = match () {
            () if value.is_empty() => Some("is set and empty: give it a value, or unset it".to_owned()),
            () if !is_one_word(&value) && !matches!(*field, "service_account" | "key_file") => {
                Some("has white space or a control character in it, as the end of a line of Windows is one".to_owned())
            }
            () if matches!(*field, "endpoint" | "key_endpoint") => {
                check_endpoint(&value, true).err().map(|error| error.problem)
            }
            () if matches!(*field, "service_account" | "key_file") => {
                fs::metadata(&value).err().map(|error| format!("names a file: {error}"))
            }
            () => None,
        };
        if let Some(problem) = problem {
            return Err(format!("the environment variable {name} {problem}"));
        }
    }
    let pair = [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")];
    for (one, other) in pair {
        if scheme == Scheme::S3 && !replaced("access_key_id") && variable(one).is_some() && variable(other).is_none() {
            return Err(format!("the environment variable {one} needs {other} beside it"));
        }
    }
    // The name of the account may be in a connection string as well, and an emulator has one of its own.
    let accounts = ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_USE_EMULATOR"];
    if scheme == Scheme::Az && access.account.is_none() && accounts.iter().all(|name| variable(name).is_none()) {
        return Err(
            "no account is named: say account = \"..\" in [stores], or set AZURE_STORAGE_ACCOUNT_NAME".to_owned()
        );
    }
    Ok(())
}

/// What the client of a kind of store reads of the environment: it is the client that knows.
pub(super) struct Reads(Scheme);

impl Reads {
    pub(super) fn of(scheme: Scheme) -> Reads {
        Reads(scheme)
    }

    /// Whether it reads a variable.
    pub(super) fn reads(&self, name: &str) -> bool {
        // Those of the connections are said by this program, but for one.
        if name == allows_http(self.0) {
            return true;
        }
        let key = name.to_ascii_lowercase();
        match self.0 {
            #[cfg(feature = "s3")]
            Scheme::S3 => {
                use object_store::aws::AmazonS3ConfigKey as Key;
                name.starts_with("AWS_") && key.parse().is_ok_and(|key| !matches!(key, Key::Client(_)))
            }
            #[cfg(feature = "gs")]
            Scheme::Gs => {
                use object_store::gcp::GoogleConfigKey as Key;
                name.starts_with("GOOGLE_") && key.parse().is_ok_and(|key| !matches!(key, Key::Client(_)))
            }
            #[cfg(feature = "az")]
            Scheme::Az => {
                use object_store::azure::AzureConfigKey as Key;
                name.starts_with("AZURE_") && key.parse().is_ok_and(|key| !matches!(key, Key::Client(_)))
            }
            #[cfg(not(all(feature = "s3", feature = "gs", feature = "az")))]
            _ => {
                let _ = key;
                false
            }
        }
    }

    /// Whether a variable keeps a client from being made that has all it needs besides.
    pub(super) fn breaks(&self, name: &str, value: &str) -> bool {
        let key = name.to_ascii_lowercase();
        match self.0 {
            #[cfg(feature = "s3")]
            Scheme::S3 => key.parse().is_ok_and(|key| {
                let whole = object_store::aws::AmazonS3Builder::new().with_bucket_name("b").with_region("r");
                whole.with_skip_signature(true).with_config(key, value).build().is_err()
            }),
            #[cfg(feature = "gs")]
            Scheme::Gs => key.parse().is_ok_and(|key| {
                let whole = object_store::gcp::GoogleCloudStorageBuilder::new().with_bucket_name("b");
                whole.with_skip_signature(true).with_config(key, value).build().is_err()
            }),
            #[cfg(feature = "az")]
            Scheme::Az => key.parse().is_ok_and(|key| {
                let whole =
                    object_store::azure::MicrosoftAzureBuilder::new().with_container_name("c").with_account("a");
                whole.with_skip_signature(true).with_config(key, value).build().is_err()
            }),
            #[cfg(not(all(feature = "s3", feature = "gs", feature = "az")))]
            _ => {
                let _ = (key, value);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_wrong_is_named_and_its_value_is_not_repeated() {
        for (scheme, set, expected) in [
            (Scheme::S3, &[("AWS_ENDPOINT_URL", "127.0.0.1:9000")][..], "AWS_ENDPOINT_URL must be https://host"),
            (Scheme::S3, &[("AWS_ENDPOINT_URL", "")], "AWS_ENDPOINT_URL is set and empty"),
            (Scheme::S3, &[("AWS_ENDPOINT_URL_S3", "http://minio:9000 ")], "AWS_ENDPOINT_URL_S3 has white space"),
            (
                Scheme::S3,
                &[("AWS_ACCESS_KEY_ID", "s3cr3t\r"), ("AWS_SECRET_ACCESS_KEY", "x")],
                "AWS_ACCESS_KEY_ID has white",
            ),
            (Scheme::S3, &[("AWS_REGION", "eu\r")], "AWS_REGION has white space"),
            (Scheme::S3, &[("AWS_ACCESS_KEY_ID", "s3cr3t")], "AWS_ACCESS_KEY_ID needs AWS_SECRET_ACCESS_KEY"),
            (Scheme::S3, &[("AWS_SECRET_ACCESS_KEY", "s3cr3t")], "AWS_SECRET_ACCESS_KEY needs AWS_ACCESS_KEY_ID"),
            (Scheme::S3, &[("AWS_ENDPOINT_URL", "http://minio:9000"), ("AZURE_STORAGE_ACCOUNT_KEY", "")], ""),
            (
                Scheme::Gs,
                &[("GOOGLE_APPLICATION_CREDENTIALS", "/nope")],
                "GOOGLE_APPLICATION_CREDENTIALS names a file: No such",
            ),
            (Scheme::Az, &[], "no account is named"),
            (Scheme::Az, &[("AZURE_STORAGE_ACCOUNT_NAME", "me")], ""),
        ] {
            let found = check_all(scheme, &Access::default(), set).err().unwrap_or_default();
            let is_right = if expected.is_empty() { found.is_empty() } else { found.contains(expected) };
            assert!(is_right && !found.contains("s3cr3t"), "{set:?}: {found}");
        }
        // What is said in its place counts alone.
        let access = Access { endpoint: Some("https://minio".to_owned()), ..Access::default() };
        assert_eq!(check_all(Scheme::S3, &access, &[("AWS_ENDPOINT_URL", "")]), Ok(()));
    }

    fn check_all(scheme: Scheme, access: &Access, set: &[(&str, &str)]) -> Result<(), String> {
        let all: Vec<_> = set.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        let client = Reads::of(scheme);
        check(scheme, access, &all, |name| client.reads(name), |name, value| client.breaks(name, value))
    }

    /// All that a client reads of the environment, and not the common ones alone.
    #[cfg(all(feature = "s3", feature = "gs", feature = "az", unix))]
    #[test]
    fn any_variable_that_is_wrong_is_named_and_none_is_ignored() {
        use std::os::unix::ffi::OsStringExt;

        for (scheme, set, expected) in [
            (Scheme::S3, &[("AWS_SKIP_SIGNATURE", "s3cr3t")][..], "AWS_SKIP_SIGNATURE is not what"),
            (Scheme::S3, &[("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "perhaps")], "AWS_VIRTUAL_HOSTED_STYLE_REQUEST is not"),
            (Scheme::S3, &[("AWS_CHECKSUM_ALGORITHM", "md6")], "AWS_CHECKSUM_ALGORITHM is not what"),
            (Scheme::S3, &[("AWS_ROLE_ARN", "arn\r")], "AWS_ROLE_ARN has a control character"),
            (
                Scheme::S3,
                &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/nope")],
                "AWS_WEB_IDENTITY_TOKEN_FILE names a file: No such",
            ),
            (Scheme::S3, &[("AWS_ENDPOINT_URL_STS", "sts")], "AWS_ENDPOINT_URL_STS must be https://host"),
            (Scheme::S3, &[("AWS_ALLOW_HTTP", "perhaps")], "AWS_ALLOW_HTTP must be true or false"),
            (Scheme::S3, &[("AWS_ALLOW_HTTP", "1"), ("AWS_PROFILE", "a\tb"), ("AWS_SKIP_SIGNATURE", "true")], ""),
            (Scheme::Gs, &[("GOOGLE_BASE_URL", "gcs")], "GOOGLE_BASE_URL must be https://host"),
            (Scheme::Gs, &[("GOOGLE_SERVICE_ACCOUNT_KEY", "{")], "GOOGLE_SERVICE_ACCOUNT_KEY is not what"),
            (Scheme::Gs, &[("GOOGLE_SKIP_SIGNATURE", "perhaps")], "GOOGLE_SKIP_SIGNATURE is not what"),
            (
                Scheme::Az,
                &[("AZURE_STORAGE_ACCOUNT_NAME", "me"), ("AZURE_USE_AZURE_CLI", "perhaps")],
                "AZURE_USE_AZURE_CLI is not what",
            ),
        ] {
            let found = check_all(scheme, &Access::default(), set).err().unwrap_or_default();
            let is_right = if expected.is_empty() { found.is_empty() } else { found.contains(expected) };
            assert!(is_right && !found.contains("s3cr3t"), "{set:?}: {found}");
        }
        for (scheme, name) in
            [(Scheme::S3, "AWS_REGION"), (Scheme::Gs, "GOOGLE_BUCKET_NAME"), (Scheme::Az, "AZURE_CLIENT_ID")]
        {
            let all = [(OsString::from(name), OsString::from_vec(vec![0xff]))];
            let client = Reads::of(scheme);
            let found = check(scheme, &Access::default(), &all, |name| client.reads(name), |_, _| false);
            assert_eq!(found, Err(format!("the environment variable {name} is not UTF-8, and would be ignored")));
        }
    }
}
