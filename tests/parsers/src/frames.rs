//! Frames and the anchor.

use lastword::log::{
    Anchor, AnchorError, Frame, FrameBuilder, FrameError, HEADER_LENGTH, RECORD_HEADER_LENGTH, TRAILER_LENGTH,
};

use super::memory::bounded;

/// The input as it is, and with its length, CRC and hash made right.
pub fn frame(input: &[u8]) {
    check(input);
    check(&mended(input));
}

fn check(bytes: &[u8]) {
    let parsed = bounded(bytes, 0, || Frame::parse(bytes));
    let Ok(frame) = parsed else { return };
    assert_eq!(Frame::length_from(bytes).unwrap(), bytes.len());
    let header = frame.header();
    let mut builder = FrameBuilder::new();
    builder.begin();
    let (mut seq, mut length) = (header.base, 0);
    for record in frame.records() {
        assert_eq!(record.seq, seq);
        seq = seq.next();
        length += RECORD_HEADER_LENGTH + record.payload.len();
        builder.push(record.event_type, record.version, record.payload).unwrap();
    }
    assert_eq!((seq, length), (frame.last().next(), usize::try_from(header.length).unwrap()));
    let again = builder.seal(header.base, header.epoch, header.time, header.wall, header.previous).unwrap();
    assert_eq!(again.bytes(), bytes, "a frame has one form");
}

/// A frame of these bytes: header and records as they are, the rest as it has to be.
pub fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().max(HEADER_LENGTH + TRAILER_LENGTH), 0);
    let body = bytes.len() - TRAILER_LENGTH;
    bytes[..4].copy_from_slice(b"LWFR");
    let length = u32::try_from(body - HEADER_LENGTH).unwrap();
    bytes[20..24].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..92]), &bytes[HEADER_LENGTH..body]);
    bytes[92..96].copy_from_slice(&crc.to_le_bytes());
    let hash = *blake3::hash(&bytes[..body]).as_bytes();
    bytes[body..].copy_from_slice(&hash);
    debug_assert!(!matches!(Frame::parse(&bytes), Err(FrameError::Crc { .. } | FrameError::Hash { .. })));
    bytes
}

/// `HEAD`: the input as it is, and as two slots whose CRC is right.
pub fn anchor(input: &[u8]) {
    let _ = bounded(input, 0, || Anchor::parse(input));
    let mut slots = input.to_vec();
    slots.resize(2 * SLOT, 0);
    slots.chunks_mut(SLOT).for_each(mend_slot);
    let (one, two) = slots.split_at(SLOT);
    let mut file = one.to_vec();
    file.resize(DISTANCE, 0);
    file.extend_from_slice(two);
    let parsed = [&file, one, &[&[0; DISTANCE], two].concat()].map(|bytes| bounded(bytes, 0, || Anchor::parse(bytes)));
    let [both, one, two] = parsed;
    let expected = match (one, two) {
        (Ok(one), Ok(two)) => Ok(if one.counter >= two.counter { one } else { two }),
        (Err(AnchorError::TooNew { version }), _) | (_, Err(AnchorError::TooNew { version })) => {
            Err(AnchorError::TooNew { version })
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    assert_eq!(both, expected);
}

/// The bytes of a slot, and where the second begins.
const SLOT: usize = 76;
const DISTANCE: usize = 4096;

fn mend_slot(slot: &mut [u8]) {
    slot[..4].copy_from_slice(b"LWHD");
    let crc = crc32c::crc32c(&slot[..72]);
    slot[72..SLOT].copy_from_slice(&crc.to_le_bytes());
}
