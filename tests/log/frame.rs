//! Frames: the bytes that are frozen, and bytes that mean no good.

use lastword::codec::state::STATE_VERSION;
use lastword::core::vocabulary::{Epoch, Seq, Timestamp};
use lastword::log::{Frame, FrameBuilder, FrameError, FrameHash, HEADER_LENGTH};
use proptest::prelude::*;

const FIXTURE: &str = include_str!("../fixtures/frame-v1.hex");

fn fixture() -> Vec<u8> {
    let digits: Vec<u8> = FIXTURE
        .lines()
        .map(|line| line.split('#').next().unwrap())
        .flat_map(|line| line.bytes().filter(u8::is_ascii_hexdigit).collect::<Vec<_>>())
        .collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn build() -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    builder.push(1, 1, b"first").unwrap();
    builder.push(0x0203, 2, b"").unwrap();
    builder.push(7, 1, &[0xff; 3]).unwrap();
    let (epoch, time, wall) = (Epoch(0x0102_0304_0506_0708), Timestamp(1_795_000_000_000_001), Timestamp(99));
    builder.seal(Seq(42), epoch, time, wall, FrameHash([0xab; 32])).unwrap().bytes().to_vec()
}

#[test]
fn version_1_is_frozen() {
    let found: String =
        build().chunks(16).map(|row| row.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n").collect();
    assert_eq!(build(), fixture(), "the frame is now\n{found}");
    let bytes = fixture();
    let frame = Frame::parse(&bytes).unwrap();
    assert_eq!((frame.first(), frame.last()), (Seq(42), Seq(44)));
    assert_eq!(frame.header().epoch, Epoch(0x0102_0304_0506_0708));
    assert_eq!(frame.header().time, Timestamp(1_795_000_000_000_001));
    assert_eq!(frame.header().wall, Timestamp(99));
    assert_eq!(frame.header().previous, FrameHash([0xab; 32]));
    let records: Vec<_> = frame.records().map(|r| (r.seq.0, r.event_type, r.version, r.payload.to_vec())).collect();
    assert_eq!(records, [(42, 1, 1, b"first".to_vec()), (43, 0x0203, 2, vec![]), (44, 7, 1, vec![0xff; 3])]);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let whole = build();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = Frame::parse(&bytes).unwrap_err();
        assert!(!error.is_too_new(), "bit {bit} is damage, not a newer version: {error}");
    }
}

#[test]
fn every_truncation_and_extension_is_noticed() {
    let whole = build();
    for length in 0..whole.len() {
        Frame::parse(&whole[..length]).unwrap_err();
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(Frame::parse(&longer), Err(FrameError::Length { stated: whole.len(), found: whole.len() + 1 }));
}

/// Changes a header and puts CRC and hash right again, as somebody who means it would.
fn forge(change: impl FnOnce(&mut Vec<u8>)) -> Result<(), FrameError> {
    let mut bytes = build();
    change(&mut bytes);
    let end = bytes.len() - 32;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..92]), &bytes[HEADER_LENGTH..end]);
    bytes[92..96].copy_from_slice(&crc.to_le_bytes());
    let hash = blake3::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(hash.as_bytes());
    Frame::parse(&bytes).map(drop)
}

#[test]
fn the_length_is_known_from_the_header_and_not_before() {
    let frame = fixture();
    assert_eq!(Frame::length_from(&frame[..HEADER_LENGTH]), Ok(frame.len()));
    for length in [0, 3, HEADER_LENGTH - 1] {
        let too_short = FrameError::TooShort { needed: HEADER_LENGTH, found: length };
        assert_eq!(Frame::length_from(&frame[..length]), Err(too_short));
    }
}

#[test]
fn what_a_newer_program_may_read_is_told_from_damage() {
    let part = |version| FrameError::CheckpointPart { at: Seq(7), version, newest: STATE_VERSION };
    for newer in [FrameError::TooNew { version: 2 }, FrameError::UnknownCodec { codec: 9 }, part(STATE_VERSION + 1)] {
        assert!(newer.is_too_new(), "{newer}");
    }
    for damaged in [FrameError::NoVersion, FrameError::Reserved, part(STATE_VERSION), part(0)] {
        assert!(!damaged.is_too_new(), "{damaged}");
    }
}

#[test]
fn a_lie_with_right_checks_is_told_by_its_name() {
    assert_eq!(forge(|_| ()), Ok(()));
    assert_eq!(forge(|b| b[4] = 2), Err(FrameError::TooNew { version: 2 }));
    assert_eq!(forge(|b| b[4] = 0), Err(FrameError::NoVersion));
    assert_eq!(forge(|b| b[6] = 9), Err(FrameError::UnknownCodec { codec: 9 }));
    assert_eq!(forge(|b| b[85] = 1), Err(FrameError::Reserved));
    assert_eq!(forge(|b| b[16] = 0), Err(FrameError::Count { count: 0 }));
    assert_eq!(forge(|b| b[18] = 2), Err(FrameError::Count { count: 0x0002_0003 }));
    assert_eq!(forge(|b| b[16] = 4), Err(FrameError::RecordCut { record: 3, left: 0 }));
    assert_eq!(forge(|b| b[16] = 2), Err(FrameError::RecordsLeftOver { left: 11 }));
    assert_eq!(forge(|b| b[103] = 0xff), Err(FrameError::RecordCut { record: 0, left: 32 }));
    assert_eq!(forge(|b| b[8..16].fill(0)), Err(FrameError::Base { found: Seq(0) }));
    assert_eq!(forge(|b| b[8..16].fill(0xff)), Err(FrameError::Base { found: Seq(u64::MAX) }));
    assert!(matches!(forge(|b| b[20..24].fill(0xff)), Err(FrameError::TooLong { .. })));
    assert!(matches!(forge(|b| b[20] += 1), Err(FrameError::Length { .. })));
    assert!(matches!(forge(|b| b[0] = 0), Err(FrameError::Magic { .. })));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic: bool) {
        if magic && bytes.len() >= 4 {
            bytes[..4].copy_from_slice(b"LWFR");
        }
        prop_assert!(Frame::parse(&bytes).is_err());
    }

    #[test]
    fn forged_headers_and_records_never_panic(at in 4usize..92, value: u8, record in 96usize..128, other: u8) {
        let _ = forge(|bytes| {
            bytes[at] = value;
            bytes[record] = other;
        });
    }

    #[test]
    fn whatever_is_pushed_comes_back(
        records in proptest::collection::vec((any::<u16>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..200)), 1..40),
        base in 1u64..1 << 40,
    ) {
        let mut builder = FrameBuilder::new();
        for (event_type, version, payload) in &records {
            builder.push(*event_type, *version, payload).unwrap();
        }
        let frame = builder.seal(Seq(base), Epoch(1), Timestamp(2), Timestamp(3), FrameHash::ZERO).unwrap();
        let parsed = Frame::parse(frame.bytes()).unwrap();
        let found: Vec<_> = parsed.records().map(|r| (r.event_type, r.version, r.payload.to_vec())).collect();
        prop_assert_eq!(found, records);
        prop_assert_eq!(Frame::length_from(frame.bytes()), Ok(frame.bytes().len()));
    }
}
