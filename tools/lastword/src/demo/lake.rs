//! The source of the demo: a directory of real Parquet files, and a count of its rows that is independent of the
//! library.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use crate::fail::{CANNOT_OPEN, Fail};

const SCHEMA: &str = "message lineitem {
    required int64 orderkey; required double price; required binary comment (UTF8);
}";

/// Rows of one row group.
const GROUP: u64 = 1_000;

/// A directory of Parquet files.
#[derive(Clone, Debug)]
pub(crate) struct Lake {
    directory: PathBuf,
}

impl Lake {
    pub(crate) fn new(directory: PathBuf) -> Lake {
        Lake { directory }
    }

    /// Writes a file in one go: readers see all of it or nothing. `salt` makes other values of the same rows.
    pub(crate) fn write(&self, name: &str, rows: u64, salt: u64) -> Result<(), Fail> {
        // `_*` is not data.
        let unfinished = self.directory.join(format!("_{name}"));
        let failed = |error: ParquetError| Fail::new(CANNOT_OPEN, format!("{}: {error}", unfinished.display()));
        let file = File::create(&unfinished).map_err(|error| of_io(&unfinished)(error))?;
        write_rows(file, rows, salt).map_err(failed)?;
        let path = self.directory.join(name);
        fs::rename(&unfinished, &path).map_err(of_io(&path))
    }

    /// Puts a file there that is no Parquet, as if it had lain there for an hour: not one that is still being written.
    pub(crate) fn spoil(&self, name: &str) -> Result<(), Fail> {
        let path = self.directory.join(name);
        let unfinished = self.directory.join(format!("_{name}"));
        let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
        fs::write(&unfinished, "PAR1 and then the disk was full")
            .and_then(|()| File::options().write(true).open(&unfinished)?.set_modified(an_hour_ago))
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(of_io(&path))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Fail> {
        let path = self.directory.join(name);
        fs::remove_file(&path).map_err(of_io(&path))
    }

    /// Reads every row of every file and counts.
    pub(crate) fn count(&self) -> Result<u64, Fail> {
        let mut rows = 0;
        for entry in fs::read_dir(&self.directory).map_err(of_io(&self.directory))? {
            let path = entry.map_err(of_io(&self.directory))?.path();
            rows +=
                count_rows(&path).map_err(|error| Fail::new(CANNOT_OPEN, format!("{}: {error}", path.display())))?;
        }
        Ok(rows)
    }
}

fn of_io(path: &Path) -> impl Fn(io::Error) -> Fail + '_ {
    move |error| Fail::new(CANNOT_OPEN, format!("{}: {error}", path.display()))
}

fn write_rows(file: File, rows: u64, salt: u64) -> Result<(), ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default())?;
    let mut start = 0;
    while start < rows {
        let keys: Vec<u64> = (start..rows.min(start + GROUP)).collect();
        let mut group = writer.next_row_group()?;
        while let Some(column) = group.next_column()? {
            write_column(column, &keys, salt)?;
        }
        group.close()?;
        start += GROUP;
    }
    writer.close().map(drop)
}

fn write_column(mut column: SerializedColumnWriter<'_>, keys: &[u64], salt: u64) -> Result<(), ParquetError> {
    let mixed = |key: &u64| key.wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    match column.untyped() {
        ColumnWriter::Int64ColumnWriter(writer) => {
            let values: Vec<i64> = keys.iter().map(|key| i64::try_from(*key).unwrap_or(i64::MAX)).collect();
            writer.write_batch(&values, None, None)?;
        }
        ColumnWriter::DoubleColumnWriter(writer) => {
            let cents = |key| f64::from(u32::try_from(mixed(key)).unwrap_or(0)) / 100.0;
            let values: Vec<f64> = keys.iter().map(cents).collect();
            writer.write_batch(&values, None, None)?;
        }
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            let comment = |key| ByteArray::from(format!("parcel {:06x}", mixed(key)).into_bytes());
            let values: Vec<ByteArray> = keys.iter().map(comment).collect();
            writer.write_batch(&values, None, None)?;
        }
        _ => return Err(ParquetError::General("the schema has a column of another type".to_owned())),
    }
    column.close()
}

fn count_rows(path: &Path) -> Result<u64, ParquetError> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let mut rows = 0;
    for row in reader.get_row_iter(None)? {
        row?;
        rows += 1;
    }
    Ok(rows)
}
