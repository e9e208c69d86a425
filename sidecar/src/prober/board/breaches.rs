//! Which thresholds are breached, from one look to the next: the beginning and the end of each breach are logged, and
//! nothing in between.

use std::collections::BTreeMap;
use std::time::Instant;

use super::State;
use crate::config::{Config, Objective};

/// What is breached: an objective and, where each peer is judged on its own, the peer.
type Subject = (Objective, Option<String>);

/// The breaches that have begun and not ended, and since when.
#[derive(Debug, Default)]
pub(crate) struct Breaches(BTreeMap<Subject, Instant>);

/// One subject at one moment.
#[derive(Debug, Clone, PartialEq)]
struct Standing {
    subject: Subject,
    /// Nothing while it is unknown.
    value: Option<f64>,
    breached: bool,
}

/// What is to be said of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Began,
    Ended { since: Instant },
}

// === impl State ===

impl State {
    /// Logs the breaches that began or ended since the last look.
    pub(super) fn note_breaches(&mut self, now: Instant, config: &Config) {
        let standings = self.standings(now, config);
        for (standing, change) in self.breaches.look(standings, now) {
            let (objective, peer) = &standing.subject;
            let (name, unit, threshold) =
                (objective.name(), objective.unit(), config.thresholds.of(*objective));
            let (value, peer) = (standing.value, peer.as_deref());
            match change {
                Change::Began => {
                    tracing::warn!(objective = name, peer, value, threshold, unit, "threshold breached");
                }
                Change::Ended { since } => {
                    let lasted = now.saturating_duration_since(since).as_secs_f64();
                    tracing::info!(
                        objective = name,
                        peer,
                        value,
                        threshold,
                        unit,
                        lasted_seconds = lasted,
                        "breach ended"
                    );
                }
            }
        }
    }

    /// Every objective that is measured; lag peer by peer.
    fn standings(&mut self, now: Instant, config: &Config) -> Vec<Standing> {
        let threshold = config.thresholds.of(Objective::ReplicationLag);
        let mut standings: Vec<Standing> = Vec::new();
        for (name, peer) in &self.peers {
            let value = peer.ledger.lag(now).map(|lag| lag.as_secs_f64());
            let subject = (Objective::ReplicationLag, Some(name.clone()));
            standings.push(Standing { subject, value, breached: value.is_some_and(|lag| lag > threshold) });
        }
        for objective in Objective::ALL.into_iter().filter(|one| *one != Objective::ReplicationLag) {
            let judged = self.judge(objective, now, config);
            let breached = judged.breached == Some(true);
            standings.push(Standing { subject: (objective, None), value: judged.value, breached });
        }
        standings
    }
}

// === impl Breaches ===

impl Breaches {
    /// What changed. A peer that is not judged any more has left, and so has its breach.
    fn look(&mut self, standings: Vec<Standing>, now: Instant) -> Vec<(Standing, Change)> {
        let mut lasting = BTreeMap::new();
        let mut changes = Vec::new();
        for standing in standings {
            match (self.0.remove(&standing.subject), standing.breached) {
                (Some(since), true) => {
                    lasting.insert(standing.subject, since);
                }
                (None, true) => {
                    lasting.insert(standing.subject.clone(), now);
                    changes.push((standing, Change::Began));
                }
                (Some(since), false) => changes.push((standing, Change::Ended { since })),
                (None, false) => {}
            }
        }
        self.0 = lasting;
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_breach_has_one_beginning_and_one_end() {
        let (mut breaches, start) = (Breaches::default(), Instant::now());
        let mut look = |seconds: u64, breached: &[(&str, bool)]| {
            let standing = |(peer, breached): &(&str, bool)| Standing {
                subject: (Objective::ReplicationLag, Some((*peer).to_owned())),
                value: None,
                breached: *breached,
            };
            let standings = breached.iter().map(standing).collect();
            let changes = breaches.look(standings, start + Duration::from_secs(seconds)).into_iter();
            let peer = |standing: Standing| standing.subject.1.unwrap_or_default();
            changes.map(|(standing, change)| (peer(standing), change)).collect::<Vec<_>>()
        };
        let ended = |seconds| Change::Ended { since: start + Duration::from_secs(seconds) };
        assert_eq!(look(0, &[("a", false), ("b", false)]), []);
        assert_eq!(look(1, &[("a", true), ("b", false)]), [("a".to_owned(), Change::Began)]);
        assert_eq!(look(2, &[("a", true), ("b", true)]), [("b".to_owned(), Change::Began)]);
        assert_eq!(look(3, &[("a", false), ("b", true)]), [("a".to_owned(), ended(1))]);
        assert_eq!(look(4, &[("a", false)]), [], "b has left");
        assert_eq!(look(5, &[("a", true), ("b", true)]).len(), 2, "both begin anew");
    }
}
