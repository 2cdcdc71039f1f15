//! Holds `log-format.md` against the code: its worked bytes are what the program writes, and read back.
//!
//! The parts between `<!-- begin NAME -->` and `<!-- end NAME -->` are written by this test: with `LASTWORD_BLESS=1` it
//! puts them into the document, without it it compares. A change of one of them is a change of the format: a new
//! payload version, not new bytes for an old one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use lastword::codec::{self, REGISTRY, Tag};
use lastword::core::vocabulary::*;
use lastword::evlog::{self, Reader};
use lastword::log::{
    Anchor, Chain, Durability, Frame, FrameBuilder, FrameHash, HEADER_LENGTH, IfAbsent, Log, MemoryLog, SledLog,
};
use lastword::objects::{MemoryObjects, Objects, object_hash, tree};
use test_support::{samples, story};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("log-format.md")
}

fn document() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// The text between the markers of one part.
fn part<'d>(document: &'d str, name: &str) -> &'d str {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (_, rest) = document.split_once(&begin).unwrap_or_else(|| panic!("no part {name}"));
    rest.split_once(&end).unwrap_or_else(|| panic!("no end of {name}")).0
}

/// Compares a part with what the program writes, or writes it.
fn hold(name: &str, expected: &str) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let document = document();
    let found = part(&document, name);
    if found == expected {
        return;
    }
    assert!(
        std::env::var_os("LASTWORD_BLESS").is_some(),
        "part {name} of log-format.md is not what the program writes; expected:\n{expected}\nfound:\n{found}"
    );
    let marker = format!("<!-- begin {name} -->\n");
    let blessed = document.replacen(&format!("{marker}{found}"), &format!("{marker}{expected}"), 1);
    std::fs::write(path(), blessed).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

fn encode(event: &Event) -> (Tag, Vec<u8>) {
    let mut payload = Vec::new();
    let tag = codec::encode(event, None, &mut payload).unwrap();
    (tag, payload)
}

fn name_of(event_type: u16) -> &'static str {
    REGISTRY.iter().find(|(number, ..)| *number == event_type).unwrap().2
}

/// Bytes with their offsets and meanings, as a code block. Pieces of more than 32 bytes go over several lines.
fn annotated(pieces: &[(&[u8], &str)]) -> String {
    let mut text = String::from("```text\n");
    let mut offset = 0;
    for (bytes, meaning) in pieces {
        let mut meaning = *meaning;
        for line in bytes.chunks(32) {
            writeln!(text, "{offset:>5}  {}  {meaning}", hex(line)).unwrap();
            offset += line.len();
            meaning = "|";
        }
    }
    text.push_str("```\n");
    text
}

/// The bytes of an annotated dump.
fn bytes_of(dump: &str) -> Vec<u8> {
    let lines = dump.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    lines.flat_map(|line| unhex(line.split_whitespace().nth(1).unwrap())).collect()
}

#[test]
fn golden_bytes_of_every_event() {
    let mut expected = String::from("```text\n");
    for event in samples::samples() {
        let (tag, payload) = encode(&event);
        writeln!(expected, "{} {} {}", tag.event_type, tag.version, name_of(tag.event_type)).unwrap();
        writeln!(expected, "  bytes {}\n  means {event:?}", hex(&payload)).unwrap();
    }
    expected.push_str("```\n");
    hold("golden", &expected);
}

/// What older programs have written stays readable for ever: nothing in this part is ever written anew.
#[test]
fn golden_bytes_of_older_versions_decode() {
    let (document, mut tag, mut events) = (document(), None, 0);
    let mut lines = part(&document, "golden of version 1").lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        if let Some(bytes) = line.strip_prefix("bytes ") {
            let (tag, bytes) = (tag.unwrap(), unhex(bytes));
            let (event, by) = codec::decode(tag, &bytes).unwrap();
            assert_eq!((lines.next(), by), (Some(format!("means {event:?}").as_str()), None));
            assert_eq!(encode(&event).0, Tag { version: 2, ..tag }, "it is written in the newest version");
            assert!(codec::decode(tag, &[&bytes[..], &[0]].concat()).is_err(), "trailing bytes of {event:?}");
            assert!(codec::decode(tag, &bytes[..bytes.len() - 1]).is_err(), "cut {event:?}");
            events += 1;
        } else if let [number, "1", _] = line.split(' ').collect::<Vec<_>>()[..] {
            tag = Some(Tag { event_type: number.parse().unwrap(), version: 1 });
        }
    }
    assert_eq!(events, 5);
}

#[test]
fn golden_bytes_of_attributed_events() {
    let mut expected = String::from("```text\n");
    let event = Event::CollectionPaused { collection: CollectionId(Seq(4)) };
    for by in samples::askers() {
        let mut payload = Vec::new();
        let tag = codec::encode(&event, Some(&by), &mut payload).unwrap();
        writeln!(expected, "{} {} {}", tag.event_type, tag.version, name_of(tag.event_type)).unwrap();
        writeln!(expected, "  bytes {}\n  means {event:?} by {:?}, {:?}", hex(&payload), by.actor(), by.cause())
            .unwrap();
    }
    expected.push_str("```\n");
    hold("attributed", &expected);
}

#[test]
fn golden_bytes_decode_and_every_type_has_some() {
    let document = document();
    let mut seen = BTreeSet::new();
    let mut tag = None;
    for line in part(&document, "golden").lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("bytes"), Some(bytes), None) => {
                let (tag, bytes) = (tag.unwrap(), unhex(bytes));
                let (event, by) = codec::decode(tag, &bytes).unwrap();
                assert_eq!(by, None);
                assert_eq!(encode(&event), (tag, bytes.clone()), "{event:?}");
                let newer = Tag { version: tag.version + 1, ..tag };
                assert_eq!(codec::decode(newer, &bytes), Err(codec::CodecError::Unknown(newer)));
                let longer = [&bytes[..], &[0]].concat();
                assert!(codec::decode(tag, &longer).is_err(), "trailing bytes of {event:?}");
                assert!(codec::decode(tag, &bytes[..bytes.len() - 1]).is_err(), "cut {event:?}");
            }
            (Some(number), Some(version), Some(name)) if name != "means" => {
                let (Ok(number), Ok(version)) = (number.parse(), version.parse()) else { continue };
                assert!(REGISTRY.contains(&(number, version, name_of(number))), "{line}");
                assert_eq!(name, name_of(number));
                tag = Some(Tag { event_type: number, version });
                seen.insert(number);
            }
            _ => {}
        }
    }
    let all: BTreeSet<u16> = REGISTRY.iter().map(|(number, ..)| *number).collect();
    assert_eq!(seen, all);
}

#[test]
fn the_registry_is_the_one_of_the_document() {
    let mut expected = String::from("| number | version | name |\n|---|---|---|\n");
    for (number, version, name) in REGISTRY {
        expected.push_str(&format!("| {number} | {version} | [`{name}`](#{number}-{name}) |\n"));
    }
    hold("registry", &expected);
    let document = document();
    for (number, _, name) in REGISTRY {
        assert!(document.contains(&format!("#### {number} {name}\n")), "no layout of {name}");
    }
}

/// A frame of two events, one of which names an object.
fn small_frame(builder: &mut FrameBuilder, root: ObjectHash) -> Vec<u8> {
    let opened = Event::WriterOpened { software: "t".into() };
    let observed =
        SourceState { version: Version::new(&[0xee]).unwrap(), set: Some(PathSetRef { root, files: 0, bytes: 0 }) };
    let until = Timestamp(story::START + 250);
    let seen = Event::SourceObserved {
        collection: CollectionId(Seq(4)),
        observed: observed.into(),
        delta: None,
        admission: Admission::Settling { until },
    };
    for event in [opened, seen] {
        let (tag, payload) = encode(&event);
        builder.push(tag.event_type, tag.version, &payload).unwrap();
    }
    let epoch = Epoch(story::START / 1_000);
    let (time, wall) = (Timestamp(story::START), Timestamp(story::START + 1));
    builder.seal(Seq(1), epoch, time, wall, FrameHash::ZERO).unwrap().bytes().to_vec()
}

fn empty_leaf() -> Vec<u8> {
    let objects = MemoryObjects::new();
    let root = tree::build(&objects, []).unwrap();
    objects.get(root.hash).unwrap()
}

fn frame_pieces(frame: &[u8]) -> Vec<(&[u8], &'static str)> {
    let fields = [
        (0, 4, "magic \"LWFR\""),
        (4, 2, "format version 1"),
        (6, 2, "codec 1: bincode 1.3"),
        (8, 8, "base: the first event is 1"),
        (16, 4, "count: 2 records"),
        (20, 4, "length of the records"),
        (24, 8, "epoch"),
        (32, 8, "time"),
        (40, 8, "wall"),
        (48, 32, "previous: none, this is the first frame"),
        (80, 12, "reserved"),
        (92, 4, "CRC32C of bytes 0..92 and 96..end of the records"),
    ];
    let mut pieces: Vec<_> = fields.iter().map(|(at, length, what)| (&frame[*at..at + length], *what)).collect();
    let mut at = HEADER_LENGTH;
    for (number, (head, payload)) in [
        ("record 1: type 1", "payload: the text \"t\" behind its length"),
        ("record 2: type 32", "payload: see golden bytes of source_observed"),
    ]
    .iter()
    .enumerate()
    {
        let length = u32::from_le_bytes(frame[at + 4..at + 8].try_into().unwrap()) as usize;
        pieces.push((&frame[at..at + 2], head));
        pieces.push((&frame[at + 2..at + 4], "its version"));
        pieces.push((&frame[at + 4..at + 8], "length of its payload"));
        if number == 0 {
            pieces.push((&frame[at + 8..at + 8 + length], payload));
        } else {
            let [collection, rest @ ..] = &frame[at + 8..at + 8 + length] else { panic!("empty") };
            pieces.push((std::slice::from_ref(collection), "collection 4"));
            pieces.push((&rest[..2], "version: 1 byte, ee"));
            pieces.push((&rest[2..3], "set: there is one"));
            pieces.push((&rest[3..35], "  root"));
            pieces.push((&rest[35..36], "  files: 0"));
            pieces.push((&rest[36..37], "  bytes: 0"));
            pieces.push((&rest[37..38], "delta: none"));
            pieces.push((&rest[38..39], "admission: variant 1, settling"));
            pieces.push((&rest[39..], "  until: fd and 8 bytes"));
        }
        at += 8 + length;
    }
    pieces.push((&frame[at..], "BLAKE3 of everything before: the hash of the frame"));
    pieces
}

#[test]
fn the_annotated_frame_is_a_frame() {
    let frame = small_frame(&mut FrameBuilder::new(), object_hash(&empty_leaf()));
    hold("frame", &annotated(&frame_pieces(&frame)));
    let bytes = bytes_of(part(&document(), "frame"));
    let parsed = Frame::parse(&bytes).unwrap();
    assert_eq!((parsed.first(), parsed.last()), (Seq(1), Seq(2)));
    assert_eq!(lastword::replay::decode(&parsed).unwrap().len(), 2);
    Chain::from_start().check(&parsed).unwrap();
}

#[test]
fn the_annotated_stream_is_a_stream() {
    let (leaf, mut log, mut builder) = (empty_leaf(), MemoryLog::new(), FrameBuilder::new());
    let objects = MemoryObjects::new();
    let root = objects.put(std::slice::from_ref(&leaf)).unwrap()[0];
    let frame = small_frame(&mut builder, root);
    log.append(&Frame::parse(&frame).unwrap()).unwrap();
    let mut bytes = Vec::new();
    evlog::write(log.reader().as_ref(), &objects, &mut bytes).unwrap();
    let object = 16;
    let framed = object + 8 + 32 + leaf.len();
    let end = framed + 8 + frame.len();
    let pieces = [
        (&bytes[..4], "magic \"LWEV\""),
        (&bytes[4..6], "version 1"),
        (&bytes[6..12], "reserved"),
        (&bytes[12..16], "CRC32C of bytes 0..12"),
        (&bytes[object..object + 4], "tag \"OBJ \""),
        (&bytes[object + 4..object + 8], "length: 44"),
        (&bytes[object + 8..object + 40], "name of the object"),
        (&bytes[object + 40..framed], "the object: a leaf without entries"),
        (&bytes[framed..framed + 4], "tag \"FRM \""),
        (&bytes[framed + 4..framed + 8], "length"),
        (&bytes[framed + 8..end], "the frame above"),
        (&bytes[end..end + 4], "tag \"END \""),
        (&bytes[end + 4..end + 8], "length: 56"),
        (&bytes[end + 8..end + 16], "1 frame"),
        (&bytes[end + 16..end + 24], "2 events"),
        (&bytes[end + 24..end + 32], "1 object"),
        (&bytes[end + 32..], "hash of the last frame"),
    ];
    hold("stream", &annotated(&pieces));
    let mut reader = Reader::new(std::io::Cursor::new(bytes_of(part(&document(), "stream")))).unwrap();
    assert_eq!(reader.by_ref().map(Result::unwrap).count(), 2);
    assert_eq!((reader.totals().frames, reader.totals().objects), (1, 1));
}

#[test]
fn the_annotated_head_is_a_head() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut log = Box::new(SledLog::open(&path, IfAbsent::Create, Durability::Power).unwrap());
    let frame = small_frame(&mut FrameBuilder::new(), object_hash(&empty_leaf()));
    log.append(&Frame::parse(&frame).unwrap()).unwrap();
    log.close().unwrap();
    let file = std::fs::read(path.join("HEAD")).unwrap();
    let closed = Anchor::parse(&file).unwrap();
    let at = if closed.counter.is_multiple_of(2) { 0 } else { 4096 };
    let slot = &file[at..at + 76];
    let pieces = [
        (&slot[..4], "magic \"LWHD\""),
        (&slot[4..6], "version 1"),
        (&slot[6..8], "flags: bit 0 clean, bit 1 complete"),
        (&slot[8..16], "counter"),
        (&slot[16..24], "seq of the last event: 2"),
        (&slot[24..56], "hash of the last frame"),
        (&slot[56..64], "epoch of the last frame"),
        (&slot[64..72], "length of sled/db"),
        (&slot[72..76], "CRC32C of bytes 0..72"),
    ];
    // How often a writer writes HEAD, and how long sled makes its file, are no part of the format.
    if std::env::var_os("LASTWORD_BLESS").is_some() {
        hold("head", &annotated(&pieces));
    }
    let mut bytes = bytes_of(part(&document(), "head"));
    let anchor = Anchor::parse(&bytes).unwrap();
    assert_eq!((anchor.position, anchor.clean, anchor.complete), (closed.position, true, true));
    assert_eq!(anchor.position.seq, Seq(2));
    bytes[20] ^= 1;
    assert!(Anchor::parse(&bytes).is_err());
}

#[test]
fn the_annotated_objects_are_a_tree() {
    let objects = MemoryObjects::new();
    // Enough for a node above leaves, small enough to be printed: one key that ends a leaf, and one more.
    let boundary = (0_u16..).find(|n| ends_object(0, &n.to_be_bytes())).unwrap();
    let keys = [boundary, boundary + 1].map(|n| n.to_be_bytes().to_vec());
    let root = tree::build(&objects, keys.iter().map(|key| (key.clone(), b"v".to_vec()))).unwrap();
    let node = objects.get(root.hash).unwrap();
    let child = ObjectHash(node[18..50].try_into().unwrap());
    let leaf = objects.get(child).unwrap();
    assert_eq!((node.len(), leaf.len()), (12 + 2 * 46, 12 + 11));
    let pieces = [
        (&leaf[..4], "magic \"LWOB\""),
        (&leaf[4..6], "version 1"),
        (&leaf[6..7], "kind 1: leaf"),
        (&leaf[7..8], "level 0"),
        (&leaf[8..12], "count: 1"),
        (&leaf[12..16], "length of the key"),
        (&leaf[16..20], "length of the value"),
        (&leaf[20..22], "key"),
        (&leaf[22..23], "value"),
    ];
    let mut text = format!("The leaf `{child}`:\n\n{}", annotated(&pieces));
    let pieces = [
        (&node[..4], "magic \"LWOB\""),
        (&node[4..6], "version 1"),
        (&node[6..7], "kind 2: node"),
        (&node[7..8], "level 1"),
        (&node[8..12], "count: 2"),
        (&node[12..16], "length of the first key below the first child"),
        (&node[16..18], "that key"),
        (&node[18..50], "name of the first child: the leaf above"),
        (&node[50..58], "entries below it"),
        (&node[58..62], "length of the first key below the second child"),
        (&node[62..64], "that key"),
        (&node[64..96], "name of the second child"),
        (&node[96..104], "entries below it"),
    ];
    write!(text, "\nThe node `{}` above it, a root:\n\n{}", root.hash, annotated(&pieces)).unwrap();
    hold("objects", &text);
    let document = document();
    for dump in part(&document, "objects").split("```text\n").skip(1) {
        let bytes = bytes_of(dump.split("```").next().unwrap());
        assert!(document.contains(&object_hash(&bytes).to_string()));
    }
}

/// The rule of the document, written down again.
fn ends_object(level: u8, key: &[u8]) -> bool {
    let hash = *blake3::hash(&[&[level], key].concat()).as_bytes();
    u16::from_le_bytes([hash[0], hash[1]]).is_multiple_of(64)
}

#[test]
fn the_vectors_of_fingerprints_hold() {
    let inputs = |content| Inputs { source: Source::new("s").unwrap(), spec: Spec::default(), content };
    let seen = SourceState { version: Version::new(&[0]).unwrap(), set: None };
    let rows = [
        ("unversioned", inputs(Content::Unversioned)),
        ("observed, version `00`", inputs(Content::Observed(seen.into()))),
    ];
    let mut expected = String::from("| source | spec | content | fingerprint |\n|---|---|---|---|\n");
    for (content, inputs) in rows {
        writeln!(expected, "| `s` | `{{}}` | {content} | `{}` |", inputs.fingerprint().unwrap()).unwrap();
    }
    hold("fingerprints", &expected);
}

/// Every version of this program has to read what the first one wrote, and every other one before it.
#[test]
fn fixtures_of_all_versions_are_read() {
    fixture_is_read("v1");
    fixture_is_read("v2");
}

fn fixture_is_read(version: &str) {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let stream = fixtures.join(version).with_extension("evlog");
    if std::env::var_os("LASTWORD_BLESS").is_some() && !stream.exists() {
        let (log, objects) = (MemoryLog::new(), MemoryObjects::new());
        let reader = log.reader();
        story::tell(Box::new(log), &objects);
        let mut bytes = Vec::new();
        evlog::write(reader.as_ref(), &objects, &mut bytes).unwrap();
        std::fs::create_dir_all(&fixtures).unwrap();
        std::fs::write(&stream, bytes).unwrap();
    }
    let file = evlog::EvlogFile::open(&stream).unwrap();
    let mut describer = lastword::describe::Describer::new();
    let mut lines = String::new();
    for event in lastword::replay::events(&file, Seq(1)) {
        writeln!(lines, "{}", describer.describe(&event.unwrap()).json()).unwrap();
    }
    let expected = fixtures.join(version).with_extension("jsonl");
    if std::env::var_os("LASTWORD_BLESS").is_some() && !expected.exists() {
        std::fs::write(&expected, &lines).unwrap();
    }
    assert_eq!(lines, std::fs::read_to_string(expected).unwrap());
    lastword::replay::verify(&file, None).unwrap();
}

/// Path sets and manifests of the fixture are what the document says they are, by the code that is to read them.
#[cfg(feature = "external")]
#[test]
fn path_sets_and_manifests_of_the_fixture_are_read() {
    use lastword::external::{Manifest, PathSet as Set};
    let bytes = std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1.evlog")).unwrap();
    let objects = MemoryObjects::new();
    let (mut sets, mut manifests) = (0, 0);
    for item in Reader::new(bytes.as_slice()).unwrap() {
        match item.unwrap() {
            evlog::Item::Object(object) => drop(objects.put(&[object]).unwrap()),
            evlog::Item::Frame(frame) => {
                for event in lastword::replay::decode(&frame.as_frame()).unwrap() {
                    match &event.event {
                        Event::SourceObserved { observed, .. } | Event::CollectionHeld { observed, .. } => {
                            let set = observed.set.unwrap();
                            let files = tree::read(&objects, set.root);
                            let files = Set::new(files.map(|entry| Set::from_entry(entry.unwrap()).unwrap()));
                            assert_eq!((files.len() as u64, files.bytes()), (set.files, set.bytes));
                            assert_eq!(files.digest(), observed.version.as_bytes());
                            sets += 1;
                        }
                        Event::TaskCompleted { result, .. } => {
                            let Some(root) = result.manifest else { continue };
                            let manifest = Manifest::read(&objects, root).unwrap();
                            assert_eq!(Some(manifest.rows()), result.rows);
                            manifests += 1;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    assert!(sets >= 3 && manifests >= 1);
}
