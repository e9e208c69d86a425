//! What a node's documents look like to somebody who was woken up.

use serde_json::json;

use super::*;
use crate::terminal::Style;

fn status(ready: bool) -> Value {
    let reasons = if ready { json!([]) } else { json!([{"part": "layout", "reason": "1 of 3 nodes"}]) };
    json!({
        "name": "n1", "node_id": "0a", "epoch": "1", "cluster": "prod", "version": "0.1.0",
        "uptime_seconds": 3_661.5, "ready": ready, "not_ready": reasons, "partitions": 256,
        "partitions_syncing": if ready { 0 } else { 12 }, "keys": if ready { json!(1_234) } else { json!(null) },
        "log_records": 1, "storage_bytes": 5 << 20,
    })
}

fn members(up: bool) -> Value {
    let member = |name, state, up| json!({"name": name, "node_id": "0a", "state": state, "up": up});
    let members = [
        member("n1", "self", true),
        member("n2", "alive", true),
        member("n3", if up { "alive" } else { "dead" }, up),
    ];
    json!({"cluster": "prod", "partitions": 256, "replicas": 3, "members": members})
}

fn lag(proven: bool) -> Value {
    let lag = |seconds, missing, hints, diverged| {
        json!({"proven_seconds": seconds, "missing_writes": missing, "hints_pending": hints,
               "diverged_partitions": diverged})
    };
    let other = if proven { lag(Some(0.5), 0, 0, 0) } else { lag(None, 12, 7_000, 3) };
    json!({"peers": {"n2": lag(Some(0.035), 0, 0, 0), "n3": other}})
}

fn lines(status: Value, members: Value, lag: Value) -> Vec<Line> {
    let overview = Overview {
        status: Status::deserialize(status).unwrap(),
        members: Members::deserialize(members).unwrap(),
        lags: Lags::deserialize(lag).unwrap(),
    };
    overview.lines()
}

fn texts(lines: &[Line], style: Style) -> Vec<&str> {
    lines.iter().filter(|line| line.style == style).map(|line| line.text.as_str()).collect()
}

#[test]
fn a_healthy_node_raises_no_alarm() {
    let lines = lines(status(true), members(true), lag(true));
    assert_eq!(texts(&lines, Style::Alarm), [""; 0]);
    assert_eq!(texts(&lines, Style::Heading), ["n1 is ready"]);
    assert_eq!(
        texts(&lines, Style::Plain),
        [
            "",
            "cluster     \"prod\", 3 members",
            "version     0.1.0, up for 1 h 1 min",
            "partitions  256",
            "keys        1,234",
            "storage     5.0 MiB, 1 log record",
            "peers       2 of 2 up",
            "lag         at most 500 ms behind (n3); 0 writes known to be missing",
            "to send     nothing: no peer is known to lack a write",
        ]
    );
}

#[test]
fn what_is_wrong_stands_out_and_the_verdict_stands_first() {
    let lines = lines(status(false), members(false), lag(false));
    assert_eq!(
        texts(&lines, Style::Alarm),
        [
            "n1 is NOT READY",
            "  layout: 1 of 3 nodes",
            "peers       1 of 2 up: n3 is dead",
            "lag         at most 35 ms behind (n2); NOT PROVEN against n3; 12 writes known to be missing",
            "diverged    partitions that await a full exchange: 3 with n3",
        ]
    );
    let plain = texts(&lines, Style::Plain);
    assert!(plain.contains(&"partitions  256, 12 of them being filled from other replicas"), "{plain:?}");
    assert!(plain.contains(&"keys        not counted yet"), "{plain:?}");
    assert!(plain.contains(&"to send     n3 may lack 7,000 writes"), "{plain:?}");
}

#[test]
fn programs_get_all_three_documents_in_one() {
    let all = joined(status(true), members(true), lag(true));
    assert_eq!(all["ready"], true);
    assert_eq!(all["members"][2]["name"], "n3");
    assert_eq!(all["lag"]["n2"]["proven_seconds"], 0.035);
}

#[test]
fn buckets_that_differ_are_an_alarm() {
    let mut status = status(true);
    let rules = |resolver: &str| json!({"type": "register", "resolver": resolver});
    status["bucket_mismatches"] = json!([
        {"peer": "n2", "bucket": "notes", "here": rules("siblings"), "there": rules("lww")},
        {"peer": "n3", "bucket": "mine", "here": null, "there": rules("lww")},
    ]);
    let lines = lines(status, members(true), lag(true));
    let expected = [
        "buckets     notes is register siblings here and register lww at n2",
        "buckets     mine is not declared here and register lww at n3",
    ];
    assert_eq!(texts(&lines, Style::Alarm), expected);
}
