//! What a user may write as a source, and the directory or bucket it means. It must not ask whether that exists.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::path::percent_decode;
use super::skip::Rules;
use super::{BucketPrefix, ExternalSpec, FieldError, Patterns, Scheme, SourcePath};

const FIELD: &str = "source";
const ALLOWED: &str =
    "allowed are a path, file:///path, s3://bucket/prefix/, gs://bucket/prefix/ and az://container/prefix/";

/// Longest source, in bytes: the longest path that Linux accepts.
const MAX_BYTES: usize = 4096;

/// A source as it was declared: checked, not yet resolved against a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceUri {
    place: Place,
}

/// Where a source lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Directory(PathBuf),
    Bucket(BucketPrefix),
}

impl SourceUri {
    /// Checks a source: a path, a `file://` URL with an empty host or `localhost`, or a prefix of a bucket. No error repeats
    /// more of the text than a scheme or a host, because what was mistaken for a source may hold a password.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub fn parse(text: &str) -> Result<SourceUri, FieldError> {
        if text.trim().is_empty() {
            return refuse(format!("must not be empty; {ALLOWED}"));
        }
        if text.len() > MAX_BYTES {
            return refuse(format!("is {} bytes long; at most {MAX_BYTES} are allowed", text.len()));
        }
        let bytes = match scheme_of(text) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => path_of_url(rest)?,
            Some((scheme, rest)) => match Scheme::of(scheme) {
                Some(scheme) => return Ok(SourceUri { place: Place::Bucket(BucketPrefix::parse(scheme, rest)?) }),
                None => return refuse(format!("has the unknown scheme {scheme}; {ALLOWED}")),
            },
            None => text.as_bytes().to_vec(),
        };
        if bytes.iter().any(u8::is_ascii_control) {
            return refuse("must not contain control characters".to_owned());
        }
        let path = PathBuf::from(OsString::from_vec(bytes));
        if path.components().any(|component| component == Component::ParentDir) {
            return refuse("must not contain `..`; name the directory itself".to_owned());
        }
        check_place(&path)?;
        Ok(SourceUri { place: Place::Directory(path) })
    }

    /// The source with a relative path taken from the directory `base`, which is absolute.
    ///
    /// # Errors
    /// When `base` is not absolute, or the directory that is meant is refused.
    pub fn resolve(&self, base: &Path) -> Result<SourceLocation, FieldError> {
        let mut place = self.place.clone();
        if let Place::Directory(path) = &mut place {
            *path = base.join(&path).components().collect();
            if !path.is_absolute() {
                return refuse("must be absolute: a path that begins with /, or file:///".to_owned());
            }
            check_place(path)?;
        }
        Ok(SourceLocation { place, follows_links: false, state: None, rules: Rules::default() })
    }
}

/// A source: an absolute directory of the local file system, or a prefix of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceLocation {
    place: Place,
    follows_links: bool,
    state: Option<PathBuf>,
    rules: Rules,
}

impl SourceLocation {
    /// The source of a collection whose log lies in the directory `state`, wherever that is. A source that holds it
    /// cannot be listed: each observation would change what the next one finds.
    #[must_use]
    pub fn apart_from(self, state: Option<&Path>) -> SourceLocation {
        SourceLocation { state: state.map(Path::to_owned), ..self }
    }

    /// The directory of the log, which it must not hold.
    #[must_use]
    pub fn state_directory(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// The source as a spec reads it: with links followed or not, and without what its patterns leave out.
    #[must_use]
    pub fn read_by(self, spec: &ExternalSpec) -> SourceLocation {
        let exclude = spec.exclude.clone().unwrap_or_else(Patterns::none);
        let rules = Rules::new(spec.include.clone(), exclude);
        SourceLocation { rules, ..self.following_links(spec.follow_symlinks) }
    }

    /// What below it is data.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The source with symbolic links below it followed, or not, as its spec says.
    #[must_use]
    pub fn following_links(self, follows_links: bool) -> SourceLocation {
        SourceLocation { follows_links, ..self }
    }

    /// Whether symbolic links below it are followed.
    #[must_use]
    pub fn follows_links(&self) -> bool {
        self.follows_links
    }

    /// The directory, if it lies in the local file system.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory(path) => Some(path),
            Place::Bucket(_) => None,
        }
    }

    /// The prefix, if it lies in an object store.
    #[must_use]
    pub fn bucket(&self) -> Option<&BucketPrefix> {
        match &self.place {
            Place::Directory(_) => None,
            Place::Bucket(prefix) => Some(prefix),
        }
    }

    /// The source as a URL, the same for every spelling of the same place. In a `file://` URL what is not a letter, a digit
    /// or one of `/-._~` is percent-encoded.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.place {
            Place::Directory(path) => file_url(path),
            Place::Bucket(prefix) => prefix.to_string(),
        }
    }

    /// The URL of one of its files.
    pub(super) fn url_of(&self, path: &SourcePath) -> String {
        match &self.place {
            Place::Directory(directory) => file_url(&directory.join(OsStr::from_bytes(&path.0))),
            // A key is text: no store lists another.
            Place::Bucket(prefix) => format!("{prefix}{}", String::from_utf8_lossy(&path.0)),
        }
    }
}

fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(*byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// Whether a path leads into what the kernel shows as files.
pub(super) fn is_device(path: &Path) -> bool {
    ["/dev", "/proc", "/sys"].iter().any(|device| path.starts_with(device))
}

/// The scheme and what follows `scheme:`, for `scheme:/...`. A name with a colon elsewhere is a path.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut letters = scheme.bytes();
    let first = letters.next()?.is_ascii_alphabetic();
    let others = letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (first && others && rest.starts_with('/')).then_some((scheme, rest))
}

/// The path of `//host/path`.
fn path_of_url(rest: &str) -> Result<Vec<u8>, FieldError> {
    let Some(rest) = rest.strip_prefix("//") else {
        return refuse(format!("has one slash where file: is followed by two; {ALLOWED}"));
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.contains('@') {
        return refuse(format!("must not hold a user or a password; {ALLOWED}"));
    }
    if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
        let host: String = host.chars().filter(|c| !c.is_control()).collect();
        return refuse(format!("names the host {host}; a file is on this machine: file:///path"));
    }
    if path.is_empty() {
        return refuse(format!("has no path; {ALLOWED}"));
    }
    if path.contains(['?', '#']) {
        return refuse("must not have a query or a fragment; in a path, write ? as %3F and # as %23".to_owned());
    }
    if path.to_ascii_lowercase().contains("%2f") {
        return refuse("must not hide a slash as %2F".to_owned());
    }
    percent_decode(path).ok_or_else(|| FieldError::new(FIELD, "has a % without two hexadecimal digits behind it"))
}

fn check_place(path: &Path) -> Result<(), FieldError> {
    if is_device(path) {
        return refuse("must not be a device: /dev, /proc and /sys are no place for data".to_owned());
    }
    if path.components().eq([Component::RootDir]) {
        return refuse("must not be the root directory; name the directory that holds the data".to_owned());
    }
    Ok(())
}

fn refuse<T>(problem: String) -> Result<T, FieldError> {
    Err(FieldError::new(FIELD, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = SourceUri::parse(text).and_then(|source| source.resolve(Path::new("/conf/dir")));
        let shown = |source: SourceLocation| match source.directory() {
            Some(path) => path.display().to_string(),
            None => source.url(),
        };
        let found = found.map(shown).map_err(|error| error.to_string());
        let found = found.as_deref().map_err(String::as_str);
        match (found, expected) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{text:?}: {found}"),
            _ => assert_eq!(found, expected, "{text:?}"),
        }
    }

    #[test]
    fn case_38_sources_that_are_allowed() {
        check("lake/lineitem/", Ok("/conf/dir/lake/lineitem"));
        check("./lake//x", Ok("/conf/dir/lake/x"));
        check("/lake", Ok("/lake"));
        check("file:///lake/a%20b", Ok("/lake/a b"));
        check("FILE://localhost/lake", Ok("/lake"));
        check("a:b/c", Ok("/conf/dir/a:b/c"));
        check("100%", Ok("/conf/dir/100%"));
        check("...", Ok("/conf/dir/..."));
        check("s3://lake/orders/2026", Ok("s3://lake/orders/2026/"));
        check("S3://lake", Ok("s3://lake/"));
        check("gs://lake.example.com/a%20b/?x#y/", Ok("gs://lake.example.com/a%20b/?x#y/"));
        check("az://container/a b/ü/", Ok("az://container/a b/ü/"));
    }

    #[test]
    fn case_38_sources_that_are_refused() {
        check("", Err("source: must not be empty; allowed are a path, file:///path, s3://bucket/prefix/"));
        check(" \t", Err("must not be empty"));
        check("ftp://bucket/lake", Err("source: has the unknown scheme ftp; allowed are"));
        check("s3:/bucket", Err("has one slash where s3: is followed by two; allowed is s3://bucket/prefix/"));
        check("s3://", Err("names no bucket"));
        check("s3://ab/x", Err("names no bucket"));
        check("az://-ab/x", Err("names no container"));
        check("s3://a b c/x", Err("names no bucket"));
        check("s3://bucket:9000/x", Err("names no bucket"));
        check("s3://bucket/a//b", Err("must not contain an empty part"));
        check("s3://bucket//b", Err("must not contain an empty part"));
        check("s3://bucket/a/../b", Err("must not contain `.` or `..`"));
        check("s3://bucket/a\nb", Err("control"));
        check("s3://key:secret@bucket/a", Err("must not hold a user, a password or an account"));
        check("file://", Err("has no path"));
        check("file:/lake", Err("one slash"));
        check("file://other/lake", Err("names the host other"));
        check("file://localhost:80/lake", Err("names the host localhost:80"));
        check("file://user:password@localhost/lake", Err("must not hold a user or a password"));
        check("file:///lake?x=1", Err("query"));
        check("file:///lake/%zz", Err("hexadecimal"));
        check("file:///lake/%00", Err("control"));
        check("file:///lake%2fx", Err("%2F"));
        check("file:///lake/%2e%2E/etc", Err("`..`"));
        check("../lake", Err("`..`"));
        check("/lake/../etc", Err("`..`"));
        check("lake\nfake", Err("control"));
        check("file:///dev/sda", Err("must not be a device"));
        check("/proc/self", Err("must not be a device"));
        check("/", Err("must not be the root directory"));
        check(&"x".repeat(4097), Err("is 4097 bytes long"));
    }

    #[test]
    fn defect_37_a_source_without_a_directory_to_start_at_must_be_absolute() {
        let wrong = SourceUri::parse("lake").and_then(|uri| uri.resolve(Path::new("here"))).unwrap_err();
        assert!(wrong.to_string().starts_with("source: must be absolute"), "{wrong}");
    }

    #[test]
    fn case_39_no_error_repeats_a_password() {
        for text in
            ["file://me:secret@localhost/x", "s3://me:secret@host/x", "file://me:secret@x", "https://h/?k=secret"]
        {
            let error = SourceUri::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_has_a_url_of_its_own() {
        let url = |source: &str, path: &str| {
            let source = SourceUri::parse(source).unwrap().resolve(Path::new("/conf")).unwrap();
            source.url_of(&SourcePath(path.as_bytes().to_vec()))
        };
        assert_eq!(url("a b", "x/1 2"), "file:///conf/a%20b/x/1%202");
        assert_eq!(url("s3://lake/a", "x/1 2%"), "s3://lake/a/x/1 2%");
        assert_eq!(url("az://lake", "x"), "az://lake/x");
    }

    #[test]
    fn a_url_is_the_same_for_every_spelling() {
        let url = |text: &str| SourceUri::parse(text).unwrap().resolve(Path::new("/conf")).unwrap().url();
        assert_eq!(url("a b//c/"), "file:///conf/a%20b/c");
        assert_eq!(url("file:///conf/a%20b/c"), url("./a b/c"));
    }
}
