//! Finding members by address: says hello to the seeds, often while alone and now and then for ever.
//!
//! foca does not repeat an announcement that got lost, and seeds may start later than this node; so this never stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::timeout;

use super::identity::Id;
use super::packet::{ClusterHash, Kind, sealed_id};
use super::{Identity, Seen, State, Tuning};

/// How long a name may take to be resolved, and a datagram to leave.
const STEP_MAX: Duration = Duration::from_secs(2);

/// How many addresses of one name are tried; a name may stand for a whole cluster.
const ADDRESSES_MAX: usize = 16;

/// A seed and whether it could be resolved when last tried.
struct Seed {
    host_port: String,
    is_known: bool,
}

/// Runs until it is dropped.
pub(super) async fn seek(
    socket: Arc<UdpSocket>,
    identity: Identity,
    seeds: Vec<String>,
    tuning: Tuning,
    seen: watch::Receiver<Arc<Vec<Seen>>>,
) {
    let mut seeds: Vec<Seed> =
        seeds.into_iter().map(|host_port| Seed { host_port, is_known: true }).collect();
    let cluster = ClusterHash::of(&identity.cluster);
    let hello = sealed_id(cluster, Kind::Hello, &Id::first(&identity)).unwrap_or_default();
    loop {
        for seed in &mut seeds {
            for address in seed.resolve().await {
                if address != identity.peer {
                    // A datagram that does not leave is like one that is lost: the next round repeats it.
                    let _lost = timeout(STEP_MAX, socket.send_to(&hello, address)).await;
                }
            }
        }
        let alone = seen.borrow().iter().all(|member| member.state == State::Dead);
        tokio::time::sleep(if alone { tuning.seek_alone } else { tuning.seek }).await;
    }
}

// === impl Seed ===

impl Seed {
    /// Its addresses now; an unknown name is logged once until it becomes known.
    async fn resolve(&mut self) -> Vec<SocketAddr> {
        let found = match timeout(STEP_MAX, tokio::net::lookup_host(&self.host_port)).await {
            Ok(Ok(found)) => Ok(found.take(ADDRESSES_MAX).collect::<Vec<_>>()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        if let Err(error) = &found
            && self.is_known
        {
            tracing::warn!(seed = self.host_port, error, "a seed cannot be resolved; trying again and again");
        }
        self.is_known = found.is_ok();
        found.unwrap_or_default()
    }
}
