//! `[stores."s3://bucket"]`: where a bucket is and who asks. Secrets are named, never written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lastword::external::{Access, Bucket, SecretName};

use super::collection::Entry;
use super::document::{Field, Section, Wrong};

/// All keys of a store.
pub(super) const KEYS: [&str; 11] = [
    "endpoint",
    "region",
    "account",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "access_key",
    "service_account",
    "allow_http",
    "path_style",
    "anonymous",
];

/// What a file says of buckets, and the line that says it.
pub(super) type Stores = BTreeMap<Bucket, (Access, usize)>;

/// Reads all of them; relative paths of secrets start at `base`.
pub(super) fn read(top: &Section<'_, '_>, base: &Path) -> Result<Stores, Wrong> {
    let mut stores = BTreeMap::new();
    let section = top.section("stores")?;
    for (name, field) in section.iter().flat_map(Section::fields) {
        // What is no name of a bucket may be anything, and is not repeated.
        let bucket = Bucket::parse(name).map_err(|problem| top.wrong("stores", &format!("a key of it {problem}")))?;
        let access = access(&field.section()?, base)?;
        access.check(&bucket).map_err(|error| {
            let section = field.section();
            let at = section.as_ref().ok().and_then(|section| section.get(&error.field));
            at.map_or_else(|| field.wrong(&error.problem), |at| at.wrong(&error.problem))
        })?;
        if stores.insert(bucket, (access, field.line())).is_some() {
            return Err(field.wrong("is there twice, in two spellings"));
        }
    }
    Ok(stores)
}

/// Where each is and who asks.
pub(super) fn accesses(stores: Stores) -> BTreeMap<Bucket, Access> {
    stores.into_iter().map(|(bucket, (access, _))| (bucket, access)).collect()
}

/// What is said of buckets in which no source lies: a name that was mistyped, whose bucket is asked as the environment says.
pub(super) fn unused(file: &Path, stores: &Stores, collections: &[Entry]) -> Vec<String> {
    let buckets = collections.iter().filter_map(|entry| Some(entry.source.bucket()?.bucket()));
    let named: BTreeSet<&Bucket> = buckets.collect();
    let list: Vec<String> = named.iter().map(ToString::to_string).collect();
    let instead = if list.is_empty() {
        "no source lies in a bucket".to_owned()
    } else {
        format!("sources name {}", list.join(", "))
    };
    let unused = stores.iter().filter(|(bucket, _)| !named.contains(bucket));
    let said = |(bucket, (_, line)): (&Bucket, &(Access, usize))| {
        format!("{}:{line}: stores.\"{bucket}\": no source lies in this bucket; {instead}", file.display())
    };
    unused.map(said).collect()
}

fn access(section: &Section<'_, '_>, base: &Path) -> Result<Access, Wrong> {
    section.only(&KEYS)?;
    let text = |key: &str| section.get(key).map(|field| field.text().map(str::to_owned)).transpose();
    let secret = |key: &str| section.get(key).map(|field| secret(&field, base)).transpose();
    let boolean = |key: &str| section.get(key).map(|field| field.boolean()).transpose();
    Ok(Access {
        endpoint: text("endpoint")?,
        region: text("region")?,
        account: text("account")?,
        access_key_id: secret("access_key_id")?,
        secret_access_key: secret("secret_access_key")?,
        session_token: secret("session_token")?,
        access_key: secret("access_key")?,
        service_account: secret("service_account")?,
        allow_http: boolean("allow_http")?.unwrap_or(false),
        path_style: boolean("path_style")?,
        anonymous: boolean("anonymous")?.unwrap_or(false),
    })
}

fn secret(field: &Field<'_, '_>, base: &Path) -> Result<SecretName, Wrong> {
    match SecretName::parse(field.text()?).map_err(|problem| field.wrong(&problem))? {
        SecretName::File(path) => Ok(SecretName::File(base.join(path))),
        name @ SecretName::Env(_) => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_settings_has_every_key() {
        let page = include_str!("../../../../src/settings.md");
        let (_, table) = page.split_once("| key of `[stores.").unwrap();
        let table = table.split("\n\n").next().unwrap();
        for key in KEYS {
            assert!(table.contains(&format!("`{key}`")), "{key} is not on the page");
        }
    }
}
