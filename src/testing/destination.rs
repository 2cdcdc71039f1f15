//! A destination in memory that compares tokens, as a real one should.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::vocabulary::Token;
use crate::error::ErrorKind;
use crate::worker::{DeliveryError, Failure};

/// Values by key. A write with a lower token than the newest that a key has seen is refused, so that a zombie can do
/// no harm; every write is recorded, the refused ones too. Clones are the same destination.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<String, Held>,
    writes: Vec<Write>,
}

#[derive(Debug)]
struct Held {
    token: Token,
    value: Option<Vec<u8>>,
}

/// One write that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub key: String,
    /// By which attempt.
    pub token: Token,
    /// What; nothing for a removal.
    pub value: Option<Vec<u8>>,
    /// Whether it was refused because of a newer token.
    pub refused: bool,
}

/// A write was refused: its key has seen a newer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The token of the write.
    pub token: Token,
    /// The newest that the key has seen.
    pub newest: Token,
}

impl Refused {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Refused
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the destination refused token {}: it has seen {}", self.token, self.newest)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Failure {
    /// Only an attempt that may not commit any more is refused.
    fn from(refused: Refused) -> Failure {
        Failure::Transient(refused.to_string())
    }
}

impl From<Refused> for DeliveryError {
    fn from(refused: Refused) -> DeliveryError {
        DeliveryError(refused.to_string())
    }
}

impl Destination {
    /// A destination that holds nothing.
    #[must_use]
    pub fn new() -> Destination {
        Destination::default()
    }

    /// Writes a value.
    ///
    /// # Errors
    /// When the key has seen a newer token.
    pub fn write(&self, key: &str, token: Token, value: impl Into<Vec<u8>>) -> Result<(), Refused> {
        self.put(key, token, Some(value.into()))
    }

    /// Removes a value; the key keeps the token.
    ///
    /// # Errors
    /// When the key has seen a newer token.
    pub fn remove(&self, key: &str, token: Token) -> Result<(), Refused> {
        self.put(key, token, None)
    }

    /// The value of a key.
    #[must_use]
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.inner().held.get(key)?.value.clone()
    }

    /// The keys that have a value, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let inner = self.inner();
        inner.held.iter().filter(|(_, held)| held.value.is_some()).map(|(key, _)| key.clone()).collect()
    }

    /// The newest token that a key has seen: who wrote it.
    #[must_use]
    pub fn writer(&self, key: &str) -> Option<Token> {
        self.inner().held.get(key).map(|held| held.token)
    }

    /// Every write that was tried, in order.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        self.inner().writes.clone()
    }

    fn put(&self, key: &str, token: Token, value: Option<Vec<u8>>) -> Result<(), Refused> {
        let mut inner = self.inner();
        let newest = inner.held.get(key).map(|held| held.token).filter(|newest| *newest > token);
        inner.writes.push(Write { key: key.to_owned(), token, value: value.clone(), refused: newest.is_some() });
        if let Some(newest) = newest {
            return Err(Refused { token, newest });
        }
        inner.held.insert(key.to_owned(), Held { token, value });
        Ok(())
    }

    /// Every change is one insert, so a panic elsewhere leaves it whole.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
