//! A directory of Parquet files and the collection that is built from it, by the functions that a worker calls.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lastword::core::vocabulary::{Epoch, Name, ObjectHash, Seq, Timestamp, Token};
use lastword::external::{
    Build, BuildError, ExternalSpec, LocalStore, PathSet, ScanRequest, SegmentBuilder, SegmentJob, SourceLocation,
    SourceUri, build, format_of, never_interrupted, scan, store_set,
};
use lastword::objects::FileObjects;
use parquet::column::writer::ColumnWriter;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::failure::Result;

/// Rows of a file: 64 KiB of numbers.
const ROWS: u64 = 8_192;

/// Ten files to a segment.
const SPEC: &str = r#"{"format":"parquet","target_rows":81920}"#;

/// The directory, and what of it was built.
pub(crate) struct Lake {
    directory: PathBuf,
    source: SourceLocation,
    spec: ExternalSpec,
    objects: FileObjects,
    known: Option<PathSet>,
    built: Option<ObjectHash>,
    attempts: u64,
}

impl Lake {
    /// Writes so many files.
    pub(crate) fn write(directory: &Path, files: u64) -> Result<Lake> {
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let lake = Lake {
            source: source(&data)?,
            directory: directory.to_owned(),
            spec: ExternalSpec::parse(SPEC)?,
            objects: FileObjects::open(directory.join("objects-0"))?,
            known: None,
            built: None,
            attempts: 0,
        };
        (0..files).try_for_each(|n| lake.write_file(n, 0))?;
        Ok(lake)
    }

    /// Another content of the same length in one file.
    pub(crate) fn change(&self, n: u64) -> Result<()> {
        self.write_file(n, self.attempts)
    }

    /// As if nothing had been built.
    pub(crate) fn start_over(&mut self) -> Result<()> {
        (self.known, self.built) = (None, None);
        self.objects = FileObjects::open(self.directory.join(format!("objects-{}", self.attempts + 1)))?;
        Ok(())
    }

    /// Scans the directory, stores what was found, and builds it.
    pub(crate) fn build(&mut self, builder: &dyn SegmentBuilder) -> Result<()> {
        self.attempts += 1;
        let before = self.known.take();
        let request = ScanRequest { known: before.as_ref(), applied: before.as_ref(), ..self.request()? };
        let found = scan(&request)?;
        store_set(&self.objects, &found.set, before.as_ref())?;
        let format = format_of(&self.spec.format).ok_or("no such format")?;
        let wall = now()?;
        let outcome = build(&Build {
            collection: &Name::new("lake")?,
            store: &LocalStore,
            format,
            objects: &self.objects,
            source: &self.source,
            spec: &self.spec,
            wanted: found.version,
            known: Some(&found.set),
            applied: before.as_ref(),
            previous: self.built,
            token: Token { epoch: Epoch(1), seq: Seq(self.attempts) },
            builder,
            parallel: 1,
            leftovers: &[],
            stop_check: &never_interrupted,
            finished: &|_| (),
            progress: &|_| (),
            mounts: None,
            most_read: 1 << 29,
            learned: &|_, _, _| (),
            now: &|| wall,
        });
        let outcome = outcome.map_err(|failed| failed.error.to_string())?;
        self.built = Some(outcome.manifest);
        self.known = Some(found.set);
        Ok(())
    }

    fn request(&self) -> Result<ScanRequest<'_>> {
        Ok(ScanRequest::new(&LocalStore, &self.source, now()?))
    }

    fn write_file(&self, n: u64, salt: u64) -> Result<()> {
        let unfinished = self.directory.join("data").join(format!("_{n:06}"));
        let schema = Arc::new(parse_message_type("message numbers { required int64 number; }")?);
        let mut writer = SerializedFileWriter::new(File::create(&unfinished)?, schema, Arc::default())?;
        let mut group = writer.next_row_group()?;
        // So scattered that no encoding makes them fewer bytes.
        let number = |row: u64| (n + salt + row).wrapping_mul(0x9E37_79B9_7F4A_7C15).cast_signed();
        let numbers: Vec<i64> = (0..ROWS).map(number).collect();
        while let Some(mut column) = group.next_column()? {
            let ColumnWriter::Int64ColumnWriter(writer) = column.untyped() else { return Err("no such column".into()) };
            writer.write_batch(&numbers, None, None)?;
            column.close()?;
        }
        group.close()?;
        writer.close()?;
        Ok(fs::rename(&unfinished, unfinished.with_file_name(format!("{n:06}.parquet")))?)
    }
}

pub(crate) fn source(directory: &Path) -> Result<SourceLocation> {
    let path = directory.to_str().ok_or("the path of the data is not UTF-8")?;
    Ok(SourceUri::parse(path)?.resolve(Path::new("/"))?)
}

pub(crate) fn now() -> Result<Timestamp> {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    Ok(Timestamp(u64::try_from(micros)?))
}

/// Reads the files of its segments to their ends and hashes them: the least that a builder does.
pub(crate) struct Reads;

impl SegmentBuilder for Reads {
    fn build(&self, job: &SegmentJob<'_>) -> std::result::Result<Option<Vec<u8>>, BuildError> {
        let mut hasher = blake3::Hasher::new();
        for fragment in job.fragments {
            let file = job.open(fragment)?;
            hasher.update(&file.read(0, usize::try_from(file.len()).unwrap_or(usize::MAX))?);
        }
        Ok(Some(hasher.finalize().as_bytes().to_vec()))
    }
}
