//! A declaration as JSON: one object whose keys are the fields of [`Declaration`]. It must not know where the text comes
//! from.

use serde_json::{Map, Value};

use super::json::{found, kind, parse_strict, shortened};
use super::{Declaration, FieldError, Kind, Name, Policy, PolicyChange, Source, Spec};

const KEYS: [&str; 8] = ["name", "kind", "source", "spec", "versioned", "policy", "policy_change", "revision"];

impl Declaration {
    /// Reads a declaration from one JSON object, strictly: an unknown key or one that is there twice is an error. Only
    /// `name` has to be there. The keys of `policy` are those of [`Policy::from_json`]; a policy that is given replaces all
    /// of the one before, and `policy_change` only what it names.
    ///
    /// ```
    /// use lastword::Declaration;
    ///
    /// let text = r#"{"name":"lineitem","kind":"index","source":"s3://lake/lineitem/",
    ///                "spec":{"model":"small"},"policy":{"quiet":"1s"},"revision":7}"#;
    /// let declaration = Declaration::from_json(text)?;
    /// assert_eq!(Declaration::from_json(&declaration.to_json())?, declaration);
    /// # Ok::<(), lastword::errors::FieldError>(())
    /// ```
    ///
    /// # Errors
    /// Names the key, as `spec.model` or `policy.quiet`, and what is allowed there. Values are not repeated but for
    /// numbers: what was mistaken for one may be a credential.
    pub fn from_json(text: &str) -> Result<Declaration, FieldError> {
        let value = parse_strict("declaration", text)?;
        let Value::Object(members) = &value else {
            return Err(FieldError::new("declaration", format!("must be a JSON object, found {}", kind(&value))));
        };
        if let Some(key) = members.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(FieldError::new(shortened(key), format!("is unknown; allowed are {}", KEYS.join(", "))));
        }
        let name = text_of(members, "name")?.ok_or_else(|| FieldError::new("name", "is missing"))?;
        Ok(Declaration {
            name: Name::new(name)?,
            kind: text_of(members, "kind")?.map(Kind::new).transpose()?,
            source: text_of(members, "source")?.map(Source::new).transpose()?,
            spec: members.get("spec").map(|spec| Spec::parse(&spec.to_string())).transpose()?,
            versioned: members.get("versioned").map(versioned).transpose()?,
            policy: members.get("policy").map(Policy::from_value).transpose()?,
            policy_change: members.get("policy_change").map(PolicyChange::from_value).transpose()?,
            revision: members.get("revision").map(revision).transpose()?,
        })
    }

    /// The declaration as one JSON object, as [`from_json`](Declaration::from_json) reads it: with the keys that it says
    /// something of, and `policy` with every key.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Without `..`, so that a new field does not compile before it is written.
        let Declaration { name, kind, source, spec, versioned, policy, policy_change, revision } = self;
        let members = [
            ("name", Some(name.as_str().into())),
            ("kind", kind.as_ref().map(|kind| kind.as_str().into())),
            ("source", source.as_ref().map(|source| source.as_str().into())),
            ("spec", spec.as_ref().map(Spec::to_value)),
            ("versioned", versioned.map(Value::Bool)),
            ("policy", policy.as_ref().map(|policy| Value::Object(policy.to_members()))),
            ("policy_change", policy_change.as_ref().map(|change| Value::Object(change.members()))),
            ("revision", revision.map(Value::from)),
        ];
        let given = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(given.collect()).to_string()
    }
}

fn text_of<'m>(members: &'m Map<String, Value>, key: &str) -> Result<Option<&'m str>, FieldError> {
    match members.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(FieldError::new(key, format!("must be a string, found {}", kind(other)))),
    }
}

fn versioned(value: &Value) -> Result<bool, FieldError> {
    let problem = || FieldError::new("versioned", format!("must be true or false, found {}", kind(value)));
    value.as_bool().ok_or_else(problem)
}

fn revision(value: &Value) -> Result<u64, FieldError> {
    let problem =
        || FieldError::new("revision", format!("must be a whole number of at least 0, found {}", found(value)));
    value.as_u64().ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::super::Priority;
    use super::*;

    #[test]
    fn defect_35_a_declaration_is_read_back_from_its_json() {
        let bare = Declaration::new(Name::new("a \"b\"").unwrap());
        assert_eq!(bare.to_json(), r#"{"name":"a \"b\""}"#);
        let full = Declaration::new(Name::new("lineitem").unwrap())
            .kind(Kind::new("index").unwrap())
            .source(Source::new("s3://lake/").unwrap())
            .spec(Spec::parse(r#"{"b":[1,0.1,-0.0,1e-7],"a":{"x":null}}"#).unwrap())
            .policy(Policy::default())
            .revision(u64::MAX)
            .unversioned();
        let change = PolicyChange { slow: Some(None), priority: Some(Priority(3)), ..PolicyChange::default() };
        let partly = Declaration { policy_change: Some(change), ..bare.clone() };
        for declaration in [bare, full, partly] {
            assert_eq!(Declaration::from_json(&declaration.to_json()), Ok(declaration));
        }
    }

    #[test]
    fn defect_35_what_is_wrong_with_a_declaration_is_named_and_no_value_repeated() {
        for (text, expected) in [
            ("{", "declaration: must be JSON: EOF"),
            ("7", "declaration: must be a JSON object, found a whole number"),
            ("{}", "name: is missing"),
            (r#"{"name":7}"#, "name: must be a string, found a whole number"),
            (r#"{"name":"a","name":"b"}"#, "declaration: must be JSON: an object names the key \"name\" twice"),
            (r#"{"name":"a","colour":1}"#, "colour: is unknown; allowed are name, kind, source, spec, versioned"),
            (r#"{"name":""}"#, "name: must have 1 to 200 bytes"),
            (r#"{"name":"a","source":"https://u:hunter2@h/"}"#, "source: "),
            (r#"{"name":"a","spec":[]}"#, "spec: must be a JSON object"),
            (r#"{"name":"a","spec":{"password":"hunter2"}}"#, "spec.password: must name where the secret is kept"),
            (r#"{"name":"a","versioned":"hunter2"}"#, "versioned: must be true or false, found a string"),
            (r#"{"name":"a","policy":{"grace":"hunter2"}}"#, "policy.grace: must be a duration"),
            (r#"{"name":"a","policy":"hunter2"}"#, "policy: must be a JSON object, found a string"),
            (r#"{"name":"a","revision":-1}"#, "revision: must be a whole number of at least 0, found -1"),
            (r#"{"name":"a","revision":1.5}"#, "revision: must be a whole number of at least 0, found 1.5"),
            (r#"{"name":"a","revision":"hunter2"}"#, "revision: must be a whole number of at least 0, found a string"),
        ] {
            let error = Declaration::from_json(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
