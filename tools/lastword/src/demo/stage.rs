//! Where the demo is played: the lake, the log, and the lines that are told.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Event, Name, Recorded, Seq};

use super::lake::Lake;
use super::worker::{Gate, SlowWorker};
use crate::config::Config;
use crate::console::{bold, line};
use crate::control::Unmanaged;
use crate::fail::{CANNOT_OPEN, DEFECT, Fail};
use crate::run::{Format, Next, Session};

/// How long anything that is told may take: much longer than it does, on a machine that has other things to do.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What the process that is to be killed says once its attempt is under way.
pub(super) const UNDER_WAY: &str = "-- its attempt is under way --";

pub(crate) struct Stage {
    directory: PathBuf,
    config: Config,
    pub(crate) lake: Lake,
    pub(crate) gate: Gate,
    session: Option<Session>,
    /// The last event that was shown.
    pub(crate) last: Seq,
}

impl Stage {
    pub(crate) fn new(directory: &Path) -> Result<Stage, Fail> {
        Ok(Stage {
            directory: directory.to_owned(),
            config: Config::read(&directory.join("lake.toml"))?,
            lake: Lake::new(directory.join("lake")),
            gate: Gate::new(),
            session: None,
            last: Seq::ZERO,
        })
    }

    /// Opens the log and declares the collection.
    pub(crate) fn open(&mut self) -> Result<(), Fail> {
        let worker = SlowWorker::new(self.gate.clone());
        let session =
            Session::start(&self.config, worker, (self.config.settings.observe_interval, None), Format::Text)?;
        session.adopt(&self.config, &mut Unmanaged::read(&self.config.state))?;
        self.session = Some(session);
        Ok(())
    }

    /// Closes the log in order.
    pub(crate) fn close(&mut self) -> Result<(), Fail> {
        let Some(session) = self.session.take() else { return Ok(()) };
        session.close(TIMEOUT, |text| {
            let _ = show(text);
        })
    }

    pub(crate) fn chapter(&self, title: &str) -> Result<(), Fail> {
        printed(line("")?)?;
        printed(line(&bold(title))?)
    }

    pub(crate) fn say(&self, text: &str) -> Result<(), Fail> {
        printed(line(text)?)
    }

    /// Shows events until one is `expected`, and the others of its frame.
    pub(crate) fn until(&mut self, what: &str, expected: impl Fn(&Event) -> bool) -> Result<Seq, Fail> {
        let begun = Instant::now();
        let mut found = None;
        let Some(session) = &mut self.session else { return Err(Fail::new(DEFECT, "the log is not open")) };
        loop {
            // What is in the same frame is there at once.
            let wait = if found.is_some() { Duration::ZERO } else { Duration::from_millis(100) };
            match session.events.next_within(wait)? {
                Next::Event(event, _, text) => {
                    show(&text)?;
                    self.last = event.seq;
                    if found.is_none() && expected(&event.event) {
                        found = Some((event.seq, event.at));
                    }
                }
                Next::Nothing => match found {
                    Some((seq, _)) => return Ok(seq),
                    None if begun.elapsed() < TIMEOUT => {}
                    None => {
                        return Err(Fail::new(DEFECT, format!("did not happen within {TIMEOUT:?}: {what}")));
                    }
                },
                Next::Forgotten(_) => {}
                Next::Closed => return Err(Fail::new(DEFECT, format!("the log was closed before this: {what}"))),
            }
        }
    }

    /// Waits until an attempt has its result in hand and stands at the closed gate.
    pub(crate) fn until_held_up(&self) -> Result<(), Fail> {
        let begun = Instant::now();
        while !self.gate.is_waited_at() {
            if begun.elapsed() > TIMEOUT {
                return Err(Fail::new(DEFECT, format!("no attempt was ready within {TIMEOUT:?}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What stands in the way of the collection now, in a sentence.
    pub(crate) fn condition(&self) -> Result<String, Fail> {
        let failed = |error: String| Fail::new(DEFECT, error);
        let Some(session) = &self.session else { return Err(failed("the log is not open".to_owned())) };
        let name = Name::new("lineitem").map_err(|error| failed(error.to_string()))?;
        let status = session.handle.status(name).map_err(|error| failed(error.to_string()))?;
        Ok(status.map_or_else(String::new, |status| status.view.condition.to_string()))
    }

    /// Runs another process on the log until its attempt is under way, and kills it. Returns its number.
    pub(crate) fn kill_in_the_middle(&self) -> Result<u32, Fail> {
        let failed =
            |error: std::io::Error| Fail::new(CANNOT_OPEN, format!("the process that is to be killed: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let child = Command::new(program)
            .arg("demo-worker")
            .arg(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut victim = Victim(child);
        let output = victim.0.stdout.take();
        for text in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
            let text = text.map_err(failed)?;
            if text == UNDER_WAY {
                let number = victim.0.id();
                victim.0.kill().and_then(|()| victim.0.wait()).map_err(failed)?;
                return Ok(number);
            }
            show(&text)?;
        }
        Err(Fail::new(DEFECT, "the process that was to be killed ended by itself"))
    }
}

/// A process that does not outlive the story.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        // It may be gone already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One line of the log, below what is told. Of its time the hour is enough.
fn show(text: &str) -> Result<(), Fail> {
    let time = text.get(11..23).unwrap_or_default();
    let rest = text.get(27..).unwrap_or(text);
    printed(line(&format!("      {time}{rest}"))?)
}

/// A demo without an audience ends.
fn printed(is_read: bool) -> Result<(), Fail> {
    if is_read { Ok(()) } else { Err(Fail::new(CANNOT_OPEN, "the output of the demo is not read any more")) }
}

/// Whether an event is a commit.
pub(crate) fn is_commit(event: &Event) -> bool {
    matches!(event, Event::TaskCompleted { .. })
}

/// The events from `from` on, up to but without `to`.
pub(crate) fn between(events: &[Recorded], from: Seq, to: Seq) -> &[Recorded] {
    let at = |seq: Seq| events.partition_point(|event| event.seq < seq);
    events.get(at(from)..at(to)).unwrap_or_default()
}
