//! SQLite, in this process: WAL with `synchronous=FULL`, one transaction for a declaration. It has one writer, so all
//! clients share one connection: several only take turns with more waiting. A partial unique index keeps a second live
//! task out.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::Peer;
use crate::failure::Result;
use crate::load::Client;
use crate::place::Place;
use crate::workload::{self, Change};

const SCHEMA: &str = "
create table collection (
    id integer primary key,
    name text not null unique,
    source text not null,
    generation integer not null default 1
) strict;
create table task (
    id integer primary key,
    collection integer not null references collection,
    generation integer not null,
    source text not null,
    status text not null check (status in ('waiting', 'running', 'aborted', 'completed'))
) strict;
create unique index one_live_task on task (collection) where status in ('waiting', 'running');
";

/// A database in a file.
pub(crate) struct Sqlite {
    connection: Arc<Mutex<Connection>>,
}

impl Sqlite {
    pub(crate) fn start(place: &Place, collections: u64) -> Result<Sqlite> {
        let mut connection = Connection::open(place.path("sqlite.db"))?;
        let mode: String = connection.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(format!("it uses the journal mode {mode}, not WAL").into());
        }
        connection.execute_batch("pragma synchronous = full; pragma cache_size = -65536; pragma foreign_keys = on")?;
        connection.execute_batch(SCHEMA)?;
        let transaction = connection.transaction()?;
        for key in 0..collections {
            let source = workload::source(key, 0);
            transaction
                .prepare_cached("insert into collection (name, source) values (?1, ?2)")?
                .execute(params![workload::name(key), source])?;
            transaction.prepare_cached(INSERT)?.execute(params![transaction.last_insert_rowid(), 1, source])?;
        }
        transaction.commit()?;
        Ok(Sqlite { connection: Arc::new(Mutex::new(connection)) })
    }
}

impl Peer for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn clients(&self, count: usize) -> Result<Vec<Box<dyn Client>>> {
        Ok((0..count).map(|_| Box::new(Blocking(Arc::clone(&self.connection))) as Box<dyn Client>).collect())
    }
}

struct Blocking(Arc<Mutex<Connection>>);

impl Client for Blocking {
    fn declare(&mut self, change: Change) -> Result<()> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        declare(&mut connection, &[change])
    }

    fn declare_together(&mut self, changes: Vec<Change>) -> Result<bool> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        declare(&mut connection, &changes).map(|()| true)
    }
}

const UPDATE: &str = "update collection set source = ?2, generation = generation + 1
    where name = ?1 and source <> ?2 returning id, generation";
const ABORT: &str = "update task set status = 'aborted' where collection = ?1 and status in ('waiting', 'running')";
const INSERT: &str = "insert into task (collection, generation, source, status) values (?1, ?2, ?3, 'waiting')";

/// One transaction.
fn declare(connection: &mut Connection, changes: &[Change]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for Change { name, source } in changes {
        let updated = transaction
            .prepare_cached(UPDATE)?
            .query_row(params![name, source], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
            .optional()?;
        let (id, generation) = updated.ok_or_else(|| format!("{name} was declared to be what it was"))?;
        transaction.prepare_cached(ABORT)?.execute(params![id])?;
        transaction.prepare_cached(INSERT)?.execute(params![id, generation, source])?;
    }
    Ok(transaction.commit()?)
}
