//! Questions that only a process of its own can answer: one whose memory nothing else has touched. The suites that ask
//! them answer them too, see `suites::answer`.

use std::path::PathBuf;
use std::process::Command;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Result;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// How long opening takes, in seconds.
    Open(PathBuf),
    /// What it costs to watch directories in which nothing happens: each below `lake` is the source of a collection.
    Idle { lake: PathBuf, state: PathBuf },
    /// What looks at this directory hold.
    Look(PathBuf),
    /// Resident bytes.
    Resident(Holding),
}

/// What a process holds while it is measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Holding {
    /// An open reconciler.
    Reconciler(PathBuf),
    /// sled, with the last entry read.
    Sled(PathBuf),
    /// sled, with everything read once.
    SledRead(PathBuf),
    /// The state of the last snapshot, and nothing else.
    State(PathBuf),
}

/// Asks a process of its own.
pub(crate) fn ask<T: DeserializeOwned>(question: &Question) -> Result<T> {
    let asked = serde_json::to_string(question)?;
    let output = Command::new(std::env::current_exe()?).args(["--child", &asked]).output()?;
    if !output.status.success() {
        return Err(format!("{asked}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
