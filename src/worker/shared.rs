//! Workers and observers behind a pointer: what a program shares or chooses at run time is one as well.
//!
//! *Architecture invariant:* it passes on every method, also those with a default: one that is left out would be answered
//! by the default, and nobody would notice. `tests/house/face.rs` holds it.

use std::sync::Arc;

use super::{
    Built, CommitView, Context, DeliveryError, DiscardRequest, Duties, Failure, FieldError, Hint, Observation,
    ObserveError, ObserveRequest, Observer, Source, SourceWatch, Spec, VerifyOutcome, Worker,
};

macro_rules! pass_on {
    ($($pointer:ident)*) => {$(
        impl<W: Worker + ?Sized> Worker for $pointer<W> {
            fn run(&self, context: &Context) -> Result<Built, Failure> {
                (**self).run(context)
            }

            fn check(&self, source: &Source, spec: &Spec) -> Result<(), FieldError> {
                (**self).check(source, spec)
            }

            fn observer(&self) -> Option<&dyn Observer> {
                (**self).observer()
            }

            fn duties(&self) -> Duties {
                (**self).duties()
            }

            fn publish(&self, commit: &CommitView<'_>) -> Result<(), DeliveryError> {
                (**self).publish(commit)
            }

            fn discard(&self, request: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
                (**self).discard(request)
            }

            fn verifies(&self) -> bool {
                (**self).verifies()
            }

            fn verify(&self, commit: &CommitView<'_>) -> Result<VerifyOutcome, DeliveryError> {
                (**self).verify(commit)
            }
        }

        impl<O: Observer + ?Sized> Observer for $pointer<O> {
            fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
                (**self).observe(request)
            }

            fn watch(&self, source: &Source, spec: &Spec, hint: Hint) -> Option<Box<dyn SourceWatch>> {
                (**self).watch(source, spec, hint)
            }

            fn domain(&self, source: &Source) -> Option<String> {
                (**self).domain(source)
            }
        }
    )*};
}

pass_on!(Arc Box);
