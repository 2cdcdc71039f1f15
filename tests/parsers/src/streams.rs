//! The portable stream.

use lastword::evlog::{self, EvlogError, Item, Reader};
use lastword::log::{FrameHash, Log, MemoryDisk};
use lastword::objects::{MemoryObjects, Objects};

use super::array;
use super::frames;
use super::memory::bounded_by_serde;

/// The input as it is, and with the hashes and the chain of its blocks made right.
pub fn evlog(input: &[u8]) {
    check(input);
    check(&mended(input));
}

fn check(bytes: &[u8]) {
    // Events decoded, a base as a state, the names of objects: as in the targets of those, and a block of bytes twice.
    let read = bounded_by_serde(bytes, 512, || {
        let mut reader = Reader::new(bytes)?;
        reader.by_ref().try_for_each(|item| item.map(drop))?;
        Ok::<_, EvlogError>(reader.totals())
    });
    let totals = match read {
        Ok(totals) => totals,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    // What was accepted whole is a log: it can be put into one, and written out again with the same content.
    if totals.start.is_whole() {
        let (disk, objects) = (MemoryDisk::new(), MemoryObjects::new());
        let mut log = disk.open();
        for item in Reader::new(bytes).unwrap() {
            match item.unwrap() {
                Item::Object(object) => drop(objects.put(&[object]).unwrap()),
                Item::Frame(frame) => log.append(&frame.as_frame()).unwrap(),
            }
        }
        log.barrier().unwrap();
        let mut again = Vec::new();
        let written = evlog::write(log.reader().as_ref(), &objects, &mut again).unwrap();
        assert_eq!((written.frames, written.end), (totals.frames, totals.end));
        let mut reader = Reader::new(&*again).unwrap();
        reader.by_ref().for_each(|item| drop(item.unwrap()));
        assert_eq!(reader.totals(), written);
    }
}

/// A stream of these blocks: objects have their names, frames their places in the chain, the end what came before.
fn mended(input: &[u8]) -> Vec<u8> {
    let mut out = b"LWEV\x01\0\0\0\0\0\0\0".to_vec();
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    let (mut rest, mut hash, mut events) = (input.get(16..).unwrap_or_default(), FrameHash::ZERO.0, 0);
    let (mut frames_seen, mut objects) = (0_u64, 0_u64);
    while let (Some(tag), Some(length)) = (array::<4>(rest, 0), array(rest, 4).map(u32::from_le_bytes)) {
        let (body, behind) = rest[8..].split_at(usize::try_from(length).unwrap().min(rest.len() - 8));
        rest = behind;
        let body = match &tag {
            b"OBJ " => {
                objects += 1;
                let object = body.get(32..).unwrap_or_default();
                [blake3::hash(object).as_bytes(), object].concat()
            }
            b"FRM " => {
                frames_seen += 1;
                let frame = chained(body, &mut hash, &mut events);
                hash = *blake3::hash(&frame[..frame.len() - 32]).as_bytes();
                frame
            }
            b"END " => [&frames_seen.to_le_bytes(), &events.to_le_bytes(), &objects.to_le_bytes(), &hash[..]].concat(),
            _ => body.to_vec(),
        };
        out.extend_from_slice(&tag);
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&body);
    }
    out
}

/// The frame behind those before.
fn chained(body: &[u8], hash: &mut [u8; 32], events: &mut u64) -> Vec<u8> {
    let mut frame = body.to_vec();
    frame.resize(frame.len().max(128), 0);
    // The first frame of a stream whose prefix was deleted keeps its place.
    if *events > 0 || array::<8>(&frame, 8) == Some(1_u64.to_le_bytes()) {
        frame[8..16].copy_from_slice(&(*events + 1).to_le_bytes());
        frame[48..80].copy_from_slice(hash);
    }
    *events += u64::from(u32::from_le_bytes(array(&frame, 16).unwrap()));
    frames::mended(&frame)
}
