//! Only a run in which something was measured and everything converged goes well.

use super::super::state::{Canaries, Distribution, Outcomes, Peer, Reads, Traffic};
use super::*;

const CLIENTS: Totals = Totals { answered: 100, failed: 0 };

fn peer(name: &str) -> Peer {
    let none = Distribution { p50: None, p95: None, p99: None };
    Peer {
        name: name.to_owned(),
        up: Some(true),
        lag_seconds: Some(0.0),
        visibility_seconds: none,
        canaries: Outcomes { converged: 40, expired: 0, unreachable: 0 },
        reads: Reads { fresh: 40, stale: 0, missing: 0, error: 0 },
    }
}

fn state() -> State {
    State {
        peers: vec![peer("n2"), peer("n3")],
        convergence_seconds: Distribution { p50: None, p95: None, p99: None },
        traffic: Traffic { writes: 0, conflicts: 0 },
        canaries: Canaries { aborted: 0, converged: 40, incomplete: 0, under_way: 1 },
        objectives: Vec::new(),
    }
}

fn healthy(state: &State) -> String {
    problems(state, true, None, CLIENTS).join("; ")
}

#[test]
fn a_healthy_run_in_which_all_converged_goes_well() {
    assert_eq!(healthy(&state()), "");
}

#[test]
fn a_run_that_measured_nothing_does_not() {
    let mut empty = state();
    empty.canaries.converged = 0;
    assert!(healthy(&empty).contains("nothing was measured"));
    let mut alone = state();
    alone.peers.clear();
    assert!(healthy(&alone).contains("nothing was measured"));
    let idle = problems(&state(), true, None, Totals { answered: 0, failed: 9 }).join("; ");
    assert!(idle.contains("no client operation"), "{idle}");
    let mut unseen = state();
    unseen.peers[1].canaries.converged = 0;
    assert!(healthy(&unseen).contains("not one canary was seen at n3"));
}

#[test]
fn one_lost_canary_is_enough_in_a_healthy_run_and_forgiven_after_chaos() {
    let mut lossy = state();
    lossy.canaries.incomplete = 1;
    lossy.peers[0].canaries.expired = 1;
    assert!(healthy(&lossy).contains("1 canaries were not seen at n2"));
    let mut refused = state();
    refused.canaries.aborted = 2;
    assert!(healthy(&refused).contains("2 canaries were not acknowledged"));

    let mut healed = lossy.clone();
    healed.canaries.converged = 30;
    assert_eq!(problems(&lossy, true, Some(&healed), CLIENTS), Vec::<String>::new());
    let stuck = problems(&lossy, true, Some(&lossy), CLIENTS).join("; ");
    assert!(stuck.contains("nothing was measured"), "{stuck}");
}

#[test]
fn who_is_behind_is_named() {
    let mut late = state();
    late.peers[1].lag_seconds = Some(7.25);
    let text = problems(&late, false, None, CLIENTS).join("; ");
    assert!(text.contains("n3 did not catch up: its lag is 7.2 s"), "{text}");
}

#[test]
fn settled_means_that_nothing_from_before_is_owed_by_anyone() {
    let mut state = state();
    let second = Duration::from_secs(1);
    assert!(is_settled(&state, second));
    assert!(!is_settled(&state, Duration::ZERO));
    state.peers[0].lag_seconds = Some(0.2);
    assert!(is_settled(&state, second));
    assert!(!is_settled(&state, Duration::from_millis(100)));
    state.peers[0].lag_seconds = Some(0.7);
    assert!(!is_settled(&state, second));
    state.peers[0].lag_seconds = None;
    assert!(!is_settled(&state, second));
    state.peers[0] = peer("n2");
    state.peers[0].up = Some(false);
    assert!(!is_settled(&state, second));
}

#[test]
fn the_last_line_agrees_with_the_table() {
    let mut state = state();
    let said = conclusion(&state, false, 7, &[]);
    assert_eq!(said, "All 40 canaries converged (1 more under way), all replicas hold the same 7 keys.");
    state.canaries.under_way = 0;
    let said = conclusion(&state, false, 7, &[]);
    assert_eq!(said, "All 40 canaries converged, all replicas hold the same 7 keys.");
    assert!(conclusion(&state, true, 7, &[]).starts_with("Healed: "));
    assert_eq!(conclusion(&state, false, 7, &["a".to_owned(), "b".to_owned()]), "FAILED: a; b");
}
