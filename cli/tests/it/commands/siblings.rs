//! Concurrent values of a key, and the contexts with which they are settled.

use serde_json::{Value, json};

use crate::support::cluster::Replicas;
use crate::support::settle::Settle;

#[test]
fn concurrent_values_are_listed_and_settled_with_their_context() {
    let replicas = Replicas::start(1);
    let settle = Settle::of(&replicas.nodes[0]);
    let file = replicas.directory().join("contexts");
    let file = file.to_str().unwrap();
    let get = |arguments: &[&str]| settle.run(&[&["get", "-b", "profiles"], arguments].concat());
    // Neither knows of the other.
    settle.ok(&["put", "ada", "London", "-b", "profiles", "--content-type", "text/plain"]);
    settle.run_with(&["put", "ada", "-", "-b", "profiles"], b"\x1b[2J\n").well();

    let both = get(&["ada", "--context-file", file]);
    both.fails(1, &["\"ada\" in bucket \"profiles\" has 2 concurrent values", "--context-file"]);
    assert!(both.text().contains(" 6 B   text/plain                 London\n"), "{}", both.text());
    let escaped = " 5 B   application/octet-stream   \\u{1b}[2J\\n\n";
    assert!(both.text().contains(escaped), "{}", both.text());
    let document = get(&["ada", "--json"]).well();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let mut siblings = document["siblings"].as_array().unwrap().clone();
    siblings.sort_by_key(|sibling| sibling["value"].to_string());
    let expected = [
        json!({"value": "G1sySgo=", "content_type": "application/octet-stream"}),
        json!({"value": "TG9uZG9u", "content_type": "text/plain"}),
    ];
    assert_eq!(siblings, expected);

    settle.ok(&["put", "ada", "Paris", "-b", "profiles", "--context-file", file]);
    assert_eq!(get(&["ada"]).well(), b"Paris");
    // The file has learned of that write: the next one replaces it.
    settle.ok(&["put", "ada", "Rome", "-b", "profiles", "--context-file", file]);
    assert_eq!(get(&["ada"]).well(), b"Rome");
    // Without a context it is another opinion, and a delete with an old context leaves it.
    settle.ok(&["put", "ada", "Oslo", "-b", "profiles"]);
    settle.ok(&["delete", "ada", "-b", "profiles", "--context-file", file]);
    assert_eq!(get(&["ada"]).well(), b"Oslo");
}

#[test]
fn a_context_is_for_its_own_key_and_a_broken_file_stops_the_write() {
    let replicas = Replicas::start(1);
    let settle = Settle::of(&replicas.nodes[0]);
    let file = replicas.directory().join("contexts");
    let path = file.to_str().unwrap();
    let put = |key, value| settle.run(&["put", key, value, "-b", "profiles", "--context-file", path]);
    put("one", "1").well();
    put("two", "1").well();
    put("two", "2").well();
    assert_eq!(settle.ok(&["get", "one", "-b", "profiles"]), b"1");
    assert_eq!(settle.ok(&["get", "two", "-b", "profiles"]), b"2");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let keys: Vec<&String> = kept.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["profiles/one", "profiles/two"]);

    std::fs::write(&file, "{\"profiles/one\": \"AQEA\"}").unwrap();
    put("one", "3").fails(1, &["cannot write \"one\"", "Settle-Context"]);
    std::fs::write(&file, "not ours").unwrap();
    put("one", "3").fails(1, &["is no file of contexts"]);
    assert_eq!(settle.ok(&["get", "one", "-b", "profiles"]), b"1");
    assert_eq!(std::fs::read(&file).unwrap(), b"not ours");
    let nowhere = "/nowhere/contexts";
    let written = settle.run(&["put", "three", "3", "--context-file", nowhere]);
    written.fails(1, &["the value is written: cannot keep the key's context in /nowhere/contexts"]);
}
