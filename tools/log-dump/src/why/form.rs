//! How an answer is written. It must not know the answer.

/// As its reader asked for it.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) json: bool,
    /// All files that an observation found changed, not only the first ones.
    pub(super) files: bool,
}
