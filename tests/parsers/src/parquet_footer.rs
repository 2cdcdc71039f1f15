//! Footers of Parquet files. The rest of a file is never read.

use lastword::external::{FileReader, Format, Parquet, StoreError};

use super::memory::bounded;

/// What a byte of a file may come to when its footer is decoded: an empty struct in a list takes one byte and some
/// hundred when room is made for it; and the paths of columns take 256 at most.
pub const FOR_EACH_BYTE: usize = 1 << 10;

/// The input as a file, and as the footer of one.
pub fn parquet(input: &[u8]) {
    check(input.to_vec());
    let mut file = b"PAR1".to_vec();
    file.extend_from_slice(input);
    file.extend_from_slice(&u32::try_from(input.len()).unwrap().to_le_bytes());
    file.extend_from_slice(b"PAR1");
    check(file);
}

fn check(bytes: Vec<u8>) {
    let file = InMemory(bytes);
    match bounded(&file.0, FOR_EACH_BYTE, || Parquet.fragments(&file, None)) {
        Ok(ranges) => {
            let mut end = 0;
            for range in &ranges {
                assert!(range.start == end && range.end > range.start, "{ranges:?}");
                end = range.end;
            }
            let _ = bounded(&file.0, FOR_EACH_BYTE, || Parquet.fragments(&file, Some(&["id".to_owned()])));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
    }
}

struct InMemory(Vec<u8>);

impl FileReader for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let start = usize::try_from(start).unwrap();
        Ok(self.0[start..start + length].to_vec())
    }
}
