//! Opening the data directory, and the node on it.

use std::sync::Arc;

use settle_core::dot::Origin;
use settle_core::roster::Member;
use settle_core::segment::Segments;
use settle_core::storage::StorageError;
use settle_service::admin::Readiness;
use settle_service::metrics::Metrics;
use settle_service::reload::Live;
use settle_service::shutdown::Shutdown;
use settle_store::{Committed, Committer, DataDir, Engine, Expected, Identity, Start};
use tokio::sync::mpsc;

use crate::clock;
use crate::config::Config;
use crate::metrics::NodeMetrics;
use crate::node::commit::Staged;
use crate::node::layout::stored_layout;
use crate::node::members::stored_roster;
use crate::node::{Node, Parts, entry_cache_bytes, part};

use super::{COMMITS, RunError};

/// Bytes of changes that may wait for the disk.
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Opens the data directory, for a new epoch.
pub(crate) fn open_data(config: &Config) -> Result<(Engine, Identity), RunError> {
    let boot = &config.boot;
    let expected = Expected {
        name: boot.node.name.clone(),
        cluster: boot.cluster.name.clone(),
        partitions: boot.cluster.partitions,
    };
    let start =
        Start { wall_ms: clock::wall_ms(), random_node: rand::random(), random_epoch: rand::random() };
    let blocks = boot.cache_bytes - entry_cache_bytes(boot.cache_bytes);
    Ok(DataDir::open(&boot.node.data_dir, &expected, start, blocks)?)
}

/// Recovers the node from its data; what becomes durable is handed to `groups`.
pub(crate) fn open_node(
    config: &Live<Config>,
    metrics: &Metrics,
    engine: Engine,
    identity: &Identity,
    readiness: Readiness,
    groups: mpsc::Sender<Committed<Staged>>,
    shutdown: &Shutdown,
) -> Result<Arc<Node>, RunError> {
    let engine = Arc::new(engine);
    let loaded = config.get();
    let own = Member { node: identity.node_id, name: identity.name.clone() };
    let storage = |source| RunError::Storage { path: loaded.boot.node.data_dir.clone(), source };
    let roster = stored_roster(&*engine, loaded.boot.cluster.expect, own).map_err(storage)?;
    let layout = stored_layout(&*engine).map_err(storage)?;
    let node_metrics = NodeMetrics::register(metrics, &loaded.boot.buckets)?;
    let errors = node_metrics.storage.errors.clone();
    let (failed, stop) = (readiness.clone(), shutdown.clone());
    let on_failure = move |error: StorageError| {
        // What was staged and not written ends this epoch: only a restart can go on, with a new one.
        tracing::error!(%error, "changes cannot be written; stopping");
        errors.inc();
        failed.fail(part::STORAGE, error.to_string());
        stop.trigger();
    };
    let (lost, end) = (readiness.clone(), shutdown.clone());
    let on_commit = move |group| {
        if groups.blocking_send(group).is_err() {
            // Nobody would ever be told that a write is durable.
            lost.fail(COMMITS, "commits cannot be reported");
            end.trigger();
        }
    };
    let durability = loaded.live.durability;
    let (segments, logged) = Segments::recover(&*engine).map_err(storage)?;
    let kept = segments.kept();
    let steady = clock::Steady::new();
    let seconds = move || steady.seconds();
    let disk = Arc::clone(&engine);
    let committer =
        Committer::start(disk, segments, seconds, durability, QUEUE_BYTES_MAX, on_commit, on_failure)?;
    let origin = Origin { node: identity.node_id, epoch: identity.epoch };
    let parts = Parts {
        config: config.clone(),
        origin,
        readiness,
        metrics: node_metrics,
        engine,
        committer,
        steady,
        roster,
        layout,
        logged,
        kept,
    };
    Ok(Arc::new(Node::open(parts).map_err(storage)?))
}
