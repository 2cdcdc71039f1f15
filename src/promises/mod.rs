//! What happens when ... A page for each promise: what happens step by step, what is logged and shown, what is left for
//! you to do, what is *not* promised, and the tests that show it.
//!
//! | when | the promise in one sentence |
//! |---|---|
//! | [a source or spec changes during a run](change_during_a_run) | only what was built from the latest inputs is committed |
//! | [the process crashes](crash) | whatever was acknowledged is found again, and nothing starts twice |
//! | [the power is cut](power_cut) | the same, with the default durability |
//! | [the disk is full](full_disk) | the log stops in good order and goes on once there is space |
//! | [a clock jumps](clock_jump) | nothing fails, nothing is due too early, no due time is lost |
//! | [a worker does not respond](unresponsive_worker) | its collection does not wait for it, and its result never counts |
//! | [a source does not respond](unresponsive_source) | the others go on, and whoever is not looked at says so |
//! | [a reply is lost](lost_reply) | the outcome is *unknown*, never wrong, and asking again is harmless |
//! | [a backup is restored](restored_backup) | no token is given out twice, and the sources are followed from there |
//! | [a file changes and its times do not](silent_change) | what is only believed is shown, and a check finds it |
//! | [an object is overwritten](overwritten_object) | no byte of another content is used |
//! | [the state directory is replaced](replaced_directory) | nothing more is acknowledged, and nothing is written for the path |
//! | [a source is emptied](emptied_source) | the old result stays until a person confirms the loss |
//!
//! The events that these pages name are those of `log-dump dump`; `log-dump why STATE NAME` tells them for one
//! collection, with the reason.
//!
//! This module holds no code. A test of the house holds that every page stands in this table, and that every test that
//! a page names exists.

#[doc = include_str!("change_during_a_run.md")]
pub mod change_during_a_run {}

#[doc = include_str!("overwritten_object.md")]
pub mod overwritten_object {}

#[doc = include_str!("clock_jump.md")]
pub mod clock_jump {}

#[doc = include_str!("crash.md")]
pub mod crash {}

#[doc = include_str!("unresponsive_worker.md")]
pub mod unresponsive_worker {}

#[doc = include_str!("unresponsive_source.md")]
pub mod unresponsive_source {}

#[doc = include_str!("emptied_source.md")]
pub mod emptied_source {}

#[doc = include_str!("full_disk.md")]
pub mod full_disk {}

#[doc = include_str!("lost_reply.md")]
pub mod lost_reply {}

#[doc = include_str!("power_cut.md")]
pub mod power_cut {}

#[doc = include_str!("replaced_directory.md")]
pub mod replaced_directory {}

#[doc = include_str!("restored_backup.md")]
pub mod restored_backup {}

#[doc = include_str!("silent_change.md")]
pub mod silent_change {}
