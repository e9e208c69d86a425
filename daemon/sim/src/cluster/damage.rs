//! After the end: at a cluster at rest, rows of one node change by themselves. Verification finds that, and only that,
//! and what it finds is settled.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use settle_core::codec::{Decode, Encode};
use settle_core::entry::{Entry, Version};
use settle_core::hlc::Hlc;
use settle_core::partition::{Contradiction, Delta, FullRequest, Scrubbed, Verdict, Verification};
use settle_core::storage::{Batch, Rows, Table};
use settle_store::Disk;

use crate::broken::Broken;
use crate::invariants::verified;
use crate::node::Touch;
use crate::oracle::{Oracle, WriteRecord};

use super::Cluster;

/// The most questions of one verification.
const QUESTIONS_MAX: usize = 1_000;

/// How often any two verify each other.
const ROUNDS: usize = 4;

/// Per key, the values that are held.
type Values = Vec<BTreeSet<Bytes>>;

/// Deltas on their way, each with its sender and its partition.
type Flying = VecDeque<(usize, usize, Delta)>;

impl Cluster {
    /// Damages a node, has all verify, and looks at what came of it. Nothing else is checked from here on: a damaged
    /// replica keeps no promise.
    pub(super) fn damage(&mut self) -> Result<(), Broken> {
        self.network.drain();
        let place = self.rng.below(self.nodes.len());
        self.survey_all()?;
        // Under a running node, a scrub must find it first.
        let running = self.rng.chance(500);
        self.trace.note(|| format!("rows of node {place} change by themselves; it runs: {running}"));
        if running {
            // Into the cache, if there is one.
            self.values(place)?;
        }
        for _ in 0..1 + self.rng.below(3) {
            let key = self.rng.below(self.shape.keys);
            self.rot(place, key)?;
        }
        if running {
            self.scrub_all(place)?;
        } else {
            self.restart(place)?;
        }
        self.survey_all()?;
        let mut held: Values = vec![BTreeSet::new(); self.shape.keys];
        for place in 0..self.nodes.len() {
            for (all, values) in held.iter_mut().zip(self.values(place)?) {
                all.extend(values);
            }
        }
        for index in 0..self.shape.partitions {
            self.verify_all(index)?;
        }
        for place in 0..self.nodes.len() {
            for (key, (before, after)) in held.iter().zip(self.values(place)?).enumerate() {
                verified::check_mended(before, &after, place, key)?;
            }
        }
        Ok(())
    }

    fn survey_all(&mut self) -> Result<(), Broken> {
        for place in 0..self.nodes.len() {
            for index in 0..self.shape.partitions {
                while !self.survey(place, index)? {}
            }
        }
        Ok(())
    }

    fn scrub_all(&mut self, place: usize) -> Result<(), Broken> {
        for index in 0..self.shape.partitions {
            while self.scrub(place, index)? == Scrubbed::Partly {}
        }
        Ok(())
    }

    /// A row is lost, its value garbled, or an old value is back under its old name.
    fn rot(&mut self, place: usize, key: usize) -> Result<(), Broken> {
        let history = &self.oracle.keys[key];
        let row = Table::Entry.key_row(Oracle::partition_id(history.partition), &history.key);
        let disk = &self.nodes[place].disk;
        let mut entry = disk.get(&row)?.map(Entry::from_bytes).transpose()?.unwrap_or_default();
        let shown: Vec<_> = entry.dots().collect();
        // A dot that no clock holds, as after a crash, was never there.
        let clock = &self.nodes[place].views[history.partition].clock;
        let is_old = |write: &&WriteRecord| {
            write.payload.is_some() && clock.has(write.dot) && !shown.contains(&write.dot)
        };
        let old = history.writes.iter().find(is_old);
        let kind = self.rng.below(3);
        match (kind, old) {
            (0, Some(write)) => {
                let payload = write.payload.clone().unwrap_or_default();
                entry.siblings.push((write.dot, Version { stamp: Hlc(1), payload }));
                entry.siblings.sort_by_key(|(dot, _)| *dot);
            }
            (1, _) => entry.siblings.truncate(entry.siblings.len().saturating_sub(1)),
            _ => {
                for (_, version) in &mut entry.siblings {
                    version.payload = Bytes::from([&b"rotten "[..], &version.payload].concat());
                }
            }
        }
        self.trace.note(|| format!("key {key} of node {place}: {entry:?}"));
        let mut batch = Batch::default();
        batch.put(row, entry.to_bytes());
        disk.commit(&[batch], true)?;
        Ok(())
    }

    /// All values that can be read at a node.
    fn values(&self, place: usize) -> Result<Values, Broken> {
        let node = &self.nodes[place];
        let value = |(_, version): (_, Version)| version.payload;
        let keys = self.oracle.keys.iter().map(|history| {
            let entry = node.partitions[history.partition].read(&node.disk, &history.key)?;
            Ok(entry.siblings.into_iter().map(value).collect())
        });
        keys.collect()
    }

    /// Any two replicas verify each other, until all agree; now and then what one of them settled is late.
    fn verify_all(&mut self, index: usize) -> Result<(), Broken> {
        let mut flying = Flying::new();
        for round in 0..ROUNDS {
            for place in 0..self.nodes.len() {
                for with in (0..self.nodes.len()).filter(|with| *with != place) {
                    if round + 1 == ROUNDS || self.rng.chance(700) {
                        self.arrive(&mut flying)?;
                    }
                    let rest = flying.is_empty();
                    let tree = |place: usize| self.nodes[place].partitions[index].tree();
                    let same = tree(place) == tree(with);
                    let verdict = self.verify_rest(index, [place, with], !rest, &mut flying)?;
                    // What only explicit contexts tell must have gone both ways first.
                    let told =
                        [place, with].iter().all(|place| self.nodes[*place].partitions[index].residue() == 0);
                    if rest && (told || round > 1) {
                        verified::check_rest(&verdict, same, [place, with])?;
                    }
                    if let Verdict::Contradicted(found) = verdict {
                        self.settle_found(place, index, &found, &mut flying)?;
                    }
                }
            }
        }
        self.arrive(&mut flying)?;
        let trees: Vec<_> = self.nodes.iter().map(|node| node.partitions[index].tree()).collect();
        let same = trees.windows(2).all(|pair| pair[0] == pair[1]);
        if same {
            Ok(())
        } else {
            Err(Broken::new("verified", "replicas do not agree in the end".to_owned()))
        }
    }

    /// One verification to its end.
    fn verify_rest(
        &mut self,
        index: usize,
        [place, with]: [usize; 2],
        insist: bool,
        flying: &mut Flying,
    ) -> Result<Verdict, Broken> {
        let limits = self.limits();
        let begun = Verification::begin(self.partition(place, index), insist);
        let Some((mut verification, mut request)) = begun else { return Ok(Verdict::Void) };
        for _ in 0..QUESTIONS_MAX {
            let asked = FullRequest::from_bytes(request.to_bytes())?;
            let page =
                self.nodes[with].partitions[index].serve_full(&self.nodes[with].disk, &asked, limits)?;
            let node = &mut self.nodes[place];
            let verdict = verification.take(&mut node.partitions[index], &node.disk, &page, limits)?;
            self.trace.note(|| format!("node {place} verifies partition {index} with {with}: {verdict:?}"));
            match verdict {
                Verdict::Behind => {
                    for repair in verification.contexts() {
                        self.nodes[place]
                            .change(index, |partition, transaction| partition.repair(transaction, &repair))?;
                    }
                    self.nodes[place].flush()?;
                    return Ok(Verdict::Behind);
                }
                Verdict::Ask(next) => request = next,
                Verdict::AskLater(next) => {
                    self.arrive(flying)?;
                    request = next;
                }
                verdict => return Ok(verdict),
            }
        }
        Err(Broken::new("verified", "a verification does not end".to_owned()))
    }

    fn settle_found(
        &mut self,
        place: usize,
        index: usize,
        found: &[Contradiction],
        flying: &mut Flying,
    ) -> Result<(), Broken> {
        for contradiction in found {
            let written = self.nodes[place]
                .change(index, |partition, transaction| partition.settle(transaction, contradiction))?;
            flying.extend(written.into_iter().map(|written| (place, index, written.delta)));
            self.nodes[place].flush()?;
        }
        Ok(())
    }

    /// What was settled reaches all others.
    fn arrive(&mut self, flying: &mut Flying) -> Result<(), Broken> {
        for (from, index, delta) in flying.drain(..) {
            for place in (0..self.nodes.len()).filter(|place| *place != from) {
                self.nodes[place]
                    .change(index, |partition, transaction| partition.apply(transaction, &delta))?;
                self.nodes[place].flush()?;
                self.nodes[place].touch(Touch::Staged);
            }
        }
        Ok(())
    }
}
