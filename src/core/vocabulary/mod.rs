//! The words of `lastword`: identifiers, what is wanted, policies, events, commands.

mod command;
mod event;
mod facts;
mod ids;
mod json;
mod names;
mod policy;
mod secrets;
mod word;

pub use command::*;
pub use event::*;
pub use facts::*;
pub use ids::*;
pub use names::*;
pub use policy::*;
pub use word::*;
