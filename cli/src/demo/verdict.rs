//! How it went: what must be true at the end, and what is wrong when it is not.

use std::time::Duration;

use super::state::State;
use super::traffic::Totals;

/// A lag below this is that of a canary on its way.
const LAG_SETTLED: f64 = 0.5;

/// Whether the peers have shown every canary acknowledged more than `since` ago, and lag no longer.
///
/// Current lag is the age of the oldest canary owed: below `since`, none of those is owed.
pub(super) fn is_settled(state: &State, since: Duration) -> bool {
    let up = state.peers.iter().all(|peer| peer.up == Some(true));
    up && state.worst_lag().is_some_and(|lag| lag < LAG_SETTLED.min(since.as_secs_f64()))
}

/// What is wrong with the end of a run; nothing when it went well.
///
/// `healed` is the state when the last disturbance was over, for a run that had any: what happened
/// before is forgiven, and what happened since must include canaries.
pub(super) fn problems(end: &State, settled: bool, healed: Option<&State>, clients: Totals) -> Vec<String> {
    let mut problems = Vec::new();
    if clients.answered == 0 {
        problems.push("no client operation was answered".to_owned());
    }
    if !settled {
        problems.extend(late(end));
    }
    let before = healed.map_or(0, |state| state.canaries.converged);
    if end.peers.is_empty() || end.canaries.converged <= before {
        problems.push("no canary converged: nothing was measured".to_owned());
    }
    if healed.is_none() {
        problems.extend(unconverged(end));
    }
    problems
}

/// The last line of a demo. Its numbers are those of the table above it: the sidecar goes on writing canaries, so that
/// one may be under way at any moment.
pub(super) fn conclusion(end: &State, healed: bool, compared: usize, problems: &[String]) -> String {
    let (converged, under_way) = (end.canaries.converged, end.canaries.under_way);
    let more = if under_way > 0 { format!(" ({under_way} more under way)") } else { String::new() };
    match (problems.is_empty(), healed) {
        (true, false) => {
            format!("All {converged} canaries converged{more}, all replicas hold the same {compared} keys.")
        }
        (true, true) => format!("Healed: no replica lags, all hold the same {compared} keys."),
        (false, _) => format!("FAILED: {}", problems.join("; ")),
    }
}

/// Peers that are behind.
fn late(end: &State) -> Vec<String> {
    let late = end.peers.iter().map(|peer| {
        let lag = peer.lag_seconds.map_or_else(|| "unknown".to_owned(), |lag| format!("{lag:.1} s"));
        (peer.lag_seconds.is_none_or(|lag| lag >= LAG_SETTLED) || peer.up != Some(true), &peer.name, lag)
    });
    let late: Vec<String> = late
        .filter(|(late, ..)| *late)
        .map(|(_, name, lag)| format!("{name} did not catch up: its lag is {lag}"))
        .collect();
    if late.is_empty() { vec!["the lag did not come to rest".to_owned()] } else { late }
}

/// Canaries that a healthy run does not have.
fn unconverged(end: &State) -> Vec<String> {
    let mut problems = Vec::new();
    if end.canaries.aborted > 0 {
        problems.push(format!("{} canaries were not acknowledged", end.canaries.aborted));
    }
    if end.canaries.incomplete > 0 {
        problems.push(format!("{} canaries did not reach every peer in time", end.canaries.incomplete));
    }
    for peer in &end.peers {
        let lost = peer.canaries.expired + peer.canaries.unreachable;
        if lost > 0 {
            problems.push(format!("{lost} canaries were not seen at {}", peer.name));
        }
        if peer.canaries.converged == 0 {
            problems.push(format!("not one canary was seen at {}", peer.name));
        }
    }
    problems
}

#[cfg(test)]
mod tests;
