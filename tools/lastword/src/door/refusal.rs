//! Why a request is not fulfilled: one shape for all of them. It must not know what was asked.

use serde_json::{Value, json};

use crate::fail::{CANNOT_OPEN, Fail, USAGE};

/// `{"v":1,"error":{"kind":..,"field":..,"message":..,"code":..}}` behind a status of HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(super) status: u16,
    /// What a caller does about it: one of [`KINDS`].
    pub(super) kind: &'static str,
    /// What of the request is wrong, if one field is.
    pub(super) field: Option<String>,
    pub(super) fail: Fail,
}

/// All kinds: those of the library (`ErrorKind`), then those of the door, each with its status.
pub(super) const KINDS: [(&str, u16); 24] = [
    ("invalid_input", 400),
    ("refused", 409),
    ("wrong_path", 404),
    ("busy", 503),
    ("io", 500),
    ("closed", 503),
    ("unknown", 500),
    ("damaged", 500),
    ("too_new", 500),
    ("tail_lost", 500),
    ("prefix_gone", 410),
    ("diverged", 500),
    ("timed_out", 504),
    ("stopped", 503),
    ("bug", 500),
    ("not_found", 404),
    ("no_route", 404),
    ("method_not_allowed", 405),
    ("too_large", 413),
    ("too_slow", 408),
    ("forbidden", 403),
    ("token_missing", 401),
    ("wrong_host", 421),
    ("not_ready", 503),
];

impl Refusal {
    pub(super) fn new(kind: &'static str, code: u8, message: impl Into<String>) -> Refusal {
        let status = KINDS.iter().find(|(known, _)| *known == kind).map_or(500, |(_, status)| *status);
        Refusal { status, kind, field: None, fail: Fail::new(code, message) }
    }

    /// A field of the request is wrong. `problem` goes on behind its name: `must be a string`.
    pub(super) fn field(field: &str, problem: impl std::fmt::Display) -> Refusal {
        let refusal = Refusal::new("invalid_input", USAGE, format!("{field}: {problem}"));
        Refusal { field: Some(field.to_owned()), ..refusal }
    }

    pub(super) fn busy(message: impl Into<String>) -> Refusal {
        Refusal::new("busy", CANNOT_OPEN, message)
    }

    pub(super) fn json(&self) -> Value {
        let (message, code) = (&self.fail.message, self.fail.code);
        json!({"v": 1, "error": {"kind": self.kind, "field": self.field, "message": message, "code": code}})
    }
}

impl From<Fail> for Refusal {
    fn from(fail: Fail) -> Refusal {
        let by_code = match fail.code {
            USAGE => "invalid_input",
            CANNOT_OPEN => "closed",
            _ => "bug",
        };
        let is_absent = fail.code == USAGE && fail.message.starts_with("there is no collection");
        let kind = if is_absent { "not_found" } else { fail.kind.map_or(by_code, lastword::ErrorKind::as_str) };
        // What a field of a declaration may not be begins with its name.
        let refusal = Refusal::new(kind, fail.code, "");
        Refusal { fail, ..refusal }
    }
}

#[cfg(test)]
mod tests {
    use lastword::ErrorKind;

    use super::*;

    #[test]
    fn every_kind_of_the_library_has_its_status() {
        for kind in ErrorKind::ALL {
            assert!(KINDS.iter().any(|(known, _)| *known == kind.as_str()), "{kind:?}");
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_not_found() {
        let refusal = Refusal::from(Fail::new(USAGE, "there is no collection \"a\""));
        assert_eq!((refusal.status, refusal.kind, refusal.fail.code), (404, "not_found", 2));
    }
}
