//! From a configuration to a running node, and back down in order.
//!
//! Listeners come first, so that a port in use is reported before anything else happens, and real ports are known
//! before others are told of them. The way down is the reverse: clients are let go, then peers, then the disk.

pub(crate) mod open;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use settle_core::roster::Member;
use settle_core::storage::StorageError;
use settle_service::admin::{Admin, Readiness};
use settle_service::http::{BindError, Bound, Limits, bind};
use settle_service::metrics::{MetricError, Metrics};
use settle_service::reload::{Live, Reloader};
use settle_service::shutdown::{Drain, Shutdown};
use settle_service::telemetry::Telemetry;
use settle_store::{Committed, Identity, OpenError};
use settle_wire::hello::{Hello, VERSION_NEWEST, VERSION_OLDEST};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::admin::AdminApi;
use crate::api::Api;
use crate::config::{Advertised, Config, Listen};
use crate::metrics::register_state;
use crate::node::commit::{Staged, drive};
use crate::node::{Node, part};
use crate::peer::{self, Peer, link, listen};
use crate::watched::{watched, watched_or};
use crate::worker::birth::OwnAddress;
use crate::worker::gossip::{self, Gossip, Seen, Tuning};
use crate::worker::{anti_entropy, birth, echo, growth, repair, scrub, steps, upkeep, verify};

use open::{open_data, open_node};

/// How long requests and connections in progress may take once the shutdown began.
const DRAIN: Duration = Duration::from_secs(8);

/// Groups of changes that may wait to be reported.
const GROUPS_MAX: usize = 64;

/// The part of the readiness that fails when commits can no longer be reported.
const COMMITS: &str = "commits";

/// Why the node did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The listener for other nodes.
    #[error(transparent)]
    BindPeer(#[from] gossip::BindError),
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The stored data.
    #[error("{path}: {source}")]
    Storage {
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        source: StorageError,
    },
    /// A thread or signal handler.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
    /// A metric's name is taken: a mistake in the program.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// It could not run on: another process is the newest one on its identity, or it lost a part of itself.
    #[error("{0}")]
    MustStop(String),
    /// Some tasks did not end in time.
    #[error("shutdown took too long; still running: {}", .0.join(", "))]
    Late(Vec<String>),
}

/// What runs until the shutdown.
struct Running {
    /// The servers of clients and operators; they end first, while peers still acknowledge.
    front: Drain,
    /// Everything else, and what ends it.
    back: Drain,
    end_back: Shutdown,
}

/// The sockets, bound and not yet served.
struct Sockets {
    api: Bound,
    admin: Bound,
    peer: TcpListener,
    gossip: UdpSocket,
    bound: Listen,
}

/// Runs a node until `shutdown`.
///
/// # Errors
/// [`RunError`]; everything that was begun has ended then.
pub async fn run(
    config: Config,
    file: Option<PathBuf>,
    telemetry: &Arc<Telemetry>,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let metrics = Metrics::new(
        "settled",
        env!("CARGO_PKG_VERSION"),
        option_env!("SETTLE_REVISION").unwrap_or("unknown"),
    )?;
    let sockets = Sockets::bind(&config).await?;
    let (engine, identity) = open_data(&config)?;
    let (groups, committed) = mpsc::channel(GROUPS_MAX);
    let readiness = Readiness::new(&[part::LAYOUT, part::STORAGE]);
    let live = Live::new(config);
    let node = open_node(&live, &metrics, engine, &identity, readiness.clone(), groups, &shutdown)?;
    register_state(&metrics, &node)?;
    let reloader = reloader(&node, &metrics, file, telemetry)?;
    readiness.set(part::STORAGE, Ok(()));
    if live.load().boot.cluster.secret.is_none() {
        tracing::warn!(
            "no cluster.secret_file: hash trees are keyed with the cluster's name, which is no secret"
        );
    }
    let advertised = live.load().boot.advertised(&sockets.bound);
    tracing::info!(
        node = identity.name, id = %identity.node_id, api = %sockets.bound.api, peer = %sockets.bound.peer,
        admin = %sockets.bound.admin, "listening"
    );
    let driver = tokio::spawn(report_commits(Arc::clone(&node), committed, shutdown.clone()));
    let running = serve(&node, &metrics, reloader, sockets, advertised, &identity, &shutdown).await?;
    shutdown.wait().await;
    tracing::info!("shutting down");
    let late = running.stop().await;
    finish(&node, driver, &live.load().boot.node.data_dir).await?;
    if let Some(reason) = node.stop_reason() {
        return Err(RunError::MustStop(reason.clone()));
    }
    if late.is_empty() { Ok(()) } else { Err(RunError::Late(late)) }
}

impl Running {
    /// Waits for the requests in progress, then for the rest. Returns who was late.
    async fn stop(self) -> Vec<String> {
        let mut late = self.front.finish(DRAIN / 2).await;
        self.end_back.trigger();
        late.extend(self.back.finish(DRAIN / 2).await);
        late
    }
}

impl Sockets {
    async fn bind(config: &Config) -> Result<Self, RunError> {
        let listen = &config.boot.listen;
        let api = bind(listen.api, "listen.api").await?;
        let admin = bind(listen.admin, "listen.admin").await?;
        let (peer, gossip) = gossip::bind_both(listen.peer).await?;
        let bound = Listen { api: api.address(), admin: admin.address(), peer: peer.local_addr()? };
        Ok(Self { api, admin, peer, gossip, bound })
    }
}

/// Reports commits. When it cannot any more, the process ends: nothing would ever be acknowledged again.
async fn report_commits(node: Arc<Node>, committed: mpsc::Receiver<Committed<Staged>>, stop: Shutdown) {
    let driving = drive(Arc::clone(&node), committed);
    let on_panic = |reason: &str| {
        node.must_stop(format!("commits cannot be reported: {reason}"));
        stop.trigger();
    };
    watched_or(COMMITS, node.readiness.clone(), driving, on_panic).await;
    if !stop.is_triggered() {
        // The committer is closed after the shutdown began, never before.
        node.must_stop("the committer ended by itself".to_owned());
        stop.trigger();
    }
}

fn reloader(
    node: &Arc<Node>,
    metrics: &Metrics,
    file: Option<PathBuf>,
    telemetry: &Arc<Telemetry>,
) -> Result<Option<Reloader>, MetricError> {
    let Some(file) = file else { return Ok(None) };
    let path = file.clone();
    let applied_to = Arc::downgrade(node);
    let telemetry = Arc::clone(telemetry);
    let reloader = Reloader::new(
        metrics,
        vec![file],
        node.config.clone(),
        move || Config::load(Some(&path)),
        Config::changes,
        move |config: &Config| {
            if let Err(error) = telemetry.set_level(&config.live.log) {
                tracing::error!(%error, "log level not changed");
            }
            if let Some(node) = applied_to.upgrade() {
                node.reconfigured();
            }
        },
    )?;
    Ok(Some(reloader))
}

/// Starts everything that runs until the shutdown.
async fn serve(
    node: &Arc<Node>,
    metrics: &Metrics,
    reloader: Option<Reloader>,
    sockets: Sockets,
    advertised: Advertised,
    identity: &Identity,
    shutdown: &Shutdown,
) -> Result<Running, RunError> {
    let (mut front, mut back, end_back) = (Drain::new(), Drain::new(), Shutdown::new());
    // Before anybody is served: a write goes to the peers that are known.
    let known = node.restore_peers();
    let hello = Arc::new(hello(node, identity, &advertised));
    let on_panic = {
        let readiness = node.readiness.clone();
        Arc::new(move |reason: &str| readiness.fail("requests", format!("a request panicked: {reason}")))
    };
    let limits = Limits { drain: DRAIN / 4, on_panic, ..Limits::default() };
    let api = Arc::new(Api::new(Arc::clone(node), metrics)?);
    let own = AdminApi { node: Arc::clone(node), advertised: advertised.clone() };
    let admin = Arc::new(Admin::new(metrics.clone(), node.readiness.clone(), reloader.clone(), own));
    let serve_api = sockets.api.serve(api, limits.clone(), shutdown.clone());
    let serve_admin = sockets.admin.serve(admin, limits, shutdown.clone());
    front.add("api", spawn(node, "api", ended("api", serve_api)));
    front.add("admin", spawn(node, "admin", ended("admin", serve_admin)));
    let accept = listen::accept(Arc::clone(node), sockets.peer, Arc::clone(&hello), end_back.clone());
    back.add("peers", spawn(node, "peers", accept));
    back.add("upkeep", spawn(node, "upkeep", upkeep::run(Arc::clone(node), end_back.clone())));
    back.add("scrub", spawn(node, "scrub", scrub::run(Arc::clone(node), end_back.clone())));
    back.add("repair", spawn(node, "repair", repair::run(Arc::clone(node), end_back.clone())));
    for peer in known {
        follow(node, peer, &hello, shutdown, &end_back);
    }
    back.add("layout", spawn(node, "layout", steps::run(Arc::clone(node), end_back.clone())));
    back.add("growth", spawn(node, "growth", growth::run(Arc::clone(node), end_back.clone())));
    let (seen, own, gossiping) = start_gossip(node, sockets.gossip, identity, &advertised, &end_back).await?;
    back.add("birth", spawn(node, "birth", birth::run(Arc::clone(node), own, end_back.clone())));
    back.add("gossip", gossiping);
    let members = members(Arc::clone(node), seen, hello, [shutdown.clone(), end_back.clone()]);
    back.add("members", spawn(node, "members", members));
    if let Some(reloader) = reloader {
        let reloading = reloader.watch(shutdown.clone());
        back.add("reload", spawn(node, "reload", async move { drop(reloading.await) }));
    }
    Ok(Running { front, back, end_back })
}

/// Starts a task; a panic in it makes the node unready.
fn spawn(node: &Node, part: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(watched(part, node.readiness.clone(), task))
}

/// Waits for a server's end, and tells of clients that were cut off.
async fn ended(name: &str, serving: impl Future<Output = usize>) {
    let dropped = serving.await;
    if dropped > 0 {
        tracing::warn!(server = name, connections = dropped, "connections were cut off by the shutdown");
    }
}

/// Starts the tasks that concern one peer. They end with `shutdown`; `stop` ends the process.
fn follow(node: &Arc<Node>, peer: Arc<Peer>, hello: &Arc<Hello>, stop: &Shutdown, shutdown: &Shutdown) {
    let keep =
        link::keep(Arc::clone(node), Arc::clone(&peer), Arc::clone(hello), stop.clone(), shutdown.clone());
    spawn(node, "links", keep);
    spawn(node, "echo", echo::run(Arc::clone(node), Arc::clone(&peer), shutdown.clone()));
    spawn(node, "verification", verify::run(Arc::clone(node), Arc::clone(&peer), shutdown.clone()));
    spawn(node, "anti_entropy", anti_entropy::run(Arc::clone(node), peer, shutdown.clone()));
}

fn hello(node: &Node, identity: &Identity, advertised: &Advertised) -> Hello {
    Hello {
        version_newest: VERSION_NEWEST,
        version_oldest: VERSION_OLDEST,
        cluster: identity.cluster.clone(),
        partitions: identity.partitions,
        origin: node.origin,
        name: identity.name.clone(),
        api: advertised.api.clone(),
        admin: advertised.admin.clone(),
        peer: advertised.peer.clone(),
        fence: 0,
        buckets: peer::buckets::declared(&node.config.load().boot.buckets),
        datacenter: node.config.load().boot.node.datacenter.clone(),
        zone: node.config.load().boot.node.zone.clone(),
    }
}

/// Starts the gossip under the address that others are told; a name is resolved first.
async fn start_gossip(
    node: &Node,
    socket: UdpSocket,
    identity: &Identity,
    advertised: &Advertised,
    shutdown: &Shutdown,
) -> Result<(watch::Receiver<Arc<Vec<Seen>>>, OwnAddress, JoinHandle<()>), RunError> {
    let mut resolved = tokio::net::lookup_host(&advertised.peer).await?;
    let peer = resolved.next().ok_or_else(|| {
        std::io::Error::other(format!("advertise.peer: {} has no address", advertised.peer))
    })?;
    let own = gossip::Identity {
        node: identity.node_id,
        name: identity.name.clone(),
        epoch: identity.epoch,
        peer,
        cluster: identity.cluster.clone(),
    };
    let seeds = node.config.load().boot.cluster.seeds.clone();
    let (seen, gossip) = Gossip::start(socket, &own, seeds, &Tuning::default(), shutdown.clone());
    let own = OwnAddress { told: advertised.peer.clone(), resolved: peer };
    Ok((seen, own, spawn(node, "gossip", gossip)))
}

/// Admits the nodes that gossip tells of, and follows them until `shutdown`; `stop` ends the process.
async fn members(
    node: Arc<Node>,
    mut seen: watch::Receiver<Arc<Vec<Seen>>>,
    hello: Arc<Hello>,
    [stop, shutdown]: [Shutdown; 2],
) {
    loop {
        let members = Arc::clone(&seen.borrow_and_update());
        for heard in members.iter() {
            if heard.node == node.origin.node {
                node.must_stop(format!(
                    "another process at {} runs under this node's identity ({}) in a later life: it has a copy of the \
                     data directory; give one of the two an empty node.data_dir",
                    heard.peer, heard.node
                ));
                stop.trigger();
                return;
            }
            let member = Member { node: heard.node, name: heard.name.clone() };
            match node.admit(member) {
                Ok(Some(peer)) => follow(&node, peer, &hello, &stop, &shutdown),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a node is kept out"),
            }
            if let Some(peer) = node.peer(heard.node) {
                peer.heard(heard);
            }
        }
        tokio::select! {
            () = shutdown.wait() => return,
            changed = seen.changed() => if changed.is_err() { return },
        }
    }
}

/// Writes what is queued; nothing more will be.
async fn finish(node: &Arc<Node>, driver: JoinHandle<()>, data_dir: &Path) -> Result<(), RunError> {
    let closing = Arc::clone(node);
    let closed = tokio::task::spawn_blocking(move || closing.close()).await;
    driver.abort();
    match closed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(RunError::Storage { path: data_dir.to_owned(), source }),
        Err(error) => Err(RunError::System(std::io::Error::other(error))),
    }
}
