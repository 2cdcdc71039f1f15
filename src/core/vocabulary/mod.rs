//! The words of `lastword`: identifiers, what is wanted, policies, events, commands.

mod command;
mod event;
mod ids;
mod json;
mod policy;
mod word;

pub use command::*;
pub use event::*;
pub use ids::*;
pub use policy::*;
pub use word::*;
