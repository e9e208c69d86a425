//! What clients do: writes, deletes and reads, with the contexts that they were given.

use bytes::Bytes;
use settle_core::clock::Clock;
use settle_core::codec::Encode;
use settle_core::entry::Version;
use settle_core::hlc::Hlc;
use settle_core::partition::{Delta, Write};

use crate::broken::Broken;
use crate::network::Body;
use crate::node::Waiting;
use crate::oracle::Made;

use super::Cluster;

impl Cluster {
    /// A client writes through some node; with `crash` the node dies before its sync.
    pub(super) fn write(&mut self, crash: bool) -> Result<(), Broken> {
        let Some((place, key, session)) = self.some_writer() else { return Ok(()) };
        if !self.oracle.has_room(key) {
            return Ok(());
        }
        self.writer = (place, key, session);
        let with_context = self.rng.chance(700);
        let context = if with_context { self.sessions[session][key].clone() } else { Clock::new() };
        let number = self.oracle.keys[key].writes.len();
        let payload = (!self.rng.chance(self.shape.deletes)).then(|| Bytes::from(format!("{key}.{number}")));
        let waiting = self.mint(place, key, session, payload, &context)?;
        if crash {
            if self.rng.chance(300) {
                let result = self.nodes[place].write_out(usize::MAX, false);
                self.disk_did(place, result)?;
            }
            return self.crash(place);
        }
        self.nodes[place].wait(waiting);
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

    /// Stages the write, tells the oracle, sends the delta.
    fn mint(
        &mut self,
        place: usize,
        key: usize,
        session: usize,
        payload: Option<Bytes>,
        context: &Clock,
    ) -> Result<Waiting, Broken> {
        let lww = self.shape.is_lww(key);
        let partition = self.oracle.keys[key].partition;
        let version = payload.clone().map(|payload| Version { stamp: Hlc(self.now), payload });
        let name = self.oracle.keys[key].key.clone();
        let write = Write { key: name, version, context: context.clone(), over_all_seen: lww };
        let written = self.nodes[place]
            .change(partition, |partition, transaction| partition.write(transaction, write))?;
        let seen = self.nodes[place].views[partition].key(key).map(|view| view.seen).unwrap_or_default();
        self.trace.note(|| {
            let what = if payload.is_some() { "puts" } else { "deletes" };
            format!("node {place} {what} key {key} as {} (ticket {})", written.dot, written.ticket.0)
        });
        let number = self.oracle.made(Made {
            key,
            dot: written.dot,
            payload,
            contexts: [context, &written.delta.entry.context],
            over: lww.then_some(seen),
            coordinator: place,
        })?;
        self.send_delta(place, partition, &written.delta);
        Ok(Waiting { partition, ticket: written.ticket, key, write: number, session })
    }

    fn send_delta(&mut self, place: usize, partition: usize, delta: &Delta) {
        let bytes = delta.to_bytes();
        for other in (0..self.nodes.len()).filter(|other| *other != place) {
            if !self.rng.chance(self.shape.unsent) {
                self.send(place, other, partition, Body::Delta(bytes.clone()));
            }
        }
    }

    /// Tells clients that their writes are kept.
    pub(super) fn acknowledge(&mut self, place: usize, kept: Vec<Waiting>) {
        for Waiting { key, write, session, .. } in kept {
            self.trace.note(|| format!("node {place} acknowledges write {write} of key {key}"));
            self.oracle.acknowledge(self.now, key, write);
            if self.rng.chance(500)
                && let Some(record) = self.oracle.keys[key].writes.get(write)
            {
                self.sessions[session][key].add(record.dot);
            }
        }
    }

    /// A client reads a key, and keeps the context for a later write.
    pub(super) fn read(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let key = self.rng.below(self.shape.keys);
        let session = self.rng.below(self.shape.sessions);
        let index = self.oracle.keys[key].partition;
        let node = &self.nodes[place];
        let partition = &node.partitions[index];
        let entry = partition.read(&node.disk, &self.oracle.keys[key].key)?;
        let mut context: Clock = entry.dots().collect();
        context.join(&entry.context);
        context.join(partition.durable());
        if self.rng.chance(300) {
            context.join(&self.sessions[session][key]);
        }
        self.trace.note(|| format!("session {session} reads key {key} at node {place}"));
        self.sessions[session][key] = context;
        Ok(())
    }
}
