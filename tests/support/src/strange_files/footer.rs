//! A footer, field by field, in Thrift's compact protocol.

/// Bytes of a struct that is being written.
#[derive(Clone, Default)]
pub struct Thrift(pub Vec<u8>);

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

impl Thrift {
    /// The header of the field that is `delta` behind the last one.
    pub fn field(&mut self, delta: u8, kind: u8) -> &mut Thrift {
        self.0.push(delta << 4 | kind);
        self
    }

    pub fn varint(&mut self, mut value: u64) -> &mut Thrift {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap());
        self
    }

    fn number(&mut self, delta: u8, kind: u8, value: i64) -> &mut Thrift {
        self.field(delta, kind).varint((value << 1 ^ value >> 63).cast_unsigned())
    }

    fn binary(&mut self, delta: u8, bytes: &[u8]) -> &mut Thrift {
        self.field(delta, BINARY).raw(bytes)
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Thrift {
        self.varint(bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }

    /// The header of a list.
    pub fn list(&mut self, kind: u8, count: u64) -> &mut Thrift {
        self.0.push(0xf0 | kind);
        self.varint(count)
    }

    fn structs(&mut self, delta: u8, items: &[Thrift]) -> &mut Thrift {
        self.field(delta, LIST).list(STRUCT, items.len() as u64);
        items.iter().for_each(|item| self.0.extend_from_slice(&item.0));
        self
    }

    fn end(&mut self) -> Thrift {
        self.0.push(0);
        self.clone()
    }
}

/// A group or a column of a schema.
#[derive(Clone)]
pub struct Element {
    pub name: Vec<u8>,
    /// `None`: a column of numbers.
    pub children: Option<i64>,
}

pub fn column(name: &str) -> Element {
    Element { name: name.as_bytes().to_vec(), children: None }
}

impl Element {
    fn thrift(&self) -> Thrift {
        let mut thrift = Thrift::default();
        match self.children {
            None => thrift.number(1, I32, 2).number(2, I32, 0).binary(1, &self.name).end(),
            Some(children) => thrift.number(3, I32, 0).binary(1, &self.name).number(1, I32, children).end(),
        }
    }
}

/// A piece of a column. The file has 20 bytes of data, from byte 4 on.
#[derive(Clone, Copy)]
pub struct Chunk {
    pub offset: i64,
    pub length: i64,
    pub values: i64,
    pub dictionary: Option<i64>,
    pub file: Option<&'static str>,
}

impl Chunk {
    pub fn at(offset: i64, values: i64) -> Chunk {
        Chunk { offset, length: 5, values, dictionary: None, file: None }
    }

    fn thrift(&self, path: &[u8]) -> Thrift {
        let mut data = Thrift::default();
        data.number(1, I32, 2).field(1, LIST).list(I32, 1).varint(0);
        data.field(1, LIST).list(BINARY, 1).raw(path);
        data.number(1, I32, 0).number(1, I64, self.values).number(1, I64, self.length).number(1, I64, self.length);
        data.number(2, I64, self.offset);
        if let Some(dictionary) = self.dictionary {
            data.number(2, I64, dictionary);
        }
        let data = data.end();
        let mut thrift = Thrift::default();
        let skipped = match self.file {
            Some(file) => thrift.binary(1, file.as_bytes()).number(1, I64, 0),
            None => thrift.number(2, I64, 0),
        };
        skipped.field(1, STRUCT).0.extend_from_slice(&data.0);
        thrift.end()
    }
}

/// A row group.
#[derive(Clone)]
pub struct Group {
    rows: i64,
    chunks: Vec<Chunk>,
}

impl Group {
    pub fn of(rows: i64, chunks: Vec<Chunk>) -> Group {
        Group { rows, chunks }
    }

    /// With the same chunk for each column.
    pub fn even(rows: i64, columns: usize) -> Group {
        Group { rows, chunks: vec![Chunk::at(4, rows); columns] }
    }

    fn thrift(&self, columns: &[&Element]) -> Thrift {
        let paths = columns.iter().map(|column| column.name.as_slice()).chain(std::iter::repeat(&b"?"[..]));
        let chunks: Vec<Thrift> = self.chunks.iter().zip(paths).map(|(chunk, path)| chunk.thrift(path)).collect();
        Thrift::default().structs(1, &chunks).number(1, I64, 20).number(1, I64, self.rows).end()
    }
}

/// All of a footer.
#[derive(Clone)]
pub struct Footer {
    pub rows: i64,
    pub schema: Vec<Element>,
    /// What the root says, if not the truth.
    pub root_children: Option<i64>,
    pub groups: Vec<Group>,
    pub unknown_field: bool,
}

impl Footer {
    pub fn of(rows: i64) -> Footer {
        Footer { rows, schema: vec![], root_children: None, groups: vec![], unknown_field: false }
    }

    pub fn with(self, schema: Vec<Element>, groups: Vec<Group>) -> Footer {
        Footer { schema, groups, ..self }
    }

    /// With one column and one row group.
    pub fn one(self, rows: i64) -> Footer {
        self.with(vec![column("a")], vec![Group::even(rows, 1)])
    }

    pub fn file(&self) -> Vec<u8> {
        // Groups stand in each other, each with one child; columns beside each other.
        let is_flat = self.schema.iter().all(|element| element.children.is_none());
        let children = if is_flat { i64::try_from(self.schema.len()).unwrap() } else { 1 };
        let root = Element { name: b"m".to_vec(), children: Some(self.root_children.unwrap_or(children)) };
        let elements: Vec<Thrift> = [&root].into_iter().chain(&self.schema).map(Element::thrift).collect();
        let columns: Vec<&Element> = self.schema.iter().filter(|element| element.children.is_none()).collect();
        let groups: Vec<Thrift> = self.groups.iter().map(|group| group.thrift(&columns)).collect();
        let mut thrift = Thrift::default();
        thrift.number(1, I32, 1).structs(1, &elements).number(1, I64, self.rows).structs(1, &groups);
        if self.unknown_field {
            thrift.field(15, BINARY).raw(b"from the future");
        }
        file(&thrift.end().0)
    }
}

/// A file with 20 bytes of data and this footer.
pub fn file(footer: &[u8]) -> Vec<u8> {
    let mut bytes = b"PAR1".to_vec();
    bytes.extend([0; 20]);
    bytes.extend_from_slice(footer);
    bytes.extend_from_slice(&u32::try_from(footer.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(b"PAR1");
    bytes
}
