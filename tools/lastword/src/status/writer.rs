//! Who has the log open, and whether that process answers: the first line of the table.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use lastword::core::vocabulary::Timestamp;
use serde_json::{Value, json};

use crate::control::{RunFile, WithoutSocket, silence};
use crate::record::{LastRun, NOT_IN_ORDER, RunEnd};
use crate::words::{ago, how_to_start, last_event, seconds};

/// Who has it open.
#[derive(Clone, Debug)]
pub(super) enum Writer {
    /// A run that answers.
    Run { pid: Option<u32>, file: Option<RunFile> },
    /// A run that does not.
    Silent { pid: Option<u32>, file: Option<RunFile>, last: Timestamp, now: Timestamp },
    /// A process that takes no commands: a run that starts or ends, or another program.
    WithoutSocket(WithoutSocket),
    /// Nobody. `last`: the time of the last event; `in_order`: the last writer has closed the log; `run`: what the last run
    /// has left.
    Nobody { last: Timestamp, now: Timestamp, in_order: bool, run: Option<LastRun> },
}

impl Writer {
    pub(super) fn answers(&self) -> bool {
        matches!(self, Writer::Run { .. })
    }

    /// Of the run that answers.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Writer::Run { pid, .. } => *pid,
            Writer::Silent { .. } | Writer::WithoutSocket(_) | Writer::Nobody { .. } => None,
        }
    }

    /// What the run reads that has it open.
    pub(super) fn file(&self) -> Option<&RunFile> {
        match self {
            Writer::Run { file, .. } | Writer::Silent { file, .. } => file.as_ref(),
            Writer::WithoutSocket(found) => found.file.as_ref(),
            Writer::Nobody { .. } => None,
        }
    }

    /// `looked`: how long ago the last look at a source began. `place`: the directory of the log, or the configuration.
    pub(super) fn line(&self, looked: Option<Duration>, place: &Path) -> String {
        let pid = |pid: &Option<u32>| pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"));
        match self {
            Writer::Run { pid: of, .. } => {
                let looked =
                    looked.map_or_else(|| "has not looked yet".to_owned(), |looked| format!("looked {}", ago(looked)));
                format!("run: {}, {looked}", pid(of))
            }
            Writer::Silent { pid: of, last, now, .. } => {
                let since = now.since(*last);
                format!("run: {} {}; last event {}", pid(of), silence(*of), ago(since))
            }
            Writer::WithoutSocket(found) => format!("run: {found}"),
            Writer::Nobody { last, now, in_order, run } => {
                let ended = ended(run.as_ref(), &last_event(*last, *now), *in_order, *now);
                format!("run: none{ended}; {}", how_to_start(place))
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let (state, pid, last, in_order, run) = match self {
            Writer::Run { pid, .. } => ("answers", *pid, None, None, None),
            Writer::Silent { pid, last, .. } => ("does_not_answer", *pid, Some(*last), None, None),
            Writer::WithoutSocket(found) => ("takes_no_commands", found.pid, None, None, None),
            Writer::Nobody { last, in_order, run, .. } => ("none", None, Some(*last), Some(*in_order), run.as_ref()),
        };
        let end = run.and_then(|run| run.end.as_ref());
        let failed = end.and_then(|end| end.failed.as_deref());
        let how = run.map(|run| match (run.end.is_some(), failed) {
            (true, None) => "in_order",
            (true, Some(_)) => "failed",
            (false, _) => "not_in_order",
        });
        json!({
            "state": state,
            "pid": pid,
            "file": self.file().map(|found| found.file.display().to_string()),
            "last_event": last.map(|last| last.to_string()),
            "closed_in_order": in_order,
            "ended": end.map(|end| &end.at),
            "ended_how": how,
            "ended_because": failed,
        })
    }
}

/// What is known of the last run and of the log behind `run: none`; `last` is the last event, `in_order` whether its writer
/// closed it.
fn ended(run: Option<&LastRun>, last: &str, in_order: bool, now: Timestamp) -> String {
    let Some(run) = run else {
        let how = if in_order { "closed in order" } else { NOT_IN_ORDER };
        return format!("; {last}, {how}");
    };
    let Some(RunEnd { at, failed }) = &run.end else {
        return format!("; the last one ({}) was {NOT_IN_ORDER}; {last}", run.name());
    };
    let since = humantime::parse_rfc3339(at).ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let since = since.map(|since| Duration::from_micros(now.0).saturating_sub(since));
    let since = format!(" since {} ({})", seconds(at), since.map_or_else(|| "unknown".to_owned(), ago));
    match (failed, in_order) {
        (Some(why), _) => format!("{since}, it failed: {why}"),
        (None, true) => format!("{since}, closed in order"),
        (None, false) => format!("{since}, closed in order; who had the log open after it did not close it; {last}"),
    }
}
