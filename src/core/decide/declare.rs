//! `Declare`: what a collection is to be built from. A declaration that says nothing new changes nothing.

use super::Events;
use super::follow::{Live, declared_generation, follow};
use crate::core::collection::Collection;
use crate::core::state::State;
use crate::core::vocabulary::{
    CollectionId, Content, Declaration, Event, FieldError, Generation, Policy, Rejection, Spec, Timestamp, Word,
};

pub(super) fn declare(
    state: &State,
    declaration: &Declaration,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let policy = declaration.policy.as_ref().map(Policy::in_whole_micros);
    if let Some(policy) = &policy {
        policy.check()?;
    }
    let existing = state.id_of(&declaration.name).and_then(|id| Some((id, state.collection(id)?)));
    match existing {
        None => declare_new(declaration, policy.unwrap_or_default(), at, events),
        Some((id, collection)) => change(id, collection, declaration, policy, at, events),
    }
}

fn declare_new(declaration: &Declaration, policy: Policy, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    let required = |field| FieldError::new(field, "must be given for a new collection");
    let kind = declaration.kind.clone().ok_or_else(|| required("kind"))?;
    let source = declaration.source.clone().ok_or_else(|| required("source"))?;
    let spec = declaration.spec.clone().unwrap_or_default();
    let versioned = declaration.versioned.unwrap_or(true);
    let content = if versioned { Content::Unknown } else { Content::Unversioned };
    let wanted = Word { source: source.clone(), spec: spec.clone(), content }.fingerprint();
    let id = CollectionId(events.next());
    events.push(Event::CollectionDeclared {
        name: declaration.name.clone(),
        kind,
        source,
        spec,
        versioned,
        policy,
        wanted,
    });
    if let Some(fingerprint) = wanted {
        events.push(Event::TaskCreated { collection: id, generation: Generation(1), fingerprint, not_before: at });
    }
    Ok(())
}

fn change(
    id: CollectionId,
    collection: &Collection,
    declaration: &Declaration,
    policy: Option<Policy>,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    if declaration.kind.as_ref().is_some_and(|kind| *kind != collection.kind) {
        let problem =
            format!("is {:?} and cannot be changed; drop the collection and declare it again", collection.kind);
        return Err(FieldError::new("kind", problem).into());
    }
    if declaration.versioned.is_some_and(|versioned| versioned != collection.versioned) {
        let problem =
            format!("is {} and cannot be changed; drop the collection and declare it again", collection.versioned);
        return Err(FieldError::new("versioned", problem).into());
    }
    if let Some(policy) = policy.filter(|policy| *policy != collection.policy) {
        events.push(Event::PolicyChanged { collection: id, policy });
    }
    let source = declaration.source.as_ref().filter(|source| **source != collection.latest.source);
    let spec = declaration.spec.as_ref().filter(|spec| **spec != collection.latest.spec);
    let generation = declared_generation(collection);
    let word = match (source, spec) {
        (None, None) => return Ok(()),
        (Some(source), None) => collection.resourced(source),
        (None, Some(spec)) => collection.respecified(spec),
        (Some(source), Some(spec)) => Word { spec: Spec::clone(spec), ..collection.resourced(source) },
    };
    let wanted = word.fingerprint();
    if let Some(source) = source {
        // If both change, what is wanted in between is what this event alone makes of it.
        let wanted = collection.resourced(source).fingerprint();
        events.push(Event::SourceChanged { collection: id, source: source.clone(), wanted, generation });
    }
    if let Some(spec) = spec {
        events.push(Event::SpecChanged { collection: id, spec: spec.clone(), wanted, generation });
    }
    follow(id, collection, Live::of(collection, at), wanted, generation, at, events);
    Ok(())
}
