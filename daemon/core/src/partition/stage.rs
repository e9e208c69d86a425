//! Staging: what a change puts into its batch, and into memory until the batch is durable.

use bytes::Bytes;

use crate::clock::Clock;
use crate::codec::Encode;
use crate::entry::Entry;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::Table;

use super::{Partition, StagedDots, Ticket, Transaction};

impl Partition {
    /// Stages the new state of a key whose entry was `before`.
    pub(super) fn stage_entry(
        &mut self,
        transaction: &mut Transaction<'_>,
        ticket: Ticket,
        key: &Key,
        before: Entry,
        mut after: Entry,
    ) {
        let change = self.survey.staged(key, &before, &after);
        self.pull_touched(key);
        if !after.context.is_empty() {
            after.context = after.context.minus(&self.clock);
        }
        if planted(Plant::DeleteContextDroppedEarly) && after.siblings.is_empty() {
            after.context = Clock::new();
        }
        let row = Table::Entry.key_row(self.id, key);
        if after.is_nothing() {
            transaction.batch.remove(row);
        } else {
            transaction.batch.put(row, after.to_bytes());
        }
        if after.context.is_empty() {
            if self.residue.remove(key) {
                transaction.batch.remove(Table::Residue.key_row(self.id, key));
            }
        } else if !self.residue.contains(key) {
            self.residue.insert(key.clone());
            transaction.batch.put(Table::Residue.key_row(self.id, key), Bytes::new());
        }
        self.overlay.stage(key, ticket, before, after, change);
    }

    /// Stages dots that become part of the durable clock with `ticket`.
    pub(super) fn stage_clock(&mut self, ticket: Ticket, dots: Clock) {
        if !dots.is_empty() {
            self.staged.push_back((ticket, StagedDots::Clock(dots)));
        }
    }

    /// Writes the whole clock, so that log records that it covers may go.
    pub(super) fn checkpoint(&self, transaction: &mut Transaction<'_>) {
        if self.clock.is_empty() {
            return;
        }
        let row = Bytes::copy_from_slice(&Table::Clock.prefix(self.id));
        transaction.batch.put(row, self.clock.to_bytes());
    }
}
