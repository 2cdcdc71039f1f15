//! Who asked for something, and why.

use super::FieldError;
use super::names::check_text;
use super::secrets::refuse_credential;

/// Who gave a command, and why: recorded with every event that the command led to, and of no consequence for any
/// decision. Each text has 1 to 256 bytes, no control characters and no password.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct By {
    actor: Option<Box<str>>,
    cause: Option<Box<str>>,
}

impl By {
    /// The most bytes that `actor` and `cause` may each have: a name and a sentence, not a protocol.
    pub const MOST_BYTES: usize = 256;

    /// Checks who and why.
    ///
    /// # Errors
    /// When a text is empty, too long, holds control characters or a password, or when there is neither.
    pub fn new(actor: Option<&str>, cause: Option<&str>) -> Result<By, FieldError> {
        for (field, text) in [("actor", actor), ("cause", cause)] {
            if let Some(text) = text {
                refuse_credential(field, text)?;
            }
        }
        By::recorded(actor, cause)
    }

    /// As a log has it: checked when it was given. Rules that became stricter since do not make an old log unreadable.
    pub(crate) fn recorded(actor: Option<&str>, cause: Option<&str>) -> Result<By, FieldError> {
        for (field, text) in [("actor", actor), ("cause", cause)] {
            if let Some(text) = text {
                check_text(field, text, Self::MOST_BYTES)?;
            }
        }
        if actor.is_none() && cause.is_none() {
            return Err(FieldError::new("actor", "an actor, a cause or both must be given"));
        }
        Ok(By { actor: actor.map(Into::into), cause: cause.map(Into::into) })
    }

    /// Who.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}
