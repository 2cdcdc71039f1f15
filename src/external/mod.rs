//! External collections.
