//! Every error of the library as one type, for callers who want one.
//!
//! This is the highest layer: it names all public error types, and nothing in the library names it.

use std::fmt;

use crate::error::ErrorKind;

/// Any error of the library.
///
/// Each operation has an error type of its own, whose variants say what was found. A program that only passes them on
/// takes this one, which `?` makes of all of them:
///
/// ```
/// use lastword::errors::CommandError;
/// use lastword::{ErrorKind, Name, Reconciler};
/// use std::{path::Path, time::Duration};
///
/// fn pause(state: &Path, name: &str) -> Result<(), lastword::Error> {
///     let name = Name::new(name)?; // a FieldError
///     let reconciler = Reconciler::open(state).start()?; // a StartError
///     let paused = reconciler.handle().pause(name); // a CommandError
///     reconciler.shutdown(Duration::from_secs(5))?; // an EngineError
///     paused.map(drop).map_err(lastword::Error::from)
/// }
///
/// # let dir = tempfile::tempdir().unwrap();
/// let state = dir.path().join("state");
/// let error = pause(&state, "lineitem").unwrap_err();
/// match error.kind() {
///     ErrorKind::Refused => println!("{error}"), // there is no such collection
///     ErrorKind::Busy | ErrorKind::TimedOut => println!("try again later"),
///     kind => std::process::exit(kind.exit_code().into()),
/// }
/// // What it was made of is its source.
/// let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
/// assert!(matches!(source, Some(CommandError::Refused(_))));
/// ```
pub struct Error {
    kind: ErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// What a caller does about it: the kind of the error that it was made of.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// The text of the error that it was made of.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// What `main` prints if it returns one: the kind, and the error that it was made of.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Error").field(&self.kind).field(&self.source).finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Makes an [`Error`] of each of the types.
macro_rules! from_each {
    ($($(#[$feature:meta])? $error:ty,)*) => {
        $(
            $(#[$feature])?
            impl From<$error> for Error {
                fn from(error: $error) -> Error {
                    Error { kind: error.kind(), source: Box::new(error) }
                }
            }
        )*
    };
}

from_each! {
    crate::codec::CodecError,
    crate::codec::state::StateError,
    crate::core::Illegal,
    crate::core::Violation,
    crate::core::vocabulary::FieldError,
    crate::core::vocabulary::Rejection,
    crate::engine::CommandError,
    crate::engine::CompactError,
    crate::engine::EngineError,
    crate::engine::StartError,
    crate::engine::SubmitError,
    crate::engine::WatchError,
    crate::evlog::EvlogError,
    crate::evlog::ImportError,
    crate::held::Replaced,
    crate::log::AnchorError,
    crate::log::FrameError,
    crate::log::LogError,
    crate::log::OpenError,
    crate::objects::ObjectError,
    crate::objects::tree::TreeError,
    crate::reducer::ReducerError,
    crate::replay::ReplayError,
    crate::snapshot::Unusable,
    crate::snapshot::SnapshotError,
    crate::snapshot::TakeError,
    crate::worker::DeliveryError,
    crate::worker::Failure,
    crate::worker::ObserveError,
    #[cfg(feature = "sources")] crate::external::BuildError,
    #[cfg(feature = "sources")] crate::external::BuildFailed,
    #[cfg(feature = "sources")] crate::external::FormatError,
    #[cfg(feature = "sources")] crate::external::FragmentError,
    #[cfg(feature = "sources")] crate::external::Interrupted,
    #[cfg(feature = "sources")] crate::external::ManifestError,
    #[cfg(feature = "sources")] crate::external::SourceError,
    #[cfg(feature = "sources")] crate::external::StoreError,
    #[cfg(feature = "sources")] crate::external::VerifyError,
    #[cfg(feature = "testing")] crate::testing::Refused,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Violation;
    use crate::core::vocabulary::{CollectionId, Seq};

    /// What cannot be made outside the crate; `tests/errors.rs` has all the others.
    #[test]
    fn errors_that_only_the_library_makes_have_their_kinds() {
        let violation = Violation { invariant: "SameFold", collection: CollectionId(Seq(1)), found: "nothing" };
        let text = violation.to_string();
        let error = Error::from(violation);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Diverged, text));
        let replaced = crate::held::Replaced { path: "state".into(), found: crate::held::Replacement::Another };
        let error = Error::from(crate::log::LogError::Replaced(replaced.clone()));
        assert_eq!((error.kind(), Error::from(replaced).kind()), (ErrorKind::WrongPath, ErrorKind::WrongPath));
        assert!(error.to_string().contains("state was replaced by another"), "{error}");
        #[cfg(feature = "sources")]
        {
            use crate::external::{BuildError, BuildFailed};
            let failed = BuildFailed { error: BuildError::Panicked("none".to_owned()), built: Vec::new() };
            assert_eq!(Error::from(failed).kind(), ErrorKind::Bug);
        }
    }
}
