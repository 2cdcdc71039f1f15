//! Ends other than a good one: an exit code that scripts know, and a sentence for people.

use std::fmt;

use lastword::codec::CodecError;
use lastword::engine::{CommandError, EngineError, StartError};
use lastword::log::{LogError, OpenError};
use lastword::objects::ObjectError;
use lastword::objects::tree::TreeError;
use lastword::reducer::ReducerError;
use lastword::replay::ReplayError;

/// Something is not as it should be: a collection is not fresh, a stored thing is damaged.
pub(crate) const DEFECT: u8 = 1;
/// The command line, the configuration or a name in them is wrong. The same code as clap's.
pub(crate) const USAGE: u8 = 2;
/// The log or a file cannot be opened: absent, forbidden, busy, I/O.
pub(crate) const CANNOT_OPEN: u8 = 3;
/// Written by a newer program.
pub(crate) const TOO_NEW: u8 = 4;
/// The log ends before its anchor.
pub(crate) const SHORTER: u8 = 5;
/// The events of the log do not follow from each other.
pub(crate) const DIVERGED: u8 = 6;

/// Why the program ends, and with which code.
#[derive(Debug)]
pub struct Fail {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Fail {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Fail {
        Fail { code, message: message.into() }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fail {}

impl From<OpenError> for Fail {
    fn from(error: OpenError) -> Fail {
        let code = match &error {
            error if error.is_too_new() => TOO_NEW,
            error if error.is_shorter_than_anchor() => SHORTER,
            error if error.is_defect() => DEFECT,
            _ => CANNOT_OPEN,
        };
        Fail::new(code, error.to_string())
    }
}

impl From<LogError> for Fail {
    fn from(error: LogError) -> Fail {
        OpenError::from(error).into()
    }
}

impl From<ReplayError> for Fail {
    fn from(error: ReplayError) -> Fail {
        match error {
            ReplayError::Log(error) => error.into(),
            ReplayError::Codec { error: CodecError::Unknown(_), .. } => Fail::new(TOO_NEW, error.to_string()),
            ReplayError::Illegal(_) | ReplayError::Violation { .. } => Fail::new(DIVERGED, error.to_string()),
            error => Fail::new(DEFECT, error.to_string()),
        }
    }
}

impl From<ReducerError> for Fail {
    fn from(error: ReducerError) -> Fail {
        match error {
            ReducerError::Log(error) => error.into(),
            error => Fail::new(DEFECT, error.to_string()),
        }
    }
}

impl From<ObjectError> for Fail {
    fn from(error: ObjectError) -> Fail {
        let code = if matches!(error, ObjectError::Io(..)) { CANNOT_OPEN } else { DEFECT };
        Fail::new(code, error.to_string())
    }
}

impl From<TreeError> for Fail {
    fn from(error: TreeError) -> Fail {
        match error {
            TreeError::Object(error) => error.into(),
            error => Fail::new(DEFECT, error.to_string()),
        }
    }
}

impl From<StartError> for Fail {
    fn from(error: StartError) -> Fail {
        match error {
            StartError::Setting(error) => Fail::new(USAGE, error.to_string()),
            StartError::Log(error) => error.into(),
            StartError::Replay(error) => error.into(),
            StartError::Objects(error) => error.into(),
            StartError::Reducer(error) => error.into(),
            error @ StartError::Thread(_) => Fail::new(CANNOT_OPEN, error.to_string()),
        }
    }
}

impl From<CommandError> for Fail {
    fn from(error: CommandError) -> Fail {
        let code = match &error {
            CommandError::Refused(_) => USAGE,
            CommandError::NotAccepted(_) => CANNOT_OPEN,
            _ => DEFECT,
        };
        Fail::new(code, error.to_string())
    }
}

impl From<EngineError> for Fail {
    fn from(error: EngineError) -> Fail {
        match error {
            EngineError::Reducer(error) => error.into(),
            error @ EngineError::Panicked(_) => Fail::new(DEFECT, error.to_string()),
        }
    }
}
