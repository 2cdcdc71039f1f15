//! What a parser allocates, held against the length of its input, for every parser there is: inputs that are made to
//! grow. Each seed of the corpus is blown up in many ways, and for each text format there are names in names.
//!
//! The bodies of the targets hold the bounds. What a fuzzer would have to find by luck is here by construction: an
//! input of which a small part is copied for every other part of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests report like tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use test_support::strange_files;

/// One test at a time, with all that it makes: targets count what the process allocates.
static ONE: Mutex<()> = Mutex::new(());

fn run(target: &str, what: &str, input: &[u8]) {
    let ended = std::panic::catch_unwind(|| test_parsers::run(target, input));
    assert!(ended.is_ok(), "{target}: {what}, {} bytes", input.len());
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ z >> 31) % end.max(1) as u64).unwrap()
    }
}

/// A part of the input, many times over, in its own place; and sometimes a byte in front of it that may be its length
/// or its count.
fn blown_up(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let from = numbers.below(seed.len());
    let length = 1 + numbers.below((seed.len() - from).min(64));
    let to = (from + length).min(seed.len());
    let times = 1 << numbers.below(13);
    let mut bytes = seed[..from].to_vec();
    if numbers.below(2) == 0 {
        let at = bytes.len().saturating_sub(1 + numbers.below(4));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = [0x7f, 0xff, 0xfb, 0xfc, 0xfd][numbers.below(5)];
        }
    }
    for _ in 0..times {
        bytes.extend_from_slice(&seed[from..to]);
        if bytes.len() > 256 << 10 {
            break;
        }
    }
    bytes.extend_from_slice(&seed[to..]);
    bytes
}

#[test]
fn defect_13_every_seed_blown_up_takes_memory_by_its_length() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (target, _) in test_parsers::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut seeds: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        seeds.sort();
        let mut numbers = Numbers(13);
        for round in 0..300 {
            let seed = &seeds[numbers.below(seeds.len())];
            run(target, &format!("round {round}"), &blown_up(seed, &mut numbers));
        }
    }
}

/// Names in names: so deep, each of so many bytes, and so many of them in the last.
const SHAPES: [(usize, usize, usize); 6] =
    [(1, 30_000, 3_000), (10, 3_000, 3_000), (60, 500, 3_000), (120, 100, 5_000), (1, 1, 10_000), (3_000, 1, 1)];

/// What a text format makes of such a shape: what opens a name, what stands for each of the innermost, what closes it.
fn nested(
    begin: &str,
    open: &dyn Fn(&str) -> String,
    each: &dyn Fn(usize) -> String,
    close: &str,
    end: &str,
) -> Vec<Vec<u8>> {
    let shape = |(depth, length, leaves): (usize, usize, usize)| {
        let opened: String = (0..depth).map(|_| open(&"n".repeat(length))).collect();
        let inner: Vec<String> = (0..leaves).map(each).collect();
        format!("{begin}{opened}{}{}{end}", inner.join(","), close.repeat(depth)).into_bytes()
    };
    SHAPES.into_iter().map(shape).collect()
}

#[test]
fn defect_13_names_in_names_take_memory_by_their_length() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let open = |name: &str| format!("{{\"{name}\":");
    let member = |n: usize| if n == 0 { "{\"k0\":0".to_owned() } else { format!("\"k{n}\":{n}") };
    for input in nested("{\"format\":\"parquet\",\"params\":", &open, &member, "}", "}}") {
        run("spec", "names in names", &input);
    }
    for input in nested("POST /v1/collections/a/pause\n{\"cause\":", &open, &member, "}", "}}") {
        run("control", "names in names", &input);
    }
    let open = |name: &str| format!("{{ {name} = ");
    let member = |n: usize| if n == 0 { "{ k0 = 0".to_owned() } else { format!("k{n} = {n}") };
    let begin = "state = \"s\"\n[collections.a]\nsource = \"/lake/a\"\nspec = { format = \"parquet\", params = ";
    for input in nested(begin, &open, &member, "}", "} }\n") {
        run("configuration", "names in names", &input);
    }
    // A dotted key for each member, and a section for each collection, all with one long name.
    for (length, count) in [(30_000, 100), (3_000, 1_000), (100, 10_000)] {
        let name = "n".repeat(length);
        let dotted: String = (0..count).map(|n| format!("a.{name}.k{n} = 1\n")).collect();
        run("configuration", "dotted names", format!("[collections.x]\n{dotted}").as_bytes());
        let sections: String = (0..count).map(|n| format!("[collections.\"{name}{n}\"]\nsource = \"x\"\n")).collect();
        run("configuration", "long names of collections", sections.as_bytes());
        let lines: String = (0..count).map(|n| format!("--collection\n{name}{n}\n")).collect();
        run("selection", "many names", lines.as_bytes());
        run("selection", "one name", format!("--collection\n{}", "*a".repeat(length)).as_bytes());
        run("source", "a long path", format!("file:///{}", format!("{name}/").repeat(count.min(100))).as_bytes());
        let columns: Vec<String> = (0..count).map(|n| format!("\"{name}.c{n}\"")).collect();
        run("spec", "columns", format!("{{\"format\":\"parquet\",\"columns\":[{}]}}", columns.join(",")).as_bytes());
    }
    // The target makes a file of its input by itself as well; these are files.
    for (name, columns) in [(30_000, 3_000), (3_000, 3_000), (100, 10_000), (1, 30_000)] {
        run("parquet", "names of groups", &strange_files::named(name, columns).file());
    }
}

#[test]
fn every_target_that_reads_text_has_names_in_names() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = BTreeSet::from(["configuration", "control", "selection", "source", "spec"]);
    let binary =
        BTreeSet::from(["anchor", "evlog", "frame", "manifest", "parquet", "path_set", "payload", "snapshot", "state"]);
    let all: BTreeSet<_> = test_parsers::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(&text | &binary, all, "a new target belongs to one of them");
    let this = include_str!("allocation.rs");
    for target in text {
        assert!(this.contains(&format!("run(\"{target}\", ")), "{target}");
    }
}
