//! The patterns of a spec, `include` and `exclude`: which paths below a source they match. The only file that names the
//! crate `globset`. It must not know what follows from a match.

use std::ffi::OsStr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::skip::{ICEBERG, TABLES};

/// Most patterns of a list: beyond that a directory of its own is the better answer.
const MAX_PATTERNS: usize = 64;

/// Longest pattern, in bytes.
pub(super) const MAX_PATTERN_BYTES: usize = 256;

/// Patterns that paths relative to a source are held against. One without a slash matches the last part of a path, at any
/// depth; one with a slash matches the whole path. `*` and `?` stop at slashes, `**` does not; `[ab]` is one of these
/// bytes, `{x,y}` one of these patterns, and a backslash takes the meaning from what follows it.
#[derive(Clone)]
pub struct Patterns {
    texts: Vec<String>,
    set: GlobSet,
}

impl Patterns {
    /// Patterns that match nothing.
    #[must_use]
    pub fn none() -> Patterns {
        Patterns { texts: Vec::new(), set: GlobSet::empty() }
    }

    /// # Errors
    /// What is wrong with which pattern, or that there are none or more than 64.
    pub fn new(texts: &[impl AsRef<str>]) -> Result<Patterns, String> {
        if !(1..=MAX_PATTERNS).contains(&texts.len()) {
            return Err(format!("must hold 1 to {MAX_PATTERNS} patterns, found {}", texts.len()));
        }
        let texts: Vec<String> = texts.iter().map(|text| text.as_ref().to_owned()).collect();
        let mut set = GlobSetBuilder::new();
        for text in &texts {
            check_pattern(text)?;
            // Two asterisks and a slash match no directory as well.
            let pattern = if text.contains('/') { text.clone() } else { format!("**/{text}") };
            let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
            set.add(glob.map_err(|error| wrong(text, &error.kind().to_string()))?);
        }
        let set = set.build().map_err(|error| format!("are too large together: {}", error.kind()))?;
        Ok(Patterns { texts, set })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether one of them matches this path, relative to the source.
    #[must_use]
    pub fn is_match(&self, path: &[u8]) -> bool {
        !self.texts.is_empty() && self.set.is_match(Path::new(OsStr::from_bytes(path)))
    }
}

fn check_pattern(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not hold an empty pattern".to_owned());
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(format!("must hold patterns of at most {MAX_PATTERN_BYTES} bytes, found {}", text.len()));
    }
    if text.starts_with('/') {
        return Err(wrong(text, "paths are relative to the source: leave the slash at its beginning out"));
    }
    if text.ends_with('/') {
        return Err(wrong(
            text,
            "leave the slash at its end out: what lies below a directory that matches is left out too",
        ));
    }
    let mut below = text;
    while let Some(rest) = below.strip_prefix("../") {
        below = rest;
    }
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(wrong(
            text,
            "it can match nothing: paths are relative to the source, and none has a part that is empty, `.` or `..`",
        ));
    }
    // What lies above is asked one thing only: whether the source is a part of a table.
    let marks = TABLES.iter().map(|(mark, _)| *mark).chain([ICEBERG.0]);
    let is_mark = |name: &str| marks.into_iter().any(|mark| mark == name.as_bytes());
    if below.len() < text.len() && !below.split('/').next().is_some_and(is_mark) {
        let problem = "it can match nothing: above the source is no data, and only the log of a table that it is a part of, \
                       such as ../_delta_log, is looked for there";
        return Err(wrong(text, problem));
    }
    Ok(())
}

fn wrong(text: &str, problem: &str) -> String {
    format!("holds the pattern {}, which is wrong: {}", shown(text, 64), shown(problem, 192))
}

/// The first characters, such as they may be shown: as they were written, but for those that drive a terminal.
fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).fold(String::new(), |mut shown, c| {
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
        shown
    })
}

/// By their texts: what they match follows from those.
impl PartialEq for Patterns {
    fn eq(&self, other: &Patterns) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Patterns {}

impl Hash for Patterns {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.texts.hash(hasher);
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.texts.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, path: &str, expected: bool) {
        let patterns = Patterns::new(&[pattern.to_owned()]).unwrap();
        assert_eq!(patterns.is_match(path.as_bytes()), expected, "{pattern} {path}");
    }

    #[test]
    fn defect_30_a_name_matches_everywhere_and_a_path_from_the_source_on() {
        for path in ["README.md", "a/README.md", "a/b/README.md"] {
            check("README.md", path, true);
            check("*.md", path, true);
            check("a/README.md", path, path == "a/README.md");
            check("a/*", path, path == "a/README.md");
            check("a/**", path, path != "README.md");
            check("**/README.md", path, true);
        }
        check("tmp_*.parquet", "x/tmp_1.parquet", true);
        check("tmp_*.parquet", "tmp_1/a.parquet", false);
        check("?.{csv,tsv}", "a.tsv", true);
        check("[ab]=*", "b=1", true);
        check("\\*", "*", true);
        check("\\*", "a", false);
        check("*", ".hidden", true);
        assert!(Patterns::new(&["*.md".to_owned()]).unwrap().is_match(b"\xff\xfe.md"), "paths are bytes");
        assert!(!Patterns::none().is_match(b"a") && !Patterns::none().is_match(b""));
    }

    #[test]
    fn defect_30_a_wrong_pattern_says_what_is_wrong() {
        for (pattern, expected) in [
            ("", "must not hold an empty pattern"),
            ("/a", "leave the slash at its beginning out"),
            ("a/", "leave the slash at its end out"),
            ("a[", "holds the pattern a[, which is wrong: unclosed character class"),
            ("a{b", "which is wrong: unclosed alternate group"),
            ("a\\", "which is wrong: dangling"),
        ] {
            let error = Patterns::new(&[pattern.to_owned()]).unwrap_err();
            assert!(error.contains(expected), "{pattern}: {error}");
        }
        assert!(Patterns::new(&["x".repeat(257)]).unwrap_err().contains("at most 256 bytes, found 257"));
        // What would cost others time or memory costs neither here.
        let alternatives = vec!["{a,a}".repeat(51); 64];
        assert!(!Patterns::new(&alternatives).unwrap().is_match(&[b'a'; 4096]));
    }
}
