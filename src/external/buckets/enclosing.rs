//! Whether a source is a part of a table: which of its objects count is said by a log that lies above it.
//!
//! It looks upwards from a partition (`x=1/`) and from a part called `data/`, where Iceberg keeps the files of a table, and no
//! further, as is done for directories. What marks a table is for `skip.rs` to say. Other sources cost no request.

use object_store::list::PaginatedListOptions;

use super::client::Client;
use super::fault::Fault;
use crate::external::skip::{ICEBERG, Named, Rules, TABLES};
use crate::external::{BucketPrefix, SourcePath, StoreError};

/// Whether the last part of a prefix is one that a part of a table has.
pub(super) fn may_be_part(prefix: &BucketPrefix) -> bool {
    let name = prefix.prefix().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    name.contains('=') || name == "data"
}

/// Refuses a source that is a part of a table, by the rules of the source.
pub(super) async fn check(client: &Client, prefix: &BucketPrefix, rules: &Rules) -> Result<(), Fault> {
    let (mut at, mut up) = (prefix.prefix(), String::new());
    while let Some(below) = at.strip_suffix('/') {
        let name = below.rsplit('/').next().unwrap_or_default();
        let above = below.strip_suffix(name).unwrap_or_default();
        let is_partition = name.contains('=');
        if !is_partition && name != "data" {
            break;
        }
        up.push_str("../");
        if let Some((mark, format)) = mark_in(client, above, &up, rules).await? {
            let what = format!("{}/{above}", prefix.bucket());
            return Err(StoreError::Table { what, format, mark: SourcePath(mark) }.into());
        }
        if !is_partition {
            break;
        }
        at = above;
    }
    Ok(())
}

/// What marks a prefix as a table, if the rules do not leave it out.
async fn mark_in(
    client: &Client,
    above: &str,
    up: &str,
    rules: &Rules,
) -> Result<Option<(Vec<u8>, &'static str)>, Fault> {
    for (mark, _) in TABLES {
        let path = [up.as_bytes(), mark].concat();
        let Named::Table(format, _) = rules.named(&path) else { continue };
        if !keys(client, above, mark, 1).await?.is_empty() {
            return Ok(Some((path, format)));
        }
    }
    let (metadata, ending) = ICEBERG;
    let path = |name: &[u8]| [up.as_bytes(), metadata, b"/", name].concat();
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
