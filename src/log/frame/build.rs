//! Building frames in a buffer that is kept from one commit to the next.

use super::{
    CODEC_BINCODE, CRC_AT, FORMAT_VERSION, Frame, FrameError, FrameHash, FrameHeader, HEADER_LENGTH, MAGIC,
    MAX_FRAME_LENGTH, MAX_PAYLOAD_LENGTH, MAX_RECORDS, RECORD_HEADER_LENGTH, TRAILER_LENGTH, crc_of,
};
use crate::core::vocabulary::{Epoch, Seq, Timestamp};

/// A buffer that is kept beyond this size once a burst is over: 4 MiB, about a full batch of 4,096 events of
/// 1 KiB. What a rare larger frame needed is given back.
const KEPT_CAPACITY: usize = 4 << 20;

/// Builds one frame after the other: [`begin`](Self::begin), [`push`](Self::push) each record,
/// [`seal`](Self::seal).
#[derive(Debug, Default)]
pub struct FrameBuilder {
    /// Header and records, and behind them the hash once the frame was sealed.
    bytes: Vec<u8>,
    /// Where the records end.
    end: usize,
    count: usize,
}

impl FrameBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops the records of the last frame and keeps the buffer.
    pub fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_CAPACITY);
        self.end = 0;
        self.count = 0;
    }

    /// The number of records pushed since [`begin`](Self::begin).
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The length in bytes that the frame would have if it were sealed now.
    #[must_use]
    pub fn length(&self) -> usize {
        self.end.max(HEADER_LENGTH) + TRAILER_LENGTH
    }

    /// Puts one record behind the others.
    ///
    /// # Errors
    /// When the payload, the number of records or the frame would pass its limit; the records pushed before stay
    /// and can be sealed.
    pub fn push(&mut self, event_type: u16, version: u16, payload: &[u8]) -> Result<(), FrameError> {
        if payload.len() > MAX_PAYLOAD_LENGTH {
            return Err(FrameError::PayloadTooLong { length: payload.len(), limit: MAX_PAYLOAD_LENGTH });
        }
        if self.count == MAX_RECORDS {
            return Err(FrameError::Count { count: narrow(self.count + 1) });
        }
        let length = self.length() + RECORD_HEADER_LENGTH + payload.len();
        if length > MAX_FRAME_LENGTH {
            return Err(FrameError::TooLong { length, limit: MAX_FRAME_LENGTH });
        }
        self.bytes.resize(self.end.max(HEADER_LENGTH), 0);
        self.bytes.extend_from_slice(&event_type.to_le_bytes());
        self.bytes.extend_from_slice(&version.to_le_bytes());
        self.bytes.extend_from_slice(&narrow(payload.len()).to_le_bytes());
        self.bytes.extend_from_slice(payload);
        self.end = self.bytes.len();
        self.count += 1;
        Ok(())
    }

    /// Completes the frame. It can be sealed again with other values until the next [`begin`](Self::begin).
    ///
    /// # Errors
    /// When no record was pushed, or `base` is 0 or too near the end of the numbers.
    pub fn seal(
        &mut self,
        base: Seq,
        epoch: Epoch,
        time: Timestamp,
        wall: Timestamp,
        previous: FrameHash,
    ) -> Result<Frame<'_>, FrameError> {
        if self.count == 0 {
            return Err(FrameError::Count { count: 0 });
        }
        if base == Seq::ZERO || base.0.checked_add(self.count as u64).is_none() {
            return Err(FrameError::Base { found: base });
        }
        let header = FrameHeader {
            codec: CODEC_BINCODE,
            base,
            count: narrow(self.count),
            length: narrow(self.end - HEADER_LENGTH),
            epoch,
            time,
            wall,
            previous,
        };
        self.bytes.truncate(self.end);
        self.bytes[..HEADER_LENGTH].copy_from_slice(&head_of(&header));
        let crc = crc_of(&self.bytes[..CRC_AT], &self.bytes[HEADER_LENGTH..]);
        self.bytes[CRC_AT..HEADER_LENGTH].copy_from_slice(&crc.to_le_bytes());
        let hash = FrameHash(*blake3::hash(&self.bytes).as_bytes());
        self.bytes.extend_from_slice(&hash.0);
        Ok(Frame { bytes: &self.bytes, header, hash })
    }
}

fn head_of(header: &FrameHeader) -> [u8; HEADER_LENGTH] {
    let mut head = [0; HEADER_LENGTH];
    let mut put = |at: usize, field: &[u8]| head[at..at + field.len()].copy_from_slice(field);
    put(0, &MAGIC);
    put(4, &FORMAT_VERSION.to_le_bytes());
    put(6, &header.codec.to_le_bytes());
    put(8, &header.base.0.to_le_bytes());
    put(16, &header.count.to_le_bytes());
    put(20, &header.length.to_le_bytes());
    put(24, &header.epoch.0.to_le_bytes());
    put(32, &header.time.0.to_le_bytes());
    put(40, &header.wall.0.to_le_bytes());
    put(48, &header.previous.0);
    head
}

/// The limits keep every number that is written below 2^32.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal<'a>(builder: &'a mut FrameBuilder, base: u64) -> Result<Frame<'a>, FrameError> {
        builder.seal(Seq(base), Epoch(7), Timestamp(11), Timestamp(13), FrameHash([5; 32]))
    }

    #[test]
    fn what_is_sealed_parses_to_the_same() {
        let mut builder = FrameBuilder::new();
        for sizes in [&[0usize][..], &[1, 2, 3], &[3_000, 0, 900], &[MAX_PAYLOAD_LENGTH]] {
            builder.begin();
            for (index, size) in sizes.iter().enumerate() {
                builder.push(index as u16, 2, &vec![index as u8; *size]).unwrap();
            }
            let length = builder.length();
            let frame = seal(&mut builder, 40).unwrap();
            assert_eq!(frame.bytes().len(), length);
            let parsed = Frame::parse(frame.bytes()).unwrap();
            assert_eq!(parsed, frame);
            assert_eq!(parsed.last(), Seq(39 + sizes.len() as u64));
            let found: Vec<_> = parsed.records().map(|r| (r.seq.0, r.event_type, r.version, r.payload.len())).collect();
            let expected: Vec<_> =
                sizes.iter().enumerate().map(|(i, size)| (40 + i as u64, i as u16, 2, *size)).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_sealed_frame_can_grow_and_be_sealed_again() {
        let mut builder = FrameBuilder::new();
        builder.push(1, 1, b"one").unwrap();
        let first = seal(&mut builder, 1).unwrap().bytes().to_vec();
        assert_eq!(seal(&mut builder, 1).unwrap().bytes(), first);
        builder.push(1, 1, b"two").unwrap();
        assert_eq!(Frame::parse(seal(&mut builder, 1).unwrap().bytes()).unwrap().records().count(), 2);
    }

    #[test]
    fn limits_refuse_one_record_and_keep_the_others() {
        let mut builder = FrameBuilder::new();
        assert_eq!(seal(&mut builder, 1).unwrap_err(), FrameError::Count { count: 0 });
        let too_long = vec![0; MAX_PAYLOAD_LENGTH + 1];
        assert!(matches!(builder.push(1, 1, &too_long), Err(FrameError::PayloadTooLong { .. })));
        builder.push(1, 1, b"kept").unwrap();
        assert_eq!(seal(&mut builder, 0).unwrap_err(), FrameError::Base { found: Seq(0) });
        assert_eq!(seal(&mut builder, u64::MAX).unwrap_err(), FrameError::Base { found: Seq(u64::MAX) });
        assert_eq!(seal(&mut builder, 1).unwrap().records().count(), 1);

        builder.begin();
        for _ in 0..MAX_RECORDS {
            builder.push(1, 1, b"").unwrap();
        }
        assert_eq!(builder.push(1, 1, b""), Err(FrameError::Count { count: 65_537 }));
        assert_eq!(builder.count(), MAX_RECORDS);
        assert!(Frame::parse(seal(&mut builder, 1).unwrap().bytes()).is_ok());

        builder.begin();
        let megabyte = &too_long[..MAX_PAYLOAD_LENGTH];
        let full = std::iter::repeat_with(|| builder.push(1, 1, megabyte)).find(Result::is_err).unwrap();
        let length = HEADER_LENGTH + 64 * (RECORD_HEADER_LENGTH + MAX_PAYLOAD_LENGTH) + TRAILER_LENGTH;
        assert_eq!(full, Err(FrameError::TooLong { length, limit: MAX_FRAME_LENGTH }));
        assert_eq!(seal(&mut builder, 1).unwrap().records().count(), 63);

        // To the last byte, and not one more.
        let rest = MAX_FRAME_LENGTH - builder.length() - RECORD_HEADER_LENGTH;
        assert!(builder.push(1, 1, &megabyte[..rest + 1]).is_err());
        builder.push(1, 1, &megabyte[..rest]).unwrap();
        let frame = seal(&mut builder, 1).unwrap();
        assert_eq!(frame.bytes().len(), MAX_FRAME_LENGTH);
        assert_eq!(Frame::parse(frame.bytes()), Ok(frame));
    }
}
