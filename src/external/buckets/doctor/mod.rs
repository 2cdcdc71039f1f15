//! An examination of an object store, before it is trusted: what it says is what has to be true for a source, and for a log,
//! to live below a prefix.
//!
//! It makes some ninety small objects and one of 4 MiB below a prefix that nobody else has, sends some four hundred
//! requests, and removes what it made. Where nothing can be written it reads what it finds.

mod check;
mod existing;
mod finding;
mod names;
mod place;
mod reads;
mod writes;

use std::sync::Arc;

use super::Buckets;
use super::fault::Fault;
use crate::clock::{Clock, SystemClock};
use crate::external::{BucketPrefix, StopCheck, StoreError};
use check::{Check, Verdict};
pub use finding::{Examination, Finding, FindingOutcome, NeededBy};
use place::{Left, Place, pages};

/// Objects of the prefix that are looked at, so that one to read is among them.
const SAMPLE: usize = 100;

/// All that is tried where objects can be written, in this order.
fn checks() -> impl Iterator<Item = &'static Check> {
    names::CHECKS.iter().chain(&reads::CHECKS).chain(&writes::CHECKS)
}

impl Buckets {
    /// Finds out what a store does, below `PREFIX/.lastword-doctor-…/`. Sources leave such names out.
    ///
    /// # Errors
    /// The prefix cannot be listed: the store is not reached, the bucket is not there, or it is refused. Nothing was made.
    pub fn examine(&self, prefix: &BucketPrefix, stop_check: StopCheck<'_>) -> Result<Examination, StoreError> {
        let client = self.client(prefix.bucket())?;
        let before = client.meter.requests();
        let sample = pages(Arc::clone(&client), prefix.prefix().to_owned(), None, (SAMPLE, 1));
        let sample = self.network.wait(&client.meter, stop_check, sample).and_then(|found| found);
        let sample = sample.map_err(|fault| fault.of_listing(&prefix.to_string()))?;
        let own = format!("{}{}", prefix.prefix(), unused());
        let place = Place::new((&self.network, Arc::clone(&client)), (prefix.bucket().scheme(), own), stop_check);
        let mut course = Course::default();
        if course.can_write(&place) {
            for Check { name, needed_by, follows, run } in checks() {
                course.tell((name, *needed_by), follows, || run(&place));
            }
        } else {
            course.look(&place, existing::object(sample));
        }
        course.slashes();
        let Left { keys: left, count: left_count } = place.clear();
        Ok(Examination {
            prefix: prefix.to_string(),
            findings: course.findings,
            left,
            left_count,
            keeps_versions: place.keeps_versions(),
            is_whole: course.ended.is_none(),
            is_interrupted: matches!(course.ended, Some(Ended::Interrupted)),
            requests: client.meter.requests().saturating_sub(before),
        })
    }
}

/// A folder that nobody else has.
fn unused() -> String {
    let now = SystemClock::new().wall().0;
    format!(".lastword-doctor-{now:x}-{}/", std::process::id())
}

/// Why the rest is not tried.
#[derive(Clone, Copy)]
enum Ended {
    Interrupted,
    Silent,
}

#[derive(Default)]
struct Course {
    findings: Vec<Finding>,
    ended: Option<Ended>,
}

impl Course {
    fn tell(
        &mut self,
        (name, needed_by): (&'static str, NeededBy),
        follows: &'static str,
        run: impl FnOnce() -> Result<Verdict, Fault>,
    ) {
        let not_tried = |why: &str| (FindingOutcome::NotTried, why.to_owned());
        let (outcome, saw) = match self.ended {
            Some(Ended::Interrupted) => not_tried("interrupted"),
            Some(Ended::Silent) => not_tried("the store had stopped answering"),
            None => match run() {
                Ok(Ok(saw)) => (FindingOutcome::Ok, saw),
                Ok(Err(saw)) => (FindingOutcome::NotOk, saw),
                Err(Fault::Interrupted) => {
                    self.ended = Some(Ended::Interrupted);
                    not_tried("interrupted")
                }
                Err(fault) => {
                    if fault.is_silence() {
                        self.ended = Some(Ended::Silent);
                    }
                    (FindingOutcome::NotOk, fault.words())
                }
            },
        };
        let follows = if outcome == FindingOutcome::Ok { "" } else { follows };
        self.findings.push(Finding { name, outcome, needed_by, saw, follows });
    }

    /// Whether anything can be written. A store that is slow to say no is still asked for what it has.
    fn can_write(&mut self, place: &Place<'_>) -> bool {
        let follows = "nothing can be made here: what is there was read, and no log may live here";
        self.tell(("write", NeededBy::Log), follows, || {
            place.put("write", b"lastword doctor")?;
            check::well("an object can be written")
        });
        self.findings.last().is_some_and(|finding| finding.outcome == FindingOutcome::Ok)
    }

    /// What can be tried where nothing can be written.
    fn look(&mut self, place: &Place<'_>, object: Option<existing::Object>) {
        for existing::Check { name, needed_by, follows, run } in &existing::CHECKS {
            match &object {
                Some(object) => self.tell((name, *needed_by), follows, || run(place, object)),
                None => self.not_tried(name, *needed_by, "nothing can be written, and there is no object to read"),
            }
        }
        let is_known = |name: &str| existing::CHECKS.iter().any(|check| check.name == name);
        for Check { name, needed_by, .. } in checks().filter(|check| !is_known(check.name)) {
            self.not_tried(name, *needed_by, "nothing can be written");
        }
    }

    /// Keys that this client does not take in its mouth.
    fn slashes(&mut self) {
        let why = "keys with // or a slash at their end cannot be written from here: a listing that has // is refused, and \
                   `a/` is taken for `a`";
        self.not_tried("slashes", NeededBy::Nothing, why);
    }

    fn not_tried(&mut self, name: &'static str, needed_by: NeededBy, why: &str) {
        self.findings.push(Finding {
            name,
            outcome: FindingOutcome::NotTried,
            needed_by,
            saw: why.to_owned(),
            follows: "",
        });
    }
}
