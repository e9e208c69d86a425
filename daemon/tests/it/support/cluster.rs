//! Several nodes that know of each other.

use tempfile::TempDir;

use super::node::Node;
use super::wait::{PATIENCE, wait_for};

/// A cluster in a temporary directory. All processes are killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    directory: TempDir,
}

impl Cluster {
    /// `size` nodes called n1, n2, ..., none started; each has all of them as seeds.
    pub(crate) fn new(size: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut nodes: Vec<Node> =
            (1..=size).map(|number| Node::new(directory.path(), &format!("n{number}"))).collect();
        let seeds: Vec<String> = nodes.iter().map(|node| node.peer.to_string()).collect();
        for node in &mut nodes {
            node.configuration
                .literal("cluster.seeds", &format!("{seeds:?}"))
                .literal("cluster.expect", &size.to_string());
        }
        Self { nodes, directory }
    }

    /// `size` nodes that run and are connected.
    pub(crate) fn start(size: usize) -> Self {
        let mut cluster = Self::new(size);
        cluster.start_all();
        cluster
    }

    /// Starts the nodes that do not run, and waits until all are connected.
    pub(crate) fn start_all(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| !node.is_running()) {
            node.spawn();
        }
        for node in &mut self.nodes {
            node.wait_answering();
        }
        self.wait_connected();
    }

    /// A further node, not started, that has the first one as seed and is not among the others' seeds.
    pub(crate) fn newcomer(&self, name: &str) -> Node {
        let mut node = Node::new(self.directory.path(), name);
        let expect = self.nodes.len().to_string();
        let seed = self.nodes[0].peer.to_string();
        node.configuration
            .literal("cluster.seeds", &format!("{:?}", [seed]))
            .literal("cluster.expect", &expect);
        node
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// The running nodes but one.
    pub(crate) fn others(&self, index: usize) -> impl Iterator<Item = &Node> {
        let name = self.nodes[index].name.clone();
        self.running().filter(move |node| node.name != name)
    }

    /// Waits until every running node is ready and connected with every other running one.
    pub(crate) fn wait_connected(&self) {
        for node in self.running() {
            let what = format!("{} is ready and connected with the others", node.name);
            wait_for(&what, PATIENCE, || {
                let ready = node.admin().get("/readyz").status == 200;
                let page = node.admin().get("/v1/members").expect(200).json();
                let members = page["members"].as_array().unwrap().clone();
                let up = |other: &Node| {
                    members.iter().any(|member| member["name"] == *other.name && member["up"] == true)
                };
                (ready && self.running().all(up)).then_some(())
            });
        }
    }
}
