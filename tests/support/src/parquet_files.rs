//! Real Parquet files, written by the low-level writer of the crate `parquet`, and read back row by row.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

pub const TWO_COLUMNS: &str = "message lineitem { REQUIRED INT64 id; OPTIONAL BYTE_ARRAY comment (UTF8); }";

/// The bytes of a file with one row group for each count. `salt` goes into the content, not into its length.
pub fn bytes_of(row_groups: &[usize], salt: u8) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(TWO_COLUMNS).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_dictionary_enabled(false).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for rows in row_groups {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let ids: Vec<i64> = (0..*rows).map(|row| i64::try_from(row).unwrap() << 8 | i64::from(salt)).collect();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let (texts, levels) = (vec![ByteArray::from(vec![b'a' + salt % 26]); *rows], vec![1; *rows]);
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// Writes a file the way careful writers do: under a temporary name, then renamed.
pub fn write(path: &Path, row_groups: &[usize], salt: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes_of(row_groups, salt)).unwrap();
    fs::rename(temporary, path).unwrap();
}

/// A file without columns, and so without rows.
pub fn without_columns() -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message nothing { }").unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    writer.next_row_group().unwrap().close().unwrap();
    writer.into_inner().unwrap()
}

/// Counts rows by reading every one of them: the record reader decodes pages and never asks the footer for a count
/// of rows of the file.
pub fn rows_read(path: &Path) -> u64 {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| assert_eq!(row.unwrap().len(), 2)).count() as u64
}
