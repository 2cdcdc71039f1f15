//! What a store says of an object, in the words of this library. It must not ask for it.

use crate::external::{EntityTag, Instant, Stat, StoreError};

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
