//! `[hints]`: what is kept for replicas that are away, and how fast it is fetched.

use std::time::Duration;

use settle_service::config::Reader;

/// What is kept for replicas that are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// How large the log may become, in bytes on disk.
    pub max_bytes: u64,
    /// For how long a record is kept for a replica that is down.
    pub max_age: Duration,
    /// How fast this node fetches what it has missed, in bytes per second.
    pub bytes_per_second: u64,
}

impl Hints {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let max_bytes = "Disk space for the log of writes that replicas lack; beyond it the oldest records are dropped, and a \
                     replica that lacks them needs a full exchange. Writes are never refused because of it.";
        let max_age = "How long the log keeps a write for a replica that is down.";
        let bytes_per_second = "How fast this node fetches what it has missed, from all others together; each entry counts as \
                            1 KiB more than it holds. Clients come first.";
        let rate = reader.size("hints.bytes_per_second", "16MiB", bytes_per_second);
        if rate == 0 {
            reader.reject("hints.bytes_per_second", "0 bytes a second would never end");
        }
        Self {
            max_bytes: reader.size("hints.max_bytes", "1GiB", max_bytes),
            max_age: reader.duration("hints.max_age", "24h", max_age),
            bytes_per_second: rate,
        }
    }
}
