//! The line-up as plain text: what a person wants to see first.

use std::fmt::Write as _;

use crate::prober::{Distribution, State};

/// What else is served.
const ROUTES: &str = "/v1/state  all of this and more, as JSON\n/metrics   for Prometheus\n";

/// The page for `GET /`.
pub(crate) fn render(state: &State) -> String {
    let board = &state.board;
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let mut page = format!(
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
        let verdict = match objective.breached {
            None => "unknown",
            Some(false) => "within",
            Some(true) => "BREACHED",
        };
        let value = objective.value.map_or_else(|| "?".to_owned(), |value| format!("{value:.4}"));
        let (name, threshold, unit) = (objective.name, objective.threshold, objective.unit);
        push(&mut page, format_args!("{name}: {verdict}, {value} of {threshold} ({unit})"));
    }
    page.push('\n');
    page.push_str(ROUTES);
    page
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
