//! placeholder
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use crate::fail::Fail;
pub(crate) fn demo(_: Option<PathBuf>) -> Result<ExitCode, Fail> { Ok(ExitCode::SUCCESS) }
pub(crate) fn worker_process(_: &Path) -> Result<ExitCode, Fail> { Ok(ExitCode::SUCCESS) }
