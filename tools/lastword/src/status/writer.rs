//! Who has the log open, and whether that process answers: the first line of the table.

use std::path::Path;
use std::time::Duration;

use lastword::core::vocabulary::Timestamp;
use serde_json::{Value, json};

use super::facts::seconds;
use crate::console::quoted;
use crate::control::silent;

/// Who has it open.
#[derive(Clone, Debug)]
pub(super) enum Writer {
    /// A run that answers.
    Run { pid: Option<u32> },
    /// A run that does not.
    Silent { pid: Option<u32>, last: Timestamp, now: Timestamp },
    /// A process that takes no commands: a run that starts or ends, or another program.
    WithoutSocket { pid: Option<u32> },
    /// Nobody. `last`: the time of the last event; `in_order`: the last writer has closed the log.
    Nobody { last: Timestamp, now: Timestamp, in_order: bool },
}

impl Writer {
    pub(super) fn answers(&self) -> bool {
        matches!(self, Writer::Run { .. })
    }

    /// `looked`: how long ago the last look at a source began. `place`: the directory of the log, or the configuration.
    pub(super) fn line(&self, looked: Option<Duration>, place: &Path) -> String {
        let pid = |pid: &Option<u32>| pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"));
        match self {
            Writer::Run { pid: of } => {
                let looked =
                    looked.map_or_else(|| "has not looked yet".to_owned(), |looked| format!("looked {}", ago(looked)));
                format!("run: {}, {looked}", pid(of))
            }
            Writer::Silent { pid: of, last, now } => {
                let since = now.since(*last);
                format!("run: {} does not answer; last event {}; {}", pid(of), ago(since), silent(*of))
            }
            Writer::WithoutSocket { pid: of } => {
                format!(
                    "run: {} has the log open and takes no commands: it starts or ends, or is another program",
                    pid(of)
                )
            }
            Writer::Nobody { last, now, in_order } => {
                let how = match in_order {
                    true => "closed in order",
                    false => "not closed in order: killed, or the machine went down",
                };
                let is_config = place.extension().is_some_and(|ending| ending == "toml") && !place.is_dir();
                let file = if is_config { quoted(place) } else { "FILE".to_owned() };
                let (since, ago) = (seconds(&last.to_string()), ago(now.since(*last)));
                format!("run: none since {since} ({ago}), {how}; start it: lastword run {file}")
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let (state, pid, since, in_order) = match self {
            Writer::Run { pid } => ("answers", *pid, None, None),
            Writer::Silent { pid, last, .. } => ("does_not_answer", *pid, Some(*last), None),
            Writer::WithoutSocket { pid } => ("takes_no_commands", *pid, None, None),
            Writer::Nobody { last, in_order, .. } => ("none", None, Some(*last), Some(*in_order)),
        };
        json!({"state": state, "pid": pid, "last_event": since.map(|since| since.to_string()), "closed_in_order": in_order})
    }
}

pub(super) fn ago(span: Duration) -> String {
    format!("{} ago", short(span))
}

/// A person reads no more than tenths below a minute, minutes below a day, and hours above.
pub(super) fn short(span: Duration) -> String {
    let rounded = |to: u64| humantime::format_duration(Duration::from_secs(span.as_secs() / to * to)).to_string();
    match span.as_secs() {
        0..60 => format!("{:.1}s", span.as_secs_f64()),
        60..3600 => rounded(1),
        3600..86_400 => rounded(60),
        _ => rounded(3600),
    }
}
