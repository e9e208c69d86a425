//! The log of one partition: which key each dot wrote, for every dot that some replica may lack.
//!
//! Fresh records are in memory, and in storage in the segments of their commits ([`crate::segment`]); those that stay
//! longer have rows of their own, and in memory no more than their place in a clock.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::clock::Clock;
use crate::codec::{Reader, put_varint};
use crate::dot::{Dot, DotRange};
use crate::key::{Key, PartitionId};
use crate::plant::{Plant, planted};
use crate::segment::{Logged, put_record};
use crate::storage::{Batch, Rows, StorageError, Table, log_dot, log_row};

use super::ages::Ages;
use super::{Ticket, corrupt, scan_table};

/// The most dots of which each is looked up to learn its key.
const LOOKED_UP_MAX: u64 = 64;

/// The records of one partition, pending ones included.
#[derive(Debug)]
pub(super) struct Log {
    id: PartitionId,
    /// All dots with a record.
    dots: Clock,
    /// Those whose record has a row of its own.
    spilled: Clock,
    /// The records whose row, if they have one, may not be durable yet.
    fresh: BTreeMap<Dot, Fresh>,
    /// Fresh records that leave memory once a change is durable, which gives them their rows.
    spilling: VecDeque<(Ticket, Dot)>,
    /// The newest change that is durable.
    durable: Ticket,
    /// What `durable` was at the last call of [`Log::spill`].
    spill_upto: Ticket,
    /// When that was, in seconds: whatever has no age yet was logged since then.
    spilled_at: Option<u64>,
    ages: Ages,
}

#[derive(Debug)]
struct Fresh {
    /// The change that logged it.
    ticket: Ticket,
    key: Key,
    /// When it was logged, in seconds; known from the first call of [`Log::spill`] on.
    at: Option<u64>,
}

impl Log {
    /// The log that storage holds; `fresh`: this partition's records in segments.
    pub(super) fn open(id: PartitionId, rows: &dyn Rows, fresh: Vec<Logged>) -> Result<Self, StorageError> {
        let (mut spilled, mut ages) = (Clock::new(), Ages::default());
        scan_table(rows, Table::Log, id, |row, value| {
            let dot = log_dot(row).ok_or_else(|| StorageError::Corrupt("a log row's name".into()))?;
            let (at, key) = take_value(&value)?;
            spilled.add(dot);
            ages.add(at, dot, row_bytes(&key));
            Ok(())
        })?;
        let fresh: BTreeMap<_, _> = fresh
            .into_iter()
            .filter(|logged| !spilled.has(logged.dot))
            .map(|Logged { dot, key, at }| {
                ages.add(at, dot, row_bytes(&key));
                (dot, Fresh { ticket: Ticket::default(), key, at: Some(at) })
            })
            .collect();
        let mut dots = spilled.clone();
        dots.extend(fresh.keys().copied());
        let (spilling, durable, spill_upto, spilled_at) = Default::default();
        Ok(Self { id, dots, spilled, fresh, spilling, durable, spill_upto, spilled_at, ages })
    }

    /// A log without records.
    pub(super) fn empty(id: PartitionId) -> Self {
        let (dots, spilled, fresh, spilling) = Default::default();
        let (durable, spill_upto, spilled_at, ages) = Default::default();
        Self { id, dots, spilled, fresh, spilling, durable, spill_upto, spilled_at, ages }
    }

    /// All dots with a record.
    pub(super) const fn dots(&self) -> &Clock {
        &self.dots
    }

    /// Those whose record has a row of its own.
    pub(super) const fn spilled(&self) -> &Clock {
        &self.spilled
    }

    /// Adds the record of a dot that the change `ticket` makes seen.
    pub(super) fn add(&mut self, batch: &mut Batch, ticket: Ticket, dot: Dot, key: &Key) {
        put_record(&mut batch.log, self.id, dot, key);
        // A key may be a slice of a whole network frame.
        let key = Key::from_stored(Bytes::copy_from_slice(key.as_bytes()));
        self.fresh.insert(dot, Fresh { ticket, key, at: None });
        self.dots.add(dot);
    }

    /// Every change up to `ticket` is durable.
    pub(super) fn committed(&mut self, ticket: Ticket) {
        self.durable = self.durable.max(ticket);
        while let Some((_, dot)) = self.spilling.pop_front_if(|(staged, _)| *staged <= ticket) {
            self.fresh.remove(&dot);
        }
    }

    /// The records of `range`, ascending, at most `count_max`.
    pub(super) fn records(
        &self,
        rows: &dyn Rows,
        range: DotRange,
        count_max: usize,
    ) -> Result<Vec<(Dot, Key)>, StorageError> {
        let dot = |counter| Dot { origin: range.origin, counter };
        let fresh = self.fresh.range(dot(range.first)..=dot(range.last)).take(count_max);
        let mut records: Vec<(Dot, Key)> = fresh.map(|(dot, record)| (*dot, record.key.clone())).collect();
        let wanted = (range.last - range.first + 1).min(count_max as u64);
        let next = records.last().map_or(range.first, |(dot, _)| dot.counter + 1);
        if records.len() as u64 == wanted && next == range.first + wanted {
            return Ok(records);
        }
        let (mut found, mut outcome) = (0, Ok(()));
        rows.scan(
            &log_row(self.id, dot(range.first)),
            &log_row(self.id, dot(range.last + 1)),
            &mut |row, value| {
                // A row may be there whose removal, or whose very writing, is under way.
                if let Some(dot) =
                    log_dot(row).filter(|dot| self.spilled.has(*dot) && !self.fresh.contains_key(dot))
                {
                    match take_value(&value) {
                        Ok((_, key)) => records.push((dot, key)),
                        Err(error) => outcome = Err(error),
                    }
                    found += 1;
                }
                if found < count_max && outcome.is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            },
        )?;
        outcome?;
        records.sort_by_key(|(dot, _)| *dot);
        records.truncate(count_max);
        Ok(records)
    }

    /// Of some seen dots those that wrote `key`, and maybe others: nothing is read from storage, and of very many dots
    /// none is looked up.
    pub(super) fn of_key(&self, dots: Clock, key: &Key) -> Clock {
        if dots.count() > LOOKED_UP_MAX {
            return dots;
        }
        let others = |dot: &Dot| self.fresh.get(dot).is_some_and(|record| record.key != *key);
        dots.ranges().flat_map(DotRange::dots).filter(|dot| !others(dot)).collect()
    }

    /// Removes the records of `dots`.
    pub(super) fn remove(&mut self, batch: &mut Batch, dots: &Clock) {
        self.fresh.retain(|dot, _| !dots.has(*dot));
        let rows = self.spilled.intersection(dots);
        for dot in rows.ranges().flat_map(DotRange::dots) {
            batch.remove(log_row(self.id, dot));
        }
        self.spilled = self.spilled.minus(&rows);
        self.dots = self.dots.minus(dots);
        self.ages.remove(dots);
    }

    /// How old its records are; those since the last call of [`Log::spill`] have no age yet.
    pub(super) const fn ages(&self) -> &Ages {
        &self.ages
    }

    /// When [`Log::spill`] was last called, in seconds.
    pub(super) const fn spilled_at(&self) -> Option<u64> {
        self.spilled_at
    }

    /// Gives the records that were durable at the last call rows of their own, which are part of the change `ticket`.
    /// It is `now`, in seconds. Says whether there were any.
    pub(super) fn spill(&mut self, batch: &mut Batch, ticket: Ticket, now: u64) -> bool {
        let upto = std::mem::replace(&mut self.spill_upto, self.durable);
        // The earliest that a record without an age can have been logged.
        let since = self.spilled_at.replace(now).unwrap_or(now);
        let before = self.spilling.len();
        for (dot, record) in &mut self.fresh {
            let at = *record.at.get_or_insert_with(|| {
                self.ages.add(since, *dot, row_bytes(&record.key));
                since
            });
            if record.ticket > upto || self.spilled.has(*dot) {
                continue;
            }
            if !planted(Plant::SegmentRemovedUnspilled) {
                batch.put(log_row(self.id, *dot), value(at, &record.key));
            }
            self.spilled.add(*dot);
            self.spilling.push_back((ticket, *dot));
        }
        self.ages.merge(now);
        self.spilling.len() > before
    }
}

/// What a record takes that has a row of its own, in bytes.
const fn row_bytes(key: &Key) -> u64 {
    32 + key.as_bytes().len() as u64
}

/// The value of a record's own row.
fn value(at: u64, key: &Key) -> Bytes {
    let mut out = Vec::with_capacity(5 + key.as_bytes().len());
    put_varint(&mut out, at);
    out.extend_from_slice(key.as_bytes());
    out.into()
}

/// When a record was logged, and its key, from its own row.
fn take_value(value: &Bytes) -> Result<(u64, Key), StorageError> {
    let mut input = Reader::new(value.clone());
    let at = input.varint().map_err(|error| corrupt("log record", &error))?;
    let key = value.slice(value.len() - input.remaining()..);
    Ok((at, Key::from_stored(key)))
}
