//! PostgreSQL: one function, one transaction, one round trip for a declaration. A partial unique index keeps a second
//! live task out. `synchronous_commit` is on; what is set beside that stands in `tools/bench/peers/postgres`.

use std::sync::atomic::{AtomicU64, Ordering};

use postgres::{Client as Connection, NoTls, Statement};
use tempfile::TempDir;

use super::Peer;
use crate::failure::Result;
use crate::load::Client;
use crate::peers::Server;
use crate::place::Place;
use crate::workload::{self, Change};

const SCHEMA: &str = "
create table collection (
    id bigint generated always as identity primary key,
    name text not null unique,
    source text not null,
    generation bigint not null default 1,
    applied bigint
);
create table task (
    id bigint generated always as identity primary key,
    collection bigint not null references collection,
    generation bigint not null,
    source text not null,
    status text not null check (status in ('waiting', 'running', 'aborted', 'completed'))
) with (fillfactor = 80);
create unique index one_live_task on task (collection) where status in ('waiting', 'running');
create index next_task on task (id) where status = 'waiting';

create function declare(named text, new_source text) returns bigint language plpgsql as $$
declare
    the_id bigint;
    the_generation bigint;
begin
    update collection set source = new_source, generation = generation + 1
        where name = named and source <> new_source
        returning id, generation into the_id, the_generation;
    if not found then
        return null;
    end if;
    update task set status = 'aborted' where collection = the_id and status in ('waiting', 'running');
    insert into task (collection, generation, source, status) values (the_id, the_generation, new_source, 'waiting');
    return the_generation;
end $$;

-- Locks in the order in which a declaration does: collection, then task. Several at a time, in the order of their ids.
create function complete(taken bigint[]) returns bigint language plpgsql as $$
declare
    done bigint;
begin
    perform from collection where id in (select collection from task where id = any(taken)) order by id for update;
    with completed as (
        update task set status = 'completed' where id = any(taken) and status = 'running'
            returning collection, generation
    )
    update collection set applied = completed.generation from completed where collection.id = completed.collection;
    get diagnostics done = row_count;
    return done;
end $$;
";

const FILL: &str = "
with declared as (
    insert into collection (name, source) select * from unnest($1::text[], $2::text[]) returning id, source
)
insert into task (collection, generation, source, status) select id, 1, source, 'waiting' from declared order by id";

/// A server with a database of its own.
pub(crate) struct Postgres {
    // Before its directories, which it has to let go first.
    _server: Server,
    /// In the directory for short-lived things: the path of a socket has at most 107 bytes.
    sockets: TempDir,
    turns: AtomicU64,
}

impl Postgres {
    pub(crate) fn start(place: &Place, collections: u64) -> Result<Postgres> {
        let sockets = TempDir::new()?;
        let (data, log) = (place.path("postgres"), place.path("postgres.log"));
        let arguments = [data.to_str(), sockets.path().to_str()].map(|path| path.unwrap_or_default());
        let mut server = Server::start("PostgreSQL", "postgres", &arguments, &log)?;
        let mut connection = server.wait_for(&log, || connect(&sockets))?;
        connection.batch_execute(SCHEMA)?;
        let (names, sources): (Vec<String>, Vec<String>) =
            (0..collections).map(|key| (workload::name(key), workload::source(key, 0))).unzip();
        connection.execute(FILL, &[&names, &sources])?;
        // Apart: several statements in one call are one transaction, and a vacuum refuses to be in one.
        connection.batch_execute("vacuum analyze")?;
        connection.batch_execute("checkpoint")?;
        Ok(Postgres { _server: server, sockets, turns: AtomicU64::new(0) })
    }

    /// Counts the turns that it had.
    pub(crate) fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        connect(&self.sockets)
    }
}

fn connect(sockets: &TempDir) -> Result<Connection> {
    let mut config = postgres::Config::new();
    Ok(config.host_path(sockets.path()).user("bench").dbname("postgres").connect(NoTls)?)
}

impl Peer for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn clients(&self, count: usize) -> Result<Vec<Box<dyn Client>>> {
        let client = |_| {
            let mut connection = self.connect()?;
            let declare = connection.prepare("select declare($1, $2)")?;
            let together = connection.prepare(
                "select count(declare(named, source)) from unnest($1::text[], $2::text[]) as t (named, source)",
            )?;
            Ok(Box::new(Blocking { connection, declare, together }) as Box<dyn Client>)
        };
        (0..count).map(client).collect()
    }
}

struct Blocking {
    connection: Connection,
    declare: Statement,
    together: Statement,
}

impl Client for Blocking {
    fn declare(&mut self, change: Change) -> Result<()> {
        let row = self.connection.query_one(&self.declare, &[&change.name, &change.source])?;
        let generation: Option<i64> = row.try_get(0)?;
        generation.map(drop).ok_or_else(|| format!("{} was declared to be what it was", change.name).into())
    }

    fn declare_together(&mut self, changes: Vec<Change>) -> Result<bool> {
        let expected = i64::try_from(changes.len())?;
        let (names, sources): (Vec<String>, Vec<String>) =
            changes.into_iter().map(|change| (change.name, change.source)).unzip();
        let declared: i64 = self.connection.query_one(&self.together, &[&names, &sources])?.try_get(0)?;
        if declared == expected { Ok(true) } else { Err(format!("{declared} of {expected} had changed").into()) }
    }
}
