//! What callers may ask for: people, programs and the tools. What the engine tells is in `engine_command.rs`.

use super::{
    CollectionId, Delta, Fingerprint, Generation, Kind, Limits, Missing, Name, Policy, PolicyChange, Seq, Source,
    SourceState, Spec, TaskId,
};

/// Something that a caller asks for. Nothing in it depends on when it is decided: the time comes in beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Says what a collection is to be built from.
    Declare(Box<Declaration>),
    /// Says what a source holds now, or that it cannot be observed. A caller speaks of now, so this is never too old.
    Observe {
        /// Of which collection.
        name: Name,
        /// What was observed.
        outcome: ObservationOutcome,
    },
    /// Observe the source again, try again now.
    Refresh {
        /// Which collection.
        name: Name,
        /// Build anew what is wanted, even if it is applied.
        force: bool,
        /// The last event that the caller had seen: nothing is done if a refresh was requested since, so that
        /// repeating the command is harmless.
        seen: Option<Seq>,
    },
    /// Abort the live task and park.
    Cancel {
        /// Of which collection.
        name: Name,
        /// Only if this is the live task; repeating a cancel that names its task is harmless.
        task: Option<TaskId>,
    },
    /// No new attempts.
    Pause {
        /// Of which collection.
        name: Name,
    },
    /// New attempts again.
    Resume {
        /// Of which collection.
        name: Name,
    },
    /// Accept what is held.
    Confirm {
        /// Of which collection.
        name: Name,
        /// What is accepted; refused if something else is held by now.
        fingerprint: Fingerprint,
    },
    /// Drop the collection.
    Drop {
        /// Which.
        name: Name,
    },
    /// How many attempts may hold a worker at the same time.
    Limit(Limits),
}

impl Command {
    /// The collection that the command names.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        match self {
            Command::Declare(declaration) => Some(&declaration.name),
            Command::Observe { name, .. }
            | Command::Refresh { name, .. }
            | Command::Cancel { name, .. }
            | Command::Pause { name }
            | Command::Resume { name }
            | Command::Confirm { name, .. }
            | Command::Drop { name } => Some(name),
            Command::Limit(_) => None,
        }
    }
}

/// What a collection is to be built from. For a collection that exists, what is `None` stays as it is; for a new
/// one kind and source are required.
///
/// ```
/// use lastword::policy::{OnChange, Policy, PolicyChange};
/// use lastword::{Declaration, Kind, Name, Source, Spec};
///
/// # fn main() -> Result<(), lastword::Error> {
/// let declaration = Declaration::new(Name::new("lineitem")?)
///     .kind(Kind::new("embeddings")?)
///     .source(Source::new("s3://lake/lineitem/")?)
///     .spec(Spec::parse(r#"{ "model": "small", "recipe": 3 }"#)?)
///     .policy(Policy { on_change: OnChange::FinishThenLatest, ..Policy::default() });
///
/// // Later, one thing alone.
/// let cap = Some(std::time::Duration::from_secs(60));
/// let patient = Declaration::new(Name::new("lineitem")?).change_policy(PolicyChange { cap, ..PolicyChange::default() });
///
/// // A spec is compared in its canonical form: neither order nor white space makes a change.
/// assert_eq!(declaration.spec, Some(Spec::parse(r#"{"recipe":3,"model":"small"}"#)?));
/// // Credentials are named, never given.
/// assert!(Source::new("s3://user:password@lake/").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The name.
    pub name: Name,
    /// Which worker builds it. What one kind has applied means nothing to another: a declaration of another kind drops the
    /// collection and declares it anew, in one frame. What it does not say stays as it was, also whether it is paused.
    pub kind: Option<Kind>,
    /// Where the data comes from.
    pub source: Option<Source>,
    /// How it is built. A new collection has `{}` without it.
    pub spec: Option<Spec>,
    /// Whether the content of the source counts. A new collection is versioned without it. It cannot be
    /// changed, but together with the kind.
    pub versioned: Option<bool>,
    /// How it is treated. A new collection has the defaults without it. A policy that is declared replaces all of it.
    pub policy: Option<Policy>,
    /// What of the policy is changed: of the one that is declared with it, or else of the one that the collection has.
    pub policy_change: Option<PolicyChange>,
    /// The caller's number of this declaration, so that one that arrives late does no harm: lower than the last is
    /// refused, equal and identical is no change, equal and different is an error.
    pub revision: Option<u64>,
}

impl Declaration {
    /// A declaration that says nothing yet.
    #[must_use]
    pub fn new(name: Name) -> Declaration {
        Declaration {
            name,
            kind: None,
            source: None,
            spec: None,
            versioned: None,
            policy: None,
            policy_change: None,
            revision: None,
        }
    }

    /// Which worker builds it.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Declaration {
        Declaration { kind: Some(kind), ..self }
    }

    /// Where the data comes from.
    #[must_use]
    pub fn source(self, source: Source) -> Declaration {
        Declaration { source: Some(source), ..self }
    }

    /// How it is built.
    #[must_use]
    pub fn spec(self, spec: Spec) -> Declaration {
        Declaration { spec: Some(spec), ..self }
    }

    /// The content of the source does not count: only source and spec do.
    #[must_use]
    pub fn unversioned(self) -> Declaration {
        Declaration { versioned: Some(false), ..self }
    }

    /// What of the policy is changed; the rest of it stays as it is.
    #[must_use]
    pub fn change_policy(self, change: PolicyChange) -> Declaration {
        Declaration { policy_change: Some(change), ..self }
    }

    /// How it is treated: all of it.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Declaration {
        Declaration { policy: Some(policy), ..self }
    }

    /// The caller's number of this declaration.
    #[must_use]
    pub fn revision(self, revision: u64) -> Declaration {
        Declaration { revision: Some(revision), ..self }
    }
}

/// How many files a source has, and has lost of what the last commit was built from. What counts as a file is the
/// observer's to say: objects of a bucket, documents, rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileCounts {
    /// Files that it has.
    pub files: u64,
    /// Files of what is applied that are not there any more, and what came in their place: `3.into()` if that was not
    /// counted. No more than there were, or the observation is refused. Nothing before the first commit.
    pub missing: Missing,
    /// How many files the applied ones were. Zero before the first commit.
    pub of: u64,
}

fn missing_problem(missing: &Missing, of: u64) -> Option<String> {
    let files = missing.files;
    (files > of).then(|| format!("must not count more files missing than there were: {files} of {of}"))
}

/// What an observation of a source found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservationOutcome {
    /// The content.
    Content {
        /// What the source holds.
        state: SourceState,
        /// What differs from the observation before.
        delta: Option<Delta>,
        /// What of what is applied is gone, and what came in its place, if that is known.
        missing: Option<Missing>,
    },
    /// The content, by an observer that counts files and names none.
    Counted {
        /// What the source holds; it names no set of files.
        state: SourceState,
        /// What differs from the observation before.
        delta: Option<Delta>,
        /// How many files there are, and are gone.
        counts: FileCounts,
    },
    /// The source could not be observed. This says nothing about its content.
    Failed {
        /// Why. At most 2,048 bytes are kept.
        cause: Box<str>,
    },
}

impl ObservationOutcome {
    /// What cannot be true of what is missing, if something cannot. `applied`: how many files are applied, if that is known.
    pub(crate) fn problem(&self, applied: Option<u64>) -> Option<String> {
        match self {
            ObservationOutcome::Content { missing, .. } => missing_problem(missing.as_ref()?, applied?),
            ObservationOutcome::Counted { counts, .. } => missing_problem(&counts.missing, counts.of),
            ObservationOutcome::Failed { .. } => None,
        }
    }
}

/// What an accepted command left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The last event that the command added, if it added any: without one, nothing changed.
    pub seq: Option<Seq>,
    /// The collection it was about.
    pub collection: Option<CollectionId>,
    /// That collection's generation when the command was decided. After a declaration, a confirmation and a rebuild it is
    /// what to wait for. **After an observation and a refresh it may still be the one before**: what is observed settles
    /// first, and what a refresh will find is not known yet. Then wait until the collection's
    /// [`condition`](crate::CollectionView::condition) is fresh by an observation that began after the command
    /// ([`last_observation`](crate::CollectionStatus::last_observation)), which is what [`Handle::settled`] and
    /// [`Handle::wait_settled`] do, or follow the events from `seq` on.
    ///
    /// [`Handle::settled`]: crate::Handle::settled
    /// [`Handle::wait_settled`]: crate::Handle::wait_settled
    pub generation: Generation,
}
