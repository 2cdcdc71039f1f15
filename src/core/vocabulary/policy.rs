//! How one collection is treated: each setting, its default and the reason for it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::{FieldError, micros};

/// The policies of one collection. All of them, with their defaults and reasons side by side, are in the module
/// `settings` of the crate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What a change does to the task that it makes obsolete.
    pub on_change: OnChange,
    /// How long an attempt that was told to stop may take to do so before it is abandoned.
    pub grace: Grace,
    /// When a changed observation is admitted.
    pub coalesce: Coalesce,
    /// What an observation means by which all files, or most of them, are lost.
    pub empty_source: EmptySource,
    /// What happens after a failed attempt.
    pub retry: Retry,
    /// The longest an attempt may run.
    pub attempt_timeout: AttemptTimeout,
    /// Who goes first when there are more tasks than workers.
    pub priority: Priority,
    /// How often what is applied is checked again although nothing seems to have changed.
    pub resync: Resync,
    /// How far behind a collection may be before changes that are observed let its running attempt finish.
    pub max_lag: MaxLag,
}

/// What a change does while a task is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnChange {
    /// The change is admitted at once: change, abort and new task are one frame. The default, because a result
    /// that is no longer wanted is not worth waiting for.
    #[default]
    Supersede,
    /// The change waits until the live task has ended, and only the last one counts. For sources that change faster
    /// than a task takes and whose old content stays readable.
    FinishThenLatest,
    /// Declarations are refused while a task is live; observations wait until it has ended.
    Reject,
}

/// What an observation means by which files are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EmptySource {
    /// A source that is empty, or has lost more than half and more than ten of the files that are applied, waits until
    /// a person confirms it. The default: an empty directory is more often an unmounted disk than a wish.
    #[default]
    Hold,
    /// It is a change like any other.
    Apply,
}

/// Time that an attempt has to stop. Default 5 s: longer than one step between two calls of `check_stop` should take,
/// short enough that an unresponsive worker does not keep its collection waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grace(pub Duration);

impl Default for Grace {
    fn default() -> Grace {
        Grace(Duration::from_secs(5))
    }
}

/// Coalescing of observations: a change is admitted when none followed it for `quiet`, and at the latest
/// `max_delay` after the first that is not admitted yet. Declarations are never coalesced, and neither is the first
/// observation after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Coalesce {
    /// Default 200 ms: enough for a writer that replaces several files in one go.
    pub quiet: Duration,
    /// Default 5 s: a source that never rests is still followed.
    pub max_delay: Duration,
}

impl Default for Coalesce {
    fn default() -> Coalesce {
        Coalesce { quiet: Duration::from_millis(200), max_delay: Duration::from_secs(5) }
    }
}

impl Coalesce {
    /// Every observation is admitted at once.
    pub const NONE: Coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
}

/// What happens after a failed attempt: exponential backoff with full jitter, then a slow retry without an end. Only
/// what trying again does not help is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retry {
    /// After this many charged attempts a task is retried slowly, or parked if that many of them panicked or there is
    /// no slow retry. Default 10: with the default backoff about a minute of trying on average, enough for a restart
    /// of what it depends on.
    pub max_attempts: u32,
    /// The delay after the first failure is at most this. Default 1 s.
    pub base: Duration,
    /// No delay is longer than this. Default 30 s.
    pub cap: Duration,
    /// Once `max_attempts` have failed, the task is tried again about this often, until one succeeds, a change comes,
    /// or its source can be observed again after it could not; and no more often than every `cap`. `None`: it is parked. Default 10 min: what is down for
    /// longer than a restart is not hammered, and what is back is noticed within minutes by itself.
    pub slow: Option<Duration>,
    /// After this many lost attempts a task is parked: their process ended, or the worker that had leased them was
    /// silent. Default 50: a task that kills its workers should not do so for ever, and one that is innocent should
    /// survive a bad day of restarts.
    pub max_lost: u32,
    /// After so many attempts that ended with the reconciler's own process while they ran alone, since the last commit of
    /// the collection, the task is parked as well; `None`: `max_lost` is the only bound. Default 3: nothing else was there
    /// that could have ended the process, but somebody who kills it again and again.
    pub max_lost_alone: Option<u32>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            max_attempts: 10,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            slow: Some(Duration::from_secs(600)),
            max_lost: 50,
            max_lost_alone: Some(3),
        }
    }
}

impl Retry {
    /// A collection of which so many attempts ended with the process that ran them, without a commit since, is
    /// *isolated*: its attempts run alone. Once may be chance; those that happened to run beside a killer are found
    /// innocent by running alone.
    pub const ISOLATED_AFTER: u32 = 2;

    /// An isolated task starts after the others, and there may always be others. Once it has waited for so long the process
    /// is *drained* for it: nothing else starts, for [a part](Self::DRAINED_PART) of its wait. If what runs does not end in
    /// that time, the others go on, and it is tried again each time that its wait has doubled.
    pub const DRAINED_AFTER: Duration = Duration::from_secs(600);

    /// For which part of its wait the process is drained for an isolated task: the tenth that others lose at most.
    pub const DRAINED_PART: u64 = 10;
}

/// The longest an attempt may run; `None` means for ever. Default one hour: a hung worker is noticed the same
/// day, and a build that needs longer has an owner who knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptTimeout(pub Option<Duration>);

impl Default for AttemptTimeout {
    fn default() -> AttemptTimeout {
        AttemptTimeout(Some(Duration::from_secs(3600)))
    }
}

/// Who goes first when there are more tasks than workers: the higher. Default 0.
///
/// A task that waits ages: a minute of waiting is worth one level, so that nothing waits for ever behind a stream of
/// what is more important.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub i16);

impl Priority {
    /// The highest priority; the lowest is its negative. A task of the lowest overtakes one of the highest after a day
    /// and a half of waiting.
    pub const HIGHEST: i16 = 1000;
    /// How long a wait is worth one level.
    pub const LEVEL: Duration = Duration::from_secs(60);
}

/// How often, give or take a tenth, what is applied is checked again although nothing seems to have changed; `None`
/// means never. The source is observed, and the kind is asked whether what was committed is still there; an
/// unversioned collection, whose source cannot be observed, is built anew. Default never: it costs work, and the
/// owner of a destination that loses data knows how much is worth it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resync(pub Option<Duration>);

/// How far behind a collection may be, measured by its lag, before a change that is observed lets the running attempt
/// finish and waits for its end, as under [`OnChange::FinishThenLatest`]; `None` means without a bound. It counts from the
/// second change on: a first attempt that takes so long may as well hang, and is superseded. A source that
/// never rests would otherwise supersede every attempt, and nothing would ever be committed. Declarations supersede all
/// the same: they are somebody's word. Default 10 min: a change now and then still saves the work that it makes
/// obsolete, and a source that never rests has a commit every ten minutes and as long as a build takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxLag(pub Option<Duration>);

impl Default for MaxLag {
    fn default() -> MaxLag {
        MaxLag(Some(Duration::from_secs(600)))
    }
}

impl Policy {
    /// The same, to be kept. Most collections are treated by default, and need no policy of their own for that.
    pub(crate) fn shared(self) -> Arc<Policy> {
        static DEFAULT: LazyLock<Arc<Policy>> = LazyLock::new(Arc::default);
        if self == **DEFAULT { Arc::clone(&DEFAULT) } else { Arc::new(self) }
    }

    /// The longest duration that a policy may name: a hundred years. Beyond it sums of times would saturate.
    pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

    /// The same policy in whole microseconds, which is what the log keeps.
    #[must_use]
    pub fn in_whole_micros(&self) -> Policy {
        let whole = |span: Duration| Duration::from_micros(micros(span));
        Policy {
            on_change: self.on_change,
            empty_source: self.empty_source,
            grace: Grace(whole(self.grace.0)),
            coalesce: Coalesce { quiet: whole(self.coalesce.quiet), max_delay: whole(self.coalesce.max_delay) },
            retry: Retry {
                base: whole(self.retry.base),
                cap: whole(self.retry.cap),
                slow: self.retry.slow.map(whole),
                ..self.retry
            },
            attempt_timeout: AttemptTimeout(self.attempt_timeout.0.map(whole)),
            priority: self.priority,
            resync: Resync(self.resync.0.map(whole)),
            max_lag: MaxLag(self.max_lag.0.map(whole)),
        }
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the field and what is allowed in it.
    pub fn check(&self) -> Result<(), FieldError> {
        let timeout = self.attempt_timeout.0.unwrap_or(Duration::from_secs(1));
        let spans = [
            ("policy.grace", self.grace.0),
            ("policy.coalesce.quiet", self.coalesce.quiet),
            ("policy.coalesce.max_delay", self.coalesce.max_delay),
            ("policy.retry.base", self.retry.base),
            ("policy.retry.cap", self.retry.cap),
            ("policy.attempt_timeout", timeout),
            ("policy.retry.slow", self.retry.slow.unwrap_or_default()),
            ("policy.resync", self.resync.0.unwrap_or_default()),
            ("policy.max_lag", self.max_lag.0.unwrap_or_default()),
        ];
        if let Some((field, span)) = spans.into_iter().find(|(_, span)| *span > Self::LONGEST) {
            return Err(FieldError::new(field, format!("must be at most a hundred years, found {span:?}")));
        }
        if timeout.is_zero() {
            return Err(FieldError::new("policy.attempt_timeout", "must be longer than zero, or none"));
        }
        // Each is an event.
        if self.resync.0.is_some_and(|every| every < Duration::from_secs(1)) {
            return Err(FieldError::new("policy.resync", "must be at least 1 s, or none"));
        }
        if self.priority.0.unsigned_abs() > Priority::HIGHEST.unsigned_abs() {
            let (most, found) = (Priority::HIGHEST, self.priority.0);
            return Err(FieldError::new("policy.priority", format!("must be -{most} to {most}, found {found}")));
        }
        if self.coalesce.quiet > self.coalesce.max_delay {
            return Err(FieldError::new(
                "policy.coalesce.quiet",
                format!("must be at most max_delay ({:?}), found {:?}", self.coalesce.max_delay, self.coalesce.quiet),
            ));
        }
        let Retry { max_attempts, max_lost, max_lost_alone, .. } = self.retry;
        if max_attempts == 0 || max_lost == 0 {
            return Err(FieldError::new("policy.retry", "max_attempts and max_lost must be at least 1"));
        }
        if max_lost_alone == Some(0) {
            return Err(FieldError::new("policy.retry.max_lost_alone", "must be at least 1, or none"));
        }
        if self.retry.base.is_zero() || self.retry.base > self.retry.cap {
            let Retry { base, cap, .. } = self.retry;
            let problem = format!("must be longer than zero and at most the cap of backoff ({cap:?}), found {base:?}");
            return Err(FieldError::new("policy.retry.base", problem));
        }
        Ok(())
    }
}
