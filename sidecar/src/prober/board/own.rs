//! What was last heard from the own replica. While it is silent or refuses, nothing new is measured, and
//! a page of zeros must not look like health.

use std::time::Instant;

use serde::Serialize;

use super::{Board, State};
use crate::clock;
use crate::target::{Symptom, TargetError};

/// The own replica's listeners that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Where members and counters are read: `target.admin`.
    Admin,
    /// Where canaries are written, as the replica advertises it.
    Api,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Own {
    admin: Heard,
    api: Heard,
    /// Whether it is up, and since when that is so; nothing before it was asked.
    up: Option<(bool, Instant)>,
}

/// What the last call to one listener brought.
#[derive(Debug, Default)]
enum Heard {
    /// There was none yet.
    #[default]
    Nothing,
    Answer,
    Trouble {
        error: String,
        advice: &'static str,
    },
}

/// The own replica in the state.
#[derive(Debug, Serialize)]
pub(crate) struct TargetState {
    /// `target.admin`.
    pub(crate) admin: String,
    /// Where canaries are written; nothing until the replica has said it.
    pub(crate) api: Option<String>,
    /// Whether it answered the last question and acknowledged the last canary.
    pub(crate) up: Option<bool>,
    /// How long `up` has been so.
    pub(crate) for_seconds: Option<f64>,
    /// What is wrong, in words.
    pub(crate) last_error: Option<String>,
    /// What to do about it.
    pub(crate) advice: Option<&'static str>,
}

// === impl Board ===

impl Board {
    /// A call to the own replica ended, with or without an error.
    pub(crate) fn heard(&self, listener: Listener, error: Option<&TargetError>) {
        self.locked().own.hear(listener, error, clock::now());
    }
}

// === impl State ===

impl State {
    pub(super) fn target(&self, admin: String, now: Instant) -> TargetState {
        let trouble = [&self.own.admin, &self.own.api].into_iter().find_map(|heard| match heard {
            Heard::Trouble { error, advice } => Some((error.clone(), *advice)),
            Heard::Nothing | Heard::Answer => None,
        });
        let (last_error, advice) = trouble.unzip();
        let since = |(_, since)| now.saturating_duration_since(since).as_secs_f64();
        TargetState {
            admin,
            api: self.layout.as_ref().map(|layout| layout.own.api.to_string()),
            up: self.own.up(),
            for_seconds: self.own.up.map(since),
            last_error,
            advice,
        }
    }
}

// === impl Own ===

impl Own {
    /// Nothing before the first call.
    pub(super) fn up(&self) -> Option<bool> {
        self.up.map(|(up, _)| up)
    }

    fn hear(&mut self, listener: Listener, error: Option<&TargetError>, now: Instant) {
        let heard = match error {
            None => Heard::Answer,
            Some(error) => Heard::Trouble {
                error: format!("own replica {}: {error}", error.symptom()),
                advice: listener.advice(error.symptom()),
            },
        };
        match listener {
            Listener::Admin => self.admin = heard,
            Listener::Api => self.api = heard,
        }
        let up = ![&self.admin, &self.api].iter().any(|heard| matches!(heard, Heard::Trouble { .. }));
        if self.up() != Some(up) {
            self.up = Some((up, now));
        }
    }
}

// === impl Listener ===

impl Listener {
    /// What to do about this symptom, for whoever runs the two.
    pub(crate) fn advice(self, symptom: Symptom) -> &'static str {
        match (self, symptom) {
            (Self::Admin, Symptom::Silence) => {
                "Start it, or set target.admin to its admin address (its listen.admin, port 7402 by default)."
            }
            (Self::Admin, Symptom::WrongListener) => {
                "Set target.admin to its admin address (its listen.admin, port 7402 by default)."
            }
            (Self::Admin, Symptom::Refusal) => "Ask it why: GET /readyz at target.admin.",
            (Self::Admin, Symptom::Nonsense) => {
                "Check that target.admin is the admin address (listen.admin, port 7402 by default) of a \
                 settled that is as new as this sidecar."
            }
            (Self::Api, Symptom::Refusal) => {
                "No canary can be written. Ask it why: GET /readyz at target.admin."
            }
            (Self::Api, Symptom::Silence | Symptom::Nonsense | Symptom::WrongListener) => {
                "No canary can be written. Check that it takes clients, and that this sidecar can reach it \
                 at the address that it advertises for them (its advertise.api)."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use settle_service::metrics::Metrics;
    use settle_service::reload::Live;

    use super::*;
    use crate::config::Config;
    use crate::metrics::ProbeMetrics;

    #[test]
    fn the_gauge_is_unknown_before_the_first_call() {
        let config = Config::load_with(None, std::iter::empty()).unwrap();
        let registry = Metrics::new("test", "0", "0").unwrap();
        let metrics = ProbeMetrics::register(&registry, &config).unwrap();
        let board = Board::new(Live::new(config), metrics);
        let gauge = || {
            board.refresh();
            board.metrics.target_up.get()
        };
        assert!(gauge().is_nan());
        board.heard(Listener::Admin, None);
        assert_eq!(gauge(), 1.0);
        let error = TargetError::Nonsense { base: "h:1".parse().unwrap(), problem: "it raves" };
        board.heard(Listener::Api, Some(&error));
        assert_eq!(gauge(), 0.0);
        let said = board.snapshot().target.last_error.unwrap();
        assert_eq!(said, "own replica gives an answer that is not understood: http://h:1: it raves");
    }

    #[test]
    fn one_listener_in_trouble_is_enough_and_the_first_of_its_moments_counts() {
        let (mut own, start) = (Own::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let error = TargetError::Nonsense { base: "h:1".parse().unwrap(), problem: "it raves" };
        assert_eq!(own.up, None);
        own.hear(Listener::Admin, None, at(1));
        own.hear(Listener::Admin, None, at(2));
        assert_eq!(own.up, Some((true, at(1))));
        own.hear(Listener::Api, Some(&error), at(3));
        own.hear(Listener::Admin, None, at(4));
        own.hear(Listener::Api, Some(&error), at(5));
        assert_eq!(own.up, Some((false, at(3))));
        own.hear(Listener::Admin, Some(&error), at(6));
        own.hear(Listener::Api, None, at(7));
        assert_eq!(own.up, Some((false, at(3))));
        own.hear(Listener::Admin, None, at(8));
        assert_eq!(own.up, Some((true, at(8))));
    }
}
