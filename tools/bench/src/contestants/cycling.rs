//! lastword with workers that do nothing, watched until their commits are seen.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Built, CollectionId, Command, Declaration, Event, Kind, Name, Source, WorkerName};
use lastword::engine::{Builder, CompletionOutcome, NextAssignment, Response, Watch, WatchError, WatchItem};
use lastword::{Context, Failure, Handle, Reconciler, Worker};

use super::frames::Shape;
use super::lastword::Lastword;
use crate::failure::Result;
use crate::load::{Latencies, Measured, as_f64};
use crate::workload;

/// Collections on their way at the same time: fewer than the queue holds, so that who watches never waits for room.
const WINDOW: usize = 2048;

/// Threads of the pool. A frame can hand out as many tasks; more of them only take turns on the same cores.
const THREADS: usize = 64;

/// Assignments that the driving thread waits for at the same time.
const SEEKING: usize = 1024;

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workers {
    /// The pool of threads.
    Pool,
    /// One thread of the caller's.
    Driven,
}

/// A reconciler whose collections are built by nobody in no time.
pub(crate) struct Cycling {
    // Before what it drives, which would only refuse it otherwise.
    driver: Option<Driver>,
    watch: Watch,
    lastword: Lastword,
    /// Those that are not on their way; the first of them is declared next.
    ready: VecDeque<CollectionId>,
    keys: HashMap<CollectionId, u64>,
    changes: u64,
}

struct Nothing;

impl Worker for Nothing {
    fn run(&self, _context: &Context) -> std::result::Result<Built, Failure> {
        Ok(Built::default())
    }
}

/// The kind that workers who do nothing build.
pub(crate) fn nothing() -> Result<Kind> {
    Ok(Kind::new("nothing")?)
}

/// A reconciler with a pool of workers who do nothing.
pub(crate) fn open_pool(path: &Path, set: impl Fn(Builder) -> Builder) -> Result<Lastword> {
    Lastword::start(set(Reconciler::open(path)).kind(nothing()?, Nothing).workers(THREADS))
}

impl Cycling {
    pub(crate) fn open(path: &Path, collections: u64, workers: Workers) -> Result<Cycling> {
        let (lastword, driver) = match workers {
            Workers::Pool => (open_pool(path, |builder| builder)?, None),
            Workers::Driven => {
                let lastword = Lastword::open(path)?;
                let driver = Driver::start(lastword.handle());
                (lastword, Some(driver))
            }
        };
        lastword.fill_kind(collections, &nothing()?)?;
        wait_until_idle(&lastword.handle())?;
        let mut keys = HashMap::new();
        for status in lastword.handle().list()? {
            let key = status.view.name.as_str().rsplit('.').next().unwrap_or_default().parse()?;
            keys.insert(status.view.id, key);
        }
        let mut ready: Vec<_> = keys.keys().copied().collect();
        ready.sort_unstable();
        let watch = lastword.handle().watch(lastword.handle().stats()?.durable.next());
        Ok(Cycling { driver, watch, lastword, ready: ready.into(), keys, changes: 0 })
    }

    /// As fast as it goes.
    pub(crate) fn saturated(&mut self, span: Duration) -> Result<Measured> {
        let mut asked = HashMap::new();
        let (began, mut latencies) = (Instant::now(), Latencies::new()?);
        while began.elapsed() < span {
            while asked.len() < WINDOW {
                let id = self.declare_next()?;
                asked.insert(id, Instant::now());
            }
            self.see(Duration::from_secs(1), &mut asked, &mut latencies)?;
        }
        let (done, elapsed) = (as_f64(latencies.count()), began.elapsed());
        self.drain(&mut asked, &mut Latencies::new()?)?;
        Ok(Measured { done, elapsed, latencies })
    }

    /// At an even pace of `rate` per second. What is late because the one before it took long counts as late.
    pub(crate) fn paced(&mut self, rate: f64, span: Duration) -> Result<(Measured, Shape)> {
        let before = self.lastword.counters()?;
        let mut asked = HashMap::new();
        let (began, mut latencies, mut sent) = (Instant::now(), Latencies::new()?, 0);
        while began.elapsed() < span {
            let due = Duration::from_secs_f64(as_f64(sent) / rate);
            let now = began.elapsed();
            if due <= now && asked.len() < self.keys.len() / 2 {
                let id = self.declare_next()?;
                asked.insert(id, began + due);
                sent += 1;
            } else {
                self.see(due.saturating_sub(now), &mut asked, &mut latencies)?;
            }
        }
        self.drain(&mut asked, &mut latencies)?;
        let measured = Measured { done: as_f64(latencies.count()), elapsed: began.elapsed(), latencies };
        let shape = self.lastword.shape_since(before, measured.done)?;
        Ok((measured, shape))
    }

    pub(crate) fn close(self) -> Result<()> {
        drop(self.watch);
        drop(self.driver);
        self.lastword.close()
    }

    fn declare_next(&mut self) -> Result<CollectionId> {
        let id = self.ready.pop_front().ok_or("more are on their way than there are collections")?;
        self.changes += 1;
        let key = self.keys.get(&id).copied().unwrap_or_default();
        let source = Source::new(&workload::source(key, self.changes))?;
        let declaration = Declaration::new(Name::new(&workload::name(key))?).source(source);
        // Its commit says that it was accepted.
        drop(self.lastword.handle().submit(Command::Declare(Box::new(declaration)))?);
        Ok(id)
    }

    /// Waits for the next event, and notes it if it is a commit.
    fn see(
        &mut self,
        patience: Duration,
        asked: &mut HashMap<CollectionId, Instant>,
        latencies: &mut Latencies,
    ) -> Result<()> {
        let recorded = match self.watch.next_within(patience) {
            Ok(WatchItem::Event(recorded)) => recorded,
            Ok(WatchItem::Lagged { .. }) | Err(WatchError::TimedOut) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Event::TaskCompleted { .. } = recorded.event
            && let Some(id) = recorded.event.collection(recorded.seq)
            && let Some(since) = asked.remove(&id)
        {
            latencies.add(since.elapsed());
            self.ready.push_back(id);
        }
        Ok(())
    }

    fn drain(&mut self, asked: &mut HashMap<CollectionId, Instant>, latencies: &mut Latencies) -> Result<()> {
        let began = Instant::now();
        while !asked.is_empty() {
            if began.elapsed() > Duration::from_secs(60) {
                return Err(format!("{} collections are not committed after a minute", asked.len()).into());
            }
            self.see(Duration::from_secs(1), asked, latencies)?;
        }
        Ok(())
    }
}

/// Waits until no collection has a live task.
pub(crate) fn wait_until_idle(handle: &Handle) -> Result<()> {
    while handle.stats()?.live > 0 {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The thread that drives a kind from outside: it waits for many assignments at once, as an async runtime would.
struct Driver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Driver {
    fn start(handle: Handle) -> Driver {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Some(thread::spawn(move || run_driver(&handle, &stopped)));
        Driver { stop, thread }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("bench: the driver has failed: {error}");
        }
    }
}

fn run_driver(handle: &Handle, stop: &AtomicBool) -> Result<()> {
    let (kinds, worker) = ([nothing()?], WorkerName::new("driver")?);
    let seek = || handle.assignment(&kinds, &worker, Duration::from_secs(60));
    let mut seeking: VecDeque<NextAssignment> = (0..SEEKING).map(|_| seek()).collect();
    let mut completing: VecDeque<Response<CompletionOutcome>> = VecDeque::new();
    let mut waker = std::task::Context::from_waker(Waker::noop());
    while !stop.load(Ordering::Relaxed) {
        let Some(first) = seeking.pop_front() else { break };
        // They are served in the order in which they asked: whoever waits for the first waits for all.
        let Some(job) = first.wait_timeout(Duration::from_millis(100))? else {
            seeking.push_back(seek());
            continue;
        };
        completing.push_back(handle.complete(job.attempt(), job.fingerprint(), Built::default()));
        seeking.push_back(seek());
        while let Some(next) = seeking.front_mut() {
            let Poll::Ready(job) = std::pin::Pin::new(next).poll(&mut waker) else { break };
            seeking.pop_front();
            let job = job?;
            completing.push_back(handle.complete(job.attempt(), job.fingerprint(), Built::default()));
            seeking.push_back(seek());
        }
        while completing.len() > SEEKING {
            completing.pop_front().map(Response::wait).transpose()?;
        }
    }
    Ok(())
}
