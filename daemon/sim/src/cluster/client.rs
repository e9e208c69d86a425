//! What clients do: writes, deletes and reads, with the contexts that they were given.

use std::rc::Rc;

use bytes::Bytes;
use settle_core::clock::Clock;
use settle_core::codec::Encode;
use settle_core::context::ClientContext;
use settle_core::entry::Version;
use settle_core::level::Level;
use settle_core::partition::{Delta, Write, Written};

use crate::bits::Bits;
use crate::broken::Broken;
use crate::network::Body;
use crate::node::{Node, Quorum, Waiter, Waiting};
use crate::oracle::Made;
use crate::route::Route;

use super::Cluster;

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Through which node.
    pub(super) place: usize,
    /// Of which key.
    pub(super) key: usize,
    /// Its number among the key's.
    pub(super) operation: usize,
}

impl Cluster {
    /// A client writes through some node; with `crash` the node dies before its sync.
    pub(super) fn write(&mut self, crash: bool) -> Result<(), Broken> {
        let Some((place, key, session)) = self.some_writer() else { return Ok(()) };
        let index = self.oracle.keys[key].partition;
        let coordinates = |node: &Node| node.routes[index].writes && node.holds(index);
        let Some(place) = self.instead(place, coordinates) else { return Ok(()) };
        if !self.oracle.has_room(key) {
            return Ok(());
        }
        self.writer = (place, key, session);
        let with_context = self.rng.chance(700);
        let context =
            if with_context { self.sessions[session][key].clone() } else { ClientContext::default() };
        let quorum = self.shape.is_lww(key) && self.rng.chance(self.shape.quorum);
        let asked = Asked { place, key, operation: self.oracle.begin(key, quorum) };
        if quorum {
            self.ask_quorum(asked, session, context);
            return if crash { self.crash(place) } else { Ok(()) };
        }
        let route = self.route(place, index);
        self.mint(asked, session, &context, route)?;
        if crash {
            if self.rng.chance(300) {
                let result = self.nodes[place].write_out(usize::MAX, false);
                self.disk_did(place, result)?;
            }
            return self.crash(place);
        }
        self.maybe_flush(place)
    }

    /// A node, key and session; now and then those of the last write, as of a client that puts and then deletes.
    fn some_writer(&mut self) -> Option<(usize, usize, usize)> {
        let (place, key, session) = self.writer;
        if self.nodes[place].up && self.rng.chance(300) {
            return Some((place, key, session));
        }
        let place = self.some_node()?;
        Some((place, self.rng.below(self.shape.keys), self.rng.below(self.shape.sessions)))
    }

    /// Stages the write, and sends it; its client waits.
    pub(super) fn mint(
        &mut self,
        asked: Asked,
        session: usize,
        context: &ClientContext,
        route: Rc<Route>,
    ) -> Result<(), Broken> {
        let Asked { place, key, operation } = asked;
        let lww = self.shape.is_lww(key);
        let history = &self.oracle.keys[key];
        let (partition, name, number) = (history.partition, history.key.clone(), history.writes.len());
        let put = !self.rng.chance(self.shape.deletes);
        let payload = put.then(|| Bytes::from(format!("{key}.{number}")));
        let node = &mut self.nodes[place];
        node.observe(context.stamp, self.now);
        let version = payload.clone().map(|payload| Version { stamp: node.stamp(self.now), payload });
        let write = Write { key: name, version, context: context.clock.clone(), over_all_seen: lww };
        let written = node.change(partition, |partition, transaction| partition.write(transaction, write))?;
        let seen = node.views[partition].key(key).map(|view| view.seen).unwrap_or_default();
        let number = self.made(asked, &written, payload, &context.clock, lww.then_some(seen))?;
        let quorum = self.oracle.keys[key].operations[operation].quorum;
        let waiter = if quorum || !route.is_met_alone(place) {
            Waiter::Own(written.dot)
        } else {
            Waiter::Client { key, write: number, session }
        };
        let position = Some(route.position);
        let ticket = written.ticket;
        self.nodes[place].wait(Waiting { partition, ticket, waiter: waiter.clone(), position });
        if let Waiter::Own(dot) = waiter {
            // A client that is told "too late" knows the write's name, too.
            if self.rng.chance(100) {
                self.sessions[session][key].clock.add(dot);
            }
            let level = if quorum { Level::Quorum } else { Level::One };
            let waiting =
                Quorum::new((level, route), (partition, key), (operation, number), session, &written);
            self.nodes[place].quorums.push(waiting);
        }
        Ok(())
    }

    /// A write was staged: tells the oracle, sends the delta. Returns its number.
    fn made(
        &mut self,
        asked: Asked,
        written: &Written,
        payload: Option<Bytes>,
        context: &Clock,
        over: Option<Bits>,
    ) -> Result<usize, Broken> {
        let Asked { place: coordinator, key, operation } = asked;
        let history = &self.oracle.keys[key];
        let (quorum, partition) = (history.operations[operation].quorum, history.partition);
        self.trace.note(|| {
            let what = if payload.is_some() { "puts" } else { "deletes" };
            let level = if quorum { "quorum" } else { "one" };
            let (dot, ticket) = (written.dot, written.ticket.0);
            format!("node {coordinator} {what} key {key} at {level} as {dot} ({operation}, ticket {ticket})")
        });
        let contexts = [context, &written.delta.entry.context];
        let dot = written.dot;
        let made = Made { key, dot, payload, contexts, over, coordinator, operation };
        let number = self.oracle.made(made)?;
        self.send_delta(coordinator, partition, &written.delta);
        Ok(number)
    }

    fn send_delta(&mut self, place: usize, partition: usize, delta: &Delta) {
        let bytes = delta.to_bytes();
        for other in self.route(place, partition).others.iter().copied() {
            if !self.rng.chance(self.shape.unsent) {
                self.send(place, other, partition, Body::Delta(bytes.clone()));
            }
        }
    }

    /// Tells a client that its write is kept by one replica.
    pub(super) fn acknowledge(&mut self, place: usize, key: usize, write: usize, session: usize) {
        self.trace.note(|| format!("node {place} acknowledges write {write} of key {key}"));
        self.oracle.acknowledge(self.now, key, write);
        if self.rng.chance(500)
            && let Some(record) = self.oracle.keys[key].writes.get(write)
        {
            self.sessions[session][key].clock.add(record.dot);
        }
    }

    /// A client reads a key, and keeps the context for a later write.
    pub(super) fn read(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let key = self.rng.below(self.shape.keys);
        let session = self.rng.below(self.shape.sessions);
        let index = self.oracle.keys[key].partition;
        let answers = |node: &Node| node.routes[index].reads && node.holds(index);
        let Some(place) = self.instead(place, answers) else { return Ok(()) };
        let node = &self.nodes[place];
        let partition = &node.partitions[index];
        let entry = partition.read(&node.disk, &self.oracle.keys[key].key)?;
        let mut clock: Clock = entry.dots().collect();
        clock.join(&entry.context);
        clock.join(partition.durable());
        let mut stamp = entry.stamp_max();
        if self.rng.chance(300) {
            clock.join(&self.sessions[session][key].clock);
            stamp = stamp.max(self.sessions[session][key].stamp);
        }
        self.trace.note(|| format!("session {session} reads key {key} at node {place}"));
        self.sessions[session][key] = ClientContext { key: None, clock, stamp };
        Ok(())
    }
}
