//! The full exchange: for a replica whose gaps the sender's log cannot name any more.
//!
//! The sender goes through all its keys, page by page, while writes go on at both sides. Each page carries the
//! sender's durable clock of the instant at which it was read; a key that the sender does not have is, within the
//! page's range, an empty entry under that clock. Only after the last page does the receiver's clock join the clock
//! of the *first* page, for that is all that the sender reflected before it read any of them. The exchange ends
//! without effect on the clock when the sender restarts.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::clock::Clock;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::dot::Origin;
use crate::entry::Entry;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::{Rows, StorageError, Table};

use super::apply::Applied;
use super::exchange::{MergedKey, PageLimits, decode_entries, encode_entries};
use super::{Partition, Transaction};

/// An exchange in progress, at the receiver. Lost with a restart, on purpose.
#[derive(Debug)]
pub(super) struct Pull {
    source: Origin,
    /// The clock of the first page.
    first: Clock,
    /// Keys up to this one are done.
    passed: Key,
}

/// What the receiver asks for next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullRequest {
    /// Keys after this one; `None` opens an exchange.
    pub after: Option<Key>,
    /// Keys up to this one at most: bounds how many of its own keys the receiver must look at in one step.
    pub until: Option<Key>,
    /// The clock of the first page, for the plant that ages pages; empty otherwise.
    pub first: Clock,
}

/// All keys of the sender within a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullPage {
    /// The sender, in the life in which it read this.
    pub source: Origin,
    /// The sender's durable clock at the instant at which the entries were read.
    pub clock: Clock,
    /// The request's `after`.
    pub after: Option<Key>,
    /// The last key that the page speaks for; `None`: all that follow.
    pub until: Option<Key>,
    /// Keys ascending, and their entries.
    pub entries: Vec<(Key, Entry)>,
}

/// What comes after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Ask for the next one.
    Next(FullRequest),
    /// The receiver has everything that the sender had at the first page.
    Done,
    /// The page does not belong to the exchange in progress, or the sender restarted: begin anew.
    Aborted,
}

impl Partition {
    /// The request that opens a full exchange.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub fn open_full(&mut self, rows: &dyn Rows, limits: PageLimits) -> Result<FullRequest, StorageError> {
        self.pull = None;
        Ok(FullRequest { after: None, until: self.own_bound(rows, None, limits)?, first: Clock::new() })
    }

    /// Whether a full exchange is in progress.
    #[must_use]
    pub const fn is_pulling(&self) -> bool {
        self.pull.is_some()
    }

    /// Gives up a full exchange, if one is in progress.
    pub fn abort_full(&mut self) {
        self.pull = None;
    }

    /// What a key that this replica lacks is known to have had: while a full exchange is in progress, everything that
    /// the sender reflected when it had no such key.
    pub(super) fn pulled_context(&self, key: &Key) -> Clock {
        match &self.pull {
            Some(pull) if *key <= pull.passed => pull.first.minus(&self.clock),
            _ => Clock::new(),
        }
    }

    /// The key at which a page must end at the latest, so that at most `limits.records` keys of this replica lie in
    /// its range.
    fn own_bound(
        &self,
        rows: &dyn Rows,
        after: Option<&Key>,
        limits: PageLimits,
    ) -> Result<Option<Key>, StorageError> {
        let mut count = 0;
        let mut bound = None;
        self.scan_entries(rows, after, |key, _| {
            count += 1;
            if count < limits.records {
                return ControlFlow::Continue(());
            }
            bound = Some(key.clone());
            ControlFlow::Break(())
        })?;
        Ok(bound)
    }

    /// Visits stored rows after `after`, ascending.
    pub(super) fn scan_entries(
        &self,
        rows: &dyn Rows,
        after: Option<&Key>,
        mut visit: impl FnMut(&Key, bytes::Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let from = match after {
            // The smallest row name above the key's.
            Some(key) => [Table::Entry.key_row(self.id, key).as_ref(), &[0]].concat(),
            None => Table::Entry.prefix(self.id).to_vec(),
        };
        rows.scan(&from, &Table::Entry.end(self.id), &mut |row, value| visit(&Table::row_key(row), value))
    }

    /// Visits the keys that have a value and begin with `prefix`, after `after`, ascending. Eventually consistent: a
    /// key whose latest change is not durable yet may be listed or not.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub fn list(
        &self,
        rows: &dyn Rows,
        prefix: &Key,
        after: Option<&Key>,
        mut visit: impl FnMut(&Key) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let mut outcome = Ok(());
        let begin = after.filter(|after| *after >= prefix);
        let from = match begin {
            Some(key) => [Table::Entry.key_row(self.id, key).as_ref(), &[0]].concat(),
            None => Table::Entry.key_row(self.id, prefix).to_vec(),
        };
        rows.scan(&from, &Table::Entry.end(self.id), &mut |row, value| {
            let key = Table::row_key(row);
            if !key.as_bytes().starts_with(prefix.as_bytes()) {
                return ControlFlow::Break(());
            }
            match Entry::from_bytes(value) {
                Ok(entry) if entry.siblings.is_empty() => ControlFlow::Continue(()),
                Ok(_) => visit(&key),
                Err(error) => {
                    outcome = Err(super::corrupt("entry", &error));
                    ControlFlow::Break(())
                }
            }
        })?;
        outcome
    }

    /// A page of this replica's durable entries.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub fn serve_full(
        &self,
        rows: &dyn Rows,
        request: &FullRequest,
        limits: PageLimits,
    ) -> Result<FullPage, StorageError> {
        let after = request.after.as_ref();
        let (keys, until) = self.keys_from(rows, after, request.until.as_ref(), limits)?;
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            let entry = self.read(rows, &key)?;
            if !entry.is_nothing() {
                entries.push((key, entry));
            }
        }
        let aged = planted(Plant::PageContextOlderThanEntry) && !request.first.is_empty();
        let clock = if aged { request.first.clone() } else { self.durable.clone() };
        Ok(FullPage { source: self.origin, clock, after: request.after.clone(), until, entries })
    }

    /// Up to a page's worth of the keys after `after`, stored or staged, and the last key that they speak for.
    fn keys_from(
        &self,
        rows: &dyn Rows,
        after: Option<&Key>,
        until: Option<&Key>,
        limits: PageLimits,
    ) -> Result<(BTreeSet<Key>, Option<Key>), StorageError> {
        let mut keys = BTreeSet::new();
        let mut bytes = 0;
        let mut end = until.cloned();
        self.scan_entries(rows, after, |key, value| {
            if until.is_some_and(|until| key > until) {
                return ControlFlow::Break(());
            }
            bytes += key.as_bytes().len() + value.len();
            keys.insert(key.clone());
            if keys.len() < limits.records && bytes < limits.bytes {
                return ControlFlow::Continue(());
            }
            end = Some(key.clone());
            ControlFlow::Break(())
        })?;
        keys.extend(self.overlay.keys_between(after, end.as_ref()).cloned());
        Ok((keys, end))
    }

    /// Merges a page; after the last one the clock joins the first page's.
    ///
    /// # Errors
    /// [`StorageError`] when present entries cannot be read; nothing is staged then.
    pub fn take_full(
        &mut self,
        transaction: &mut Transaction<'_>,
        page: &FullPage,
        limits: PageLimits,
    ) -> Result<(Applied, Progress), StorageError> {
        let mut applied = Applied { ticket: self.ticket, ..Applied::default() };
        let first = match (&self.pull, &page.after) {
            (None, None) => page.clock.clone(),
            (Some(pull), Some(after)) if pull.passed == *after && Self::continues(pull, page) => {
                pull.first.clone()
            }
            _ => {
                self.pull = None;
                return Ok((applied, Progress::Aborted));
            }
        };
        let changes = self.merge_page(transaction.rows, page, &mut applied)?;
        let next = match &page.until {
            Some(until) => self.own_bound(transaction.rows, Some(until), limits)?,
            None => None,
        };
        applied.ticket = self.next_ticket();
        let mut seen = Clock::new();
        let done = page.until.is_none();
        if done {
            let joined = if planted(Plant::ExchangeClockTakenAtItsEnd) { &page.clock } else { &first };
            // Siblings are logged before the join hides that they are new.
            self.see_siblings(transaction, &mut seen, page, &mut applied);
            seen.join(&joined.minus(&self.clock));
            self.clock.join(joined);
        }
        self.stage_merged(transaction, &mut seen, changes, &page.clock, &mut applied);
        applied.fresh = seen.count();
        self.stage_clock(applied.ticket, seen);
        let Some(passed) = page.until.clone() else {
            self.pull = None;
            self.checkpoint(transaction);
            return Ok((applied, Progress::Done));
        };
        let request = FullRequest { after: Some(passed.clone()), until: next, first: aged(&first) };
        self.pull = Some(Pull { source: page.source, first, passed });
        Ok((applied, Progress::Next(request)))
    }

    /// Whether a page belongs to the exchange: from the same life of the sender, and read after the first page was. A
    /// late page of an earlier exchange lacks what the sender learned before this one began.
    fn continues(pull: &Pull, page: &FullPage) -> bool {
        if planted(Plant::ExchangeOutlivesSource) {
            return pull.source.node == page.source.node;
        }
        pull.source == page.source && page.clock.covers(&pull.first)
    }

    /// The merged entries of a page's keys, and of those that only this replica has in the page's range.
    fn merge_page(
        &self,
        rows: &dyn Rows,
        page: &FullPage,
        applied: &mut Applied,
    ) -> Result<Vec<MergedKey>, StorageError> {
        let mut own = BTreeSet::new();
        self.scan_entries(rows, page.after.as_ref(), |key, _| {
            if page.until.as_ref().is_some_and(|until| key > until) {
                return ControlFlow::Break(());
            }
            own.insert(key.clone());
            ControlFlow::Continue(())
        })?;
        own.extend(self.overlay.keys_between(page.after.as_ref(), page.until.as_ref()).cloned());
        let mut changes = Vec::with_capacity(page.entries.len());
        for (key, entry) in &page.entries {
            own.remove(key);
            changes.push(self.merged(rows, key, entry, &page.clock, applied)?);
        }
        let nothing = Entry::default();
        for key in own {
            changes.push(self.merged(rows, &key, &nothing, &page.clock, applied)?);
        }
        Ok(changes)
    }

    fn see_siblings(
        &mut self,
        transaction: &mut Transaction<'_>,
        seen: &mut Clock,
        page: &FullPage,
        applied: &mut Applied,
    ) {
        for (key, entry) in &page.entries {
            for dot in entry.dots() {
                if self.see(transaction, dot, key) {
                    seen.add(dot);
                    applied.of_keys.push((key.clone(), 1, 0));
                }
            }
        }
    }
}

fn aged(first: &Clock) -> Clock {
    if planted(Plant::PageContextOlderThanEntry) { first.clone() } else { Clock::new() }
}

fn encode_option(key: Option<&Key>, out: &mut Vec<u8>) {
    out.push(u8::from(key.is_some()));
    if let Some(key) = key {
        key.encode(out);
    }
}

fn decode_option(input: &mut Reader) -> Result<Option<Key>, DecodeError> {
    match input.u8()? {
        0 => Ok(None),
        1 => Key::decode(input).map(Some),
        _ => Err(DecodeError::Invalid("page: option")),
    }
}

impl Encode for FullRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_option(self.after.as_ref(), out);
        encode_option(self.until.as_ref(), out);
        self.first.encode(out);
    }
}

impl Decode for FullRequest {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { after: decode_option(input)?, until: decode_option(input)?, first: Clock::decode(input)? })
    }
}

impl Encode for FullPage {
    fn encode(&self, out: &mut Vec<u8>) {
        self.source.encode(out);
        self.clock.encode(out);
        encode_option(self.after.as_ref(), out);
        encode_option(self.until.as_ref(), out);
        encode_entries(&self.entries, out);
    }
}

impl Decode for FullPage {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let page = Self {
            source: Origin::decode(input)?,
            clock: Clock::decode(input)?,
            after: decode_option(input)?,
            until: decode_option(input)?,
            entries: decode_entries(input)?,
        };
        let in_range = |key: &Key| {
            page.after.as_ref().is_none_or(|after| key > after)
                && page.until.as_ref().is_none_or(|until| key <= until)
        };
        let ascending = page.entries.is_sorted_by(|(a, _), (b, _)| a < b);
        if !ascending || !page.entries.iter().all(|(key, _)| in_range(key)) {
            return Err(DecodeError::Invalid("page: keys"));
        }
        Ok(page)
    }
}
