//! Reads at quorum, and comparisons after reads at one replica: what is asked, merged, repaired, and then shown.

use std::collections::BTreeSet;

use settle_core::clock::Clock;
use settle_core::codec::Encode;
use settle_core::context::ClientContext;
use settle_core::level::Level;
use settle_core::partition::{Compared, Have, Held, Repair};
use settle_core::reading::{Reading, Settled, may_answer};

use crate::bits::Bits;
use crate::broken::Broken;
use crate::invariants::{durable, monotonic};
use crate::network::{Body, Kind, ReadId};
use crate::node::{Node, Read, Stage, Waiter, Waiting};
use crate::route::Route;
use crate::shape::Durability;

use super::Cluster;

/// The most messages in each direction while others wait.
const HURRIED_MAX: usize = 3;

impl Cluster {
    /// A node begins a read at quorum, or compares what it showed alone with some others.
    pub(super) fn read_at_several(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let key = self.rng.below(self.shape.keys);
        let session = self.rng.chance(700).then(|| self.rng.below(self.shape.sessions));
        self.begin_read(place, key, session)
    }

    fn begin_read(&mut self, place: usize, key: usize, session: Option<usize>) -> Result<(), Broken> {
        let index = self.oracle.keys[key].partition;
        let answers = |node: &Node| node.routes[index].reads && node.holds(index);
        let Some(place) = self.instead(place, answers) else { return Ok(()) };
        let route = self.route(place, index);
        let (replicas, others) = (route.read.len(), route.readers_but(place));
        let reading = Reading::new(self.held(place, key)?);
        let have = reading.have().to_bytes();
        let quorum = Level::Quorum.needed(replicas);
        let needed = if session.is_some() { quorum } else { 2 + self.rng.below(replicas - 1) };
        self.reads += 1;
        let id = self.reads;
        self.trace.note(|| format!("node {place} begins read {id} of key {key} at {needed} replicas"));
        let history = &self.oracle.keys[key];
        let expected = history.read.or(history.settled);
        let answered = BTreeSet::new();
        let stage = Stage::Asking(reading);
        self.nodes[place].reads.push(Read { id, route, key, session, needed, expected, answered, stage });
        // Slow ones are hedged: more may be asked than are needed.
        let first = self.some_other(place);
        let first = if others.contains(&first) { first } else { others[first % others.len()] };
        let all = self.rng.chance(500);
        for other in others {
            if all || other == first || needed > 2 {
                self.send(place, other, index, Body::Compare(id, key, have.clone()));
            }
        }
        Ok(())
    }

    fn held(&self, place: usize, key: usize) -> Result<Held, Broken> {
        let history = &self.oracle.keys[key];
        let node = &self.nodes[place];
        Ok(node.partitions[history.partition].held(&node.disk, &history.key)?)
    }

    /// What a replica says to what the asking one has.
    pub(super) fn compare(
        &self,
        place: usize,
        read: ReadId,
        key: usize,
        have: &Have,
    ) -> Result<Body, Broken> {
        let history = &self.oracle.keys[key];
        let node = &self.nodes[place];
        let view = &node.views[history.partition];
        let compared = node.partitions[history.partition].compare(&node.disk, &history.key, have)?;
        if let Compared::Differs { held, .. } = &compared {
            durable::check_told(&held.clock, view, place)?;
            if let Some(readable) = view.key(key) {
                durable::check_sent(&held.entry, readable, history, place)?;
            }
        }
        Ok(Body::Compared(read, compared.to_bytes()))
    }

    /// An answer to a read; the network may bring it twice, or too late.
    pub(super) fn take_compared(
        &mut self,
        (place, from): (usize, usize),
        id: ReadId,
        compared: Compared,
    ) -> Result<(), Broken> {
        let node = &mut self.nodes[place];
        let Some(position) = node.reads.iter().position(|read| read.id == id) else { return Ok(()) };
        let read = &mut node.reads[position];
        let Stage::Asking(reading) = &mut read.stage else { return Ok(()) };
        if !read.answered.insert(from) {
            return Ok(());
        }
        reading.add(from, compared);
        if reading.answered() < read.needed { Ok(()) } else { self.settle(place, position) }
    }

    /// Enough replicas have answered: those that lack something are repaired.
    fn settle(&mut self, place: usize, position: usize) -> Result<(), Broken> {
        let mut read = self.nodes[place].reads.swap_remove(position);
        let Stage::Asking(reading) = read.stage else { return Ok(()) };
        let history = &self.oracle.keys[read.key];
        let (index, key) = (history.partition, history.key.clone());
        let partition = &self.nodes[place].partitions[index];
        let settled = reading.settle(|dots| partition.may_concern(dots, &key));
        let lacking = Self::lacking(&read.route, read.session, &settled);
        let repair = settled.repair(key);
        let mut holders: BTreeSet<usize> = settled.holding.into_iter().collect();
        if !settled.own_lacks {
            holders.insert(place);
        }
        let (id, own_lacks) = (read.id, settled.own_lacks);
        self.trace
            .note(|| format!("read {id} is settled; {lacking:?} of the others lack it, itself: {own_lacks}"));
        read.stage = Stage::Repairing { held: settled.held, holders };
        self.nodes[place].reads.push(read);
        let bytes = repair.to_bytes();
        for other in lacking {
            self.send(place, other, index, Body::Repair(id, bytes.clone()));
        }
        if own_lacks {
            self.take_repair(place, place, id, index, &repair)?;
        }
        self.answer_read(place, id)
    }

    /// Whom a repair goes to: of a client's read, all that are not known to hold it.
    fn lacking(route: &Route, session: Option<usize>, settled: &Settled<usize>) -> Vec<usize> {
        if session.is_none() {
            return settled.lacking.clone();
        }
        route.others.iter().copied().filter(|other| !settled.holding.contains(other)).collect()
    }

    /// A repair arrives, maybe at the reader itself.
    pub(super) fn take_repair(
        &mut self,
        place: usize,
        reader: usize,
        id: ReadId,
        index: usize,
        repair: &Repair,
    ) -> Result<(), Broken> {
        let node = &mut self.nodes[place];
        let (applied, changed) =
            node.change(index, |partition, transaction| partition.repair(transaction, repair))?;
        node.observe(applied.stamp_max, self.now);
        let waiter = Waiter::Reader(reader, id);
        node.wait(Waiting { partition: index, ticket: applied.ticket, waiter, position: None });
        self.trace.note(|| format!("node {place} is repaired for read {id}: {changed}"));
        self.maybe_flush(place)
    }

    /// A replica holds what a read shows.
    pub(super) fn take_repaired(&mut self, (place, from): (usize, usize), id: ReadId) -> Result<(), Broken> {
        let read = self.nodes[place].reads.iter_mut().find(|read| read.id == id);
        if let Some(Read { stage: Stage::Repairing { holders, .. }, .. }) = read {
            holders.insert(from);
            self.answer_read(place, id)?;
        }
        Ok(())
    }

    /// Answers the client of a read if enough replicas hold what it shows.
    fn answer_read(&mut self, place: usize, id: ReadId) -> Result<(), Broken> {
        let reads = &mut self.nodes[place].reads;
        let Some(position) = reads.iter().position(|read| read.id == id) else { return Ok(()) };
        let Stage::Repairing { holders, .. } = &reads[position].stage else { return Ok(()) };
        let met = |(held, replicas)| may_answer(held, Level::Quorum.needed(replicas));
        let mut counts = reads[position].route.counts(|place| holders.contains(&place));
        if reads[position].session.is_some() && !counts.all(met) {
            return Ok(());
        }
        drop(counts);
        let read = reads.swap_remove(position);
        match (read.session, read.stage) {
            (Some(session), Stage::Repairing { held, .. }) => {
                self.show(read.key, session, read.expected, &held)
            }
            _ => Ok(()),
        }
    }

    /// A client sees what a quorum holds, and keeps the context.
    fn show(&mut self, key: usize, session: usize, expected: Bits, held: &Held) -> Result<(), Broken> {
        let history = &mut self.oracle.keys[key];
        let (mut shown, mut clocked, mut seen) = (Bits::default(), Bits::default(), Bits::default());
        let known = held.known();
        let dots: Clock = held.entry.dots().collect();
        for (number, write) in history.writes.iter().enumerate() {
            for (bits, clock) in [(&mut shown, &dots), (&mut clocked, &held.clock), (&mut seen, &known)] {
                if clock.has(write.dot) {
                    bits.add(number);
                }
            }
        }
        if self.shape.durability == Durability::Always {
            monotonic::check(history, shown, (clocked, seen), expected)?;
            history.read = history.read.or(seen);
        }
        self.trace.mix(shown.words());
        self.trace
            .note(|| format!("session {session} is shown {} values of key {key}", shown.iter().count()));
        let stamp = held.entry.stamp_max().max(self.sessions[session][key].stamp);
        self.sessions[session][key] = ClientContext { key: None, clock: known, stamp };
        Ok(())
    }

    /// A read and its repairs reach one other node, and the answers come back, while nothing else moves.
    pub(super) fn hurry_read(&mut self) -> Result<(), Broken> {
        let reads = |place: &usize| !self.nodes[*place].reads.is_empty();
        let reading: Vec<usize> = (0..self.nodes.len()).filter(reads).collect();
        let Some(place) = reading.get(self.rng.below(reading.len())).copied() else { return Ok(()) };
        let other = self.some_other(place);
        for _ in 0..HURRIED_MAX {
            self.pass(place, other, Kind::Read)?;
            self.pass(other, place, Kind::Read)?;
        }
        Ok(())
    }
}
