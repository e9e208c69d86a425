//! What a write must supersede that its coordinator has not seen.
//!
//! `lww` at more than one replica promises to overwrite whatever was acknowledged at its level before, whatever wall
//! clocks say. So the coordinator first asks as many replicas as its level needs: one of them has whatever was
//! acknowledged.
//!
//! What a replica has seen is more than what it shows: a delete or a later write may stand between the two, unknown to
//! all others, and what it superseded would still be shown by them. Which dots are the key's is in the log, since the
//! coordinator lacks them; so mostly nothing is read from storage.

use crate::clock::Clock;
use crate::hlc::Hlc;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::{Rows, StorageError};

use super::Partition;

/// What a replica has seen of a key and its asker has not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// The dots; some may be other keys'.
    pub dots: Clock,
    /// The highest stamp among the versions that it shows, if there are such dots.
    pub stamp: Hlc,
}

impl Partition {
    /// What this replica holds durably of `key` beyond `known`, all that the asking one has seen.
    ///
    /// Dots of the key's explicit context do not matter: each write that was acknowledged is in the clocks of its level.
    ///
    /// # Errors
    /// [`StorageError`] when the row cannot be read or decoded.
    pub fn collect(&self, rows: &dyn Rows, key: &Key, known: &Clock) -> Result<Collected, StorageError> {
        let dots = if planted(Plant::HiddenIsNotCollected) {
            self.read(rows, key)?.dots().filter(|dot| !known.has(*dot)).collect()
        } else {
            self.log.of_key(self.durable.minus(known), key)
        };
        if dots.is_empty() || planted(Plant::NothingIsCollected) {
            return Ok(Collected::default());
        }
        Ok(Collected { stamp: self.read(rows, key)?.stamp_max(), dots })
    }

    /// All that this replica has seen, durable or not: what [`Partition::collect`] elsewhere need not tell.
    #[must_use]
    pub const fn seen(&self) -> &Clock {
        &self.clock
    }
}
