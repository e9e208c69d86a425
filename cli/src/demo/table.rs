//! The table: what the sidecar measures, peer by peer and over all, and what the clients see.

use std::time::Duration;

use super::state::{Distribution, Objective, Peer, State};
use crate::terminal::{Line, Style};
use crate::units::seconds;

/// Everything to show at one moment.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// Since the traffic began.
    pub(super) elapsed: Duration,
    /// When it will end, if it does by itself.
    pub(super) duration: Option<Duration>,
    /// The last that the sidecar said.
    pub(super) state: &'a State,
    pub(super) clients: Clients,
}

/// What the clients see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clients {
    /// Operations answered per second, of late.
    pub(super) rate: f64,
    /// Operations that failed, since the start.
    pub(super) errors: u64,
}

impl View<'_> {
    /// For a terminal, and for the end.
    pub(super) fn table(&self) -> Vec<Line> {
        let state = self.state;
        let heading = |text: String| Line { text, style: Style::Heading };
        let mut lines = vec![
            Line::plain(""),
            heading(format!(
                "{:<6} {:>9}   {:>14} {:>9} {:>9}   {:>12} {:>7}",
                "peer", "lag", "visibility p50", "p95", "p99", "stale reads", "errors"
            )),
        ];
        lines.extend(state.peers.iter().map(|peer| self.peer(peer)));
        let Distribution { p50, p95, p99 } = state.convergence_seconds;
        lines.push(Line::plain(""));
        lines.push(Line::plain(format!(
            "{:<12} p50 {}   p95 {}   p99 {}",
            "convergence",
            seconds(p50),
            seconds(p95),
            seconds(p99)
        )));
        lines.push(Line::plain(format!("{:<12} {}", "canaries", self.canaries())));
        lines.push(Line::plain(format!("{:<12} {}", "conflicts", self.conflicts())));
        let breaches = self.breaches();
        let style = if breaches.is_empty() { Style::Plain } else { Style::Alarm };
        let breaches = if breaches.is_empty() { "none".to_owned() } else { breaches.join(", ") };
        lines.push(Line { text: format!("{:<12} {breaches}", "breached"), style });
        lines.push(Line::plain(format!("{:<12} {}", "clients", self.clients())));
        lines.push(Line::plain(format!("{:<12} {}", "time", self.time())));
        lines
    }

    /// For everything else: the same in one line.
    pub(super) fn line(&self) -> String {
        let mut parts = vec![format!("{:>4}s", self.elapsed.as_secs())];
        parts.extend(self.state.peers.iter().map(|peer| {
            let visibility = seconds(peer.visibility_seconds.p99);
            format!("{} lag {} visibility p99 {visibility}", peer.name, seconds(peer.lag_seconds))
        }));
        parts.push(format!("convergence p99 {}", seconds(self.state.convergence_seconds.p99)));
        parts.push(format!("conflicts {}", self.state.traffic.conflicts));
        parts.push(self.clients());
        let breaches = self.breaches();
        if !breaches.is_empty() {
            parts.push(format!("BREACHED {}", breaches.join(", ")));
        }
        parts.join(" | ")
    }

    fn peer(&self, peer: &Peer) -> Line {
        let Distribution { p50, p95, p99 } = peer.visibility_seconds;
        let reads = peer.reads;
        let stale = reads.stale + reads.missing;
        let text = format!(
            "{:<6} {:>9}   {:>14} {:>9} {:>9}   {:>12} {:>7}{}",
            peer.name,
            seconds(peer.lag_seconds),
            seconds(p50),
            seconds(p95),
            seconds(p99),
            format!("{stale} of {}", stale + reads.fresh),
            reads.error,
            if peer.up == Some(false) { "   no answer" } else { "" },
        );
        let late = peer.lag_seconds.is_some_and(|lag| lag > self.state.lag_threshold());
        Line { text, style: if late { Style::Alarm } else { Style::Plain } }
    }

    fn canaries(&self) -> String {
        let all = self.state.canaries;
        let late: u64 =
            self.state.peers.iter().map(|peer| peer.canaries.expired + peer.canaries.unreachable).sum();
        let aborted = match all.aborted {
            0 => String::new(),
            aborted => format!(", {aborted} refused"),
        };
        format!("{} converged, {late} expired{aborted}, {} under way", all.converged, all.under_way)
    }

    fn conflicts(&self) -> String {
        let traffic = self.state.traffic;
        format!("{} in {} writes of the last minute", traffic.conflicts, traffic.writes)
    }

    fn breaches(&self) -> Vec<String> {
        let breached = self.state.objectives.iter().filter(|objective| objective.breached == Some(true));
        breached
            .map(|objective| {
                let Objective { name, value, threshold, .. } = objective;
                let show = |value: Option<f64>| match objective.unit.as_str() {
                    "seconds" => seconds(value),
                    _ => value.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0)),
                };
                format!("{name} {} (threshold {})", show(*value), show(Some(*threshold)))
            })
            .collect()
    }

    fn clients(&self) -> String {
        let Clients { rate, errors } = self.clients;
        format!("{rate:.0} ops/s, {errors} errors")
    }

    fn time(&self) -> String {
        let elapsed = self.elapsed.as_secs();
        match self.duration {
            Some(duration) => format!("{elapsed} s of {} s", duration.as_secs()),
            None => format!("{elapsed} s; Ctrl-C ends it"),
        }
    }
}

#[cfg(test)]
mod tests;
