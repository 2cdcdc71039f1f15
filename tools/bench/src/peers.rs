//! Servers of peers: started by the programs in `tools/bench/peers`, stopped when they are dropped.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Result, explain};

/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to end by itself; what it leaves behind is thrown away anyway.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A server that runs as long as this is held.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
}

impl Server {
    /// Starts `tools/bench/peers/<program>`; what it says goes to `log`.
    pub(crate) fn start(name: &'static str, program: &str, arguments: &[&str], log: &Path) -> Result<Server> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(program);
        let said = File::create(log)?;
        let child = Command::new(&path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Server { name, child })
    }

    /// Waits until `answers` does.
    pub(crate) fn wait_for<T>(&mut self, log: &Path, mut answers: impl FnMut() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        loop {
            let error = match answers() {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended with {status}: {}", self.name, last_line(log)).into());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{} does not answer: {}: {}", self.name, explain(&error), last_line(log)).into());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // The standard library can only kill; asked, a server also ends the processes that it has started.
        let asked = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let began = Instant::now();
        while asked.is_ok() && began.elapsed() < LAST_WORDS {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_line(log: &Path) -> String {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}
