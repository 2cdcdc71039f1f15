//! What fuzzing begins with: everything that the program writes, and what people write for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lastword::codec::{self, Tag};
use lastword::core::State;
use lastword::core::vocabulary::*;
use lastword::evlog::EvlogFile;
use lastword::external::{
    FileVersion, Fragment, Layout, Manifest, ObservedFile, PathSet, Segment, SegmentId, SegmentKey, SourcePath, Stat,
    store_set,
};
use lastword::log::{LogReader, Position};
use lastword::objects::tree::{self, TreeError};
use lastword::objects::{MemoryObjects, Objects};
use lastword::replay;
use lastword::snapshot::SnapshotHeader;
use test_support::{parquet_files, samples, strange_files};

/// Target, name of the seed, bytes.
type Seed = (&'static str, String, Vec<u8>);

pub fn all() -> Vec<Seed> {
    let written = [payloads(), log(), trees(), footers()];
    let typed = [configurations(), selections(), requests(), specs(), sources()];
    written.into_iter().chain(typed).flatten().collect()
}

fn numbered<B: Into<Vec<u8>>>(target: &'static str, inputs: impl IntoIterator<Item = B>) -> Vec<Seed> {
    inputs.into_iter().enumerate().map(|(n, bytes)| (target, format!("seed-{n:02}"), bytes.into())).collect()
}

fn payloads() -> Vec<Seed> {
    let asker = samples::askers().into_iter().next();
    // Of each type the first sample is enough; a fuzzer finds the rest.
    let mut by_type = BTreeMap::new();
    for event in samples::samples() {
        by_type.entry(payload(&event, None).0.event_type).or_insert(event);
    }
    let hostile = Event::WriterOpened { software: "x\u{1b}[2J\n\u{9b}31m".into() };
    let plain = by_type.values().chain([&hostile]).map(|event| payload(event, None));
    let attributed = by_type.values().take(3).map(|event| payload(event, asker.as_ref()));
    let inputs = plain
        .chain(attributed)
        .map(|(tag, payload)| [&tag.event_type.to_le_bytes(), &tag.version.to_le_bytes(), payload.as_slice()].concat());
    numbered("payload", inputs)
}

fn payload(event: &Event, by: Option<&By>) -> (Tag, Vec<u8>) {
    let mut payload = Vec::new();
    let tag = codec::encode(event, by, &mut payload).unwrap();
    (tag, payload)
}

/// The story of all events: as a stream, frame by frame, and as states.
fn log() -> Vec<Seed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/v2.evlog");
    let story = EvlogFile::open(&path).unwrap();
    let (mut state, mut frames, mut states, mut headers) = (State::new(), Vec::new(), Vec::new(), Vec::new());
    for (n, read) in story.frames(Seq::ZERO).enumerate() {
        let read = read.unwrap();
        let frame = read.as_frame();
        replay::decode(&frame).unwrap().iter().for_each(|event| state.fold(event).unwrap());
        if n % 16 == 1 {
            let mut encoded = Vec::new();
            codec::state::encode_state(&state, &mut encoded).unwrap();
            headers.push(SnapshotHeader::of(&state, &encoded, Position::of(&frame)).encode());
            states.push(encoded);
            frames.push(read.into_bytes());
        }
    }
    let anchors: Vec<_> = headers.iter().map(|header| [&b"LWHD\x01\0\x03\0"[..], &header[16..]].concat()).collect();
    let seeds = [
        numbered("frame", frames),
        numbered("state", states),
        numbered("snapshot", headers),
        numbered("anchor", anchors),
        vec![("evlog", "seed-story".to_owned(), fs::read(&path).unwrap())],
        numbered("evlog", [&b"LWEV\x01\0\0\0\0\0\0\0\0\0\0\0END \x38\0\0\0"[..]]),
    ];
    seeds.into_iter().flatten().collect()
}

fn trees() -> Vec<Seed> {
    let seen = |n: u64| ObservedFile::of(version(n));
    let set = |count| PathSet::new((0..count).map(|n| (SourcePath(format!("{n:03}").into_bytes()), seen(n))));
    let fragment =
        |n: u64| Fragment { path: SourcePath(vec![b'a']), version: version(1), start: n * 10, end: n * 10 + 10 };
    let segment = |n: u32| Segment {
        id: SegmentId { token: Token { epoch: Epoch(1), seq: Seq(2) }, n },
        key: SegmentKey([3; 32]),
        rows: 10,
        output: n.is_multiple_of(2).then(|| b"out".to_vec()),
        fragments: vec![fragment(u64::from(n))],
    };
    let manifest =
        |count| Manifest { layout: Layout { target_rows: 1000 }, segments: (0..count).map(segment).collect() };
    let sets = [0, 2, 200].map(|count| listed(|objects| store_set(objects, &set(count), None).unwrap().root));
    let manifests = [0, 3, 150].map(|count| listed(|objects| manifest(count).write(objects).unwrap().hash));
    // A segment that claims 200,000 fragments and has one.
    let mut claiming = manifests[1].clone();
    let at = claiming.windows(9).position(|window| window == b"\x01\0\0\0\x01\0\0\0a").unwrap();
    claiming[at..at + 4].copy_from_slice(&200_000_u32.to_le_bytes());
    let manifests = manifests.into_iter().chain([claiming]);
    [numbered("path_set", sets), numbered("manifest", manifests)].concat()
}

fn version(n: u64) -> FileVersion {
    FileVersion::of(Stat { size: n, inode: n, ..Stat::default() })
}

/// The objects of a tree as the targets read them: behind their lengths, children first, named by their places.
fn listed(build: impl Fn(&MemoryObjects) -> ObjectHash) -> Vec<u8> {
    let objects = MemoryObjects::new();
    let root = build(&objects);
    let (mut list, mut names) = (Vec::new(), Vec::new());
    let mut take = |hash: ObjectHash, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for (place, name) in names.iter().enumerate() {
            let ObjectHash(name) = name;
            if let Some(at) = bytes.windows(32).position(|window| window == name) {
                bytes[at..at + 31].fill(b'@');
                bytes[at + 31] = u8::try_from(place).unwrap();
            }
        }
        list.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_le_bytes());
        list.extend_from_slice(&bytes);
        names.push(hash);
        Ok::<_, TreeError>(())
    };
    tree::walk(&objects as &dyn Objects, root, &mut |_| true, &mut take).unwrap();
    list
}

fn footers() -> Vec<Seed> {
    let files = [&[][..], &[3], &[1; 20]].map(|groups| parquet_files::bytes_of(groups, 0));
    let footer = |file: &[u8]| {
        let (rest, trailer) = file.split_at(file.len() - 8);
        let length = u32::from_le_bytes(*trailer.first_chunk().unwrap());
        rest[rest.len() - usize::try_from(length).unwrap()..].to_vec()
    };
    let footers = files.iter().map(|file| footer(file)).chain([footer(&parquet_files::without_columns())]);
    // From the fuzzing of arrow-rs: 42 bytes that declare billions of elements (#9868), and ten that do (#9874).
    let hostile = [
        [&b"\x15\x20\x19\xf3\xff\xff\xff\x20"[..], &[0x20; 34]].concat(),
        b"\x15\x02\x19\xfc\xff\xff\xff\xff\x07\0".to_vec(),
    ];
    let named = strange_files::named(300, 20).file();
    let mut seeds =
        numbered("parquet", footers.chain(hostile).chain(files.iter().take(1).cloned()).collect::<Vec<_>>());
    seeds.push(("parquet", "seed-names".to_owned(), named));
    seeds
}

fn configurations() -> Vec<Seed> {
    let init = include_str!("../../../../tools/lastword/src/init.toml").to_owned();
    let all: String = init.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    let nested = format!(
        "state = \"s\"\n[collections.a]\nsource = \"x\"\nspec = {{ format = \"parquet\", params = {{ a = [{{ b = 1 }}, -0x7f, 1e3, true] }} }}\n{}",
        "quiet = \"5ms\"\npriority = -3\n"
    );
    let limits = "state = \"s\"\nretain = { events = 7, age = \"90d\" }\n[limits]\ntotal = \"none\"\nkinds.external = 3\nprefixes = { \"tmp-\" = 1 }\n".to_owned();
    numbered("configuration", [init, all, nested, limits])
}

fn selections() -> Vec<Seed> {
    let lines = [
        "dump\nS\n--json\n--from\n1\n--to\n9\n--type\ntask_created,task_started\n--collection\nline*",
        "dump\nS\n--since\n2026-11-23T10:00:00Z\n--until\n1700000000.25\n--last\n3",
        "stat\nS\n--since\n2023-11-14T23:43:20.25+01:30\n--collection=[a-z]?[!b]",
        "state\nS\n--at\n2023-11-14T17:13:20.25-05:00",
        "diff\nS\n--from\n7\n--to\n1970-01-01T00:00:00Z",
        "why\nS\nlineitem\n--task\n7",
    ];
    numbered("selection", lines)
}

fn requests() -> Vec<Seed> {
    let lines = [
        "POST /v1/collections/lineitem/pause\n{\"actor\":\"cli:ann\",\"cause\":\"disk is being replaced\"}",
        "POST /v1/collections/a%2Fb%20%22/refresh\n{\"force\":true,\"seen\":7}",
        "POST /v1/collections/a/cancel\n{\"task\":7}",
        "POST /v1/collections/a/confirm\n{\"fingerprint\":\"abababababababababababababababababababababababababababababababab\"}",
        "GET /v1/collections/a/wait?generation=3&since=9&timeout=1m%2030s",
        "POST /v1/reload\n",
        "GET /v1/collections?match=a*,b&match=%5Ba-z%5D&condition=parked,held&unhealthy=true&cursor=7&limit=20",
        "GET /v1/events?from=7&collection=a&follow=true",
        r#"{"v":1,"error":{"kind":"not_found","field":null,"message":"there is no collection \"nation\"","code":2}}"#,
        r#"{"v":1,"seq":17,"collection":3,"generation":2}"#,
    ];
    numbered("control", lines)
}

fn specs() -> Vec<Seed> {
    let texts = [
        r#"{"format":"parquet","target_rows":9007199254740991,"columns":["b","a"],"params":{"z":1.0,"a":[]},"recipe":"v2","follow_symlinks":true}"#,
        r#"{"b": 1e-7, "a": [ "x", null, false, -0.0, 5e-324 ], "\u00e9\ud83d\ude00": {"password":"env:DB"}}"#,
        r#"{"url":"https://user:hunter2@host/x?X-Amz-Signature=abc","a":1,"a":2}"#,
        r#"{"n":9007199254740993}"#,
    ];
    numbered("spec", texts)
}

fn sources() -> Vec<Seed> {
    let texts = [
        "lake/lineitem/",
        "file:///lake/a%20b",
        "FILE://localhost/lake/%2e%2E/etc",
        "file://me:hunter2@localhost/x?y#z",
        "s3://bucket/lake",
        "/proc/self/../x",
        "100%",
        "https://u:hun/ter2@h/x;https://[::1]:80/x@y",
    ];
    numbered("source", texts)
}
