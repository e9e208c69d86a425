//! What is said when something is wrong, and the exit code that goes with it.

use std::net::TcpListener;

use crate::support::cluster::Replicas;
use crate::support::process::Process;
use crate::support::settle::Settle;
use crate::support::{eventually, fake};

#[test]
fn what_is_asked_for_wrongly_is_refused_with_2() {
    // Nobody is asked at all.
    let nobody = "127.0.0.1:1".parse().unwrap();
    let settle = Settle::at(nobody, nobody);
    let wrong: [(&[&str], &str); 10] = [
        (&[], "Usage: settle"),
        (&["gett", "k"], "unrecognized subcommand"),
        (&["get"], "<KEY>"),
        (&["get", ""], "the key is empty"),
        (&["get", "--key-hex", "xyz"], "not hexadecimal"),
        (&["get", "k", "--level", "most"], "possible values: any, one, two"),
        (&["get", "k", "--level", "all", "--replica-self"], "cannot be used with"),
        (&["put", "k", "v", "--timeout", "soon"], "expected a duration"),
        (&["put", "k", "v", "--timeout", "0s"], "more than no time"),
        (&["status", "--admin", "https://node"], "TLS is not supported"),
    ];
    for (arguments, why) in wrong {
        settle.run(arguments).fails(2, &[why]);
    }
    let help = settle.ok(&["--help"]);
    assert!(String::from_utf8(help).unwrap().contains("SETTLE_API"));
}

#[test]
fn who_cannot_be_reached_is_named_with_a_way_out() {
    // A port on which nobody listens any more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settle = Settle::at(free, free);
    let refused = format!("http://{free}: connection refused");
    let api = "--api URL or SETTLE_API";
    settle.run(&["get", "k"]).fails(1, &["cannot read \"k\"", &refused, "is settled running", api]);
    let put = settle.run(&["put", "k", "v"]);
    put.fails(1, &[&refused]);
    assert!(!put.said.contains("take effect"), "nothing was sent: {}", put.said);
    for command in ["status", "members", "lag"] {
        let said = [&*format!("settle {command}: "), &refused, "--admin URL or SETTLE_ADMIN"];
        settle.run(&[command]).fails(1, &said);
    }
    settle.run(&["put", "k", "@/nowhere/value"]).fails(1, &["cannot read the value from /nowhere/value"]);
}

#[test]
fn what_a_node_refuses_is_told_in_its_words() {
    let replicas = Replicas::start(1);
    let node = &replicas.nodes[0];
    let settle = Settle::of(node);
    let at = format!("http://{}: ", node.api);
    settle.run(&["get", "k", "-b", "sessions"]).fails(1, &[&at, "no such bucket", "[[bucket]]"]);
    let long = "k".repeat(1025);
    settle.run(&["get", &long]).fails(1, &["the key has 1025 bytes; limits.key_bytes allows 1024"]);
    let large = vec![0; (1 << 20) + 1];
    settle.run_with(&["put", "k", "-"], &large).fails(1, &["too large", "1048576 bytes"]);
    // The options win over the environment.
    let admin = format!("127.0.0.1:{}", node.admin.port());
    let wrong = settle.run(&["get", "k", "--api", &admin]);
    wrong.fails(1, &["does not offer GET /v1/kv/default/k", &admin, "not the API address", "--api"]);
    let api = node.api.to_string();
    settle.run(&["--admin", &api, "lag"]).fails(1, &["does not offer GET /v1/lag", "not the admin address"]);
}

#[test]
fn too_few_replicas_and_deadlines_say_what_became_of_the_write() {
    let replicas = Replicas::start(3);
    let settle = Settle::of(&replicas.nodes[0]);
    settle.ok(&["put", "k", "v", "--level", "all", "--timeout", "20s"]);
    // A write without a context to a bucket of siblings asks nobody before it is made.
    let write = ["put", "k", "late", "-b", "profiles", "--level", "quorum", "--timeout", "10ms"];
    let peers = || replicas.nodes[1..].iter().map(|peer| &peer.process);
    eventually("a write that is cut short", || {
        peers().for_each(Process::freeze);
        let late = settle.run(&write);
        let parts = ["the deadline passed", "\n  it may still take effect: check before you repeat it"];
        if late.code == Some(1) && parts.iter().all(|part| late.said.contains(part)) {
            return Ok(());
        }
        // It took so long to ask that they are held for dead.
        peers().for_each(Process::thaw);
        Err(late.said)
    });
    eventually("the others are held for dead", || {
        let refused = settle.run(&["put", "k", "w", "--level", "quorum", "--timeout", "1s"]);
        let few = refused.said.contains("not enough replicas");
        let counted = refused.said.contains("needed: 2, alive: 1; `settle members`");
        if refused.code == Some(1) && few && counted { Ok(()) } else { Err(refused.said) }
    });
    settle.run(&["get", "k", "--level", "all"]).fails(1, &["needed: 3, alive: 1"]);
    assert_eq!(settle.run(&["get", "k", "--level", "one"]).code, Some(0));
}

#[test]
fn a_node_that_hangs_is_told_from_one_that_is_gone() {
    let replicas = Replicas::start(1);
    let settle = Settle::of(&replicas.nodes[0]);
    replicas.nodes[0].process.freeze();
    let hanging = settle.run(&["put", "k", "v", "--timeout", "10ms"]);
    hanging.fails(1, &["no reply within 2.01s", "does not answer", "it may still take effect"]);
    let reading = settle.run(&["get", "k", "--timeout", "10ms"]);
    reading.fails(1, &["no reply within 2.01s"]);
    assert!(!reading.said.contains("take effect"), "{}", reading.said);
}

#[test]
fn replies_of_something_else_are_quoted() {
    let other = fake::serve(|_| (502, "<h1>Bad gateway</h1>".to_owned()));
    let settle = Settle::at(other, other);
    settle.run(&["get", "k"]).fails(1, &["status 502 Bad Gateway: <h1>Bad gateway</h1>"]);
    let older = fake::serve(|_| (200, "{\"name\": \"n1\"}".to_owned()));
    let settle = Settle::at(older, older);
    settle.run(&["status"]).fails(1, &["/v1/status is not as expected", "missing field"]);
    settle.run(&["lag"]).fails(1, &["/v1/lag is not as expected"]);
}
