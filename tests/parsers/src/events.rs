//! Payloads of events, with and without who asked for them.

use std::sync::Arc;

use lastword::codec::{self, Tag};
use lastword::core::vocabulary::{Epoch, Recorded, Seq, Timestamp};
use lastword::describe::Describer;

use super::array;
use super::memory::bounded_by_serde;

/// Type, version (its highest bit says that who asked stands first), payload.
pub fn payload(input: &[u8]) {
    let (Some(event_type), Some(version)) = (array(input, 0), array(input, 2)) else { return };
    let tag = Tag { event_type: u16::from_le_bytes(event_type), version: u16::from_le_bytes(version) };
    // A token of two bytes becomes one of sixteen in a vector that may be twice as long as it has to be.
    let decoded = bounded_by_serde(input, 64, || codec::decode(tag, &input[4..]));
    let Ok((event, by)) = decoded else { return };
    let mut payload = Vec::new();
    let again = codec::encode(&event, by.as_ref(), &mut payload).unwrap();
    // Numbers have shorter and longer forms, so it is the meaning that comes back, and the shortest form for good.
    // An older version is read, and the newest is written.
    let parts = |tag: Tag| ((tag.event_type, tag.version >> 15), tag.version & 0x7fff);
    let ((written, newest), (read, version)) = (parts(again), parts(tag));
    assert!(written == read && newest >= version, "{again:?} of {tag:?}");
    let (second, second_by) = codec::decode(again, &payload).unwrap();
    assert_eq!((&second, &second_by), (&event, &by));
    let mut same = Vec::new();
    codec::encode(&second, second_by.as_ref(), &mut same).unwrap();
    assert_eq!(same, payload);
    describe(Recorded { seq: Seq(7), at: Timestamp(1), epoch: Epoch(1), by: by.map(Arc::new), event });
}

/// What is shown of an event is one line that drives no terminal, and JSON that parses.
pub fn describe(recorded: Recorded) {
    let mut describer = Describer::new();
    let described = describer.describe(&recorded);
    let (line, json) = (described.to_string(), described.json());
    assert!(!line.contains(char::is_control), "{line:?}");
    assert!(!json.contains(char::is_control) && serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
}
