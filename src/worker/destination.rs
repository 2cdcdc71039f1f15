//! What a kind does for its destination beside building. The contract that a destination has to keep is the page
//! `destination.md`.

use std::fmt;

use crate::core::vocabulary::{Built, CollectionId, Fingerprint, Generation, Kind, Name, Seq, Source, Spec, Token};
use crate::error::ErrorKind;
use crate::objects::Objects;

/// A commit, as [`Worker::publish`](super::Worker::publish) hands it to its destination and
/// [`Worker::verify`](super::Worker::verify) looks for it there.
#[non_exhaustive]
pub struct CommitView<'a> {
    /// The collection.
    pub collection: CollectionId,
    /// Its name.
    pub name: &'a Name,
    /// Its kind.
    pub kind: &'a Kind,
    /// The event that committed it.
    pub commit: Seq,
    /// The token of the attempt that built it: higher than that of every earlier commit.
    pub token: Token,
    /// The fingerprint of what it was built from.
    pub fingerprint: Fingerprint,
    /// The generation that it brought.
    pub generation: Generation,
    /// The source it was built from.
    pub source: &'a Source,
    /// How it was built.
    pub spec: &'a Spec,
    /// What was built.
    pub result: &'a Built,
    /// Where sets of files and manifests are kept.
    pub objects: &'a dyn Objects,
}

/// Outputs that can never be live again, see [`Worker::discard`](super::Worker::discard).
#[non_exhaustive]
pub struct DiscardRequest<'a> {
    /// The event that made them obsolete.
    pub obligation: Seq,
    /// The collection.
    pub collection: CollectionId,
    /// The name that it has, or had.
    pub name: &'a Name,
    /// Its kind.
    pub kind: &'a Kind,
    /// Attempts that ended without a commit, and the one that was replaced if its result named nothing: everything that
    /// they made goes, unless `after` names it. An attempt that was abandoned may still be making more, and is named again
    /// when that is over.
    pub tokens: &'a [Token],
    /// The result that was replaced: everything of it goes, unless `after` names it. Its output is the token of its
    /// attempt, which is then among `tokens`, if it named nothing.
    pub before: Option<&'a Built>,
    /// The result that is live, and that stays; nothing if nothing was committed yet, or nothing stays.
    pub after: Option<&'a Built>,
    /// The result that is live by now, if no commit waits to be published: `after` or a later one. For a kind that cannot read
    /// what `after` names any more: of what is to go, no later result has anything that `after` has not, and what only
    /// `after` has is not live any more. While a commit waits, readers may be shown an earlier result, and this is nothing.
    pub newest: Option<&'a Built>,
    /// The collection was dropped: in the end nothing of it stays, and nothing may be published for it any more, not
    /// even by a publication that hung and goes on now. If `after` is set, a later call gets that result as `before`.
    pub dropped: bool,
    /// Where sets of files and manifests are kept.
    pub objects: &'a dyn Objects,
}

/// What a verification has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyOutcome {
    /// Everything is as it was committed.
    Intact,
    /// Something is missing or differs: what, for people. At most 2,048 bytes of it are kept.
    Drifted(String),
}

/// Why a destination could not be served: for people. At most 2,048 bytes of it are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError(pub String);

impl DeliveryError {
    /// What a caller does about it. The text says no more than that a system outside did not do its part.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Io
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DeliveryError {}

impl From<std::io::Error> for DeliveryError {
    fn from(error: std::io::Error) -> DeliveryError {
        DeliveryError(error.to_string())
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for DeliveryError {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> DeliveryError {
        DeliveryError(error.to_string())
    }
}

impl fmt::Debug for CommitView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommitView { name, commit, token, result, .. } = self;
        f.debug_struct("CommitView")
            .field("name", name)
            .field("commit", commit)
            .field("token", token)
            .field("result", result)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DiscardRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DiscardRequest { name, tokens, before, after, newest, dropped, .. } = self;
        f.debug_struct("DiscardRequest")
            .field("name", name)
            .field("tokens", tokens)
            .field("before", before)
            .field("after", after)
            .field("newest", newest)
            .field("dropped", dropped)
            .finish_non_exhaustive()
    }
}
