//! What the environment says of object stores, looked at before it is believed: what is wrong there is named by the variable
//! and not repeated, for it may be secret. It must not keep what it has read.

use std::fs;

use super::access::{Access, check_endpoint, is_one_word};
use crate::external::Scheme;

/// The variables of a kind of store, with the field of [`Access`] that takes their place.
const VARIABLES: [(Scheme, &str, &str); 13] = [
    (Scheme::S3, "AWS_ENDPOINT_URL_S3", "endpoint"),
    (Scheme::S3, "AWS_ENDPOINT_URL", "endpoint"),
    (Scheme::S3, "AWS_ENDPOINT", "endpoint"),
    (Scheme::S3, "AWS_REGION", "region"),
    (Scheme::S3, "AWS_DEFAULT_REGION", "region"),
    (Scheme::S3, "AWS_ACCESS_KEY_ID", "access_key_id"),
    (Scheme::S3, "AWS_SECRET_ACCESS_KEY", "access_key_id"),
    (Scheme::S3, "AWS_SESSION_TOKEN", "access_key_id"),
    (Scheme::Gs, "GOOGLE_SERVICE_ACCOUNT", "service_account"),
    (Scheme::Gs, "GOOGLE_APPLICATION_CREDENTIALS", "service_account"),
    (Scheme::Az, "AZURE_STORAGE_ENDPOINT", "endpoint"),
    (Scheme::Az, "AZURE_STORAGE_ACCOUNT_NAME", "account"),
    (Scheme::Az, "AZURE_STORAGE_ACCOUNT_KEY", "access_key"),
];

/// Checks what the environment says beside `access`. `variable` reads it.
///
/// # Errors
/// The first variable that is wrong, or missing, and what is allowed.
pub(super) fn check(scheme: Scheme, access: &Access, variable: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let replaced = |field: &str| match field {
        "endpoint" => access.endpoint.is_some(),
        "region" => access.region.is_some(),
        "account" => access.account.is_some(),
        "access_key_id" => access.access_key_id.is_some() || access.anonymous,
        "access_key" => access.access_key.is_some() || access.anonymous,
        _ => access.service_account.is_some() || access.anonymous,
    };
    let counts = VARIABLES.iter().filter(|(of, _, field)| *of == scheme && !replaced(field));
    for (_, name, field) in counts {
        let Some(value) = variable(name) else { continue };
        let problem = match () {
            () if value.is_empty() => Some("is set and empty: give it a value, or unset it".to_owned()),
            () if !is_one_word(&value) && *field != "service_account" => {
                Some("has white space or a control character in it, as the end of a line of Windows is one".to_owned())
            }
            () if *field == "endpoint" => check_endpoint(&value, true).err().map(|error| error.problem),
            () if *field == "service_account" => {
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
            let variable = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let found = check(scheme, &Access::default(), variable).err().unwrap_or_default();
            let is_right = if expected.is_empty() { found.is_empty() } else { found.contains(expected) };
            assert!(is_right && !found.contains("s3cr3t"), "{set:?}: {found}");
        }
        // What is said in its place counts alone.
        let access = Access { endpoint: Some("https://minio".to_owned()), ..Access::default() };
        assert_eq!(check(Scheme::S3, &access, |name| (name == "AWS_ENDPOINT_URL").then(String::new)), Ok(()));
    }
}
