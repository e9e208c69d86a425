//! How much of the data each node should hold: in proportion to its weight, as far as zones allow.
//!
//! Let a datacenter have *r* replicas of each partition.
//!
//! - With *r* zones or more, no zone holds a partition twice. The replicas are divided among zones by weight, but no
//!   zone gets more than one per partition; what is cut off there goes to the other zones.
//! - With fewer zones, each zone holds every partition at least once, whatever it weighs, and no node holds one
//!   twice. Zones too light for that are raised to it; the others share the rest by weight of their nodes.
//!
//! In both cases a zone has one rate of partitions per weight, and a node's share is its weight times that rate, cut
//! off at all partitions. Rates are exact fractions: every machine must round them the same way.

use super::exchange::Bounds;

/// A node in the division: its zone, by index, and its weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) zone: usize,
    pub(super) weight: u32,
}

/// So many partitions for so much weight.
#[derive(Debug, Clone, Copy)]
struct Rate {
    partitions: u128,
    weight: u128,
}

/// The weights of a zone's nodes.
type Zone = Vec<u128>;

/// Each node's share of `replicas` replicas of `partitions` partitions, rounded down and up. There must be at least
/// `replicas` nodes, and zones are numbered without gaps.
pub(super) fn bounds(claims: &[Claim], replicas: usize, partitions: usize) -> Vec<Bounds> {
    let count = claims.iter().map(|claim| claim.zone + 1).max().unwrap_or_default();
    let mut zones: Vec<Zone> = vec![Vec::new(); count];
    for claim in claims {
        if let Some(zone) = zones.get_mut(claim.zone) {
            zone.push(u128::from(claim.weight));
        }
    }
    let all = partitions as u128;
    let rates =
        if replicas <= count { lowered(&zones, replicas, all) } else { raised(&zones, replicas, all) };
    let bounds = |claim: &Claim| {
        let rate = rates.get(claim.zone).copied().unwrap_or(Rate { partitions: 0, weight: 1 });
        let share = rate.partitions * u128::from(claim.weight);
        let cut = |share| usize::try_from(share).unwrap_or(partitions).min(partitions);
        Bounds { least: cut(share / rate.weight), most: cut(share.div_ceil(rate.weight)) }
    };
    claims.iter().map(bounds).collect()
}

/// The rates where no zone may hold more than all partitions.
fn lowered(zones: &[Zone], replicas: usize, all: u128) -> Vec<Rate> {
    let rate = Rate::level(zones.iter().map(|zone| zone.iter().sum()).collect(), replicas as u128 * all, all);
    let lowered =
        |zone: &Zone| if rate.of(zone) > rate.scaled(all) { Rate::exactly(all, zone) } else { rate };
    zones.iter().map(lowered).collect()
}

/// The rates where no zone may hold less than all partitions. A zone that is raised leaves less to the others, so
/// that one of them may now be too light, but never one less: the loop ends after as many rounds as zones at most.
fn raised(zones: &[Zone], replicas: usize, all: u128) -> Vec<Rate> {
    let mut raised = vec![false; zones.len()];
    loop {
        let open = zones.iter().zip(&raised).filter(|(_, raised)| !**raised).map(|(zone, _)| zone);
        let left = (replicas - raised.iter().filter(|raised| **raised).count()) as u128;
        let rate = Rate::level(open.flatten().copied().collect(), left * all, all);
        let light = |zone: &Zone| rate.of(zone) < rate.scaled(all);
        let now: Vec<bool> = zones.iter().zip(&raised).map(|(zone, raised)| *raised || light(zone)).collect();
        if now == raised {
            let rate = |(zone, raised): (&Zone, &bool)| if *raised { Rate::exactly(all, zone) } else { rate };
            return zones.iter().zip(&raised).map(rate).collect();
        }
        raised = now;
    }
}

impl Rate {
    /// The rate at which `weights`, none getting more than `most`, get `total` together. There must be enough of
    /// them.
    fn level(mut weights: Vec<u128>, total: u128, most: u128) -> Self {
        weights.sort_unstable();
        let mut rate = Self { partitions: total, weight: weights.iter().sum() };
        // The heaviest is cut off first; what it leaves raises the rate, so that it stays cut off.
        while let Some(heaviest) = weights.pop() {
            if heaviest * rate.partitions < most * rate.weight {
                break;
            }
            if weights.is_empty() {
                return Self { partitions: most, weight: heaviest };
            }
            rate = Self { partitions: rate.partitions - most, weight: rate.weight - heaviest };
        }
        rate
    }

    /// The rate at which a zone gets `total`.
    fn exactly(total: u128, zone: &Zone) -> Self {
        Self { partitions: total, weight: zone.iter().sum() }
    }

    /// What `zone` gets, to be compared with [`Rate::scaled`] amounts.
    fn of(self, zone: &Zone) -> u128 {
        self.partitions * zone.iter().sum::<u128>()
    }

    /// `amount` in the unit of [`Rate::of`].
    const fn scaled(self, amount: u128) -> u128 {
        amount * self.weight
    }
}
