//! What a log has recorded, read where it lies as the commands read their copies of it, by the same code. It must not know how a
//! request has travelled.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use lastword::ErrorKind;
use lastword::Handle;
use log_dump::{About, Asked, Failure, Live};

use super::limits::MOST_LOOKED;
use super::refusal::Refusal;
use crate::fail::{CANNOT_OPEN, Fail};

/// Answers what is asked of the log at `state`, which this process writes, and of which media type that is, or says why not with the exit code of the
/// command.
pub(super) fn look(asked: &Asked, handle: &Handle, state: &Path) -> Result<(&'static str, String), Refusal> {
    let text = match read(asked, handle, state) {
        // What it was to read may have been forgotten meanwhile: what is as it was is wrong.
        Err(refusal) if refusal.kind != NOT_FOUND && refusal.kind != TOO_LARGE => read(asked, handle, state)?,
        answered => answered?,
    };
    let media = match (&asked.about, asked.json) {
        (_, false) => "text/plain; charset=utf-8",
        (About::Manifest(_), true) => "application/json",
        (About::State | About::Why { .. }, true) => "application/x-ndjson",
    };
    Ok((media, text))
}

/// What was asked for is not in the log: an answer as good as any.
pub(crate) const NOT_FOUND: &str = "not_found";
const TOO_LARGE: &str = "too_large";

fn read(asked: &Asked, handle: &Handle, state: &Path) -> Result<String, Refusal> {
    let kept = Kept::default();
    let durable = handle.stats().map_err(Fail::from)?.durable;
    let closed = || Refusal::new("closed", CANNOT_OPEN, "the run is ending, and its log is closed");
    let reader = handle.reader().ok_or_else(closed)?;
    let answered = Live::up_to(durable, reader, state).and_then(|live| asked.answer_of(live, kept.clone()));
    let Kept(taken) = kept;
    let taken = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
    if taken.is_too_much {
        let problem =
            format!("the answer has more than {MOST_LOOKED} bytes; lastword and log-dump read it from the log");
        return Err(Refusal::new(TOO_LARGE, CANNOT_OPEN, problem));
    }
    answered.map_err(refused)?;
    String::from_utf8(taken.bytes).map_err(|_| Refusal::new("bug", crate::fail::DEFECT, "the answer is no text"))
}

fn refused(failure: Failure) -> Refusal {
    let (code, problem) = failure.told();
    let is_of = |kind: &&ErrorKind| kind.exit_code() == code;
    let kind = match code {
        crate::fail::USAGE => NOT_FOUND,
        CANNOT_OPEN => "io",
        crate::fail::DEFECT => "damaged",
        _ => ErrorKind::ALL.iter().find(is_of).map_or("unknown", |kind| kind.as_str()),
    };
    Refusal::new(kind, code, problem)
}

/// An answer as far as it was written, and no more than may be sent.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    is_too_much: bool,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.is_too_much |= taken.bytes.len() + bytes.len() > MOST_LOOKED;
        if taken.is_too_much {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        taken.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_whole_or_not_at_all() {
        let mut kept = Kept::default();
        kept.write_all(&vec![b'a'; MOST_LOOKED]).unwrap();
        assert!(!kept.0.lock().unwrap().is_too_much);
        assert!(kept.write_all(b"b").is_err() && kept.write(b"").is_err());
        assert!(kept.0.lock().unwrap().is_too_much);
    }
}
