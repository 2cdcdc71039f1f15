//! A page of collections as it travels: each row as it was written, so that the commands print what the run has said.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// What begins the members that are not the library's: see `status::row`.
const FIRST_OF_RUN: &str = "unmanaged";

/// A page.
pub(crate) struct Page {
    pub(crate) rows: Vec<ShownRow>,
    /// What is asked for with the next one.
    pub(crate) next: Option<String>,
}

/// The row of one collection, in its parts.
pub(crate) struct ShownRow {
    /// What the library has written.
    pub(crate) text: String,
    /// What only the running process knows.
    pub(crate) live: Value,
    /// Why what is applied cannot be read.
    pub(crate) manifest_problem: Option<String>,
}

/// The body of a page of `list`.
pub(super) fn page(list: &str, rows: &[String], next: Option<u64>) -> String {
    let next = next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
    format!("{{\"v\":1,\"{list}\":[{}],\"next\":{next}}}", rows.join(","))
}

impl Page {
    pub(crate) fn parse(body: &[u8]) -> Option<Page> {
        let whole: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
        let rows = rows_of("collections", body)?;
        let rows = rows.iter().map(|row| ShownRow::parse(row)).collect::<Option<_>>()?;
        Some(Page { rows, next: serde_json::from_str(whole.get("next")?.get()).ok()? })
    }
}

/// The rows of the body of a page of `list`, as they were written.
pub(crate) fn rows_of(list: &str, body: &[u8]) -> Option<Vec<String>> {
    let whole: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
    let rows: Vec<Box<RawValue>> = serde_json::from_str(whole.get(list)?.get()).ok()?;
    Some(rows.iter().map(|row| row.get().to_owned()).collect())
}

impl ShownRow {
    pub(crate) fn parse(row: &str) -> Option<ShownRow> {
        let Members(members) = serde_json::from_str(row).ok()?;
        let end = members.iter().position(|(key, _)| key == FIRST_OF_RUN)?;
        let (library, run) = members.split_at_checked(end)?;
        let library = library.iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), value.get()));
        let text = format!("{{{}}}", library.collect::<Vec<_>>().join(","));
        let value = |key: &str| serde_json::from_str::<Value>(run.iter().find(|(known, _)| known == key)?.1.get()).ok();
        let manifest_problem = value("manifest_problem")?.as_str().map(str::to_owned);
        Some(ShownRow { text, live: value("live")?, manifest_problem })
    }
}

/// The members of an object in their order.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_wrote_is_found_again_as_it_was_written() {
        let text = r#"{"name":"a \"b\"","spec":{"z":1,"unmanaged":[2.50,1e3],"a":{}},"lag_seconds":0.0}"#;
        let members = text.strip_suffix('}').unwrap();
        let row = format!(
            r#"{members},"unmanaged":null,"live":{{"since":null}},"observed":true,"run":{{}},"manifest_problem":"gone"}}"#
        );
        let body = page("collections", &[row.clone(), row], Some(7));
        let found = Page::parse(body.as_bytes()).unwrap();
        assert_eq!((found.rows.len(), found.next.as_deref()), (2, Some("7")));
        assert_eq!(found.rows[1].text, text);
        assert_eq!(found.rows[1].live, serde_json::json!({"since": null}));
        assert_eq!(found.rows[1].manifest_problem.as_deref(), Some("gone"));
        assert!(Page::parse(br#"{"v":1,"collections":[{"name":"a"}],"next":null}"#).is_none());
        assert!(Page::parse(page("collections", &[], None).as_bytes()).unwrap().next.is_none());
    }
}
