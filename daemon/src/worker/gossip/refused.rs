//! Datagrams that are dropped: counted, and logged at most once in a while, since anybody can send them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::packet::Unusable;

/// The shortest time between two warnings of one kind.
const QUIET: Duration = Duration::from_secs(60);

/// What was dropped since the start.
#[derive(Debug, Default)]
pub(super) struct Refused {
    malformed: Tally,
    version: Tally,
    cluster: Tally,
    room: Tally,
    unreachable: Tally,
}

/// One kind of dropped datagrams.
#[derive(Debug, Default)]
struct Tally {
    total: u64,
    warned_at: Option<Instant>,
}

// === impl Refused ===

impl Refused {
    /// Counts a datagram that could not be read.
    pub(super) fn count(&mut self, reason: Unusable, from: SocketAddr) {
        match reason {
            Unusable::Malformed => {
                if let Some(total) = self.malformed.add() {
                    tracing::warn!(%from, total, "dropped malformed datagrams; does another program use this port?");
                }
            }
            Unusable::Version(version) => {
                if let Some(total) = self.version.add() {
                    tracing::warn!(%from, version, total, "dropped datagrams of another gossip version");
                }
            }
            Unusable::Cluster => {
                if let Some(total) = self.cluster.add() {
                    tracing::warn!(%from, total, "dropped datagrams of another cluster; check cluster.name and seeds");
                }
            }
        }
    }

    /// Counts a datagram that names more nodes than can be remembered.
    pub(super) fn no_room(&mut self, nodes: usize) {
        if let Some(total) = self.room.add() {
            tracing::warn!(nodes, total, "dropped datagrams that name more nodes than can be remembered");
        }
    }

    /// Counts a call from another machine while others are told an address of this machine only.
    pub(super) fn unreachable(&mut self, told: SocketAddr, from: SocketAddr) {
        if let Some(total) = self.unreachable.add() {
            tracing::warn!(%from, %told, total, "a node on another machine cannot join: set advertise.peer");
        }
    }
}

// === impl Tally ===

impl Tally {
    /// Counts one more; gives the total when it is time to warn.
    fn add(&mut self) -> Option<u64> {
        self.total += 1;
        let is_due = self.warned_at.is_none_or(|at| at.elapsed() >= QUIET);
        if is_due {
            self.warned_at = Some(Instant::now());
        }
        is_due.then_some(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn warns_once_in_a_while() {
        let mut tally = Tally::default();
        assert_eq!((tally.add(), tally.add(), tally.add()), (Some(1), None, None));
        tokio::time::advance(QUIET).await;
        assert_eq!((tally.add(), tally.add()), (Some(4), None));
    }
}
