//! `export` and `import`: the portable stream.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use lastword::describe::{advised, counted};
use lastword::evlog::{self, Totals};
use lastword::objects::Objects;
use serde::Serialize;

use crate::args::{DamageArgs, LogArgs};
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::Output;
use crate::whole::Unfinished;

#[derive(Serialize)]
struct TransferLine {
    kind: &'static str,
    frames: u64,
    events: u64,
    objects: u64,
    object_bytes: u64,
    frame_bytes: u64,
}

pub(crate) fn export(log: &LogArgs, damage: DamageArgs, file: &Path) -> Result<(), Failure> {
    if file == Path::new("-") && leads_nowhere(io::stdout()) {
        let problem = "standard output is closed, so there is nowhere to write the stream to";
        return Err(Failure::new(Exit::CANNOT_OPEN, problem));
    }
    let (input, end) = Input::open_up_to_damage(&log.state, damage)?;
    let Some(objects) = input.objects()? else {
        return Err(Failure::new(Exit::CANNOT_OPEN, "this is an exported stream already"));
    };
    if file == Path::new("-") {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = write(&input, objects.as_ref(), damage, &mut out);
        let written = written.and_then(|(_, cut)| out.flush().map(|()| cut).map_err(evlog::EvlogError::Output));
        return match written {
            // Half a stream is of no use: whoever reads it has to hear so from both sides.
            Err(evlog::EvlogError::Output(error)) => {
                let problem = format_args!("writing the output: {error}; the stream is not whole");
                Err(Failure::new(Exit::CANNOT_OPEN, problem))
            }
            written => written?.and(end),
        };
    }
    let failed = |error: &io::Error| Failure::io("creating", file, error);
    if file.symlink_metadata().is_ok() {
        return Err(failed(&io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    // What a source holds may be private, and so may this. Half a stream is of no use, and its reader would refuse it.
    let target = Unfinished::beside(file, 0o600).map_err(|error| failed(&error))?;
    let (totals, cut) = write_to(&input, objects.as_ref(), damage, (&target.file, file))?;
    target.put_new().map_err(|error| failed(&error))?;
    report("export", &totals, log.json)?;
    cut.and(end)
}

/// Whether an output is what the standard library puts in the place of one that is closed: the null device, for reading as
/// well. No redirection of a shell opens it so; a parent that does has no use for a stream either.
fn leads_nowhere(output: impl AsFd) -> bool {
    let Ok(mut output) = output.as_fd().try_clone_to_owned().map(File::from) else { return true };
    let (Ok(found), Ok(null)) = (output.metadata(), fs::metadata("/dev/null")) else { return false };
    let is_null = found.file_type().is_char_device() && found.rdev() == null.rdev();
    is_null && output.read(&mut [0]).is_ok()
}

/// How a stream was written: up to the end of the log, or up to what is damaged or missing, which is then the failure.
type Written = (Totals, Result<(), Failure>);

fn write(
    input: &Input,
    objects: &dyn Objects,
    damage: DamageArgs,
    out: &mut dyn Write,
) -> Result<Written, evlog::EvlogError> {
    if !damage.up_to_damage {
        return Ok((evlog::write(input.reader(), objects, out)?, Ok(())));
    }
    let (totals, cut) = evlog::write_up_to_damage(input.reader(), objects, out)?;
    let cut = cut.map_or(Ok(()), |error| {
        let exit = Exit::of(error.kind());
        Err(Failure::new(exit, format_args!("{error}; the stream ends before that, at event {}", totals.end.seq)))
    });
    Ok((totals, cut))
}

fn write_to(
    input: &Input,
    objects: &dyn Objects,
    damage: DamageArgs,
    (target, path): (&File, &Path),
) -> Result<Written, Failure> {
    let mut out = BufWriter::new(target);
    let written = write(input, objects, damage, &mut out).map_err(|error| match error {
        evlog::EvlogError::Output(error) => Failure::io("writing", path, &error),
        error @ evlog::EvlogError::Object { .. } => Failure::new(
            Exit::of(error.kind()),
            format_args!(
                "{}; `export --up-to-damage` writes what comes before that event, and nothing behind it; if all else is \
                 well, keep a copy of the directory, made while no run has it open, until that object is restored or the \
                 log was shortened behind that event (`retain`)",
                advised(&error)
            ),
        ),
        error => error.into(),
    })?;
    out.flush().map_err(|error| Failure::io("writing", path, &error))?;
    Ok(written)
}

pub(crate) fn import(state: &Path, file: &Path, damage: DamageArgs, json: bool) -> Result<(), Failure> {
    let mut source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let source = File::open(file).map_err(|error| Failure::io("opening", file, &error))?;
        Box::new(BufReader::new(source))
    };
    if damage.up_to_damage {
        let (totals, cut) = evlog::import_up_to_damage(&mut source, state)?;
        report("import", &totals, json)?;
        return cut.map_or(Ok(()), |error| {
            let exit = Exit::of(error.kind());
            Err(Failure::new(exit, format_args!("{error}; the log ends before that, at event {}", totals.end.seq)))
        });
    }
    let totals = evlog::import(&mut source, state)?;
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
