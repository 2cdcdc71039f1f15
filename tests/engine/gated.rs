//! A log whose barriers wait while a gate is shut: what is decided by then is not durable yet.

use std::sync::{Arc, Condvar, Mutex};

use lastword::log::{CheckpointCheck, Frame, Log, LogError, LogReader, MemoryLog, Position, Start};

pub struct Gated {
    log: Box<MemoryLog>,
    gate: Gate,
}

#[derive(Clone)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn shut(&self) {
        *self.0.0.lock().unwrap() = false;
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Gated {
    /// A log, and its gate, which is open.
    pub fn new() -> (Gated, Gate) {
        let gate = Gate(Arc::new((Mutex::new(true), Condvar::new())));
        (Gated { log: Box::default(), gate: gate.clone() }, gate)
    }
}

impl Log for Gated {
    fn append(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        self.log.append(frame)
    }

    fn barrier(&mut self) -> Result<(), LogError> {
        let (open, changed) = &*self.gate.0;
        let guard = changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap();
        drop(guard);
        self.log.barrier()
    }

    fn appended(&self) -> Position {
        self.log.appended()
    }

    fn durable(&self) -> Position {
        self.log.durable()
    }

    fn reader(&self) -> Box<dyn LogReader> {
        self.log.reader()
    }

    fn truncate_prefix(&mut self, start: Start, check: CheckpointCheck) -> Result<(), LogError> {
        self.log.truncate_prefix(start, check)
    }

    fn close(self: Box<Self>) -> Result<(), LogError> {
        self.log.close()
    }
}
