//! `barrier`, `repair`, `layout` and `drain`: what they ask for, how long they wait, what they make of
//! the replies. Against a server that says what the test wants, for the moments that matter pass quickly
//! in a real cluster.

use std::sync::Mutex;

use serde_json::json;

use crate::support::fake;
use crate::support::settle::Settle;

/// `settle`, asking a server that gives these replies one after the other, the last for ever, and that
/// checks what it is asked.
fn replies(expected: &'static [(&'static str, &'static str)]) -> Settle {
    let next = Mutex::new(0);
    let address = fake::serve(move |asked| {
        let mut next = next.lock().unwrap();
        let (call, reply) = expected[(*next).min(expected.len() - 1)];
        *next += 1;
        match asked == call {
            true => (200, reply.to_owned()),
            false => {
                (400, json!({"title": "Wrong call", "detail": format!("{asked}, not {call}")}).to_string())
            }
        }
    });
    Settle::at(address, address)
}

#[test]
fn a_version_that_does_not_offer_it_is_told_from_a_failure() {
    let older = fake::serve(|asked| match asked.ends_with("/v1/layout") {
        // The path is served there, the method is not.
        true => (405, json!({"type": "urn:settle:problem:method-not-allowed", "title": "No"}).to_string()),
        false => (404, json!({"type": "urn:settle:problem:not-found", "title": "Nothing"}).to_string()),
    });
    let settle = Settle::at(older, older);
    let calls: [(&[&str], &str); 4] = [
        (&["barrier"], "POST /v1/barrier"),
        (&["repair"], "POST /v1/repair"),
        (&["layout"], "GET /v1/layout"),
        (&["drain", "n3"], "POST /v1/layout"),
    ];
    for (arguments, call) in calls {
        let said = format!("this version of settled does not offer {call} (asked at http://{older})");
        settle.run(arguments).fails(1, &[&said]);
    }
}

#[test]
fn a_barrier_is_waited_for() {
    let settle = replies(&[
        ("POST /v1/barrier", r#"{"barrier": 17}"#),
        ("GET /v1/barrier/17?wait=10000ms", r#"{"done": true, "waiting": []}"#),
    ]);
    let text = String::from_utf8(settle.ok(&["barrier"])).unwrap();
    assert!(text.starts_with("every replica has all that was written before ("), "{text}");

    // A node that does not wait for as long as it is asked to is asked again.
    let settle =
        replies(&[("GET /v1/barrier/a%2Fb", r#"{"done": false, "waiting": [{"peer": "n2", "writes": 3}]}"#)]);
    let ended = settle.run(&["barrier", "--id", "a/b", "--wait", "0s"]);
    ended.fails(1, &["not done yet", "settle barrier --id a/b --wait 1m"]);
    assert_eq!(ended.text(), "replica   writes it lacks\nn2                      3\n");
}

#[test]
fn a_barrier_that_is_not_reached_names_who_lacks_what() {
    let waiting = fake::serve(|asked| match asked {
        "POST /v1/barrier" => (200, r#"{"barrier": "b1"}"#.to_owned()),
        _ => {
            let waiting = json!([{"peer": "n2", "writes": 1200}, {"peer": "n3", "writes": null}]);
            (200, json!({"done": false, "waiting": waiting}).to_string())
        }
    });
    let settle = Settle::at(waiting, waiting);
    let ended = settle.run(&["barrier", "--wait", "250ms"]);
    ended.fails(1, &["not done after 250ms", "settle barrier --id b1"]);
    assert!(ended.text().contains("n2                  1,200\n"), "{}", ended.text());
    assert!(ended.text().contains("n3              no answer\n"), "{}", ended.text());
    let document = settle.run(&["barrier", "--wait", "0s", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&document.out).unwrap();
    assert_eq!(document["waiting"][1], json!({"peer": "n3", "writes": null}));
    assert_eq!((&document["barrier"], &document["done"]), (&json!("b1"), &json!(false)));
}

#[test]
fn a_repair_is_followed_to_its_end() {
    const CALLS: &[(&str, &str)] = &[
        ("POST /v1/repair", r#"{"repair": 4}"#),
        ("GET /v1/repair/4?wait=1000ms", r#"{"done": false, "partitions": 3}"#),
        ("GET /v1/repair/4?wait=1000ms", r#"{"done": true, "partitions": 128, "keys_repaired": 7}"#),
    ];
    let text = String::from_utf8(replies(CALLS).ok(&["repair"])).unwrap();
    assert_eq!(text, "done            true\nkeys repaired   7\npartitions      128\n");
    assert_eq!(replies(CALLS).json(&["repair", "--json"])["keys_repaired"], 7);
    assert_eq!(replies(CALLS).json(&["repair", "--no-wait", "--json"]), json!({"repair": 4}));
    let broken = replies(&[("POST /v1/repair", r#"{"done": true, "error": "n3 does not answer"}"#)]);
    let ended = broken.run(&["repair"]);
    assert_eq!((ended.code, ended.text().contains("n3 does not answer")), (Some(1), true), "{ended:?}");
}

#[test]
fn layouts_are_shown_and_a_drain_is_asked_for() {
    let layout = r#"{"version": 3, "nodes": [{"name": "n1"}]}"#;
    let address = fake::serve(move |asked| match asked {
        "GET /v1/layout" => (200, layout.to_owned()),
        "POST /v1/layout" => (200, String::new()),
        _ => (400, "{}".to_owned()),
    });
    let settle = Settle::at(address, address);
    let text = String::from_utf8(settle.ok(&["layout"])).unwrap();
    assert_eq!(text, "version   3\n\nnodes\n  name n1\n");
    assert_eq!(settle.json(&["layout", "--json"])["version"], 3);
    assert_eq!(settle.ok(&["drain", "n1"]), b"");
    settle.run(&["drain"]).fails(2, &["<NODE>"]);
}
