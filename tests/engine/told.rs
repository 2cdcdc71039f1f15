//! What a service shows of the engine: events and statuses as JSON, from the public face alone.

use lastword::event::Describer;
use lastword::testing::{Gate, Harness, Sources};
use lastword::{Built, Context, Declaration, Failure, Kind, Name, Observer, Recorded, Source, Worker};
use serde_json::Value;

/// Says how far it is, and waits there.
#[derive(Clone)]
struct Slow {
    sources: Sources,
    gate: Gate,
}

impl Worker for Slow {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        context.progress(3, 7);
        self.gate.pass(context)?;
        Ok(Built { rows: Some(7), ..Built::default() })
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(&self.sources)
    }
}

#[test]
fn defect_35_events_and_statuses_are_json_by_themselves() {
    let slow = Slow { sources: Sources::default(), gate: Gate::new() };
    slow.sources.set("notes", [("a", "1")]);
    let harness = Harness::with({
        let slow = slow.clone();
        move |engine| engine.kind(Kind::new("slow").unwrap(), slow.clone())
    });
    slow.gate.shut();
    let declaration = Declaration::new(Name::new("notes").unwrap()).kind(Kind::new("slow").unwrap());
    harness.declare(declaration.source(Source::new("notes").unwrap()));
    slow.gate.until_reached(&harness, 1);
    let status = || -> Value {
        let status = harness.handle().status(Name::new("notes").unwrap()).unwrap().unwrap();
        serde_json::from_str(&status.to_json()).unwrap()
    };
    let running = status();
    assert_eq!((&running["v"], &running["condition"]), (&Value::from(1), &Value::from("running")));
    let live = &running["live"];
    assert_eq!(live["progress"], serde_json::json!({"done": 3, "total": 7}));
    assert_eq!(
        (&live["last_look"]["succeeded"], &live["workers_exhausted"]),
        (&Value::from(true), &Value::from(false))
    );
    assert!(live.get("verification").is_some() && live.get("next_look").is_some(), "{live}");
    // It holds its own now.
    assert!(running["time"].is_string() && live["last_look"]["seconds_ago"].as_f64().is_some());

    let events: Vec<Recorded> = harness.events();
    let mut describer = Describer::new();
    for event in &events {
        let [own, described]: [Value; 2] =
            [event.to_json(), describer.describe(event).json()].map(|json| serde_json::from_str(&json).unwrap());
        let (own, described) = (own.as_object().unwrap(), described.as_object().unwrap());
        assert_eq!(own["seq"], event.seq.0);
        // What it says is the same. What the describer knows beside it is the names of what it refers to.
        assert!(own.iter().all(|(key, value)| described.get(key) == Some(value)), "{own:?}");
        let added = |key: &&String| !own.contains_key(*key);
        let names = ["collection", "generation", "fingerprint"];
        assert!(described.keys().filter(added).all(|key| names.contains(&key.as_str())), "{described:?}");
    }
    let declared = events.iter().map(Recorded::to_json).find(|json| json.contains("collection_declared")).unwrap();
    assert!(declared.contains(r#""collection":"notes""#), "{declared}");
    slow.gate.open();
}
