//! A walk over the bytes of a Parquet footer before they are decoded, to bound what decoding them can cost.
//!
//! The decoder reserves memory for a list by the count in its header, about 100 bytes to 1 KiB for each element,
//! builds the schema by recursion, one call per level, and gives each column the names of all groups that it lies in.
//! So a hostile footer could ask for more memory than there is, or end the process by a stack that is too deep;
//! neither can be caught. This walk checks that every element of every list is there, adds up what the decoded form
//! takes, and writes down what of it is needed: that alone is decoded. What is left out (statistics, names and values,
//! indexes, what later versions or other writers add) may have any form, so whatever else a writer has put into a
//! footer, its row groups are read; and the decoder reads no bytes that were not understood here.
//!
//! The road not taken is to read the footer here altogether: a second decoder of a format that others maintain.

/// Most memory that a decoded footer may take, by the estimate below. It allows half a million column chunks
/// (10,000 row groups of 50 columns); a footer that needs more is refused as too large.
const MAX_DECODED_BYTES: u64 = 512 << 20;

/// What the decoder keeps for one element, in bytes, rounded up from the sizes of its types in parquet 60.
const CHUNK_COST: u64 = 1024;
const STRUCT_COST: u64 = 256;

/// What the decoder keeps for one part of the path of a column, in bytes, beside the name in it: twice, once as parts
/// and once more where a column is looked for by its path.
const PATH_COPIES: u64 = 2;
const PATH_PART_COST: u64 = 32;

/// Most memory that the paths of all columns may take: so much for each byte of the footer, and something to begin
/// with. A file with a row group writes each path out once there, so real ones take less than ten times their footer.
const MAX_PATHS_PER_BYTE: u64 = 256;
const MAX_PATHS_ALWAYS: u64 = 64 << 10;

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
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// What of these bytes is needed, as one `FileMetaData` that can be decoded within bounds. What is wrong otherwise.
pub(super) fn needed_of_footer(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let most_paths = (bytes.len() as u64).saturating_mul(MAX_PATHS_PER_BYTE).saturating_add(MAX_PATHS_ALWAYS);
    let schema = Schema { most_paths, ..Schema::default() };
    let mut walk = Walk { rest: bytes, needed: Vec::new(), cost: 0, schema };
    walk.needed_fields(Kind::FileMetaData)?;
    if !matches!(walk.rest.len(), 0 | SIGNATURE_BYTES) {
        return Err("bytes follow the end of its footer");
    }
    Ok(walk.needed)
}

/// The structs of which something is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    FileMetaData,
    SchemaElement,
    RowGroup,
    ColumnChunk,
    ColumnMetaData,
}

/// What a needed field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    I32,
    I64,
    Binary,
    /// A list that the decoder wants to see, and of which nothing is used: it is written down as an empty one.
    Emptied,
    Struct(Kind),
    Structs(Kind),
}

impl Kind {
    /// What a needed field holds; `None` for what is left out.
    fn field(self, id: i16) -> Option<Held> {
        Some(match (self, id) {
            (Kind::FileMetaData, 2) => Held::Structs(Kind::SchemaElement),
            (Kind::FileMetaData, 4) => Held::Structs(Kind::RowGroup),
            (Kind::RowGroup, 1) => Held::Structs(Kind::ColumnChunk),
            (Kind::ColumnChunk, 3) => Held::Struct(Kind::ColumnMetaData),
            (Kind::SchemaElement, 4) | (Kind::ColumnChunk, 1) => Held::Binary,
            // The encodings of its pages.
            (Kind::ColumnMetaData, 2) => Held::Emptied,
            // The version; type, length, repetition and children of an element; type and codec of a column.
            (Kind::FileMetaData, 1) | (Kind::SchemaElement, 1 | 2 | 3 | 5) | (Kind::ColumnMetaData, 1 | 4) => Held::I32,
            // Rows; bytes; where a chunk and its pages lie; values and sizes.
            (Kind::FileMetaData, 3) | (Kind::RowGroup, 2 | 3) | (Kind::ColumnChunk, 2) => Held::I64,
            (Kind::ColumnMetaData, 5 | 6 | 7 | 9 | 11) => Held::I64,
            _ => return None,
        })
    }

    fn cost(self) -> u64 {
        match self {
            Kind::ColumnChunk => CHUNK_COST,
            // Before it reads the first row group the decoder makes room for a piece of every column.
            Kind::SchemaElement => STRUCT_COST + CHUNK_COST,
            _ => STRUCT_COST,
        }
    }
}

impl Held {
    fn ty(self) -> u8 {
        match self {
            Held::I32 => I32,
            Held::I64 => I64,
            Held::Binary => BINARY,
            Held::Emptied | Held::Structs(_) => LIST,
            Held::Struct(_) => STRUCT,
        }
    }
}

/// Where in the schema the element lies that comes next: it lists its elements parents first, each with the number of
/// its children.
#[derive(Default)]
struct Schema {
    /// How many elements there are. All but the first are the child of one of them.
    elements: u64,
    /// How many children they claim so far. The decoder reserves memory for the children of each.
    claimed: u64,
    /// Groups with children still to come, outermost first. Bounded by `MAX_SCHEMA_DEPTH`.
    open: Vec<Group>,
    /// What the paths of the columns so far take, and may take at most.
    paths: u64,
    most_paths: u64,
}

struct Group {
    children_left: u64,
    /// The length of its name and of those of the groups that it lies in, without the root.
    names: u64,
}

impl Schema {
    fn element(&mut self, name: u64, children: u64) -> Result<(), &'static str> {
        self.claimed = self.claimed.saturating_add(children);
        if self.claimed >= self.elements.max(1) {
            return Err("its schema claims more fields than it has");
        }
        while self.open.last().is_some_and(|group| group.children_left == 0) {
            self.open.pop();
        }
        // The name of the root is in no path.
        let names = self.open.last_mut().map_or(0, |group| {
            group.children_left -= 1;
            group.names.saturating_add(name)
        });
        if children > 0 {
            self.open.push(Group { children_left: children, names });
            return if self.open.len() > MAX_SCHEMA_DEPTH { Err("its schema is nested too deep") } else { Ok(()) };
        }
        let parts = (self.open.len() as u64).saturating_mul(PATH_PART_COST);
        self.paths = self.paths.saturating_add(names.saturating_add(parts).saturating_mul(PATH_COPIES));
        if self.paths > self.most_paths { Err("the paths of its columns would take too much memory") } else { Ok(()) }
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    /// What is needed of the bytes before those.
    needed: Vec<u8>,
    cost: u64,
    schema: Schema,
}

/// What is needed: read, and written down.
impl Walk<'_> {
    /// The structs that are needed lie in each other in one way only, so this recursion has an end.
    fn needed_fields(&mut self, kind: Kind) -> Result<(), &'static str> {
        let (mut last, mut last_needed) = (0_i16, 0_i16);
        let (mut children, mut name) = (0, 0);
        while let Some((ty, id)) = self.field_header(last)? {
            if id <= last {
                return Err("the fields of its footer are out of order");
            }
            last = id;
            let Some(held) = kind.field(id) else {
                self.skip_value(ty, 0)?;
                continue;
            };
            if ty != held.ty() {
                return Err("a field of its footer has the wrong type");
            }
            match u8::try_from(id - last_needed) {
                Ok(delta @ 1..=15) => self.needed.push(delta << 4 | ty),
                _ => return Err("a field of its footer has an impossible number"),
            }
            last_needed = id;
            match held {
                Held::I32 => {
                    let value = self.needed_i32()?;
                    if (kind, id) == (Kind::SchemaElement, 5) {
                        children = u64::try_from(value).map_err(|_| "its schema has a negative number of fields")?;
                    }
                }
                Held::I64 => {
                    let value = self.varint()?;
                    self.write_varint(value);
                }
                Held::Binary => name = self.needed_bytes()?,
                Held::Emptied => {
                    self.skip_value(LIST, 0)?;
                    self.needed.push(I32);
                }
                Held::Struct(inner) => self.needed_fields(inner)?,
                Held::Structs(inner) => {
                    let count = self.needed_structs(inner.cost())?;
                    if inner == Kind::SchemaElement {
                        self.schema.elements = count;
                    }
                    for _ in 0..count {
                        self.needed_fields(inner)?;
                    }
                }
            }
        }
        self.needed.push(0);
        if kind == Kind::SchemaElement { self.schema.element(name, children) } else { Ok(()) }
    }

    /// The header of a list of structs, and how many they are.
    fn needed_structs(&mut self, each: u64) -> Result<u64, &'static str> {
        let (ty, count) = self.list_header()?;
        if count > 0 && ty != STRUCT {
            return Err("a list in its footer holds what Parquet does not put there");
        }
        self.cost = self.cost.saturating_add(count.saturating_mul(each));
        if self.cost > MAX_DECODED_BYTES {
            return Err("its footer would take more than 512 MiB of memory");
        }
        match u8::try_from(count) {
            Ok(short @ 0..15) => self.needed.push(short << 4 | STRUCT),
            _ => {
                self.needed.push(15 << 4 | STRUCT);
                self.write_varint(count);
            }
        }
        Ok(count)
    }

    fn needed_i32(&mut self) -> Result<i32, &'static str> {
        let value = self.varint()?;
        self.write_varint(value);
        i32::try_from(zigzag(value)).map_err(|_| "a number in its footer is too large")
    }

    /// How many bytes they are.
    fn needed_bytes(&mut self) -> Result<u64, &'static str> {
        let length = self.varint()?;
        self.write_varint(length);
        let bytes = self.take(length)?;
        self.needed.extend_from_slice(bytes);
        Ok(length)
    }

    fn write_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.needed.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.needed.push(value as u8);
    }
}

/// What is not needed: walked over, in whatever form it is.
impl<'a> Walk<'a> {
    fn skip_value(&mut self, ty: u8, nesting: u8) -> Result<(), &'static str> {
        if nesting > MAX_NESTING {
            return Err("its footer is nested too deep");
        }
        match ty {
            TRUE | FALSE => Ok(()),
            LIST | SET => {
                let (ty, count) = self.list_header()?;
                (0..count).try_for_each(|_| self.skip_element(ty, nesting + 1))
            }
            MAP => self.skip_map(nesting),
            STRUCT => {
                let mut last = 0;
                while let Some((ty, id)) = self.field_header(last)? {
                    last = id;
                    self.skip_value(ty, nesting + 1)?;
                }
                Ok(())
            }
            ty => self.skip_element(ty, nesting),
        }
    }

    /// Outside of a field a truth value takes a byte.
    fn skip_element(&mut self, ty: u8, nesting: u8) -> Result<(), &'static str> {
        match ty {
            TRUE | FALSE | BYTE => self.byte().map(drop),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.take(8).map(drop),
            UUID => self.take(16).map(drop),
            BINARY => {
                let length = self.varint()?;
                self.take(length).map(drop)
            }
            LIST | SET | MAP | STRUCT => self.skip_value(ty, nesting),
            _ => Err("its footer holds a type that there is not"),
        }
    }

    fn skip_map(&mut self, nesting: u8) -> Result<(), &'static str> {
        let count = self.varint()?;
        if count == 0 {
            return Ok(());
        }
        self.check_count(count)?;
        let types = self.byte()?;
        for _ in 0..count {
            self.skip_element(types >> 4, nesting + 1)?;
            self.skip_element(types & 0x0f, nesting + 1)?;
        }
        Ok(())
    }

    /// Type and number of the field that comes next; nothing at the end of the struct.
    fn field_header(&mut self, last: i16) -> Result<Option<(u8, i16)>, &'static str> {
        let header = self.byte()?;
        if header == 0 {
            return Ok(None);
        }
        let id = match header >> 4 {
            0 => zigzag(self.varint()?).try_into().ok(),
            delta => last.checked_add(i16::from(delta)),
        };
        let id = id.ok_or("a field of its footer has an impossible number")?;
        Ok(Some((header & 0x0f, id)))
    }

    /// Type and number of the elements of a list.
    fn list_header(&mut self) -> Result<(u8, u64), &'static str> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        self.check_count(count)?;
        Ok((header & 0x0f, count))
    }

    /// Every element takes at least one byte.
    fn check_count(&self, count: u64) -> Result<(), &'static str> {
        if count > self.rest.len() as u64 {
            return Err("a list in its footer claims more elements than there are bytes");
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (byte, rest) = self.rest.split_first().ok_or("its footer is cut short")?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], &'static str> {
        let count = usize::try_from(count).map_err(|_| "its footer is cut short")?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("its footer is cut short")?;
        self.rest = rest;
        Ok(taken)
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
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
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
        let error = needed_of_footer(&with_list(2, 0x7fff_ffff, &[0; 16])).unwrap_err();
        assert_eq!(error, "a list in its footer claims more elements than there are bytes");
        // Also when the bytes are there: three million empty structs.
        let error = needed_of_footer(&with_list(4, 3_000_000, &vec![0; 3_000_001])).unwrap_err();
        assert_eq!(error, "its footer would take more than 512 MiB of memory");
    }

    #[test]
    fn case_25_a_deep_schema_does_not_reach_the_stack() {
        // Each element has one child: field 5 (num_children) = 1 as zigzag 2, then the end of the struct.
        let chain = [5 << 4 | I32, 2, 0].repeat(100_000);
        let error = needed_of_footer(&with_list(2, 100_000, &chain)).unwrap_err();
        assert_eq!(error, "its schema is nested too deep");
        // Wide is not deep.
        let mut wide = vec![5 << 4 | I32, 0xd0, 0x0f, 0];
        wide.extend(vec![0; 1_000]);
        wide.push(0);
        assert_eq!(needed_of_footer(&with_list(2, 1_001, &wide)).map(drop), Ok(()));
    }

    #[test]
    fn case_25_a_schema_has_the_fields_that_it_claims() {
        // One element with 2^31 - 1 children: the decoder would reserve 16 GiB for them.
        let lone = [5 << 4 | I32, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        assert_eq!(needed_of_footer(&with_list(2, 1, &lone)), Err("its schema claims more fields than it has"));
        assert_eq!(
            needed_of_footer(&with_list(2, 1, &[5 << 4 | I32, 2, 0, 0])),
            Err("its schema claims more fields than it has")
        );
        assert_eq!(needed_of_footer(&with_list(2, 2, &[5 << 4 | I32, 2, 0, 0, 0])).map(drop), Ok(()));
    }

    #[test]
    fn fields_of_another_type_are_not_skipped_over() {
        // The schema as a number: a reader that goes by the field's number would take what follows for a list.
        assert_eq!(needed_of_footer(&[2 << 4 | I32, 0xfc, 0x01, 0]), Err("a field of its footer has the wrong type"));
        assert_eq!(needed_of_footer(&[1 << 4 | I32, 2]), Err("its footer is cut short"));
        assert_eq!(needed_of_footer(&[1 << 4 | I32, 2, 0, 9]), Err("bytes follow the end of its footer"));
    }

    #[test]
    fn defect_45_what_is_not_needed_is_left_out_in_whatever_form_it_is() {
        // The schema and its root, as they are needed.
        let schema = [2 << 4 | LIST, 1 << 4 | STRUCT, 4 << 4 | BINARY, 1, b'm', 0];
        let whole = [&schema[..], &[0]].concat();
        assert_eq!(needed_of_footer(&whole).unwrap(), whole);
        for (what, field) in [
            ("numbers where names and values stand", &[3 << 4 | I32, 7][..]),
            ("a map", &[3 << 4 | MAP, 2, TRUE << 4 | BINARY, 1, 1, b'a', 0, 0]),
            ("an empty map", &[3 << 4 | MAP, 0]),
            ("a set of lists of truths", &[3 << 4 | SET, 1 << 4 | LIST, 2 << 4 | TRUE, 1, 2]),
            (
                "a field of a later version",
                &[12 << 4 | STRUCT, 1 << 4 | TRUE, 5 << 4 | DOUBLE, 1, 2, 3, 4, 5, 6, 7, 8, 0],
            ),
            ("a field with a long number", &[I16, 0xfe, 0x01, 9]),
            ("a UUID", &[[3 << 4 | UUID].as_slice(), &[7; 16]].concat()),
        ] {
            let bytes = [&schema[..], field, &[0]].concat();
            assert_eq!(needed_of_footer(&bytes).unwrap(), whole, "{what}");
            for length in schema.len()..bytes.len() - 1 {
                assert!(needed_of_footer(&bytes[..length]).is_err(), "{what}, cut short");
            }
        }
        assert_eq!(needed_of_footer(&[1 << 4 | 14, 0]), Err("a field of its footer has the wrong type"));
        assert_eq!(needed_of_footer(&[5 << 4 | 14, 0]), Err("its footer holds a type that there is not"));
    }
}
