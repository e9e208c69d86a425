//! The line-up as plain text: what a person wants to see first.

use std::fmt::Write as _;

use crate::prober::{Distribution, ObjectiveState, PeerState, State, TargetState};

/// What else is served.
const ROUTES: &str = "/v1/state  all of this and more, as JSON\n/metrics   for Prometheus\n";

/// The table of peers. A cell never holds the gap.
const COLUMNS: [&str; 11] = [
    "peer",
    "up",
    "lag",
    "visibility p50",
    "p95",
    "p99",
    "stale",
    "missing",
    "error",
    "expired",
    "unreachable",
];
const COLUMN_GAP: &str = "  ";

/// What is counted in it.
const LEGEND: &str =
    "\nstale, missing, error: verdict reads; expired, unreachable: canaries; since the start\n";

/// The page for `GET /`.
pub(crate) fn render(state: &State) -> String {
    let board = &state.board;
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let mut page = alarm(&board.target);
    page += &format!(
        "settle-sidecar {}, beside {} of {}\n\n",
        state.prober,
        known(&board.own),
        known(&board.cluster),
    );
    page += &table(&board.peers);
    page += LEGEND;
    let [p50, p95, p99] = quantiles(&board.convergence_seconds);
    push(&mut page, format_args!("\nconvergence: p50 {p50}, p95 {p95}, p99 {p99}"));
    for objective in &board.objectives {
        push(&mut page, format_args!("{}", line(objective)));
    }
    page.push('\n');
    page.push_str(ROUTES);
    page
}

/// What must be known before anything else: that the own replica is not there, why, and what to do.
/// Everything below is old then, or nothing.
fn alarm(target: &TargetState) -> String {
    let advice = target.advice.unwrap_or_default();
    match &target.last_error {
        Some(error) => format!("TARGET DOWN for {}: {error}. {advice}\n\n", seconds(target.for_seconds)),
        None if target.up.is_none() => format!("TARGET NOT ASKED YET: {}\n\n", target.admin),
        None => String::new(),
    }
}

/// One line per peer. Counts are named as the labels of their metrics.
fn table(peers: &[PeerState]) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(peers.iter().map(cells));
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}{COLUMN_GAP}"));
        push(&mut text, format_args!("{}", cells.collect::<String>().trim_end()));
    }
    text
}

fn cells(peer: &PeerState) -> [String; COLUMNS.len()] {
    let [p50, p95, p99] = quantiles(&peer.visibility_seconds);
    let up = peer.up.map_or("?", |up| if up { "yes" } else { "no" });
    let (reads, canaries) = (&peer.reads, &peer.canaries);
    let counts = [reads.stale, reads.missing, reads.error, canaries.expired, canaries.unreachable];
    let [stale, missing, error, expired, unreachable] = counts.map(|count| count.to_string());
    let (name, lag) = (peer.name.clone(), seconds(peer.lag_seconds));
    [name, up.to_owned(), lag, p50, p95, p99, stale, missing, error, expired, unreachable]
}

fn line(objective: &ObjectiveState) -> String {
    let ObjectiveState { name, status, threshold, unit, .. } = objective;
    let status = if objective.breached == Some(true) { status.to_uppercase() } else { (*status).to_owned() };
    match objective.value {
        Some(value) => format!("{name}: {status}, {value:.4} of {threshold} ({unit})"),
        None => format!("{name}: {status}, threshold {threshold} ({unit})"),
    }
}

fn quantiles(distribution: &Distribution) -> [String; 3] {
    [distribution.p50, distribution.p95, distribution.p99].map(seconds)
}

fn seconds(value: Option<f64>) -> String {
    match value {
        None => "?".to_owned(),
        Some(value) if value < 1.0 => format!("{:.1} ms", value * 1e3),
        Some(value) => format!("{value:.2} s"),
    }
}

/// Writing into a `String` cannot fail.
fn push(page: &mut String, line: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(page, "{line}");
}
