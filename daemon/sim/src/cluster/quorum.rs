//! Writes at quorum: acknowledgements are counted, what replicas found is overwritten, and only then the client is told.

use settle_core::dot::Dot;
use settle_core::level::Level;
use settle_core::partition::Beside;

use crate::broken::Broken;
use crate::invariants::overwritten;
use crate::network::{Body, Envelope, Kind};
use crate::node::{Quorum, Waiter, Waiting};
use crate::view::View;

use super::Cluster;
use super::client::Asked;

/// The most messages in each direction while others wait.
const HURRIED_MAX: usize = 4;

impl Cluster {
    /// Changes are durable: those who waited for them are told.
    pub(super) fn durable(&mut self, place: usize, kept: Vec<Waiting>) -> Result<(), Broken> {
        for Waiting { partition, waiter, .. } in kept {
            match waiter {
                Waiter::Client { key, write, session } => self.acknowledge(place, key, write, session),
                Waiter::Own(dot) => self.count(place, partition, dot, None)?,
                Waiter::Coordinator(to, dot, beside) => {
                    self.send(place, to, partition, Body::Ack(dot, beside));
                }
            }
        }
        Ok(())
    }

    /// A node is told that `from` holds its write, and what was found there. The network may tell it twice.
    pub(super) fn take_ack(
        &mut self,
        (place, from): (usize, usize),
        index: usize,
        dot: Dot,
        beside: &Beside,
    ) -> Result<(), Broken> {
        self.trace.note(|| format!("node {from} holds {dot} and found {beside:?}"));
        self.count(place, index, dot, Some((from, beside)))?;
        self.maybe_flush(place)
    }

    /// Counts a replica that holds a write of `place`: that node itself, or another with what it found.
    fn count(
        &mut self,
        place: usize,
        index: usize,
        dot: Dot,
        other: Option<(usize, &Beside)>,
    ) -> Result<(), Broken> {
        let needed = Level::Quorum.needed(self.nodes.len());
        let quorums = &mut self.nodes[place].quorums;
        let named = quorums.iter().position(|quorum| quorum.partition == index && quorum.dot() == dot);
        // It may be answered already, restated, or of an earlier life.
        let Some(position) = named else { return Ok(()) };
        let quorum = &mut quorums[position];
        match other {
            Some((from, beside)) => {
                quorum.found.add(beside);
                quorum.holders.insert(from);
            }
            None => quorum.own = true,
        }
        if quorum.is_met(needed) { self.met(place, position) } else { Ok(()) }
    }

    /// A quorum holds a write: it is restated over what was found, or its client is told.
    fn met(&mut self, place: usize, position: usize) -> Result<(), Broken> {
        let mut quorum = self.nodes[place].quorums.swap_remove(position);
        let Some(beside) = quorum.overwriting.next(std::mem::take(&mut quorum.found)) else {
            self.answer(place, &quorum);
            return Ok(());
        };
        let (key, partition) = (quorum.key, quorum.partition);
        if !self.oracle.has_room(key) {
            return Ok(());
        }
        self.trace.note(|| format!("node {place} restates {} over {beside:?}", quorum.dot()));
        let mut context = quorum.delta.entry.context.clone();
        context.join(&beside);
        let first = quorum.delta.clone();
        let again = self.nodes[place]
            .change(partition, |partition, transaction| partition.restate(transaction, first, &beside))?;
        let payload = self.oracle.payload(key, quorum.operation);
        let asked = Asked { place, key, operation: quorum.operation };
        self.made(asked, &again, payload, &context, None)?;
        let waiter = Waiter::Own(again.dot);
        self.nodes[place].wait(Waiting { partition, ticket: again.ticket, waiter });
        quorum.restated(again.delta, &beside);
        self.nodes[place].quorums.push(quorum);
        Ok(())
    }

    /// Deltas of a node that waits for a quorum reach one other node, and the acknowledgements come back, while
    /// nothing else moves: so writes are answered of which the others know nothing.
    pub(super) fn hurry(&mut self) -> Result<(), Broken> {
        let waits = |place: &usize| !self.nodes[*place].quorums.is_empty();
        let waiting: Vec<usize> = (0..self.nodes.len()).filter(waits).collect();
        let Some(place) = waiting.get(self.rng.below(waiting.len())).copied() else { return Ok(()) };
        let other = self.some_other(place);
        if self.rng.chance(300) {
            self.overtake(place, other)?;
        }
        for _ in 0..HURRIED_MAX {
            self.pass(place, other, Kind::Delta)?;
            self.pass(other, place, Kind::Ack)?;
        }
        Ok(())
    }

    /// An exchange brings a write at quorum before its delta does; its receiver may write over it then.
    fn overtake(&mut self, place: usize, other: usize) -> Result<(), Broken> {
        let Some(quorum) = self.nodes[place].quorums.first() else { return Ok(()) };
        let (index, key) = (quorum.partition, quorum.key);
        if !self.nodes[other].up || self.network.is_cut(place, other) {
            return Ok(());
        }
        let request = self.opening(other, place, index, false)?;
        if let Some(answer) = self.receive(request)? {
            self.accept(answer)?;
        }
        self.writer = (other, key, self.rng.below(self.shape.sessions));
        self.check()?;
        self.write(false)?;
        self.check()
    }

    /// A message of `kind` between two nodes arrives, if there is one, and is taken to the receiver's disk.
    fn pass(&mut self, from: usize, to: usize, kind: Kind) -> Result<(), Broken> {
        let wanted =
            |envelope: &Envelope| envelope.from == from && envelope.to == to && envelope.body.kind() == kind;
        let Some(envelope) = self.network.take(&mut self.rng, wanted) else { return Ok(()) };
        self.accept(envelope)?;
        if self.nodes[to].up {
            self.flush(to)?;
        }
        self.check()
    }

    /// Tells a client that a quorum keeps its write.
    fn answer(&mut self, place: usize, quorum: &Quorum) {
        let Quorum { key, operation, session, .. } = *quorum;
        self.trace.note(|| format!("node {place} acknowledges {operation} of key {key} at quorum"));
        self.trace.mix(&[key as u64, operation as u64]);
        self.oracle.settle(self.now, key, operation);
        if self.rng.chance(500) {
            let context = &mut self.sessions[session][key];
            context.clock.join(&quorum.context);
            context.stamp = context.stamp.max(quorum.delta.entry.stamp_max());
        }
    }

    /// Checks what every majority of the nodes that run would answer together.
    pub(super) fn check_majorities(&self) -> Result<(), Broken> {
        let needed = Level::Quorum.needed(self.nodes.len());
        let up: Vec<usize> = (0..self.nodes.len()).filter(|place| self.nodes[*place].up).collect();
        for chosen in 0_u32..1 << up.len() {
            if chosen.count_ones() as usize != needed {
                continue;
            }
            let majority = || up.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
            for index in 0..self.shape.partitions {
                let views: Vec<(usize, &View)> =
                    majority().map(|(_, place)| (*place, &self.nodes[*place].views[index])).collect();
                overwritten::check(&self.oracle, &views)?;
            }
        }
        Ok(())
    }
}
