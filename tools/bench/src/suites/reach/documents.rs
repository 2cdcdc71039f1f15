//! A collection of documents, brought from one look to the next by the functions that a worker calls, in whatever store they
//! lie. It must not know which of them has changed.

use std::path::PathBuf;

use lastword::core::vocabulary::{Epoch, Name, ObjectHash, Seq, Token};
use lastword::external::{
    Build, ExternalSpec, NoBuilder, PathSet, ScanRequest, SourceLocation, Store, build, format_of, never_interrupted,
    scan, store_set,
};
use lastword::objects::FileObjects;

use crate::contestants::lake::now;
use crate::failure::Result;

pub(super) struct Documents {
    source: SourceLocation,
    spec: ExternalSpec,
    objects: FileObjects,
    known: Option<PathSet>,
    built: Option<ObjectHash>,
    attempts: u64,
}

impl Documents {
    /// Of which nothing is known yet.
    pub(super) fn of(source: SourceLocation, objects: PathBuf) -> Result<Documents> {
        let (spec, objects) = (ExternalSpec::parse(r#"{"format":"files"}"#)?, FileObjects::open(objects)?);
        Ok(Documents { source, spec, objects, known: None, built: None, attempts: 0 })
    }

    /// A look that finds nothing new.
    pub(super) fn look(&self, store: &dyn Store) -> Result<()> {
        let known = self.known.as_ref();
        let found = scan(&ScanRequest { known, applied: known, ..ScanRequest::new(store, &self.source, now()?) })?;
        match known.is_some_and(|known| known.digest() == found.version) {
            true => Ok(()),
            false => Err("a look at what has not changed found a change".into()),
        }
    }

    /// Looks, stores what was found, and builds it. How many segments are new.
    pub(super) fn build(&mut self, store: &dyn Store) -> Result<u64> {
        self.attempts += 1;
        let before = self.known.take();
        let request = ScanRequest {
            known: before.as_ref(),
            applied: before.as_ref(),
            ..ScanRequest::new(store, &self.source, now()?)
        };
        let found = scan(&request)?;
        store_set(&self.objects, &found.set, before.as_ref())?;
        let wall = now()?;
        let outcome = build(&Build {
            collection: &Name::new("documents")?,
            store,
            format: format_of(&self.spec.format).ok_or("no such format")?,
            objects: &self.objects,
            source: &self.source,
            spec: &self.spec,
            wanted: found.version,
            known: Some(&found.set),
            mounts: Some(&found.mounts),
            most_read: 1 << 29,
            applied: before.as_ref(),
            previous: self.built,
            token: Token { epoch: Epoch(1), seq: Seq(self.attempts) },
            builder: &NoBuilder,
            parallel: 1,
            leftovers: &[],
            stop_check: &never_interrupted,
            finished: &|_| (),
            progress: &|_| (),
            learned: &|_, _, _| (),
            now: &|| wall,
        });
        let outcome = outcome.map_err(|failed| failed.error.to_string())?;
        self.built = Some(outcome.manifest);
        self.known = Some(found.set);
        Ok(outcome.new)
    }
}
