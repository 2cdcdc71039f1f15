//! One object of a bucket: its key, and what a store says of it. It must not ask for anything.

use object_store::path::Path as Key;

use crate::external::{BucketPrefix, EntityTag, Instant, SourcePath, Stat, StoreError};

/// The key of an object of a source. What no listing can have named is gone.
pub(super) fn key_of(prefix: &BucketPrefix, path: &SourcePath) -> Result<Key, StoreError> {
    let moved = || StoreError::Moved { path: path.clone() };
    let below = std::str::from_utf8(&path.0).map_err(|_| moved())?;
    Key::parse(format!("{}{below}", prefix.prefix())).map_err(|_| moved())
}

/// What a store says of an object.
pub(super) fn stat_of(found: &object_store::ObjectMeta) -> Result<Stat, StoreError> {
    let tag = EntityTag::new(found.e_tag.as_deref()).map_err(|length| StoreError::Limit {
        what: found.location.to_string(),
        limit: format!("the entity tag of an object has at most 46 bytes, found {length}"),
    })?;
    let modified = Instant {
        seconds: found.last_modified.timestamp(),
        nanoseconds: found.last_modified.timestamp_subsec_nanos().min(999_999_999),
    };
    Ok(Stat::of_object(found.size, tag, modified))
}
