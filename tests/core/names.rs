//! Names that are new, and names that a log has already.

use lastword::core::vocabulary::{
    Command, Declaration, Epoch, Event, Kind, Name, Policy, Recorded, Rejection, Seq, Source, Spec, Timestamp,
};
use lastword::core::{Events, State, decide};

const DANGEROUS: [&str; 5] = ["../../etc/passwd", "/", "..", " a", "gpj.\u{202e}txt"];

fn declaration(name: &str) -> Declaration {
    let declaration = Declaration::new(Name::new(name).unwrap()).kind(Kind::new("files").unwrap());
    declaration.source(Source::new("lake/").unwrap())
}

/// A state to which these names were declared, by a log that knows no rules.
fn with(names: &[&str]) -> State {
    let mut state = State::new();
    let opened = Event::WriterOpened { software: "old".into() };
    let declared = names.iter().map(|name| Event::CollectionDeclared {
        name: Name::new(name).unwrap(),
        kind: Kind::new("files").unwrap(),
        source: Source::new("lake/").unwrap(),
        spec: Spec::default(),
        versioned: true,
        policy: Policy::default().into(),
        revision: None,
        wanted: None,
    });
    for (seq, event) in (1..).zip([opened].into_iter().chain(declared)) {
        state.fold(&Recorded { seq: Seq(seq), at: Timestamp(1), epoch: Epoch(1), by: None, event }).unwrap();
    }
    state
}

/// How many events a command adds.
fn say(state: &State, command: &Command) -> Result<usize, Rejection> {
    let mut events = Events::new();
    decide(state, command, Timestamp(2), &mut events)?;
    Ok(events.as_slice().len())
}

#[test]
fn defect_15_a_dangerous_name_is_refused_where_it_is_declared_first() {
    let state = with(&[]);
    for name in DANGEROUS {
        let refused = say(&state, &Command::Declare(declaration(name).into()));
        let Err(Rejection::Field(error)) = refused else { panic!("{name:?}: {refused:?}") };
        assert_eq!(error.field, "name");
    }
    assert_eq!(say(&state, &Command::Declare(declaration("tenant/orders").into())), Ok(1));
}

#[test]
fn defect_15_a_log_that_has_such_names_opens_and_they_can_be_steered() {
    let state = with(&DANGEROUS);
    for name in DANGEROUS {
        let changed = declaration(name).source(Source::new("other/").unwrap());
        let commands = [
            Command::Declare(changed.into()),
            Command::Pause { name: Name::new(name).unwrap() },
            Command::Drop { name: Name::new(name).unwrap() },
        ];
        for command in commands {
            assert_eq!(say(&state, &command), Ok(1), "{name:?}");
        }
    }
}
