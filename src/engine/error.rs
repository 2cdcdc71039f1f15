//! Why a reconciler does not start, or came to its end.

use std::fmt;
use std::io;

use crate::core::vocabulary::FieldError;
use crate::log;
use crate::objects::ObjectError;
use crate::reducer::ReducerError;
use crate::replay::ReplayError;

/// Why a reconciler ended.
#[derive(Debug)]
pub enum EngineError {
    /// Its reducer died.
    Reducer(ReducerError),
    /// Its thread panicked. A bug.
    Panicked(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Reducer(error) => error.fmt(f),
            EngineError::Panicked(text) => write!(f, "a bug in lastword: the engine panicked: {text}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EngineError::Reducer(error) => Some(error),
            EngineError::Panicked(_) => None,
        }
    }
}

/// Why a reconciler could not be started.
#[derive(Debug)]
pub enum StartError {
    /// A setting is out of range.
    Setting(FieldError),
    /// The log could not be opened.
    Log(log::OpenError),
    /// The log was opened and does not add up.
    Replay(ReplayError),
    /// The store of objects could not be opened.
    Objects(ObjectError),
    /// The new epoch could not begin.
    Reducer(ReducerError),
    /// A thread could not be started.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Setting(error) => error.fmt(f),
            StartError::Log(error) => error.fmt(f),
            StartError::Replay(error) => write!(f, "the log does not add up: {error}"),
            StartError::Objects(error) => error.fmt(f),
            StartError::Reducer(error) => error.fmt(f),
            StartError::Thread(error) => write!(f, "a thread could not be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Setting(error) => Some(error),
            StartError::Log(error) => Some(error),
            StartError::Replay(error) => Some(error),
            StartError::Objects(error) => Some(error),
            StartError::Reducer(error) => Some(error),
            StartError::Thread(error) => Some(error),
        }
    }
}
