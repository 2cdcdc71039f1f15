//! From a changed source to the durable acknowledgement: the old task is aborted and a new one created, over 10,000
//! collections. 1, 16 and 64 clients that wait for each answer, one that keeps thousands of tickets out, and one that
//! declares a thousand at a time, all or none, for those who have transactions.
//!
//! All contestants run at the same time and take turns, so in its turn each has the machine for itself. The baselines
//! write what lastword has written in the same round: frames of as many bytes, each of which counts for as many
//! declarations.

use crate::args::Suite;
use crate::bench::Bench;
use crate::contestants::Peer;
use crate::contestants::frames::{BareSled, Frames, Raw, Shape, write_frames};
use crate::contestants::lastword::Lastword;
use crate::contestants::postgres::Postgres;
use crate::contestants::restate::Restate;
use crate::contestants::sqlite::Sqlite;
use crate::failure::{Result, explain};
use crate::load::{Client, Measured, drive, drive_together};
use crate::ratio::Better;
use crate::report::{Measure, Report, Series, Target};
use crate::workload::Changes;

const COLLECTIONS: u64 = 10_000;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let mut field = Field::start(bench)?;
    for clients in [1, 16, 64] {
        field.blocking(bench, clients)?;
    }
    field.pipelined(bench)?;
    field.together(bench)?;
    field.lastword.close()
}

/// Everybody who takes part.
struct Field {
    lastword: Lastword,
    baselines: [Box<dyn Frames>; 2],
    peers: Vec<(Box<dyn Peer>, Changes)>,
    /// What is declared to lastword.
    changes: Changes,
    /// The best rates of PostgreSQL so far, round by round.
    postgres_at_its_best: Option<Series>,
}

/// What a number of clients measured: of lastword, of the baselines, of the peers.
struct Case {
    lastword: Column,
    others: Vec<Column>,
}

/// Rates and median latencies of one contestant, round by round.
struct Column {
    rate: Series,
    median: Series,
}

impl Column {
    fn new(name: &str) -> Column {
        Column { rate: Series::new(name), median: Series::new(name) }
    }

    fn add(&mut self, measured: &Measured) {
        self.rate.values.push(measured.rate());
        self.median.values.push(measured.latencies.micros(0.5));
    }
}

impl Field {
    fn start(bench: &mut Bench) -> Result<Field> {
        let lastword = Lastword::open(&bench.place.path("declare"))?;
        lastword.fill(COLLECTIONS)?;
        let raw = Raw::new(&bench.place.path("declare-raw"))?;
        let sled = BareSled::new(bench.place.path("declare-sled"));
        let Bench { place, report, .. } = bench;
        let mut peers = Vec::new();
        let postgres = Postgres::start(place, COLLECTIONS).map(|peer| Box::new(peer) as Box<dyn Peer>);
        let sqlite = Sqlite::start(place, COLLECTIONS).map(|peer| Box::new(peer) as Box<dyn Peer>);
        let restate = Restate::start(place).map(|peer| Box::new(peer) as Box<dyn Peer>);
        for (name, peer) in [("PostgreSQL", postgres), ("SQLite", sqlite), ("Restate", restate)] {
            match peer {
                Ok(peer) => peers.push((peer, Changes::over(COLLECTIONS))),
                Err(error) => report.skipped(Suite::Declare, name, &explain(&error)),
            }
        }
        let baselines: [Box<dyn Frames>; 2] = [Box::new(raw), Box::new(sled)];
        Ok(Field { lastword, baselines, peers, changes: Changes::over(COLLECTIONS), postgres_at_its_best: None })
    }

    fn blocking(&mut self, bench: &mut Bench, count: usize) -> Result<()> {
        let mut ours = self.lastword.clients(count);
        let mut theirs = self.peers.iter().map(|(peer, _)| peer.clients(count)).collect::<Result<Vec<_>>>()?;
        let mut case = self.case();
        for round in 0..=bench.rounds() {
            let before = self.lastword.counters()?;
            let measured = drive(&mut ours, &self.changes, bench.turn())?;
            let shape = self.lastword.shape_since(before, measured.done)?;
            let others = self.others(shape, &mut theirs, bench)?;
            // The first round warms everybody up.
            if round > 0 {
                case.add(&measured, &others);
            }
        }
        self.remember_postgres(&case);
        report(&mut bench.report, count, &case);
        Ok(())
    }

    fn others(&mut self, shape: Shape, clients: &mut [Vec<Box<dyn Client>>], bench: &Bench) -> Result<Vec<Measured>> {
        let mut others = Vec::new();
        for baseline in &mut self.baselines {
            others.push(write_frames(&mut **baseline, shape, bench.turn())?);
        }
        for ((_, changes), clients) in self.peers.iter().zip(clients) {
            others.push(drive(clients, changes, bench.turn())?);
        }
        Ok(others)
    }

    fn case(&self) -> Case {
        let baselines = self.baselines.iter().map(|baseline| baseline.name());
        let peers = self.peers.iter().map(|(peer, _)| peer.name());
        Case { lastword: Column::new("lastword"), others: baselines.chain(peers).map(Column::new).collect() }
    }

    fn remember_postgres(&mut self, case: &Case) {
        let Some(found) = case.others.iter().find(|column| column.rate.name == "PostgreSQL") else { return };
        let best = self.postgres_at_its_best.take().filter(|best| best.median() >= found.rate.median());
        self.postgres_at_its_best = Some(best.unwrap_or_else(|| found.rate.clone()));
    }

    fn pipelined(&mut self, bench: &mut Bench) -> Result<()> {
        let mut ours = Series::new("lastword");
        let mut theirs: Vec<Series> = self.baselines.iter().map(|baseline| Series::new(baseline.name())).collect();
        for round in 0..=bench.rounds() {
            let before = self.lastword.counters()?;
            let measured = self.lastword.pipelined(&self.changes, bench.turn())?;
            let shape = self.lastword.shape_since(before, measured.done)?;
            for (baseline, series) in self.baselines.iter_mut().zip(&mut theirs) {
                let written = write_frames(&mut **baseline, shape, bench.turn())?;
                if round > 0 {
                    series.values.push(written.rate());
                }
            }
            if round > 0 {
                ours.values.push(measured.rate());
            }
        }
        let measure = Measure { suite: Suite::Declare, case: "pipelined", unit: "declares/s", better: Better::More };
        for series in &theirs {
            let target = Target { ratio: 0.5, text: ">= 0.5 of the raw limit" };
            bench.report.row(measure, &ours, series, (series.name == "raw limit").then_some(target));
        }
        if let Some(best) = &self.postgres_at_its_best {
            let best = Series { name: "PostgreSQL at its best".to_owned(), values: best.values.clone() };
            let target = Target { ratio: 60.0, text: ">= 60 x PostgreSQL's best" };
            bench.report.row(measure, &ours, &best, Some(target));
        }
        Ok(())
    }
}

impl Field {
    fn together(&mut self, bench: &mut Bench) -> Result<()> {
        /// Fewer than there are collections, so none comes twice in a batch.
        const TOGETHER: usize = 1_000;
        let mut ours = Series::new("lastword");
        let mut theirs: Vec<Series> = self.peers.iter().map(|(peer, _)| Series::new(peer.name())).collect();
        let mut clients = self.lastword.clients(1);
        for (peer, _) in &self.peers {
            clients.extend(peer.clients(1)?);
        }
        for round in 0..=bench.rounds() {
            let changes = std::iter::once(&self.changes).chain(self.peers.iter().map(|(_, changes)| changes));
            let all = std::iter::once(&mut ours).chain(&mut theirs);
            for ((client, changes), series) in clients.iter_mut().zip(changes).zip(all) {
                let rate = drive_together(&mut **client, changes, TOGETHER, bench.turn())?;
                series.values.extend(rate.filter(|_| round > 0));
            }
        }
        let case = "1 client, 1,000 at a time";
        let measure = Measure { suite: Suite::Declare, case, unit: "declares/s", better: Better::More };
        theirs.iter().for_each(|series| bench.report.row(measure, &ours, series, None));
        Ok(())
    }
}

impl Case {
    fn add(&mut self, ours: &Measured, others: &[Measured]) {
        self.lastword.add(ours);
        self.others.iter_mut().zip(others).for_each(|(column, measured)| column.add(measured));
    }
}

fn report(report: &mut Report, clients: usize, case: &Case) {
    let name = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
    for other in &case.others {
        let peer = other.rate.name.as_str();
        if clients == 1 {
            let case_name = format!("{name}, median");
            let measure = Measure { suite: Suite::Declare, case: &case_name, unit: "us", better: Better::Less };
            report.row(measure, &case.lastword.median, &other.median, of_one_client(peer));
        } else {
            let measure = Measure { suite: Suite::Declare, case: &name, unit: "declares/s", better: Better::More };
            let target = if clients == 64 { of_many_clients(peer) } else { None };
            report.row(measure, &case.lastword.rate, &other.rate, target);
        }
    }
}

fn of_one_client(peer: &str) -> Option<Target> {
    match peer {
        "raw limit" => Some(Target { ratio: 1.0 / 2.0, text: "median <= 2 x the raw limit" }),
        "bare sled" => Some(Target { ratio: 1.0 / 1.3, text: "median <= 1.3 x bare sled" }),
        _ => None,
    }
}

fn of_many_clients(peer: &str) -> Option<Target> {
    match peer {
        "PostgreSQL" => Some(Target { ratio: 12.0, text: ">= 12 x PostgreSQL" }),
        "SQLite" => Some(Target { ratio: 15.0, text: ">= 15 x SQLite" }),
        "Restate" => Some(Target { ratio: 80.0, text: ">= 80 x Restate" }),
        _ => None,
    }
}
