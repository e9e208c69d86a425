//! A cluster of fakes: the own replica, which takes writes, and peers that show them later, never,
//! or do not answer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// The bucket of canaries.
const BUCKET: &str = "/v1/kv/_canary/";

/// A whole cluster; the own replica is `n1`, the peers are `n2` and so on.
pub struct Cluster {
    store: Arc<Mutex<Store>>,
    pub own: SocketAddr,
    pub admin: SocketAddr,
    pub peers: Vec<Peer>,
}

/// What the own replica has taken in, and what it says about itself.
#[derive(Default)]
pub struct Store {
    /// Every version of every key, oldest first; nothing for a delete.
    versions: BTreeMap<String, Vec<(Instant, Option<Bytes>)>>,
    /// Peers in the layout.
    members: Vec<(String, Option<SocketAddr>, &'static str)>,
    /// What is said instead of the members.
    pub nonsense: Option<&'static str>,
    /// The own replica's metrics page.
    pub page: String,
    /// Whether the own replica refuses its clients, saying this.
    pub refusal: Option<&'static str>,
    /// Calls of clients that were refused.
    pub refused: u64,
}

/// How a peer behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Shows every write this long after the own replica took it in.
    Delayed(Duration),
    /// Shows nothing that was taken in after this moment.
    CutOff(Instant),
    /// Takes requests and does not answer until the mode changes.
    Hung,
    /// Answers 503.
    Refusing,
}

/// A peer.
pub struct Peer {
    pub name: String,
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    requests: Arc<Mutex<u64>>,
}

type Reply = Response<Full<Bytes>>;

// === impl Cluster ===

impl Cluster {
    /// A cluster with one peer per mode.
    pub async fn start(modes: &[Mode]) -> Self {
        let store = Arc::new(Mutex::new(Store { page: page(0, 0), ..Store::default() }));
        let mut peers = Vec::new();
        for (index, mode) in modes.iter().enumerate() {
            let peer = Peer::start(format!("n{}", index + 2), *mode, Arc::clone(&store)).await;
            store.lock().unwrap().members.push((peer.name.clone(), Some(peer.address), "alive"));
            peers.push(peer);
        }
        let (listener, own) = bound(None).await;
        serve(listener, Arc::clone(&store), |store, request| async move { own_reply(&store, request).await });
        let (listener, admin) = bound(None).await;
        serve(listener, Arc::clone(&store), move |store, request| async move {
            admin_reply(&store.lock().unwrap(), own, request.uri().path())
        });
        Self { store, own, admin, peers }
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    pub fn peer(&self, name: &str) -> &Peer {
        self.peers.iter().find(|peer| peer.name == name).unwrap()
    }
}

/// The counters of real traffic as a replica shows them.
pub fn page(writes: u64, conflicts: u64) -> String {
    format!(
        "settle_writes_total{{bucket=\"default\"}} {writes}\n\
         settle_conflicts_total{{bucket=\"default\",resolution=\"lww\"}} {conflicts}\n\
         process_start_time_seconds 1\n"
    )
}

// === impl Store ===

impl Store {
    /// Puts a value into the bucket of canaries, as somebody else would.
    pub fn put(&mut self, key: &str, value: &str) {
        let value = Some(Bytes::copy_from_slice(value.as_bytes()));
        self.versions.entry(key.to_owned()).or_default().push((Instant::now(), value));
    }

    /// Keys that have a value.
    pub fn keys(&self) -> Vec<String> {
        let alive =
            |versions: &Vec<(Instant, Option<Bytes>)>| versions.last().is_some_and(|(_, v)| v.is_some());
        self.versions.iter().filter(|(_, versions)| alive(versions)).map(|(key, _)| key.clone()).collect()
    }

    /// Says that a peer is dead, or takes it out of the layout.
    pub fn set_member(&mut self, name: &str, state: Option<&'static str>) {
        match state {
            None => self.members.retain(|(of, ..)| of != name),
            Some(state) => {
                self.members.iter_mut().filter(|(of, ..)| of == name).for_each(|member| member.2 = state);
            }
        }
    }

    /// Says where a peer is, or that this is not known.
    pub fn set_address(&mut self, name: &str, address: Option<SocketAddr>) {
        self.members.iter_mut().filter(|(of, ..)| of == name).for_each(|member| member.1 = address);
    }

    fn at(&self, key: &str, until: Instant) -> Option<Bytes> {
        let versions = self.versions.get(key)?;
        versions.iter().rfind(|(at, _)| *at <= until)?.1.clone()
    }
}

// === impl Peer ===

impl Peer {
    async fn start(name: String, mode: Mode, store: Arc<Mutex<Store>>) -> Self {
        let (listener, address) = bound(None).await;
        let (mode, modes) = watch::channel(mode);
        let requests = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&requests);
        serve(listener, store, move |store, request| {
            *counted.lock().unwrap() += 1;
            peer_reply(store, modes.clone(), request)
        });
        Self { name, address, mode, requests }
    }

    /// Changes how it behaves from now on, also for requests that hang.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Requests taken so far.
    pub fn requests(&self) -> u64 {
        *self.requests.lock().unwrap()
    }
}

/// A port that refuses connections until [`Reserved::open`].
pub struct Reserved {
    socket: TcpSocket,
    pub address: SocketAddr,
}

// === impl Reserved ===

impl Reserved {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    /// Serves the admin routes of `cluster` there.
    pub fn open(self, cluster: &Cluster) {
        let own = cluster.own;
        let listener = self.socket.listen(64).unwrap();
        serve(listener, Arc::clone(&cluster.store), move |store, request| async move {
            admin_reply(&store.lock().unwrap(), own, request.uri().path())
        });
    }
}

async fn bound(address: Option<SocketAddr>) -> (TcpListener, SocketAddr) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(address.unwrap_or(any)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn serve<H, A>(listener: TcpListener, store: Arc<Mutex<Store>>, handler: H)
where
    H: Fn(Arc<Mutex<Store>>, Request<Incoming>) -> A + Send + Sync + 'static,
    A: Future<Output = Reply> + Send + 'static,
{
    let handler = Arc::new(handler);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let (store, handler) = (Arc::clone(&store), Arc::clone(&handler));
            let service = service_fn(move |request| {
                let answer = handler(Arc::clone(&store), request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
    reply
}

fn found(value: Option<Bytes>) -> Reply {
    value.map_or_else(|| reply(404, ""), |value| reply(200, value))
}

fn key_of(request: &Request<Incoming>) -> Option<String> {
    request.uri().path().strip_prefix(BUCKET).map(str::to_owned)
}

/// The own replica: durable at once, so what it acknowledges it has.
async fn own_reply(store: &Mutex<Store>, request: Request<Incoming>) -> Reply {
    let (key, listing) = (key_of(&request), request.uri().path() == "/v1/keys/_canary");
    let refusal = store.lock().unwrap().refusal;
    if let Some(detail) = refusal.filter(|_| listing || key.is_some()) {
        store.lock().unwrap().refused += 1;
        return reply(503, json!({ "title": "Refused", "detail": detail }).to_string());
    }
    if listing {
        let query = request.uri().query().unwrap_or_default();
        let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
        let mut keys = store.lock().unwrap().keys();
        keys.retain(|key| key.starts_with(prefix));
        return reply(200, json!({ "keys": keys, "cursor": null }).to_string());
    }
    let Some(key) = key else { return reply(404, "") };
    match *request.method() {
        Method::GET => found(store.lock().unwrap().at(&key, Instant::now())),
        Method::PUT => {
            let value = request.into_body().collect().await.unwrap().to_bytes();
            store.lock().unwrap().versions.entry(key).or_default().push((Instant::now(), Some(value)));
            reply(204, "")
        }
        Method::DELETE => {
            store.lock().unwrap().versions.entry(key).or_default().push((Instant::now(), None));
            reply(204, "")
        }
        _ => reply(405, ""),
    }
}

fn admin_reply(store: &Store, own: SocketAddr, path: &str) -> Reply {
    if path == "/metrics" {
        return reply(200, store.page.clone());
    }
    if path != "/v1/members" {
        return reply(404, "");
    }
    if let Some(nonsense) = store.nonsense {
        return reply(200, nonsense);
    }
    let member = |name: &str, api: Option<SocketAddr>, state: &str| {
        let api = api.map(|api| api.to_string());
        json!({ "name": name, "api": api, "admin": null, "peer": null, "state": state })
    };
    let mut members = vec![member("n1", Some(own), "self")];
    members.extend(store.members.iter().map(|(name, api, state)| member(name, *api, state)));
    reply(200, json!({ "cluster": "fakes", "self": "n1", "members": members }).to_string())
}

async fn peer_reply(
    store: Arc<Mutex<Store>>,
    mut modes: watch::Receiver<Mode>,
    request: Request<Incoming>,
) -> Reply {
    let Some(key) = key_of(&request) else { return reply(404, "") };
    assert_eq!(request.uri().query(), Some("replica=self"), "a peer is only asked what it holds itself");
    let mode = *modes.wait_for(|mode| *mode != Mode::Hung).await.unwrap();
    let until = match mode {
        Mode::Delayed(delay) => Instant::now().checked_sub(delay),
        Mode::CutOff(at) => Some(at),
        Mode::Hung | Mode::Refusing => None,
    };
    match until {
        Some(until) => found(store.lock().unwrap().at(&key, until)),
        None => reply(503, ""),
    }
}
