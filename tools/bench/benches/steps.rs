//! The steps behind the suites, one by one: `cargo bench -p bench`.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use lastword::codec;
use lastword::core::vocabulary::{
    Command, Declaration, EngineCommand, Epoch, Event, Input, Kind, Name, Recorded, Source, Timestamp,
};
use lastword::core::{Events, State, decide};
use lastword::external::{FileVersion, Fragment, SourcePath, balance};

/// Collections of the story, each declared twice.
const COLLECTIONS: u64 = 10_000;

fn main() {
    divan::main();
}

/// What a command leads to in `state`.
fn events_of<'a>(state: &mut State, events: &mut Events, story: &mut Vec<Recorded>, command: impl Into<Input<'a>>) {
    decide(state, command, Timestamp(1), events).unwrap();
    for (seq, event) in events.drain() {
        let recorded = Recorded { seq, at: Timestamp(1), epoch: Epoch(1), by: None, event };
        state.fold(&recorded).unwrap();
        story.push(recorded);
    }
}

fn declare(key: u64, change: u64) -> Command {
    let name = Name::new(&format!("warehouse.orders.collection.{key:012}")).unwrap();
    let source = format!("s3://lake/warehouse/orders/{key:08}/snapshots/{change:014}");
    let declaration = Declaration::new(name).source(Source::new(&source).unwrap());
    Command::Declare(Box::new(declaration.kind(Kind::new("waiting").unwrap()).unversioned()))
}

/// Every collection declared, then changed: its task is aborted and another one created.
fn story() -> Vec<Recorded> {
    let (mut state, mut events, mut story) = (State::new(), Events::new(), Vec::new());
    events_of(&mut state, &mut events, &mut story, &EngineCommand::Open { software: "bench".into() });
    for change in 0..2 {
        for key in 0..COLLECTIONS {
            events_of(&mut state, &mut events, &mut story, &declare(key, change));
        }
    }
    story
}

#[divan::bench]
fn decide_and_fold(bencher: Bencher<'_, '_>) {
    let commands: Vec<Command> = (0..COLLECTIONS).map(|key| declare(key, 0)).collect();
    bencher.counter(ItemsCount::new(commands.len())).bench_local(|| {
        let (mut state, mut events, mut story) = (State::new(), Events::new(), Vec::new());
        events_of(&mut state, &mut events, &mut story, &EngineCommand::Open { software: "bench".into() });
        commands.iter().for_each(|command| events_of(&mut state, &mut events, &mut story, command));
        (state, story)
    });
}

#[divan::bench]
fn fold(bencher: Bencher<'_, '_>) {
    let story = story();
    bencher.counter(ItemsCount::new(story.len())).bench_local(|| {
        let mut state = State::new();
        story.iter().for_each(|recorded| state.fold(black_box(recorded)).unwrap());
        state
    });
}

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let story = story();
    let mut payload = Vec::new();
    bencher.counter(ItemsCount::new(story.len())).bench_local(|| {
        for recorded in &story {
            payload.clear();
            black_box(codec::encode(black_box(&recorded.event), None, &mut payload).unwrap());
        }
    });
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let encoded: Vec<_> = story().iter().map(|recorded| encoded(&recorded.event)).collect();
    bencher.counter(ItemsCount::new(encoded.len())).bench_local(|| {
        for (tag, payload) in &encoded {
            black_box(codec::decode(*tag, black_box(payload)).unwrap());
        }
    });
}

fn encoded(event: &Event) -> (codec::Tag, Vec<u8>) {
    let mut payload = Vec::new();
    let tag = codec::encode(event, None, &mut payload).unwrap();
    (tag, payload)
}

#[divan::bench(args = [1_000, 100_000])]
fn balance_fragments(bencher: Bencher<'_, '_>, count: u64) {
    let fragment = |n: u64| {
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let path = SourcePath(format!("part-{mixed:016x}.parquet").into_bytes());
        Fragment { path, start: 0, end: (mixed >> 47) + 1, version: FileVersion::default() }
    };
    let fragments: Vec<Fragment> = (0..count).map(fragment).collect();
    bencher
        .counter(ItemsCount::new(fragments.len()))
        .with_inputs(|| fragments.clone())
        .bench_local_values(|fragments| balance(fragments, 1_000_000));
}
