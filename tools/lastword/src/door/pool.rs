//! Calls that block: of the engine, and of files. A few threads, of which those of commands are never all taken by who only
//! reads.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::limits::{MOST_COMMANDS, MOST_READS};
use super::refusal::Refusal;
use crate::fail::DEFECT;

/// The most threads of the pool.
pub(super) const MOST_THREADS: usize = MOST_COMMANDS + MOST_READS;

/// The pool.
pub(super) struct Pool {
    commands: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new() -> Pool {
        Pool { commands: Arc::new(Semaphore::new(MOST_COMMANDS)), reads: Arc::new(Semaphore::new(MOST_READS)) }
    }

    /// Carries out a command; who does not wait for it any more does not stop it.
    pub(super) async fn command<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        call(&self.commands, work).await
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        call(&self.reads, work).await
    }
}

async fn call<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let ended = || Refusal::new("closed", crate::fail::CANNOT_OPEN, "lastword is shutting down");
    let place = Arc::clone(places).acquire_owned().await.map_err(|_| ended())?;
    let working = spawn_blocking(move || {
        let _place = place;
        work()
    });
    working.await.map_err(|error| match error.is_panic() {
        // Its text was printed by the hook.
        true => Refusal::new("bug", DEFECT, "the program contradicts itself; its log says more"),
        false => ended(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn commands_have_threads_however_many_reads_hang() {
        let runtime = Builder::new_current_thread().enable_time().max_blocking_threads(MOST_THREADS).build().unwrap();
        let (release, hangs) = channel::<()>();
        let answered = runtime.block_on(async {
            let pool = Arc::new(Pool::new());
            let hangs = Arc::new(std::sync::Mutex::new(hangs));
            for _ in 0..2 * MOST_READS {
                let (pool, hangs) = (Arc::clone(&pool), Arc::clone(&hangs));
                drop(tokio::spawn(async move { pool.read(move || hangs.lock().unwrap().recv()).await.is_ok() }));
            }
            while pool.reads.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            timeout(Duration::from_secs(30), pool.command(|| 7)).await
        });
        drop(release);
        assert_eq!(answered.expect("a command waits for reads that hang").ok(), Some(7));
    }
}
