//! Calls that block: of the engine, and of files. A few threads, of which those of commands are never all taken by who only
//! reads.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::limits::{MOST_COMMANDS, MOST_LOOKS, MOST_READS};
use super::refusal::Refusal;
use crate::fail::DEFECT;

/// The most threads of the pool.
pub(super) const MOST_THREADS: usize = MOST_COMMANDS + MOST_READS + MOST_LOOKS;

/// The pool.
pub(super) struct Pool {
    commands: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    looks: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new() -> Pool {
        let places = |most| Arc::new(Semaphore::new(most));
        Pool { commands: places(MOST_COMMANDS), reads: places(MOST_READS), looks: places(MOST_LOOKS) }
    }

    /// Carries out a command; who does not wait for it any more does not stop it.
    pub(super) async fn command<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        call(&self.commands, work).await
    }

    /// Reads a log, or is refused at once: who asks can read it too.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let busy = || Refusal::busy(format!("{MOST_LOOKS} others have the log read already; ask again"));
        let place = Arc::clone(&self.looks).try_acquire_owned().map_err(|_| busy())?;
        carry_out(place, work).await
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
    let place = Arc::clone(places).acquire_owned().await.map_err(|_| ended())?;
    carry_out(place, work).await
}

fn ended() -> Refusal {
    Refusal::new("closed", crate::fail::CANNOT_OPEN, "lastword is shutting down")
}

async fn carry_out<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
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

    #[test]
    fn who_finds_no_place_to_have_the_log_read_is_told_at_once() {
        let runtime = Builder::new_current_thread().enable_time().max_blocking_threads(MOST_THREADS).build().unwrap();
        let (release, hangs) = channel::<()>();
        let hangs = Arc::new(std::sync::Mutex::new(hangs));
        let answered = runtime.block_on(async {
            let pool = Arc::new(Pool::new());
            for _ in 0..MOST_LOOKS {
                let (pool, hangs) = (Arc::clone(&pool), Arc::clone(&hangs));
                drop(tokio::spawn(async move { pool.look(move || hangs.lock().unwrap().recv()).await.is_ok() }));
            }
            while pool.looks.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            let limit = Duration::from_secs(30);
            (timeout(limit, pool.look(|| 7)).await, timeout(limit, pool.read(|| 7)).await)
        });
        drop(release);
        let (looked, read) = answered;
        assert_eq!(looked.expect("it waits for looks that hang").unwrap_err().kind, "busy");
        assert_eq!(read.expect("a read waits for looks that hang").ok(), Some(7));
    }
}
