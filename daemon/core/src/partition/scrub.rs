//! The scrub: whether what is stored still is what was stored.
//!
//! A hash tree that only follows changes cannot see a row that changes by itself. So now and then a second tree is
//! built from the rows, as the first one was after the start, while changes go on. If in the end the two differ, rows
//! have changed: what is cached is forgotten, and the survey begins anew. From then on this replica shows what it really
//! holds, and the next verification finds that others hold something else.

use crate::plant::{Plant, planted};
use crate::storage::{Rows, StorageError};

use super::survey::Survey;
use super::{PageLimits, Partition};

/// How far a scrub is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// Rows are left.
    Partly,
    /// All rows were read, and are what was written.
    Sound,
    /// All rows were read; under so many leaves of the hash tree some have changed. The partition is to be surveyed
    /// anew ([`Partition::survey`]).
    Rotten(usize),
}

impl Partition {
    /// Gives up a scrub under way: the next one begins with the first row.
    pub fn abort_scrub(&mut self) {
        self.scrub = None;
    }

    /// Reads about one page of rows more; begins anew after the last one. Nothing is scrubbed before the hash tree is
    /// built ([`Partition::survey`]).
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read or decoded; the scrub can go on where it was.
    pub fn scrub(&mut self, rows: &dyn Rows, limits: PageLimits) -> Result<Scrubbed, StorageError> {
        if self.tree().is_none() {
            self.scrub = None;
            return Ok(Scrubbed::Partly);
        }
        let secret = *self.survey.secret();
        let mut scrub = self.scrub.take().unwrap_or_else(|| Survey::new(secret));
        let outcome = self.survey_page(&mut scrub, rows, limits);
        let (Some(known), Some(found), Ok(_)) = (self.tree(), scrub.tree(), &outcome) else {
            self.scrub = Some(scrub);
            return outcome.map(|_| Scrubbed::Partly);
        };
        let rotten = (0..found.leaves()).filter(|leaf| found.leaf(*leaf) != known.leaf(*leaf)).count();
        if rotten == 0 {
            return Ok(Scrubbed::Sound);
        }
        if !planted(Plant::RotHiddenByCache) {
            self.cache.get_mut().clear();
        }
        self.survey = Survey::new(secret);
        Ok(Scrubbed::Rotten(rotten))
    }
}
