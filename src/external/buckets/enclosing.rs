//! Whether a source is a part of a table: which of its objects count is said by a log that lies above it.
//!
//! How far up is looked is what the `enclosing.rs` of directories says, and what marks a table is for `skip.rs` to say. A source
//! that is none by its name costs no request.

use object_store::list::PaginatedListOptions;

use super::client::Client;
use super::fault::Fault;
use crate::external::enclosing::above;
use crate::external::skip::{ICEBERG, Named, Rules, TABLES};
use crate::external::{BucketPrefix, SourcePath, StoreError};

/// Whether a prefix has a name that a part of a table has.
pub(super) fn may_be_part(prefix: &BucketPrefix) -> bool {
    above(prefix.prefix().as_bytes()).next().is_some()
}

/// Refuses a source that is a part of a table, by the rules of the source.
pub(super) async fn check(client: &Client, prefix: &BucketPrefix, rules: &Rules) -> Result<(), Fault> {
    for (table, up) in above(prefix.prefix().as_bytes()) {
        let table = prefix.prefix().get(..table.len()).unwrap_or_default();
        if let Some((mark, format)) = mark_in(client, table, &up, rules).await? {
            let what = format!("{}/{table}", prefix.bucket());
            return Err(StoreError::Table { what, format, mark: SourcePath(mark) }.into());
        }
    }
    Ok(())
}

/// What marks a prefix as a table, if the rules do not leave it out.
async fn mark_in(
    client: &Client,
    above: &str,
    up: &[u8],
    rules: &Rules,
) -> Result<Option<(Vec<u8>, &'static str)>, Fault> {
    for (mark, _) in TABLES {
        let path = [up, mark].concat();
        let Named::Table(format, _) = rules.named(&path) else { continue };
        if !keys(client, above, mark, 1).await?.is_empty() {
            return Ok(Some((path, format)));
        }
    }
    let (metadata, ending) = ICEBERG;
    let path = |name: &[u8]| [up, metadata, b"/", name].concat();
    for key in keys(client, above, metadata, 1_000).await? {
        let name = key.rsplit('/').next().unwrap_or_default().as_bytes();
        if let Named::Table(format, _) = rules.named(&path(name))
            && name.ends_with(ending)
        {
            return Ok(Some((path(name), format)));
        }
    }
    Ok(None)
}

/// The first keys of what lies in a directory of this name, at most so many and no more than a page.
async fn keys(client: &Client, above: &str, name: &[u8], most: usize) -> Result<Vec<String>, Fault> {
    let asked = format!("{above}{}/", String::from_utf8_lossy(name));
    let options = PaginatedListOptions { max_keys: Some(most), ..PaginatedListOptions::default() };
    let page = client.remote.list_paginated(Some(&asked), options).await?;
    Ok(page.result.objects.into_iter().map(|found| String::from(found.location)).collect())
}
