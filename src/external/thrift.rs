//! A walk over the bytes of a Parquet footer before they are decoded, to bound what decoding them can cost.
//!
//! The decoder reserves memory for a list by the count in its header, about 100 bytes to 1 KiB for each element,
//! and builds the schema by recursion, one call per level. So a hostile footer could ask for more memory than there
//! is, or end the process by a stack that is too deep; neither can be caught. This walk allocates nothing, checks
//! that every element of every list is there, and adds up what the decoded form takes. It is stricter than the
//! format where that keeps the two readings of the same bytes from parting: fields of the structs that matter have
//! the types that the format gives them, ids ascend, and lists hold only what Parquet has in lists.
//!
//! The road not taken is to read the footer here altogether: a second decoder of a format that others maintain.

/// Most memory that a decoded footer may take, by the estimate below. It allows half a million column chunks
/// (10,000 row groups of 50 columns); a footer that needs more is refused as too large.
const MAX_DECODED_BYTES: u64 = 512 << 20;

/// What the decoder keeps for one element, in bytes, rounded up from the sizes of its types in parquet 60.
const CHUNK_COST: u64 = 1024;
const STRUCT_COST: u64 = 256;
const OTHER_COST: u64 = 32;

/// Deepest nesting of a schema. Real ones stay below 20; the stack of a thread holds several hundred.
const MAX_SCHEMA_DEPTH: usize = 64;

/// Deepest nesting of structs and lists. Of known fields none lies deeper than 8.
const MAX_NESTING: u8 = 24;

/// A footer that is signed and not encrypted has its signature behind it.
const SIGNATURE_BYTES: usize = 28;

/// Types of the compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Whether these bytes are one `FileMetaData` that can be decoded within bounds. What is wrong otherwise.
pub(super) fn check_footer(bytes: &[u8]) -> Result<(), &'static str> {
    let mut walk = Walk { rest: bytes, cost: 0, schema: Schema::default() };
    walk.fields(Kind::FileMetaData, 0)?;
    if matches!(walk.rest.len(), 0 | SIGNATURE_BYTES) { Ok(()) } else { Err("bytes follow the end of its footer") }
}

/// The structs whose fields are checked by type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    FileMetaData,
    SchemaElement,
    RowGroup,
    ColumnChunk,
    ColumnMetaData,
    Other,
}

impl Kind {
    /// The type of a known field, and what the struct in it (or in its list) is. `None`: skipped by both readings.
    fn field(self, id: i16) -> Option<(u8, Kind)> {
        let (kind, other) = (|kind| Some((LIST, kind)), |ty| Some((ty, Kind::Other)));
        match (self, id) {
            (Kind::FileMetaData, 2) => kind(Kind::SchemaElement),
            (Kind::FileMetaData, 4) => kind(Kind::RowGroup),
            (Kind::FileMetaData, 1) => other(I32),
            (Kind::FileMetaData, 3) => other(I64),
            (Kind::FileMetaData, 5 | 7) => other(LIST),
            (Kind::FileMetaData, 6 | 9) => other(BINARY),
            (Kind::FileMetaData, 8) => other(STRUCT),
            (Kind::SchemaElement, 4) => other(BINARY),
            (Kind::SchemaElement, 1..=9) => other(I32),
            (Kind::SchemaElement, 10) => other(STRUCT),
            (Kind::RowGroup, 1) => kind(Kind::ColumnChunk),
            (Kind::RowGroup, 4) => other(LIST),
            (Kind::RowGroup, 2 | 3 | 5 | 6) => other(I64),
            (Kind::RowGroup, 7) => other(I16),
            (Kind::ColumnChunk, 1 | 9) => other(BINARY),
            (Kind::ColumnChunk, 3) => Some((STRUCT, Kind::ColumnMetaData)),
            (Kind::ColumnChunk, 2 | 4 | 6) => other(I64),
            (Kind::ColumnChunk, 5 | 7) => other(I32),
            (Kind::ColumnChunk, 8) => other(STRUCT),
            (Kind::ColumnMetaData, 1 | 4 | 15) => other(I32),
            (Kind::ColumnMetaData, 2 | 3 | 8 | 13) => other(LIST),
            (Kind::ColumnMetaData, 5 | 6 | 7 | 9 | 10 | 11 | 14) => other(I64),
            (Kind::ColumnMetaData, 12 | 16 | 17) => other(STRUCT),
            _ => None,
        }
    }

    fn cost(self) -> u64 {
        if self == Kind::ColumnChunk { CHUNK_COST } else { STRUCT_COST }
    }
}

/// How deep the schema is at the element that comes next: it lists its elements parents first, each with the number
/// of its children.
#[derive(Default)]
struct Schema {
    /// How many elements there are. All but the first are the child of one of them.
    elements: u64,
    /// How many children they claim so far. The decoder reserves memory for the children of each.
    claimed: u64,
    /// Children still to come, outermost first. Bounded by `MAX_SCHEMA_DEPTH`.
    open: Vec<u64>,
}

impl Schema {
    fn element(&mut self, children: u64) -> Result<(), &'static str> {
        self.claimed = self.claimed.saturating_add(children);
        if self.claimed >= self.elements.max(1) {
            return Err("its schema claims more fields than it has");
        }
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
        if let Some(left) = self.open.last_mut() {
            *left -= 1;
        }
        if children > 0 {
            self.open.push(children);
        }
        if self.open.len() > MAX_SCHEMA_DEPTH { Err("its schema is nested too deep") } else { Ok(()) }
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    cost: u64,
    schema: Schema,
}

impl Walk<'_> {
    fn fields(&mut self, kind: Kind, nesting: u8) -> Result<(), &'static str> {
        if nesting > MAX_NESTING {
            return Err("its footer is nested too deep");
        }
        let (mut last, mut children) = (0_i16, 0);
        loop {
            let header = self.byte()?;
            if header == 0 {
                break;
            }
            let ty = header & 0x0f;
            let id = match header >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| "a field of its footer has an impossible number")?,
                delta => last.checked_add(i16::from(delta)).ok_or("a field of its footer has an impossible number")?,
            };
            if kind != Kind::Other && id <= last {
                return Err("the fields of its footer are out of order");
            }
            last = id;
            let (expected, inner) = kind.field(id).unwrap_or((ty, Kind::Other));
            if ty != expected {
                return Err("a field of its footer has the wrong type");
            }
            if (kind, id) == (Kind::SchemaElement, 5) {
                children = u64::try_from(self.zigzag()?).map_err(|_| "its schema has a negative number of fields")?;
            } else {
                self.value(ty, inner, nesting)?;
            }
        }
        if kind == Kind::SchemaElement { self.schema.element(children) } else { Ok(()) }
    }

    fn value(&mut self, ty: u8, inner: Kind, nesting: u8) -> Result<(), &'static str> {
        match ty {
            TRUE | FALSE => Ok(()),
            BYTE => self.byte().map(drop),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.skip(8),
            BINARY => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST => self.list(inner, nesting),
            STRUCT => self.fields(inner, nesting + 1),
            // Sets, maps and UUIDs: Parquet has none in its footer.
            _ => Err("its footer holds a type that Parquet does not use"),
        }
    }

    fn list(&mut self, inner: Kind, nesting: u8) -> Result<(), &'static str> {
        let header = self.byte()?;
        if header == 0 {
            return Ok(());
        }
        let ty = header & 0x0f;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        if !matches!(ty, I32 | I64 | BINARY | STRUCT) || (inner != Kind::Other && ty != STRUCT) {
            return Err("a list in its footer holds what Parquet does not put there");
        }
        // Every element takes at least one byte.
        if count > self.rest.len() as u64 {
            return Err("a list in its footer claims more elements than there are bytes");
        }
        if inner == Kind::SchemaElement {
            self.schema.elements = count;
        }
        let each = if ty == STRUCT { inner.cost() } else { OTHER_COST };
        self.cost = self.cost.saturating_add(count.saturating_mul(each));
        if self.cost > MAX_DECODED_BYTES {
            return Err("its footer would take more than 512 MiB of memory");
        }
        for _ in 0..count {
            self.value(ty, inner, nesting + 1)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (byte, rest) = self.rest.split_first().ok_or("its footer is cut short")?;
        self.rest = rest;
        Ok(*byte)
    }

    fn skip(&mut self, count: u64) -> Result<(), &'static str> {
        let count = usize::try_from(count).map_err(|_| "its footer is cut short")?;
        self.rest = self.rest.get(count..).ok_or("its footer is cut short")?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number in its footer is too long")
    }

    fn zigzag(&mut self) -> Result<i64, &'static str> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `FileMetaData` whose field 2 (or 4) is a list header with this count and these bytes behind it.
    fn with_list(delta: u8, count: u32, behind: &[u8]) -> Vec<u8> {
        let mut bytes = vec![delta << 4 | LIST, 0xf0 | STRUCT];
        let mut count = count;
        while count >= 0x80 {
            bytes.push(u8::try_from(count & 0x7f).unwrap() | 0x80);
            count >>= 7;
        }
        bytes.push(u8::try_from(count).unwrap());
        bytes.extend_from_slice(behind);
        bytes
    }

    #[test]
    fn case_25_a_small_footer_cannot_ask_for_gigabytes() {
        let error = check_footer(&with_list(2, 0x7fff_ffff, &[0; 16])).unwrap_err();
        assert_eq!(error, "a list in its footer claims more elements than there are bytes");
        // Also when the bytes are there: three million empty structs.
        let error = check_footer(&with_list(4, 3_000_000, &vec![0; 3_000_001])).unwrap_err();
        assert_eq!(error, "its footer would take more than 512 MiB of memory");
    }

    #[test]
    fn case_25_a_deep_schema_does_not_reach_the_stack() {
        // Each element has one child: field 5 (num_children) = 1 as zigzag 2, then the end of the struct.
        let chain = [5 << 4 | I32, 2, 0].repeat(100_000);
        let error = check_footer(&with_list(2, 100_000, &chain)).unwrap_err();
        assert_eq!(error, "its schema is nested too deep");
        // Wide is not deep.
        let mut wide = vec![5 << 4 | I32, 0xd0, 0x0f, 0];
        wide.extend(vec![0; 1_000]);
        wide.push(0);
        assert_eq!(check_footer(&with_list(2, 1_001, &wide)), Ok(()));
    }

    #[test]
    fn case_25_a_schema_has_the_fields_that_it_claims() {
        // One element with 2^31 - 1 children: the decoder would reserve 16 GiB for them.
        let lone = [5 << 4 | I32, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        assert_eq!(check_footer(&with_list(2, 1, &lone)), Err("its schema claims more fields than it has"));
        assert_eq!(
            check_footer(&with_list(2, 1, &[5 << 4 | I32, 2, 0, 0])),
            Err("its schema claims more fields than it has")
        );
        assert_eq!(check_footer(&with_list(2, 2, &[5 << 4 | I32, 2, 0, 0, 0])), Ok(()));
    }

    #[test]
    fn fields_of_another_type_are_not_skipped_over() {
        // The schema as a number: a reader that goes by the field's number would take what follows for a list.
        assert_eq!(check_footer(&[2 << 4 | I32, 0xfc, 0x01, 0]), Err("a field of its footer has the wrong type"));
        assert_eq!(check_footer(&[1 << 4 | I32, 2]), Err("its footer is cut short"));
        assert_eq!(check_footer(&[1 << 4 | I32, 2, 0, 9]), Err("bytes follow the end of its footer"));
    }
}
