//! One object of a tree, to bytes and back. Bytes that come in may be hostile: every length is checked against
//! what is left before anything is taken or reserved.

use super::{MAX_KEY_BYTES, MAX_VALUE_BYTES, TreeError};
use crate::core::vocabulary::ObjectHash;

pub(super) const MAGIC: &[u8; 4] = b"LWOB";
pub(super) const VERSION: u16 = 1;
const LEAF: u8 = 1;
const NODE: u8 = 2;

/// A tree deeper than this was not written by us: nodes have at least two children but for the last of a level,
/// so 2^64 entries need no more than 65 levels.
pub(super) const MAX_LEVEL: u8 = 65;

/// A child of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) first_key: Vec<u8>,
    pub(super) hash: ObjectHash,
    pub(super) entries: u64,
}

/// One decoded object. Keys and values of a leaf are its own, or lie in the bytes that it was decoded from.
#[derive(Debug)]
pub(super) enum Object<B = Vec<u8>> {
    Leaf(Vec<(B, B)>),
    Node { level: u8, children: Vec<Child> },
}

impl<B: AsRef<[u8]>> Object<B> {
    pub(super) fn level(&self) -> u8 {
        match self {
            Object::Leaf(_) => 0,
            Object::Node { level, .. } => *level,
        }
    }

    pub(super) fn first_key(&self) -> Option<&[u8]> {
        match self {
            Object::Leaf(entries) => entries.first().map(|(key, _)| key.as_ref()),
            Object::Node { children, .. } => children.first().map(|child| child.first_key.as_slice()),
        }
    }

    /// How many entries it claims to hold. `None` when the sum is beyond what can be counted.
    pub(super) fn entries(&self) -> Option<u64> {
        match self {
            Object::Leaf(entries) => u64::try_from(entries.len()).ok(),
            Object::Node { children, .. } => {
                children.iter().try_fold(0_u64, |sum, child| sum.checked_add(child.entries))
            }
        }
    }
}

/// The bytes of an object whose items were encoded one behind the other.
pub(super) fn encode(level: u8, count: u32, items: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 + items.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.push(if level == 0 { LEAF } else { NODE });
    bytes.push(level);
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(items);
    bytes
}

pub(super) fn put_entry(items: &mut Vec<u8>, key: &[u8], value: &[u8]) -> Result<(), TreeError> {
    items.extend_from_slice(&length("key", key, MAX_KEY_BYTES)?);
    items.extend_from_slice(&length("value", value, MAX_VALUE_BYTES)?);
    items.extend_from_slice(key);
    items.extend_from_slice(value);
    Ok(())
}

pub(super) fn put_child(items: &mut Vec<u8>, child: &Child) -> Result<(), TreeError> {
    items.extend_from_slice(&length("key", &child.first_key, MAX_KEY_BYTES)?);
    items.extend_from_slice(&child.first_key);
    items.extend_from_slice(&child.hash.0);
    items.extend_from_slice(&child.entries.to_le_bytes());
    Ok(())
}

fn length(what: &'static str, bytes: &[u8], allowed: usize) -> Result<[u8; 4], TreeError> {
    let found = bytes.len();
    match u32::try_from(found) {
        Ok(length) if found <= allowed => Ok(length.to_le_bytes()),
        _ => Err(TreeError::TooLong { what, found, allowed }),
    }
}

/// Whether these bytes begin as those of a node do.
pub(super) fn is_node(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) && bytes.get(6) == Some(&NODE)
}

pub(super) fn decode(hash: ObjectHash, bytes: &[u8]) -> Result<Object, TreeError> {
    Ok(match borrow(hash, bytes)? {
        Object::Leaf(entries) => {
            Object::Leaf(entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
        }
        Object::Node { level, children } => Object::Node { level, children },
    })
}

/// The same, and entries stay where they are.
pub(super) fn borrow(hash: ObjectHash, bytes: &[u8]) -> Result<Object<&[u8]>, TreeError> {
    decode_object(bytes).map_err(|problem| TreeError::Malformed { hash, problem })
}

fn decode_object(bytes: &[u8]) -> Result<Object<&[u8]>, &'static str> {
    let mut rest = Rest(bytes);
    if rest.array()? != *MAGIC {
        return Err("it does not begin with LWOB");
    }
    if u16::from_le_bytes(rest.array()?) != VERSION {
        return Err("its version is not 1");
    }
    let [kind, level] = rest.array()?;
    let count = rest.u32()?;
    let object = match (kind, level) {
        (LEAF, 0) => Object::Leaf(leaf(&mut rest, count)?),
        (NODE, 1..=MAX_LEVEL) => Object::Node { level, children: node(&mut rest, count)? },
        (LEAF | NODE, _) => return Err("its kind and level do not agree"),
        _ => return Err("its kind is unknown"),
    };
    if rest.0.is_empty() { Ok(object) } else { Err("bytes follow the last item") }
}

/// An entry where it lies.
type Lying<'a> = (&'a [u8], &'a [u8]);

fn leaf<'a>(rest: &mut Rest<'a>, count: u32) -> Result<Vec<Lying<'a>>, &'static str> {
    let mut entries: Vec<Lying<'_>> = Vec::new();
    for _ in 0..count {
        let (key_len, value_len) = (rest.u32()?, rest.u32()?);
        let key = rest.take(key_len)?;
        let value = rest.take(value_len)?;
        if entries.last().is_some_and(|(last, _)| *last >= key) {
            return Err("its keys are not ascending");
        }
        entries.push((key, value));
    }
    Ok(entries)
}

fn node(rest: &mut Rest<'_>, count: u32) -> Result<Vec<Child>, &'static str> {
    let mut children: Vec<Child> = Vec::new();
    for _ in 0..count {
        let key_len = rest.u32()?;
        let first_key = rest.take(key_len)?;
        let child = Child {
            first_key: first_key.to_vec(),
            hash: ObjectHash(rest.array()?),
            entries: u64::from_le_bytes(rest.array()?),
        };
        if children.last().is_some_and(|last| last.first_key >= child.first_key) {
            return Err("its keys are not ascending");
        }
        if child.entries == 0 {
            return Err("it has a child without entries");
        }
        children.push(child);
    }
    if children.is_empty() { Err("it is a node without children") } else { Ok(children) }
}

/// The bytes that are not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: u32) -> Result<&'a [u8], &'static str> {
        let count = usize::try_from(count).map_err(|_| "it is cut short")?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("it is cut short")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_le_bytes)
    }
}
