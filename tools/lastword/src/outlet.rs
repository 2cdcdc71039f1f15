//! An output whose reader may be slow, stuck or gone: what is said goes to a thread of its own, which may fall behind.
//!
//! Owns the queue, its bound, and what is said of lines that were not printed. Saying something never waits. *It must not
//! know* what the lines mean.
//!
//! ```text
//!   say --> queue (bounded) --> thread --> standard output or standard error
//!              | full: the line is counted, and the count is said once there is room
//! ```

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that may wait: about twenty thousand events, more than a reader that only stutters falls behind.
const MOST_WAITING: usize = 4 << 20;

/// Between two tries of an output that takes nothing for now.
const REST: Duration = Duration::from_millis(50);

/// After an output has failed, such as on a full disk: what comes meanwhile is counted and not printed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What is said of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is not read as fast as there is something to print.
    Behind,
    /// It could not be written; it is tried again.
    Failed(String),
    /// Nobody will ever read it.
    Gone,
    /// It goes on, and so many lines were not printed.
    Back(u64),
}

/// Writes some of what it is given, and says how much.
pub(crate) type Writing = Box<dyn FnMut(&[u8]) -> io::Result<usize> + Send>;

/// Where it goes, and what is said beside it.
pub(crate) struct Target {
    pub(crate) write: Writing,
    /// The line that stands for so many that were not printed.
    pub(crate) instead: fn(u64) -> String,
    /// Tells somebody else; it must not wait.
    pub(crate) tell: fn(&Trouble),
}

/// The saying side.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    instead: fn(u64) -> String,
    tell: fn(&Trouble),
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<String>,
    bytes: usize,
    /// The thread has something in its hand.
    is_writing: bool,
    /// Lines that were not printed and of which nothing was said yet.
    lost: u64,
    /// The same since the beginning.
    lost_in_all: u64,
    /// What went wrong last.
    failed: Option<String>,
    /// Until then nothing is tried.
    rests_until: Option<Instant>,
    is_gone: bool,
}

impl Outlet {
    /// Starts its thread, which ends with the process.
    pub(crate) fn start(name: &str, target: Target) -> io::Result<Outlet> {
        let Target { write, instead, tell } = target;
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), instead, tell });
        let outlet = Outlet(Arc::clone(&shared));
        thread::Builder::new().name(name.to_owned()).spawn(move || shared.work(write))?;
        Ok(outlet)
    }

    /// Prints some text, which ends with a line break, when there is time.
    pub(crate) fn say(&self, text: String) {
        let mut queue = self.0.lock();
        let Queue { lost, is_gone, .. } = *queue;
        if is_gone || queue.bytes + text.len() > MOST_WAITING || queue.rests() {
            queue.lost += 1;
            queue.lost_in_all += 1;
            drop(queue);
            if lost == 0 && !is_gone {
                (self.0.tell)(&Trouble::Behind);
            }
            return;
        }
        if lost > 0 {
            queue.lost = 0;
            let instead = (self.0.instead)(lost);
            queue.push(instead);
        }
        queue.push(text);
        drop(queue);
        self.0.changed.notify_all();
        if lost > 0 {
            (self.0.tell)(&Trouble::Back(lost));
        }
    }

    /// Prints some text if nothing else waits; whether it will be printed.
    pub(crate) fn offer(&self, text: String) -> bool {
        let mut queue = self.0.lock();
        let is_free = queue.waiting.is_empty() && !queue.is_writing && !queue.is_gone && !queue.rests();
        if is_free {
            queue.push(text);
            drop(queue);
            self.0.changed.notify_all();
        }
        is_free
    }

    /// Waits until everything was printed; whether it was in time.
    pub(crate) fn settle(&self, timeout: Duration) -> bool {
        let queue = self.0.lock();
        let busy = |queue: &mut Queue| (!queue.waiting.is_empty() || queue.is_writing) && !queue.is_gone;
        let waited = self.0.changed.wait_timeout_while(queue, timeout, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Nobody will read it any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.lock().is_gone
    }

    /// How many lines were not printed, those that still wait included, and why the last of them were not, if it failed.
    pub(crate) fn unprinted(&self) -> (u64, Option<String>) {
        let queue = self.0.lock();
        (queue.lost_in_all + queue.waiting.len() as u64 + u64::from(queue.is_writing), queue.failed.clone())
    }
}

impl Queue {
    fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.waiting.push_back(text);
    }

    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut write: Writing) {
        // Half a line was printed: what follows begins a new one.
        let mut torn = false;
        loop {
            let text = self.next();
            let whole = if torn { format!("\n{text}") } else { text };
            let (written, ended) = write_all(&mut write, whole.as_bytes());
            torn = if written == 0 { torn } else { written < whole.len() };
            match ended {
                Ok(()) => {
                    self.lock().is_writing = false;
                    self.changed.notify_all();
                }
                Err(error) => {
                    if self.failed(&error) {
                        return;
                    }
                }
            }
        }
    }

    fn next(&self) -> String {
        let queue = self.lock();
        let idle = |queue: &mut Queue| queue.waiting.is_empty();
        let mut queue = self.changed.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        let text = queue.waiting.pop_front().unwrap_or_default();
        queue.bytes -= text.len();
        queue.is_writing = true;
        text
    }

    /// What could not be printed is lost, with all that waits; whether there is no use in going on.
    fn failed(&self, error: &io::Error) -> bool {
        let is_gone = error.kind() == io::ErrorKind::BrokenPipe;
        let mut queue = self.lock();
        let lost = 1 + queue.waiting.len() as u64;
        queue.waiting.clear();
        queue.bytes = 0;
        queue.is_writing = false;
        let is_new = queue.lost == 0;
        queue.lost += lost;
        queue.lost_in_all += lost;
        queue.is_gone = is_gone;
        queue.rests_until = Some(Instant::now() + REST_AFTER_FAILURE);
        if !is_gone {
            queue.failed = Some(error.to_string());
        }
        drop(queue);
        self.changed.notify_all();
        if is_gone {
            (self.tell)(&Trouble::Gone);
        } else if is_new {
            (self.tell)(&Trouble::Failed(error.to_string()));
        }
        is_gone
    }
}

/// How much was written, and whether that is all of it.
fn write_all(write: &mut dyn FnMut(&[u8]) -> io::Result<usize>, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody else has made it so that it does not wait: a pipe that is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(REST),
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// An output itself, past the buffer and the lock of the standard library: when the thread hangs, it holds neither.
pub(crate) fn to(output: impl AsFd) -> io::Result<Writing> {
    let mut file = File::from(output.as_fd().try_clone_to_owned()?);
    Ok(Box::new(move |bytes| file.write(bytes)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that takes what it is given only when it is told to, and then ends as it is told to.
    fn gated() -> (Outlet, Sender<io::Result<()>>, Receiver<String>) {
        let (go, gate) = channel::<io::Result<()>>();
        let (seen, lines) = channel();
        let write = Box::new(move |bytes: &[u8]| {
            gate.recv().unwrap_or(Ok(()))?;
            seen.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            Ok(bytes.len())
        });
        let target = Target { write, instead: |lost| format!("{lost} lost\n"), tell: |_| {} };
        (Outlet::start("test", target).unwrap(), go, lines)
    }

    fn next(lines: &Receiver<String>) -> String {
        lines.recv_timeout(Duration::from_secs(30)).expect("a line is printed")
    }

    #[test]
    fn defect_06_saying_never_waits_and_what_is_lost_is_counted() {
        let (outlet, go, lines) = gated();
        let long = || "x".repeat(MOST_WAITING / 4 - 1) + "\n";
        outlet.say(long());
        let begun = Instant::now();
        while !outlet.0.lock().is_writing {
            assert!(begun.elapsed() < Duration::from_secs(30), "the first is not taken");
            thread::sleep(Duration::from_millis(5));
        }
        for _ in 1..9 {
            outlet.say(long());
        }
        assert!(!outlet.settle(Duration::ZERO), "it is not read");
        let (unprinted, _) = outlet.unprinted();
        assert_eq!(unprinted, 9);
        for _ in 0..20 {
            go.send(Ok(())).unwrap();
        }
        assert!(outlet.settle(Duration::from_secs(30)));
        outlet.say("last\n".to_owned());
        let mut seen = Vec::new();
        while seen.last().is_none_or(|line: &String| line != "last\n") {
            seen.push(next(&lines));
        }
        assert!(outlet.settle(Duration::from_secs(30)));
        let lost = 9 - (seen.len() - 2);
        assert!(lost > 0);
        assert_eq!(seen[seen.len() - 2], format!("{lost} lost\n"));
        assert_eq!(outlet.unprinted().0, lost as u64);
    }

    #[test]
    fn defect_06_a_failure_is_told_and_tried_again_and_a_reader_that_went_is_the_end() {
        let (outlet, go, lines) = gated();
        outlet.say("a\n".to_owned());
        go.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        let begun = Instant::now();
        while outlet.unprinted().1.is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the failure is not seen");
            thread::sleep(Duration::from_millis(5));
        }
        // Until it is tried again what is said is lost, and counted.
        while !outlet.offer("b\n".to_owned()) {
            assert!(begun.elapsed() < Duration::from_secs(30), "it is not tried again");
            thread::sleep(Duration::from_millis(20));
        }
        go.send(Ok(())).unwrap();
        assert_eq!(next(&lines), "b\n");
        outlet.say("c\n".to_owned());
        go.send(Ok(())).unwrap();
        go.send(Ok(())).unwrap();
        assert_eq!((next(&lines), next(&lines)), ("1 lost\n".to_owned(), "c\n".to_owned()));
        assert!(outlet.settle(Duration::from_secs(30)));
        outlet.say("d\n".to_owned());
        go.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        assert!(outlet.settle(Duration::from_secs(30)) && outlet.is_gone());
        outlet.say("e\n".to_owned());
        assert_eq!(outlet.unprinted().0, 3);
    }
}
