//! The file that says whose a data directory is.
//!
//! A line of text for whoever looks into it, a version byte that covers the whole directory's format, the fields,
//! and an xxh3 checksum of all before. Replaced as a whole: a crash leaves the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use settle_core::codec::{DecodeError, Reader, put_bytes, put_u64, put_varint};
use settle_core::dot::{Epoch, NodeId};
use xxhash_rust::xxh3::xxh3_64;

use super::error::{OpenError, io_failed};
use super::{Expected, damaged, sync_directory};

pub(super) const FILE: &str = "identity";
pub(super) const FILE_NEW: &str = "identity.new";
/// The newest format of a data directory that this program reads, and the one it writes.
const FORMAT: u8 = 1;
const MAGIC: &[u8] = b"settle data directory\n";

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) node_id: NodeId,
    pub(super) name: String,
    pub(super) cluster: String,
    pub(super) partitions: u32,
    /// The newest epoch; none until the engine was made.
    pub(super) epoch: Option<Epoch>,
}

/// Why the file's bytes are no identity.
enum Unreadable {
    NewerFormat(u8),
    Damaged(String),
}

impl Stored {
    /// The identity of a directory that is being made.
    pub(super) fn newborn(node_id: NodeId, expected: &Expected) -> Self {
        let Expected { name, cluster, partitions } = expected.clone();
        Self { node_id, name, cluster, partitions, epoch: None }
    }

    /// Refuses a directory that is not the expected one.
    pub(super) fn check(&self, path: &Path, expected: &Expected) -> Result<(), OpenError> {
        let quoted = |text: &str| format!("{text:?}");
        let fields = [
            ("cluster.name", quoted(&self.cluster), quoted(&expected.cluster)),
            ("node.name", quoted(&self.name), quoted(&expected.name)),
            ("cluster.partitions", self.partitions.to_string(), expected.partitions.to_string()),
        ];
        match fields.into_iter().find(|(_, found, expected)| found != expected) {
            Some((what, found, expected)) => {
                Err(OpenError::Mismatch { path: path.to_owned(), what, found, expected })
            }
            None => Ok(()),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(FORMAT);
        put_u64(&mut out, self.node_id.0);
        put_bytes(&mut out, self.name.as_bytes());
        put_bytes(&mut out, self.cluster.as_bytes());
        put_varint(&mut out, u64::from(self.partitions));
        put_u64(&mut out, self.epoch.map_or(0, |epoch| epoch.0));
        let checksum = xxh3_64(&out);
        put_u64(&mut out, checksum);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Invalid("first line"))?;
        // The version first: a newer format may have its checksum elsewhere.
        if let Some(found) = rest.first().copied().filter(|found| *found > FORMAT) {
            return Err(Unreadable::NewerFormat(found));
        }
        let (fields, checksum) = bytes.split_last_chunk::<8>().ok_or(DecodeError::Invalid("length"))?;
        if xxh3_64(fields) != u64::from_le_bytes(*checksum) {
            return Err(DecodeError::Invalid("checksum").into());
        }
        let mut input = Reader::new(Bytes::copy_from_slice(fields.get(MAGIC.len()..).unwrap_or_default()));
        input.version("the data directory", FORMAT)?;
        let node_id = NodeId(input.u64()?);
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Invalid("name"));
        let name = text(input.bytes()?)?;
        let cluster = text(input.bytes()?)?;
        let partitions =
            u32::try_from(input.varint()?).map_err(|_| DecodeError::Invalid("number of partitions"))?;
        let epoch = Some(Epoch(input.u64()?)).filter(|epoch| epoch.0 != 0);
        input.finish()?;
        Ok(Self { node_id, name, cluster, partitions, epoch })
    }
}

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The identity in a data directory, if it has one.
pub(super) fn read(directory: &Path) -> Result<Option<Stored>, OpenError> {
    let file = directory.join(FILE);
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_failed(&file, "read the identity")(error)),
    };
    match Stored::decode(&bytes) {
        Ok(stored) => Ok(Some(stored)),
        Err(Unreadable::NewerFormat(found)) => {
            Err(OpenError::NewerFormat { path: directory.to_owned(), found, newest: FORMAT })
        }
        Err(Unreadable::Damaged(what)) => Err(damaged(directory, format!("{}: {what}", file.display()))),
    }
}

/// Replaces the identity in a data directory; it is on the device when this returns.
pub(super) fn write(directory: &Path, stored: &Stored) -> Result<(), OpenError> {
    let (new, file) = (directory.join(FILE_NEW), directory.join(FILE));
    let written = File::create(&new).and_then(|mut out| {
        out.write_all(&stored.encode())?;
        out.sync_all()
    });
    written.map_err(io_failed(&new, "write the identity"))?;
    fs::rename(&new, &file).map_err(io_failed(&file, "replace the identity"))?;
    sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        let (name, cluster) = ("n1".to_owned(), "c\u{e9}\n".to_owned());
        Stored { node_id: NodeId(7), name, cluster, partitions: 128, epoch: Some(Epoch(9)) }
    }

    #[test]
    fn an_identity_comes_back() {
        for epoch in [None, Some(Epoch(9))] {
            let stored = Stored { epoch, ..stored() };
            assert!(Stored::decode(&stored.encode()).is_ok_and(|decoded| decoded == stored));
        }
    }

    #[test]
    fn no_byte_can_change_unnoticed() {
        let bytes = stored().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Stored::decode(&changed).is_err(), "byte {at}");
            assert!(Stored::decode(&bytes[..at]).is_err(), "length {at}");
        }
    }
}
