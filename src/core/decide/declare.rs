//! `Declare`: what a collection is to be built from. A declaration that says nothing new changes nothing.

use super::Events;
use super::backoff::resync_at;
use super::context::{DecisionContext, declared_generation};
use crate::core::collection::{Collection, Pending};
use crate::core::state::State;
use crate::core::vocabulary::{
    AbortReason, Admission, CollectionId, Content, Declaration, Event, FieldError, Generation, Inputs, OnChange,
    Policy, Rejection, Spec, Timestamp,
};

pub(super) fn declare(
    state: &State,
    declaration: &Declaration,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let existing = state.id_of(&declaration.name).and_then(|id| Some((id, state.collection(id)?)));
    let policy = declared_policy(declaration, existing.map(|(_, collection)| &*collection.policy));
    if let Some(policy) = &policy {
        policy.check()?;
    }
    match existing {
        None => declare_new(declaration, policy.unwrap_or_default(), at, events),
        Some((id, collection)) if declaration.kind.as_ref().is_some_and(|kind| *kind != collection.kind) => {
            change_kind((id, collection), declaration, policy, at, events)
        }
        Some((id, collection)) => change(id, collection, declaration, policy, at, events),
    }
}

/// The policy from here on, if the declaration says something of it.
fn declared_policy(declaration: &Declaration, existing: Option<&Policy>) -> Option<Policy> {
    let policy = match (&declaration.policy_change, &declaration.policy) {
        (Some(change), Some(declared)) => change.of(declared),
        (Some(change), None) => change.of(existing.unwrap_or(&Policy::default())),
        (None, Some(declared)) => declared.clone(),
        (None, None) => return None,
    };
    Some(policy.in_whole_micros())
}

/// Another kind is another life: what the old one observed, made and still has to deliver means nothing to the new one. So
/// the collection is dropped and declared anew, in one frame: nothing that the old kind's attempt completes can commit, its
/// outputs are discarded by the kind that made them, and what is wanted is built anew.
fn change_kind(
    (id, collection): (CollectionId, &Collection),
    declaration: &Declaration,
    policy: Option<Policy>,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let policy = policy.unwrap_or_else(|| (*collection.policy).clone());
    check_revision(collection, declaration, &policy)?;
    let live = collection.status.live();
    // As no other change does, this one does not wait for a task that is retried without an end, or that cannot start before
    // something was delivered.
    let is_kept = collection.is_failing() || (collection.status.running().is_none() && collection.is_undelivered());
    if policy.on_change == OnChange::Reject && live.is_some() && !is_kept {
        return Err(Rejection::TaskIsLive { task: live.map(|task| task.id) });
    }
    let Inputs { source, spec, .. } = &*collection.latest;
    let anew = Declaration {
        source: Some(declaration.source.as_ref().unwrap_or(source).clone()),
        spec: Some(declaration.spec.as_ref().unwrap_or(spec).clone()),
        versioned: Some(declaration.versioned.unwrap_or(collection.versioned)),
        revision: declaration.revision.max(collection.revision),
        ..declaration.clone()
    };
    DecisionContext::of(id, collection, at).abort_task(AbortReason::Dropped, events);
    events.push(Event::CollectionDropped { collection: id });
    let collection_id = CollectionId(events.next());
    declare_new(&anew, policy, at, events)?;
    if collection.paused {
        events.push(Event::CollectionPaused { collection: collection_id });
    }
    Ok(())
}

fn declare_new(declaration: &Declaration, policy: Policy, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    declaration.name.check_new()?;
    let required = |field| FieldError::new(field, "must be given for a new collection");
    let kind = declaration.kind.clone().ok_or_else(|| required("kind"))?;
    let source = declaration.source.clone().ok_or_else(|| required("source"))?;
    let spec = declaration.spec.clone().unwrap_or_default();
    let versioned = declaration.versioned.unwrap_or(true);
    let content = if versioned { Content::Unknown } else { Content::Unversioned };
    let wanted = Inputs { source: source.clone(), spec: spec.clone(), content }.fingerprint();
    let id = CollectionId(events.next());
    events.push(Event::CollectionDeclared {
        name: declaration.name.clone(),
        kind,
        source,
        spec,
        versioned,
        policy: policy.shared(),
        revision: declaration.revision,
        wanted,
    });
    if let Some(fingerprint) = wanted {
        let (generation, not_before, rebuild) = (Generation(1), at, false);
        events.push(Event::TaskCreated { collection: id, generation, fingerprint, not_before, rebuild });
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
    if declaration.versioned.is_some_and(|versioned| versioned != collection.versioned) {
        let problem =
            format!("is {} and cannot be changed; drop the collection and declare it again", collection.versioned);
        return Err(FieldError::new("versioned", problem).into());
    }
    let policy = policy.as_ref().unwrap_or(&collection.policy);
    check_revision(collection, declaration, policy)?;
    let revision = declaration.revision.max(collection.revision);
    if *policy != *collection.policy || revision != collection.revision {
        let resync_at = match collection.resync_at {
            known if policy.resync == collection.policy.resync => known,
            _ if collection.applied.is_none() => None,
            _ => resync_at(policy, events.next(), at),
        };
        events.push(Event::PolicyChanged { collection: id, policy: policy.clone().shared(), revision, resync_at });
    }
    let source = declaration.source.as_ref().filter(|source| **source != collection.latest.source);
    let spec = declaration.spec.as_ref().filter(|spec| **spec != collection.latest.spec);
    let inputs = match (source, spec) {
        (None, None) => return Ok(()),
        (Some(source), None) => collection.resourced(source),
        (None, Some(spec)) => collection.respecified(spec),
        (Some(source), Some(spec)) => Inputs { spec: Spec::clone(spec), ..collection.resourced(source) },
    };
    let (wanted, generation) = (inputs.fingerprint(), declared_generation(collection));
    let context = DecisionContext::of(id, collection, at);
    // What is held is a person's to decide; a declaration does not wait beside it.
    let waits = context.has_to_wait(policy, wanted) && !matches!(collection.pending, Some(Pending::Held { .. }));
    if waits && policy.on_change == OnChange::Reject {
        return Err(Rejection::TaskIsLive { task: collection.status.live().map(|task| task.id) });
    }
    let admission = |wanted| if waits { Admission::Waiting } else { Admission::Admitted { wanted, generation } };
    if let Some(source) = source {
        // If both change, what is wanted in between is what this event alone makes of it.
        let alone = if spec.is_some() { collection.resourced(source).fingerprint() } else { wanted };
        let admission = admission(alone);
        events.push(Event::SourceChanged { collection: id, source: source.clone(), admission });
    }
    if let Some(spec) = spec {
        events.push(Event::SpecChanged { collection: id, spec: spec.clone(), admission: admission(wanted) });
    }
    if !waits {
        context.retarget(wanted, generation, events);
    }
    Ok(())
}

/// Refuses what is older than the last declaration, and what says something else under its number.
fn check_revision(collection: &Collection, declaration: &Declaration, policy: &Policy) -> Result<(), Rejection> {
    let (Some(declared), Some(known)) = (declaration.revision, collection.revision) else { return Ok(()) };
    let Inputs { source, spec, .. } = &*collection.latest;
    let identical = declaration.kind.as_ref().is_none_or(|declared| *declared == collection.kind)
        && declaration.source.as_ref().is_none_or(|declared| declared == source)
        && declaration.spec.as_ref().is_none_or(|declared| declared == spec)
        && *policy == *collection.policy;
    if declared < known || (declared == known && !identical) {
        return Err(Rejection::RevisionTooLow { declared, known });
    }
    Ok(())
}
