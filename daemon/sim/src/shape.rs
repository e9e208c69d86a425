//! What kind of cluster and schedule a seed stands for. Everything is drawn from the seed, so that one number is
//! enough to replay a run.

use std::num::NonZeroU32;

use settle_core::layout::Layout;
use settle_core::layout::steps::LayoutState;
use settle_core::partition::PageLimits;
use settle_core::placement::{Host, Replication};

use crate::network::Kind as Traffic;
use crate::rng::Rng;
use crate::route::node_at;

/// When a node calls a write kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After a sync: what is not synced is neither acknowledged nor told.
    #[default]
    Always,
    /// At once; a sync follows some time later.
    Interval,
    /// At once; nothing is ever synced but epochs.
    Never,
}

/// Which of the client's writes supersede everything that their coordinator has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resolvers {
    /// All.
    #[default]
    Lww,
    /// None: a write supersedes what its context covers.
    Siblings,
    /// Those of every other key.
    Mixed,
}

/// What a step of the schedule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// A client writes or deletes.
    #[default]
    Write,
    /// A client writes, the delta is sent, and the coordinator crashes before its sync.
    WriteAndCrash,
    /// A client reads, and keeps the context.
    Read,
    /// A client reads at quorum, or what it read at one replica is compared with others.
    ReadAtSeveral,
    /// A read at several replicas and its repairs travel between its node and one other.
    HurryRead,
    /// One message arrives.
    Deliver,
    /// A write at quorum and what follows from it travel between its coordinator and one other node.
    Hurry,
    /// A node begins an exchange.
    Exchange,
    /// A full exchange runs from its beginning, and much goes on between its pages.
    Pull,
    /// A node's disk gets one stage further.
    Flush,
    /// A node drops log records that all have.
    Prune,
    /// A node drops explicit contexts that its clock covers.
    Sweep,
    /// A node gives old log records rows of their own.
    Spill,
    /// A node goes on with building the hash tree of a partition.
    Survey,
    /// A node compares a partition with another node's.
    Verify,
    /// A node reads its rows again.
    Scrub,
    /// A node drops log records that others lack.
    DropHints,
    /// A node sends an echo.
    Echo,
    /// A node crashes.
    Crash,
    /// A node that is down starts.
    Start,
    /// A link is cut or restored.
    Link,
    /// A node's disk fails at its next commit.
    DiskFault,
    /// A node proposes another layout.
    Propose,
    /// A node gets on with a change of the layout.
    Progress,
}

/// The parameters of one run.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Replicas; each holds all partitions.
    pub nodes: usize,
    /// Partitions that share each node's disk.
    pub partitions: usize,
    /// Keys, spread over the partitions in turn.
    pub keys: usize,
    /// Client sessions.
    pub sessions: usize,
    /// Steps before everything heals.
    pub steps: u64,
    /// When a write counts as kept.
    pub durability: Durability,
    /// How writes choose what they supersede.
    pub resolvers: Resolvers,
    /// For entries cached in memory, in bytes per partition: none, so few that they come and go, or all.
    pub cache_bytes: usize,
    /// How many of 1,000 changes are made durable at once.
    pub eager: usize,
    /// How many of 1,000 exchanges are full from their beginning.
    pub full: usize,
    /// How many of 1,000 times a full exchange under way is given up for a new one.
    pub give_up: usize,
    /// How many of 1,000 writes are deletes.
    pub deletes: usize,
    /// How many of 1,000 `lww` writes are at quorum.
    pub quorum: usize,
    /// Per node, how far its wall clock is ahead of the slowest one, in milliseconds.
    pub ahead_ms: Vec<u64>,
    /// Which traffic moves how often; what moves seldom arrives late.
    pub traffic: &'static [Traffic],
    /// How many of 1,000 deltas a coordinator does not send, as it dies or is cut off before.
    pub unsent: usize,
    /// How many of 1,000 messages are lost.
    pub loss: usize,
    /// How many of 1,000 messages arrive twice.
    pub duplication: usize,
    /// How large pages are.
    pub limits: PageLimits,
    /// What the schedule does how often.
    pub weights: Vec<(Action, usize)>,
    /// For a cluster whose layout changes.
    pub layouts: Option<Layouts>,
}

/// The first layout of a cluster whose layout changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layouts {
    /// How many of the nodes hold data at first; the others may join.
    pub hosts: usize,
    /// How many replicas a partition has.
    pub replicas: usize,
}

/// What kind of cluster a seed stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every node holds everything, for ever.
    Steady,
    /// Nodes join and are drained.
    Layouts,
}

/// All alike, full exchanges, both kinds of exchanges, reads, echoes.
const TRAFFIC: &[&[Traffic]] = &[
    &[
        Traffic::Delta,
        Traffic::Delta,
        Traffic::Ack,
        Traffic::Ack,
        Traffic::Read,
        Traffic::Log,
        Traffic::Full,
        Traffic::Echo,
    ],
    &[Traffic::Delta, Traffic::Ack, Traffic::Read, Traffic::Full, Traffic::Full, Traffic::Full],
    &[Traffic::Delta, Traffic::Ack, Traffic::Full, Traffic::Full, Traffic::Log, Traffic::Echo, Traffic::Read],
    &[Traffic::Delta, Traffic::Ack, Traffic::Read, Traffic::Read, Traffic::Log, Traffic::Echo],
    &[Traffic::Delta, Traffic::Delta, Traffic::Ack, Traffic::Echo, Traffic::Echo, Traffic::Log],
];

/// With decisions on layouts.
const TRAFFIC_LAYOUTS: &[&[Traffic]] = &[
    &[
        Traffic::Delta,
        Traffic::Delta,
        Traffic::Ack,
        Traffic::Ack,
        Traffic::Read,
        Traffic::Echo,
        Traffic::Layout,
    ],
    &[
        Traffic::Delta,
        Traffic::Ack,
        Traffic::Read,
        Traffic::Full,
        Traffic::Log,
        Traffic::Echo,
        Traffic::Layout,
        Traffic::Layout,
    ],
    &[
        Traffic::Layout,
        Traffic::Layout,
        Traffic::Delta,
        Traffic::Ack,
        Traffic::Read,
        Traffic::Read,
        Traffic::Ack,
    ],
];

impl Shape {
    /// The shape that `rng`'s seed stands for.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        let durability =
            rng.pick(&[Durability::Always, Durability::Always, Durability::Interval, Durability::Never]);
        let nodes = rng.pick(&[2, 3, 3, 3, 3, 3, 3, 4]);
        Self {
            nodes,
            partitions: rng.pick(&[1, 1, 1, 2]),
            keys: rng.pick(&[2, 3, 4, 6, 10, 16]),
            sessions: 3,
            steps: 400,
            durability,
            resolvers: rng.pick(&[Resolvers::Lww, Resolvers::Siblings, Resolvers::Mixed]),
            cache_bytes: rng.pick(&[0, 900, 1 << 20]),
            eager: rng.pick(&[0, 0, 300, 700, 1000, 1000]),
            full: rng.pick(&[100, 400, 700]),
            give_up: rng.pick(&[100, 400]),
            deletes: rng.pick(&[200, 400, 600]),
            quorum: rng.pick(&[300, 600, 900]),
            ahead_ms: ahead_ms(rng, nodes),
            traffic: rng.pick(TRAFFIC),
            unsent: rng.pick(&[50, 150, 400]),
            loss: rng.pick(&[0, 50, 200]),
            duplication: rng.pick(&[0, 100, 300]),
            limits: PageLimits { records: rng.pick(&[1, 1, 2, 4]), bytes: rng.pick(&[1, 80, 1 << 20]) },
            weights: weights(rng, durability),
            layouts: None,
        }
    }

    /// The shape of a cluster whose layout changes.
    #[must_use]
    pub fn draw_layouts(rng: &mut Rng) -> Self {
        let mut shape = Self::draw(rng);
        let durability =
            rng.pick(&[Durability::Always, Durability::Always, Durability::Always, shape.durability]);
        shape.durability = durability;
        shape.nodes = rng.pick(&[4, 5, 6, 7]);
        shape.partitions = rng.pick(&[1, 2, 4]);
        let replicas = rng.pick(&[2, 3, 3]);
        let hosts = (replicas + rng.below(3)).min(shape.nodes);
        shape.layouts = Some(Layouts { hosts, replicas });
        shape.keys = rng.pick(&[2, 4, 8]);
        shape.ahead_ms = ahead_ms(rng, shape.nodes);
        shape.steps = 1_200;
        shape.traffic = rng.pick(TRAFFIC_LAYOUTS);
        shape.limits = PageLimits { records: rng.pick(&[1, 4]), bytes: rng.pick(&[80, 1 << 20]) };
        shape.weights = weights(rng, durability);
        for (action, weight) in &mut shape.weights {
            match action {
                Action::Crash | Action::WriteAndCrash => *weight = rng.pick(&[2, 6, 15]),
                Action::Pull => *weight /= 5,
                Action::Verify | Action::Scrub => *weight /= 4,
                _ => {}
            }
        }
        shape.weights.push((Action::Propose, rng.pick(&[40, 120])));
        shape.weights.push((Action::Progress, rng.pick(&[150, 400, 800])));
        shape
    }

    /// The state of a node that knows the first layout.
    #[must_use]
    pub fn first_layout(&self) -> Option<LayoutState> {
        let Layouts { hosts, replicas } = self.layouts?;
        let host = |place: usize| Host {
            node: node_at(place),
            name: format!("n{place}"),
            datacenter: "d".to_owned(),
            zone: "z".to_owned(),
            weight: NonZeroU32::MIN,
            holds_data: true,
        };
        let hosts = (0..hosts).map(host).collect();
        let born = Layout::born(1, hosts, Replication::Everywhere(replicas), self.partitions as u32);
        born.ok().map(|(layout, _)| LayoutState::new(layout))
    }

    /// Whether writes of this key supersede everything seen.
    #[must_use]
    pub fn is_lww(&self, key: usize) -> bool {
        match self.resolvers {
            Resolvers::Lww => true,
            Resolvers::Siblings => false,
            Resolvers::Mixed => key.is_multiple_of(2),
        }
    }

    /// One action, by the weights.
    pub fn action(&self, rng: &mut Rng) -> Action {
        let total = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut drawn = rng.below(total);
        for (action, weight) in &self.weights {
            if drawn < *weight {
                return *action;
            }
            drawn -= weight;
        }
        Action::default()
    }
}

/// Wall clocks that agree, differ by less than nodes adopt from each other, or by hours.
fn ahead_ms(rng: &mut Rng, nodes: usize) -> Vec<u64> {
    let apart: &[u64] = rng.pick(&[&[0], &[0, 50, 30_000], &[0, 3_600_000, 18_000_000]]);
    (0..nodes).map(|_| rng.pick(apart)).collect()
}

fn weights(rng: &mut Rng, durability: Durability) -> Vec<(Action, usize)> {
    // Calm runs reach states that crashes keep tearing down, and the other way round.
    let crash = rng.pick(&[4, 12, 30]);
    let lazy = if durability == Durability::Never { 20 } else { 80 };
    vec![
        (Action::Write, rng.pick(&[120, 200, 260])),
        (Action::WriteAndCrash, crash),
        (Action::Read, 100),
        (Action::ReadAtSeveral, rng.pick(&[10, 40, 80])),
        (Action::HurryRead, rng.pick(&[0, 40, 120])),
        (Action::Deliver, rng.pick(&[250, 400, 600])),
        (Action::Hurry, rng.pick(&[0, 40, 120])),
        (Action::Exchange, rng.pick(&[30, 60, 120])),
        (Action::Pull, rng.pick(&[10, 25, 50])),
        (Action::Flush, lazy),
        (Action::Prune, 25),
        (Action::Sweep, 15),
        (Action::Spill, 15),
        (Action::Survey, rng.pick(&[10, 40, 80])),
        (Action::Verify, rng.pick(&[0, 0, 30])),
        (Action::Scrub, rng.pick(&[0, 0, 20])),
        (Action::DropHints, rng.pick(&[0, 0, 10])),
        (Action::Echo, rng.pick(&[40, 80])),
        (Action::Crash, crash),
        (Action::Start, 60),
        (Action::Link, 8),
        (Action::DiskFault, crash / 4),
    ]
}
