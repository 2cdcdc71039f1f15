//! The words of `lastword`: identifiers, what is wanted, policies, events, commands.

mod by;
mod command;
mod event;
mod facts;
mod ids;
mod json;
mod limits;
mod names;
mod policy;
mod rejection;
mod secrets;
mod word;

pub use by::*;
pub use command::*;
pub use event::*;
pub use facts::*;
pub use ids::*;
pub use limits::*;
pub use names::*;
pub use policy::*;
pub use rejection::*;
pub use word::*;
