//! Who waits for a change to be durable, and what a node remembers of writes that wait for others.

use std::collections::BTreeSet;
use std::rc::Rc;

use settle_core::context::ClientContext;
use settle_core::dot::Dot;
use settle_core::hlc::Hlc;
use settle_core::layout::steps::Position;
use settle_core::level::Level;
use settle_core::partition::{Held, Ticket, Written};
use settle_core::reading::Reading;

use crate::bits::Bits;
use crate::network::ReadId;
use crate::route::{Route, place_of};

/// Somebody waits for a change.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The partition's index.
    pub partition: usize,
    /// Kept when this is.
    pub ticket: Ticket,
    /// Who.
    pub waiter: Waiter,
    /// For a client, how far the node was when it asked.
    pub position: Option<Position>,
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
    /// The coordinator of a delta, at this place.
    Coordinator(usize, Dot),
    /// The node at this place, for the repair of this read; maybe this node itself.
    Reader(usize, ReadId),
}

/// A write that other replicas must hold too, and that is not answered yet.
#[derive(Debug)]
pub struct Quorum {
    /// How many replicas must hold it.
    pub level: Level,
    /// Who held the partition when it began.
    pub route: Rc<Route>,
    /// The partition's index.
    pub partition: usize,
    /// The key's index.
    pub key: usize,
    /// What the client asked for, by its number among the key's.
    pub operation: usize,
    /// The write's number among the key's.
    pub write: usize,
    /// The client's session.
    pub session: usize,
    /// The write's name.
    pub dot: Dot,
    /// Its stamp.
    pub stamp: Hlc,
    /// Whether this node holds it.
    pub own: bool,
    /// The other nodes that do, by place.
    pub holders: BTreeSet<usize>,
}

/// A write at quorum that is not made yet: its coordinator asks what it must supersede.
#[derive(Debug)]
pub struct Collecting {
    /// Who held the partition when it began.
    pub route: Rc<Route>,
    /// The partition's index.
    pub partition: usize,
    /// The key's index.
    pub key: usize,
    /// What the client asked for, by its number among the key's.
    pub operation: usize,
    /// The client's session.
    pub session: usize,
    /// What the client has seen, and what was collected so far.
    pub context: ClientContext,
    /// Who has answered, by place.
    pub answered: BTreeSet<usize>,
}

/// A read at several replicas that is not answered yet.
#[derive(Debug)]
pub struct Read {
    /// Names it.
    pub id: ReadId,
    /// Who held the partition when it began.
    pub route: Rc<Route>,
    /// The key's index.
    pub key: usize,
    /// The client's session; `None` for one that was answered before others were asked.
    pub session: Option<usize>,
    /// How many replicas are needed, this node included.
    pub needed: usize,
    /// The writes that it must have seen: what quorums had acknowledged, or shown, when it began.
    pub expected: Bits,
    /// The others that have answered, by place.
    pub answered: BTreeSet<usize>,
    /// How far it is.
    pub stage: Stage,
}

/// How far a read is.
#[derive(Debug)]
pub enum Stage {
    /// Answers come in.
    Asking(Reading<usize>),
    /// Replicas that lack what it shows are repaired.
    Repairing {
        /// What it shows.
        held: Held,
        /// Those that hold it durably, by place.
        holders: BTreeSet<usize>,
    },
}

impl Quorum {
    /// Of a write that was just staged: number `write` of its key, part of `operation`.
    #[must_use]
    pub fn new(
        (level, route): (Level, Rc<Route>),
        (partition, key): (usize, usize),
        (operation, write): (usize, usize),
        session: usize,
        written: &Written,
    ) -> Self {
        Self {
            level,
            route,
            partition,
            key,
            operation,
            write,
            session,
            dot: written.dot,
            stamp: written.delta.entry.stamp_max(),
            own: false,
            holders: BTreeSet::new(),
        }
    }

    /// Whether as many replicas hold it as its level needs in every set, and this node does.
    #[must_use]
    pub fn is_met(&self) -> bool {
        let own = place_of(self.dot.origin.node);
        self.own && self.route.is_met(self.level, |place| place == own || self.holders.contains(&place))
    }
}
