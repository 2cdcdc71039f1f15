//! Two logs: how far they are the same, and what follows on each side. Frames are chained by their hashes, so two
//! logs are the same up to a frame exactly if that frame is the same.

use std::path::Path;

use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::describe::counted;
use lastword::log::{FrameHash, Start};
use serde::Serialize;

use crate::args::SelectionArgs;
use crate::dump::each;
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::{Output, printable};

pub(super) fn run(
    left: (&Input, &Path),
    right: (&Input, &Path),
    json: bool,
    mut output: Output,
) -> Result<(), Failure> {
    let common = last_common(left.0, right.0)?;
    let sides = [Side::of("left", left, common.seq), Side::of("right", right, common.seq)];
    let verdict = Verdict::of(&sides);
    if json {
        for side in &sides {
            each(side.input, &SelectionArgs::behind(common.seq), |line| {
                let (name, event) = (side.name, line.json());
                output.line(&format!(r#"{{"kind":"event","side":"{name}","event":{event}}}"#))
            })?;
        }
        output.object(&DiffLine::of(&common, &sides, verdict))?;
    } else {
        head(&mut output, &common, &sides, verdict)?;
        for (side, sign) in sides.iter().zip(['<', '>']) {
            each(side.input, &SelectionArgs::behind(common.seq), |line| {
                output.line(&format!("{sign} {}", line.text()))
            })?;
        }
    }
    output.finish()?;
    match verdict {
        Verdict::Diverged => {
            Err(Failure::new(Exit::DEFECT, format_args!("the two logs part after event {}", common.seq)))
        }
        Verdict::Same | Verdict::LeftIsPrefix | Verdict::RightIsPrefix => Ok(()),
    }
}

/// The end of what two logs share.
#[derive(Clone, Copy)]
struct Common {
    seq: Seq,
    hash: FrameHash,
    /// Nothing if its frame was deleted in both.
    time: Option<Timestamp>,
}

/// The last frame that both have. Of a log that begins later, the hash of the frame before is known.
fn last_common(left: &Input, right: &Input) -> Result<Common, Failure> {
    let (later, earlier) = if left.start().seq >= right.start().seq { (left, right) } else { (right, left) };
    let start = later.start();
    let mut common = Common { seq: start.seq, hash: start.hash, time: None };
    if earlier.start().seq < start.seq {
        common = match frames(earlier, start.seq).next().transpose()? {
            Some(frame) if (frame.seq, frame.hash) == (start.seq, start.hash) => frame,
            Some(_) => return Err(apart(Exit::DEFECT, "they part before", start)),
            None => return Err(apart(Exit::USAGE, "one of them ends before", start)),
        };
    } else if earlier.start().hash != start.hash {
        return Err(apart(Exit::DEFECT, "they part before", start));
    }
    for pair in frames(later, start.first()).zip(frames(earlier, start.first())) {
        let (ours, theirs) = (pair.0?, pair.1?);
        if ours.hash != theirs.hash {
            break;
        }
        common = ours;
    }
    Ok(common)
}

fn apart(exit: Exit, how: &str, start: Start) -> Failure {
    Failure::new(exit, format_args!("{how} event {}, with which history begins in the other", start.first()))
}

fn frames(input: &Input, from: Seq) -> impl Iterator<Item = Result<Common, Failure>> + '_ {
    input.reader().frames(from).map(|frame| {
        let frame = frame?;
        let frame = frame.as_frame();
        Ok(Common { seq: frame.last(), hash: frame.hash(), time: Some(frame.header().time) })
    })
}

struct Side<'s> {
    name: &'static str,
    input: &'s Input,
    path: &'s Path,
    /// What follows behind the common part.
    events: u64,
}

impl<'s> Side<'s> {
    fn of(name: &'static str, (input, path): (&'s Input, &'s Path), common: Seq) -> Side<'s> {
        Side { name, input, path, events: input.last().0.saturating_sub(common.0) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    LeftIsPrefix,
    RightIsPrefix,
    Diverged,
}

impl Verdict {
    fn of([left, right]: &[Side<'_>; 2]) -> Verdict {
        match (left.events, right.events) {
            (0, 0) => Verdict::Same,
            (0, _) => Verdict::LeftIsPrefix,
            (_, 0) => Verdict::RightIsPrefix,
            (_, _) => Verdict::Diverged,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::LeftIsPrefix => "left_is_prefix",
            Verdict::RightIsPrefix => "right_is_prefix",
            Verdict::Diverged => "diverged",
        }
    }
}

fn head(output: &mut Output, common: &Common, sides: &[Side<'_>; 2], verdict: Verdict) -> Result<(), Failure> {
    let [left, right] = sides.each_ref().map(|side| printable(&side.path.display().to_string()));
    let Common { seq, hash, time } = *common;
    output.line(&match verdict {
        Verdict::Same => format!("{left} and {right} are the same log"),
        Verdict::LeftIsPrefix => format!("{left} is the beginning of {right}"),
        Verdict::RightIsPrefix => format!("{right} is the beginning of {left}"),
        Verdict::Diverged => format!("{left} and {right} part after event {seq}"),
    })?;
    match seq {
        Seq::ZERO => output.line("common  nothing")?,
        seq => {
            let time = time.map_or_else(String::new, |time| format!(" {time},"));
            output.line(&format!("common  up to event {seq},{time} frame {hash}"))?;
        }
    }
    for (side, sign) in sides.iter().zip(['<', '>']) {
        let end = side.input.end();
        output.line(&format!(
            "{sign:<8}{} behind it in {}, which ends with event {}, frame {}",
            counted(side.events, "event"),
            printable(&side.path.display().to_string()),
            end.seq,
            end.hash
        ))?;
    }
    Ok(())
}

/// The last line in JSON.
#[derive(Serialize)]
struct DiffLine {
    kind: &'static str,
    /// `same`, `left_is_prefix`, `right_is_prefix` or `diverged`.
    verdict: &'static str,
    common_seq: u64,
    /// Of the last frame that both have; `null` without one, like its time.
    common_hash: Option<String>,
    common_time: Option<String>,
    left: SideLine,
    right: SideLine,
}

#[derive(Serialize)]
struct SideLine {
    path: String,
    events: u64,
    seq: u64,
    epoch: u64,
    head: String,
}

impl DiffLine {
    fn of(common: &Common, sides: &[Side<'_>; 2], verdict: Verdict) -> DiffLine {
        let [left, right] = sides.each_ref().map(|side| {
            let (path, end) = (side.path.display().to_string(), side.input.end());
            SideLine { path, events: side.events, seq: end.seq.0, epoch: end.epoch.0, head: end.hash.to_string() }
        });
        let any = common.seq > Seq::ZERO;
        DiffLine {
            kind: "diff",
            verdict: verdict.name(),
            common_seq: common.seq.0,
            common_hash: any.then(|| common.hash.to_string()),
            common_time: common.time.map(|time| time.to_string()),
            left,
            right,
        }
    }
}
