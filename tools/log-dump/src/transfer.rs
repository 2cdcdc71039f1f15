//! `export` and `import`: the portable stream.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lastword::describe::counted;
use lastword::evlog::{self, Totals};
use serde::Serialize;

use crate::args::LogArgs;
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::Output;

#[derive(Serialize)]
struct TransferLine {
    kind: &'static str,
    frames: u64,
    events: u64,
    objects: u64,
    object_bytes: u64,
    frame_bytes: u64,
}

pub(crate) fn export(log: &LogArgs, file: &Path) -> Result<(), Failure> {
    let input = Input::open(&log.state)?;
    let Some(objects) = input.objects()? else {
        return Err(Failure::new(Exit::CANNOT_OPEN, "this is an exported stream already"));
    };
    if file == Path::new("-") {
        let mut out = BufWriter::new(io::stdout().lock());
        evlog::write(input.reader(), objects.as_ref(), &mut out)?;
        return out.flush().map_err(|error| Failure::output(&error));
    }
    // What a source holds may be private, and so may this.
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(file);
    let target = created.map_err(|error| Failure::io("creating", file, &error))?;
    let written = write_to(&input, objects.as_ref(), &target, file);
    if written.is_err() {
        // Half a stream is of no use, and its reader would refuse it.
        let _ = fs::remove_file(file);
    }
    report("export", &written?, log.json)
}

fn write_to(
    input: &Input,
    objects: &dyn lastword::objects::Objects,
    target: &File,
    path: &Path,
) -> Result<Totals, Failure> {
    let mut out = BufWriter::new(target);
    let totals = evlog::write(input.reader(), objects, &mut out).map_err(|error| match error {
        evlog::EvlogError::Output(error) => Failure::io("writing", path, &error),
        error => error.into(),
    })?;
    let flushed = out.flush().and_then(|()| target.sync_all());
    flushed.map_err(|error| Failure::io("writing", path, &error))?;
    Ok(totals)
}

pub(crate) fn import(state: &Path, file: &Path, json: bool) -> Result<(), Failure> {
    let totals = if file == Path::new("-") {
        evlog::import(&mut io::stdin().lock(), state)?
    } else {
        let source = File::open(file).map_err(|error| Failure::io("opening", file, &error))?;
        evlog::import(&mut BufReader::new(source), state)?
    };
    report("import", &totals, json)
}

fn report(kind: &'static str, totals: &Totals, json: bool) -> Result<(), Failure> {
    let mut output = Output::new();
    let Totals { frames, objects, frame_bytes, object_bytes, start, end, .. } = *totals;
    let events = totals.events();
    if json {
        output.object(&TransferLine { kind, frames, events, objects, object_bytes, frame_bytes })?;
        output.summary(events, start.first(), end.seq.next(), end.hash)?;
    } else {
        let counts = [(frames, "frame"), (events, "event"), (objects, "object")];
        let counts = counts.map(|(count, noun)| counted(count, noun)).join(", ");
        output.line(&format!("{kind}: {counts}, head {}", end.hash))?;
    }
    output.finish()
}
