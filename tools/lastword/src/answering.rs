//! What a command waits for when a file system does not answer: said once, and no reason to wait for an end in order.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::config::Config;
use crate::console::{note, quoted};
use crate::words::is_config;

/// The state directory does not answer.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The state directory, once it is known.
static STATE: OnceLock<PathBuf> = OnceLock::new();

/// Carries out a command on a thread of its own, so that this one hears signals, and says so if what it depends on does not
/// answer: the file or directory that a person `named`, and the state directory if that is a configuration.
///
/// # Errors
/// What it panicked with.
pub(crate) fn apart<R: Send + 'static>(
    named: Option<PathBuf>,
    work: impl FnOnce() -> R + Send + 'static,
) -> thread::Result<R> {
    let paths = move |ask: lastword::apart::Ask<'_>| {
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
    lastword::apart::apart(work, paths, |path, answers| {
        if STATE.get().is_some_and(|state| state == path) {
            SILENT.store(!answers, Ordering::Relaxed);
        }
        let what =
            if answers { "answers again" } else { "does not answer, and is waited for; Ctrl-C or a signal ends that" };
        note(&format!("{}: {what}", quoted(path)));
    })
}

/// Whether the state directory does not answer. An end in order would wait for it; nothing waits for a configuration.
pub(crate) fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}
