//! Calls of code that is not ours: workers, observers, wakers, watches, subscribers. A panic in it is a value here, and
//! others can see that a thread is in it.
//!
//! *Architecture invariant:* the payload of a panic is dropped only if it is a text. Dropping any other runs code of the one
//! who panicked, which may panic once more and end a thread of the engine.

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// This thread is in code that is not ours.
    static IS_OUT: Cell<bool> = const { Cell::new(false) };
    /// What a panic of this thread says of the operating system is told by whoever has called it.
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
    /// Where others see that.
    static SHOWN: OnceCell<Arc<AtomicBool>> = const { OnceCell::new() };
}

/// Calls `call`. If it panics, the error is what the panic said.
pub(crate) fn catch<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    let before = IS_OUT.replace(true);
    show(true);
    let result = catch_own(call);
    IS_OUT.set(before);
    show(before);
    result
}

/// The same for what is ours, and is not to panic.
pub(crate) fn catch_own<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(text_of)
}

/// The same for a storage engine that panics where a disk fails: what the operating system says is told by the caller, who has
/// words for it.
pub(crate) fn catch_and_tell<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    let before = IS_TOLD.replace(true);
    let result = catch_own(call);
    IS_TOLD.set(before);
    result
}

/// Whether what a panic of this thread says of the operating system is told by its caller.
pub(crate) fn is_told() -> bool {
    IS_TOLD.try_with(Cell::get).unwrap_or(false)
}

/// Says something to whoever listens, who is foreign code as well: what is only informative ends nothing.
pub(crate) fn tell(say: impl FnOnce()) {
    let _ = catch(say);
}

/// Whether this thread is in code that is not ours, and goes on with its own work only when that returns.
pub(crate) fn is_out() -> bool {
    IS_OUT.get()
}

/// From now on `shown` says whether this thread is in code that is not ours.
pub(crate) fn show_in(shown: &Arc<AtomicBool>) {
    let _ = SHOWN.try_with(|cell| cell.set(Arc::clone(shown)));
}

fn show(is_out: bool) {
    // A thread that ends shows nothing any more.
    let _ = SHOWN.try_with(|shown| {
        if let Some(shown) = shown.get() {
            shown.store(is_out, Ordering::Relaxed);
        }
    });
}

/// What a panic said. A payload that is no text is leaked, also an error, whose text is asked for.
pub(crate) fn text_of(panic: Box<dyn Any + Send>) -> String {
    let panic = match panic.downcast::<String>() {
        Ok(text) => return *text,
        Err(panic) => panic,
    };
    let panic = match panic.downcast::<&'static str>() {
        Ok(text) => return (*text).to_owned(),
        Err(panic) => panic,
    };
    let panic = match panic.downcast::<Cow<'static, str>>() {
        Ok(text) => return text.into_owned(),
        Err(panic) => panic,
    };
    let panic = match panic.downcast::<Box<str>>() {
        Ok(text) => return text.into_string(),
        Err(panic) => panic,
    };
    let said = panic
        .downcast_ref::<Box<dyn Error + Send + Sync>>()
        .map(|error| catch_unwind(AssertUnwindSafe(|| error.to_string())));
    std::mem::forget(panic);
    match said {
        Some(Ok(text)) => text,
        // Its error panics when it is asked: once is enough.
        Some(Err(again)) => {
            std::mem::forget(again);
            NO_TEXT.to_owned()
        }
        None => NO_TEXT.to_owned(),
    }
}

const NO_TEXT: &str = "a panic without a text";

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a payload that panics when it is dropped");
        }
    }

    #[test]
    fn a_panic_becomes_its_text_whatever_it_carries() {
        assert_eq!(catch(|| 7), Ok(7));
        assert_eq!(catch(|| panic!("said {}", 1)), Err::<(), _>("said 1".to_owned()));
        assert_eq!(catch(|| panic!("said")), Err::<(), _>("said".to_owned()));
        let bomb = || std::panic::panic_any(Bomb);
        assert_eq!(catch(bomb), Err::<(), _>("a panic without a text".to_owned()));
    }

    #[test]
    fn whatever_has_a_text_says_it() {
        let said = |panic: Box<dyn Any + Send>| text_of(panic);
        assert_eq!(said(Box::new(Cow::Borrowed("borrowed"))), "borrowed");
        assert_eq!(said(Box::new(Cow::<str>::Owned("owned".to_owned()))), "owned");
        assert_eq!(said(Box::new(Box::<str>::from("boxed"))), "boxed");
        let error: Box<dyn Error + Send + Sync> = "an error".into();
        assert_eq!(said(Box::new(error)), "an error");

        #[derive(Debug)]
        struct Mute;
        impl std::fmt::Display for Mute {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("no words")
            }
        }
        impl Error for Mute {}
        let error: Box<dyn Error + Send + Sync> = Box::new(Mute);
        assert_eq!(said(Box::new(error)), NO_TEXT);
    }

    #[test]
    fn defect_25_the_text_of_a_panic_is_taken_over_and_not_kept_beside_its_copy() {
        let text = "x".repeat(1 << 20);
        let there = text.as_ptr();
        let said = text_of(Box::new(text));
        assert_eq!(said.as_ptr(), there);
    }

    #[test]
    fn what_is_told_by_the_caller_is_known_inside_of_the_call_alone() {
        assert_eq!((is_told(), catch_and_tell(is_told), is_told()), (false, Ok(true), false));
        assert_eq!(catch_and_tell(|| panic!("said")), Err::<(), _>("said".to_owned()));
        assert!(!is_told());
    }

    #[test]
    fn others_see_that_a_thread_is_in_foreign_code() {
        let shown = Arc::<AtomicBool>::default();
        let seen = || (is_out(), shown.load(Ordering::Relaxed));
        show_in(&shown);
        assert_eq!((seen(), catch_own(seen), catch(seen)), ((false, false), Ok((false, false)), Ok((true, true))));
        let inside = || (catch(|| ()).is_ok(), seen());
        assert_eq!((catch(inside), seen()), (Ok((true, (true, true))), (false, false)));
        assert!(catch(|| panic!("out")).is_err() && seen() == (false, false));
    }
}
