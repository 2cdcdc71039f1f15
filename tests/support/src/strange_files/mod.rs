//! Parquet files as a stranger might leave them: damaged, odd, hostile. Footers are written field by field, because no
//! writer of the format writes these.

pub mod footer;

use footer::{Chunk, Footer, Group, Thrift, column};

use crate::parquet_files::{bytes_of, without_columns};

/// What becomes of a file.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// It is cut: so many ranges, so many rows.
    Cut(usize, u64),
    /// It is refused with an error that holds this.
    Refused(&'static str),
}
use Expected::{Cut, Refused};

/// Name, bytes, and what becomes of it.
pub fn all() -> Vec<(&'static str, Vec<u8>, Expected)> {
    [odd(), broken(), lying(), bombs()].into_iter().flatten().collect()
}

type Files = Vec<(&'static str, Vec<u8>, Expected)>;

/// Unusual, and right.
fn odd() -> Files {
    let two = || vec![column("a"), column("b")];
    let nested = Footer { schema: nested(40), groups: vec![Group::of(5, vec![Chunk::at(4, 5)])], ..Footer::of(5) };
    let duplicate = Footer::of(5).with(vec![column("a"), column("a")], vec![Group::even(5, 2)]);
    let overlapping = Footer::of(5).with(two(), vec![Group::of(5, vec![Chunk::at(4, 5), Chunk::at(4, 5)])]);
    let dictionary = Chunk { dictionary: Some(4), ..Chunk::at(6, 5) };
    let dictionary = Footer::of(5).with(vec![column("a")], vec![Group::of(5, vec![dictionary])]);
    let many = Footer::of(10_000).with(vec![column("a")], vec![Group::even(1, 1); 10_000]);
    let unknown = Footer { unknown_field: true, ..Footer::of(5).with(two(), vec![Group::even(5, 2)]) };
    let hostile_name = Footer::of(5).with(vec![column("\u{1b}[2J\n\u{202e}")], vec![Group::even(5, 1)]);
    vec![
        ("no rows", bytes_of(&[], 0), Cut(0, 0)),
        ("an empty row group", bytes_of(&[0], 0), Cut(0, 0)),
        ("no columns", without_columns(), Cut(0, 0)),
        ("no columns and five rows", Footer::of(5).with(vec![], vec![Group::of(5, vec![])]).file(), Cut(1, 5)),
        ("more rows than its row groups", Footer::of(6).one(5).file(), Cut(1, 5)),
        ("10,000 row groups", many.file(), Cut(10_000, 10_000)),
        ("nested 40 deep", nested.file(), Cut(1, 5)),
        ("two columns of one name", duplicate.file(), Cut(1, 5)),
        ("chunks that overlap", overlapping.file(), Cut(1, 5)),
        ("a dictionary before the data", dictionary.file(), Cut(1, 5)),
        ("a field of a later version", unknown.file(), Cut(1, 5)),
        ("a column named like a terminal's command", hostile_name.file(), Cut(1, 5)),
        ("one row group larger than any target", Footer::of(1 << 40).one(1 << 40).file(), Cut(1, 1 << 40)),
    ]
}

/// Not a whole Parquet file.
fn broken() -> Files {
    let good = bytes_of(&[10, 10], 0);
    let length = good.len();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file.splice(at..at + bytes.len(), bytes.iter().copied());
        file
    };
    let footer = u32::from_le_bytes(*good[length - 8..].first_chunk().unwrap());
    vec![
        ("nothing", vec![], Refused("it has 0 bytes")),
        ("magic twice and no more", b"PAR1PAR1".to_vec(), Refused("it has 8 bytes")),
        ("an empty footer", b"PAR1\0\0\0\0PAR1".to_vec(), Refused("its footer claims 0 bytes")),
        ("a text", b"id,comment\n1,hello\n".to_vec(), Refused("is not Parquet (no PAR1 at its start)")),
        ("ORC", b"ORC and some more bytes of it".to_vec(), Refused("is not Parquet (no PAR1 at its start)")),
        ("an encrypted footer", with(length - 4, b"PARE"), Refused("is not supported: it is encrypted")),
        ("encrypted from the start", with(0, b"PARE"), Refused("is not supported: it is encrypted")),
        ("a wrong last magic", with(length - 4, b"PAR2"), Refused("no PAR1 at its end")),
        ("the second half", good[length / 2..].to_vec(), Refused("is not Parquet (no PAR1 at its start)")),
        ("the first half", good[..length / 2].to_vec(), Refused("no PAR1 at its end")),
        ("a footer longer than the file", with(length - 8, &[0xff; 4]), Refused("its footer claims 4294967295 bytes")),
        ("a footer said to be longer", with(length - 8, &(footer + 1).to_le_bytes()), Refused("is corrupt")),
        ("a footer said to be shorter", with(length - 8, &(footer - 1).to_le_bytes()), Refused("is corrupt")),
        ("a footer of one byte", with(length - 8, &1_u32.to_le_bytes()), Refused("is corrupt")),
        ("a footer of zeros", with(length - 8 - footer as usize, &vec![0; footer as usize]), Refused("is corrupt")),
    ]
}

/// Whole, and saying what cannot be.
fn lying() -> Files {
    let one = |chunk: Chunk| Footer::of(5).with(vec![column("a")], vec![Group::of(5, vec![chunk])]).file();
    let at = Chunk::at(4, 5);
    let negative = Footer::of(-5).with(vec![column("a")], vec![Group::of(-5, vec![Chunk::at(4, 5)])]);
    let hidden = Footer::of(0).with(vec![column("a")], vec![Group::even(5, 1), Group::of(-5, vec![Chunk::at(4, 5)])]);
    let half = i64::MAX / 2 + 1;
    let endless = Footer::of(0).with(vec![], vec![Group::of(half, vec![]); 3]);
    let missing = Footer::of(5).with(vec![column("a"), column("b")], vec![Group::of(5, vec![Chunk::at(4, 5)])]);
    let not_utf8 =
        Footer::of(5).with(vec![footer::Element { name: b"\xff\xfe".to_vec(), ..column("") }], vec![Group::even(5, 1)]);
    let children = Footer { root_children: Some(-1), ..Footer::of(5).one(5) };
    let million = Footer { root_children: Some(1_000_000), ..Footer::of(5).one(5) };
    let two_billion = Footer { root_children: Some(i64::from(i32::MAX)), ..Footer::of(5).one(5) };
    vec![
        ("negative rows", negative.file(), Refused("row group 0 has -5 rows")),
        ("negative rows behind others", hidden.file(), Refused("row group 1 has -5 rows")),
        ("rows beyond all numbers", endless.file(), Refused("more rows than can be counted")),
        ("a chunk behind the file", one(Chunk { offset: 1 << 40, ..at }), Refused("do not lie in the file")),
        ("a chunk longer than the file", one(Chunk { length: 1 << 40, ..at }), Refused("do not lie in the file")),
        (
            "a chunk that ends beyond all numbers",
            one(Chunk { offset: i64::MAX, length: i64::MAX, ..at }),
            Refused("do not lie"),
        ),
        ("a chunk in the footer", one(Chunk { length: 25, ..at }), Refused("do not lie in the file")),
        ("a chunk of negative length", one(Chunk { length: -1, ..at }), Refused("its compressed size is -1")),
        ("a chunk before the file", one(Chunk { offset: -4, ..at }), Refused("its data page offset is -4")),
        (
            "a dictionary before the file",
            one(Chunk { dictionary: Some(-4), ..at }),
            Refused("its dictionary page offset is -4"),
        ),
        ("fewer values than rows", one(Chunk { values: 4, ..at }), Refused("it has 4 values for 5 rows")),
        ("more values than rows", one(Chunk { values: 6, ..at }), Refused("it has 6 values for 5 rows")),
        ("negative values", one(Chunk { values: -4, ..at }), Refused("its number of values is -4")),
        (
            "data in another file",
            one(Chunk { file: Some("/etc/passwd"), ..at }),
            Refused("its data lies in another file"),
        ),
        ("a column without a chunk", missing.file(), Refused("is corrupt")),
        ("a name that is not UTF-8", not_utf8.file(), Refused("is corrupt")),
        ("fewer than no columns", children.file(), Refused("is corrupt")),
        ("a million columns of which one is there", million.file(), Refused("claims more fields than it has")),
        ("two billion columns of which one is there", two_billion.file(), Refused("claims more fields than it has")),
    ]
}

/// Small, and asking for what nobody has.
fn bombs() -> Files {
    let raw = |thrift: Thrift| footer::file(&thrift.0);
    let list = |field: u8, kind: u8, count: u64| {
        let mut thrift = Thrift::default();
        thrift.field(field, 9).list(kind, count);
        thrift
    };
    let mut nested = Thrift::default();
    nested.field(10, 12);
    (0..50_000).for_each(|_| {
        nested.field(1, 12);
    });
    let mut lists = list(10, 9, 1);
    (0..50_000).for_each(|_| {
        lists.list(9, 1);
    });
    let mut text = Thrift::default();
    text.field(6, 8).varint(1 << 40);
    let mut number = Thrift::default();
    number.field(3, 6).0.extend([0xff; 11]);
    let deep = Footer { schema: self::nested(10_000), ..Footer::of(5) };
    let mut empty = list(4, 12, 500_000);
    empty.0.extend(vec![0; 500_001]);
    vec![
        (
            "ten bytes that ask for gigabytes (arrow-rs 9874)",
            footer::file(b"\x15\x02\x19\xfc\xff\xff\xff\xff\x07\0"),
            Refused("more elements than there are bytes"),
        ),
        ("billions of columns", raw(list(2, 12, u64::from(u32::MAX))), Refused("more elements than there are bytes")),
        ("a list of 2^64 - 1", raw(list(4, 12, u64::MAX)), Refused("more elements than there are bytes")),
        ("a list of what Parquet has no lists of", raw(list(5, 13, 3)), Refused("is corrupt")),
        ("structs 50,000 deep", raw(nested), Refused("nested too deep")),
        ("lists 50,000 deep", raw(lists), Refused("is corrupt")),
        ("a schema 10,000 deep", deep.file(), Refused("its schema is nested too deep")),
        ("a text of a terabyte", raw(text), Refused("its footer is cut short")),
        ("a number without end", raw(number), Refused("a number in its footer is too long")),
        ("half a million empty row groups", raw(empty), Refused("is corrupt")),
        ("a long name over many columns", named(100_000, 5_000).file(), Refused("the paths of its columns")),
        ("long names in each other", deep_names().file(), Refused("the paths of its columns")),
    ]
}

/// A schema of groups in each other, with a column in the last.
fn nested(depth: usize) -> Vec<footer::Element> {
    let group = footer::Element { children: Some(1), ..column("g") };
    std::iter::repeat_n(group, depth).chain([column("a")]).collect()
}

/// A group whose name has so many bytes, with so many columns in it: every column's path has that name in it.
pub fn named(name: usize, columns: usize) -> Footer {
    let children = Some(i64::try_from(columns).unwrap());
    let group = footer::Element { name: vec![b'n'; name], children };
    let schema = [group].into_iter().chain(std::iter::repeat_n(column("a"), columns)).collect();
    Footer { schema, groups: vec![Group::even(5, columns)], ..Footer::of(5) }
}

/// Sixty groups in each other, each with a long name, and columns in the last.
fn deep_names() -> Footer {
    let columns = 2_000;
    let group = footer::Element { name: vec![b'n'; 2_000], children: Some(1) };
    let last = footer::Element { children: Some(columns), ..group.clone() };
    let columns = std::iter::repeat_n(column("a"), usize::try_from(columns).unwrap());
    let schema = std::iter::repeat_n(group, 59).chain([last]).chain(columns).collect();
    Footer { schema, ..Footer::of(0) }
}
