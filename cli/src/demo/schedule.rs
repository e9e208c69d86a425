//! What `--chaos` does and when: a sequence that follows from its seed alone.

use std::time::Duration;

use crate::random::Random;

/// What happens to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// SIGSTOP, later SIGCONT: the process hangs, its connections stay.
    Stop,
    /// SIGKILL, later a restart: whatever was not durable is lost.
    Kill,
    /// SIGTERM, later a restart: it may say goodbye.
    Terminate,
}

/// One disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// From the end of the last one until this begins.
    pub(super) quiet: Duration,
    /// Index of the replica.
    pub(super) node: usize,
    pub(super) action: Action,
    /// Until the replica is resumed or restarted.
    pub(super) lasts: Duration,
}

/// The endless sequence of steps. One replica at a time: of three or more, a majority always runs.
#[derive(Debug)]
pub(super) struct Schedule {
    random: Random,
    nodes: u32,
    begun: bool,
}

impl Schedule {
    /// For at least two replicas.
    pub(super) fn new(seed: u64, nodes: u8) -> Self {
        Self { random: Random(seed), nodes: u32::from(nodes), begun: false }
    }

    /// The first step stops a peer soon, and for long enough to breach the threshold of the lag: a
    /// short run, too, shows what there is to see.
    fn first(&mut self) -> Step {
        let peer = 1 + self.random.below(self.nodes.saturating_sub(1));
        let (quiet, lasts) = (Duration::from_secs(3), self.milliseconds(6_000, 7_000));
        Step { quiet, node: peer as usize, action: Action::Stop, lasts }
    }

    fn milliseconds(&mut self, from: u32, to: u32) -> Duration {
        Duration::from_millis(u64::from(from + self.random.below(to.saturating_sub(from))))
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if !std::mem::replace(&mut self.begun, true) {
            return Some(self.first());
        }
        let quiet = self.milliseconds(5_000, 9_000);
        let node = self.random.below(self.nodes) as usize;
        let (action, lasts) = match self.random.below(3) {
            0 => (Action::Stop, self.milliseconds(4_000, 9_000)),
            1 => (Action::Kill, self.milliseconds(500, 4_000)),
            _ => (Action::Terminate, self.milliseconds(500, 4_000)),
        };
        Some(Step { quiet, node, action, lasts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(seed: u64, nodes: u8) -> Vec<Step> {
        Schedule::new(seed, nodes).take(100).collect()
    }

    #[test]
    fn the_seed_decides_everything() {
        assert_eq!(steps(7, 3), steps(7, 3));
        assert_ne!(steps(7, 3), steps(8, 3));
    }

    #[test]
    fn the_first_step_stops_a_peer_beyond_the_threshold_of_the_lag() {
        for seed in 0..200 {
            let first = steps(seed, 3)[0];
            assert_eq!(first.action, Action::Stop);
            assert!(first.node == 1 || first.node == 2, "{first:?}");
            assert!(first.lasts > Duration::from_secs(5), "{first:?}");
        }
    }

    #[test]
    fn every_action_meets_every_replica_also_the_sidecars() {
        let steps = steps(1, 3);
        for node in 0..3 {
            for action in [Action::Stop, Action::Kill, Action::Terminate] {
                assert!(steps.iter().any(|step| step.node == node && step.action == action));
            }
        }
        assert!(steps.iter().all(|step| step.node < 3 && step.quiet >= Duration::from_secs(3)));
    }
}
