//! Bytes on disk for a byte of an encoded event, with frames of 1, 16 and 1,000 events: what hashes, headers and sled
//! add. Without snapshots and objects. Each event is a changed source, and each frame has its own barrier.

use std::path::Path;

use lastword::core::State;
use lastword::core::vocabulary::{Command, Declaration, Kind, Name, Seq, Source, Timestamp};
use lastword::log::{Durability, IfAbsent, Log, SledLog};
use lastword::reducer::Reducer;

use super::scale::grouped;
use crate::args::Suite;
use crate::bench::Bench;
use crate::failure::Result;
use crate::load::as_f64;
use crate::place::bytes_on_disk;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::workload::{self, Changes};

const COLLECTIONS: u64 = 1_000;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let sizes = [(1, bench.size(2_000, 100_000)), (16, bench.size(1_000, 20_000)), (1_000, bench.size(200, 3_000))];
    for (events, frames) in sizes {
        let path = bench.place.path(&format!("disk-{events}"));
        let cost = cost(&path, events, frames)?;
        let case = format!("frames of {} events", grouped(events));
        let measure = Measure { suite: Suite::Disk, case: &case, unit: "B", better: Better::Less };
        let target = Target { ratio: 1.0 / 2.0, text: "<= 2.0" };
        let one = Series::once("a byte of events", 1.0);
        bench.report.row(measure, &Series::once("lastword", cost), &one, (events == 1_000).then_some(target));
    }
    Ok(())
}

/// Bytes on disk per byte of an event, for so many frames of so many events.
fn cost(path: &Path, events: u64, frames: u64) -> Result<f64> {
    let log = SledLog::open(path, IfAbsent::Create, Durability::Power)?;
    let reader = log.reader();
    let at = Timestamp(1_795_428_000_000_000);
    let mut reducer = Reducer::open(Box::new(log), State::new(), "bench", at, at)?;
    // Nobody looks at them, so a changed source is one event: there is no task yet that it could abort.
    let kind = Kind::new("unseen")?;
    for key in 0..COLLECTIONS {
        let declaration = declaration(&workload::name(key), &workload::source(key, 0))?.kind(kind.clone());
        reducer.command(&Command::Declare(Box::new(declaration)))??;
    }
    reducer.commit(at)?;
    let (before, last) = (bytes_on_disk(&path.join("sled"))?, reducer.durable());
    let changes = Changes::over(COLLECTIONS);
    for _ in 0..frames {
        reducer.begin(at);
        for _ in 0..events {
            let change = changes.next();
            reducer.command(&Command::Declare(Box::new(declaration(&change.name, &change.source)?)))??;
        }
        let committed = reducer.commit(at)?;
        if committed.events.len() as u64 != events {
            return Err(format!("a frame has {} events instead of {events}", committed.events.len()).into());
        }
    }
    let written = bytes_on_disk(&path.join("sled"))? - before;
    let payload = payload(&*reader, last.next())?;
    drop(reader);
    reducer.close()?;
    Ok(as_f64(written) / as_f64(payload))
}

/// The bytes of all events from `from` on, without what frames add.
fn payload(reader: &dyn lastword::log::LogReader, from: Seq) -> Result<u64> {
    let mut bytes = 0;
    for frame in reader.frames(from) {
        let frame = frame?;
        bytes += frame.as_frame().records().map(|record| record.payload.len() as u64).sum::<u64>();
    }
    Ok(bytes)
}

fn declaration(name: &str, source: &str) -> Result<Declaration> {
    Ok(Declaration::new(Name::new(name)?).source(Source::new(source)?))
}
