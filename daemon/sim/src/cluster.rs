//! A cluster of simulated nodes, driven step by step and looked at after every one.
//!
//! ```text
//!   seed ──> shape, schedule ──> clients (writes, reads) ──┐
//!                                messages (network) ───────┼──> nodes ──> views ──> invariants <── oracle
//!                                disks, crashes ───────────┘
//! ```

#![expect(
    clippy::indexing_slicing,
    reason = "places, partitions, keys and sessions are drawn below the lengths of these vectors"
)]

use std::rc::Rc;

use bytes::Bytes;
use settle_core::clock::Clock;
use settle_core::context::ClientContext;
use settle_core::dot::NodeId;
use settle_core::layout::steps::LayoutState;
use settle_core::partition::{Moment, Partition};

use crate::broken::Broken;
use crate::invariants::{self, Look};
use crate::network::{Network, ReadId};
use crate::node::{Node, Touch};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::route::{Route, nodes_at};
use crate::shape::{Action, Durability, Shape};
use crate::trace::Trace;
use crate::view::View;

mod client;
mod damage;
mod decisions;
mod disk;
mod heal;
mod hints;
mod layouts;
mod messages;
mod pull;
mod quorum;
mod read;
mod verify;

use verify::Verifying;

/// A cluster in the middle of a run.
#[derive(Debug)]
pub struct Cluster {
    shape: Shape,
    /// The first layout, of a cluster whose layout changes.
    first: Option<LayoutState>,
    rng: Rng,
    /// Rises by one with every step; all nodes' monotonic time.
    now: u64,
    nodes: Vec<Node>,
    network: Network,
    oracle: Oracle,
    trace: Trace,
    /// Per session and key, the context of its client.
    sessions: Vec<Vec<ClientContext>>,
    /// Node, key and session of the last write.
    writer: (usize, usize, usize),
    /// Per node and partition, the moment up to which a bound was checked.
    horizons: Vec<Vec<u64>>,
    /// Per node and partition, the last request of a full exchange, and whom it went to.
    pulls: Vec<Vec<Option<(usize, Bytes)>>>,
    /// Per node and partition, the verification under way.
    verifying: Vec<Vec<Option<Verifying>>>,
    /// How many reads at several replicas were begun.
    reads: ReadId,
    /// Per node and partition, the writes whose log records it has dropped at a bound.
    dropped: Vec<Vec<Clock>>,
    healing: bool,
}

impl Cluster {
    /// The cluster of a shape, all nodes started.
    ///
    /// # Errors
    /// [`Broken`] when a node does not start.
    pub fn new(shape: Shape, rng: Rng, trace: Trace) -> Result<Self, Broken> {
        let nodes = (0..shape.nodes).map(|place| Node::new(place, &shape));
        let mut cluster = Self {
            first: shape.first_layout(),
            now: 1,
            nodes: nodes.collect(),
            network: Network::new(shape.loss, shape.duplication),
            oracle: Oracle::new(shape.keys, shape.partitions),
            trace,
            sessions: vec![vec![ClientContext::default(); shape.keys]; shape.sessions],
            writer: (0, 0, 0),
            horizons: vec![vec![0; shape.partitions]; shape.nodes],
            pulls: vec![vec![None; shape.partitions]; shape.nodes],
            verifying: (0..shape.nodes).map(|_| (0..shape.partitions).map(|_| None).collect()).collect(),
            reads: 0,
            dropped: vec![vec![Clock::new(); shape.partitions]; shape.nodes],
            healing: false,
            shape,
            rng,
        };
        let text = format!("{:?}", cluster.shape);
        cluster.trace.note(|| text);
        for place in 0..cluster.nodes.len() {
            cluster.start(place)?;
        }
        cluster.look()?;
        Ok(cluster)
    }

    /// Runs the whole schedule, then heals. Returns the trace's hash.
    ///
    /// # Errors
    /// [`Broken`], the first property that did not hold.
    pub fn run(mut self) -> Result<u64, (u64, Broken)> {
        for _ in 0..self.shape.steps {
            self.step().map_err(|broken| (self.trace.step(), broken))?;
        }
        self.heal().map_err(|broken| (self.trace.step(), broken))?;
        if self.first.is_some() {
            return Ok(self.trace.hash());
        }
        self.damage().map_err(|broken| (self.trace.step(), broken))?;
        Ok(self.trace.hash())
    }

    fn step(&mut self) -> Result<(), Broken> {
        self.trace.next_step();
        self.now += 1;
        self.nodes.iter_mut().for_each(|node| node.now = self.now);
        let action = self.shape.action(&mut self.rng);
        self.trace.mix(&[action as u64]);
        match action {
            Action::Write => self.write(false)?,
            Action::WriteAndCrash => self.write(true)?,
            Action::Read => self.read()?,
            Action::ReadAtSeveral => self.read_at_several()?,
            Action::HurryRead => self.hurry_read()?,
            Action::Deliver => self.deliver()?,
            Action::Hurry => self.hurry()?,
            Action::Exchange => self.exchange()?,
            Action::Pull => self.pull()?,
            Action::Flush => self.flush_some()?,
            Action::Prune => self.prune_some()?,
            Action::Sweep => self.sweep_some()?,
            Action::Spill => self.spill_some()?,
            Action::Survey => self.survey_some()?,
            Action::Verify => self.verify()?,
            Action::Scrub => self.scrub_some()?,
            Action::DropHints => self.drop_hints()?,
            Action::Echo => self.echo(),
            Action::Crash => self.crash_some()?,
            Action::Start => self.start_some()?,
            Action::Link => self.toggle_link(),
            Action::DiskFault => self.fail_disk(),
            Action::Propose => self.propose()?,
            Action::Progress => self.progress()?,
        }
        self.check()
    }

    /// What is checked after everything that happens.
    fn check(&mut self) -> Result<(), Broken> {
        self.look()?;
        self.check_trees()?;
        if self.shape.durability == Durability::Always {
            self.check_bounds()?;
            self.check_majorities()?;
            if self.first.is_none() {
                self.check_diverged()?;
            }
        }
        Ok(())
    }

    /// Some node that runs.
    fn some_node(&mut self) -> Option<usize> {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|place| self.nodes[*place].up).collect();
        up.get(self.rng.below(up.len())).copied()
    }

    /// Some other place.
    fn some_other(&mut self, place: usize) -> usize {
        let other = self.rng.below(self.nodes.len() - 1);
        if other >= place { other + 1 } else { other }
    }

    fn some_partition(&mut self) -> usize {
        self.rng.below(self.shape.partitions)
    }

    fn partition(&mut self, place: usize, index: usize) -> &mut Partition {
        &mut self.nodes[place].partitions[index]
    }

    /// The other replicas of a partition.
    fn others(&self, place: usize, index: usize) -> Vec<NodeId> {
        nodes_at(&self.nodes[place].routes[index].others)
    }

    fn route(&self, place: usize, index: usize) -> Rc<Route> {
        Rc::clone(&self.nodes[place].routes[index])
    }

    /// The node itself, or if it is not `fit`, one that is instead.
    fn instead(&self, place: usize, fit: impl Fn(&Node) -> bool) -> Option<usize> {
        if fit(&self.nodes[place]) {
            return Some(place);
        }
        let fit: Vec<usize> =
            (0..self.nodes.len()).filter(|other| self.nodes[*other].up && fit(&self.nodes[*other])).collect();
        fit.get(place % fit.len().max(1)).copied()
    }

    /// The node itself, or one that holds the partition instead.
    fn holder(&self, place: usize, index: usize) -> Option<usize> {
        self.instead(place, |node| node.holds(index))
    }

    /// The other place, or a replica of the partition instead.
    fn partner(&self, place: usize, index: usize, other: usize) -> Option<usize> {
        let others = &self.nodes[place].routes[index].others;
        if others.contains(&other) { Some(other) } else { others.get(other % others.len().max(1)).copied() }
    }

    /// Looks at every replica that may have changed, as its clients could, and judges it.
    fn look(&mut self) -> Result<(), Broken> {
        for place in 0..self.nodes.len() {
            let touched = std::mem::take(&mut self.nodes[place].touched);
            if touched == Touch::Untouched || !self.nodes[place].up {
                continue;
            }
            for index in 0..self.shape.partitions {
                let node = &self.nodes[place];
                let now = View::read(&node.partitions[index], index, &node.disk, &self.oracle)?;
                let own = self.oracle.keys.iter().filter(|history| history.partition == index);
                invariants::trees::check(&node.partitions[index], &node.disk, own, place)?;
                let look = Look {
                    place,
                    answers: node.routes[index].reads && node.holds(index),
                    partition: index,
                    before: &node.views[index],
                    now: &now,
                    touched,
                    always: self.shape.durability == Durability::Always,
                    oracle: &self.oracle,
                };
                invariants::check(&look)?;
                for key in &now.keys {
                    self.trace.mix(key.siblings.words());
                    self.trace.mix(key.seen.words());
                }
                self.nodes[place].views[index] = now;
            }
            if touched == Touch::Restarted {
                self.horizons[place].fill(0);
            }
        }
        Ok(())
    }

    /// Checks whether the trees of any two nodes agree exactly if what can be read there does.
    fn check_trees(&self) -> Result<(), Broken> {
        for (place, node) in self.nodes.iter().enumerate() {
            for (other, peer) in self.nodes.iter().enumerate().skip(place + 1) {
                for (index, (one, two)) in node.partitions.iter().zip(&peer.partitions).enumerate() {
                    let views = [&node.views[index], &peer.views[index]];
                    invariants::trees::check_pair([one.tree(), two.tree()], views, [place, other])?;
                }
            }
        }
        Ok(())
    }

    /// Checks what every node can prove of its freshness.
    fn check_bounds(&mut self) -> Result<(), Broken> {
        for place in 0..self.nodes.len() {
            if !self.nodes[place].up {
                continue;
            }
            for index in 0..self.shape.partitions {
                let node = &self.nodes[place];
                if !node.routes[index].reads || !node.holds(index) {
                    continue;
                }
                let (others, now) = (nodes_at(&node.routes[index].readers_but(place)), Moment(self.now));
                let Some(bound) = self.partition(place, index).bound(&others, now) else { continue };
                let horizon = self.now - bound;
                let from = self.horizons[place][index];
                invariants::bound::check(
                    &self.oracle,
                    &self.nodes[place].views[index],
                    place,
                    from..horizon,
                )?;
                self.horizons[place][index] = from.max(horizon);
            }
        }
        Ok(())
    }
}
