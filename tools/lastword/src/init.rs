//! `lastword init`: a configuration to begin with. Every key is in it, with its default and what it is for.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use log_dump::whole::Unfinished;

use crate::console::{line, quoted};
use crate::fail::{Fail, USAGE};

const TEXT: &str = include_str!("init.toml");

/// The name that the text is written for.
const NAME: &str = "lastword.toml";

/// Writes the file, which must not be there yet.
pub(crate) fn init(file: &Path) -> Result<ExitCode, Fail> {
    let shown = quoted(file);
    let is_there = || Fail::new(USAGE, format!("{shown} is there already and stays as it is"));
    if file.symlink_metadata().is_ok() {
        return Err(is_there());
    }
    let text = TEXT.replace(NAME, &shown);
    let made = Unfinished::beside(file, 0o666).and_then(|mut made| {
        made.file.write_all(text.as_bytes())?;
        made.put_new()
    });
    made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(),
        _ => Fail::io(&shown, &error),
    })?;
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
        // There is no store that a new file could have.
        assert!(text.contains("# [stores.\"s3://bucket\"] does: "));
        for key in every_key().filter(|key| *key != "stores") {
            let named = |line: &str| {
                line.starts_with(&format!("{key} = "))
                    || line == format!("[{key}]")
                    || line.starts_with(&format!("[{key}."))
            };
            assert!(text.lines().any(named), "{key} is not in the file");
        }
    }

    /// The rows of the page `settings` that name a key of the file: the key, and its default.
    fn page() -> Vec<(&'static str, &'static str)> {
        let mut section = "";
        let mut rows = Vec::new();
        for line in include_str!("../../../src/settings.md").lines() {
            section = line.strip_prefix("# ").unwrap_or(section);
            // Its keys are those of a store: `config/stores.rs` holds them.
            if section == "Of sources" {
                break;
            }
            let cells: Vec<&str> =
                line.trim_matches('|').split('|').map(|cell| cell.trim_matches(['`', ' '])).collect();
            let place = if section == "Of the file alone" { 0 } else { 1 };
            let is_row = line.starts_with("| `") && cells.len() == 4 - usize::from(place == 0);
            if is_row && !cells[place].is_empty() {
                rows.push((cells[place], cells[place + 1]));
            }
        }
        rows
    }

    #[test]
    fn the_page_of_settings_has_every_key_with_its_default() {
        let page = page();
        let text = in_force(TEXT);
        let keys: Vec<&str> =
            every_key().filter(|key| !matches!(*key, "collections" | "defaults" | "stores")).collect();
        assert_eq!(page.len(), keys.len(), "{page:?} are not {keys:?}");
        for key in keys {
            let (_, shown) = page.iter().find(|(named, _)| *named == key).unwrap_or_else(|| panic!("{key} is missing"));
            let plain = |text: &str| text.trim_matches('"').replace('_', "");
            let given = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).map(plain);
            match *shown {
                "required" => assert!(given.is_some(), "{key} is not in the file"),
                "none" if key == "limits" => assert!(text.contains("[limits]")),
                shown => assert_eq!(Some(plain(shown)), given, "{key}"),
            }
        }
    }
}
