//! `lastword init`: a configuration to begin with. Every key is in it, with its default and what it is for.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::console::{line, quoted};
use crate::fail::{CANNOT_OPEN, Fail, USAGE};

const TEXT: &str = include_str!("init.toml");

/// The name that the text is written for.
const NAME: &str = "lastword.toml";

/// Writes the file, which must not be there yet.
pub(crate) fn init(file: &Path) -> Result<ExitCode, Fail> {
    let shown = quoted(file);
    let made = OpenOptions::new().write(true).create_new(true).open(file);
    let mut made = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Fail::new(USAGE, format!("{shown} is there already and stays as it is")),
        _ => Fail::new(CANNOT_OPEN, format!("{shown}: {error}")),
    })?;
    let text = TEXT.replace(NAME, &shown);
    made.write_all(text.as_bytes()).map_err(|error| Fail::new(CANNOT_OPEN, format!("{shown}: {error}")))?;
    line(&format!("{shown} is written: name your source in it, then: lastword plan {shown}"))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use lastword::core::vocabulary::{Limits, Policy};

    use super::*;
    use crate::config::{Config, Settings, every_key};

    /// The text with every commented key put into force.
    fn in_force(text: &str) -> String {
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_alphabetic()) => setting.to_owned(),
            _ => line.to_owned(),
        };
        text.lines().map(|line| uncommented(line) + "\n").collect()
    }

    fn read(text: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(NAME);
        std::fs::write(&file, text).unwrap();
        Config::read(&file).unwrap()
    }

    #[test]
    fn what_is_commented_out_is_the_default() {
        let (plain, in_force) = (read(TEXT), read(&in_force(TEXT)));
        for config in [&plain, &in_force] {
            assert_eq!((&config.settings, &config.limits), (&Settings::default(), &Limits::default()));
            assert_eq!(config.collections.len(), 1);
            assert_eq!(config.collections[0].policy, Policy::default());
        }
        assert_eq!(plain.collections[0].layout, in_force.collections[0].layout);
    }

    #[test]
    fn every_key_is_named() {
        let text = in_force(TEXT);
        for key in every_key() {
            let named = |line: &str| {
                line.starts_with(&format!("{key} = "))
                    || line == format!("[{key}]")
                    || line.starts_with(&format!("[{key}."))
            };
            assert!(text.lines().any(named), "{key} is not in the file");
        }
    }

    #[test]
    fn the_readme_names_every_key() {
        let readme = include_str!("../../../README.md");
        for key in every_key().filter(|key| !matches!(*key, "collections" | "defaults")) {
            let names = [format!("`{key}`"), format!("`{key} = "), format!("`{key}."), format!("\n{key} = ")];
            assert!(names.iter().any(|name| readme.contains(name)), "{key} is not in the README");
        }
    }
}
