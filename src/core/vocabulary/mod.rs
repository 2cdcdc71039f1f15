//! The vocabulary of the core: identifiers, inputs, policies, commands, events and facts.

mod by;
mod command;
mod declaration_json;
mod engine_command;
mod event;
mod facts;
mod ids;
mod inputs;
mod json;
mod limits;
mod name_rules;
mod names;
mod policy;
mod policy_change;
mod policy_json;
mod rejection;
mod secrets;

pub use by::*;
pub use command::*;
pub use engine_command::*;
pub use event::*;
pub use facts::*;
pub use ids::*;
pub use inputs::*;
pub use limits::*;
pub(crate) use name_rules::misleads;
pub use names::*;
pub use policy::*;
pub use policy_change::PolicyChange;
pub use rejection::*;
