//! The end of a run: everything works again, all exchange, late duplicates arrive, all exchange once more. Then nothing
//! may be missing and nothing left over.

use std::collections::VecDeque;

use settle_core::partition::Moment;
use settle_core::storage::{Rows, Table};

use crate::broken::Broken;
use crate::invariants::{self, residue::Leftover};
use crate::network::{Body, Envelope, Kind};
use crate::oracle::Oracle;
use crate::shape::Durability;

use super::Cluster;

/// The most messages that one conversation takes, if exchanges end at all.
const CONVERSATION_MAX: usize = 4_000;
/// The most late messages.
const LATE_MAX: usize = 1_000;
/// The most rounds of cleaning.
const CLEANING_MAX: usize = 1_000;

impl Cluster {
    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.trace.next_step();
        self.trace.note(|| "everything heals".to_owned());
        self.healing = true;
        self.network.heal();
        // The first flush lets disks fail that were about to.
        for _ in 0..2 {
            for place in 0..self.nodes.len() {
                if !self.nodes[place].up {
                    self.start(place)?;
                }
                self.flush(place)?;
            }
        }
        self.look()?;
        for place in 0..self.nodes.len() {
            for index in 0..self.shape.partitions {
                while !self.survey(place, index)? {}
            }
        }
        self.check()?;
        self.finish_change()?;
        for round in 0..3 {
            self.exchange_all(round == 2)?;
            if round == 1 {
                self.deliver_late()?;
            }
        }
        for _ in 0..2 {
            self.echo_all()?;
        }
        self.clean()?;
        self.judge()
    }

    /// Everybody pulls from everybody. What a disk lost without `always` may live on in nothing but the explicit
    /// contexts that its pages left elsewhere, and no clock tells of those: then the last round is a full one, which
    /// sends them, as the scheduled verification of equal replicas does.
    fn exchange_all(&mut self, last: bool) -> Result<(), Broken> {
        let verify = last && self.shape.durability != Durability::Always;
        for place in 0..self.nodes.len() {
            for from in (0..self.nodes.len()).filter(|from| *from != place) {
                for index in 0..self.shape.partitions {
                    if !self.nodes[place].holds(index) || !self.nodes[from].holds(index) {
                        continue;
                    }
                    self.trace.next_step();
                    self.now += 1;
                    let full = verify || self.rng.chance(self.shape.full / 2);
                    let request = self.opening(place, from, index, full)?;
                    self.converse(request)?;
                    let view = |place: usize| &self.nodes[place].views[index];
                    invariants::convergence::check_exchange(view(place), view(from), (place, from))?;
                }
            }
        }
        Ok(())
    }

    /// A message, its answer, the answer's answer, and so on.
    fn converse(&mut self, first: Envelope) -> Result<(), Broken> {
        let mut next = Some(first);
        for _ in 0..CONVERSATION_MAX {
            let Some(envelope) = next.take() else { return Ok(()) };
            next = self.receive(envelope)?;
            self.check()?;
        }
        Err(Broken::new("convergence", "an exchange between two healthy replicas does not end".to_owned()))
    }

    /// What is still in flight arrives at last, in any order, some of it again; and what comes of it.
    fn deliver_late(&mut self) -> Result<(), Broken> {
        let mut late: VecDeque<Envelope> = VecDeque::new();
        for _ in 0..LATE_MAX {
            late.extend(self.network.drain());
            if late.is_empty() {
                return Ok(());
            }
            self.trace.next_step();
            self.now += 1;
            let index = self.rng.below(late.len());
            let Some(envelope) = late.swap_remove_back(index) else { break };
            // Questions would only start conversations that are had anyway.
            let question =
                matches!(envelope.body, Body::LogRequest(_) | Body::FullRequest(_) | Body::EchoRequest(_));
            if !question && envelope.body.kind() != Kind::Layout {
                self.receive(envelope)?;
            }
            self.check()?;
        }
        Ok(())
    }

    fn echo_all(&mut self) -> Result<(), Broken> {
        for place in 0..self.nodes.len() {
            for other in (0..self.nodes.len()).filter(|other| *other != place) {
                self.now += 1;
                let request = self.echo_request(place, other);
                self.converse(request)?;
            }
        }
        Ok(())
    }

    /// Prunes and sweeps until there is nothing to do.
    fn clean(&mut self) -> Result<(), Broken> {
        for place in 0..self.nodes.len() {
            for index in 0..self.shape.partitions {
                self.settle_diverged(place, index)?;
                let mut rounds = 0;
                while self.prune(place, index, 7)? && rounds < CLEANING_MAX {
                    self.flush(place)?;
                    rounds += 1;
                }
                // Twice round: the first sweep may begin in the middle.
                for _ in 0..=2 * self.shape.keys {
                    self.nodes[place]
                        .change(index, |partition, transaction| partition.sweep(transaction, 1))?;
                    self.flush(place)?;
                }
            }
        }
        for place in 0..self.nodes.len() {
            for _ in 0..2 {
                self.nodes[place].spill()?;
                self.flush(place)?;
            }
        }
        self.look()
    }

    /// The properties of a healthy cluster at rest.
    fn judge(&mut self) -> Result<(), Broken> {
        for index in 0..self.shape.partitions {
            let holders = self.nodes.iter().enumerate().filter(|(_, node)| node.holds(index));
            let views = holders.map(|(place, node)| (place, &node.views[index]));
            invariants::convergence::check(&self.oracle, index, views)?;
        }
        let always = self.shape.durability == Durability::Always;
        if always {
            self.check_majorities()?;
        }
        for place in 0..self.nodes.len() {
            invariants::residue::check_segments(self.nodes[place].segments_stored()?, place)?;
            for index in 0..self.shape.partitions {
                if !self.nodes[place].holds(index) {
                    let dots = self.nodes[place].partitions[index].durable().count() as usize;
                    let left = self.nodes[place].rows_of(index)? + dots;
                    invariants::layouts::check_dropped(left, place, index)?;
                    continue;
                }
                if always {
                    let view = &self.nodes[place].views[index];
                    invariants::acknowledged::check(&self.oracle, view, place, |_| true)?;
                    invariants::overwritten::check_rest(&self.oracle, view, place)?;
                }
                self.check_provable(place, index)?;
                let leftovers = self.leftovers(place, index)?;
                let partition = &self.nodes[place].partitions[index];
                invariants::residue::check(partition, place, &leftovers)?;
                invariants::diverged::check_rest(partition, place)?;
            }
        }
        self.check_restart()
    }

    fn check_provable(&mut self, place: usize, index: usize) -> Result<(), Broken> {
        let others = self.others(place, index);
        let now = Moment(self.now);
        let bound = self.partition(place, index).bound(&others, now);
        // Both rounds of echoes ask everybody once.
        let longest = 2 * (self.nodes.len() * self.nodes.len()) as u64;
        invariants::bound::check_provable(bound, longest, place)
    }

    /// What the keys of a replica keep besides their values.
    fn leftovers(&self, place: usize, index: usize) -> Result<Vec<Leftover>, Broken> {
        let node = &self.nodes[place];
        let partition = &node.partitions[index];
        let mut leftovers = Vec::new();
        for history in self.oracle.keys.iter().filter(|history| history.partition == index) {
            let entry = partition.read(&node.disk, &history.key)?;
            let row = Table::Entry.key_row(Oracle::partition_id(index), &history.key);
            let context = entry.context.minus(partition.durable());
            let held = self.nodes.iter().any(|other| {
                context
                    .ranges()
                    .flat_map(|range| range.dots())
                    .any(|dot| other.partitions[index].durable().has(dot))
            });
            let living = context.ranges().any(|range| {
                self.nodes.iter().any(|node| (node.id, node.epoch) == (range.origin.node, range.origin.epoch))
            });
            leftovers.push(Leftover {
                key: history.key.clone(),
                row: node.disk.get(&row)?.is_some(),
                value: !entry.siblings.is_empty(),
                context,
                held,
                living,
            });
        }
        Ok(leftovers)
    }

    /// What a node counts in memory is what it finds on its disk.
    fn check_restart(&mut self) -> Result<(), Broken> {
        for place in 0..self.nodes.len() {
            let node = &self.nodes[place];
            let counts = |node: &crate::node::Node| -> Vec<(u64, usize)> {
                node.partitions
                    .iter()
                    .map(|partition| (partition.log_records(), partition.residue()))
                    .collect()
            };
            let (counted, views) = (counts(node), node.views.clone());
            self.restart(place)?;
            self.look()?;
            let node = &self.nodes[place];
            let same = counts(node) == counted && node.views == views;
            invariants::durable::check_restart(same, place)?;
        }
        Ok(())
    }
}
