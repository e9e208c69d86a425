//! Which replica is asked first: the nearest that is fresh enough.

use std::time::Duration;

use settle_core::key::PartitionId;

use crate::clock;
use crate::peer::Peer;

use super::Node;
use super::route::{Partner, Routes};

/// So many echoes may be due before a peer that has not answered them is asked last. It counts as down much later
/// ([`Node::silence_max`]), and until then every read that asked it first would wait for a hedge.
const ECHOES_DUE_MAX: u32 = 3;

/// What a replica that is far behind is put back by, besides twice its round trip: within a datacenter any fresh one is
/// asked before it, and one on another continent is not.
const BEHIND: Duration = Duration::from_millis(1);

/// What a silent peer, and one of unknown distance, is put back by.
const SILENT: Duration = Duration::from_secs(1);

impl Node {
    /// The other replicas of a partition in which levels must be met and that answer at present, in the order in which to
    /// ask them.
    pub(crate) fn nearest(&self, routes: &Routes, id: PartitionId) -> Vec<Partner> {
        let now = clock::now();
        let echoes_due = self.config.load().live.echo_interval * ECHOES_DUE_MAX;
        let silence_max = self.silence_max();
        let partition = self.partition(id);
        let distance = |peer: &Peer| {
            let round_trip = peer.round_trip().unwrap_or(SILENT);
            let behind = partition.as_ref().is_some_and(|partition| partition.is_far_behind(peer.node));
            distance(round_trip, behind, !peer.is_up(now, echoes_due + round_trip))
        };
        let partners = routes.of(id).partners.iter();
        let up = partners.filter(|partner| !partner.sets.is_empty() && partner.peer.is_up(now, silence_max));
        let mut up: Vec<(Duration, Partner)> =
            up.map(|partner| (distance(&partner.peer), partner.clone())).collect();
        up.sort_by_key(|(distance, _)| *distance);
        up.into_iter().map(|(_, partner)| partner).collect()
    }
}

/// What peers are ordered by.
fn distance(round_trip: Duration, behind: bool, silent: bool) -> Duration {
    let put_back = if behind { round_trip + BEHIND } else { Duration::ZERO };
    round_trip + put_back + if silent { SILENT } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_replica_comes_first_if_it_is_about_as_near() {
        let (near, next_door, far) =
            (Duration::from_micros(200), Duration::from_micros(900), Duration::from_millis(80));
        assert!(distance(next_door, false, false) < distance(near, true, false));
        assert!(distance(near, true, false) < distance(far, false, false));
        assert!(distance(far, false, false) < distance(near, false, true));
    }
}
