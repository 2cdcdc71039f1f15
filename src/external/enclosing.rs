//! Whether a source is a part of a table: which of its files count is said by a log that lies above it.
//!
//! It owns how far up is looked, in a bucket as well. It looks upwards from a partition (`x=1`) and from a directory called
//! `data`, where Iceberg keeps the files of a table, and no further: what lies beside a table is none of it. What marks a
//! table is for `skip.rs` to say.

use std::ffi::OsStr;
use std::fs;
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::skip::{ICEBERG, Named, Rules, TABLES};

/// A table, as a source that is a part of it meets it.
pub(super) struct Enclosing {
    /// Its directory.
    pub(super) table: PathBuf,
    pub(super) format: &'static str,
    /// What it is recognised by, relative to the source.
    pub(super) mark: Vec<u8>,
}

impl Enclosing {
    /// The table that the directory `real`, whose name has no links in it, is a part of, by the rules of its source. What
    /// cannot be read is no table.
    pub(super) fn of(real: &Path, rules: &Rules) -> Option<Enclosing> {
        above(real.as_os_str().as_bytes()).find_map(|(table, up)| {
            // Without the slash at its end.
            let table = Path::new(OsStr::from_bytes(table)).components().as_path();
            let (mark, format) = mark_in(table, &up, rules)?;
            Some(Enclosing { table: table.to_owned(), format, mark })
        })
    }
}

/// What of the directories above this one may be a table that it is a part of, the nearest first: each with the slash at its
/// end, and the way up to it.
pub(super) fn above(place: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    let (mut next, mut up) = (Some(place), Vec::new());
    iter::from_fn(move || {
        let at = next.take()?;
        let at = at.strip_suffix(b"/").unwrap_or(at);
        let (above, name) = at.split_at(at.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1));
        let is_partition = name.contains(&b'=');
        next = Some(above).filter(|_| is_partition);
        up.extend_from_slice(b"../");
        (is_partition || name == b"data").then(|| (above, up.clone()))
    })
}

/// What marks a directory as a table, if the rules do not leave it out.
fn mark_in(directory: &Path, up: &[u8], rules: &Rules) -> Option<(Vec<u8>, &'static str)> {
    let path = |mark: &[u8]| [up, mark].concat();
    let is_directory = |mark: &[u8]| {
        let place = directory.join(OsStr::from_bytes(mark));
        fs::symlink_metadata(place).is_ok_and(|found| found.is_dir())
    };
    for (mark, _) in TABLES.iter().filter(|(mark, _)| is_directory(mark)) {
        if let Named::Table(format, _) = rules.named(&path(mark)) {
            return Some((path(mark), format));
        }
    }
    let (metadata, _) = ICEBERG;
    if !is_directory(metadata) || !matches!(rules.named(&path(metadata)), Named::Data) {
        return None;
    }
    let entries = fs::read_dir(directory.join(OsStr::from_bytes(metadata))).ok()?;
    // Of several the first by name, so that the message stays the same.
    let marks = entries.flatten().filter_map(|entry| {
        let mark = [&path(metadata), b"/".as_slice(), entry.file_name().as_bytes()].concat();
        match rules.named(&mark) {
            Named::Table(format, _) if entry.file_type().is_ok_and(|ty| ty.is_file()) => Some((mark, format)),
            _ => None,
        }
    });
    marks.min()
}
