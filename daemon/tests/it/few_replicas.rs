//! Too few live replicas: the answer comes at once and says how many were needed and how many are alive.

use std::time::{Duration, Instant};

use crate::support::wait::PATIENCE;
use crate::support::{Cluster, turn, wait_for};

/// The deadline that the requests carry, so that an answer that waited for it stands out.
const DEADLINE: &str = "timeout=30s";

/// What "at once" is, against that deadline.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn a_quorum_that_cannot_be_met_is_refused_at_once() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    cluster.nodes[0].client().put("/v1/kv/default/k?level=all", "old").expect(204);
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let left = &cluster.nodes[0];
    for name in ["n2", "n3"] {
        wait_for(&format!("n1 knows that {name} is down"), PATIENCE, || {
            (left.member(name).unwrap()["up"] == false).then_some(())
        });
    }
    for (level, needed) in [("quorum", 2), ("all", 3)] {
        for method in ["PUT", "GET", "DELETE"] {
            let path = format!("/v1/kv/default/k?level={level}&{DEADLINE}");
            let begun = Instant::now();
            let reply = left.client().send(method, &path, &[], b"new");
            assert!(begun.elapsed() < AT_ONCE, "{method} at {level} took {:?}", begun.elapsed());
            assert!(reply.header("retry-after").is_some(), "{method} at {level}");
            let problem = reply.problem(503, "not-enough-replicas");
            assert_eq!((&problem["needed"], &problem["alive"]), (&needed.into(), &1.into()), "{problem}");
        }
    }
    // What was refused has not happened, and one replica is enough for one.
    assert_eq!(left.client().get("/v1/kv/default/k?level=one").expect(200).text(), "old");
    left.client().put("/v1/kv/default/k?level=one", "new").expect(204);
    assert_eq!(left.client().get("/v1/kv/default/k?level=one").expect(200).text(), "new");
    // One more replica is a quorum again.
    cluster.nodes[1].spawn();
    wait_for("a quorum is there again", PATIENCE, || {
        let reply = cluster.nodes[0].client().get("/v1/kv/default/k?level=quorum");
        (reply.status == 200).then(|| assert_eq!(reply.text(), "new"))
    });
}

#[test]
fn a_node_that_knows_too_few_others_is_not_ready_and_says_so() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(3);
    cluster.nodes[0].start();
    let alone = &cluster.nodes[0];
    wait_for("the reason is told", PATIENCE, || {
        let page = alone.admin().get("/readyz").expect(503).text();
        page.contains("not ready: layout: 1 of 3 expected nodes are known").then_some(())
    });
    assert_eq!(alone.metrics().expect("settle_ready"), 0.0);
    // What it took in alone might never reach anybody: its seeds may be wrong.
    for level in ["one", "quorum"] {
        alone.client().put(&format!("/v1/kv/default/k?level={level}"), "v").problem(503, "not-joined");
        alone.client().get(&format!("/v1/kv/default/k?level={level}")).problem(503, "not-joined");
    }
    cluster.start_all();
    assert_eq!(cluster.nodes[0].metrics().expect("settle_ready"), 1.0);
    cluster.nodes[0].client().put("/v1/kv/default/k?level=all", "v").expect(204);
}
