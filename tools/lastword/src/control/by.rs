//! Who asks, and why: what is recorded with every command.

use std::env;
use std::path::Path;

use lastword::core::vocabulary::By;

use crate::fail::{Fail, USAGE};

/// What a person or a program says of itself.
pub(crate) fn by(actor: &str, cause: Option<&str>) -> Result<By, Fail> {
    By::new(Some(actor), cause).map_err(|error| Fail::new(USAGE, error.to_string()))
}

/// The user who started this program, as far as the environment tells: for the audit, not for access.
pub(crate) fn user() -> String {
    let named = |key: &&str| env::var(key).is_ok_and(|user| By::new(Some(&format!("cli:{user}")), None).is_ok());
    let key = ["USER", "LOGNAME"].into_iter().find(named);
    key.and_then(|key| env::var(key).ok()).map_or_else(|| "cli".to_owned(), |user| format!("cli:{user}"))
}

/// What a file implies: `gone from lake.toml`. A path that cannot be recorded is named by its end, or not at all.
pub(crate) fn because_of(actor: &str, what: &str, file: &Path) -> Result<By, Fail> {
    let end = file.file_name().map(Path::new).unwrap_or(file);
    let named = [file, end].into_iter().find_map(|file| by(actor, Some(&format!("{what} {}", file.display()))).ok());
    named.map_or_else(|| by(actor, None), Ok)
}
