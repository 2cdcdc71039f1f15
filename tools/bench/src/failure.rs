//! The error of this program, and how it is told.

/// What went wrong, for people: a measurement that fails has no other use for its error.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// An error with everything that it leans on: some say little by themselves.
pub(crate) fn explain(error: &Failure) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
