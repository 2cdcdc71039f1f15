//! Secrets are named, never given: what is declared stays in the log for ever.

use serde_json::Value;

use super::FieldError;

/// Refuses values of keys that name a credential, unless they only name where the secret is kept.
pub(super) fn refuse_secrets(path: &str, value: &Value) -> Result<(), FieldError> {
    match value {
        Value::Object(members) => members.iter().try_for_each(|(key, member)| {
            let path = format!("{path}.{key}");
            let named = member.as_str().is_some_and(|text| text.starts_with("env:") || text.starts_with("file:"));
            if names_a_secret(key) && !named && !member.is_null() {
                return Err(FieldError::new(path, "must name where the secret is kept, as \"env:NAME\" or \"file:PATH\"; the secret itself would stay in the log"));
            }
            refuse_secrets(&path, member)
        }),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(at, item)| refuse_secrets(&format!("{path}[{at}]"), item)),
        Value::String(text) => refuse_credential(path, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Whether a key is one under which credentials are commonly given.
fn names_a_secret(key: &str) -> bool {
    const PARTS: [&str; 12] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "credential",
        "accesskey",
        "apikey",
        "privatekey",
        "accountkey",
        "sessiontoken",
        "authtoken",
        "signature",
    ];
    const WHOLE: [&str; 7] = ["token", "pwd", "sas", "auth", "authorization", "bearer", "sig"];
    let folded: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    PARTS.iter().any(|part| folded.contains(part)) || WHOLE.contains(&folded.as_str())
}

/// Refuses a text that holds a URI with a password or with credentials among its parameters. The text may hold
/// other things, and several URIs.
pub(super) fn refuse_credential(field: &str, text: &str) -> Result<(), FieldError> {
    const REMEDY: &str = "name the secret in the spec instead, as \"env:NAME\" or \"file:PATH\"";
    for (at, _) in text.match_indices("://") {
        let uri = text[at + 3..].split(|c: char| c.is_whitespace() || c.is_control()).next().unwrap_or_default();
        let authority = uri.split(['/', '?', '#']).next().unwrap_or_default();
        if holds_a_password(authority) || (uri.contains('@') && has_no_port(authority)) {
            return Err(FieldError::new(field, format!("must not hold a password (user:password@host); {REMEDY}")));
        }
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        let mut keys = query.split(['&', ';', '?']).filter_map(|pair| pair.split('=').next());
        if let Some(key) = keys.find(|key| names_a_secret(key)) {
            let problem = format!("must not hold credentials, found the parameter {key:?}; {REMEDY}");
            return Err(FieldError::new(field, problem));
        }
    }
    Ok(())
}

fn holds_a_password(authority: &str) -> bool {
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// Whether what follows the host is no port: then it may be a password with a `/` in it, before an `@`.
fn has_no_port(authority: &str) -> bool {
    let behind = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
    behind.split_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()))
}
