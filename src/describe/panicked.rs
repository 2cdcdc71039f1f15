//! A panic in one line. The storage engine panics on some kinds of damage, which is an error like any other by the time
//! that it is reported; what its panic says is a help, not a backtrace.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use crate::unwind::is_told;

/// What a hook says of a panic: its place and the first line of its message. Nothing if the last one said the same: a log
/// that is looked at from several sides is damaged on all of them. Nor if it is what the operating system says to the storage
/// engine: whoever has called that reports it, and knows what it means.
#[must_use]
pub fn panicked(info: &PanicHookInfo<'_>) -> Option<String> {
    static LAST: Mutex<String> = Mutex::new(String::new());
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let first_line = text.and_then(|text| text.lines().next()).unwrap_or("no message");
    if is_told() && first_line.contains("Os { code: ") {
        return None;
    }
    let place = info.location().map(|location| format!(" at {}:{}", location.file(), location.line()));
    let line = format!("panicked{}: {first_line}", place.unwrap_or_default());
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    (*last != line).then(|| {
        last.clone_from(&line);
        line
    })
}
