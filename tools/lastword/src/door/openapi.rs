//! The OpenAPI document: made of the table of routes, with the shapes of what they answer. It must not know how anything is
//! answered.

use serde_json::{Map, Value, json};

use super::given::{Field, Form};
use super::refusal::KINDS;
use super::routes::{ROUTES, Route};

/// What the document says of the whole.
const ABOUT: &str = "What a running lastword is asked and answers, over state/control.sock (its owner only: curl --unix-socket \
    state/control.sock http://lastword/v1/collections) and, if it was started with --http, over TCP. There only GET is taken, \
    from this machine; with --http-token everything is, with the header Authorization: Bearer TOKEN. A request has at most \
    16 KiB before its body and 8 KiB in it, and arrives within 10 seconds.";

/// The document.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lastword",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "http://lastword", "description": "state/control.sock, or the address of --http"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let is_read = route.method == "GET";
    let mut parameters = Vec::new();
    if route.path.contains("{name}") {
        let about = "The name of the collection, percent-encoded; a slash in it is %2F";
        let schema = json!({"type": "string", "minLength": 1});
        parameters
            .push(json!({"name": "name", "in": "path", "required": true, "description": about, "schema": schema}));
    }
    if is_read {
        parameters.extend(route.fields.iter().map(parameter));
    }
    let mut content = json!({"application/json": {"schema": reference(route.answer)}});
    if route.answer == "Events" {
        content["application/x-ndjson"] = json!({"schema": {"type": "string"}});
        content["text/event-stream"] = json!({"schema": {"type": "string"}});
    }
    if route.answer == "Lines" {
        content = json!({"application/x-ndjson": {"schema": reference(route.answer)}});
    }
    if route.fields.iter().any(|field| field.name == "text") {
        content["text/plain; charset=utf-8"] = json!({"schema": {"type": "string"}});
    }
    if route.answer == "Html" {
        content = json!({"text/html; charset=utf-8": {"schema": reference(route.answer)}});
    }
    if route.answer == "Metrics" {
        content = json!({crate::metrics::MEDIA: {"schema": reference(route.answer)}});
    }
    let error = json!({"description": "Why not", "content": {"application/json": {"schema": reference("Error")}}});
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {"200": {"description": "The answer", "content": content}, "default": error},
    });
    if !is_read {
        let members: Map<String, Value> =
            route.fields.iter().map(|field| (field.name.to_owned(), member(field))).collect();
        let needed: Vec<&str> = route.fields.iter().filter(|field| field.is_needed).map(|field| field.name).collect();
        let schema =
            json!({"type": "object", "properties": members, "required": needed, "additionalProperties": false});
        let content = json!({"application/json": {"schema": schema}});
        operation["requestBody"] = json!({"required": !needed.is_empty(), "content": content});
    }
    if route.is_open {
        operation["security"] = json!([]);
    }
    operation
}

fn parameter(field: &Field) -> Value {
    let schema = schema(field.form);
    let mut parameter = json!({
        "name": field.name,
        "in": "query",
        "required": field.is_needed,
        "description": field.about,
        "schema": schema,
    });
    if field.form == Form::Words {
        parameter["explode"] = false.into();
    }
    parameter
}

fn member(field: &Field) -> Value {
    let mut member = schema(field.form);
    member["description"] = field.about.into();
    member
}

fn schema(form: Form) -> Value {
    match form {
        Form::Text => json!({"type": "string"}),
        Form::Whole => json!({"type": "integer", "minimum": 0}),
        Form::Flag => json!({"type": "boolean"}),
        Form::Span => json!({"type": "string", "examples": ["300ms", "5s", "2m"]}),
        Form::Words => json!({"type": "array", "items": {"type": "string"}}),
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// An object of which these members are always there, and others may be.
fn object(members: Value) -> Value {
    let needed: Vec<&String> = members.as_object().into_iter().flat_map(Map::keys).collect();
    json!({"type": "object", "required": needed, "properties": members})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn schemas() -> Value {
    let (text, number, flag) = (json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "boolean"}));
    let or_null = |of: &str| json!({"type": [of, "null"]});
    let one = json!({"const": 1});
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    json!({
        "Run": object(json!({
            "v": one, "pid": number, "version": text, "state": text, "file": or_null("string"),
            "settings": {"type": "object", "additionalProperties": text, "description": "A digest of each key at the top of the file"},
            "epoch": or_null("integer"), "begins": or_null("integer"), "durable": or_null("integer"),
            "collections": or_null("integer"), "time": or_null("string"),
        })),
        "Row": object(json!({
            "v": one, "name": text, "incarnation": number, "kind": text, "source": text, "spec": {"type": "object"},
            "versioned": flag, "generation": number, "wanted": or_null("string"), "applied": or_null("string"),
            "condition": text, "because": text, "paused": flag, "task": or_null("integer"), "held": or_null("string"),
            "lag_seconds": or_null("number"), "applied_at": or_null("string"), "rows": or_null("integer"),
            "manifest": or_null("string"), "policy": {"type": "object"}, "time": text,
            "unmanaged": or_null("string"), "live": or_null("object"), "observed": flag, "run": {"type": "object"},
            "manifest_problem": or_null("string"),
        })),
        "Manifest": object(json!({
            "collection": text, "applied": or_null("string"),
            "segments": list(object(json!({
                "id": text, "key": text, "rows": number, "output": or_null("string"),
                "fragments": list(object(json!({"path": text, "version": text, "start": number, "end": number}))),
            }))),
        })),
        "Page": object(json!({
            "v": one, "collections": list(reference("Row")),
            "next": {"type": ["string", "null"], "description": "The cursor of the next page; null behind the last"},
        })),
        "Receipt": object(json!({
            "v": one,
            "seq": {"type": ["integer", "null"], "description": "The last event that the command added; null if it changed nothing"},
            "collection": {"type": ["integer", "null"], "description": "The incarnation"},
            "generation": number,
        })),
        "Waited": object(json!({
            "v": one,
            "waited": {"type": "string", "description": "applied; pending: ask again; or why it will not be"},
            "collection": number, "condition": text, "generation": number, "seq": or_null("integer"), "because": text,
            "held": or_null("string"), "by_file": flag, "since": number,
        })),
        "Reloaded": object(json!({
            "v": one, "changed": number, "paused": list(text.clone()), "resumed": list(text.clone()),
        })),
        "Dropped": object(json!({"v": one, "dropped": list(json!({"type": "object"})), "next": {"type": "null"}})),
        "Events": object(json!({
            "v": one, "events": list(object(json!({"seq": number, "type": text, "time": text}))),
            "next": {"type": "integer", "description": "The `from` of the next page, whether there is one already or not"},
        })),
        "Lines": {"type": "string", "description": "JSON Lines: an object in each"},
        "Html": {"type": "string", "description": "HTML with its style and script in it"},
        "Report": object(json!({
            "v": {"const": 1},
            "next": {"type": "integer", "description": "What to ask from next"},
            "now": {"type": "integer", "description": "The engine's time, in microseconds since 1970"},
            "same": {"type": "boolean", "description": "Nothing has come since `from`: the rest is left out"},
            "besides": {"type": "array", "description": "What only the run knows of collections now; empty with `to`"},
        })),
        "Metrics": {"type": "string", "description": "Each metric is in tools/lastword/docs/metrics.md"},
        "Document": object(json!({"openapi": {"const": "3.1.0"}, "paths": {"type": "object"}})),
        "Alive": object(json!({"v": one, "alive": {"const": true}})),
        "Ready": object(json!({"v": one, "ready": {"const": true}, "durable": number})),
        "Error": object(json!({
            "v": one,
            "error": object(json!({
                "kind": {"enum": kinds},
                "field": {"type": ["string", "null"], "description": "What of the request is wrong, if one field is"},
                "message": text,
                "code": {"type": "integer", "minimum": 1, "maximum": 6, "description": "The exit code that a command ends with"},
            })),
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_every_shape_is_used() {
        let document = document();
        let text = document.to_string();
        let shapes = document["components"]["schemas"].as_object().unwrap();
        for name in shapes.keys() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name} is not used");
        }
        for name in text.split("#/components/schemas/").skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(shapes.contains_key(name), "{name} is not there");
        }
        let operations: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(operations, ROUTES.len());
    }
}
