//! The line-up as plain text: what a person wants to see first.

use std::fmt::Write as _;

use crate::prober::{Distribution, ObjectiveState, State, TargetState};

/// What else is served.
const ROUTES: &str = "/v1/state  all of this and more, as JSON\n/metrics   for Prometheus\n";

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
    row(
        &mut page,
        ["peer", "up", "lag", "visible p50", "p95", "p99", "stale", "expired", "errors"].map(str::to_owned),
    );
    for peer in &board.peers {
        let [p50, p95, p99] = quantiles(&peer.visibility_seconds);
        let up = peer.up.map_or("?", |up| if up { "yes" } else { "no" });
        let stale = peer.reads.stale + peer.reads.missing;
        let lost = peer.canaries.expired + peer.canaries.unreachable;
        let counts = [stale, lost, peer.reads.error].map(|count| count.to_string());
        let [stale, lost, errors] = counts;
        row(
            &mut page,
            [peer.name.clone(), up.to_owned(), seconds(peer.lag_seconds), p50, p95, p99, stale, lost, errors],
        );
    }
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

fn row(page: &mut String, cells: [String; 9]) {
    let cells = cells.map(|cell| format!("{cell:<12}")).concat();
    push(page, format_args!("{}", cells.trim_end()));
}

/// Writing into a `String` cannot fail.
fn push(page: &mut String, line: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(page, "{line}");
}
