//! What is refused of a name that is new, and what a name is as the name of a file. It must not know who asks, and
//! touches no file system.
//!
//! A name that is in a log already is read as it stands: rules that became stricter since do not make an old log
//! unreadable, and its collection can still be looked at, changed and dropped.

use super::{FieldError, Name};

/// Longest file name that is made of a name, in bytes: of the 255 that file systems take, what is left is room for a
/// token and an ending.
const MOST_FILE_NAME: usize = 200;

/// What stands before the hash of a name that is too long. It stands in no other file name: behind every other `%` are
/// two hexadecimal digits.
const CUT: &str = "%-";

const HASH_CONTEXT: &str = "lastword 2026 file name v1";

impl Name {
    /// Whether a new collection may have this name. Beside what holds for every name ([`Name::new`]):
    ///
    /// * no white space at its beginning or end: two names that look the same are two collections;
    /// * no characters that change the order in which others are shown (U+202E and its kin) or end a line (U+2028,
    ///   U+2029), and no byte order mark;
    /// * `/` only between parts, as in `tenant/orders`, none of which is empty, `.` or `..`: whoever joins a name to a
    ///   directory stays below it. [`as_file_name`](Name::as_file_name) is the way to make it one file.
    ///
    /// A declaration of a collection that exists is never refused for its name.
    ///
    /// # Errors
    /// What is wrong, in the field `name`.
    pub fn check_new(&self) -> Result<(), FieldError> {
        let refuse = |problem: String| Err(FieldError::new("name", problem));
        let text = self.as_str();
        if text.trim() != text {
            return refuse("must not begin or end with white space".to_owned());
        }
        if let Some(found) = text.chars().find(|c| misleads(*c)) {
            return refuse(format!("must not hold {}, which changes how text is shown", found.escape_unicode()));
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            let allowed = "must be a name such as lineitem or tenant/lineitem";
            return refuse(format!("{allowed}: no part between slashes may be empty, `.` or `..`"));
        }
        Ok(())
    }

    /// The name as the name of one file or directory, on any file system: ASCII letters, digits, `_`, `-` and `.` as they
    /// are, every other byte as `%` and two upper-case hexadecimal digits, and so a `.` or `-` at the beginning. At most
    /// 200 bytes, which leaves room for a token and an ending: of what would be longer the beginning, and a hash of all.
    ///
    /// Different names have different file names. (Where a file system does not tell upper from lower case, as some that
    /// are mounted do not, neither does it of names that differ in nothing else.)
    ///
    /// ```
    /// use lastword::Name;
    ///
    /// assert_eq!(Name::new("lineitem")?.as_file_name(), "lineitem");
    /// assert_eq!(Name::new("tenant/2 orders")?.as_file_name(), "tenant%2F2%20orders");
    /// assert_eq!(Name::new("../../etc/passwd")?.as_file_name(), "%2E.%2F..%2Fetc%2Fpasswd");
    /// # Ok::<(), lastword::errors::FieldError>(())
    /// ```
    #[must_use]
    pub fn as_file_name(&self) -> String {
        let mut encoded = String::new();
        // Where what is kept of a long one ends: never within an encoded byte.
        let (mut kept, room) = (0, MOST_FILE_NAME - CUT.len() - 2 * blake3::OUT_LEN);
        for (at, byte) in self.as_str().bytes().enumerate() {
            if byte.is_ascii_alphanumeric() || byte == b'_' || (at > 0 && matches!(byte, b'-' | b'.')) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
            if encoded.len() <= room {
                kept = encoded.len();
            }
        }
        if encoded.len() > MOST_FILE_NAME {
            encoded.truncate(kept);
            encoded.push_str(CUT);
            let hash = blake3::Hasher::new_derive_key(HASH_CONTEXT).update(self.as_str().as_bytes()).finalize();
            encoded.push_str(&hash.to_hex());
        }
        encoded
    }
}

/// Characters that are not shown themselves, and change how others are: marks, embeddings, overrides and isolates of
/// direction, the separators of lines and paragraphs, the byte order mark.
pub(crate) fn misleads(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn defect_15_what_is_dangerous_of_a_new_name_is_refused_and_what_people_write_is_not() {
        for good in
            ["lineitem", "line item", "tenant/orders", "a/b.c/..d", "...", "größe", "注文", "a-b_c", "%2F", "-x", "~"]
        {
            assert_eq!(name(good).check_new(), Ok(()), "{good:?}");
        }
        for (bad, expected) in [
            ("../../etc/passwd", "no part between slashes"),
            ("/", "no part between slashes"),
            ("..", "no part between slashes"),
            (".", "no part between slashes"),
            ("a/", "no part between slashes"),
            ("/a", "no part between slashes"),
            ("a//b", "no part between slashes"),
            ("a/./b", "no part between slashes"),
            (" a", "white space"),
            ("a ", "white space"),
            ("a\u{a0}", "white space"),
            ("\u{3000}a", "white space"),
            ("gpj.\u{202e}txt", r"\u{202e}"),
            ("a\u{2066}b", r"\u{2066}"),
            ("a\u{200f}b", r"\u{200f}"),
            ("a\u{2028}b", r"\u{2028}"),
            ("\u{feff}a", r"\u{feff}"),
        ] {
            let error = name(bad).check_new().unwrap_err();
            assert_eq!(error.field, "name");
            assert!(error.problem.contains(expected) && error.problem.is_ascii(), "{bad:?}: {error}");
        }
    }

    /// All texts of up to `length` of these.
    fn texts(parts: &[&str], length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..length {
            last = last.iter().flat_map(|text| parts.iter().map(move |part| format!("{text}{part}"))).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn defect_15_names_are_file_names_of_their_own_that_lead_nowhere() {
        let mut texts = texts(&["a", "A", "/", ".", "%", "2F", "-", " ", "é", "\u{202e}", "\\", "~"], 4);
        // Around the length at which they are cut, also in the middle of an encoded byte; and what they are cut to.
        for length in 120..=200 {
            for part in ["x", "/", "é"] {
                texts.push(part.repeat(length / part.len()));
                texts.push(format!("{}{}", "y".repeat(length - part.len()), part));
                texts.push(format!("{}/", "z".repeat(length - 1)));
            }
        }
        let cut: Vec<String> = texts.iter().filter_map(|text| Name::new(text).ok()).map(|n| n.as_file_name()).collect();
        texts.extend(cut);
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for text in texts {
            let Ok(name) = Name::new(&text) else { continue };
            let file = name.as_file_name();
            assert!(!file.is_empty() && file.len() <= MOST_FILE_NAME, "{text:?}: {file}");
            assert!(file.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.%".contains(&b)), "{text:?}: {file}");
            assert!(!file.starts_with(['.', '-']), "{text:?}: {file}");
            let mut parts = std::path::Path::new(&file).components();
            assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))) && parts.next().is_none(), "{file}");
            if let Some(other) = seen.insert(file.clone(), text.clone()) {
                assert_eq!(other, text, "two names are the file {file}");
            }
        }
        assert!(seen.keys().any(|file| file.contains(CUT)) && seen.len() > 15_000, "{}", seen.len());
    }
}
