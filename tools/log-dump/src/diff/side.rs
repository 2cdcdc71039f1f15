//! A collection at one of the two points, and how it differs from itself at the other.

use std::collections::BTreeMap;

use lastword::core::vocabulary::{CollectionId, Fingerprint, Name, ObjectHash, Policy, Timestamp};
use lastword::core::{CollectionView, State};
use lastword::describe::policy_json;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::changed_files::set_of;

/// The collections at a point.
pub(super) type Side = BTreeMap<Name, At>;

/// A collection at a point: what is compared.
pub(super) struct At {
    pub(super) id: CollectionId,
    pub(super) condition: String,
    /// The files that were observed last.
    pub(super) set: Option<ObjectHash>,
    /// The segments that were applied.
    pub(super) manifest: Option<ObjectHash>,
    fields: Map<String, Value>,
}

/// The collections of `state` for which `holds`.
pub(super) fn side(state: &State, now: Timestamp, holds: impl Fn(&Name) -> bool) -> Side {
    let matching = state.by_name().filter(|(_, collection)| holds(&collection.name));
    matching
        .filter_map(|(id, collection)| {
            let view = CollectionView::of(state, id, now)?;
            let set = set_of(&collection.latest.content);
            Some((collection.name.clone(), At::of(&view, &collection.policy, set)))
        })
        .collect()
}

impl At {
    fn of(view: &CollectionView, policy: &Policy, set: Option<ObjectHash>) -> At {
        let hex = |fingerprint: Option<Fingerprint>| fingerprint.map(|fingerprint| fingerprint.to_string());
        let applied = view.applied.as_ref();
        let mut fields = Map::new();
        let mut field = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        field("incarnation", view.id.0.0.into());
        field("kind", view.kind.as_str().into());
        field("source", view.source.as_str().into());
        // A canonical spec is JSON.
        field("spec", view.spec.to_value());
        field("versioned", view.versioned.into());
        field("policy", serde_json::from_str(&policy_json(policy)).unwrap_or_default());
        field("generation", view.generation.0.into());
        field("latest", hex(view.latest).into());
        field("wanted", hex(view.wanted).into());
        field("applied", hex(applied.map(|applied| applied.fingerprint)).into());
        field("applied_seq", applied.map(|applied| applied.seq.0).into());
        field("rows", applied.and_then(|applied| applied.result.rows).into());
        field("condition", view.condition.name().into());
        field("paused", view.paused.into());
        field("published", view.outbox.as_ref().and_then(|outbox| outbox.published).map(|commit| commit.0).into());
        field("unpublished", view.outbox.as_ref().map(|outbox| outbox.unpublished).into());
        let manifest = applied.and_then(|applied| applied.result.manifest);
        At { id: view.id, condition: view.condition.to_string(), set, manifest, fields }
    }
}

/// One value at the two points; `null` where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) from: Value,
    pub(super) to: Value,
}

/// What differs, by the name of the field; of specs and policies, by their keys: `spec.target_rows`.
pub(super) fn changes(from: Option<&At>, to: Option<&At>) -> BTreeMap<String, Change> {
    let mut found = BTreeMap::new();
    let nothing = Map::new();
    let fields = |at: Option<&At>| at.map_or_else(|| nothing.clone(), |at| flat(&at.fields));
    let (from, to) = (fields(from), fields(to));
    for name in from.keys().chain(to.keys()) {
        let value = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
        let change = Change { from: value(&from), to: value(&to) };
        if change.from != change.to {
            found.insert(name.clone(), change);
        }
    }
    found
}

/// The fields, with those of a spec and a policy one by one.
fn flat(fields: &Map<String, Value>) -> Map<String, Value> {
    let mut found = Map::new();
    for (name, value) in fields {
        match value {
            Value::Object(parts) => {
                found.extend(parts.iter().map(|(part, value)| (format!("{name}.{part}"), value.clone())));
            }
            value => {
                found.insert(name.clone(), value.clone());
            }
        }
    }
    found
}
