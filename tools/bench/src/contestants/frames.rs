//! The two baselines: they write the bytes that lastword wrote, in frames of the same size, and do nothing else.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::failure::Result;
use crate::load::{Latencies, Measured};

/// Bytes of one value in sled, as in the library: see `src/log/sled/engine.rs`.
const PART_LENGTH: usize = 3_584;

/// Writes frames, each durable before the next one.
pub(crate) trait Frames {
    fn name(&self) -> &'static str;

    /// Begins with nothing, so that what is measured does not depend on how much was written before.
    fn begin(&mut self) -> Result<()>;

    fn write(&mut self, number: u64, frame: &[u8]) -> Result<()>;
}

/// What the frames of a round were like on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes.
    pub(crate) length: usize,
    /// Declarations that one of them acknowledges.
    pub(crate) declares: f64,
}

/// Writes frames of this shape for `span`.
pub(crate) fn write_frames(contestant: &mut dyn Frames, shape: Shape, span: Duration) -> Result<Measured> {
    contestant.begin()?;
    // No byte like its neighbour, and no frame like the one before: nothing on the way can save itself the work.
    let mut frame: Vec<u8> = (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).take(shape.length).collect();
    let mut latencies = Latencies::new()?;
    let (began, mut written) = (Instant::now(), 0);
    while began.elapsed() < span {
        written += 1;
        if let Some(head) = frame.first_chunk_mut::<8>() {
            *head = u64::to_le_bytes(written);
        }
        let asked = Instant::now();
        contestant.write(written, &frame)?;
        latencies.add(asked.elapsed());
    }
    Ok(Measured { done: crate::load::as_f64(written) * shape.declares, elapsed: began.elapsed(), latencies })
}

/// The raw limit: append to a growing file, fdatasync.
pub(crate) struct Raw {
    file: File,
}

impl Raw {
    pub(crate) fn new(path: &Path) -> Result<Raw> {
        Ok(Raw { file: File::options().append(true).create_new(true).open(path)? })
    }
}

impl Frames for Raw {
    fn name(&self) -> &'static str {
        "raw limit"
    }

    fn begin(&mut self) -> Result<()> {
        self.file.set_len(0)?;
        Ok(self.file.sync_all()?)
    }

    fn write(&mut self, _number: u64, frame: &[u8]) -> Result<()> {
        self.file.write_all(frame)?;
        Ok(self.file.sync_data()?)
    }
}

/// sled as the library uses it, without what the library does: insert or batch, flush, sync_data.
pub(crate) struct BareSled {
    path: PathBuf,
    open: Option<(sled::Db, File)>,
}

impl BareSled {
    pub(crate) fn new(path: PathBuf) -> BareSled {
        BareSled { path, open: None }
    }
}

impl Frames for BareSled {
    fn name(&self) -> &'static str {
        "bare sled"
    }

    fn begin(&mut self) -> Result<()> {
        drop(self.open.take());
        if self.path.exists() {
            fs::remove_dir_all(&self.path)?;
        }
        let db = open_sled(&self.path)?;
        let file = File::open(self.path.join("db"))?;
        self.open = Some((db, file));
        Ok(())
    }

    fn write(&mut self, number: u64, frame: &[u8]) -> Result<()> {
        let (db, file) = self.open.as_ref().ok_or("sled is not open")?;
        if frame.len() <= PART_LENGTH {
            db.insert(key(number, 0), frame)?;
        } else {
            let mut batch = sled::Batch::default();
            for (part, value) in (0..).zip(frame.chunks(PART_LENGTH)) {
                batch.insert(&key(number, part), value);
            }
            db.apply_batch(batch)?;
        }
        db.flush()?;
        Ok(file.sync_data()?)
    }
}

/// sled with the settings of the library.
pub(crate) fn open_sled(path: &Path) -> Result<sled::Db> {
    Ok(sled::Config::new().path(path).cache_capacity(64 << 20).flush_every_ms(None).open()?)
}

fn key(number: u64, part: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}
