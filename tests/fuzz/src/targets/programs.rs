//! The parts of the tools that parse what comes from outside. They are programs, so their files are included.
#![allow(dead_code, unused_imports, reason = "of each file only its parser is used here")]

#[path = "../../../../tools/log-dump/src/args.rs"]
pub(crate) mod args;
#[path = "../../../../tools/lastword/src/config/mod.rs"]
pub(crate) mod config;
#[path = "../../../../tools/lastword/src/console.rs"]
pub(crate) mod console;
#[path = "../../../../tools/lastword/src/fail.rs"]
pub(crate) mod fail;

pub(crate) mod control;
