//! Reading one object, fenced: every range is of the content that was listed, or an error. It must not know what the bytes
//! are for.

use std::io;
use std::sync::Arc;

use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange};

use super::client::Client;
use super::fault::{self, Fault};
use super::network::Network;
use super::stat::stat_of;
use crate::external::{FileReader, SourcePath, Stat, StoreError, never_interrupted};

pub(super) struct ObjectReader {
    pub(super) network: Arc<Network>,
    pub(super) client: Arc<Client>,
    pub(super) key: Key,
    pub(super) path: SourcePath,
    pub(super) listed: Stat,
}

impl FileReader for ObjectReader {
    fn len(&self) -> u64 {
        self.listed.size
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.listed.size);
        let Some(end) = end else {
            let beyond = io::Error::new(io::ErrorKind::InvalidInput, "a range beyond the end was asked for");
            return Err(StoreError::Unreadable { what: self.path.to_string(), source: beyond });
        };
        if length == 0 {
            return Ok(Vec::new());
        }
        let range = Some(GetRange::Bounded(start..end));
        let options = GetOptions { range, if_match: self.listed.tag.condition(), ..GetOptions::default() };
        let (client, key) = (Arc::clone(&self.client), self.key.clone());
        let work = async move {
            let found = client.remote.get_opts(&key, options).await?;
            let (meta, range) = (found.meta.clone(), found.range.clone());
            Ok::<_, Fault>((meta, range, found.bytes().await?))
        };
        let read = self.network.wait(&self.client.meter, &never_interrupted, work).and_then(|read| read);
        let (meta, range, bytes) = read.map_err(|fault| fault.of_object(&self.path))?;
        // A store that ignores the condition is not believed: what it says of what it sent is compared.
        if stat_of(&meta)? != self.listed || range != (start..end) {
            return Err(StoreError::Moved { path: self.path.clone() });
        }
        if bytes.len() != length {
            let short = format!("{} of {length} bytes came", bytes.len());
            return Err(fault::unreadable(&self.path.to_string(), short));
        }
        Ok(bytes.into())
    }
}
