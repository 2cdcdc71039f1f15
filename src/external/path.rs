//! Paths of files relative to their source, as bytes, as text and as they may be shown. It touches no file system.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The path of a file relative to its source: bytes, separated by `/`, without a leading one. Compared byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePath(pub Vec<u8>);

impl SourcePath {
    /// The path as text that can be turned back: UTF-8 as it is, every other byte as `%` and two upper-case
    /// hexadecimal digits, and `%` itself as `%25`. This is the form of paths in JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        percent_encode(&self.0)
    }

    /// Reads what [`encode`](SourcePath::encode) wrote. `None` when a `%` is not followed by two hexadecimal digits.
    #[must_use]
    pub fn decode(text: &str) -> Option<SourcePath> {
        percent_decode(text).map(SourcePath)
    }

    /// The path as one of the file system, to be joined to the source.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether it leads below its source and nowhere else: no part of it is empty, `.` or `..`.
    pub(super) fn is_below(&self) -> bool {
        self.0.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
    }
}

/// For people: as [`SourcePath::encode`], with control characters encoded as well. A name with a newline or an
/// escape sequence must not forge a line of a log or take over a terminal.
impl fmt::Display for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.encode().chars() {
            if c.is_control() {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// See [`SourcePath::encode`].
pub(super) fn percent_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

/// Turns `%` and two hexadecimal digits into a byte.
pub(super) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_24_paths_survive_being_shown() {
        for (bytes, json, shown) in [
            (&b"a b/c.parquet"[..], "a b/c.parquet", "a b/c.parquet"),
            (b"100%", "100%25", "100%25"),
            (b"%41", "%2541", "%2541"),
            ("grün".as_bytes(), "grün", "grün"),
            (b"bad\xff\xfe", "bad%FF%FE", "bad%FF%FE"),
            (b"line\nfeed\x1b[2J", "line\nfeed\u{1b}[2J", "line%0Afeed%1B[2J"),
            ("c1\u{85}".as_bytes(), "c1\u{85}", "c1%C2%85"),
        ] {
            let path = SourcePath(bytes.to_vec());
            assert_eq!((path.encode().as_str(), path.to_string().as_str()), (json, shown));
            assert_eq!(SourcePath::decode(json), Some(path.clone()));
            assert_eq!(SourcePath::decode(shown), Some(path));
        }
        for text in ["%", "%4", "%zz", "50%"] {
            assert_eq!(SourcePath::decode(text), None);
        }
    }
}
