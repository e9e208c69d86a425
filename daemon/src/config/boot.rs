//! What only a restart can change.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use settle_core::merkle::Secret;
use settle_service::config::{Reader, parse_host_port};

use super::bucket::Bucket;
use super::live::count;
use super::secret::ClusterSecret;

/// The longest name of a node, cluster, datacenter or zone, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// The most partitions; each costs a clock in memory and a line in every exchange.
const PARTITIONS_MAX: u64 = 4096;

/// The smallest cache, in bytes: with less, hardly anything would be found in it.
const CACHE_BYTES_MIN: u64 = 1 << 20;

/// The most nodes of a cluster.
const NODES_MAX: u64 = 256;

/// The boot part.
#[derive(Debug, Clone, PartialEq)]
pub struct Boot {
    /// `[node]`.
    pub node: Node,
    /// `[listen]`.
    pub listen: Listen,
    /// `[advertise]`.
    pub advertise: Advertise,
    /// `[cluster]`.
    pub cluster: Cluster,
    /// Size of the storage's cache, in bytes.
    pub cache_bytes: u64,
    /// All buckets, sorted by name, with `default` and the reserved `_canary`.
    pub buckets: Vec<Bucket>,
    /// Base URL of a collector of traces; none: no traces.
    pub otlp_endpoint: Option<String>,
    /// The part of traces begun here that is kept, 0 to 1.
    pub sample_ratio: f64,
}

/// Who this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, unique in the cluster.
    pub name: String,
    /// Where it keeps its data.
    pub data_dir: PathBuf,
    /// The datacenter that it is in.
    pub datacenter: String,
    /// The zone that it is in.
    pub zone: String,
}

/// Where this node listens; port 0 is any free port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Clients (HTTP).
    pub api: SocketAddr,
    /// Other nodes (TCP and UDP).
    pub peer: SocketAddr,
    /// Operators, Prometheus and the sidecar (HTTP).
    pub admin: SocketAddr,
}

/// What others are told to use, as far as it is configured; see [`Boot::advertised`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise {
    /// For clients.
    pub api: Option<String>,
    /// For other nodes.
    pub peer: Option<String>,
    /// For operators, Prometheus and sidecars.
    pub admin: Option<String>,
}

/// `host:port` of each listener as others are told, the host an address or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// For clients.
    pub api: String,
    /// For other nodes.
    pub peer: String,
    /// For operators, Prometheus and sidecars.
    pub admin: String,
}

/// The cluster that this node belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name; nodes of other names are not talked to.
    pub name: String,
    /// `host:port` of nodes to begin with; names are resolved whenever they are used.
    pub seeds: Vec<String>,
    /// Nodes that the cluster has at birth.
    pub expect: usize,
    /// Slices of the data, a power of two, the same on every node.
    pub partitions: u32,
    /// Replicas of each key.
    pub replication: usize,
    /// What its nodes know and nobody else.
    pub secret: Option<ClusterSecret>,
}

// === impl Cluster ===

impl Cluster {
    /// What the hash trees of its partitions are computed with.
    #[must_use]
    pub fn tree_secret(&self) -> Secret {
        ClusterSecret::of_trees(self.secret.as_ref(), &self.name)
    }
}

// === impl Boot ===

impl Boot {
    /// What to tell others, given what the listeners got. A host that is not configured is that of `advertise.peer`
    /// where the listener takes any address, and loopback when there is none: then only this machine can connect.
    #[must_use]
    pub fn advertised(&self, bound: &Listen) -> Advertised {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST).to_string();
        let peer = told(self.advertise.peer.as_deref(), bound.peer, &loopback);
        let host = parse_host_port(&peer).map_or(loopback.as_str(), |(host, _)| host);
        let api = told(self.advertise.api.as_deref(), bound.api, host);
        let admin = told(self.advertise.admin.as_deref(), bound.admin, host);
        Advertised { api, admin, peer }
    }

    /// The bucket of this name, if it is declared.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Option<&Bucket> {
        let index = self.buckets.binary_search_by(|bucket| bucket.name.as_str().cmp(name)).ok()?;
        self.buckets.get(index)
    }

    /// Everything but buckets and telemetry, which follow in the printed configuration.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let node = read_node(reader);
        let listen = read_listen(reader);
        let advertise = read_advertise(reader);
        let cluster = read_cluster(reader);
        check_ports(reader, &listen);
        check_reachable(reader, &listen, &advertise, &cluster);
        let doc = "Memory for recently used data.";
        let cache_bytes = reader.size("storage.cache", "64MiB", doc);
        if cache_bytes < CACHE_BYTES_MIN {
            let problem =
                format!("{cache_bytes} bytes is less than 1 MiB; is a unit missing, as in \"64MiB\"?");
            reader.reject("storage.cache", problem);
        }
        let (buckets, otlp_endpoint, sample_ratio) = (Vec::new(), None, 0.0);
        Self { node, listen, advertise, cluster, cache_bytes, buckets, otlp_endpoint, sample_ratio }
    }

    /// The keys in which `new` differs.
    pub(super) fn changes(&self, new: &Self) -> Vec<String> {
        // Taken apart in full, so that a new field cannot be forgotten here.
        let Self { node, listen, advertise, cluster, cache_bytes, buckets, otlp_endpoint, sample_ratio } =
            self;
        let Node { name, data_dir, datacenter, zone } = node;
        let Listen { api, peer, admin } = listen;
        let Advertise { api: told_api, peer: told_peer, admin: told_admin } = advertise;
        let Cluster { name: cluster_name, seeds, expect, partitions, replication, secret } = cluster;
        let same = [
            ("node.name", *name == new.node.name),
            ("node.data_dir", *data_dir == new.node.data_dir),
            ("node.datacenter", *datacenter == new.node.datacenter),
            ("node.zone", *zone == new.node.zone),
            ("listen.api", *api == new.listen.api),
            ("listen.peer", *peer == new.listen.peer),
            ("listen.admin", *admin == new.listen.admin),
            ("advertise.api", *told_api == new.advertise.api),
            ("advertise.peer", *told_peer == new.advertise.peer),
            ("advertise.admin", *told_admin == new.advertise.admin),
            ("cluster.name", *cluster_name == new.cluster.name),
            ("cluster.seeds", *seeds == new.cluster.seeds),
            ("cluster.expect", *expect == new.cluster.expect),
            ("cluster.partitions", *partitions == new.cluster.partitions),
            ("cluster.replication", *replication == new.cluster.replication),
            ("cluster.secret_file", *secret == new.cluster.secret),
            ("storage.cache", *cache_bytes == new.cache_bytes),
            ("telemetry.otlp_endpoint", *otlp_endpoint == new.otlp_endpoint),
            ("telemetry.sample_ratio", *sample_ratio == new.sample_ratio),
        ];
        let mut changes: Vec<String> =
            same.into_iter().filter(|(_, same)| !same).map(|(key, _)| key.to_owned()).collect();
        let differs = |a: &[Bucket], b: &[Bucket]| -> Vec<String> {
            a.iter().filter(|bucket| !b.contains(bucket)).map(|bucket| bucket.name.clone()).collect()
        };
        let mut names = [differs(buckets, &new.buckets), differs(&new.buckets, buckets)].concat();
        names.sort();
        names.dedup();
        changes.extend(names.into_iter().map(|name| format!("bucket \"{name}\"")));
        changes
    }
}

/// `configured`, or the listener's address with `host` in the place of "any address".
fn told(configured: Option<&str>, bound: SocketAddr, host: &str) -> String {
    match configured {
        Some(configured) => configured.to_owned(),
        None if bound.ip().is_unspecified() => format!("{host}:{}", bound.port()),
        None => bound.to_string(),
    }
}

fn read_node(reader: &mut Reader) -> Node {
    let name = reader.required_string("node.name", "node-1", "Name of this node, unique in the cluster.");
    if reader.is_set("node.name") {
        check_name(reader, "node.name", &name);
    }
    let doc = "Directory that holds this node's data and identity; no two nodes may share one.";
    let data_dir = reader.required_string("node.data_dir", "/var/lib/settle", doc);
    if reader.is_set("node.data_dir") && data_dir.is_empty() {
        reader.reject("node.data_dir", "must not be empty");
    }
    let datacenter = named(reader, "node.datacenter", "default", "The datacenter that this node is in.");
    let zone = named(reader, "node.zone", "default", "The zone of the datacenter that this node is in.");
    Node { name, data_dir: data_dir.into(), datacenter, zone }
}

fn read_listen(reader: &mut Reader) -> Listen {
    Listen {
        api: reader.address("listen.api", "0.0.0.0:7400", "Clients (HTTP). Port 0 is any free port."),
        peer: reader.address("listen.peer", "0.0.0.0:7401", "Other nodes (TCP and UDP)."),
        admin: reader.address(
            "listen.admin",
            "0.0.0.0:7402",
            "Operators, Prometheus and the sidecar (HTTP).",
        ),
    }
}

fn read_advertise(reader: &mut Reader) -> Advertise {
    let mut read = |key, example, doc| {
        let told = reader.optional_host_port(key, example, doc)?;
        check_advertised(reader, key, &told);
        Some(told)
    };
    Advertise {
        api: read("advertise.api", "10.0.0.7:7400", "What clients should use; default: as for peer."),
        peer: read("advertise.peer", "10.0.0.7:7401", "What other nodes should use; default: listen.peer."),
        admin: read("advertise.admin", "10.0.0.7:7402", "What sidecars should use; default: as for peer."),
    }
}

fn read_cluster(reader: &mut Reader) -> Cluster {
    let name = named(reader, "cluster.name", "settle", "Name of the cluster, the same on every node.");
    let doc = "Nodes to begin with, as \"host:port\" of their peer listeners; may name this node too. In the environment \
               with commas between them, or as a list.";
    let seeds = reader.host_ports("cluster.seeds", &[], doc);
    let doc = "Nodes at birth: quorums are counted over no fewer; default: cluster.replication.";
    let expect = reader.optional_integer("cluster.expect", 3, 1..=NODES_MAX, doc);
    let doc = "Slices of the data, a power of two, the same on every node; fixed at birth.";
    let partitions = reader.integer("cluster.partitions", 128, 1..=PARTITIONS_MAX, doc);
    if !partitions.is_power_of_two() {
        let near = partitions.next_power_of_two();
        reader.reject(
            "cluster.partitions",
            format!("{partitions} is no power of two; use {} or {near}", near / 2),
        );
    }
    let doc = "Replicas of each key; in this version every node is one.";
    let replication = reader.integer("cluster.replication", 3, 1..=NODES_MAX, doc);
    Cluster {
        name,
        seeds,
        expect: count(expect.unwrap_or(replication)),
        partitions: u32::try_from(partitions).unwrap_or(1),
        replication: count(replication),
        secret: ClusterSecret::read(reader),
    }
}

/// Refuses two listeners on one port; none of them is left to the operating system to find out at the start.
fn check_ports(reader: &mut Reader, listen: &Listen) {
    let all = [("listen.api", listen.api), ("listen.peer", listen.peer), ("listen.admin", listen.admin)];
    for (index, (key, address)) in all.into_iter().enumerate() {
        let overlap = |other: &SocketAddr| {
            let any = address.ip().is_unspecified() || other.ip().is_unspecified();
            address.port() != 0 && address.port() == other.port() && (any || address.ip() == other.ip())
        };
        if let Some((other, at)) = all.into_iter().take(index).find(|(_, other)| overlap(other)) {
            reader.reject(
                key,
                format!("{address} is on the port of {other} ({at}); each listener needs one of its own"),
            );
        }
    }
}

/// Refuses to join others under an address that they cannot use.
fn check_reachable(reader: &mut Reader, listen: &Listen, advertise: &Advertise, cluster: &Cluster) {
    if !cluster.seeds.is_empty() && advertise.peer.is_none() && listen.peer.ip().is_unspecified() {
        let problem = format!(
            "must be set when cluster.seeds is: listen.peer takes any address ({}), so others would not know which \
             to use; set it to this node's address or name, such as \"10.0.0.7:{}\"",
            listen.peer,
            listen.peer.port()
        );
        reader.reject("advertise.peer", problem);
    }
}

fn check_advertised(reader: &mut Reader, key: &str, told: &str) {
    let Ok((host, port)) = parse_host_port(told) else { return };
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if ip.is_ok_and(|ip| ip.is_unspecified()) {
        reader.reject(key, format!("nobody can connect to {host}; set this node's address or name"));
    }
    if port == 0 {
        reader.reject(key, "nobody can connect to port 0; set the port, or leave the key out");
    }
}

/// A text that is checked like a name.
fn named(reader: &mut Reader, key: &str, default: &str, doc: &'static str) -> String {
    let name = reader.string(key, default, doc);
    check_name(reader, key, &name);
    name
}

fn check_name(reader: &mut Reader, key: &str, name: &str) {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) {
        reader.reject(key, "must be 1 to 63 of a-z, A-Z, 0-9, \".\", \"_\" and \"-\"");
    }
}
