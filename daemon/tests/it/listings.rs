//! Keys of any bytes, and listing them.

use std::collections::BTreeSet;

use crate::support::{Client, Cluster, turn};

fn encode(key: &[u8]) -> String {
    key.iter().map(|byte| format!("%{byte:02x}")).collect()
}

fn decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let digits = |bytes: &mut std::str::Bytes<'_>| [bytes.next().unwrap(), bytes.next().unwrap()];
        out.push(match byte {
            b'%' => u8::from_str_radix(str::from_utf8(&digits(&mut bytes)).unwrap(), 16).unwrap(),
            plain => plain,
        });
    }
    out
}

/// All keys of a listing, page by page, and how many pages there were.
fn list(client: &mut Client, bucket: &str, query: &str) -> (Vec<Vec<u8>>, usize) {
    let (mut keys, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = client.get(&format!("/v1/keys/{bucket}?{query}{cursor}")).expect(200).json();
        pages += 1;
        keys.extend(page["keys"].as_array().unwrap().iter().map(|key| decode(key.as_str().unwrap())));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (keys, pages),
        }
    }
}

#[test]
fn keys_may_hold_any_bytes() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    let mut keys: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    keys.extend([b"a/b".to_vec(), b"a?b=c&d#e".to_vec(), b"%41".to_vec(), vec![0; 1024], "\u{fc}".into()]);
    for (at, key) in keys.iter().enumerate() {
        let path = format!("/v1/kv/default/{}?level=quorum", encode(key));
        cluster.nodes[at % 3].client().put(&path, format!("value {at}")).expect(204);
    }
    for (at, key) in keys.iter().enumerate() {
        let path = format!("/v1/kv/default/{}?level=quorum", encode(key));
        let reply = cluster.nodes[(at + 1) % 3].client().get(&path);
        assert_eq!(reply.expect(200).text(), format!("value {at}"), "{key:?}");
    }
    // The escaped form and the plain one are the same key.
    assert_eq!(cluster.nodes[0].client().get("/v1/kv/default/A?level=quorum").expect(200).text(), "value 65");
    let one = &cluster.nodes[0];
    let expected: BTreeSet<Vec<u8>> = keys.iter().cloned().collect();
    for (at, key) in keys.iter().enumerate() {
        // At all, so that the listing node has every key.
        one.client().put(&format!("/v1/kv/default/{}?level=all", encode(key)), format!("{at}")).expect(204);
    }
    for node in &cluster.nodes {
        let (listed, _) = list(&mut node.client(), "default", "limit=1000");
        assert_eq!(listed.len(), expected.len(), "{}", node.name);
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected, "{}", node.name);
    }
}

#[test]
fn pages_hold_every_live_key_of_one_bucket_once() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(1);
    cluster.nodes[0].configuration.bucket("other", "lww");
    cluster.start_all();
    let mut client = cluster.nodes[0].client();
    for number in 0..250 {
        client.put(&format!("/v1/kv/default/user-{number}"), "v").expect(204);
    }
    client.put("/v1/kv/default/group-1", "v").expect(204);
    client.put("/v1/kv/other/user-elsewhere", "v").expect(204);
    for number in 0..250 {
        if number % 5 == 0 {
            client.delete(&format!("/v1/kv/default/user-{number}")).expect(204);
        }
    }
    let expected: BTreeSet<Vec<u8>> = (0..250)
        .filter(|number| number % 5 != 0)
        .map(|number| format!("user-{number}").into_bytes())
        .collect();
    for (limit, pages_min) in [(1, 200), (30, 7), (1000, 1)] {
        let (keys, pages) = list(&mut client, "default", &format!("prefix=user-&limit={limit}"));
        assert_eq!(keys.len(), 200, "limit {limit}: each key once");
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), expected, "limit {limit}");
        assert!(pages >= pages_min, "limit {limit}: {pages} pages");
    }
    let (all, _) = list(&mut client, "default", "limit=1000");
    assert_eq!(all.len(), 201);
    assert_eq!(list(&mut client, "other", "limit=10").0, [b"user-elsewhere"]);
    assert_eq!(list(&mut client, "default", "prefix=nobody&limit=10").0, Vec::<Vec<u8>>::new());
}

#[test]
fn wrong_listings_are_refused() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(1);
    cluster.nodes[0].configuration.bucket("other", "lww");
    cluster.start_all();
    let mut client = cluster.nodes[0].client();
    for key in ["a", "b"] {
        client.put(&format!("/v1/kv/other/{key}"), "v").expect(204);
    }
    let page = client.get("/v1/keys/other?limit=1").expect(200).json();
    let elsewhere = format!("/v1/keys/default?cursor={}", page["cursor"].as_str().unwrap());
    for wrong in
        ["/v1/keys/default?limit=0", "/v1/keys/default?limit=x", "/v1/keys/default?cursor=%%", &elsewhere]
    {
        client.get(wrong).problem(400, "bad-request");
    }
    client.get("/v1/keys/nobody").problem(404, "unknown-bucket");
}
