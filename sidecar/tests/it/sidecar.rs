//! A sidecar in this process, and what it says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use settle_service::shutdown::Shutdown;
use settle_sidecar::{Config, Sidecar};
use settle_wire::http::{Base, Call, Client, ClientLimits, Method};
use tempfile::NamedTempFile;

/// How long anything may take that a test waits for. Only a test that fails takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fast probing, for short tests.
pub const FAST: &str = "[probe]\ninterval = \"50ms\"\nkeys = 400\nbudget_per_second = 5000\n";

/// See the module.
pub struct Running {
    sidecar: Option<Sidecar>,
    shutdown: Shutdown,
    file: NamedTempFile,
    admin: SocketAddr,
    base: Base,
    client: Client,
}

// === impl Running ===

impl Running {
    /// Starts a sidecar beside the replica with this admin address; `more` follows in its configuration.
    pub async fn start(admin: SocketAddr, more: &str) -> Self {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), text(admin, more)).unwrap();
        let config = Config::load_with(Some(file.path()), std::iter::empty()).unwrap();
        let shutdown = Shutdown::new();
        let path = Some(file.path().to_owned());
        let sidecar = Sidecar::start(config, path, shutdown.clone(), |_| {}).await.unwrap();
        let base = sidecar.address().to_string().parse().unwrap();
        let client = Client::new(ClientLimits::default());
        Self { sidecar: Some(sidecar), shutdown, file, admin, base, client }
    }

    /// Writes a new configuration and reloads it; returns status and body.
    pub async fn reload(&self, more: &str) -> (u16, String) {
        std::fs::write(self.file.path(), text(self.admin, more)).unwrap();
        let call = Call { method: Method::POST, ..Call::get("/-/reload", PATIENCE) };
        let reply = self.client.send(&self.base, &call).await.unwrap();
        (reply.status.as_u16(), String::from_utf8(reply.body.to_vec()).unwrap())
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let reply = self.client.send(&self.base, &Call::get(path, PATIENCE)).await.unwrap();
        (reply.status.as_u16(), String::from_utf8(reply.body.to_vec()).unwrap())
    }

    /// Everything measured.
    pub async fn state(&self) -> Value {
        serde_json::from_str(&self.get("/v1/state").await.1).unwrap()
    }

    /// The value of one series, with labels as the page shows them; nothing when there is none.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics").await;
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Waits until the state is as wanted, and returns it.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let state = self.state().await;
            if wanted(&state) {
                return state;
            }
            assert!(Instant::now() < end, "not reached: {what}\n{state:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops it; all its tasks must end in time.
    pub async fn stop(mut self) {
        self.shutdown.trigger();
        let late = self.sidecar.take().unwrap().drain(PATIENCE).await;
        assert!(late.is_empty(), "late: {late:?}");
    }
}

/// One peer in the state.
pub fn peer<'a>(state: &'a Value, name: &str) -> &'a Value {
    let peers = state["peers"].as_array().unwrap();
    peers.iter().find(|peer| peer["name"] == name).unwrap_or(&Value::Null)
}

/// One objective in the state.
pub fn objective<'a>(state: &'a Value, name: &str) -> &'a Value {
    state["objectives"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()
}

/// A number that must be known.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn text(admin: SocketAddr, more: &str) -> String {
    format!("[target]\nadmin = \"http://{admin}\"\n[listen]\nhttp = \"127.0.0.1:0\"\n{more}")
}
