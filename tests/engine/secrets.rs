//! Secrets are named, resolved in the worker, and seen nowhere else.

use std::fs;
use std::path::PathBuf;

use lastword::core::vocabulary::*;
use lastword::worker::{Context, Failure, Worker};

use crate::support::*;
use test_support::trace_listener;

const PLANTED: &str = "hunter2-swordfish";

/// Logs in with the password that its spec names, and fails the first time.
struct Login {
    used: PathBuf,
}

impl Worker for Login {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let spec = context.spec().to_value();
        let named = spec["password"].as_str().and_then(|text| text.strip_prefix("file:")).unwrap_or_default();
        let secret = fs::read_to_string(named)?;
        fs::write(&self.used, secret)?;
        if context.attempt().attempt == 1 {
            Err(Failure::Transient("login refused".into()))
        } else {
            Ok(Built::default())
        }
    }
}

#[test]
fn case_39_a_planted_secret_appears_nowhere() {
    trace_listener::listen();
    let dir = tempfile::tempdir().unwrap();
    let (file, used) = (dir.path().join("password"), dir.path().join("used"));
    fs::write(&file, PLANTED).unwrap();
    let login = used.clone();
    let lab = Lab::with(move |builder| builder.kind(kind("login"), Login { used: login.clone() }));
    let mut told = String::new();

    // Whoever writes the secret itself is refused, without hearing it again.
    for bad in [
        format!(r#"{{"password":"{PLANTED}"}}"#),
        format!(r#"{{"store":{{"Secret-Key":"{PLANTED}"}}}}"#),
        format!(r#"{{"url":"s3://me:{PLANTED}@host/x"}}"#),
        format!(r#"{{"password":"env:OK","password":"{PLANTED}"}}"#),
        format!(r#"{{"password":"{PLANTED}""#),
    ] {
        told += &format!("{:?} ", Spec::parse(&bad).unwrap_err());
    }
    for bad in [format!("https://me:{PLANTED}@host/x"), format!("https://host/x?X-Amz-Signature={PLANTED}")] {
        told += &format!("{:?} ", Source::new(&bad).unwrap_err());
    }

    let mut declaration = declaration("a", &format!(r#"{{"password":"file:{}"}}"#, file.display()));
    declaration.kind = Some(kind("login"));
    lab.handle.declare(declaration).unwrap();
    lab.until_condition("a", "backing_off");
    told += &format!("{:?} {} ", lab.status("a"), lab.view("a").condition);
    lab.clock.advance(std::time::Duration::from_secs(1));
    lab.applied("a", 1);
    assert_eq!(fs::read_to_string(used).unwrap(), PLANTED, "the worker had it");

    told += &format!("{:?} {:?} ", lab.handle.list().unwrap(), lab.handle.stats().unwrap());
    told += &format!("{:?} {:?} {:?} ", lab.handle, lab.harness, lab.events());
    assert!(!told.contains(PLANTED), "{told}");
    let log: Vec<u8> = lab.reader.frames(Seq::ZERO).flat_map(|frame| frame.unwrap().into_bytes()).collect();
    assert!(!log.windows(PLANTED.len()).any(|window| window == PLANTED.as_bytes()));
    let traced = trace_listener::heard();
    assert!(traced.contains("task_completed") && !traced.contains(PLANTED));
}
