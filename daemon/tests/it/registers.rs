//! What registers promise to clients: values, content types, contexts, siblings, deletes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::http::CONTEXT;
use crate::support::wait::PATIENCE;
use crate::support::{Cluster, Reply, turn, wait_for};

/// Three nodes with a bucket whose concurrent versions clients settle.
fn with_siblings() -> Cluster {
    let mut cluster = Cluster::new(3);
    for node in &mut cluster.nodes {
        node.configuration.bucket("drafts", "siblings");
    }
    cluster.start_all();
    cluster
}

/// The values of a 300, sorted.
fn siblings(reply: &Reply) -> Vec<String> {
    let page = reply.json();
    let values = page["siblings"].as_array().unwrap().iter();
    let decode = |sibling: &serde_json::Value| STANDARD.decode(sibling["value"].as_str().unwrap()).unwrap();
    let mut values: Vec<String> = values.map(|value| String::from_utf8(decode(value)).unwrap()).collect();
    values.sort();
    values
}

#[test]
fn concurrent_writes_become_siblings_until_a_client_settles_them() {
    let _turn = turn::shared();
    let cluster = with_siblings();
    let path = "/v1/kv/drafts/page?level=quorum";
    cluster.nodes[0].client().put(path, "mine").expect(204);
    // Through another node, by a client that has read nothing.
    cluster.nodes[1].client().put(path, "yours").expect(204);
    let both = cluster.nodes[2].client().get(path).expect(300);
    assert_eq!(both.header("content-type"), Some("application/json"));
    assert_eq!(siblings(&both), ["mine", "yours"]);
    let settled = [(CONTEXT, both.context())];
    cluster.nodes[0].client().send("PUT", path, &settled, b"ours").expect(204);
    for node in &cluster.nodes {
        assert_eq!(node.client().get(path).expect(200).text(), "ours", "{}", node.name);
    }
    for node in &cluster.nodes {
        let what = format!("{} holds one version", node.name);
        wait_for(&what, PATIENCE, || {
            (node.client().get("/v1/kv/drafts/page?replica=self").status == 200).then_some(())
        });
    }
}

#[test]
fn a_write_spares_what_its_context_has_not_seen() {
    let _turn = turn::shared();
    let cluster = with_siblings();
    let path = "/v1/kv/drafts/page?level=all";
    let mut client = cluster.nodes[0].client();
    client.put(path, "first").expect(204);
    let seen = client.get(path).expect(200);
    cluster.nodes[1].client().put(path, "unseen").expect(204);
    client.send("PUT", path, &[(CONTEXT, seen.context())], b"second").expect(204);
    assert_eq!(siblings(&client.get(path).expect(300)), ["second", "unseen"]);
    // The reply to a write covers the write itself, and that alone.
    let written = client.put(path, "third").expect(204);
    client.send("PUT", path, &[(CONTEXT, written.context())], b"fourth").expect(204);
    assert_eq!(siblings(&client.get(path).expect(300)), ["fourth", "second", "unseen"]);
}

#[test]
fn a_delete_with_a_context_deletes_what_was_read() {
    let _turn = turn::shared();
    let cluster = with_siblings();
    let path = "/v1/kv/drafts/page?level=all";
    let mut client = cluster.nodes[0].client();
    client.put(path, "read").expect(204);
    let seen = client.get(path).expect(200);
    cluster.nodes[1].client().put(path, "unread").expect(204);
    client.send("DELETE", path, &[(CONTEXT, seen.context())], b"").expect(204);
    let left = client.get(path).expect(200);
    assert_eq!(left.text(), "unread");
    cluster.nodes[2].client().send("DELETE", path, &[(CONTEXT, left.context())], b"").expect(204);
    for node in &cluster.nodes {
        node.client().get("/v1/kv/drafts/page?replica=self").problem(404, "no-value");
    }
    // The context of an absence is one too: nothing written after it is deleted by it.
    let absent = client.get(path).expect(404);
    client.put(path, "new").expect(204);
    client.send("DELETE", path, &[(CONTEXT, absent.context())], b"").expect(204);
    assert_eq!(client.get(path).expect(200).text(), "new");
}

#[test]
fn siblings_keep_their_content_types() {
    let _turn = turn::shared();
    let cluster = with_siblings();
    let path = "/v1/kv/drafts/page?level=all";
    let mut client = cluster.nodes[0].client();
    client.send("PUT", path, &[("Content-Type", "text/html")], b"a").expect(204);
    client.put(path, "b").expect(204);
    let page = client.get(path).expect(300).json();
    let mut types: Vec<&str> = page["siblings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["content_type"].as_str().unwrap())
        .collect();
    types.sort_unstable();
    assert_eq!(types, ["application/octet-stream", "text/html"]);
}

#[test]
fn conflicts_are_counted_once_per_pair_and_not_for_plain_overwrites() {
    let _turn = turn::shared();
    let cluster = with_siblings();
    let mut client = cluster.nodes[0].client();
    for number in 0..5 {
        client.put("/v1/kv/default/k?level=all", format!("{number}")).expect(204);
    }
    client.put("/v1/kv/drafts/page?level=all", "mine").expect(204);
    cluster.nodes[1].client().put("/v1/kv/drafts/page?level=all", "yours").expect(204);
    // Through whichever node they met: by replication or, at the second coordinator, by its own write.
    for node in &cluster.nodes {
        let page = node.metrics();
        let conflicts = |bucket: &str, resolution: &str| {
            page.expect(&format!("settle_conflicts_total{{bucket=\"{bucket}\",resolution=\"{resolution}\"}}"))
        };
        assert_eq!(conflicts("default", "lww"), 0.0, "{}", node.name);
        assert_eq!(conflicts("drafts", "siblings"), 1.0, "{}", node.name);
    }
}

#[test]
fn the_last_write_wins_through_whichever_node() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    for round in 0..30 {
        let value = format!("round {round}");
        cluster.nodes[round % 3].client().put("/v1/kv/default/k?level=quorum", &value).expect(204);
        let reader = &cluster.nodes[(round + 1) % 3];
        assert_eq!(reader.client().get("/v1/kv/default/k?level=quorum").expect(200).text(), value);
    }
    cluster.nodes[0].client().delete("/v1/kv/default/k?level=quorum").expect(204);
    cluster.nodes[1].client().get("/v1/kv/default/k?level=quorum").problem(404, "no-value");
    // A delete of nothing is no error.
    cluster.nodes[2].client().delete("/v1/kv/default/k?level=quorum").expect(204);
    cluster.nodes[2].client().put("/v1/kv/default/k?level=quorum", "again").expect(204);
    assert_eq!(cluster.nodes[0].client().get("/v1/kv/default/k?level=quorum").expect(200).text(), "again");
}

#[test]
fn values_come_back_as_they_were_put() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    let (mut writer, mut reader) = (cluster.nodes[0].client(), cluster.nodes[1].client());
    let path = "/v1/kv/default/k?level=quorum";
    writer
        .send("PUT", path, &[("Content-Type", "text/plain; charset=utf-8")], "gr\u{fc}n".as_bytes())
        .expect(204);
    let reply = reader.get(path).expect(200);
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.text(), "gr\u{fc}n");
    // Without a content type nothing is remembered of the one before.
    writer.put(path, "plain").expect(204);
    assert_eq!(reader.get(path).expect(200).header("content-type"), Some("application/octet-stream"));
    // Nothing is a value; so is every byte, and as much as is allowed.
    let every: Vec<u8> = (0..=255).collect();
    for value in [Vec::new(), every, vec![0; 1 << 20]] {
        writer.put(path, &value).expect(204);
        assert!(reader.get(path).expect(200).body == value, "a value of {} bytes", value.len());
    }
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    let path = "/v1/kv/default/k?level=all";
    let mut client = cluster.nodes[0].client();
    client.send("HEAD", path, &[], b"").expect(404);
    client.send("PUT", path, &[("Content-Type", "text/plain")], b"four").expect(204);
    let head = client.send("HEAD", path, &[], b"").expect(200);
    assert_eq!((head.header("content-type"), head.header("content-length")), (Some("text/plain"), Some("4")));
    assert!(!head.context().is_empty());
    // Had there been a body, it would be taken for the next reply.
    assert_eq!(client.get(path).expect(200).text(), "four");
}
