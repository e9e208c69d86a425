//! What disks and processes do: get a stage further, fail, crash, start; and the kernel's own cleaning.

use settle_core::dot::DotRange;
use settle_core::storage::StorageError;

use crate::broken::Broken;
use crate::invariants;
use crate::node::Touch;
use crate::shape::Durability;

use super::Cluster;

impl Cluster {
    /// A change was staged: with some probability it becomes durable at once, else whenever the disk gets to it.
    pub(super) fn maybe_flush(&mut self, place: usize) -> Result<(), Broken> {
        if !self.healing && !self.rng.chance(self.shape.eager) {
            return Ok(());
        }
        self.flush(place)
    }

    pub(super) fn flush(&mut self, place: usize) -> Result<(), Broken> {
        match self.nodes[place].flush() {
            Ok(kept) => self.durable(place, kept)?,
            Err(error) => return self.disk_did(place, Err(error)),
        }
        // What was restated waits for another round of the disk.
        if self.healing && self.nodes[place].backlog() != (0, 0) { self.flush(place) } else { Ok(()) }
    }

    /// One stage, or all, of some node's disk.
    pub(super) fn flush_some(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let (staged, written) = self.nodes[place].backlog();
        let stage = self.rng.below(5);
        self.trace.note(|| format!("node {place}: disk stage {stage} of {staged} staged, {written} written"));
        let never = self.shape.durability == Durability::Never;
        match stage {
            0 | 1 => {
                let count = 1 + self.rng.below(staged);
                let sync = !never && self.rng.chance(300);
                let result = self.nodes[place].write_out(count, sync);
                self.disk_did(place, result)
            }
            2 if !never => {
                let result = self.nodes[place].sync();
                self.disk_did(place, result)
            }
            3 => {
                let count = 1 + self.rng.below(written);
                let kept = self.nodes[place].report(count);
                self.durable(place, kept)
            }
            _ => self.flush(place),
        }
    }

    /// A failed disk ends the node's life: what was in the failed commit may or may not be there afterwards.
    pub(super) fn disk_did(&mut self, place: usize, result: Result<(), StorageError>) -> Result<(), Broken> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => {
                self.trace.note(|| format!("node {place}: {error}"));
                self.crash(place)
            }
        }
    }

    pub(super) fn fail_disk(&mut self) {
        if let Some(place) = self.some_node() {
            self.trace.note(|| format!("node {place}: the next commit will fail"));
            self.nodes[place].disk.fail_next(StorageError::Io("simulated".to_owned()));
        }
    }

    pub(super) fn crash_some(&mut self) -> Result<(), Broken> {
        match self.some_node() {
            Some(place) => self.crash(place),
            None => Ok(()),
        }
    }

    /// Crashes a node; mostly it starts again at once.
    pub(super) fn crash(&mut self, place: usize) -> Result<(), Broken> {
        let unsynced = self.nodes[place].disk.unsynced_commits();
        let keep = self.rng.below(unsynced + 2);
        self.trace.note(|| format!("node {place} crashes, {keep} of {unsynced} unsynced commits survive"));
        self.nodes[place].crash(keep);
        self.verifying[place].fill_with(|| None);
        if self.healing || self.rng.chance(700) { self.start(place) } else { Ok(()) }
    }

    pub(super) fn start_some(&mut self) -> Result<(), Broken> {
        match (0..self.nodes.len()).find(|place| !self.nodes[*place].up) {
            Some(place) => self.start(place),
            None => Ok(()),
        }
    }

    /// Starts a node; its wall clock may have gone back.
    pub(super) fn start(&mut self, place: usize) -> Result<(), Broken> {
        let back = self.rng.pick(&[0, 0, 500]);
        let wall_ms = self.nodes[place].wall_ms(self.now).saturating_sub(back);
        let random = (self.rng.bits() & 0xffff) as u16;
        self.nodes[place].now = self.now;
        let first = self.first.clone();
        self.nodes[place].start(wall_ms, random, first)?;
        let epoch = self.nodes[place].epoch;
        self.trace.mix(&[place as u64, epoch.0]);
        self.trace.note(|| format!("node {place} starts, epoch {:x}", epoch.0));
        Ok(())
    }

    pub(super) fn toggle_link(&mut self) {
        let place = self.rng.below(self.nodes.len());
        let other = self.some_other(place);
        self.network.toggle(place, other);
        if self.first.is_some() && self.rng.chance(400) {
            self.network.heal();
        }
        let cut = self.network.is_cut(place, other);
        self.trace.note(|| format!("link {place} to {other}: {}", if cut { "cut" } else { "restored" }));
    }

    pub(super) fn prune_some(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let rows_max = self.rng.pick(&[1, 3, 1000]);
        let index = self.some_partition();
        let Some(place) = self.holder(place, index) else { return Ok(()) };
        self.prune(place, index, rows_max)?;
        self.maybe_flush(place)
    }

    /// Prunes once; whether there was anything to do.
    pub(super) fn prune(&mut self, place: usize, index: usize, rows_max: usize) -> Result<bool, Broken> {
        let others = self.others(place, index);
        let (ticket, removed) = self.nodes[place].change(index, |partition, transaction| {
            let before = partition.logged().clone();
            let ticket = partition.prune(transaction, &others, rows_max);
            Ok((ticket, before.minus(partition.logged())))
        })?;
        if self.shape.durability == Durability::Always {
            for dot in removed.ranges().flat_map(DotRange::dots) {
                let route = &self.nodes[place].routes[index];
                let replicas = route.others.iter().filter(|other| {
                    let node = &self.nodes[**other];
                    // One that is down holds what it held, unless it was dropping that.
                    node.holds(index) || !node.up && !node.routes[index].drops
                });
                let replicas = replicas.map(|other| (*other, &self.nodes[*other].views[index]));
                invariants::log::check(dot, place, replicas)?;
            }
        }
        self.trace.note(|| format!("node {place} prunes partition {index}: {ticket:?}"));
        Ok(ticket.is_some())
    }

    pub(super) fn sweep_some(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let keys_max = self.rng.pick(&[1, 2, 1000]);
        let index = self.some_partition();
        let ticket = self.nodes[place]
            .change(index, |partition, transaction| partition.sweep(transaction, keys_max))?;
        self.trace.note(|| format!("node {place} sweeps partition {index}: {ticket:?}"));
        self.maybe_flush(place)
    }

    pub(super) fn spill_some(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        self.nodes[place].spill()?;
        self.trace.note(|| format!("node {place} spills its log"));
        self.maybe_flush(place)
    }

    /// Some node surveys one more page of a partition.
    pub(super) fn survey_some(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let index = self.some_partition();
        self.survey(place, index)?;
        Ok(())
    }

    /// Surveys one page; whether all are done.
    pub(super) fn survey(&mut self, place: usize, index: usize) -> Result<bool, Broken> {
        let limits = self.limits();
        let node = &mut self.nodes[place];
        let done = node.partitions[index].survey(&node.disk, limits)?;
        node.touch(Touch::Staged);
        Ok(done)
    }

    /// Ends a node's process in good order and starts it from its disk.
    pub(super) fn restart(&mut self, place: usize) -> Result<(), Broken> {
        self.nodes[place].crash(usize::MAX);
        self.start(place)?;
        self.nodes[place].touch(Touch::Restarted);
        Ok(())
    }
}
