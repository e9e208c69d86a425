//! Tests of the answering side, over loopback.

use std::time::Duration;

use settle_core::dot::{Epoch, NodeId, Origin};
use settle_wire::hello::{HelloError, VERSION_NEWEST, VERSION_OLDEST};
use settle_wire::link::{Link, LinkError};

use super::*;
use crate::peer::PeerLink;
use crate::testing::open;

/// For every wait; far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

const OTHER: NodeId = NodeId(2);

fn hello(node: &Node, name: &str, origin: Origin) -> Hello {
    Hello {
        version_newest: VERSION_NEWEST,
        version_oldest: VERSION_OLDEST,
        cluster: "settle".to_owned(),
        partitions: node.partition_count(),
        origin,
        name: name.to_owned(),
        api: String::new(),
        admin: String::new(),
        peer: String::new(),
        fence: 0,
        buckets: Vec::new(),
        datacenter: "default".to_owned(),
        zone: "default".to_owned(),
    }
}

async fn connect(node: &Node, address: &str, epoch: u64) -> Result<Arc<PeerLink>, LinkError> {
    let greeting = hello(node, "n2", Origin { node: OTHER, epoch: Epoch(epoch) });
    Link::connect(address, &greeting, Limits::default()).await.map(|(link, _)| link)
}

#[tokio::test]
async fn an_older_process_is_cut_off_once_a_newer_one_was_met() {
    let directory = tempfile::tempdir().unwrap();
    let (node, _) = open(directory.path(), "");
    node.admit(Member { node: OTHER, name: "n2".to_owned() }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let own = Arc::new(hello(&node, "n1", node.origin));
    let shutdown = Shutdown::new();
    let accepting = tokio::spawn(accept(Arc::clone(&node), listener, own, shutdown.clone()));

    let older = connect(&node, &address, 1).await.unwrap();
    older.echo(0, PATIENCE).await.unwrap();
    let newer = connect(&node, &address, 2).await.unwrap();
    newer.echo(0, PATIENCE).await.unwrap();
    older.echo(0, PATIENCE).await.unwrap_err();
    tokio::time::timeout(PATIENCE, older.closed()).await.unwrap();
    newer.echo(0, PATIENCE).await.unwrap();
    let refused = connect(&node, &address, 1).await.unwrap_err();
    let LinkError::Hello { error: HelloError::ByPeer(refusal), .. } = refused else { panic!("{refused}") };
    assert_eq!(refusal.code, RefusalCode::Identity);

    shutdown.trigger();
    accepting.await.unwrap();
    assert!(node.readiness.reasons().iter().all(|(part, _)| part != "peers"));
}
