//! Writes at quorum: what they must supersede is collected, then they are made, then acknowledgements are counted.

use std::collections::BTreeSet;

use settle_core::clock::Clock;
use settle_core::codec::Encode;
use settle_core::context::ClientContext;
use settle_core::dot::Dot;
use settle_core::hlc::Hlc;
use settle_core::level::Level;

use crate::broken::Broken;
use crate::invariants::{durable, overwritten};
use crate::network::{Body, Envelope, Kind};
use crate::node::{Collecting, Quorum, Waiter, Waiting};
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
                Waiter::Coordinator(to, dot) => self.send(place, to, partition, Body::Ack(dot)),
                Waiter::Reader(reader, read) if reader == place => {
                    self.take_repaired((place, place), read)?
                }
                Waiter::Reader(reader, read) => self.send(place, reader, partition, Body::Repaired(read)),
            }
        }
        Ok(())
    }

    /// A client wants a write at quorum: its coordinator asks everybody what it must supersede.
    pub(super) fn ask_quorum(&mut self, asked: Asked, session: usize, context: ClientContext) {
        let Asked { place, key, operation } = asked;
        let partition = self.oracle.keys[key].partition;
        let known = self.nodes[place].partitions[partition].seen().to_bytes();
        let answered = BTreeSet::new();
        let route = self.route(place, partition);
        let asked = route.readers_but(place);
        self.nodes[place].collecting.push(Collecting {
            route,
            partition,
            key,
            operation,
            session,
            context,
            answered,
        });
        for other in asked {
            self.send(place, other, partition, Body::Collect(key, operation, known.clone()));
        }
    }

    /// The answer to a coordinator.
    pub(super) fn serve_collect(
        &self,
        place: usize,
        index: usize,
        (key, operation): (usize, usize),
        known: &Clock,
    ) -> Result<Body, Broken> {
        let node = &self.nodes[place];
        let collected = node.partitions[index].collect(&node.disk, &self.oracle.keys[key].key, known)?;
        durable::check_told(&collected.dots, &node.views[index], place)?;
        Ok(Body::Collected(key, operation, collected.dots.to_bytes(), collected.stamp))
    }

    /// A node is told what its write must supersede; when enough have told it, the write is made.
    pub(super) fn take_collected(
        &mut self,
        (place, from): (usize, usize),
        (key, operation): (usize, usize),
        dots: &Clock,
        stamp: Hlc,
    ) -> Result<(), Broken> {
        let all = &mut self.nodes[place].collecting;
        let asked = all.iter().position(|asked| (asked.key, asked.operation) == (key, operation));
        // It may be made already, or of an earlier life.
        let Some(position) = asked else { return Ok(()) };
        let asked = &mut all[position];
        asked.context.clock.join(dots);
        asked.context.stamp = asked.context.stamp.max(stamp);
        asked.answered.insert(from);
        let read = &asked.route.read;
        let answered = asked.answered.len() + usize::from(read.contains(&place));
        if answered < Level::Quorum.needed(read.len()) || !self.oracle.has_room(key) {
            return Ok(());
        }
        let Collecting { session, context, route, .. } = all.swap_remove(position);
        self.mint(Asked { place, key, operation }, session, &context, route)?;
        self.maybe_flush(place)
    }

    /// A node is told that `from` holds its write. The network may tell it twice.
    pub(super) fn take_ack(
        &mut self,
        (place, from): (usize, usize),
        index: usize,
        dot: Dot,
    ) -> Result<(), Broken> {
        self.trace.note(|| format!("node {from} holds {dot}"));
        self.count(place, index, dot, Some(from))
    }

    /// Counts a replica that holds a write of `place`: that node itself, or another.
    fn count(&mut self, place: usize, index: usize, dot: Dot, other: Option<usize>) -> Result<(), Broken> {
        let quorums = &mut self.nodes[place].quorums;
        let named = quorums.iter().position(|quorum| quorum.partition == index && quorum.dot == dot);
        // It may be answered already, or of an earlier life.
        let Some(position) = named else { return Ok(()) };
        let quorum = &mut quorums[position];
        match other {
            Some(from) => {
                quorum.holders.insert(from);
            }
            None => quorum.own = true,
        }
        if quorum.is_met() {
            let quorum = quorums.swap_remove(position);
            self.answer(place, &quorum);
        }
        Ok(())
    }

    /// Questions and deltas of a node that writes at quorum reach one other node, and the answers come back, while
    /// nothing else moves: so writes are answered of which the others know nothing.
    pub(super) fn hurry(&mut self) -> Result<(), Broken> {
        let waits = |place: &usize| {
            let node = &self.nodes[*place];
            !node.quorums.is_empty() || !node.collecting.is_empty()
        };
        let waiting: Vec<usize> = (0..self.nodes.len()).filter(waits).collect();
        let Some(place) = waiting.get(self.rng.below(waiting.len())).copied() else { return Ok(()) };
        let other = self.some_other(place);
        for _ in 0..HURRIED_MAX {
            self.pass(place, other, Kind::Ack)?;
            self.pass(other, place, Kind::Ack)?;
            self.pass(place, other, Kind::Delta)?;
            self.pass(other, place, Kind::Ack)?;
        }
        Ok(())
    }

    /// A message of `kind` between two nodes arrives, if there is one, and is taken to the receiver's disk.
    pub(super) fn pass(&mut self, from: usize, to: usize, kind: Kind) -> Result<(), Broken> {
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
        let Quorum { key, operation, write, session, .. } = *quorum;
        if quorum.level == Level::One {
            self.acknowledge(place, key, write, session);
            return;
        }
        self.trace.note(|| format!("node {place} acknowledges {operation} of key {key} at quorum"));
        self.trace.mix(&[key as u64, operation as u64]);
        self.oracle.settle(self.now, key, operation);
        if self.rng.chance(500) {
            let context = &mut self.sessions[session][key];
            context.clock.add(quorum.dot);
            context.stamp = context.stamp.max(quorum.stamp);
        }
    }

    /// Checks what every majority would answer together that some node reads at.
    pub(super) fn check_majorities(&self) -> Result<(), Broken> {
        for index in 0..self.shape.partitions {
            let mut judged: Vec<&[usize]> = Vec::new();
            for node in self.nodes.iter().filter(|node| node.up && node.routes[index].reads) {
                let set = node.routes[index].read.as_slice();
                if !judged.contains(&set) {
                    self.check_majorities_of(index, set)?;
                    judged.push(set);
                }
            }
        }
        Ok(())
    }

    fn check_majorities_of(&self, index: usize, set: &[usize]) -> Result<(), Broken> {
        let needed = Level::Quorum.needed(set.len());
        let answers = |place: &usize| self.nodes[*place].up && self.nodes[*place].holds(index);
        let up: Vec<usize> = set.iter().copied().filter(answers).collect();
        for chosen in 0_u32..1 << up.len() {
            if chosen.count_ones() as usize != needed {
                continue;
            }
            let majority = up.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
            let views: Vec<(usize, &View)> =
                majority.map(|(_, place)| (*place, &self.nodes[*place].views[index])).collect();
            overwritten::check(&self.oracle, &views)?;
        }
        Ok(())
    }
}
