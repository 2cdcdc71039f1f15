//! The pages of a listing, as the server in this process makes them: those of S3, or what it is told to make of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::stage::{Answer, GoingOn, Manners, Objects, iso_date, said};

const PAGE: usize = 1_000;

pub(crate) fn list(objects: &Objects, query: &BTreeMap<String, String>, manners: Manners) -> Answer {
    let get = |name: &str| query.get(name).map(String::as_str);
    let prefix = get("prefix").unwrap_or_default();
    let most = get("max-keys").and_then(|most| most.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let held = |key: &&String| key.starts_with(prefix) || manners.lists_beside;
    let token = get("continuation-token").map(|token| percent_decode_str(token).decode_utf8_lossy().into_owned());
    let repeats = matches!(manners.going_on, GoingOn::SameToken | GoingOn::SamePage);
    let begin = token.as_deref().filter(|_| !repeats);
    let keys: Vec<&String> = if manners.is_unordered {
        objects
            .keys()
            .rev()
            .filter(held)
            .filter(|key| begin.is_none_or(|begin| key.as_str() < begin))
            .take(most + 1)
            .collect()
    } else {
        let begin = begin.or(get("start-after")).unwrap_or_default().to_owned();
        let from = if manners.lists_beside { &begin } else { begin.as_str().max(prefix) };
        objects
            .range(from.to_owned()..)
            .map(|(key, _)| key)
            .filter(|key| **key > begin || begin.is_empty())
            .take_while(held)
            .take(most + 1)
            .collect()
    };
    let is_empty = matches!(manners.going_on, GoingOn::InTurns | GoingOn::Empty);
    let is_truncated = keys.len() > most || repeats || is_empty;
    let mut text = format!("<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>");
    let shown = if is_truncated && manners.loses_keys { most.saturating_sub(1) } else { most };
    for key in keys.iter().take(if is_empty { 0 } else { shown }) {
        let object = &objects[*key];
        let tag = object.tag(manners).replace('"', "&quot;");
        let (size, modified) = (object.content.len(), iso_date(object.modified));
        let key = if manners.mangles_names { escaped(&key.replace('+', " ")) } else { escaped(key) };
        write!(text, "<Contents><Key>{key}</Key><LastModified>{modified}</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>").unwrap();
    }
    if let Some(token) = next(manners.going_on, token.as_deref(), is_truncated.then(|| keys.get(most - 1)).flatten()) {
        write!(text, "<NextContinuationToken>{token}</NextContinuationToken>").unwrap();
    }
    text.push_str("</ListBucketResult>");
    said(StatusCode::OK, text)
}

/// Where it goes on, behind this key.
fn next(going_on: GoingOn, token: Option<&str>, last: Option<&&String>) -> Option<String> {
    static OTHER: AtomicU64 = AtomicU64::new(0);
    let told = || last.map(|last| utf8_percent_encode(last, NON_ALPHANUMERIC).to_string());
    match going_on {
        GoingOn::Told => told(),
        GoingOn::Untold => None,
        GoingOn::SameToken => Some("again".to_owned()),
        GoingOn::SamePage | GoingOn::Empty => Some(OTHER.fetch_add(1, Ordering::Relaxed).to_string()),
        GoingOn::InTurns => Some(if token == Some("one") { "two" } else { "one" }.to_owned()),
        GoingOn::EmptyToken => told().or(Some(String::new())),
    }
}

/// As a text of XML 1.0 has it. What it cannot hold is sent as stores send it, by its number.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.chars().fold(String::new(), |mut made, c| {
        match c.is_ascii_control() {
            true => write!(made, "&#{};", u32::from(c)).unwrap(),
            false => made.push(c),
        }
        made
    })
}
