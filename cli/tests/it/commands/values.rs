//! Keys and values of every kind, there and back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::json;

use crate::support::cluster::Replicas;
use crate::support::http;
use crate::support::settle::Settle;

/// Bytes that are no text, and end without a newline.
const BINARY: &[u8] = b"\0\xff\r\n\x1b[2J\xc3";

#[test]
fn values_come_back_as_they_were_put() {
    let replicas = Replicas::start(1);
    let settle = Settle::of(&replicas.nodes[0]);
    let file = replicas.directory().join("value");
    std::fs::write(&file, BINARY).unwrap();
    let at_file = format!("@{}", file.display());

    assert_eq!(settle.ok(&["put", "plain", "hello"]), b"");
    assert_eq!(settle.ok(&["get", "plain"]), b"hello");
    assert_eq!(settle.run_with(&["put", "piped", "-"], BINARY).well(), b"");
    assert_eq!(settle.ok(&["get", "piped"]), BINARY);
    assert_eq!(settle.ok(&["put", "filed", &at_file]), b"");
    assert_eq!(settle.ok(&["get", "filed"]), BINARY);
    let large = vec![b'x'; 1 << 20];
    assert_eq!(settle.run_with(&["put", "large", "-"], &large).well(), b"");
    assert!(settle.ok(&["get", "large"]) == large, "not the value that was put");
    for (key, value) in [("empty", ""), ("dash", "-"), ("at", "@x"), ("number", "-5")] {
        assert_eq!(settle.ok(&["put", "--literal", key, value]), b"");
        assert_eq!(settle.ok(&["get", key, "--level", "quorum", "--timeout", "20s"]), value.as_bytes());
    }
    assert_eq!(settle.ok(&["get", "--replica-self", "plain"]), b"hello");

    assert_eq!(settle.ok(&["delete", "plain", "--level", "all"]), b"");
    settle.run(&["get", "plain"]).fails(1, &["cannot read \"plain\" in bucket \"default\"", "no value"]);
    assert_eq!(settle.ok(&["delete", "plain"]), b"", "deleting what is not there is no failure");
}

#[test]
fn keys_are_bytes_and_mean_themselves() {
    let replicas = Replicas::start(1);
    let node = &replicas.nodes[0];
    let settle = Settle::of(node);
    // As they stand on the command line, and as they stand in the path of a call.
    let keys: [(&[u8], &str); 6] = [
        (b"a/b", "a%2Fb"),
        (b"two words", "two%20words"),
        (b"a%2Fb", "a%252Fb"),
        (b"?x=1&y#z", "%3Fx%3D1%26y%23z"),
        ("grün".as_bytes(), "gr%C3%BCn"),
        (b"\xff\xfe", "%FF%FE"),
    ];
    for (key, path) in keys {
        let (key, path) = (OsStr::from_bytes(key), format!("/v1/kv/default/{path}"));
        assert_eq!(settle.ok(&[OsStr::new("put"), key, OsStr::new(&path)]), b"");
        assert_eq!(http::get(node.api, &path).as_ref(), Ok(&path), "{key:?}");
        assert_eq!(settle.ok(&[OsStr::new("get"), key]), path.as_bytes());
    }
    assert_eq!(settle.ok(&["put", "--key-hex", "00Ff", "nul"]), b"");
    assert_eq!(settle.ok(&["get", "00fF", "--key-hex"]), b"nul");
    assert_eq!(http::get(node.api, "/v1/kv/default/%00%FF"), Ok("nul".to_owned()));
    assert_eq!(settle.ok(&["put", "--", "-k", "--"]), b"");
    assert_eq!(settle.ok(&["get", "--", "-k"]), b"--");
    settle.run(&["get", "--key-hex", "0bad0c"]).fails(1, &["hexadecimal 0bad0c in bucket"]);
}

#[test]
fn a_document_carries_what_bytes_alone_cannot() {
    let replicas = Replicas::start(1);
    let settle = Settle::of(&replicas.nodes[0]);
    settle.ok(&["put", "a/b", "{}", "--content-type", "application/json"]);
    let document = settle.json(&["get", "a/b", "--json"]);
    assert_eq!(document["bucket"], "default");
    assert_eq!(document["key"], "a%2Fb");
    assert_eq!(document["siblings"], json!([{"value": "e30=", "content_type": "application/json"}]));
    assert!(document["context"].is_string(), "{document}");
    settle.ok(&["put", "bare", "x"]);
    let bare = settle.json(&["get", "bare", "--json"]);
    assert_eq!(bare["siblings"][0]["content_type"], "application/octet-stream");
}
