//! What is counted of data calls; every series is resolved at the start, so that a call costs no look-up.

use std::time::Duration;

use http::StatusCode;
use settle_core::level::Level;
use settle_service::metrics::{Counter, Histogram, MetricError, Metrics};

/// What a data call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Get,
    Put,
    Delete,
    Keys,
}

/// The outcomes, as in the label.
const OUTCOMES: [&str; 7] = ["ok", "not_found", "invalid", "unavailable", "late", "full", "error"];

/// Upper bounds of a call's duration, in seconds.
const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The series of one operation at one level.
struct Calls {
    seconds: Histogram,
    outcomes: [Counter; OUTCOMES.len()],
}

/// The metrics of all data calls.
pub(super) struct CallMetrics {
    /// By operation, then level.
    calls: Vec<Vec<Calls>>,
    /// Calls turned away.
    pub(super) shed: Counter,
}

impl Op {
    const EVERY: [Self; 4] = [Self::Get, Self::Put, Self::Delete, Self::Keys];

    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Keys => "keys",
        }
    }
}

impl CallMetrics {
    pub(super) fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let shed = metrics.counters(
            "settle_shed_requests_total",
            "Requests turned away: too many in progress (concurrency).",
            ["reason"],
        )?;
        let requests = metrics.counters(
            "settle_requests_total",
            "Data calls by operation (get, put, delete, keys), level and outcome: ok, not_found, invalid (the request), \
             unavailable (too few replicas, or shed), late (deadline), full (disk) or error.",
            ["op", "level", "outcome"],
        )?;
        let seconds = metrics.histograms(
            "settle_request_duration_seconds",
            "Time from a request's headers to its reply, by operation and level.",
            BOUNDS.to_vec(),
            ["op", "level"],
        )?;
        let calls = |op: Op, level: Level| Calls {
            seconds: seconds.with([op.name(), level.name()]),
            outcomes: OUTCOMES.map(|outcome| requests.with([op.name(), level.name(), outcome])),
        };
        let of_op = |op: Op| Level::EVERY.map(|level| calls(op, level)).into();
        Ok(Self { calls: Op::EVERY.map(of_op).into(), shed: shed.with(["concurrency"]) })
    }

    /// A call ended with `status` after `took`.
    pub(super) fn ended(&self, op: Op, level: Level, status: StatusCode, took: Duration) {
        let Some(calls) = self.calls.get(op as usize).and_then(|levels| levels.get(level as usize)) else {
            return;
        };
        calls.seconds.observe(took.as_secs_f64());
        if let Some(counter) = calls.outcomes.get(outcome(status)) {
            counter.inc();
        }
    }
}

/// The index of a status among [`OUTCOMES`].
fn outcome(status: StatusCode) -> usize {
    match status.as_u16() {
        200..=399 => 0,
        404 => 1,
        400..=499 => 2,
        503 => 3,
        504 => 4,
        507 => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_under_its_own_labels() {
        let metrics = Metrics::new("test", "0", "0").unwrap();
        let calls = CallMetrics::register(&metrics).unwrap();
        for op in Op::EVERY {
            for level in Level::EVERY {
                calls.ended(op, level, StatusCode::OK, Duration::ZERO);
            }
        }
        calls.ended(Op::Put, Level::Quorum, StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(1));
        let page = String::from_utf8(metrics.render()).unwrap();
        assert_eq!(page.matches(r#"outcome="ok"} 1"#).count(), 12);
        assert!(
            page.contains(r#"settle_requests_total{level="quorum",op="put",outcome="late"} 1"#),
            "{page}"
        );
        assert!(page.contains(r#"settle_request_duration_seconds_sum{level="quorum",op="put"} 1"#), "{page}");
    }
}
