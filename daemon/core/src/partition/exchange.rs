//! The log exchange: a replica says what it has, another answers with the entries behind what it lacks.
//!
//! A page is complete in itself. It carries entries read at one instant, the durable clock of that instant as their
//! context, and the dots whose keys are among them. After merging an entry under that context the receiver reflects
//! everything that the sender reflected for that key, so it may mark the page's dots as seen, and no more than those;
//! a lost, repeated or late page does no harm, and neither side keeps state between pages.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Clock;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::dot::Dot;
use crate::entry::Entry;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::{Rows, StorageError};

use super::apply::Applied;
use super::{Partition, Transaction};

/// How large a page may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Log records, or keys.
    pub records: usize,
    /// Bytes of entries; a page holds at least one entry, whatever its size.
    pub bytes: usize,
}

/// The answer to a clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogAnswer {
    /// The entries behind the first dots that the asking replica lacks.
    Page(LogPage),
    /// The log has no key for one of them any more: only a full exchange helps.
    Full,
}

/// Entries, and the dots that they stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// The sender's durable clock at the instant at which the entries were read.
    pub clock: Clock,
    /// Keys and their entries.
    pub entries: Vec<(Key, Entry)>,
    /// Dots that the receiver lacked, each with the index of its key in `entries`.
    pub records: Vec<(Dot, usize)>,
    /// Whether the receiver lacks more than this page brings.
    pub more: bool,
}

/// A key merged with an entry of a page.
#[derive(Debug)]
pub(super) struct MergedKey {
    key: Key,
    before: Entry,
    after: Entry,
}

impl MergedKey {
    /// The dots of what it shows now.
    pub(super) fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.after.dots()
    }
}

impl Partition {
    /// The answer to a replica whose durable clock is `theirs`.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub fn serve_log(
        &self,
        rows: &dyn Rows,
        theirs: &Clock,
        limits: PageLimits,
    ) -> Result<LogAnswer, StorageError> {
        let mut page = LogPage { clock: self.durable.clone(), ..LogPage::default() };
        let mut indices = BTreeMap::new();
        let mut bytes = 0;
        for range in self.durable.minus(theirs).ranges() {
            let mut wanted = range.first;
            let records = self.log.records(rows, range, limits.records - page.records.len())?;
            for (dot, key) in records {
                if dot.counter != wanted && !planted(Plant::DroppedHintSkipped) {
                    return Ok(LogAnswer::Full);
                }
                wanted = dot.counter + 1;
                let index = match indices.get(&key) {
                    Some(index) => *index,
                    None => {
                        let entry = self.read(rows, &key)?;
                        bytes += key.as_bytes().len() + entry_bytes(&entry);
                        page.entries.push((key.clone(), entry));
                        indices.insert(key, page.entries.len() - 1);
                        page.entries.len() - 1
                    }
                };
                page.records.push((dot, index));
                if page.records.len() >= limits.records || bytes >= limits.bytes {
                    page.more = true;
                    return Ok(LogAnswer::Page(page));
                }
            }
            if wanted <= range.last && !planted(Plant::DroppedHintSkipped) {
                return Ok(LogAnswer::Full);
            }
        }
        Ok(LogAnswer::Page(page))
    }

    /// Merges a page of a log exchange and marks its dots as seen, in one change.
    ///
    /// # Errors
    /// [`StorageError`] when present entries cannot be read; nothing is staged then.
    pub fn take_log(
        &mut self,
        transaction: &mut Transaction<'_>,
        page: &LogPage,
    ) -> Result<Applied, StorageError> {
        let mut applied = Applied { ticket: self.ticket, ..Applied::default() };
        let mut changes = Vec::with_capacity(page.entries.len());
        for (key, entry) in &page.entries {
            changes.push(self.merged(transaction.rows, key, entry, &page.clock, &mut applied)?);
        }
        if page.entries.is_empty() {
            return Ok(applied);
        }
        applied.ticket = self.next_ticket();
        let mut seen = Clock::new();
        for (dot, index) in &page.records {
            if let Some((key, _)) = page.entries.get(*index)
                && self.see(transaction, *dot, key)
            {
                seen.add(*dot);
                applied.of_keys.push((key.clone(), 1, 0));
            }
        }
        self.stage_merged(transaction, &mut seen, changes, &page.clock, &mut applied);
        applied.fresh = seen.count();
        self.stage_clock(applied.ticket, seen);
        Ok(applied)
    }

    /// The state of a key after merging `theirs` read under `clock`; computed before any dot of the page is seen.
    pub(super) fn merged(
        &self,
        rows: &dyn Rows,
        key: &Key,
        theirs: &Entry,
        clock: &Clock,
        applied: &mut Applied,
    ) -> Result<MergedKey, StorageError> {
        let before = self.before(rows, key)?;
        let merged = self.merge_into(&before, theirs, clock);
        applied.concurrent += merged.concurrent;
        if merged.concurrent > 0 {
            applied.of_keys.push((key.clone(), 0, merged.concurrent));
        }
        applied.stamp_max = applied.stamp_max.max(theirs.stamp_max());
        let mut after = Entry { siblings: merged.siblings, context: before.context };
        after.context.join(&theirs.context);
        Ok(MergedKey { key: key.clone(), before: before.entry, after })
    }

    /// Marks and logs the siblings of merged entries as seen.
    pub(super) fn see_siblings(
        &mut self,
        transaction: &mut Transaction<'_>,
        seen: &mut Clock,
        changes: &[MergedKey],
        applied: &mut Applied,
    ) {
        for change in changes {
            for dot in change.dots() {
                if self.see(transaction, dot, &change.key) {
                    seen.add(dot);
                    applied.of_keys.push((change.key.clone(), 1, 0));
                }
            }
        }
    }

    /// Stages entries that were merged with ones read under `clock`, and marks their siblings as seen.
    pub(super) fn stage_merged(
        &mut self,
        transaction: &mut Transaction<'_>,
        seen: &mut Clock,
        changes: Vec<MergedKey>,
        clock: &Clock,
        applied: &mut Applied,
    ) {
        if planted(Plant::ClockJoinedWithoutEntries) {
            return;
        }
        self.see_siblings(transaction, seen, &changes, applied);
        let beyond = clock.minus(&self.clock);
        for MergedKey { key, before, mut after } in changes {
            after.context.join(&beyond);
            self.stage_entry(transaction, applied.ticket, &key, before, after);
        }
    }
}

/// The size of a page's entries, in bytes.
#[must_use]
pub fn entries_bytes(entries: &[(Key, Entry)]) -> usize {
    entries.iter().map(|(key, entry)| key.as_bytes().len() + entry_bytes(entry)).sum()
}

pub(super) fn entry_bytes(entry: &Entry) -> usize {
    entry.siblings.iter().map(|(_, version)| version.payload.len() + 32).sum()
}

pub(super) fn encode_entries(entries: &[(Key, Entry)], out: &mut Vec<u8>) {
    put_varint(out, entries.len() as u64);
    for (key, entry) in entries {
        key.encode(out);
        entry.encode(out);
    }
}

pub(super) fn decode_entries(input: &mut Reader) -> Result<Vec<(Key, Entry)>, DecodeError> {
    // The smallest: an empty key, and an entry's version, sibling count and empty clock.
    let count = input.count(4)?;
    // Entries in memory are many times larger than these four bytes: growing costs what really arrives.
    let mut entries = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        entries.push((Key::decode(input)?, Entry::decode(input)?));
    }
    Ok(entries)
}

impl Encode for LogPage {
    fn encode(&self, out: &mut Vec<u8>) {
        self.clock.encode(out);
        encode_entries(&self.entries, out);
        put_varint(out, self.records.len() as u64);
        for (dot, index) in &self.records {
            dot.encode(out);
            put_varint(out, *index as u64);
        }
        out.push(u8::from(self.more));
    }
}

impl Decode for LogPage {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let clock = Clock::decode(input)?;
        let entries = decode_entries(input)?;
        let count = input.count(Dot::ENCODED_MIN + 1)?;
        let mut records = Vec::with_capacity(count);
        // A key that comes twice would be merged with the same entry twice, and the second result would win.
        let keys: BTreeSet<&Key> = entries.iter().map(|(key, _)| key).collect();
        let covered = entries.iter().all(|(_, entry)| entry.dots().all(|dot| clock.has(dot)));
        if keys.len() != entries.len() || !covered {
            return Err(DecodeError::Invalid("page: entries"));
        }
        for _ in 0..count {
            let dot = Dot::decode(input)?;
            let index = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
            // The page's whole meaning rests on these two; a page that breaks them is no page.
            if index >= entries.len() || !clock.has(dot) {
                return Err(DecodeError::Invalid("page: record"));
            }
            records.push((dot, index));
        }
        Ok(Self { clock, entries, records, more: input.u8()? != 0 })
    }
}
