//! Whole states: snapshots and bases.

use lastword::codec::state::{decode_state, encode_state};
use lastword::core::CollectionView;
use lastword::describe::view_json;
use lastword::snapshot::{SNAPSHOT_HEADER_LENGTH, SnapshotHeader};

use super::memory::{bounded, bounded_by_serde};

/// An encoded state.
pub fn state(input: &[u8]) {
    // A collection of some 60 bytes takes 600 and its places in the indices.
    let Ok(state) = bounded_by_serde(input, 256, || decode_state(input)) else { return };
    let sound = state.check().is_ok();
    let mut encoded = Vec::new();
    encode_state(&state, &mut encoded).unwrap();
    let again = decode_state(&encoded).unwrap();
    assert!(again == state && again.digest() == state.digest());
    assert_eq!(again.check().is_ok(), sound);
    let mut same = Vec::new();
    encode_state(&again, &mut same).unwrap();
    assert_eq!(same, encoded);
    for (id, _) in state.collections() {
        let view = CollectionView::of(&state, id, state.at()).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&view_json(&view, state.at())).is_ok());
    }
}

/// The header of a snapshot, with its CRC made right.
pub fn snapshot(input: &[u8]) {
    let mut bytes = [0; SNAPSHOT_HEADER_LENGTH];
    let length = input.len().min(bytes.len());
    bytes[..length].copy_from_slice(&input[..length]);
    let _ = SnapshotHeader::decode(&bytes);
    bytes[..4].copy_from_slice(b"LWSN");
    let crc = crc32c::crc32c(&bytes[..144]);
    bytes[144..].copy_from_slice(&crc.to_le_bytes());
    if let Ok(header) = bounded(input, 0, || SnapshotHeader::decode(&bytes)) {
        assert_eq!(header.encode(), bytes);
    }
}
