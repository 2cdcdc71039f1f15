//! A panic inside the program: the storage engine panics on some kinds of damage. What is said of it is one line.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::time::Duration;

use lastword::codec;
use lastword::core::vocabulary::{Event, Seq, Timestamp};
use lastword::log::{Durability, FrameBuilder, IfAbsent, Log, SledLog};
use support::{Place, program, text, wait};

/// Makes the log larger than one segment of the storage engine, so that there is something behind the damage.
fn make_large(place: &Place) {
    let mut log = SledLog::open(place.state(), IfAbsent::Create, Durability::Power).unwrap();
    for n in 0..200_u64 {
        let found: String = noise(n).take(350).map(|number| format!("{number:016x}")).collect();
        let mut payload = Vec::new();
        let lost = Event::DataLossAccepted { last: Seq(n), found: found.into() };
        let tag = codec::encode(&lost, None, &mut payload).unwrap();
        let mut builder = FrameBuilder::new();
        builder.push(tag.event_type, tag.version, &payload).unwrap();
        let (last, time) = (log.appended(), Timestamp(log.time().0 + 1_000));
        let frame = builder.seal(last.seq.next(), last.epoch, time, time, last.hash).unwrap();
        log.append(&frame).unwrap();
        log.barrier().unwrap();
    }
    Box::new(log).close().unwrap();
}

/// Numbers that no compression makes small.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed + 1), |last| Some(last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)))
}

#[test]
fn a_panic_of_the_storage_engine_is_one_line_and_no_backtrace() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    make_large(&place);
    let db = place.state().join("sled/db");
    let whole = fs::read(&db).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut panics = 0;
    for at in (0..used).step_by(used / 24) {
        let mut damaged = whole.clone();
        damaged[at..(at + 8).min(used)].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&db, &damaged).unwrap();
        let state = place.state();
        let child = program().args(["status", text(&state)]).env("RUST_BACKTRACE", "1").spawn().unwrap();
        let ended = wait(child, Duration::from_secs(120));
        let said = &ended.stderr;
        // An error like any other by the time that it is reported.
        assert!(matches!(ended.code, Some(0 | 1 | 5)), "{:?} at {at}: {said}", ended.code);
        panics += usize::from(said.lines().any(|line| line.starts_with("lastword: panicked at ")));
        assert!(!said.contains("stack backtrace") && !said.contains("thread '"), "at {at}: {said}");
    }
    assert!(panics > 0, "no place was found at which the storage engine panics");
}
