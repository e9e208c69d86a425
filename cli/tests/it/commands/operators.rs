//! `status`, `members` and `lag` of real replicas: well, incomplete, and with a peer that is gone.

use crate::support::cluster::Replicas;
use crate::support::eventually;
use crate::support::settle::Settle;

#[test]
fn a_cluster_that_is_well_says_so() {
    let replicas = Replicas::start(3);
    let settle = Settle::of(&replicas.nodes[0]);
    settle.ok(&["put", "k", "v", "--level", "all", "--timeout", "20s"]);
    let parts =
        ["n1 is ready\n", "\"it\", 3 members\n", "2 of 2 up\n", "nothing: no peer", " 0 writes known"];
    eventually("all is told to be well", || {
        let ended = settle.run(&["status"]);
        let well = parts.iter().all(|part| ended.text().contains(part)) && !ended.text().contains("PROVEN");
        if well { Ok(ended.well()) } else { Err(format!("{ended:?}")) }
    });
    let status = settle.json(&["status", "--json"]);
    assert_eq!((&status["name"], &status["ready"]), (&"n1".into(), &true.into()), "{status}");
    assert_eq!(status["members"].as_array().unwrap().len(), 3, "{status}");
    assert!(status["lag"]["n3"]["proven_seconds"].is_number(), "{status}");

    let members = String::from_utf8(settle.ok(&["members"])).unwrap();
    for (line, node) in members.lines().skip(1).zip(&replicas.nodes) {
        assert!(line.contains(&node.api.to_string()) && line.contains(&node.admin.to_string()), "{members}");
    }
    assert!(members.contains("3 of 3 members up"), "{members}");
    let members = settle.json(&["members", "--json"]);
    assert_eq!(members["members"][0]["state"], "self", "{members}");

    let lag = String::from_utf8(settle.ok(&["lag"])).unwrap();
    let firsts: Vec<&str> = lag.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(firsts, ["peer", "n2", "n3"], "{lag}");
    assert!(!lag.contains('\u{1b}'), "colours where there is no terminal: {lag:?}");
    assert!(settle.json(&["lag", "--json"])["peers"]["n2"]["missing_writes"].is_number());
}

#[test]
fn a_peer_that_is_gone_stands_out() {
    let mut replicas = Replicas::start(3);
    drop(replicas.nodes.pop());
    let settle = Settle::of(&replicas.nodes[0]);
    settle.ok(&["put", "k", "v"]);
    eventually("the peer is missed", || {
        let ended = settle.run(&["status"]);
        let parts = ["1 of 2 up: n3 is dead\n", "n3 may lack 1 write\n"];
        if parts.iter().all(|part| ended.text().contains(part)) { Ok(()) } else { Err(format!("{ended:?}")) }
    });
    let members = String::from_utf8(settle.ok(&["members"])).unwrap();
    assert!(members.contains("2 of 3 members up"), "{members}");
    let row = members.lines().find(|line| line.starts_with("n3")).unwrap();
    assert!(row.contains(" dead "), "{members}");
}

#[test]
fn a_node_that_is_not_ready_says_why() {
    let replicas = Replicas::start_some(1, 3);
    let settle = Settle::of(&replicas.nodes[0]);
    // At first it is still starting.
    let ended = eventually("it waits for its cluster", || {
        let ended = settle.run(&["status"]);
        assert_eq!(ended.code, Some(0), "it did answer: {}", ended.said);
        let why = "layout: 1 of 3 expected nodes are known (cluster.expect)";
        if ended.text().contains(why) { Ok(ended) } else { Err(format!("{ended:?}")) }
    });
    assert!(ended.text().starts_with("n1 is NOT READY\n  "), "{}", ended.text());
    assert!(ended.text().contains("peers       none known"), "{}", ended.text());
    assert_eq!(settle.json(&["status", "--json"])["ready"], false);
    let lag = String::from_utf8(settle.ok(&["lag"])).unwrap();
    assert!(lag.contains("no peers are known"), "{lag}");
    settle.run(&["put", "k", "v"]).fails(1, &["not joined its cluster", "cluster.expect"]);
}

#[test]
fn a_repair_of_replicas_that_are_well_finds_nothing() {
    let replicas = Replicas::start(3);
    let settle = Settle::of(&replicas.nodes[0]);
    settle.ok(&["put", "k", "v", "--level", "all", "--timeout", "20s"]);
    let done = settle.json(&["repair", "--json"]);
    assert_eq!((&done["done"], &done["error"]), (&true.into(), &serde_json::Value::Null), "{done}");
    assert_eq!((&done["keys_repaired"], &done["percent"]), (&0.into(), &100.0.into()), "{done}");
    let text = String::from_utf8(settle.ok(&["repair"])).unwrap();
    assert!(
        text.contains("keys repaired       0\n") && text.contains("done                true\n"),
        "{text}"
    );
    let asked = settle.json(&["repair", "--no-wait", "--json"]);
    assert!(asked["repair"].is_string(), "{asked}");
}
