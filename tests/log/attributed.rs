//! Who asked for an event is written before its payload, and read as strictly.

use lastword::codec::{self, Tag};
use test_support::samples;

#[test]
fn every_event_reads_back_with_whoever_asked_for_it() {
    for event in samples::samples() {
        let mut bytes = Vec::new();
        let plain = codec::encode(&event, None, &mut bytes).unwrap();
        for by in samples::askers() {
            let mut payload = Vec::new();
            let tag = codec::encode(&event, Some(&by), &mut payload).unwrap();
            assert_eq!(tag, Tag { version: plain.version | 1 << 15, ..plain });
            assert_eq!((tag.payload_version(), plain.payload_version()), (plain.version, plain.version));
            assert_eq!(tag.is_checkpoint_part(), event.type_name() == "base_frame");
            assert!(payload.ends_with(&bytes), "the payload follows at once");
            assert_eq!(codec::decode(tag, &payload), Ok((event.clone(), Some(by))));
            let newer = Tag { version: tag.version + 1, ..tag };
            assert!(matches!(codec::decode(newer, &payload), Err(codec::CodecError::Unknown(_))));
            for cut in 0..payload.len() {
                assert!(codec::decode(tag, &payload[..cut]).is_err(), "{event:?} cut at {cut}");
            }
            assert!(codec::decode(tag, &[&payload[..], &[0]].concat()).is_err(), "trailing bytes of {event:?}");
        }
    }
}

#[test]
fn the_highest_bit_of_a_version_is_none_of_it() {
    for version in [0, 1, 5, 0x7fff] {
        assert_eq!(Tag { event_type: 7, version: version | 1 << 15 }.payload_version(), version);
        assert_eq!(Tag { event_type: 7, version }.payload_version(), version);
    }
}

#[test]
fn who_asked_is_read_as_strictly_as_everything_else() {
    let tag = Tag { event_type: 21, version: 1 | 1 << 15 };
    let decode = |by: &[u8]| codec::decode(tag, &[by, &[4]].concat());
    let text = |text: &str| [&[1, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let longest = [&[1, 251, 0, 1], "x".repeat(256).as_bytes(), &[0]].concat();
    assert!(decode(&[text("ann"), vec![0]].concat()).is_ok() && decode(&longest).is_ok());
    // Whoever wrote a number in a longer form than it needs has written that number.
    assert_eq!(decode(&[1, 251, 1, 0, b'x', 0]), decode(&[1, 1, b'x', 0]));
    let too_long = [&[1, 251, 1, 1], "x".repeat(257).as_bytes(), &[0]].concat();
    let endless = [1, 253, 255, 255, 255, 255, 255, 255, 255, 127, b'x'];
    for (bad, why) in [
        (vec![0, 0], "neither who nor why"),
        ([text(""), vec![0]].concat(), "an empty actor"),
        ([vec![0], text("")].concat(), "an empty cause"),
        ([text("a\nb"), vec![0]].concat(), "a control character"),
        ([text("a\u{85}b"), vec![0]].concat(), "a control character beyond ASCII"),
        (too_long, "too long"),
        (endless.to_vec(), "a length beyond everything"),
        (vec![2, 0], "an option that is neither"),
        (vec![1, 2, 0xff, 0xfe, 0], "no UTF-8"),
        (vec![1], "cut"),
    ] {
        assert!(matches!(decode(&bad), Err(codec::CodecError::Payload { .. })), "{why}");
    }
}
