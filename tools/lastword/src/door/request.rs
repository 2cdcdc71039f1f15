//! What may be asked, as a value: read from a request of HTTP, and written as one. It must not know how it travels.

use std::fmt;
use std::time::Duration;

use lastword::core::vocabulary::{By, CollectionId, Fingerprint, Generation, Name, Seq, Timestamp};
use log_dump::{About, Asked};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::given::Given;
use super::looks;
use super::refusal::Refusal;
use super::routes::{self, ROUTES, Route};
use crate::control::{Steer, Verb};
use crate::fail::{Fail, USAGE};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Steer(Steer),
    /// Until `generation` is applied; without one, until an observation that began after `since` finds everything
    /// applied. `since`: the asker's first question, by the engine's clock, as it was answered.
    Wait {
        name: Name,
        generation: Option<Generation>,
        since: Option<Timestamp>,
        /// For at most so long, if that is less than a run waits by itself.
        within: Option<Duration>,
    },
    /// Read the file again.
    Reload(By),
    /// Which run this is, and what it was told for the whole of it.
    Run,
    /// A page of the collections, with what only the running process knows.
    List(Listed),
    /// One collection.
    Show(Name),
    /// What the log has recorded.
    Look(Asked),
    /// What is left of dropped collections.
    Dropped,
    Events(Wanted),
    /// What is told Prometheus.
    Metrics,
    /// The data of the page: whether there is more than what comes before `from`, and nothing after `to`.
    Report {
        from: Option<Seq>,
        before: Option<Seq>,
        to: Option<Seq>,
    },
    /// The page.
    Page,
    /// The OpenAPI document.
    Api,
    /// Whether the process answers.
    Alive,
    /// Whether it can do what it is there for.
    Ready,
}

/// Which collections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Those declared after this one.
    pub(crate) after: Option<CollectionId>,
    /// So many are looked at.
    pub(crate) most: usize,
    pub(crate) matches: Vec<String>,
    pub(crate) conditions: Vec<String>,
    pub(crate) unhealthy: bool,
}

/// Which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(crate) from: Option<Seq>,
    pub(crate) collection: Option<Name>,
    /// So many are looked at.
    pub(crate) most: usize,
    pub(crate) follow: bool,
}

/// A request as HTTP sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path with the query.
    pub target: String,
    /// JSON, or nothing.
    pub body: String,
}

/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Request {
    /// The request as it is sent.
    pub fn message(&self) -> Message {
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
        let route = match self {
            Request::Steer(Steer { verb, .. }) => match verb {
                Verb::Refresh { force, seen } => {
                    put("force", json!(force));
                    seen.iter().for_each(|seen| put("seen", json!(seen.0)));
                    &routes::REFRESH
                }
                Verb::Verify => {
                    put("verify", json!(true));
                    &routes::REFRESH
                }
                Verb::Cancel { task } => {
                    task.iter().for_each(|task| put("task", json!(task.0.0)));
                    &routes::CANCEL
                }
                Verb::Confirm { fingerprint } => {
                    put("fingerprint", json!(fingerprint.to_string()));
                    &routes::CONFIRM
                }
                Verb::Pause => &routes::PAUSE,
                Verb::Resume => &routes::RESUME,
                Verb::Drop => &routes::DROP,
            },
            Request::Wait { generation, since, within, .. } => {
                generation.iter().for_each(|generation| put("generation", json!(generation.0)));
                since.iter().for_each(|since| put("since", json!(since.0)));
                within.iter().for_each(|within| put("timeout", json!(format!("{}ms", within.as_millis()))));
                &routes::WAIT
            }
            Request::List(Listed { after, most, matches, conditions, unhealthy }) => {
                after.iter().for_each(|after| put("cursor", json!(after.0.0.to_string())));
                put("limit", json!(most));
                for (key, words) in [("match", matches), ("condition", conditions)] {
                    (!words.is_empty()).then(|| put(key, json!(words.join(","))));
                }
                unhealthy.then(|| put("unhealthy", json!(true)));
                &routes::LIST
            }
            Request::Events(Wanted { from, collection, most, follow }) => {
                from.iter().for_each(|from| put("from", json!(from.0)));
                collection.iter().for_each(|name| put("collection", json!(name.as_str())));
                put("limit", json!(most));
                put("follow", json!(follow));
                &routes::EVENTS
            }
            Request::Reload(_) => &routes::RELOAD,
            Request::Run => &routes::RUN,
            Request::Show(_) => &routes::SHOW,
            Request::Look(asked) => {
                looks::put(asked, &mut put);
                match asked.about {
                    About::State => &routes::STATE,
                    About::Manifest(_) => &routes::MANIFEST,
                    About::Why { .. } => &routes::WHY,
                }
            }
            Request::Dropped => &routes::DROPPED,
            Request::Metrics => &routes::METRICS,
            Request::Report { from, before, to } => {
                before.iter().for_each(|before| put("before", json!(before.0)));
                from.iter().for_each(|from| put("from", json!(from.0)));
                to.iter().for_each(|to| put("to", json!(to.0)));
                &routes::REPORT
            }
            Request::Page => &routes::PAGE,
            Request::Api => &routes::API,
            Request::Alive => &routes::ALIVE,
            Request::Ready => &routes::READY,
        };
        if let Request::Steer(Steer { by, .. }) | Request::Reload(by) = self {
            by.actor().iter().for_each(|actor| put("actor", json!(actor)));
            by.cause().iter().for_each(|cause| put("cause", json!(cause)));
        }
        message(route, self.name(), fields)
    }

    fn name(&self) -> Option<&Name> {
        match self {
            Request::Steer(Steer { name, .. }) | Request::Wait { name, .. } | Request::Show(name) => Some(name),
            Request::Look(asked) => asked.name(),
            _ => None,
        }
    }

    /// Whether it is to change something.
    pub(crate) fn is_command(&self) -> bool {
        matches!(self, Request::Steer(_) | Request::Reload(_))
    }

    /// Whether a command that was carried out already changes nothing, or nothing of account, when it is given again.
    pub(crate) fn is_harmless_twice(&self) -> bool {
        let Request::Steer(Steer { verb, .. }) = self else { return true };
        match verb {
            Verb::Refresh { force, seen } => !force || seen.is_some(),
            Verb::Cancel { task } => task.is_some(),
            Verb::Verify | Verb::Pause | Verb::Resume | Verb::Confirm { .. } => true,
            Verb::Drop => false,
        }
    }

    /// Reads a request, and says of which route it is.
    pub(super) fn of_route(method: &str, target: &str, body: &[u8]) -> Result<(&'static Route, Request), Refusal> {
        let (route, segment, query) = route_of(method, target)?;
        let given = Given::read(route.expected(), segment, query, body)?;
        Ok((route, (route.read)(&given)?))
    }

    /// Reads a request. Whatever it does not understand it refuses: half a command is none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(method: &str, target: &str, body: &[u8]) -> Result<Request, Fail> {
        Request::of_route(method, target, body).map(|(_, request)| request).map_err(|refusal| refusal.fail)
    }
}

/// The route of a request, the name in its path and its query, both still encoded.
pub(super) fn route_of<'t>(method: &str, target: &'t str) -> Result<(&'static Route, &'t str, &'t str), Refusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut found = ROUTES.iter().filter_map(|route| Some((*route, route.matches(path)?))).peekable();
    if found.peek().is_none() {
        let problem = "there is nothing at this path; GET /v1/openapi.json, or lastword api, lists what there is";
        return Err(Refusal::new("no_route", USAGE, problem));
    }
    match found.find(|(route, _)| route.method == method) {
        Some((route, segment)) => Ok((route, segment, query)),
        None => Err(Refusal::new("method_not_allowed", USAGE, "this path is not asked with that method")),
    }
}

/// The methods of a path, for who has asked with another one.
pub(super) fn methods_of(target: &str) -> String {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let methods: Vec<_> =
        ROUTES.iter().filter(|route| route.matches(path).is_some()).map(|route| route.method).collect();
    methods.join(", ")
}

fn message(route: &Route, name: Option<&Name>, fields: Map<String, Value>) -> Message {
    let name = name.map(|name| utf8_percent_encode(name.as_str(), PLAIN).to_string()).unwrap_or_default();
    let path = route.path.replace("{name}", &name);
    if route.method != "GET" {
        return Message { method: route.method, target: path, body: Value::Object(fields).to_string() };
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in &fields {
        query.append_pair(key, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    let query = query.finish();
    let target = if query.is_empty() { path } else { format!("{path}?{query}") };
    Message { method: route.method, target, body: String::new() }
}

/// A fingerprint that a person or a program wrote.
pub(crate) fn fingerprint(text: &str) -> Result<Fingerprint, Fail> {
    let wrong = || Fail::new(USAGE, "fingerprint: must be 64 hexadecimal digits");
    Fingerprint::from_hex(text).ok_or_else(wrong)
}

/// As a person names it.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Metrics => f.write_str("metrics"),
            Request::Steer(Steer { name, verb, .. }) => write!(f, "{name}: {}", verb.name()),
            Request::Wait { name, .. } => write!(f, "{name}: wait"),
            Request::Look(Asked { about: About::State, .. }) => f.write_str("state"),
            Request::Look(Asked { about: About::Manifest(name), .. }) => write!(f, "{name}: manifest"),
            Request::Look(Asked { about: About::Why { name, .. }, .. }) => write!(f, "{name}: why"),
            Request::Reload(_) => f.write_str("reload"),
            Request::Report { .. } | Request::Page => f.write_str("report"),
            Request::Events(_) => f.write_str("events"),
            Request::Api | Request::Alive | Request::Ready => f.write_str("api"),
            Request::Run | Request::List(_) | Request::Show(_) | Request::Dropped => f.write_str("status"),
        }
    }
}

#[cfg(test)]
mod tests {
    use lastword::core::vocabulary::TaskId;

    use super::super::limits::MOST_REQUEST;
    use super::*;
    use crate::control::by;

    #[test]
    fn every_request_is_read_as_it_was_written() {
        let name = Name::new("line \"item\"/%2F?&+ü").unwrap();
        let hostile = name.clone();
        let ann = by("cli:ann", Some("because")).unwrap();
        let verbs = [
            Verb::Refresh { force: false, seen: None },
            Verb::Refresh { force: true, seen: Some(Seq(7)) },
            Verb::Verify,
            Verb::Cancel { task: None },
            Verb::Cancel { task: Some(TaskId(Seq(7))) },
            Verb::Pause,
            Verb::Resume,
            Verb::Confirm { fingerprint: fingerprint(&"ab".repeat(32)).unwrap() },
            Verb::Drop,
        ];
        let steers = verbs.map(|verb| Request::Steer(Steer { name: name.clone(), verb, by: ann.clone() }));
        let all = Listed { after: None, most: 500, matches: Vec::new(), conditions: Vec::new(), unhealthy: false };
        let some = Listed {
            after: Some(CollectionId(Seq(7))),
            most: 1,
            matches: vec!["a*".to_owned(), "b&c".to_owned()],
            conditions: vec!["parked".to_owned(), "held".to_owned()],
            unhealthy: true,
        };
        let events = Wanted { from: None, collection: None, most: 1000, follow: true };
        let others = [
            Request::Wait { name: name.clone(), generation: Some(Generation(3)), since: None, within: None },
            Request::Wait {
                name: name.clone(),
                generation: None,
                since: Some(Timestamp(9)),
                within: Some(Duration::from_millis(250)),
            },
            Request::Reload(by("cli:ann", None).unwrap()),
            Request::Show(name.clone()),
            Request::List(all),
            Request::List(some),
            Request::Events(events),
            Request::Events(Wanted { from: Some(Seq(3)), collection: Some(name), most: 1, follow: false }),
            Request::Run,
            Request::Dropped,
            Request::Report { from: None, before: None, to: Some(Seq(9)) },
            Request::Report { from: Some(Seq(3)), before: Some(Seq(1)), to: None },
            Request::Page,
            Request::Api,
            Request::Alive,
            Request::Ready,
        ];
        let at = Some(log_dump::point("2026-11-23T10:00:00.000001Z").unwrap());
        let looks = [
            Asked { about: About::State, at: None, json: true },
            Asked { about: About::State, at: Some(log_dump::point("7").unwrap()), json: false },
            Asked { about: About::Manifest(hostile.clone()), at, json: true },
            Asked { about: About::Why { name: hostile.clone(), task: None, files: false }, at: None, json: false },
            Asked { about: About::Why { name: hostile, task: Some(TaskId(Seq(7))), files: true }, at, json: true },
        ];
        let looks = looks.map(Request::Look);
        for request in steers.into_iter().chain(others).chain(looks) {
            let Message { method, target, body } = request.message();
            assert_eq!(Request::parse(method, &target, body.as_bytes()).unwrap(), request, "{target} {body}");
            assert!(body.len() < MOST_REQUEST && target.is_ascii() && !target.contains(char::is_whitespace));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_field_that_is_wrong() {
        for (method, target, body, kind, field) in [
            ("GET", "/nowhere", "", "no_route", None),
            ("GET", "/v1/run/", "", "no_route", None),
            ("GET", "/v1/collections/a/pause", "", "method_not_allowed", None),
            ("POST", "/v1/collections/a", "", "method_not_allowed", None),
            ("POST", "/v1/collections/a/dance", "", "no_route", None),
            ("POST", "/v1/collections/a/pause", "pause", "invalid_input", None),
            ("POST", "/v1/collections/a/pause", "[]", "invalid_input", None),
            ("POST", "/v1/collections/a/pause?cause=b", "", "invalid_input", None),
            ("GET", "/v1/run", "{}", "invalid_input", None),
            ("POST", "/v1/collections/%0a/pause", "", "invalid_input", Some("name")),
            ("POST", "/v1/collections/%ff/pause", "", "invalid_input", Some("name")),
            ("POST", "/v1/collections/a/pause", r#"{"task":1}"#, "invalid_input", Some("task")),
            ("POST", "/v1/collections/a/refresh", r#"{"force":1}"#, "invalid_input", Some("force")),
            ("POST", "/v1/collections/a/refresh", r#"{"force":true,"verify":true}"#, "invalid_input", Some("verify")),
            ("POST", "/v1/collections/a/cancel", r#"{"task":-1}"#, "invalid_input", Some("task")),
            ("POST", "/v1/collections/a/confirm", "{}", "invalid_input", Some("fingerprint")),
            ("POST", "/v1/collections/a/confirm", r#"{"fingerprint":"ab"}"#, "invalid_input", Some("fingerprint")),
            ("POST", "/v1/collections/a/drop", r#"{"actor":""}"#, "invalid_input", Some("actor")),
            ("POST", "/v1/collections/a/drop", r#"{"cause":"a\nb"}"#, "invalid_input", Some("cause")),
            ("POST", "/v1/reload", r#"{"name":"a"}"#, "invalid_input", Some("name")),
            ("GET", "/v1/collections?limit=0", "", "invalid_input", Some("limit")),
            ("GET", "/v1/collections?limit=501", "", "invalid_input", Some("limit")),
            ("GET", "/v1/collections?cursor=x", "", "invalid_input", Some("cursor")),
            ("GET", "/v1/collections?unhealthy=1", "", "invalid_input", Some("unhealthy")),
            ("GET", "/v1/collections/a/wait?timeout=long", "", "invalid_input", Some("timeout")),
            ("GET", "/v1/events?from=1&from=2", "", "invalid_input", Some("from")),
            ("GET", "/v1/state?at=soon", "", "invalid_input", Some("at")),
            ("GET", "/v1/state?text=1", "", "invalid_input", Some("text")),
            ("GET", "/v1/collections/a/why?task=x", "", "invalid_input", Some("task")),
            ("GET", "/v1/collections/a/manifest?files=true", "", "invalid_input", Some("files")),
        ] {
            let refusal = Request::of_route(method, target, body.as_bytes()).map(|(_, request)| request).unwrap_err();
            assert_eq!(
                (refusal.kind, refusal.field.as_deref()),
                (kind, field),
                "{method} {target}: {:?}",
                refusal.fail
            );
            assert_eq!(refusal.fail.code, USAGE);
        }
    }
}
