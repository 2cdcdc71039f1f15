//! What a command waits for when a file system does not answer: said once, no reason to wait for an end in order, and the end
//! of what is to end by itself.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use humantime::format_duration;
use lastword::apart::{Unfinished, within};

use crate::config::Config;
use crate::console::{note, quoted};
use crate::fail::{CANNOT_OPEN, Fail};
use crate::words::is_config;

/// How long what only reads waits for a directory that does not answer: a disk that has to wake up takes less, and whoever
/// looks after a service asks again.
pub(crate) const READS_WITHIN: Duration = Duration::from_secs(10);

/// The same of a run that is to end by itself, and of the work that it would lose: a server that another one takes over from is
/// back by then.
pub(crate) const RUNS_WITHIN: Duration = Duration::from_secs(30);

/// The state directory does not answer.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The state directory, once it is known.
static STATE: OnceLock<PathBuf> = OnceLock::new();

/// Carries out a command on a thread of its own, so that this one hears signals, and says so if what it depends on does not
/// answer: the file or directory that a person `named`, the state directory if that is a configuration, and what is `beside`. With
/// `patience` what has not answered for so long ends it.
///
/// # Errors
/// It panicked, or what it depends on does not answer.
pub(crate) fn apart<R: Send + 'static>(
    (named, beside): (Option<PathBuf>, Vec<PathBuf>),
    patience: Option<Duration>,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Unfinished> {
    let paths = move |ask: lastword::apart::Ask<'_>| {
        beside.iter().for_each(|beside| ask(beside));
        let Some(named) = &named else { return };
        ask(named);
        if STATE.get().is_none() {
            // What is wrong with the file is said by the command. What is no file is read once, by the command.
            let state = match is_config(named) {
                true => named.is_file().then(|| Config::state_of(named).ok()).flatten(),
                false => Some(named.clone()),
            };
            state.into_iter().for_each(|state| drop(STATE.set(state)));
        }
        STATE.get().filter(|state| *state != named).into_iter().for_each(|state| ask(state));
    };
    let most = patience.map_or_else(String::new, |patience| format!(", for {} at most", format_duration(patience)));
    lastword::apart::apart(work, paths, patience, |path, answers| {
        if STATE.get().is_some_and(|state| state == path) {
            SILENT.store(!answers, Ordering::Relaxed);
        }
        let waits = || format!("does not answer, and is waited for{most}; Ctrl-C or a signal ends that");
        note(&format!("{}: {}", quoted(path), if answers { "answers again".to_owned() } else { waits() }));
    })
}

/// Whether the state directory does not answer. An end in order would wait for it; nothing waits for a configuration.
pub(crate) fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// What is said of a path that has not answered for so long.
pub(crate) fn silent_for(path: &Path, patience: Duration) -> Fail {
    Fail::new(CANNOT_OPEN, format!("{}: has not answered for {}", quoted(path), format_duration(patience)))
}

/// What `read` finds in the file that a person named. A file that does not answer is given up; what is no file, as what another
/// command writes, is waited for.
///
/// # Errors
/// Those of reading it, and that it does not answer.
pub(crate) fn read_named<R: Send + 'static>(
    named: &Path,
    read: impl FnOnce(&Path) -> Result<R, Fail> + Send + 'static,
) -> Result<R, Fail> {
    match asked(named, Path::is_file)? {
        true => asked(named, read)?,
        false => read(named),
    }
}

/// What is found at the path that a person named.
///
/// # Errors
/// It does not answer.
pub(crate) fn asked<R: Send + 'static>(named: &Path, ask: impl FnOnce(&Path) -> R + Send + 'static) -> Result<R, Fail> {
    let path = named.to_owned();
    within(READS_WITHIN, move || ask(&path)).ok_or_else(|| silent_for(named, READS_WITHIN))
}
