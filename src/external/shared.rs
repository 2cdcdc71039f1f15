//! Stores, formats and builders behind a pointer: what a program shares or chooses at run time is one as well.
//!
//! *Architecture invariant:* it passes on every method, also those with a default: one that is left out would be answered
//! by the default, and nobody would notice. `tests/house/face.rs` holds it.

use std::path::Path;
use std::sync::Arc;

use super::{
    BuildError, Discard, FieldError, FileReader, Format, FormatError, Listed, Manifest, RowRange, Segment,
    SegmentBuilder, SegmentJob, SourceLocation, SourcePath, Stat, StopCheck, Store, StoreError,
};
use crate::worker::{CommitView, TrafficCounter};

macro_rules! pass_on {
    ($($pointer:ident)*) => {$(
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn list(
                &self,
                source: &SourceLocation,
                stop_check: StopCheck<'_>,
                traffic: &TrafficCounter,
            ) -> Result<Listed, StoreError> {
                (**self).list(source, stop_check, traffic)
            }

            fn stat(&self, source: &SourceLocation, path: &SourcePath) -> Result<Stat, StoreError> {
                (**self).stat(source, path)
            }

            fn open(
                &self,
                source: &SourceLocation,
                path: &SourcePath,
                listed: &Stat,
            ) -> Result<Box<dyn FileReader>, StoreError> {
                (**self).open(source, path, listed)
            }

            fn serves(&self, source: &SourceLocation) -> Result<(), FieldError> {
                (**self).serves(source)
            }

            fn directory<'s>(&self, source: &'s SourceLocation) -> Option<&'s Path> {
                (**self).directory(source)
            }
        }

        impl<F: Format + ?Sized> Format for $pointer<F> {
            fn fragments(
                &self,
                file: &dyn FileReader,
                columns: Option<&[String]>,
            ) -> Result<Vec<RowRange>, FormatError> {
                (**self).fragments(file, columns)
            }

            fn parts(&self, file: &dyn FileReader) -> Result<Vec<u64>, FormatError> {
                (**self).parts(file)
            }

            fn endings(&self) -> &[&'static str] {
                (**self).endings()
            }

            fn is_finished(&self, file: &dyn FileReader) -> Result<bool, FormatError> {
                (**self).is_finished(file)
            }
        }

        impl<B: SegmentBuilder + ?Sized> SegmentBuilder for $pointer<B> {
            fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
                (**self).build(job)
            }

            fn reads(&self) -> bool {
                (**self).reads()
            }

            fn discards(&self) -> bool {
                (**self).discards()
            }

            fn discard(&self, what: &Discard<'_>) -> Result<(), String> {
                (**self).discard(what)
            }

            fn publishes(&self) -> bool {
                (**self).publishes()
            }

            fn publish(&self, publication: &CommitView<'_>, manifest: &Manifest) -> Result<(), String> {
                (**self).publish(publication, manifest)
            }

            fn verify(&self, segment: &Segment) -> Result<(), String> {
                (**self).verify(segment)
            }
        }
    )*};
}

pass_on!(Arc Box);
