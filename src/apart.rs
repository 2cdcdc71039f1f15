//! Work in a file system that may never answer, apart from the thread that has to stay free.
//!
//! Owns how a command is kept where a signal still ends it, how it is found out that a path does not answer, and when that is
//! the end. A call that hangs in a dead mount cannot be ended, and a signal is given to the first thread of a process: if that
//! is the one that hangs, nothing but SIGKILL ends the process. So the work has a thread of its own, and so has whoever asks
//! the paths. *It must not know* what the work is, nor who is told.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How often it is looked whether what was asked has answered; nothing is asked before the first of them.
const TURN: Duration = Duration::from_millis(500);

/// After so many turns without an answer it is said: a disk that has to wake up takes less.
const SILENT_TURNS: u32 = 5;

/// Between two questions: one `stat` and one entry of a directory, which cost nothing.
const PAUSE: Duration = Duration::from_secs(5);

/// What a command takes: more than threads have by themselves, and as much as a first thread has.
const STACK: usize = 8 << 20;

/// Asks a path whether it answers.
pub type Ask<'a> = &'a mut dyn FnMut(&Path);

/// Why there is no result.
#[derive(Debug)]
pub enum Unfinished {
    /// What the work panicked with.
    Panicked(Box<dyn Any + Send>),
    /// The path that has not answered for as long as it was waited for. The work is left behind, and goes with the process.
    Silent(PathBuf),
}

/// Does `work` on a thread of its own, and waits for it without touching any file. Meanwhile `paths` names again and again what
/// the work depends on; it runs on a thread that may hang as well. `tell` is told of a path that does not answer, once, and
/// once more when it does. One that has not answered for as long as `patience` ends the waiting; without, nothing does.
///
/// # Errors
/// The work panicked, or a path does not answer.
pub fn apart<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
    paths: impl FnMut(Ask<'_>) + Send + 'static,
    patience: Option<Duration>,
    mut tell: impl FnMut(&Path, bool),
) -> Result<R, Unfinished> {
    let (working, ended) = sync_channel::<()>(0);
    let work = Arc::new(Mutex::new(Some(work)));
    let taken = Arc::clone(&work);
    let on_thread = move || {
        // Gone with the work, however it ends.
        let _working = working;
        let work = lock(&taken).take();
        work.map(|work| work())
    };
    let started = thread::Builder::new().name("command".to_owned()).stack_size(STACK).spawn(on_thread);
    let mut watch = Watch { paths: Some(paths), asking: Arc::default(), stop: None, number: 0, turns: 0, silent: None };
    let most = patience.map(|patience| u32::try_from(patience.as_millis() / TURN.as_millis()).unwrap_or(u32::MAX));
    while let (Ok(_), Err(RecvTimeoutError::Timeout)) = (&started, ended.recv_timeout(TURN)) {
        if let Some((path, answers)) = watch.turn() {
            tell(&path, answers);
        }
        if let Some(path) = watch.silent_for(most) {
            return Err(Unfinished::Silent(path));
        }
    }
    let done = started.map_or(Ok(None), thread::JoinHandle::join).map_err(Unfinished::Panicked)?;
    // Where no thread can be started it is better done here, in danger, than not at all.
    let here = lock(&work).take();
    let here = || here.map(|work| catch_unwind(AssertUnwindSafe(work))).transpose();
    match done.map_or_else(here, |done| Ok(Some(done))).map_err(Unfinished::Panicked)? {
        Some(result) => Ok(result),
        None => Err(Unfinished::Panicked(Box::new("the work was given to a thread that was never there"))),
    }
}

/// The answer of `work`, if it comes within `patience`. What hangs is left behind, and goes with the process.
pub fn within<R: Send + 'static>(patience: Duration, work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    let (answer, answered) = sync_channel(1);
    // Nobody waits for one that was given up.
    let working = move || drop(answer.send(work()));
    thread::Builder::new().name("lastword-ask".to_owned()).spawn(working).ok()?;
    answered.recv_timeout(patience).ok()
}

/// What is asked, by its number; no path once it has answered.
#[derive(Default)]
struct Asking {
    number: u64,
    path: Option<PathBuf>,
}

/// Counts for how many turns a path has not answered.
struct Watch<P> {
    /// Until they are asked for the first time.
    paths: Option<P>,
    asking: Arc<Mutex<Asking>>,
    /// What asks ends with this.
    stop: Option<SyncSender<()>>,
    number: u64,
    turns: u32,
    /// What was said not to answer.
    silent: Option<PathBuf>,
}

impl<P: FnMut(Ask<'_>) + Send + 'static> Watch<P> {
    /// One turn has passed. The path of which it is to be said now that it does not answer, or that it does again.
    fn turn(&mut self) -> Option<(PathBuf, bool)> {
        if let Some(paths) = self.paths.take() {
            self.stop = ask(paths, Arc::clone(&self.asking));
            return None;
        }
        let asking = lock(&self.asking);
        let path = asking.path.as_ref().filter(|_| asking.number == self.number);
        let Some(path) = path else {
            (self.number, self.turns) = (asking.number, 0);
            return self.silent.take().map(|path| (path, true));
        };
        self.turns += 1;
        let is_silent = self.turns == SILENT_TURNS;
        is_silent.then(|| (self.silent.insert(path.clone()).clone(), false))
    }

    /// The path that was said not to answer, if it has not for so many turns.
    fn silent_for(&self, most: Option<u32>) -> Option<PathBuf> {
        self.silent.clone().filter(|_| most.is_some_and(|most| self.turns >= most))
    }
}

/// Asks all paths, again and again, until the other side of what it returns is gone. Without a thread nothing is asked.
fn ask(mut paths: impl FnMut(Ask<'_>) + Send + 'static, asking: Arc<Mutex<Asking>>) -> Option<SyncSender<()>> {
    let (stop, stopped) = sync_channel(0);
    let asks = move || {
        loop {
            paths(&mut |path| {
                {
                    let mut asking = lock(&asking);
                    asking.number += 1;
                    asking.path = Some(path.to_owned());
                }
                // Whatever it answers, it does.
                let _ = fs::metadata(path);
                let _ = fs::read_dir(path).map(|mut entries| entries.next().is_some());
                lock(&asking).path = None;
            });
            if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    thread::Builder::new().name("lastword-ask".to_owned()).spawn(asks).ok()?;
    Some(stop)
}

/// What it guards is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_03_a_path_that_does_not_answer_is_told_once_and_once_more_when_it_does() {
        let asking = Arc::new(Mutex::new(Asking { number: 1, path: Some(PathBuf::from("state")) }));
        let paths = None::<fn(Ask<'_>)>;
        let mut watch = Watch { paths, asking: Arc::clone(&asking), stop: None, number: 0, turns: 0, silent: None };
        let told: Vec<_> = (0..3 * SILENT_TURNS).filter_map(|_| watch.turn()).collect();
        assert_eq!(told, [(PathBuf::from("state"), false)]);
        assert_eq!(watch.silent_for(Some(3 * SILENT_TURNS)), None);
        assert_eq!(watch.silent_for(Some(3 * SILENT_TURNS - 1)), Some(PathBuf::from("state")));
        assert_eq!(watch.silent_for(None), None);
        // Another question: the one before was answered.
        asking.lock().unwrap().number = 2;
        let told: Vec<_> = (0..SILENT_TURNS).filter_map(|_| watch.turn()).collect();
        assert_eq!(told, [(PathBuf::from("state"), true)]);
        asking.lock().unwrap().path = None;
        assert_eq!(watch.turn(), None);
    }

    #[test]
    fn a_panic_of_the_work_is_an_error_and_its_result_is_handed_on() {
        let quiet = |_: Ask<'_>| {};
        assert_eq!(apart(|| 7, quiet, None, |_, _| ()).unwrap(), 7);
        assert!(apart(|| panic!("the work"), quiet, None, |_, _| ()).is_err());
    }
}
