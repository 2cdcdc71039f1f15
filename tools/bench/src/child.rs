//! Questions that only a process of its own can answer: one whose memory nothing else has touched.

use std::path::PathBuf;
use std::process::Command;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::suites::{memory, open};

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// How long opening takes, in seconds.
    Open(PathBuf),
    /// Resident bytes.
    Resident(memory::Holding),
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

/// Is that process: answers on the standard output.
pub(crate) fn answer(asked: &str) -> Result<()> {
    let answer = match serde_json::from_str(asked)? {
        Question::Open(path) => serde_json::to_value(open::seconds(&path)?)?,
        Question::Resident(holding) => serde_json::to_value(memory::resident(&holding)?)?,
    };
    println!("{answer}");
    Ok(())
}
