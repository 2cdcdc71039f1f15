//! Sixty-four secrets are planted where people write them by mistake. Each is refused without being repeated, and none
//! of them is found in anything that the library says or keeps.

use std::fmt::Write as _;
use std::fs;

use lastword::core::vocabulary::*;
use lastword::describe::{Describer, view_json};
use lastword::testing::Harness;
use lastword::worker::{Context, Failure, Worker};
use test_support::trace_listener;

/// Where `*` is the secret itself.
const SPECS: [&str; 44] = [
    r#"{"password":"*"}"#,
    r#"{"PASSWORD":"*"}"#,
    r#"{"pass_word":"*"}"#,
    r#"{"db-password":"*"}"#,
    r#"{"passwd":"*"}"#,
    r#"{"pwd":"*"}"#,
    r#"{"ssh_passphrase":"*"}"#,
    r#"{"secret":"*"}"#,
    r#"{"client_secret":"*"}"#,
    r#"{"AWS_SECRET_ACCESS_KEY":"*"}"#,
    r#"{"aws":{"secretAccessKey":"*"}}"#,
    r#"{"access_key":"*"}"#,
    r#"{"api_key":"*"}"#,
    r#"{"Api-Key":["*"]}"#,
    r#"{"apikey":{"value":"*"}}"#,
    r#"{"private.key":"*"}"#,
    r#"{"account_key":"*"}"#,
    r#"{"credentials":{"a":"*"}}"#,
    r#"{"session_token":"*"}"#,
    r#"{"auth_token":"*"}"#,
    r#"{"access_token":"*"}"#,
    r#"{"refreshToken":"*"}"#,
    r#"{"bearer_token":"*"}"#,
    r#"{"x-amz-security-token":"*"}"#,
    r#"{"token":"*"}"#,
    r#"{"sas":"*"}"#,
    r#"{"auth":"*"}"#,
    r#"{"headers":{"Authorization":"Bearer *"}}"#,
    r#"{"bearer":"*"}"#,
    r#"{"sig":"*"}"#,
    r#"{"params":{"steps":[{"name":"x"},{"token":"*"}]}}"#,
    r#"{"url":"https://me:*@host/x"}"#,
    r#"{"url":"see https://ok.example/, then postgres://me:*@db:5432/x"}"#,
    r#"{"urls":["https://host/x?api_key=*"]}"#,
    r#"{"url":"https://host/x?a=1&X-Amz-Signature=*"}"#,
    r#"{"url":"https://host/x?sv=1;sig=*"}"#,
    r#"{"url":"https://me:*/more@host/x"}"#,
    r#"{"dsn":"Server=db;User Id=me;Password=*;"}"#,
    r#"{"dsn":"host=db user=me password=*"}"#,
    r#"{"azure":"AccountName=a;AccountKey=*;EndpointSuffix=x"}"#,
    r#"{"dsn":"me&pwd=*"}"#,
    r#"{"password":"env:OK","password":"*"}"#,
    r#"{"password":"*""#,
    r#"{"password":["env:OK","*"]}"#,
];

const SOURCES: [&str; 12] = [
    "https://me:*@host/x",
    "s3://key:*@bucket/x",
    "file://me:*@localhost/x",
    "postgres://me:*@db:5432/x?sslmode=require",
    "https://host/x?token=*",
    "https://host/x?X-Amz-Credential=*",
    "https://host/x?X-Amz-Security-Token=*",
    "https://host/x?a=b&sig=*",
    "https://host/x?a=b;AccessToken=*",
    "https://me:a/*@host/x",
    "https://ok/x,https://me:*@host/x",
    "ftp://:*@host/x",
];

/// Who asks, and why.
const ASKERS: [&str; 4] =
    ["https://me:*@host/", "because of https://me:*@host/x", "see https://host/?api_key=*", "git://me:*@host ok"];

/// Keys under which a worker finds where its secrets are.
const NAMED: [&str; 4] = ["password", "access_token", "client_secret", "api_key"];

fn planted(n: usize) -> String {
    format!("hunter{n:02}swordfish")
}

/// Reads the secret that its spec names, uses it, and fails the first time.
struct Login;

impl Worker for Login {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let spec = context.spec().to_value();
        let file = spec.as_object().unwrap().values().find_map(|value| value.as_str()?.strip_prefix("file:")).unwrap();
        let secret = fs::read_to_string(file)?;
        assert!(secret.starts_with("hunter"));
        if context.attempt().attempt == 1 { Err(Failure::Transient("refused".into())) } else { Ok(Built::default()) }
    }
}

fn declaration(name: &str, source: &str, spec: Spec) -> Declaration {
    let mut declaration = Declaration::new(Name::new(name).unwrap());
    declaration.kind = Some(Kind::new("login").unwrap());
    declaration.source = Some(Source::new(source).unwrap());
    declaration.spec = Some(spec);
    declaration.versioned = Some(false);
    declaration
}

#[test]
fn case_39_sixty_four_planted_secrets_are_found_nowhere() {
    trace_listener::listen();
    let harness = Harness::with(|builder| builder.kind(Kind::new("login").unwrap(), Login));
    let (mut told, mut n) = (String::new(), 0);
    let mut next = |template: &str| {
        n += 1;
        template.replace('*', &planted(n - 1))
    };

    for template in SPECS {
        let error = Spec::parse(&next(template)).expect_err(template);
        let _ = write!(told, "{error} {error:?} ");
    }
    for template in SOURCES {
        let error = Source::new(&next(template)).expect_err(template);
        let _ = write!(told, "{error} {error:?} ");
    }
    for template in ASKERS {
        let error = By::new(Some("ann"), Some(&next(template))).expect_err(template);
        let _ = write!(told, "{error} {error:?} ");
    }
    let dir = tempfile::tempdir().unwrap();
    for key in NAMED {
        let file = dir.path().join(key);
        fs::write(&file, next("*")).unwrap();
        let spec = Spec::parse(&serde_json::json!({ key: format!("file:{}", file.display()) }).to_string()).unwrap();
        harness.declare(declaration(key, "s", spec));
    }
    assert_eq!(n, 64);

    harness.run_until_settled();
    for key in NAMED {
        harness.assert_committed(key);
        let status = harness.status(key);
        let _ = write!(told, "{status:?} {} ", view_json(&status.view, harness.stats().at));
        told += &harness.history(key);
    }
    let mut describer = Describer::new();
    for event in harness.events() {
        let described = describer.describe(&event);
        let _ = write!(told, "{described} {} {event:?} ", described.json());
    }
    let _ = write!(told, "{:?} {:?} {:?}", harness.handle(), harness.stats(), harness.state().digest());
    let log: Vec<u8> = harness.reader().frames(Seq::ZERO).flat_map(|frame| frame.unwrap().into_bytes()).collect();
    let traced = trace_listener::heard();
    assert!(told.contains("refused") && traced.contains("task_completed"), "it was listened to");
    for secret in (0..n).map(planted) {
        assert!(!told.contains(&secret), "{secret} was told");
        assert!(!traced.contains(&secret), "{secret} was traced");
        assert!(!log.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is in the log");
    }
}

#[test]
fn what_only_looks_like_a_secret_is_allowed() {
    for spec in [
        r#"{"max_tokens":512,"eos_token":"</s>","tokenizer":"bpe","pad_token_id":3}"#,
        r#"{"password":"env:DB_PASSWORD","dsn":"host=db password=env:DB_PASSWORD"}"#,
        r#"{"password":null,"filter":"token = 5","columns":["password"]}"#,
        r#"{"url":"https://host:8080/a@b?page=2&tokens=3"}"#,
    ] {
        assert!(Spec::parse(spec).is_ok(), "{spec}: {:?}", Spec::parse(spec));
    }
}
