//! Parquet by its footers: row groups are the ranges of rows. The only file that names the crate `parquet`.
//!
//! A footer is hostile until shown otherwise. Lengths are checked against the file before anything is read, the
//! footer is walked before what is needed of it is decoded (`thrift.rs`), and a panic of the decoder is an error of that
//! file. Only footers are read: whether the pages are whole is for the builder to find out, who reads them.
//!
//! What other readers read is read. Where a footer contradicts itself the row groups count, for they are what is read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use ::parquet::schema::types::SchemaDescriptor;

use super::thrift::needed_of_footer;
use super::{FileReader, Format, FormatError, RowRange};
use crate::describe::counted;
use crate::unwind;

/// Most bytes of a footer. A real one takes 60 to 200 bytes for each column of each row group, so this is about
/// half a million of them.
const MAX_FOOTER_BYTES: u64 = 64 << 20;

/// What is read at the end of a file at once: nearly every footer is shorter, so a file costs two small reads.
const TAIL_BYTES: u64 = 64 << 10;

/// The footer's length and the magic behind it.
const TRAILER_BYTES: u64 = 8;

const MAGIC: &[u8] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8] = b"PARE";

/// Apache Parquet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parquet;

impl Format for Parquet {
    fn fragments(&self, file: &dyn FileReader, columns: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        let (metadata, data_end) = read_metadata(file)?;
        let ranges = row_groups(&metadata, data_end)?;
        // A file without rows is not read, so what columns it has does not matter.
        if !ranges.is_empty() {
            check_columns(metadata.file_metadata().schema_descr(), columns.unwrap_or_default())?;
        }
        Ok(ranges)
    }

    fn parts(&self, file: &dyn FileReader) -> Result<Vec<u64>, FormatError> {
        let (metadata, data_end) = read_metadata(file)?;
        row_groups(&metadata, data_end)?;
        let rows = metadata.row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0));
        Ok(rows.scan(0_u64, |next, rows| Some(std::mem::replace(next, next.saturating_add(rows)))).collect())
    }

    fn endings(&self) -> &[&'static str] {
        &["parquet", "parq"]
    }

    /// It begins as one, and the magic at the end is what a writer writes last. What does not begin as one is none, and
    /// is not waited for.
    fn is_finished(&self, file: &dyn FileReader) -> Result<bool, FormatError> {
        let begin = file.read(0, index(file.len().min(4))?)?;
        if !MAGIC.starts_with(&begin) {
            return Ok(true);
        }
        match file.len().checked_sub(4).filter(|start| *start >= 4) {
            Some(start) => Ok(file.read(start, 4)? == MAGIC),
            None => Ok(false),
        }
    }
}

/// What the footer says, and where the data ends.
fn read_metadata(file: &dyn FileReader) -> Result<(ParquetMetaData, u64), FormatError> {
    let (footer, data_end) = read_footer(file)?;
    let needed = needed_of_footer(&footer).map_err(corrupt)?;
    drop(footer);
    let metadata = catch_unwind(AssertUnwindSafe(|| ParquetMetaDataReader::decode_metadata(&needed)))
        .map_err(|_| corrupt("its footer made the decoder panic"))?
        .map_err(|error| corrupt(format!("its footer cannot be decoded: {}", shown(&error.to_string()))))?;
    Ok((metadata, data_end))
}

/// The bytes of the footer, and where it begins: no column lies behind that.
fn read_footer(file: &dyn FileReader) -> Result<(Vec<u8>, u64), FormatError> {
    let length = file.len();
    let begin = file.read(0, index(length.min(4))?)?;
    if begin == MAGIC_ENCRYPTED {
        return Err(encrypted());
    }
    if !MAGIC.starts_with(&begin) {
        return Err(FormatError::Foreign("is not Parquet (no PAR1 at its start)".to_owned()));
    }
    let Some(before_trailer) = length.checked_sub(TRAILER_BYTES).filter(|rest| *rest >= 4) else {
        return Err(corrupt(format!("it has {}, a Parquet file has at least 12", counted(length, "byte"))));
    };
    let tail_start = length.saturating_sub(TAIL_BYTES);
    let tail = file.read(tail_start, index(length - tail_start)?)?;
    let Some((_, trailer)) = tail.split_last_chunk::<8>() else { return Err(corrupt("it is cut short")) };
    let [a, b, c, d, magic @ ..] = trailer;
    match &magic[..] {
        MAGIC => {}
        MAGIC_ENCRYPTED => return Err(encrypted()),
        _ => return Err(corrupt("it is not finished or cut short (no PAR1 at its end)")),
    }
    let footer_length = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    // The magic at the beginning is not part of the footer either.
    if footer_length == 0 || footer_length > before_trailer - 4 {
        return Err(corrupt(format!("its footer claims {footer_length} bytes, the file has {length}")));
    }
    if footer_length > MAX_FOOTER_BYTES {
        return Err(FormatError::Unsupported(format!(
            "its footer has {footer_length} bytes, at most {MAX_FOOTER_BYTES} are read"
        )));
    }
    let start = before_trailer - footer_length;
    let footer = match start.checked_sub(tail_start) {
        Some(skipped) => tail.get(index(skipped)?..index(before_trailer - tail_start)?).unwrap_or_default().to_vec(),
        None => file.read(start, index(footer_length)?)?,
    };
    Ok((footer, start))
}

fn encrypted() -> FormatError {
    FormatError::Unsupported("it is encrypted".to_owned())
}

fn row_groups(metadata: &ParquetMetaData, data_end: u64) -> Result<Vec<RowRange>, FormatError> {
    let mut ranges = Vec::with_capacity(metadata.num_row_groups());
    let mut start = 0_u64;
    for (at, group) in metadata.row_groups().iter().enumerate() {
        let rows = u64::try_from(group.num_rows())
            .map_err(|_| corrupt(format!("row group {at} has {} rows", group.num_rows())))?;
        for column in group.columns() {
            check_chunk(column, rows, data_end)
                .map_err(|problem| corrupt(format!("row group {at}, column {}: {problem}", path_of(column))))?;
        }
        let end = start
            .checked_add(rows)
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or_else(|| corrupt("its row groups have more rows than can be counted"))?;
        if rows > 0 {
            ranges.push(RowRange { start, end });
        }
        start = end;
    }
    let claimed = metadata.file_metadata().num_rows();
    if u64::try_from(claimed) != Ok(start) {
        unwind::tell(|| {
            tracing::warn!(target: "lastword::external", "its footer claims {claimed} rows, its row groups have {start}: they count");
        });
    }
    Ok(ranges)
}

/// The pages of a column lie between the first magic and the footer, and hold a value (or a null, or the mark of an
/// empty list) for each row: exactly one if no list is around it.
fn check_chunk(column: &ColumnChunkMetaData, rows: u64, data_end: u64) -> Result<(), String> {
    if column.file_path().is_some_and(|path| !path.is_empty()) {
        return Err("its data lies in another file".to_owned());
    }
    let number = |what: &str, value: i64| u64::try_from(value).map_err(|_| format!("its {what} is {value}"));
    let length = number("compressed size", column.compressed_size())?;
    let values = number("number of values", column.num_values())?;
    // Only a column in a list can have more than one for a row.
    let is_flat = column.column_descr().max_rep_level() == 0;
    if values < rows || (is_flat && values > rows) {
        return Err(format!("it has {values} values for {rows} rows"));
    }
    let mut start = number("data page offset", column.data_page_offset())?;
    // Some writers set the offset of a dictionary that is not there to 0.
    if let Some(offset) = column.dictionary_page_offset().filter(|offset| *offset != 0) {
        start = start.min(number("dictionary page offset", offset)?);
    }
    if length > 0 && start.checked_add(length).is_none_or(|end| end > data_end) {
        return Err(format!("its {length} bytes from {start} on do not lie in the file"));
    }
    Ok(())
}

fn path_of(column: &ColumnChunkMetaData) -> String {
    shown(&column.column_path().string())
}

fn check_columns(schema: &SchemaDescriptor, columns: &[String]) -> Result<(), FormatError> {
    let mut known: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    known.extend(schema.root_schema().get_fields().iter().map(|field| field.name().to_owned()));
    known.sort_unstable();
    match columns.iter().find(|column| known.binary_search(column).is_err()) {
        Some(column) => Err(FormatError::NoColumn(shown(column))),
        None => Ok(()),
    }
}

/// Names come out of files, and errors of the decoder repeat them: they are shown on one line, and not at any length.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(192) {
        match c {
            '\'' | '"' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

fn corrupt(problem: impl Into<String>) -> FormatError {
    FormatError::Corrupt(problem.into())
}

fn index(value: u64) -> Result<usize, FormatError> {
    usize::try_from(value).map_err(|_| FormatError::Unsupported("it is too large for this machine".to_owned()))
}
