//! The one table of what may be asked: method, path, fields, and what is made of them. The server finds a request in it, the
//! commands write theirs from it, and the OpenAPI document is made of it. It must not know how anything is answered.
//!
//! To add a route: a row here, a case of [`Request`], and what it is answered with in `desk.rs`.

use lastword::core::vocabulary::{CollectionId, Generation, Seq, TaskId, Timestamp};

use super::given::{Expected, Field, Form, Given, may};
use super::limits::{MOST_EVENTS, MOST_ROWS};
use super::looks;
use super::refusal::Refusal;
use super::request::{Listed, Request, Wanted, fingerprint};
use crate::control::{Steer, Verb};

/// One row.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// `{name}` stands for one segment, the name of a collection.
    pub(crate) path: &'static str,
    /// What it is called in the document.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// In the query of a GET, and in the JSON body of a POST.
    pub(super) fields: &'static [Field],
    /// The schema of what it is answered with, in `openapi.rs`.
    pub(super) answer: &'static str,
    pub(super) place: Place,
    /// Asked without a token even where one is needed.
    pub(super) is_open: bool,
    pub(super) read: fn(&Given) -> Result<Request, Refusal>,
}

/// Of which places a connection takes one that asks this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Command,
    Wait,
    /// If it follows.
    Follow,
}

const ACTOR: Field = may("actor", Form::Text, "Who asks, for the record: 1 to 256 bytes; `socket` if it is not said");
const CAUSE: Field = may("cause", Form::Text, "Why, for the record: 1 to 256 bytes");

const READS: Route = Route {
    method: "GET",
    path: "",
    id: "",
    summary: "",
    fields: &[],
    answer: "",
    place: Place::Command,
    is_open: false,
    read: |_| Ok(Request::Run),
};
const COMMANDS: Route = Route { method: "POST", fields: &[ACTOR, CAUSE], answer: "Receipt", ..READS };

pub(super) static RUN: Route = Route {
    path: "/v1/run",
    id: "run",
    summary: "The run that answers, what it reads, and a digest of each of its settings",
    answer: "Run",
    ..READS
};

pub(super) static LIST: Route = Route {
    path: "/v1/collections",
    id: "list",
    summary: "Collections in the order of their declaration, page by page; a page may have fewer than were asked for, also \
              none, and the last one is that whose `next` is null",
    fields: &[
        may(
            "limit",
            Form::Whole,
            "At most so many are looked at for one page: 1 to 500, which is what is taken if it is not said",
        ),
        may("cursor", Form::Text, "The `next` of the page before"),
        may("match", Form::Words, "Only these names, or patterns with *, ? and [a-z]"),
        may("condition", Form::Words, "Only those in one of these conditions"),
        may("unhealthy", Form::Flag, "Only those that need somebody"),
    ],
    answer: "Page",
    read: |given| {
        let most = given.limit(MOST_ROWS)?;
        let after = given.text("cursor").map(cursor).transpose()?;
        let (matches, conditions) = (given.words("match"), given.words("condition"));
        Ok(Request::List(Listed { after, most, matches, conditions, unhealthy: given.flag("unhealthy") }))
    },
    ..READS
};

fn cursor(text: &str) -> Result<CollectionId, Refusal> {
    let number = text.parse().map_err(|_| Refusal::field("cursor", "must be the `next` of a page"))?;
    Ok(CollectionId(Seq(number)))
}

pub(super) static SHOW: Route = Route {
    path: "/v1/collections/{name}",
    id: "show",
    summary: "One collection: the row of `lastword status --json`",
    answer: "Row",
    read: |given| Ok(Request::Show(given.name()?)),
    ..READS
};

pub(super) static MANIFEST: Route = Route {
    path: "/v1/collections/{name}/manifest",
    id: "manifest",
    summary: "The segments that it consists of, and the rows of which files are in each: what `lastword manifest --json` prints",
    fields: looks::OF_A_MOMENT,
    answer: "Manifest",
    read: |given| looks::manifest(given).map(Request::Look),
    ..READS
};

pub(super) static WHY: Route = Route {
    path: "/v1/collections/{name}/why",
    id: "why",
    summary: "Why it is as it is, or what became of one of its tasks, also if it was dropped: what `lastword why --json` prints, \
              which is JSON Lines with the answer as the last",
    fields: looks::OF_WHY,
    answer: "Lines",
    read: |given| looks::why(given).map(Request::Look),
    ..READS
};

pub(super) static STATE: Route = Route {
    path: "/v1/state",
    id: "state",
    summary: "Every collection as the log knows it: what `lastword state --json` prints, which is JSON Lines",
    fields: looks::OF_A_MOMENT,
    answer: "Lines",
    read: |given| looks::state(given).map(Request::Look),
    ..READS
};

pub(super) static WAIT: Route = Route {
    path: "/v1/collections/{name}/wait",
    id: "wait",
    summary: "Waits until a generation is applied, or until an observation that begins now finds everything applied; is \
              answered sooner if it will not be, and with `\"waited\":\"pending\"` when its time is over",
    fields: &[
        may("timeout", Form::Span, "At most so long, and never longer than 60s; 60s if it is not said"),
        may("generation", Form::Whole, "Until this one is applied"),
        may("since", Form::Whole, "The `since` of the answer before, to go on waiting"),
    ],
    answer: "Waited",
    place: Place::Wait,
    read: |given| {
        let (name, within) = (given.name()?, given.span("timeout"));
        let generation = given.number("generation").map(Generation);
        Ok(Request::Wait { name, generation, since: given.number("since").map(Timestamp), within })
    },
    ..READS
};

pub(super) static REFRESH: Route = Route {
    path: "/v1/collections/{name}/refresh",
    id: "refresh",
    summary: "Looks at its source again, and tries again what is parked or backing off",
    fields: &[
        may("force", Form::Flag, "Build all of it anew"),
        may("verify", Form::Flag, "Read all content and compare it; goes with neither `force` nor `seen`"),
        may("seen", Form::Whole, "Only if no refresh was asked for since this event"),
        ACTOR,
        CAUSE,
    ],
    read: |given| {
        let (force, seen) = (given.flag("force"), given.number("seen").map(Seq));
        let verify = given.flag("verify");
        if verify && (force || seen.is_some()) {
            return Err(Refusal::field("verify", "goes with neither force nor seen"));
        }
        steer(given, if verify { Verb::Verify } else { Verb::Refresh { force, seen } })
    },
    ..COMMANDS
};

pub(super) static CANCEL: Route = Route {
    path: "/v1/collections/{name}/cancel",
    id: "cancel",
    summary: "Aborts its task; it stays as it is until a change or a refresh",
    fields: &[may("task", Form::Whole, "Only if this is its task"), ACTOR, CAUSE],
    read: |given| {
        let task = given.number("task").map(|task| TaskId(Seq(task)));
        steer(given, Verb::Cancel { task })
    },
    ..COMMANDS
};

pub(super) static PAUSE: Route = Route {
    path: "/v1/collections/{name}/pause",
    id: "pause",
    summary: "Starts no more attempts",
    read: |given| steer(given, Verb::Pause),
    ..COMMANDS
};

pub(super) static RESUME: Route = Route {
    path: "/v1/collections/{name}/resume",
    id: "resume",
    summary: "Starts attempts again",
    read: |given| steer(given, Verb::Resume),
    ..COMMANDS
};

pub(super) static CONFIRM: Route = Route {
    path: "/v1/collections/{name}/confirm",
    id: "confirm",
    summary: "Accepts what is held, such as an emptied source",
    fields: &[
        Field {
            name: "fingerprint",
            form: Form::Text,
            is_needed: true,
            about: "What is accepted, as the row has it under `held`",
        },
        ACTOR,
        CAUSE,
    ],
    read: |given| {
        let text = given.text("fingerprint").unwrap_or_default();
        let fingerprint =
            fingerprint(text).map_err(|fail| Refusal { field: Some("fingerprint".to_owned()), ..fail.into() })?;
        steer(given, Verb::Confirm { fingerprint })
    },
    ..COMMANDS
};

pub(super) static DROP: Route = Route {
    path: "/v1/collections/{name}/drop",
    id: "drop",
    summary: "Forgets it, its task and its timers",
    read: |given| steer(given, Verb::Drop),
    ..COMMANDS
};

pub(super) static RELOAD: Route = Route {
    path: "/v1/reload",
    id: "reload",
    summary: "Has the run read its configuration again; a bad one changes nothing",
    answer: "Reloaded",
    read: |given| Ok(Request::Reload(given.by()?)),
    ..COMMANDS
};

pub(super) static DROPPED: Route = Route {
    path: "/v1/dropped",
    id: "dropped",
    summary: "What is left of dropped collections and waits, 500 at the most",
    answer: "Dropped",
    read: |_| Ok(Request::Dropped),
    ..READS
};

pub(super) static EVENTS: Route = Route {
    path: "/v1/events",
    id: "events",
    summary: "Events as `log-dump dump --json` prints them: a page, or with `follow` one for each line as they come \
              (application/x-ndjson), or as server-sent events to who accepts text/event-stream",
    fields: &[
        may(
            "from",
            Form::Whole,
            "The first event; the oldest that there is if it is not said, and with `follow` the next one",
        ),
        may(
            "limit",
            Form::Whole,
            "At most so many are looked at for one page: 1 to 1000, which is what is taken if it is not said",
        ),
        may("collection", Form::Text, "Only those about the collection of this name"),
        may("follow", Form::Flag, "Goes on with those that come"),
    ],
    answer: "Events",
    place: Place::Follow,
    read: |given| {
        let most = given.limit(MOST_EVENTS)?;
        let collection = given.text("collection").map(|text| given.named("collection", text)).transpose()?;
        Ok(Request::Events(Wanted {
            from: given.number("from").map(Seq),
            collection,
            most,
            follow: given.flag("follow"),
        }))
    },
    ..READS
};

pub(super) static METRICS: Route = Route {
    path: "/metrics",
    id: "metrics",
    summary: "What the run tells Prometheus, in its text format: what `lastword metrics` prints",
    answer: "Metrics",
    read: |_| Ok(Request::Metrics),
    ..READS
};

pub(super) static REPORT: Route = Route {
    path: "/v1/report",
    id: "report",
    summary: "What the page shows: the last 10,000 events, or those up to `to`, and the row of a collection behind each",
    fields: &[
        may("from", Form::Whole, "The `next` of the answer before: if nothing has come since, the answer says no more"),
        may(
            "before",
            Form::Whole,
            "With `from`, the `before` of the data that the page holds: then `more` in place of `data` has what has come since, \
             if that is known",
        ),
        may("to", Form::Whole, "Nothing after this event"),
    ],
    answer: "Report",
    read: |given| {
        let seq = |field| given.number(field).map(Seq);
        Ok(Request::Report { from: seq("from"), before: seq("before"), to: seq("to") })
    },
    ..READS
};

pub(super) static PAGE: Route = Route {
    path: "/",
    id: "page",
    summary: "The page for a browser, which asks for its data itself",
    answer: "Html",
    is_open: true,
    read: |_| Ok(Request::Page),
    ..READS
};

pub(super) static API: Route = Route {
    path: "/v1/openapi.json",
    id: "openapi",
    summary: "This document: what `lastword api` prints",
    answer: "Document",
    read: |_| Ok(Request::Api),
    ..READS
};

pub(super) static ALIVE: Route = Route {
    path: "/healthz",
    id: "healthz",
    summary: "The process answers",
    answer: "Alive",
    is_open: true,
    read: |_| Ok(Request::Alive),
    ..READS
};

pub(super) static READY: Route = Route {
    path: "/readyz",
    id: "readyz",
    summary: "The log is open, its engine answers, and the configuration is loaded",
    answer: "Ready",
    is_open: true,
    read: |_| Ok(Request::Ready),
    ..READS
};

/// The table.
pub(super) static ROUTES: &[&Route] = &[
    &RUN, &LIST, &SHOW, &WHY, &MANIFEST, &STATE, &WAIT, &REFRESH, &CANCEL, &PAUSE, &RESUME, &CONFIRM, &DROP, &RELOAD,
    &DROPPED, &EVENTS, &METRICS, &REPORT, &PAGE, &API, &ALIVE, &READY,
];

fn steer(given: &Given, verb: Verb) -> Result<Request, Refusal> {
    Ok(Request::Steer(Steer { name: given.name()?, verb, by: given.by()? }))
}

impl Route {
    /// What a request to it gives.
    pub(super) fn expected(&self) -> Expected {
        Expected { has_name: self.path.contains("{name}"), in_query: self.method == "GET", fields: self.fields }
    }

    /// The name in a path that is of this route, still encoded; empty if its path has none.
    pub(super) fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (mut wanted, mut found, mut name) = (self.path.split('/'), path.split('/'), "");
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => return Some(name),
                (Some("{name}"), Some(segment)) if !segment.is_empty() => name = segment,
                (Some(wanted), Some(found)) if wanted == found => {}
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_path_is_of_one_route_and_each_has_its_own_name() {
        let ids: BTreeSet<_> = ROUTES.iter().map(|route| route.id).collect();
        let paths: BTreeSet<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
        assert_eq!((ids.len(), paths.len()), (ROUTES.len(), ROUTES.len()));
        for route in ROUTES {
            let path = route.path.replace("{name}", "a%2Fb");
            let of: Vec<_> =
                ROUTES.iter().filter(|other| other.matches(&path).is_some()).map(|other| other.id).collect();
            assert_eq!(of, [route.id]);
        }
    }

    #[test]
    fn a_name_is_one_segment_and_not_an_empty_one() {
        assert_eq!(SHOW.matches("/v1/collections/a%2Fb"), Some("a%2Fb"));
        for path in
            ["/v1/collections/", "/v1/collections", "/v1/collections/a/b", "v1/collections/a", "/v1/collections/a/"]
        {
            assert_eq!(SHOW.matches(path), None, "{path}");
        }
    }
}
