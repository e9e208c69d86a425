//! Read repair: what a read at several replicas finds out is written to those that lack it.
//!
//! When answers differ, their merge goes at once to every replica that is up and not known to hold it, and the client is
//! answered as soon as enough hold it durably: those that the level needs, whichever they are. That is why reads at quorum
//! are monotonic, and why one replica that is slow to write costs no more than one that is slow to answer. The others are
//! repaired in the background. So is, now and then, what a read at this replica alone has not compared.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use settle_core::key::{Key, PartitionId};
use settle_core::partition::{Held, Repair};
use settle_core::reading::{Reading, Settled, may_answer};
use settle_wire::message::{Answer, Question};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::metrics::RepairResult;
use crate::watched::watched;

use super::commit::Waiter;
use super::gather::{Asking, answer, ask};
use super::route::{Partner, Routes};
use super::sets::{PerSet, Sets};
use super::{ChangeError, Node, ReadError};

/// The most repairs in the background at once; further ones are left to the exchanges.
pub(super) const BACKGROUND_MAX: usize = 64;

/// A replica that a repair goes to.
enum Target {
    /// This node, and in which sets it is.
    This(Sets),
    Other(Partner),
}

/// The writes of one repair, each with whether its replica lacked anything, or `None` when it may lack it still.
struct Writing<F> {
    writes: FuturesUnordered<F>,
    changed: bool,
    failed: bool,
}

impl Node {
    /// Writes what a read settled on to the replicas that lack it, and returns it once `needed` hold it durably.
    pub(super) async fn agree(
        self: &Arc<Self>,
        key: &Key,
        settled: Settled<Partner>,
        asking: &Asking<'_>,
    ) -> Result<Held, ReadError> {
        let Asking { routes, needed, deadline, .. } = *asking;
        let route = asking.route();
        let blocking = &self.metrics.repairs.blocking;
        let own = (!settled.own_lacks).then_some(route.sets);
        let mut holders: PerSet = settled.holding.iter().map(|holding| holding.sets).chain(own).collect();
        if settled.is_agreed() && enough(holders, needed) {
            blocking.count(RepairResult::NoDiff);
            return Ok(settled.held);
        }
        let this = settled.own_lacks.then_some(Target::This(route.sets));
        let mut targets: Vec<Target> = this.into_iter().collect();
        let others = self.nearest(routes, asking.id).into_iter();
        let lacks =
            |other: &Partner| !settled.holding.iter().any(|holding| holding.peer.node == other.peer.node);
        targets.extend(others.filter(lacks).map(Target::Other));
        let mut writing = self.write_repair(settled.repair(key.clone()), targets, deadline, routes);
        while !enough(holders, needed) {
            match timeout_at(deadline, writing.next()).await {
                Ok(Some(sets)) => holders.add(sets),
                Ok(None) | Err(_) => {
                    blocking.count(RepairResult::Error);
                    let (holders, needed) = holders.worst(needed);
                    return Err(ReadError::Unrepaired { holders, needed });
                }
            }
        }
        // Who failed was not needed.
        blocking.count(if writing.changed { RepairResult::Applied } else { RepairResult::NoDiff });
        if let Some(permit) = self.background_permit().filter(|_| !writing.writes.is_empty()) {
            (writing.changed, writing.failed) = (false, false);
            self.in_background(permit, async move { writing.finish().await });
        }
        Ok(settled.held)
    }

    /// Compares what a read at this node alone has shown with what the others hold, in the background and with the
    /// probability `read_repair.chance`. Reserved buckets are left alone: what measures replication must not mend it.
    pub(super) fn compare_by_chance(self: &Arc<Self>, key: &Key, held: &Held, routes: &Arc<Routes>) {
        let config = self.config.load();
        let chance = config.live.repair_chance;
        if chance <= 0.0 || key.is_reserved() || rand::random::<f64>() >= chance {
            return;
        }
        let others = self.nearest(routes, key.partition(self.partition_count()));
        let Some(permit) = self.background_permit().filter(|_| !others.is_empty()) else { return };
        let deadline = Instant::now() + config.live.consistency.timeout;
        let (node, routes) = (Arc::clone(self), Arc::clone(routes));
        let (key, reading) = (key.clone(), Reading::new(held.clone()));
        self.in_background(permit, async move {
            node.compare_all(&key, others, reading, deadline, &routes).await
        });
    }

    /// Compares with every one of `others`, and repairs those that lack something.
    async fn compare_all(
        self: &Arc<Self>,
        key: &Key,
        others: Vec<Partner>,
        reading: Reading<Partner>,
        deadline: Instant,
        routes: &Arc<Routes>,
    ) -> RepairResult {
        let partition = key.partition(self.partition_count());
        let question = Question::Compare { partition, key: key.clone(), have: reading.have() };
        let asked = others.into_iter().map(|partner| timeout_at(deadline, ask(partner, &question)));
        let asked: FuturesUnordered<_> = asked.collect();
        let answered = asked.filter_map(async |answered| {
            answered.ok().and_then(|(partner, answer)| Some((partner, answer?)))
        });
        let answers: Vec<_> = answered.collect().await;
        if answers.is_empty() {
            return RepairResult::Error;
        }
        let mut settled = self.settle(reading, answers, key);
        if settled.is_agreed() {
            return RepairResult::NoDiff;
        }
        let own = settled.own_lacks.then_some(Target::This(routes.of(partition).sets));
        let lacking = std::mem::take(&mut settled.lacking).into_iter().map(Target::Other);
        let targets = own.into_iter().chain(lacking).collect();
        self.write_repair(settled.repair(key.clone()), targets, deadline, routes).finish().await
    }

    /// Begins to write a repair to each of `targets`.
    fn write_repair(
        self: &Arc<Self>,
        repair: Repair,
        targets: Vec<Target>,
        deadline: Instant,
        routes: &Arc<Routes>,
    ) -> Writing<impl Future<Output = (Sets, Option<bool>)> + Send + use<>> {
        let partition = repair.key.partition(self.partition_count());
        let question = Arc::new(Question::Repair { partition, repair });
        let write = |target: Target| {
            let (node, question) = (Arc::clone(self), Arc::clone(&question));
            // Held until it has ended, also when no client waits for it any more.
            let routes = Arc::clone(routes);
            async move {
                let sets = target.sets();
                let written = node.write_to(target, &question, deadline).await;
                drop(routes);
                (sets, written)
            }
        };
        Writing { writes: targets.into_iter().map(write).collect(), changed: false, failed: false }
    }

    /// Writes a repair to one replica; returns when it is durable there.
    async fn write_to(&self, target: Target, question: &Question, deadline: Instant) -> Option<bool> {
        if let Target::Other(partner) = target {
            return match timeout_at(deadline, answer(&partner.peer, question)).await.ok()?? {
                Answer::Repaired { changed } => Some(changed),
                _ => None,
            };
        }
        let Question::Repair { partition, repair } = question else { return None };
        let (done, durable) = oneshot::channel();
        let mut lacked = false;
        let staged = self.repair_here(*partition, repair, |changed| {
            lacked = changed;
            Waiter::Task(done)
        });
        if let Err(error) = staged {
            tracing::debug!(%error, "own replica not repaired");
            return None;
        }
        timeout_at(deadline, durable).await.ok()?.ok().map(|()| lacked)
    }

    /// Stages a repair of this node's own replica; the waiter gets to know whether anything was lacking.
    pub(crate) fn repair_here(
        &self,
        id: PartitionId,
        repair: &Repair,
        waiter: impl FnOnce(bool) -> Waiter,
    ) -> Result<(), ChangeError> {
        let change = self.change(
            id,
            |partition, transaction| partition.repair(transaction, repair),
            |(_, changed)| waiter(*changed),
        );
        let (applied, _) = change?;
        self.observe(applied.stamp_max);
        self.metrics.traffic.taken_in(repair.key.bucket(), applied.fresh, applied.concurrent);
        Ok(())
    }

    fn background_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.repairing).try_acquire_owned().ok()
    }

    /// Runs a repair that no client waits for, and counts what came of it.
    fn in_background(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        repair: impl Future<Output = RepairResult> + Send + 'static,
    ) {
        let node = Arc::clone(self);
        let task = async move {
            let result = repair.await;
            node.metrics.repairs.background.count(result);
            drop(permit);
        };
        tokio::spawn(watched("read_repair", self.readiness.clone(), task));
    }
}

impl Target {
    /// In which sets it is.
    const fn sets(&self) -> Sets {
        match self {
            Self::This(sets) => *sets,
            Self::Other(partner) => partner.sets,
        }
    }
}

/// Whether what a read shows may be shown, when that many replicas of each set hold it.
fn enough(holders: PerSet, needed: PerSet) -> bool {
    holders.0.into_iter().zip(needed.0).all(|(holders, needed)| may_answer(holders, needed))
}

impl<F: Future<Output = (Sets, Option<bool>)>> Writing<F> {
    /// Waits for one more replica, and says in which sets it holds the repair: in neither if it failed; `None` when none
    /// is left.
    async fn next(&mut self) -> Option<Sets> {
        let (sets, written) = self.writes.next().await?;
        self.failed |= written.is_none();
        self.changed |= written == Some(true);
        Some(if written.is_some() { sets } else { Sets::NEITHER })
    }

    /// Waits for all; each has a deadline.
    async fn finish(mut self) -> RepairResult {
        while self.next().await.is_some() {}
        match (self.failed, self.changed) {
            (true, _) => RepairResult::Error,
            (false, true) => RepairResult::Applied,
            (false, false) => RepairResult::NoDiff,
        }
    }
}

#[cfg(test)]
mod tests;
