//! The bytes of a configuration file, and where its paths start. It must not know what they say.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lastword::describe::advised;

use crate::fail::{Fail, USAGE};

/// Far more than hundreds of thousands of collections take, and little enough to be held: a file may lead to a device that
/// has no end.
const MOST_BYTES: u64 = 64 << 20;

/// What is in the file, and the directory at which its relative paths start.
pub(super) fn text_of(file: &Path) -> Result<(Vec<u8>, PathBuf), Fail> {
    let unreadable =
        |error: io::Error| Fail::new(USAGE, format!("{}: cannot be read: {}", file.display(), advised(&error)));
    if file.is_dir() {
        let problem = "is a directory; give the configuration, a file such as lastword.toml";
        return Err(Fail::new(USAGE, format!("{}: {problem}", file.display())));
    }
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text));
    read.map_err(unreadable)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Fail::new(USAGE, format!("{}: has more than {} MiB", file.display(), MOST_BYTES >> 20)));
    }
    Ok((text, directory_of(file).map_err(unreadable)?))
}

/// The directory a file lies in, without links: the same file, reached on two ways, has to mean the same sources. The
/// file itself may be a link; its paths start where the link lies.
fn directory_of(file: &Path) -> io::Result<PathBuf> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(parent)
}
