//! What below a source is no data: the rules that hold for every source, and the patterns of its spec.
//!
//! ```text
//! left out                                     because
//! -------------------------------------------  ---------------------------------------------------------------------
//! .x                                           hidden: `.crc` files, trash, snapshots, half of an `rsync`
//! _x                                           what Spark, Hive and Hadoop write beside data: `_SUCCESS`,
//!                                              `_temporary/`, `_metadata`. Not `_x=1`: that is a partition, whose
//!                                              column has this name, and all of them read it
//! x.tmp, x._COPYING_                           not finished: it gets its name when it is
//! x_$folder$                                   stands for a directory in an object store
//! lost+found, @eaDir, #recycle, #snapshot,     what ext4, a NAS or Windows keeps: part of it is unreadable, or was
//! $RECYCLE.BIN, System Volume Information      deleted, or is a copy of what was here yesterday
//! FIFO, socket, device, link                   no regular file; links count where the spec says that they are followed
//! a dead link, where links are followed        only itself cannot be read
//! a file without bytes                         no format has such files: it marks something, or is about to be written
//! a file in the making                         young, and its format says that it is not finished
//! what `exclude` matches                       the user said so; of a directory all that lies in it
//! a file that no `include` matches             the user said so
//! a file with another ending than its          a README, a script, a checksum beside the data; one without an ending may be
//! format's, where there is no `include`        data, as Hive writes it
//! ```
//!
//! The last commit's own files are never left out by what they *are* (no bytes, in the making, a dead link): a file that
//! is rewritten in place, or whose disk is away, would pass for one that was removed. They make the attempt or the
//! observation fail, by name. What they are *called* counts all the same.
//!
//! A directory that is a table of its own (Delta Lake, Hudi, Iceberg, a sink of Spark's streams) has files that are no
//! rows any more: deleted, replaced, not committed. Read as plain files it gives wrong rows, so it is refused, unless
//! the user excludes what it is recognised by. So is a part of one, see `enclosing.rs`.

use std::sync::Arc;

use super::Patterns;
use crate::worker::SkipReason;

/// What a file system or a device keeps for itself.
const SYSTEM: [&[u8]; 6] =
    [b"lost+found", b"@eaDir", b"#recycle", b"#snapshot", b"$RECYCLE.BIN", b"System Volume Information"];

/// A directory that marks the one that it lies in as a table, and of what.
pub(super) const TABLES: [(&[u8], &str); 3] =
    [(b"_delta_log", "Delta Lake"), (b".hoodie", "Apache Hudi"), (b"_spark_metadata", "a sink of Spark's streams")];

/// Iceberg keeps what its tables hold in files of such names in a directory of that name.
pub(super) const ICEBERG: (&[u8], &[u8]) = (b"metadata", b".metadata.json");

/// What is left out of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Rules {
    /// `None`: everything.
    include: Option<Arc<Patterns>>,
    exclude: Option<Arc<Patterns>>,
}

/// What a name means.
pub(super) enum Named {
    /// Data, or a directory that may hold some.
    Data,
    Skipped(SkipReason),
    /// If it is what marks a table of this format (a directory; for Iceberg a file), the source is refused; otherwise it is
    /// left out for this reason, if there is one.
    Table(&'static str, Option<SkipReason>),
}

impl Rules {
    pub(super) fn new(include: Option<Patterns>, exclude: Patterns) -> Rules {
        let exclude = Some(exclude).filter(|exclude| !exclude.is_empty());
        Rules { include: include.map(Arc::new), exclude: exclude.map(Arc::new) }
    }

    /// What lies at this path relative to the source, by its name alone.
    pub(super) fn named(&self, path: &[u8]) -> Named {
        if self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(path)) {
            return Named::Skipped(SkipReason::Excluded);
        }
        let (directory, name) = split(path);
        if let Some((_, format)) = TABLES.iter().find(|(mark, _)| *mark == name) {
            return Named::Table(format, by_name(name));
        }
        if split(directory).1 == ICEBERG.0 && name.ends_with(ICEBERG.1) {
            return Named::Table("Apache Iceberg", by_name(name));
        }
        by_name(name).map_or(Named::Data, Named::Skipped)
    }

    /// Whether the user says which files are data.
    pub(super) fn has_include(&self) -> bool {
        self.include.is_some()
    }

    /// Whether a regular file is included.
    pub(super) fn includes(&self, path: &[u8]) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path))
    }

    /// Whether something that moved at this path can matter to an observation: what is left out by its name cannot, unless
    /// it makes a table of the source.
    #[cfg(any(test, all(feature = "notify", target_os = "linux")))]
    pub(super) fn may_matter(&self, path: &[u8]) -> bool {
        parts(path).all(|part| !matches!(self.named(part), Named::Skipped(_)))
    }
}

/// The directories that something lies in, relative to the source and from the outermost on, and at last itself.
#[cfg(any(test, feature = "_buckets", all(feature = "notify", target_os = "linux")))]
pub(super) fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain([path.len()]).filter_map(|end| path.get(..end))
}

/// Whether the name of a file has an ending, and none of these.
pub(super) fn has_other_ending(path: &[u8], endings: &[&str]) -> bool {
    let (_, name) = split(path);
    let ending = name.iter().rposition(|byte| *byte == b'.').and_then(|at| name.get(at + 1..));
    let is_one_of = |ending: &[u8]| endings.iter().any(|known| ending.eq_ignore_ascii_case(known.as_bytes()));
    !endings.is_empty() && ending.is_some_and(|ending| !is_one_of(ending))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

fn by_name(name: &[u8]) -> Option<SkipReason> {
    if SYSTEM.contains(&name) {
        Some(SkipReason::System)
    } else if name.ends_with(b"_$folder$") {
        Some(SkipReason::Marker)
    } else if name.starts_with(b".") {
        Some(SkipReason::Hidden)
    } else if name.starts_with(b"_") && !name.contains(&b'=') {
        Some(SkipReason::Underscore)
    } else if name.ends_with(b".tmp") || name.ends_with(b"._COPYING_") {
        Some(SkipReason::Temporary)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_31_every_name_has_a_rule() {
        use SkipReason::{Hidden, Marker, System, Temporary, Underscore};
        for (name, expected) in [
            ("a.parquet", None),
            ("README.md", None),
            ("no ending", None),
            ("year=2023", None),
            ("_year=2023", None),
            ("__hive_default__=1", None),
            ("_SUCCESS", Some(Underscore)),
            ("_temporary", Some(Underscore)),
            ("_index.md", Some(Underscore)),
            (".part-0.parquet.crc", Some(Hidden)),
            (".x=1", Some(Hidden)),
            ("part-0.parquet.tmp", Some(Temporary)),
            ("part-0.parquet._COPYING_", Some(Temporary)),
            ("lake_$folder$", Some(Marker)),
            ("_temporary_$folder$", Some(Marker)),
            ("@eaDir", Some(System)),
            ("lost+found", Some(System)),
            ("found", None),
        ] {
            assert_eq!(by_name(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn a_name_without_an_ending_may_be_of_any_format() {
        let endings = ["parquet", "parq"];
        for (name, expected) in [
            ("a.parquet", false),
            ("x.d/a.PARQ", false),
            ("a.snappy.parquet", false),
            ("x.d/000000_0", false),
            ("README.md", true),
            ("a.parquet.md5", true),
            ("a.parquet.", true),
        ] {
            assert_eq!(has_other_ending(name.as_bytes(), &endings), expected, "{name}");
            assert!(!has_other_ending(name.as_bytes(), &[]));
        }
    }

    #[test]
    fn defect_32_a_table_is_known_by_what_lies_in_it() {
        let table = |rules: &Rules, path: &str| match rules.named(path.as_bytes()) {
            Named::Table(format, _) => Some(format),
            Named::Data | Named::Skipped(_) => None,
        };
        let plain = Rules::default();
        assert_eq!(table(&plain, "_delta_log"), Some("Delta Lake"));
        assert_eq!(table(&plain, "orders/_delta_log"), Some("Delta Lake"));
        assert_eq!(table(&plain, "a/b/.hoodie"), Some("Apache Hudi"));
        assert_eq!(table(&plain, "_spark_metadata"), Some("a sink of Spark's streams"));
        assert_eq!(table(&plain, "metadata/00000-a.metadata.json"), Some("Apache Iceberg"));
        assert_eq!(table(&plain, "t/metadata/v1.metadata.json"), Some("Apache Iceberg"));
        for path in
            ["metadata", "metadata/a.parquet", "v1.metadata.json", "my_delta_log", "metadata/x/v1.metadata.json"]
        {
            assert_eq!(table(&plain, path), None, "{path}");
        }
        let exclude = Patterns::new(&["_delta_log".to_owned(), "metadata".to_owned()]).unwrap();
        let excluding = Rules::new(None, exclude);
        assert_eq!(table(&excluding, "_delta_log"), None);
        assert!(matches!(excluding.named(b"metadata"), Named::Skipped(SkipReason::Excluded)));
        assert!(!excluding.may_matter(b"metadata/v1.metadata.json") && excluding.may_matter(b"a"));
        assert!(plain.may_matter(b"_delta_log") && !plain.may_matter(b"_temporary/0/a.parquet"));
    }
}
