//! Who waits for a change to be durable, and what a node remembers of writes that wait for others.

use std::collections::BTreeSet;

use settle_core::clock::Clock;
use settle_core::dot::Dot;
use settle_core::partition::{Beside, Delta, Found, Overwriting, Ticket, Written};

/// Somebody waits for a change.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The partition's index.
    pub partition: usize,
    /// Kept when this is.
    pub ticket: Ticket,
    /// Who.
    pub waiter: Waiter,
}

/// Who waits.
#[derive(Debug, Clone)]
pub enum Waiter {
    /// A client that wants one replica to hold its write.
    Client {
        /// The key's index.
        key: usize,
        /// The write's number.
        write: usize,
        /// The client's session.
        session: usize,
    },
    /// The quorum of a write of this node.
    Own(Dot),
    /// The coordinator of a delta, at this place; with what the delta found.
    Coordinator(usize, Dot, Beside),
}

/// A write at quorum that is not answered yet.
#[derive(Debug)]
pub struct Quorum {
    /// The partition's index.
    pub partition: usize,
    /// The key's index.
    pub key: usize,
    /// What the client asked for, by its number among the key's.
    pub operation: usize,
    /// The client's session.
    pub session: usize,
    /// What was sent last.
    pub delta: Delta,
    /// What the client's context will cover.
    pub context: Clock,
    /// Whether this node holds what was sent last.
    pub own: bool,
    /// The other nodes that do, by place.
    pub holders: BTreeSet<usize>,
    /// What was found beside it.
    pub found: Found,
    /// What there is to do about that.
    pub overwriting: Overwriting,
}

impl Quorum {
    /// Of a write that was just staged.
    #[must_use]
    pub fn new(partition: usize, key: usize, operation: usize, session: usize, written: Written) -> Self {
        Self {
            partition,
            key,
            operation,
            session,
            context: [written.dot].into_iter().collect(),
            delta: written.delta,
            own: false,
            holders: BTreeSet::new(),
            found: Found::default(),
            overwriting: Overwriting::default(),
        }
    }

    /// The name of what was sent last.
    #[must_use]
    pub const fn dot(&self) -> Dot {
        Dot { origin: self.delta.seen.origin, counter: self.delta.seen.first }
    }

    /// Whether `needed` replicas hold it, this node among them.
    #[must_use]
    pub fn is_met(&self, needed: usize) -> bool {
        self.own && self.holders.len() + 1 >= needed
    }

    /// It was restated: whatever was counted is void.
    pub fn restated(&mut self, delta: Delta, over: &Clock) {
        self.delta = delta;
        self.own = false;
        self.holders.clear();
        self.context.add(self.dot());
        self.context.join(over);
    }
}
