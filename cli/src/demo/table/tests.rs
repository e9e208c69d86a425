//! The table of a cluster with one healthy peer and one that is behind.

use serde_json::{Value, json};

use super::*;

fn peer(name: &str, lag: f64, up: bool, p50: Option<f64>, stale: u64) -> Value {
    json!({
        "name": name, "api": "http://127.0.0.1:1", "up": up, "last_error": null, "lag_seconds": lag,
        "visibility_seconds": {"count": 9, "p50": p50, "p95": 0.0123, "p99": 1.5},
        "resolution_seconds": {"count": 0, "p50": null, "p95": null, "p99": null},
        "stale_read_ratio": null,
        "canaries": {"converged": 40, "expired": stale, "unreachable": 1, "aborted": 0},
        "reads": {"fresh": 38, "stale": stale, "missing": 1, "error": 4},
    })
}

fn state() -> State {
    let document = json!({
        "cluster": "demo", "own": "n1", "uptime_seconds": 12.0,
        "peers": [peer("n2", 0.0, true, Some(0.0021), 0),
                  peer("n3", 6.25, false, None, 2)],
        "convergence_seconds": {"count": 9, "p50": 0.004, "p95": 0.02, "p99": null},
        "stale_read_ratio": 0.1, "conflict_ratio": 0.01,
        "traffic": {"writes": 800, "conflicts": 8},
        "canary_keys": 64.0,
        "canaries": {"written": 48, "acknowledged": 45, "aborted": 3, "converged": 40,
                     "incomplete": 2, "under_way": 3},
        "objectives": [
            {"name": "replication_lag", "unit": "seconds", "threshold": 5.0, "value": 6.25,
             "samples": 10, "breached": true},
            {"name": "stale_read_rate", "unit": "ratio", "threshold": 0.1, "value": 0.125,
             "samples": 40, "breached": true},
            {"name": "clock_offset", "unit": "seconds", "threshold": 0.25, "value": null,
             "samples": 0, "breached": null}],
        "regressions": 0,
    });
    serde_json::from_value(document).unwrap()
}

fn view(state: &State) -> View<'_> {
    View {
        elapsed: Duration::from_millis(12_900),
        duration: Some(Duration::from_secs(20)),
        state,
        clients: Clients { rate: 198.4, errors: 7 },
    }
}

#[test]
fn rows_are_aligned_and_the_late_peer_stands_out() {
    let state = state();
    let lines = view(&state).table();
    let text: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        text[1..4],
        [
            "peer         lag   visibility p50       p95       p99    stale reads  errors",
            "n2             0           2.1 ms     12 ms     1.5 s        1 of 39       4",
            "n3         6.2 s                -     12 ms     1.5 s        3 of 41       4   no answer",
        ]
    );
    let styles: Vec<Style> = lines[1..4].iter().map(|line| line.style).collect();
    assert_eq!(styles, [Style::Heading, Style::Plain, Style::Alarm]);
}

#[test]
fn totals_and_breaches_are_below() {
    let state = state();
    let lines = view(&state).table();
    let rest: Vec<&str> = lines[5..].iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        rest,
        [
            "convergence  p50 4.0 ms   p95 20 ms   p99 -",
            "canaries     40 converged, 4 expired, 3 refused, 3 under way",
            "conflicts    8 in 800 writes of the last minute",
            "breached     replication_lag 6.2 s (threshold 5.0 s), stale_read_rate 12.5 % (threshold 10.0 %)",
            "clients      198 ops/s, 7 errors",
            "time         12 s of 20 s",
        ]
    );
}

#[test]
fn one_line_says_the_same_where_nothing_is_redrawn() {
    let mut state = state();
    let line = view(&state).line();
    assert!(line.starts_with("  12s | n2 lag 0 visibility p99 1.5 s | n3 lag 6.2 s"), "{line}");
    assert!(line.contains("198 ops/s, 7 errors | BREACHED replication_lag 6.2 s"), "{line}");
    state.objectives.clear();
    assert!(!view(&state).line().contains("BREACHED"));
}

#[test]
fn the_largest_lag_is_unknown_while_one_is() {
    let mut state = state();
    assert_eq!(state.worst_lag(), Some(6.25));
    state.peers[0].lag_seconds = None;
    assert_eq!(state.worst_lag(), None);
}
