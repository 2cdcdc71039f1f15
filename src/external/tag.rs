//! What an object store says of the content of an object: its entity tag. It must not know how one is asked for.

use std::fmt;

use super::wire::{Reader, Writer};

/// The longest tag that is kept, in bytes. Those of the stores that are known have 16 to 42: an MD5 in hexadecimal with the
/// number of parts, a number that counts writes, a UUID.
const MAX_TAG_BYTES: usize = 46;

/// Set in the first byte of a tag that is weak.
const WEAK: u8 = 0x80;

/// An entity tag (RFC 9110, 8.8.3): opaque bytes, compared as such. Of one key, equal strong tags are equal bytes. A weak
/// one says only that the contents are alike to whoever made it. A file has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityTag {
    /// The length, and whether it is weak. Zero: there is none.
    head: u8,
    /// Zero behind the tag, so that comparing all of it compares the tags.
    bytes: [u8; MAX_TAG_BYTES],
}

impl EntityTag {
    /// What a file has.
    pub const NONE: EntityTag = EntityTag { head: 0, bytes: [0; MAX_TAG_BYTES] };

    /// The tag of an object, as a store writes it: some leave its quotation marks out in listings, so they are no part of
    /// it. One that begins with `W/` is weak, and so is the lack of one.
    ///
    /// # Errors
    /// Its length, if that is beyond 46 bytes.
    pub fn new(tag: Option<&str>) -> Result<EntityTag, usize> {
        let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or("W/");
        let weak = if tag.starts_with("W/") { WEAK } else { 0 };
        let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
        EntityTag::from_parts(weak, tag.as_bytes()).ok_or(tag.len())
    }

    fn from_parts(weak: u8, tag: &[u8]) -> Option<EntityTag> {
        let mut bytes = [0; MAX_TAG_BYTES];
        bytes.get_mut(..tag.len())?.copy_from_slice(tag);
        // Within the bound, which is below the bit.
        let length = u8::try_from(tag.len()).ok()?;
        Some(EntityTag { head: length | weak, bytes })
    }

    /// Whether it is one of an object, and not the lack of one that files have.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.head != 0
    }

    /// Whether it proves nothing of the bytes.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.head & WEAK != 0
    }

    /// Whether it proves that the bytes are the same.
    #[must_use]
    pub fn is_strong(&self) -> bool {
        self.is_some() && !self.is_weak()
    }

    /// The value of a header `If-Match` that holds for this content alone; nothing for a weak tag, which never matches.
    #[must_use]
    pub fn condition(&self) -> Option<String> {
        self.is_strong().then(|| format!("\"{self}\""))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.head & !WEAK)).unwrap_or_default()
    }

    pub(super) fn write(&self, bytes: &mut Writer) {
        bytes.u8(self.head);
        bytes.raw(self.as_bytes());
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<EntityTag, &'static str> {
        let head = bytes.u8()?;
        let tag = bytes.raw(usize::from(head & !WEAK))?;
        EntityTag::from_parts(head & WEAK, tag).filter(EntityTag::is_some).ok_or("it has an entity tag that is none")
    }
}

impl Default for EntityTag {
    fn default() -> EntityTag {
        EntityTag::NONE
    }
}

/// Without quotation marks.
impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityTag({:?})", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_apart_as_bytes() {
        let tag = |text| EntityTag::new(Some(text)).unwrap();
        assert!(tag("\"a\"").is_strong() && !tag("\"a\"").is_weak());
        assert!(tag("W/\"a\"").is_weak() && !tag("W/\"a\"").is_strong());
        assert_ne!(tag("\"a\""), tag("W/\"a\""));
        assert_ne!(tag("a"), tag("a\0"));
        assert_eq!((tag("a"), tag("a").condition().as_deref()), (tag("\"a\""), Some("\"a\"")));
        assert_eq!((EntityTag::new(Some("")), tag("W/a").condition()), (EntityTag::new(None), None));
        assert_ne!(tag("\"A\""), tag("\"a\""));
        let missing = EntityTag::new(None).unwrap();
        assert!(missing.is_some() && missing.is_weak() && !EntityTag::NONE.is_some() && !EntityTag::NONE.is_weak());
        assert_eq!(EntityTag::new(Some(&"x".repeat(46))).unwrap().as_bytes().len(), 46);
        assert_eq!(EntityTag::new(Some(&"x".repeat(47))), Err(47));
        assert_eq!(format!("{} {:?}", tag("\"a\""), tag("b")), "a EntityTag(\"b\")");
    }

    #[test]
    fn what_is_stored_is_read_back_and_nothing_else_is() {
        for tag in [Some("\"0123\""), Some("W/\"x\""), None] {
            let tag = EntityTag::new(tag).unwrap();
            let mut bytes = Writer::default();
            tag.write(&mut bytes);
            assert_eq!(EntityTag::read(&mut Reader(&bytes.0)), Ok(tag));
            for cut in 0..bytes.0.len() {
                assert!(EntityTag::read(&mut Reader(&bytes.0[..cut])).is_err());
            }
        }
        for wrong in [&[0][..], &[47; 48]] {
            assert_eq!(EntityTag::read(&mut Reader(wrong)), Err("it has an entity tag that is none"));
        }
    }
}
