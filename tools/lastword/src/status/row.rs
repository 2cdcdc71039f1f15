//! One line of the table, and one of JSON.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::writer::Writer;
use crate::console::grouped;
use crate::control::Gone;
use crate::facts::Facts;
use crate::readable::way_on;
use crate::words::{ago, how_to_go_on, how_to_start, seconds, short};

/// One collection: what the log or the run says of it, and what is known besides.
pub(super) struct Row {
    /// As it was written.
    pub(super) text: String,
    pub(super) facts: Facts,
    pub(super) gone: Option<Gone>,
    /// What only the running process knows.
    pub(super) live: Option<Value>,
    /// A run answers.
    pub(super) is_run: bool,
    /// What is wrong with the manifest of what is applied.
    pub(super) manifest_problem: Option<String>,
}

impl Row {
    /// The row of the library, then `unmanaged`: the file that the collection is gone from, or null; `live`: what only the
    /// running process knows, or null; `observed`: whether somebody observes its source, so that `fresh` can be believed;
    /// `run`: who has the log open; and `manifest_problem`: why what is applied cannot be read, or null.
    pub(super) fn json(&self, writer: &Writer) -> String {
        let members = self.text.strip_suffix('}').unwrap_or(&self.text);
        let unmanaged = json!(self.gone.as_ref().map(|gone| &gone.file));
        let mut live = self.live.clone();
        if let Some(Value::Object(live)) = &mut live {
            live.remove("name");
        }
        let (live, observed, run) = (json!(live), self.is_observed(), writer.json());
        let problem = json!(self.manifest_problem);
        format!(
            "{members},\"unmanaged\":{unmanaged},\"live\":{live},\"observed\":{observed},\"run\":{run},\
             \"manifest_problem\":{problem}}}"
        )
    }

    /// `pid`: of the run that answers.
    pub(super) fn cells(&self, place: &Path, pid: Option<u32>) -> Vec<String> {
        let facts = &self.facts;
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
        vec![
            facts.name.clone(),
            self.condition(),
            facts.generation.to_string(),
            number(facts.rows),
            number(facts.segments),
            self.lag()
                .map_or_else(|| "unknown".to_owned(), |lag| if lag.is_zero() { "0s".to_owned() } else { short(lag) }),
            self.looked().unwrap_or_else(|| "-".to_owned()),
            self.next().unwrap_or_else(|| "-".to_owned()),
            facts.ago(facts.applied_at.as_deref()).map_or_else(|| "-".to_owned(), ago),
            facts.ago(facts.since.as_deref()).map_or_else(|| "-".to_owned(), short),
            facts.since.as_deref().map_or_else(|| "-".to_owned(), seconds),
            self.cause(place, pid),
        ]
    }

    /// What is shown: with a question mark where nobody observes that it is still so.
    pub(super) fn condition(&self) -> String {
        format!("{}{}", self.facts.condition, if self.is_doubtful() { "?" } else { "" })
    }

    /// How far it is behind. What nobody observes may be behind whatever the log says.
    pub(super) fn lag(&self) -> Option<Duration> {
        self.facts.lag.filter(|lag| !self.is_doubtful() && (self.is_run || !lag.is_zero()))
    }

    /// It was fresh when the log heard of it last, or what is applied cannot be read.
    pub(super) fn is_doubtful(&self) -> bool {
        self.facts.condition == "fresh" && (!self.is_observed() || self.manifest_problem.is_some())
    }

    /// Whether somebody observes its source, or its content does not count.
    fn is_observed(&self) -> bool {
        let looked = self.live.as_ref().and_then(|live| live.get("last_look")).is_some_and(Value::is_object);
        self.is_run && (looked || !self.facts.versioned) && !self.facts.is_overdue
    }

    /// How much it needs somebody, from 0.
    pub(super) fn rank(&self) -> u8 {
        let (facts, condition) = (&self.facts, self.facts.condition.as_str());
        let is_kept =
            ["workers_exhausted", "deliveries_exhausted", "undeliverable"].iter().any(|key| self.is_live(key));
        match rank(
            condition,
            facts.unobservable.is_some() || facts.is_overdue,
            facts.delivery.is_some() || is_kept,
            facts.paused,
        ) {
            _ if self.manifest_problem.is_some() => 0,
            FRESH if self.is_doubtful() => 3,
            rank => rank,
        }
    }

    /// It does not come into step by itself, fails, or is not known.
    pub(super) fn needs_somebody(&self) -> bool {
        self.rank() < 4 || !self.is_run
    }

    /// When the last observation of the source began.
    pub(super) fn looked_ago(&self) -> Option<Duration> {
        let ago = self.live.as_ref()?.pointer("/last_look/seconds_ago")?.as_f64()?;
        Duration::try_from_secs_f64(ago).ok()
    }

    /// The same with how many files could have changed again without being seen.
    fn looked(&self) -> Option<String> {
        let unproven = self.live.as_ref()?.pointer("/last_look/racy").and_then(Value::as_u64).unwrap_or(0);
        let unproven = if unproven > 0 { format!(", {} too young", grouped(unproven)) } else { String::new() };
        let weak = self.live.as_ref()?.pointer("/last_look/weak").and_then(Value::as_u64).unwrap_or(0);
        let weak = if weak > 0 { format!(", {} weak", grouped(weak)) } else { String::new() };
        let skipped = self.skipped().map(|skipped| format!(", left out: {skipped}")).unwrap_or_default();
        let requests = self.live.as_ref()?.pointer("/last_look/requests").and_then(Value::as_u64).unwrap_or(0);
        let requests = match requests {
            0 => String::new(),
            1 => ", 1 request".to_owned(),
            requests => format!(", {} requests", grouped(requests)),
        };
        Some(format!("{}{requests}{unproven}{weak}{skipped}", ago(self.looked_ago()?)))
    }

    /// In how long the source is looked at again.
    fn next(&self) -> Option<String> {
        let live = self.live.as_ref()?;
        if live.get("look").is_some_and(Value::is_object) {
            return Some("looking".to_owned());
        }
        let left = Duration::try_from_secs_f64(live.get("next_look_in_seconds")?.as_f64()?).ok()?;
        Some(if left.is_zero() { "now".to_owned() } else { format!("in {}", short(left)) })
    }

    /// That the store asks to be asked more slowly: in the look that is under way, or else in the last one.
    fn throttled(&self) -> Option<String> {
        let live = self.live.as_ref()?;
        let (times, status) = ["/look/throttled", "/last_look/throttled"].iter().find_map(|place| {
            let found = live.pointer(place)?;
            Some((found.get("times")?.as_u64()?, found.get("status")?.as_u64()?))
        })?;
        let times = if times == 1 { "once".to_owned() } else { format!("{} times", grouped(times)) };
        Some(format!("its store asked to wait {times} during one look (status {status}, too many requests)"))
    }

    fn skipped(&self) -> Option<String> {
        self.live.as_ref()?.pointer("/last_look/skipped").and_then(skipped)
    }

    /// Whether the run says so of it.
    fn is_live(&self, key: &str) -> bool {
        self.live.as_ref().is_some_and(|live| live.get(key) == Some(&json!(true)))
    }

    /// What waits for work of its kind that hangs and was given up, or for a worker that is not there, and what to type.
    fn kept(&self, place: &Path, pid: Option<u32>) -> Option<String> {
        let hang = "which hang and were given up: mend what they hang on, or end the run";
        let again = || {
            let end = pid.map_or_else(String::new, |pid| format!(" with: kill {pid}"));
            format!("{end}, and {}", how_to_start(place))
        };
        let why = self.live.as_ref().and_then(|live| live.get("exhausted")).and_then(Value::as_str);
        if let Some(why) = why {
            return Some(format!("{}: mend what they hang on, or end the run{}", why, again()));
        }
        if self.is_live("deliveries_exhausted") {
            return Some(format!("its delivery waits for others of its kind, {hang}{}", again()));
        }
        if self.is_live("workers_exhausted") {
            return Some(format!("it waits for attempts of its kind, {hang}{}", again()));
        }
        let (kind, name) = (&self.facts.kind, &self.facts.name);
        let nobody = || match self.facts.condition.as_str() {
            "no_worker" => format!("nobody delivers it: start the program that builds the kind {kind}"),
            // That program may run, and the kind have lost its duty.
            _ => format!(
                "no worker of this run delivers it: run a program whose kind {kind} publishes and discards, or drop {name} \
                 and declare it anew"
            ),
        };
        self.is_live("undeliverable").then(nobody)
    }

    fn cause(&self, place: &Path, pid: Option<u32>) -> String {
        let name = &self.facts.name;
        let count = |key: &str| self.live.as_ref().and_then(|live| live.pointer(&format!("/progress/{key}"))?.as_u64());
        let progress = count("done").zip(count("total"));
        let progress = progress.map(|(done, total)| format!("; {} of {} done", grouped(done), grouped(total)));
        let held = self.facts.held.as_deref();
        let condition = self.facts.condition.as_str();
        let by_file = condition == "paused" && self.gone.as_ref().is_some_and(|gone| gone.resumes);
        let go_on = how_to_go_on(condition, place, name, held).filter(|_| held.is_some() || !by_file);
        let doubt = match self.is_doubtful() {
            true if self.is_run && self.is_observed() => "",
            true if self.is_run => "nobody has looked at its source since the run began",
            true => "nobody looks at its source: it was fresh when the log heard of it last",
            false => "",
        };
        let cause = self.facts.cause(self.gone.as_ref(), self.skipped().as_deref());
        let cause = if cause.is_empty() { doubt.to_owned() } else { cause };
        let problem =
            self.manifest_problem.as_ref().map(|problem| format!("{problem}; {}", way_on(place, &self.facts)));
        let causes = problem.into_iter().chain([cause]).chain(self.kept(place, pid)).chain(self.throttled());
        let cause = causes.filter(|cause| !cause.is_empty()).collect::<Vec<_>>().join("; ");
        cause + &progress.unwrap_or_default() + &go_on.unwrap_or_default()
    }
}

/// The rank of what needs nobody.
const FRESH: u8 = 5;

/// How much a collection needs somebody, from 0: by its condition, whether its source cannot be observed, whether what it
/// owes its destination cannot be delivered, and whether it is paused.
pub(crate) fn rank(condition: &str, is_unobservable: bool, owes: bool, is_paused: bool) -> u8 {
    match condition {
        "parked" | "held" | "no_worker" | "awaiting_caller" | "unobservable" | "not_observed" => 0,
        "backing_off" | "failing" | "isolated" | "moving" | "undelivered" => 1,
        _ if is_unobservable => 0,
        _ if owes => 1,
        _ if is_paused => 2,
        "fresh" => FRESH,
        _ => 4,
    }
}

/// What an observation left out, by the reason; nothing if it left out nothing.
fn skipped(reasons: &Value) -> Option<String> {
    let reasons = reasons.as_object().filter(|reasons| !reasons.is_empty())?;
    let count = |(reason, count): (&String, &Value)| {
        format!("{} {}", grouped(count.as_u64().unwrap_or(0)), reason.replace('_', " "))
    };
    Some(reasons.iter().map(count).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No kind of the command publishes, so that no run of it has this; the rows of another program do.
    fn row(name: &str, live: &str) -> Row {
        let text = format!(
            r#"{{"name":"{name}","incarnation":2,"kind":"press","source":"s","spec":{{}},"condition":"fresh","because":"",
            "generation":1,"paused":false,"versioned":false,"time":"2026-11-30T19:00:00.000000Z"}}"#
        );
        let facts = Facts::parse(&text).unwrap();
        let live = Some(serde_json::from_str(live).unwrap());
        Row { text, facts, gone: None, is_run: true, manifest_problem: None, live }
    }

    #[test]
    fn what_waits_for_deliveries_or_workers_that_hang_has_its_place_and_says_what_to_type() {
        use super::super::Order;
        let live = |key: &str| format!(r#"{{"{key}":true}}"#);
        let mut rows = vec![
            row("a", "{}"),
            row("b", &live("deliveries_exhausted")),
            row("c", &live("undeliverable")),
            row("d", &live("workers_exhausted")),
            row("e", r#"{"deliveries_exhausted":false,"undeliverable":false,"workers_exhausted":false}"#),
            row("f", r#"{"exhausted":"attempts hold all","workers_exhausted":true}"#),
        ];
        Order::Problems.sort(&mut rows);
        let names: Vec<&str> = rows.iter().map(|row| row.facts.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "d", "f", "a", "e"]);
        assert_eq!(rows.iter().filter(|row| row.needs_somebody()).count(), 4, "`--check` and `--unhealthy` see them");
        let cause = |at: usize| rows[at].cause(Path::new("lake.toml"), Some(412));
        assert!(cause(0).contains("kill 412, and start it: lastword run lake.toml"), "{}", cause(0));
        assert!(cause(0).starts_with("its delivery waits for others of its kind"), "{}", cause(0));
        let way_out = "run a program whose kind press publishes and discards, or drop c and declare it anew";
        assert!(cause(1).ends_with(way_out), "{}", cause(1));
        assert!(cause(2).starts_with("it waits for attempts of its kind"), "{}", cause(2));
        assert!(
            cause(3).starts_with("attempts hold all: mend what they hang on, or end the run with: kill"),
            "{}",
            cause(3)
        );
        assert_eq!(cause(4), "");
    }

    #[test]
    fn what_nobody_delivers_is_not_blamed_on_a_program_that_does_not_run_while_it_does() {
        let said = |condition: &str| {
            let mut row = row("a", r#"{"undeliverable":true}"#);
            row.facts.condition = condition.to_owned();
            row.kept(Path::new("lake.toml"), None).unwrap()
        };
        assert_eq!(said("no_worker"), "nobody delivers it: start the program that builds the kind press");
        for condition in ["undelivered", "fresh", "backing_off"] {
            assert!(!said(condition).contains("start the program"), "{}", said(condition));
            assert!(said(condition).contains("drop a and declare it anew"), "{}", said(condition));
        }
    }
}
