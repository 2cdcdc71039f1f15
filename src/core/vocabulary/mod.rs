//! The words of `lastword`: identifiers, what is wanted, commands, events, verdicts.

mod ids;

pub use ids::*;
