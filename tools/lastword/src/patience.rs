//! Work on sources that may never answer: each on a thread of its own, for as long as it shows signs of life.
//!
//! A thread that hangs in the file system cannot be ended. It is left behind, holds nothing that has to be tidied up, and
//! goes with the process. *It must not know* what the work is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use lastword::apart::within;
use lastword::external::Interrupted;

/// For so long at most work that gives no sign of life keeps others from beginning. A healthy source answers sooner, but
/// for a store over a wire that is slow; then more of them are at work at the same time.
const MOMENT: Duration = Duration::from_secs(1);

/// Whether some work goes on.
pub(crate) struct Life {
    begun: Instant,
    /// The last sign, in milliseconds since it began.
    last: AtomicU64,
    given_up: AtomicBool,
}

impl Life {
    fn new() -> Life {
        Life { begun: Instant::now(), last: AtomicU64::new(0), given_up: AtomicBool::new(false) }
    }

    /// The work has come one step further; it stops here if nobody waits for it any more.
    pub(crate) fn sign(&self) -> Result<(), Interrupted> {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
        if self.given_up.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }

    fn silent_for(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// One piece of work.
pub(crate) type Work<R> = Box<dyn FnOnce(&Life) -> R + Send>;

/// The answer of each, in the order of `works`; `None` for one that gave no sign of life for as long as `patience`.
/// `places` of them are at work at the same time. One that is silent holds its place for a moment only and is waited for
/// beside the others, so all that hang are known within twice the patience, however many there are.
/// Each is made when there is a place for it.
pub(crate) fn ask_each<R: Send + 'static>(
    works: impl ExactSizeIterator<Item = Work<R>>,
    places: usize,
    patience: Duration,
) -> Vec<Option<R>> {
    /// How often it is seen whether the work goes on: long after an answer, which is heard at once.
    const TURN: Duration = Duration::from_millis(50);
    let places = places.max(1);
    // If all of them hang, the last one begins in half of the patience.
    let rounds = u32::try_from(works.len().div_ceil(places)).unwrap_or(u32::MAX).max(1);
    let moment = (patience / rounds.saturating_mul(2)).min(MOMENT);
    let turn = moment.clamp(Duration::from_millis(1), TURN);
    let (answer, answers) = sync_channel::<(usize, R)>(works.len());
    let mut found: Vec<Option<R>> = (0..works.len()).map(|_| None).collect();
    let mut waiting = works.enumerate();
    let mut at_work: Vec<(usize, Arc<Life>)> = Vec::new();
    loop {
        // In one turn no more than there are places: who begins now is not silent yet.
        while at_work.iter().filter(|(_, life)| life.silent_for() < moment).count() < places
            && let Some((number, work)) = waiting.next()
        {
            let (life, answer) = (Arc::new(Life::new()), answer.clone());
            let lives = Arc::clone(&life);
            let working = move || {
                let result = work(&lives);
                // Nobody waits for one that was given up.
                let _ = answer.send((number, result));
            };
            if thread::Builder::new().name("lastword-ask".to_owned()).spawn(working).is_ok() {
                at_work.push((number, life));
            }
        }
        if at_work.is_empty() {
            return found;
        }
        match answers.recv_timeout(turn) {
            Ok((number, result)) => {
                if let Some(found) = found.get_mut(number) {
                    *found = Some(result);
                }
                at_work.retain(|(at, _)| *at != number);
            }
            // A thread of its own holds a sender: it does not end before all have answered.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => at_work.retain(|(_, life)| {
                let goes_on = life.silent_for() < patience;
                life.given_up.store(!goes_on, Ordering::Relaxed);
                goes_on
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn defect_03_who_gives_no_sign_is_given_up_and_holds_no_place() {
        // A machine that is busy with other things may hold up a thread for a second.
        const PATIENCE: Duration = Duration::from_secs(3);
        let (never, waits) = channel::<()>();
        let hang: Work<u32> = Box::new(move |_| {
            let _ = waits.recv();
            1
        });
        let slow: Work<u32> = Box::new(|life| {
            // For longer than it may be silent.
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE * 4 / 3 {
                thread::sleep(Duration::from_millis(10));
                life.sign().unwrap();
            }
            2
        });
        let works: Vec<Work<u32>> = vec![hang, slow, Box::new(|_| 3)];
        assert_eq!(ask_each(works.into_iter(), 1, PATIENCE), [None, Some(2), Some(3)]);
        drop(never);
    }

    #[test]
    fn defect_03_all_that_hang_are_waited_for_at_the_same_time() {
        const WORKS: usize = 8;
        // Each hangs until all of them do.
        let all = Arc::new(Barrier::new(WORKS));
        let works: Vec<Work<bool>> = (0..WORKS)
            .map(|_| {
                let all = Arc::clone(&all);
                Box::new(move |_: &Life| {
                    all.wait();
                    true
                }) as Work<bool>
            })
            .collect();
        assert_eq!(ask_each(works.into_iter(), 2, Duration::from_secs(6)), [Some(true); WORKS]);
    }
}
