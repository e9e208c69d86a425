//! One replica of one partition.
//!
//! ```text
//!   client write ──> write ──┐                     ┌──> rows in a Batch ──> storage ──> committed
//!   peer's delta ──> apply ──┼── merge, then stage ┤
//!   peer's page ───> take ───┘                     └──> overlay, clock        (pending until committed)
//! ```
//!
//! Every change is staged: it is visible to later changes at once (they must not build on the same dot), and to
//! readers, peers and clocks that others are told only when the caller reports its batch durable
//! ([`Partition::committed`]). Until then the overlay keeps the durable copy of each changed key, so that a reader
//! sees entry and clock of one instant although storage may already show the new row.
//!
//! The caller hands batches to storage in the order in which it got them, and after a failed one starts anew.

mod ages;
mod apply;
mod cache;
mod collect;
mod compare;
mod contradiction;
mod dropping;
mod exchange;
mod freshness;
mod full;
mod hints;
mod list;
mod log;
mod overlay;
mod prune;
mod repair;
mod rows;
mod scrub;
mod stage;
mod survey;
mod verify;
mod write;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::clock::Clock;
use crate::codec::Decode;
use crate::dot::{Dot, DotRange, NodeId, Origin};
use crate::entry::Entry;
use crate::key::{Key, PartitionId};
use crate::merkle::Secret;
use crate::plant::{Plant, planted};
use crate::segment::Logged;
use crate::storage::{Batch, Rows, StorageError, Table};

pub use apply::{Applied, Delta};
pub use collect::Collected;
pub use compare::{Compared, Have, Held};
pub use contradiction::Contradiction;
pub use dropping::Dropping;
pub use exchange::{LogAnswer, LogPage, PageLimits, entries_bytes};
pub use freshness::{Moment, Told, WentBack};
pub use full::{
    Asked, FullPage, FullPart, FullRequest, FullStep, Incomparable, Listing, Progress, TreesCompared,
};
pub use hints::{Dropped, Hints};
pub use repair::Repair;
pub use scrub::Scrubbed;
pub use verify::{Verdict, Verification};
pub use write::{Write, Written};

use cache::EntryCache;
use dropping::Removal;
use freshness::PeerView;
use full::Pull;
use log::Log;
use overlay::Overlay;
use rows::{corrupt, scan_table, stored_entry};
use survey::Survey;

/// Names a change of one partition: durable once [`Partition::committed`] was called with it or a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticket(pub u64);

/// Where a change reads and what it adds to.
pub struct Transaction<'a> {
    /// Committed rows.
    pub rows: &'a dyn Rows,
    /// Collects the changes.
    pub batch: &'a mut Batch,
}

/// One replica of one partition.
#[derive(Debug)]
pub struct Partition {
    id: PartitionId,
    origin: Origin,
    /// The counter of the last dot minted here.
    counter: u64,
    /// Everything seen, also what is not durable yet.
    clock: Clock,
    /// What is durable: all that others are told.
    durable: Clock,
    /// The caller's tick at the last change of `durable`.
    changed_at: u64,
    ticket: Ticket,
    /// The newest change that was reported durable.
    reported: Ticket,
    /// Dots that join `durable` with their ticket.
    staged: VecDeque<(Ticket, StagedDots)>,
    overlay: Overlay,
    /// In a cell, since looking something up moves it; the partition is used by one thread at a time.
    cache: RefCell<EntryCache>,
    /// The keys whose stored entry has an explicit context.
    residue: BTreeSet<Key>,
    /// The key after which the next sweep of the residue begins.
    swept: Option<Key>,
    log: Log,
    /// The dots whose log records were dropped although these replicas may lack them.
    diverged: BTreeMap<NodeId, Clock>,
    peers: BTreeMap<NodeId, PeerView>,
    pull: Option<Pull>,
    /// How many requests of full exchanges were made.
    asked: u64,
    survey: Survey,
    /// What the rows themselves say, while they are read again.
    scrub: Option<Survey>,
    /// Present while the partition is being dropped: it is as if empty, and rows that storage has are not looked at.
    removal: Option<Removal>,
}

/// Dots on their way into the durable clock.
#[derive(Debug)]
enum StagedDots {
    /// Of one write.
    Range(DotRange),
    /// Of a page.
    Clock(Clock),
}

/// A key's entry as a change finds it.
#[derive(Debug)]
struct Before {
    /// The latest entry, pending changes included, as it was stored or staged.
    entry: Entry,
    /// Its explicit context without what the clock covers by now.
    context: Clock,
}

impl Partition {
    /// Recovers a partition from what is stored; `origin` has a fresh epoch, `logged` are the partition's records in log
    /// segments ([`crate::segment::Segments::recover`]).
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read or decoded.
    pub fn open(
        id: PartitionId,
        origin: Origin,
        rows: &dyn Rows,
        logged: Vec<Logged>,
    ) -> Result<Self, StorageError> {
        if let Some(removal) = dropping::stored(id, rows)? {
            return Ok(Self {
                removal: Some(removal),
                ..Self::new(id, origin, Clock::new(), Log::empty(id))
            });
        }
        let mut clock = match rows.get(&Table::Clock.prefix(id))? {
            Some(stored) => Clock::from_bytes(stored).map_err(|error| corrupt("clock", &error))?,
            None => Clock::new(),
        };
        let log = Log::open(id, rows, logged)?;
        clock.join(log.dots());
        let mut partition = Self::new(id, origin, clock, log);
        scan_table(rows, Table::Residue, id, |row, _| {
            partition.residue.insert(Table::row_key(row));
            Ok(())
        })?;
        partition.diverged = hints::stored(id, rows)?;
        Ok(partition)
    }

    fn new(id: PartitionId, origin: Origin, clock: Clock, log: Log) -> Self {
        Self {
            id,
            origin,
            counter: clock.greatest(origin),
            durable: clock.clone(),
            clock,
            changed_at: 0,
            ticket: Ticket(0),
            reported: Ticket(0),
            staged: VecDeque::new(),
            overlay: Overlay::default(),
            cache: RefCell::default(),
            residue: BTreeSet::new(),
            swept: None,
            log,
            diverged: BTreeMap::new(),
            peers: BTreeMap::new(),
            pull: None,
            asked: 0,
            survey: Survey::new(Secret::new(&[0; 32])),
            scrub: None,
            removal: None,
        }
    }

    /// Keeps up to about `bytes_max` bytes of recently used entries in memory; without this call, none.
    pub fn set_cache(&mut self, bytes_max: usize) {
        self.cache = RefCell::new(EntryCache::new(bytes_max));
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> PartitionId {
        self.id
    }

    /// Who mints dots here.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The greatest counter of `origin` that this replica has minted or seen, or, by its last word, a peer has seen; 0 if
    /// none has.
    #[must_use]
    pub fn heard_of(&self, origin: Origin) -> u64 {
        let own = if origin == self.origin { self.counter } else { self.clock.greatest(origin) };
        let told = self.peers.values().filter_map(PeerView::watermark);
        told.map(|told| told.greatest(origin)).fold(own, u64::max)
    }

    /// How many bytes of payload a key would keep beside a write that supersedes `context`.
    ///
    /// # Errors
    /// [`StorageError`] when the row cannot be read or decoded.
    pub fn bytes_beside(&self, rows: &dyn Rows, key: &Key, context: &Clock) -> Result<usize, StorageError> {
        let kept = self.before(rows, key)?.entry.siblings.into_iter().filter(|(dot, _)| !context.has(*dot));
        Ok(kept.map(|(_, version)| version.payload.len()).sum())
    }

    /// The counter of the last dot minted here, durable or not; 0 before the first.
    #[must_use]
    pub const fn minted(&self) -> u64 {
        self.counter
    }

    /// The durable clock: what this replica may claim to have.
    #[must_use]
    pub const fn durable(&self) -> &Clock {
        &self.durable
    }

    /// The caller's tick at the last change of the durable clock.
    #[must_use]
    pub const fn changed_at(&self) -> u64 {
        self.changed_at
    }

    /// The dots with a log record, pending ones included.
    #[must_use]
    pub const fn logged(&self) -> &Clock {
        self.log.dots()
    }

    /// How many log records are kept, pending ones included.
    #[must_use]
    pub fn log_records(&self) -> u64 {
        self.log.dots().count()
    }

    /// How many stored entries have an explicit context.
    #[must_use]
    pub fn residue(&self) -> usize {
        self.residue.len()
    }

    /// The ticket of the latest change.
    #[must_use]
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Reports that every change up to `ticket` is durable; `tick` must rise with every call on any partition of the
    /// node that is answered by the same echo.
    pub fn committed(&mut self, ticket: Ticket, tick: u64) {
        while let Some((_, dots)) = self.staged.pop_front_if(|(staged, _)| *staged <= ticket) {
            match dots {
                StagedDots::Range(range) => self.durable.add_range(range),
                StagedDots::Clock(clock) => self.durable.join(&clock),
            }
            self.changed_at = tick;
        }
        self.reported = self.reported.max(ticket);
        if matches!(self.removal, Some(Removal::Marking(marked)) if marked <= ticket) {
            // Nobody may be told that the clock is what it was before.
            self.changed_at = tick;
        }
        self.log.committed(ticket);
        let (survey, scrub) = (&mut self.survey, &mut self.scrub);
        self.overlay.committed(ticket, self.cache.get_mut(), |key, change| {
            survey.committed(key, change);
            if let Some(scrub) = scrub.as_mut().filter(|_| !planted(Plant::ScrubMissesWrites)) {
                scrub.committed(key, change);
            }
        });
    }

    /// The durable entry of a key. Its context is the explicit one: the durable clock ([`Partition::durable`]) of the
    /// same instant belongs to it.
    ///
    /// # Errors
    /// [`StorageError`] when the row cannot be read or decoded.
    pub fn read(&self, rows: &dyn Rows, key: &Key) -> Result<Entry, StorageError> {
        match self.overlay.durable(key) {
            Some(entry) => Ok(entry.clone()),
            None => self.stored(rows, key),
        }
    }

    /// The stored entry of a key without pending changes.
    fn stored(&self, rows: &dyn Rows, key: &Key) -> Result<Entry, StorageError> {
        if self.is_dropping() {
            return Ok(Entry::default());
        }
        let mut cache = self.cache.borrow_mut();
        if let Some(entry) = cache.get(key) {
            return Ok(entry.clone());
        }
        let entry = stored_entry(rows, self.id, key)?;
        cache.insert(key, &entry);
        Ok(entry)
    }

    /// The entry that a change builds on.
    fn before(&self, rows: &dyn Rows, key: &Key) -> Result<Before, StorageError> {
        let entry = match self.overlay.pending(key) {
            Some(entry) => entry.clone(),
            None => self.stored(rows, key)?,
        };
        let mut context = entry.context.minus(&self.clock);
        if self.pull.is_some() {
            context.join(&self.pulled_context(key));
        }
        Ok(Before { entry, context })
    }

    fn next_ticket(&mut self) -> Ticket {
        self.ticket.0 += 1;
        self.ticket
    }

    /// Marks a dot of `key` as seen by the latest change, and logs it for replicas that may lack it. Says whether it was
    /// new.
    fn see(&mut self, transaction: &mut Transaction<'_>, dot: Dot, key: &Key) -> bool {
        if self.clock.has(dot) {
            return false;
        }
        self.clock.add(dot);
        self.log.add(transaction.batch, self.ticket, dot, key);
        true
    }
}

#[cfg(test)]
mod tests;
