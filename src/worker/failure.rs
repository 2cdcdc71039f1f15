//! How an attempt fails, as its worker says it.

use std::error::Error;
use std::fmt;

use super::observer::Observation;
use crate::core::vocabulary::FieldError;
use crate::error::ErrorKind;

/// How an attempt failed.
///
/// By `?` it is made of an I/O error, of a [`FieldError`](crate::errors::FieldError), and of a
/// `Box<dyn Error + Send + Sync>`, into which `?` turns any other error:
///
/// ```
/// use lastword::{Built, Context, Failure, Worker};
///
/// struct Sum;
///
/// impl Worker for Sum {
///     fn run(&self, context: &Context) -> Result<Built, Failure> {
///         Ok(sum(context)?)
///     }
/// }
///
/// fn sum(context: &Context) -> Result<Built, Box<dyn std::error::Error + Send + Sync>> {
///     let mut rows = 0;
///     for line in std::fs::read_to_string(context.source().as_str())?.lines() {
///         context.check_stop()?; // stays what it is
///         rows += line.parse::<u64>()?; // transient, like everything that does not say otherwise
///     }
///     Ok(Built { rows: Some(rows), ..Built::default() })
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// Trying again later may help. Charged to the task.
    Transient(String),
    /// Trying again will not help: the task is parked.
    Permanent(String),
    /// The source changed while it was read. Not charged.
    SourceMoved {
        /// Which file or object, and what has become of it: what people are told.
        what: Option<String>,
        /// What the source holds now, if that is known: it counts as an observation.
        observation: Option<Box<Observation>>,
    },
    /// The attempt was told to stop, and did: what [`Context::check_stop`](super::Context::check_stop) returns.
    Stopped,
}

impl Failure {
    /// One that may pass, with the text of any error: `.map_err(Failure::transient)?`.
    pub fn transient(error: impl fmt::Display) -> Failure {
        Failure::Transient(error.to_string())
    }

    /// One that trying again will not help, with the text of any error: `.map_err(Failure::permanent)?`.
    pub fn permanent(error: impl fmt::Display) -> Failure {
        Failure::Permanent(error.to_string())
    }

    /// The source changed while it was read: which file or object, and what has become of it.
    pub fn moved(what: impl fmt::Display) -> Failure {
        Failure::SourceMoved { what: Some(what.to_string()), observation: None }
    }

    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Failure::Transient(_) => ErrorKind::Io,
            Failure::Permanent(_) => ErrorKind::InvalidInput,
            Failure::SourceMoved { .. } => ErrorKind::Busy,
            Failure::Stopped => ErrorKind::Stopped,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Transient(message) | Failure::Permanent(message) => f.write_str(message),
            Failure::SourceMoved { what, .. } => {
                f.write_str("the source changed while it was read")?;
                what.as_ref().map_or(Ok(()), |what| write!(f, ": {what}"))
            }
            Failure::Stopped => f.write_str("the attempt was told to stop"),
        }
    }
}

impl Error for Failure {}

impl From<std::io::Error> for Failure {
    /// An I/O error may pass.
    fn from(error: std::io::Error) -> Failure {
        Failure::transient(error)
    }
}

impl From<FieldError> for Failure {
    /// What was declared stays wrong until it is declared otherwise.
    fn from(error: FieldError) -> Failure {
        Failure::permanent(error)
    }
}

impl From<Box<dyn Error + Send + Sync>> for Failure {
    /// What is known of no error says nothing of trying again, so that is done: the policy says how often. An error that
    /// is a [`Failure`], or has one among its sources, is that failure: a step that was told to stop has not failed,
    /// however often its error was wrapped on the way.
    fn from(error: Box<dyn Error + Send + Sync>) -> Failure {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(one) = cause {
            if let Some(failure) = one.downcast_ref::<Failure>() {
                return failure.clone();
            }
            cause = one.source();
        }
        Failure::transient(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error that wraps another, as those of most error libraries do.
    #[derive(Debug)]
    struct While(Box<dyn Error + Send + Sync>);

    impl fmt::Display for While {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("while it was built")
        }
    }

    impl Error for While {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        fn build(error: Box<dyn Error + Send + Sync>) -> Result<(), Failure> {
            Err(error)?
        }
        build(error.into()).unwrap_err()
    }

    #[test]
    fn defect_35_any_error_becomes_a_failure_and_a_failure_stays_what_it_is() {
        assert_eq!(failed("no such column"), Failure::Transient("no such column".to_owned()));
        let parsed = "x".parse::<u64>().unwrap_err();
        assert_eq!(failed(parsed.clone()), Failure::transient(parsed));
        for failure in
            [Failure::Stopped, Failure::moved("a.csv is gone"), Failure::permanent("no"), Failure::transient("no")]
        {
            assert_eq!(failed(failure.clone()), failure);
            assert_eq!(failed(While(While(failure.clone().into()).into())), failure);
        }
        assert_eq!(failed(While("disk".into())), Failure::transient("while it was built"));
        assert_eq!(Failure::from(FieldError::new("spec.a", "is odd")), Failure::permanent("spec.a: is odd"));
    }
}
