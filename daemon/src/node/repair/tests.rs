//! Reads among replicas that a test plays: they answer what it tells them, or nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use settle_core::clock::Clock;
use settle_core::dot::{Dot, Epoch, NodeId, Origin};
use settle_core::entry::{Entry, Version};
use settle_core::hlc::Hlc;
use settle_core::layout::Layout;
use settle_core::layout::steps::LayoutState;
use settle_core::level::Level;
use settle_core::partition::Compared;
use settle_core::placement::Replication;
use settle_core::roster::Member;
use settle_service::metrics::Metrics;
use settle_wire::Limits;
use settle_wire::hello::{Hello, VERSION_NEWEST, VERSION_OLDEST};
use settle_wire::link::Link;
use settle_wire::message::Request;
use settle_wire::serve::{Batch, Replies, Service, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::node::ReadRequest;
use crate::peer::Contact;
use crate::testing::open;

/// A deadline that is not reached, even on a slow day, and one that is.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

/// A replica that the test plays.
struct Played {
    id: NodeId,
    /// What it holds; `None`: it never answers.
    holds: Option<Held>,
    /// Whether it answers repairs.
    repairs: bool,
    /// What was repaired.
    repaired: Mutex<Vec<Repair>>,
}

impl Service for Played {
    fn frame(&self, _: &Hello, batch: Batch, replies: &Arc<Replies>) {
        for message in batch.messages {
            match message {
                Request::Ask { id, question: Question::Compare { have, .. } } => {
                    let Some(held) = &self.holds else { continue };
                    let known = held.known();
                    let news = !have.known.covers(&known);
                    let same =
                        settle_core::partition::Have::of(&held.entry, Clock::new()).siblings == have.siblings;
                    let compared = if same && !news {
                        Compared::Same { known }
                    } else {
                        Compared::Differs { held: held.clone(), news }
                    };
                    replies.answer(id, &Answer::Compared(compared));
                }
                Request::Ask { id, question: Question::Repair { repair, .. } } => {
                    self.repaired.lock().unwrap().push(repair);
                    if self.repairs {
                        replies.answer(id, &Answer::Repaired { changed: true });
                    }
                }
                _ => {}
            }
        }
    }
}

/// The node under test, and the replicas around it, the nearest first.
struct Scene {
    node: Arc<Node>,
    metrics: Metrics,
    others: Vec<Arc<Played>>,
    _directory: TempDir,
}

impl Scene {
    async fn new(settings: &str, others: Vec<Played>) -> Self {
        let scene = Self::unborn(settings, others).await;
        scene.node.found(1).await.unwrap();
        scene
    }

    /// On the way from a layout without the last one of `others` to one without the one before it.
    async fn moving(others: Vec<Played>) -> Self {
        let scene = Self::unborn("", others).await;
        let peers = scene.others.iter().map(|other| scene.node.peer(other.id).unwrap().host());
        let mut hosts: Vec<_> = std::iter::once(scene.node.host()).chain(peers).collect();
        let joining = hosts.pop().unwrap();
        let three = Replication::Everywhere(3);
        let partitions = scene.node.partition_count();
        let (layout, _) = Layout::born(1, hosts.clone(), three.clone(), partitions).unwrap();
        hosts.last_mut().unwrap().holds_data = false;
        hosts.push(joining);
        let (next, _) = layout.next(hosts, three).unwrap();
        let mut state = LayoutState::new(layout);
        assert!(state.decide(next));
        scene.node.adopt(state).await.unwrap();
        scene
    }

    async fn unborn(settings: &str, others: Vec<Played>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Nobody answers echoes here: what is not silent for an hour is up.
        let settings = format!("{settings}\n[cluster]\nexpect = 3\n[echo]\ninterval = \"1h\"\n");
        let (node, metrics) = open(directory.path(), &settings);
        let others: Vec<Arc<Played>> = others.into_iter().map(Arc::new).collect();
        for (distance, played) in others.iter().enumerate() {
            let name = format!("n{}", played.id.0);
            let peer = node.admit(Member { node: played.id, name: name.clone() }).unwrap().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let (service, theirs) = (Arc::clone(played), hello(&node, &name, played.id));
            tokio::spawn(async move {
                let (stream, remote) = listener.accept().await.unwrap();
                serve(stream, remote, &theirs, |_| Ok(()), &service, Limits::default()).await
            });
            let own = hello(&node, "n1", node.origin.node);
            let (link, _) = Link::connect(&address, &own, Limits::default()).await.unwrap();
            peer.connected(link, Contact::default());
            let now = crate::clock::now();
            let nanos = Duration::from_micros(distance as u64 + 1);
            peer.answered(crate::clock::earlier(now, nanos), now);
        }
        Self { node, metrics, others, _directory: directory }
    }

    async fn read(&self, level: Level, within: Duration) -> Result<Vec<Bytes>, ReadError> {
        let deadline = Instant::now() + within;
        let outcome = self
            .node
            .read(ReadRequest { key: key(), level, deadline, routes: self.node.routes_for_request() })
            .await?;
        Ok(outcome.entry.siblings.into_iter().map(|(_, version)| version.payload).collect())
    }

    /// What the node under test shows.
    fn own(&self) -> Vec<(Dot, Version)> {
        self.node.held(&key()).unwrap().entry.siblings
    }

    /// What was repaired at one of the others.
    fn repaired(&self, at: usize) -> Vec<Repair> {
        self.others[at].repaired.lock().unwrap().clone()
    }

    /// The counts that are not 0.
    fn counts(&self) -> BTreeMap<String, u64> {
        let page = String::from_utf8(self.metrics.render()).unwrap();
        let lines = page.lines().filter_map(|line| line.strip_prefix("settle_read_repairs_total"));
        let counts = lines.map(|line| line.rsplit_once(' ').unwrap());
        counts
            .map(|(labels, count)| (labels.to_owned(), count.parse().unwrap()))
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    fn count(&self, mode: &str, result: &str) -> u64 {
        let labels = format!("{{mode=\"{mode}\",result=\"{result}\"}}");
        self.counts().get(&labels).copied().unwrap_or_default()
    }

    /// Waits for what is counted in the background.
    async fn counted(&self, result: &str) {
        tokio::time::timeout(LONG, async {
            while self.count("background", result) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
}

fn hello(node: &Node, name: &str, id: NodeId) -> Hello {
    Hello {
        version_newest: VERSION_NEWEST,
        version_oldest: VERSION_OLDEST,
        cluster: "settle".to_owned(),
        partitions: node.partition_count(),
        origin: Origin { node: id, epoch: Epoch(1) },
        name: name.to_owned(),
        api: String::new(),
        admin: String::new(),
        peer: String::new(),
        fence: 0,
        datacenter: String::new(),
        zone: String::new(),
        buckets: Vec::new(),
    }
}

fn key() -> Key {
    Key::new("default", b"k")
}

/// The state after one write of node 9, or none.
fn held(value: Option<&'static str>) -> Held {
    let mut held = Held::default();
    if let Some(value) = value {
        let dot = Dot { origin: Origin { node: NodeId(9), epoch: Epoch(1) }, counter: 1 };
        held.entry.insert(dot, Version { stamp: Hlc(1), payload: Bytes::from_static(value.as_bytes()) });
        held.clock.add(dot);
    }
    held
}

fn played(id: u64, holds: Option<Held>, repairs: bool) -> Played {
    Played { id: NodeId(id), holds, repairs, repaired: Mutex::default() }
}

#[tokio::test]
async fn what_this_node_lacks_is_durable_here_before_it_is_shown() {
    let newest = || Some(held(Some("v")));
    let scene = Scene::new("", vec![played(2, newest(), true), played(3, newest(), false)]).await;
    assert_eq!(scene.read(Level::Quorum, LONG).await.unwrap(), [Bytes::from("v")]);
    assert_eq!(scene.own(), held(Some("v")).entry.siblings);
    assert_eq!(scene.read(Level::Quorum, LONG).await.unwrap(), [Bytes::from("v")]);
    assert_eq!((scene.count("blocking", "applied"), scene.count("blocking", "no_diff")), (1, 1));
    assert!(scene.repaired(0).is_empty(), "it held it already");
}

#[tokio::test]
async fn those_that_a_read_did_not_need_are_repaired_behind_it() {
    let others = vec![played(2, Some(held(Some("v"))), true), played(3, Some(held(None)), true)];
    let scene = Scene::new("", others).await;
    assert_eq!(scene.read(Level::Quorum, LONG).await.unwrap(), [Bytes::from("v")]);
    scene.counted("applied").await;
    assert_eq!(scene.own(), held(Some("v")).entry.siblings);
    assert_eq!((scene.repaired(0).len(), scene.repaired(1).len()), (0, 1));
}

#[tokio::test]
async fn a_replica_that_cannot_be_repaired_is_made_up_for_by_another() {
    let scene = Scene::new("", vec![played(2, Some(held(None)), false), played(3, None, true)]).await;
    let repair =
        Repair { key: key(), entry: Entry { context: held(Some("v")).known(), ..held(Some("v")).entry } };
    let id = key().partition(scene.node.partition_count());
    let (done, durable) = oneshot::channel();
    scene.node.repair_here(id, &repair, |_| Waiter::Task(done)).unwrap();
    durable.await.unwrap();
    assert_eq!(scene.read(Level::Quorum, LONG).await.unwrap(), [Bytes::from("v")]);
    assert_eq!((scene.repaired(0), scene.repaired(1)), (vec![repair.clone()], vec![repair]));
    assert_eq!((scene.count("blocking", "applied"), scene.count("blocking", "error")), (1, 0));
}

#[tokio::test]
async fn a_read_whose_repair_fails_is_late_rather_than_silently_older_next_time() {
    let others = vec![played(2, Some(held(None)), false), played(3, Some(held(Some("v"))), false)];
    let scene = Scene::new("", others).await;
    let refused = scene.read(Level::All, SHORT).await.unwrap_err();
    assert!(matches!(refused, ReadError::Unrepaired { holders: 2, needed: 3 }), "{refused}");
    assert_eq!(scene.count("blocking", "error"), 1);
}

#[tokio::test]
async fn the_next_replica_is_asked_when_the_nearest_is_slow() {
    let scene = Scene::new("", vec![played(2, None, false), played(3, Some(held(None)), true)]).await;
    assert_eq!(scene.read(Level::Quorum, LONG).await.unwrap(), Vec::<Bytes>::new());
    assert_eq!(scene.counts().len(), 1, "{:?}", scene.counts());
    let refused = scene.read(Level::All, SHORT).await.unwrap_err();
    assert_eq!(refused.to_string(), "2 of 3 replicas answered in time");
}

#[tokio::test]
async fn a_single_read_compares_by_chance_and_never_in_reserved_buckets() {
    let others = || vec![played(2, Some(held(Some("v"))), true), played(3, Some(held(None)), true)];
    let never = Scene::new("[read_repair]\nchance = 0.0", others()).await;
    assert_eq!(never.read(Level::One, LONG).await.unwrap(), Vec::<Bytes>::new());
    let scene = Scene::new("[read_repair]\nchance = 1.0", others()).await;
    let canary = ReadRequest {
        key: Key::new("_canary", b"k"),
        level: Level::One,
        deadline: Instant::now() + LONG,
        routes: scene.node.routes_for_request(),
    };
    scene.node.read(canary).await.unwrap();
    assert_eq!(scene.read(Level::One, LONG).await.unwrap(), Vec::<Bytes>::new());
    scene.counted("applied").await;
    assert_eq!(scene.read(Level::One, LONG).await.unwrap(), [Bytes::from("v")]);
    assert_eq!((scene.repaired(0).len(), scene.repaired(1).len()), (0, 1));
    assert_eq!((never.counts().len(), scene.count("background", "error")), (0, 0));
}

/// This node and 2 stay, 3 leaves, 4 is new.
#[tokio::test]
async fn what_is_shown_during_a_layout_change_is_held_by_a_quorum_of_the_old_and_of_the_new_replicas() {
    let scene = |four: Played| {
        Scene::moving(vec![played(2, None, false), played(3, Some(held(Some("v"))), false), four])
    };
    let good = scene(played(4, Some(held(None)), true)).await;
    assert_eq!(good.read(Level::Quorum, LONG).await.unwrap(), [Bytes::from("v")]);
    assert_eq!(good.own(), held(Some("v")).entry.siblings);
    assert_eq!(good.repaired(2).len(), 1, "the new replica held nothing");

    // Two of three old ones hold it and answer; of the new ones this node alone.
    let bad = scene(played(4, Some(held(None)), false)).await;
    let refused = bad.read(Level::Quorum, SHORT).await.unwrap_err();
    assert!(matches!(refused, ReadError::Unrepaired { holders: 1, needed: 2 }), "{refused}");
    let silent = scene(played(4, None, true)).await;
    let refused = silent.read(Level::Quorum, SHORT).await.unwrap_err();
    assert_eq!(refused.to_string(), "1 of 2 replicas answered in time");
    // One replica's word is one replica's word.
    assert_eq!(silent.read(Level::One, LONG).await.unwrap(), Vec::<Bytes>::new());
}
