//! A replica stopped with SIGSTOP: the others' lag behind it grows and comes back down, levels that do not need it go
//! on, levels that do fail at once.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Cluster, Node, turn, wait_for};

const STOPPED: Duration = Duration::from_secs(6);

/// How long things may take to be normal again after SIGCONT.
const BACK_TO_NORMAL: Duration = Duration::from_secs(10);

/// A lag of an idle cluster is below this, in seconds.
const NORMAL: f64 = 0.5;

fn lag(node: &Node, peer: &str) -> f64 {
    node.metrics().expect(&format!("settle_replication_lag_seconds{{peer=\"{peer}\"}}"))
}

fn state(node: &Node, peer: &str) -> String {
    node.member(peer).unwrap()["state"].as_str().unwrap().to_owned()
}

#[test]
fn lag_grows_while_a_replica_is_stopped_and_returns_when_it_goes_on() {
    let _turn = turn::alone();
    let cluster = Cluster::start(3);
    let watchers = &cluster.nodes[..2];
    for node in watchers {
        wait_for("the lag is normal at first", BACK_TO_NORMAL, || (lag(node, "n3") < NORMAL).then_some(()));
    }
    let stopped = &cluster.nodes[2];
    stopped.signal(Signal::STOP);
    let since = Instant::now();
    for node in watchers {
        wait_for("the stopped one counts as down", STOPPED, || {
            (node.member("n3").unwrap()["up"] == false).then_some(())
        });
        assert_ne!(state(node, "n3"), "alive", "{}", node.name);
    }
    let mut writes = 0;
    let mut grown = [false; 2];
    let mut last = [0.0; 2];
    while since.elapsed() < STOPPED {
        let node = &watchers[writes % 2];
        let path = format!("/v1/kv/default/k{writes}?level=quorum&timeout=30s");
        node.client().put(&path, "while stopped").expect(204);
        writes += 1;
        for (at, node) in watchers.iter().enumerate() {
            let now = lag(node, "n3");
            assert!(now > last[at], "{}: the lag went from {} to {now}", node.name, last[at]);
            assert!(
                now <= since.elapsed().as_secs_f64() + NORMAL,
                "{}: {now} is more than passed",
                node.name
            );
            grown[at] |= now > 5.0;
            last[at] = now;
        }
        // What is not behind does not look behind.
        assert!(lag(&watchers[0], "n2") < NORMAL + 1.0);
    }
    assert_eq!(grown, [true; 2], "the lag after {STOPPED:?} is {last:?}");
    assert!(writes > 1, "quorum writes went on");
    let begun = Instant::now();
    let refused = watchers[0].client().put("/v1/kv/default/k0?level=all&timeout=30s", "never");
    let problem = refused.problem(503, "not-enough-replicas");
    assert_eq!((&problem["needed"], &problem["alive"]), (&3.into(), &2.into()));
    assert!(begun.elapsed() < Duration::from_secs(5), "refused after {:?}", begun.elapsed());

    stopped.signal(Signal::CONT);
    let since = Instant::now();
    for node in watchers {
        let left = BACK_TO_NORMAL.saturating_sub(since.elapsed());
        wait_for("the lag is normal again", left, || (lag(node, "n3") < NORMAL).then_some(()));
    }
    let left = BACK_TO_NORMAL.saturating_sub(since.elapsed());
    wait_for("the stopped one sees the others again", left, || {
        ["n1", "n2"].iter().all(|peer| lag(stopped, peer) < NORMAL).then_some(())
    });
    // A lag that is low again says that everything acknowledged before is there.
    for key in 0..writes {
        let reply = stopped.client().get(&format!("/v1/kv/default/k{key}?replica=self"));
        assert_eq!(reply.expect(200).text(), "while stopped");
    }
    cluster.wait_connected();
    assert_eq!(state(&watchers[0], "n3"), "alive");
    watchers[0].client().put("/v1/kv/default/k0?level=all&timeout=30s", "all again").expect(204);
}
