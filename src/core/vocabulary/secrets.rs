//! Secrets are named, never given: what is declared stays in the log for ever.

use serde_json::Value;

use super::FieldError;

/// Refuses values of keys that name a credential, unless they only name where the secret is kept.
pub(super) fn refuse_secrets(path: &str, value: &Value) -> Result<(), FieldError> {
    match value {
        Value::Object(members) => members.iter().try_for_each(|(key, member)| {
            let path = format!("{path}.{key}");
            let named = member.as_str().is_some_and(names_a_place);
            if names_a_secret(key) && !named && !member.is_null() {
                return Err(FieldError::new(path, "must name where the secret is kept, as \"env:NAME\" or \"file:PATH\"; the secret itself would stay in the log"));
            }
            refuse_secrets(&path, member)
        }),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(at, item)| refuse_secrets(&format!("{path}[{at}]"), item)),
        Value::String(text) => refuse_credential(path, text).and_then(|()| refuse_pairs(path, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Refuses a text that gives a credential as `name=value`, as connection strings do.
fn refuse_pairs(path: &str, text: &str) -> Result<(), FieldError> {
    let pairs = text.split(|c: char| c.is_whitespace() || c.is_control() || [';', '&', ',', '?'].contains(&c));
    let gives = |(key, value): (&str, &str)| names_a_secret(key) && !value.is_empty() && !names_a_place(value);
    if pairs.filter_map(|pair| pair.split_once('=')).any(gives) {
        let problem = "must not hold a credential (password=...); name where it is kept under a key of its own, as \"env:NAME\" or \"file:PATH\"";
        return Err(FieldError::new(path, problem));
    }
    Ok(())
}

/// Whether a value only names where a secret is kept.
fn names_a_place(value: &str) -> bool {
    value.starts_with("env:") || value.starts_with("file:")
}

/// Whether a key is one under which credentials are commonly given.
fn names_a_secret(key: &str) -> bool {
    // Not every key that ends with "token": a tokenizer has many that are no secret.
    const PARTS: [&str; 18] = [
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
        "accesstoken",
        "refreshtoken",
        "bearertoken",
        "securitytoken",
        "apitoken",
        "sastoken",
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
