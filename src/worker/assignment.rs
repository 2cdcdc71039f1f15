//! What one attempt is to do: plain data, the same for a worker in this process and for a remote one.

use std::sync::Arc;

use crate::core::Applied;
use crate::core::vocabulary::{
    AttemptRef, CollectionId, Content, Fingerprint, Generation, Inputs, Kind, Name, Source, SourceState, Spec,
    Timestamp, Token, Version,
};

/// One attempt: what to build, from what, under which token. A [`Context`](crate::Context) and a
/// [`LeasedAssignment`](crate::remote::LeasedAssignment) give access to it.
#[derive(Clone, Debug)]
pub struct Assignment {
    pub(crate) attempt: AttemptRef,
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) generation: Generation,
    /// The last commit, also under a rebuild.
    pub(crate) committed: Option<Box<Applied>>,
    pub(crate) rebuild: bool,
    pub(crate) leftovers: Box<[Token]>,
    pub(crate) deadline: Option<Timestamp>,
}

impl Assignment {
    /// The collection's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The collection's kind.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The collection's incarnation.
    #[must_use]
    pub fn collection(&self) -> CollectionId {
        self.attempt.collection
    }

    /// The attempt, as every report has to name it.
    #[must_use]
    pub fn attempt(&self) -> AttemptRef {
        self.attempt
    }

    /// The fencing token. Hand it to every destination that can compare tokens.
    #[must_use]
    pub fn token(&self) -> Token {
        self.attempt.token
    }

    /// The source to build from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.inputs.source
    }

    /// How to build it.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.inputs.spec
    }

    /// What the source was observed to hold; `None` for an unversioned collection.
    #[must_use]
    pub fn observed(&self) -> Option<&SourceState> {
        observed_of(&self.inputs)
    }

    /// The version that was observed; `None` for an unversioned collection.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.observed().map(|observed| &observed.version)
    }

    /// The fingerprint of source, spec and version: what the result is built from.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The generation that is built.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The last commit of the collection, to build on; `None` if it is to be built anew.
    #[must_use]
    pub fn applied(&self) -> Option<&Applied> {
        self.committed().filter(|_| !self.rebuild)
    }

    /// The last commit of the collection, by which its source is looked at.
    pub(crate) fn committed(&self) -> Option<&Applied> {
        self.committed.as_deref()
    }

    /// Earlier attempts of the collection that ended without a commit and whose outputs were not discarded. What they
    /// have built may be taken over; under any other token it may be live, or gone in a moment.
    #[must_use]
    pub fn leftovers(&self) -> &[Token] {
        &self.leftovers
    }

    /// When the attempt times out, in the engine's time; `None` if it never does.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
}

/// How many files are applied: none before the first commit, and unknown if a commit names no set of files.
pub(crate) fn files_applied(applied: Option<&Applied>) -> Option<u64> {
    let Some(applied) = applied else { return Some(0) };
    observed_of(&applied.inputs)?.set.map(|set| set.files)
}

/// What these inputs say the source was observed to hold.
pub(crate) fn observed_of(inputs: &Inputs) -> Option<&SourceState> {
    match &inputs.content {
        Content::Observed(observed) => Some(observed),
        Content::Unversioned | Content::Unknown => None,
    }
}
