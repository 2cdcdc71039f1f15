//! What users lean on without thinking: handles go to other threads, errors are errors, everything can be printed.

use std::error::Error;
use std::fmt::Debug;

use lastword::core::vocabulary::*;
use lastword::core::{CollectionView, State, Violation};
use lastword::engine::*;
use lastword::worker::{Context, Failure, ObserveError};
use lastword::{codec, evlog, log, objects, reducer, replay};

fn shared<T: Send + Sync + 'static>() {}
fn sent<T: Send + 'static>() {}
fn shown<T: Debug>() {}
fn value<T: Clone + PartialEq + Debug + Send + Sync + 'static>() {}
fn error<T: Error + Send + Sync + 'static>() {}

#[test]
fn handles_go_to_other_threads() {
    shared::<Handle>();
    shared::<Context>();
    sent::<Reconciler>();
    sent::<Builder>();
    sent::<Response<lastword::core::vocabulary::Receipt>>();
    sent::<Watch>();
}

/// The lint holds that everything can be printed; what it prints has to be short.
#[test]
fn what_holds_much_is_printed_in_short() {
    shown::<Builder>();
    shown::<log::PrivateCopy>();
    shown::<objects::tree::Entries<'_>>();
    shown::<objects::tree::TreeWriter<'_>>();
    shown::<evlog::Reader<std::fs::File>>();
    let item = evlog::Item::Object(vec![7; 1 << 20]);
    assert_eq!(format!("{item:?}"), "Object(1048576 bytes)");
}

#[test]
fn errors_are_errors() {
    error::<lastword::Error>();
    error::<FieldError>();
    error::<Rejection>();
    error::<CommandError>();
    error::<SubmitError>();
    error::<StartError>();
    error::<EngineError>();
    error::<WatchError>();
    error::<Failure>();
    error::<ObserveError>();
    error::<Violation>();
    error::<codec::CodecError>();
    error::<log::LogError>();
    error::<log::OpenError>();
    error::<log::FrameError>();
    error::<objects::ObjectError>();
    error::<objects::tree::TreeError>();
    error::<evlog::EvlogError>();
    error::<evlog::ImportError>();
    error::<replay::ReplayError>();
    error::<reducer::ReducerError>();
}

#[test]
fn what_is_said_is_a_value() {
    value::<Command>();
    value::<Declaration>();
    value::<Event>();
    value::<Policy>();
    value::<Limits>();
    value::<By>();
    value::<Receipt>();
    value::<State>();
    value::<CollectionView>();
    value::<CollectionStatus>();
}
