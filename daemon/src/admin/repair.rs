//! `POST /v1/repair` and `GET /v1/repair/{id}?wait=10s`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use settle_service::admin::{method_not_allowed, not_found};
use settle_service::config::parse_duration;
use settle_service::http::{Request, Response, json as json_reply, text};

use crate::node::Node;
use crate::node::jobs::{Job, Progress};

/// The longest wait for a repair's end; whoever wants to wait longer asks again.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Answers a call below `/v1/repair`; `rest` is what follows in the path.
pub(super) async fn answer(node: &Node, request: &Request, rest: &str) -> Response {
    let Some(id) = rest.strip_prefix('/') else {
        if *request.method() != Method::POST {
            return method_not_allowed("POST");
        }
        let job = node.jobs.ask(node.origin.epoch.0);
        return json_reply(StatusCode::OK, &json!({ "repair": job.id }));
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed("GET, HEAD");
    }
    let wait = match wait(request.uri().query().unwrap_or_default()) {
        Ok(wait) => wait,
        Err(wrong) => return text(StatusCode::BAD_REQUEST, wrong + "\n"),
    };
    let Some(job) = node.jobs.find(id) else {
        return not_found("no such repair: the latest ones are remembered until the node restarts");
    };
    job.wait(wait).await;
    json_reply(StatusCode::OK, &document(&job))
}

/// The query's `wait`; zero without it.
fn wait(query: &str) -> Result<Duration, String> {
    let mut wait = Duration::ZERO;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some(value) = pair.strip_prefix("wait=") else {
            return Err(format!("{pair}: the only parameter is wait, as in wait=10s"));
        };
        wait = parse_duration(value).map_err(|error| format!("wait: {error}"))?;
    }
    Ok(wait.min(WAIT_MAX))
}

fn document(job: &Job) -> Value {
    let Progress { done, partitions, partitions_done, equal, repaired, keys_repaired, rotten, failures } =
        job.progress();
    let share = if partitions == 0 { 0.0 } else { partitions_done as f64 / partitions as f64 };
    let elapsed = job.since.elapsed().as_secs_f64();
    let eta = (!done && share > 0.0).then(|| elapsed * (1.0 - share) / share);
    json!({
        "repair": job.id,
        "done": done,
        "partitions": partitions,
        "partitions_done": partitions_done,
        "percent": if done { 100.0 } else { (share * 1_000.0).round() / 10.0 },
        "eta_seconds": eta.map(f64::round),
        "replicas_equal": equal,
        "replicas_repaired": repaired,
        "keys_repaired": keys_repaired,
        "partitions_rotten": rotten,
        "error": (!failures.is_empty()).then(|| failures.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_bounded_and_nothing_else_may_be_asked() {
        assert_eq!(wait(""), Ok(Duration::ZERO));
        assert_eq!(wait("wait=1500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(wait("wait=3h"), Ok(WAIT_MAX));
        assert!(wait("wait=soon").unwrap_err().starts_with("wait: "));
        assert!(wait("waits=1s").unwrap_err().contains("the only parameter"));
    }
}
