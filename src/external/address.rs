//! Where one file of a source lies and which content it had, for work that is done elsewhere. It must not know who fetches
//! it.

use super::source::SourceLocation;
use super::{SourcePath, Stat};

/// One file or object as it was observed: enough to fetch it in another process, under the same fence.
///
/// An object is asked for with the header `If-Match`, if there is a value for it: then no other content is ever sent. Where
/// there is none, as for files, whoever fetches it compares the size; in any case the attempt observes the source once more
/// before it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileAddress {
    /// Its URL. In one of an object the key stands as it is; in `file://` what is not a letter, a digit or one of `/-._~` is
    /// percent-encoded.
    pub url: String,
    /// Its size in bytes.
    pub size: u64,
    /// The value of the header `If-Match` that holds for this content alone.
    pub if_match: Option<String>,
}

impl FileAddress {
    pub(super) fn of(source: &SourceLocation, path: &SourcePath, listed: &Stat) -> FileAddress {
        FileAddress { url: source.url_of(path), size: listed.size, if_match: listed.tag.condition() }
    }
}
