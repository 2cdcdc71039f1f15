//! PostgreSQL as a queue of tasks: clients declare, workers take with `for update skip locked` and complete. A worker
//! takes several tasks in a transaction and completes them in another: between the two it would work, and a change has
//! to be able to abort what it works on.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client as Connection;

use super::Peer;
use super::postgres::Postgres;
use crate::failure::Result;
use crate::load::{as_f64, drive};
use crate::workload::Changes;

const TAKE: &str = "
update task set status = 'running' where id in (
    select id from task where status = 'waiting' order by id for update skip locked limit $1
) returning id";

const COMPLETE: &str = "select complete($1)";

/// How many ask, how many work, and how many tasks a worker takes at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crew {
    clients: usize,
    workers: usize,
    batch: i64,
}

impl Crew {
    /// Tried before the rounds; the best one takes part. The first was best most often on two cores.
    pub(crate) const CANDIDATES: [Crew; 5] = [
        Crew { clients: 32, workers: 2, batch: 64 },
        Crew { clients: 16, workers: 1, batch: 64 },
        Crew { clients: 32, workers: 4, batch: 256 },
        Crew { clients: 16, workers: 4, batch: 64 },
        Crew { clients: 32, workers: 4, batch: 64 },
    ];
}

impl fmt::Display for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}c {}w x {}", self.clients, self.workers, self.batch)
    }
}

/// Tasks completed per second.
pub(crate) fn cycles(postgres: &Postgres, crew: Crew, collections: u64, span: Duration) -> Result<f64> {
    let mut clients = postgres.clients(crew.clients)?;
    let mut workers = (0..crew.workers).map(|_| postgres.connect()).collect::<Result<Vec<_>>>()?;
    // What earlier turns have left undone would be done now without having been declared.
    postgres.connect()?.execute("update task set status = 'aborted' where status in ('waiting', 'running')", &[])?;
    // Sources that no earlier turn has declared.
    let changes = Changes::over(collections).after(postgres.turn());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let began = Instant::now();
        let threads: Vec<_> =
            workers.iter_mut().map(|connection| scope.spawn(|| work(connection, crew.batch, &stop))).collect();
        let driven = drive(&mut clients, &changes, span);
        stop.store(true, Ordering::Relaxed);
        let elapsed = began.elapsed();
        let mut done = 0;
        for thread in threads {
            done += thread.join().map_err(|_| "a worker panicked")??;
        }
        driven?;
        Ok(as_f64(done) / elapsed.as_secs_f64())
    })
}

fn work(connection: &mut Connection, batch: i64, stop: &AtomicBool) -> Result<u64> {
    let take = connection.prepare(TAKE)?;
    let complete = connection.prepare(COMPLETE)?;
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let taken: Vec<i64> = connection.query(&take, &[&batch])?.iter().map(|row| row.get(0)).collect();
        if taken.is_empty() {
            // It would be told by a notification; a millisecond is quicker than that.
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        let completed: i64 = connection.query_one(&complete, &[&taken])?.try_get(0)?;
        done += completed.unsigned_abs();
    }
    Ok(done)
}
