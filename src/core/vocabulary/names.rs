//! Names that people give, and what is wrong with one.

use std::fmt;
use std::sync::Arc;

use crate::error::ErrorKind;

/// Bad input: which field, and what is wrong with it or allowed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field, as a path: `name`, `source`, `spec.target_rows`.
    pub field: String,
    /// What is allowed, and what was found.
    pub problem: String,
}

impl FieldError {
    /// An error in `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), problem: problem.into() }
    }

    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for FieldError {}

/// Checks a short text that a person wrote: length in bytes and no control characters.
pub(super) fn check_text(field: &str, text: &str, most: usize) -> Result<(), FieldError> {
    if text.is_empty() {
        return Err(FieldError::new(field, format!("must have 1 to {most} bytes, found none")));
    }
    if text.len() > most {
        return Err(FieldError::new(field, format!("must have 1 to {most} bytes, found {}", text.len())));
    }
    // Nearly every text is plain, which is seen without looking at its characters one by one.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte));
    if !is_plain && let Some(control) = text.chars().find(|c| c.is_control()) {
        return Err(FieldError::new(field, format!("must not hold control characters, found {control:?}")));
    }
    Ok(())
}

/// The traits by which text is read into a checked type, and out of it. `$check` is its constructor.
macro_rules! text_traits {
    ($name:ident, $check:ident) => {
        impl std::str::FromStr for $name {
            type Err = FieldError;

            fn from_str(text: &str) -> Result<Self, FieldError> {
                $name::$check(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = FieldError;

            fn try_from(text: &str) -> Result<Self, FieldError> {
                $name::$check(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    };
}

pub(super) use text_traits;

/// Declares a checked text type.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $field:literal, $most:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("The most bytes a `", $field, "` may have.")]
            pub const MOST_BYTES: usize = $most;

            #[doc = concat!("Checks a `", $field, "`.")]
            ///
            /// # Errors
            /// When it is empty, too long or holds control characters.
            pub fn new(text: &str) -> Result<Self, FieldError> {
                check_text($field, text, Self::MOST_BYTES)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        text_traits!($name, new);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_type! {
    /// The name of a collection: what people call it. 1 to 200 bytes without control characters, so that it fits a line.
    /// What a new collection may be called is narrower ([`Name::check_new`](Name::check_new)). It is **no file name**:
    /// [`Name::as_file_name`](Name::as_file_name) makes one of it.
    Name, "name", 200
}

text_type! {
    /// The kind of a collection: which worker builds it.
    Kind, "kind", 64
}

text_type! {
    /// The incarnation of a worker, as `task_started` names it.
    WorkerName, "worker", 64
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::str::FromStr;

    use super::super::{Source, Spec};
    use super::*;

    fn check<T>(good: &str, bad: &str)
    where
        T: FromStr<Err = FieldError> + for<'t> TryFrom<&'t str, Error = FieldError> + AsRef<str> + Debug + PartialEq,
    {
        let read: T = good.parse().unwrap();
        assert_eq!((read.as_ref(), T::try_from(good).as_ref()), (good, Ok(&read)));
        assert_eq!(bad.parse::<T>().unwrap_err(), T::try_from(bad).unwrap_err());
    }

    #[test]
    fn checked_texts_are_read_by_the_traits_of_every_text() {
        check::<Name>("line item", "");
        check::<Kind>("external", "a\nb");
        check::<WorkerName>("w1", "");
        check::<Source>("lake/", "https://me:hunter2@host/");
        check::<Spec>(r#"{"a":1}"#, "[]");
    }
}
