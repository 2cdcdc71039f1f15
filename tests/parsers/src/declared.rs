//! What people declare: specs and sources.

use std::path::Path;

use lastword::core::vocabulary::{self, Spec};
use lastword::external::{ExternalSpec, SourceUri};

use super::memory::bounded;

/// A spec, as the core reads it and as an external collection does.
pub fn spec(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // A value of JSON takes 32 bytes for the two of a `1` and a comma; a key has a path in errors.
    let parsed = bounded(input, 256, || Spec::parse(text));
    if let Ok(spec) = &parsed {
        assert_eq!(Spec::parse(spec.as_str()).as_ref(), Ok(spec), "canonical form is its own canonical form");
        assert!(spec.to_value().is_object() && spec.as_str().len() <= Spec::MOST_BYTES);
    }
    match bounded(input, 256, || ExternalSpec::parse(text)) {
        Ok(external) => {
            assert!((1..1 << 53).contains(&external.target_rows));
            assert!(external.columns.is_none_or(|columns| !columns.is_empty()));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}

/// A source, as the core reads it and as a directory.
pub fn source(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(source) = bounded(input, 8, || vocabulary::Source::new(text)) {
        assert_eq!(source.as_str(), text);
    }
    let base = Path::new("/conf/dir");
    let parsed = bounded(input, 8, || SourceUri::parse(text).and_then(|source| source.resolve(base)));
    match parsed {
        Ok(source) => {
            assert_eq!(source.directory().is_none(), source.bucket().is_some());
            if let Some(path) = source.directory() {
                assert!(path.is_absolute() && path.components().all(|part| part.as_os_str() != ".."), "{path:?}");
                assert!(!["/dev", "/proc", "/sys"].iter().any(|device| path.starts_with(device)), "{path:?}");
            }
            if let Some(prefix) = source.bucket() {
                let prefix = prefix.prefix();
                assert!(prefix.is_empty() || prefix.ends_with('/') && !prefix.contains("//"), "{prefix:?}");
                assert!(prefix.split('/').all(|part| part != ".."), "{prefix:?}");
            }
            // Percent-encoding can make it longer than a source may be.
            if let Ok(again) = SourceUri::parse(&source.url()) {
                assert_eq!(again.resolve(Path::new("/other")).unwrap(), source);
            } else {
                assert!(source.url().len() > 4096, "{}", source.url());
            }
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}
