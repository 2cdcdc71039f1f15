//! The thinnest path: declare, build, commit, change, supersede, reopen.

use std::sync::Arc;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{Reconciler, Waited};
use lastword::log::MemoryLog;
use lastword::objects::MemoryObjects;
use lastword::replay::{Until, state_at};
use lastword::worker::{Context, Failure, Worker};

struct Echo;

impl Worker for Echo {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let mut turns = if context.spec().as_str().contains("slow") { 2000 } else { 0 };
        while turns > 0 {
            context.checkpoint()?;
            std::thread::sleep(Duration::from_millis(1));
            turns -= 1;
        }
        Ok(Built { output: Some(context.spec().as_str().into()), ..Built::default() })
    }
}

#[test]
fn a_change_during_a_run_has_the_last_word() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let kind = Kind::new("echo").unwrap();
    let name = Name::new("a").unwrap();
    {
        let reconciler = Reconciler::open(&path).kind(kind.clone(), Echo).start().unwrap();
        let handle = reconciler.handle();
        let mut declaration = Declaration::new(name.clone());
        declaration.kind = Some(kind.clone());
        declaration.source = Some(Source::new("s").unwrap());
        declaration.versioned = Some(false);
        declaration.spec = Some(Spec::parse(r#"{"slow":1}"#).unwrap());
        let first = handle.declare(declaration.clone()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        declaration.spec = Some(Spec::parse(r#"{"fast":1}"#).unwrap());
        let second = handle.declare(declaration).unwrap();
        assert_eq!(second.generation, Generation(2));
        let waited = handle.wait_applied(name.clone(), first.generation, Duration::from_secs(5)).unwrap();
        assert!(matches!(waited, Waited::Superseded { .. } | Waited::Applied { .. }), "{waited:?}");
        let waited = handle.wait_applied(name.clone(), second.generation, Duration::from_secs(5)).unwrap();
        assert!(matches!(waited, Waited::Applied { generation: Generation(2), .. }), "{waited:?}");
        reconciler.shutdown(Duration::from_secs(5)).unwrap();
    }
    let reconciler = Reconciler::open(&path).kind(kind, Echo).start().unwrap();
    let status = reconciler.handle().status(name).unwrap().unwrap();
    assert_eq!(status.view.applied.unwrap().result.output.as_deref(), Some(r#"{"fast":1}"#));
}

#[test]
fn live_state_equals_replay() {
    let log = MemoryLog::new();
    let reader = lastword::log::Log::reader(&log);
    let reconciler = Reconciler::on(Box::new(log), Arc::new(MemoryObjects::new())).start().unwrap();
    let handle = reconciler.handle();
    for n in 0..50 {
        let mut declaration = Declaration::new(Name::new(&format!("c{n}")).unwrap());
        declaration.kind = Some(Kind::new("nobody").unwrap());
        declaration.source = Some(Source::new("s").unwrap());
        handle.declare(declaration).unwrap();
    }
    let (seq, digest) = handle.digest().unwrap();
    assert_eq!(state_at(&*reader, Until::Seq(seq)).unwrap().digest(), digest);
}
