//! Calls of code that is not ours: workers, observers, wakers, watches, subscribers. A panic in it is a value here.
//!
//! *Architecture invariant:* the payload of a panic is never dropped. Dropping it runs code of the one who panicked,
//! which may panic once more and end a thread of the engine.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `call`. If it panics, the error is what the panic said.
pub(crate) fn catch<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(text_of)
}

/// Says something to whoever listens, who is foreign code as well: what is only informative ends nothing.
pub(crate) fn tell(say: impl FnOnce()) {
    let _ = catch(say);
}

/// What a panic said. Its payload is leaked.
pub(crate) fn text_of(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a text").to_owned();
    std::mem::forget(panic);
    text
}

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
        let bomb = || std::panic::panic_any(Bomb);
        assert_eq!(catch(bomb), Err::<(), _>("a panic without a text".to_owned()));
    }
}
