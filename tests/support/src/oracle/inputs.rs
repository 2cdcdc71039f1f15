//! What a collection is to be built from, with a fingerprint that is computed from scratch, as `log-format.md` says it.

use std::sync::LazyLock;

use blake3::Hasher;
use lastword::core::vocabulary::{Content, Fingerprint, Inputs, Source, Spec};

/// Inputs, as events tell of them.
#[derive(Clone, Debug)]
pub struct InputsSeen {
    inputs: Inputs,
    fingerprint: Option<Fingerprint>,
}

impl PartialEq for InputsSeen {
    fn eq(&self, other: &InputsSeen) -> bool {
        self.inputs == other.inputs
    }
}

impl InputsSeen {
    pub(super) fn new(inputs: Inputs) -> InputsSeen {
        let fingerprint = fingerprint(&inputs);
        InputsSeen { inputs, fingerprint }
    }

    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Nothing while the content is unknown.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    pub fn source(&self) -> &str {
        self.inputs.source.as_str()
    }

    pub fn spec(&self) -> &str {
        self.inputs.spec.as_str()
    }

    pub fn content(&self) -> &Content {
        &self.inputs.content
    }

    /// Whether it was observed, and holds no file.
    pub(super) fn is_empty(&self) -> bool {
        match &self.inputs.content {
            Content::Observed(observed) => observed.set.is_some_and(|set| set.files == 0),
            Content::Unknown | Content::Unversioned => false,
        }
    }

    pub(super) fn with_source(&self, source: &Source, content: Content) -> InputsSeen {
        InputsSeen::new(Inputs { source: source.clone(), spec: self.inputs.spec.clone(), content })
    }

    pub(super) fn with_spec(&self, spec: &Spec) -> InputsSeen {
        InputsSeen::new(Inputs { spec: spec.clone(), ..self.inputs.clone() })
    }

    pub(super) fn with_content(&self, content: Content) -> InputsSeen {
        InputsSeen::new(Inputs { content, ..self.inputs.clone() })
    }
}

fn fingerprint(inputs: &Inputs) -> Option<Fingerprint> {
    let mut bytes = Vec::new();
    let mut text = |text: &[u8]| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text);
    };
    text(inputs.source.as_str().as_bytes());
    text(inputs.spec.as_str().as_bytes());
    match &inputs.content {
        Content::Unknown => return None,
        Content::Unversioned => bytes.push(0),
        Content::Observed(observed) => {
            let version = observed.version.as_bytes();
            bytes.push(1);
            bytes.extend((version.len() as u64).to_le_bytes());
            bytes.extend(version);
        }
    }
    static CONTEXT: LazyLock<Hasher> = LazyLock::new(|| Hasher::new_derive_key("lastword 2026-11-23 fingerprint v1"));
    Some(Fingerprint(*CONTEXT.clone().update(&bytes).finalize().as_bytes()))
}
