//! Files that are not cut: each is one fragment. It must not read them.

use super::{FileReader, Format, FormatError, RowRange};

/// A format for files of any kind: each file is one fragment of one row, so `target_rows` of the spec is how many files a
/// segment has. Nothing of a file is read to cut it, and none has columns.
///
/// ```
/// use lastword::external::{External, WholeFiles};
///
/// // Specs name it: {"format":"documents","target_rows":100}
/// let external = External::local().format("documents", WholeFiles);
/// # let _ = external;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct WholeFiles;

impl Format for WholeFiles {
    fn fragments(&self, _: &dyn FileReader, columns: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        match columns.and_then(<[String]>::first) {
            Some(column) => Err(FormatError::NoColumn(column.clone())),
            None => Ok(vec![RowRange { start: 0, end: 1 }]),
        }
    }
}
