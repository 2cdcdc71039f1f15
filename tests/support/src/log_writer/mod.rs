//! A writer for tests, and ways to look at what it wrote.

pub mod past;

use std::path::Path;

use lastword::core::vocabulary::{Epoch, Seq, Timestamp};
use lastword::log::{Durability, Frame, FrameBuilder, IfAbsent, Log, LogError, LogReader, SledLog};

pub struct Writer {
    pub log: Box<SledLog>,
    pub builder: FrameBuilder,
}

impl Writer {
    pub fn open(path: &Path) -> Self {
        Self::open_with(path, Durability::Power)
    }

    pub fn open_with(path: &Path, durability: Durability) -> Self {
        let log = SledLog::open(path, IfAbsent::Create, durability).unwrap();
        Writer { log: Box::new(log), builder: FrameBuilder::new() }
    }

    /// Appends a frame with payloads of these sizes.
    pub fn append(&mut self, sizes: &[usize]) -> Result<(), LogError> {
        let last = self.log.appended();
        self.builder.begin();
        for (index, size) in sizes.iter().enumerate() {
            self.builder.push(1, 1, &payload(last.seq.plus(index as u64 + 1), *size)).unwrap();
        }
        let time = self.log.time().0 + 1;
        let frame = self.builder.seal(last.seq.next(), Epoch(1), Timestamp(time), Timestamp(0), last.hash).unwrap();
        self.log.append(&frame)
    }

    pub fn try_commit(&mut self, sizes: &[usize]) -> Result<(), LogError> {
        self.append(sizes)?;
        self.log.barrier()
    }

    pub fn commit(&mut self, sizes: &[usize]) {
        self.try_commit(sizes).unwrap();
    }

    pub fn frames(&self) -> Vec<Vec<u8>> {
        read_all(self.log.reader().as_ref()).unwrap()
    }

    pub fn close(self) {
        (self.log as Box<dyn Log>).close().unwrap();
    }
}

/// Bytes that differ with the event, do not compress, and can be told again.
pub fn payload(seq: Seq, size: usize) -> Vec<u8> {
    let mut state = seq.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

pub fn read_all(reader: &dyn LogReader) -> Result<Vec<Vec<u8>>, LogError> {
    reader.frames(Seq::ZERO).map(|frame| Ok(frame?.into_bytes())).collect()
}

pub fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame::parse(bytes).unwrap()
}

pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
