//! The sidecar's configuration: read key by key, checked whole, split into what is fixed at start and
//! what may change live.

mod name;
mod thresholds;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use settle_service::config::{ConfigErrors, Reader, environment, shown};
use settle_service::reload::Changes;
use settle_service::telemetry;
use settle_wire::http::{BadBase, Base};

pub use name::ProberName;
pub use thresholds::{Objective, Thresholds};

/// What the daemon reads and the sidecar does not, for whoever mixes their files up.
const OF_THE_DAEMON: [&str; 14] = [
    "node",
    "listen.api",
    "listen.peer",
    "listen.admin",
    "advertise",
    "cluster",
    "consistency",
    "storage",
    "hints",
    "anti_entropy",
    "echo",
    "read_repair",
    "limits",
    "bucket",
];

/// Everything that a file or the environment can set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Fixed at start.
    pub boot: Boot,
    /// May change live.
    pub probe: Probe,
    /// May change live.
    pub thresholds: Thresholds,
    /// Its log level may change live.
    pub telemetry: telemetry::Settings,
}

/// What needs a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The kind of store that is probed.
    pub kind: Kind,
    /// The admin endpoint of the own replica.
    pub admin: Base,
    /// Where the sidecar itself listens.
    pub listen: SocketAddr,
    /// The configured name of the prober; without one it mints its own.
    pub name: Option<ProberName>,
}

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Settle's own replicas.
    #[default]
    Settle,
}

/// How to probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    /// From one canary to the next.
    pub interval: Duration,
    /// After this a canary that has not shown up is counted as expired.
    pub deadline: Duration,
    /// Number of canary keys, overwritten in turn; `keys * interval` is at least the deadline.
    pub keys: u32,
    /// Requests per second that the prober allows itself, over all peers.
    pub budget_per_second: u32,
    /// Peers looked at for one canary, besides those that are behind.
    pub peers_per_cycle: usize,
    /// How far ratios and quantiles look back.
    pub window: Duration,
}

// === impl Config ===

impl Config {
    /// Reads the file, if any, and the environment. All errors come at once.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::load_with(path, environment())
    }

    /// As [`Config::load`], with an environment of the caller's.
    pub fn load_with(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::load(path, env)?;
        let config = Self::read(&mut reader);
        reader.finish()?;
        // Without an error there is a configuration.
        config.ok_or_else(ConfigErrors::default)
    }

    /// The default configuration as a commented file.
    pub fn default_text() -> String {
        let mut reader = Reader::empty();
        Self::read(&mut reader);
        reader.default_config()
    }

    /// The keys in which they differ.
    pub fn changes(old: &Self, new: &Self) -> Changes {
        let mut live = old.probe.changes(&new.probe);
        let thresholds = Objective::ALL.into_iter();
        let changed = thresholds.filter(|objective| {
            old.thresholds.of(*objective).to_bits() != new.thresholds.of(*objective).to_bits()
        });
        live.extend(changed.map(|objective| format!("thresholds.{}", objective.name())));
        if old.telemetry.log != new.telemetry.log {
            live.push("telemetry.log".to_owned());
        }
        Changes { live, boot: Self::boot_changes(old, new) }
    }

    /// Those that only take effect with a restart.
    fn boot_changes(old: &Self, new: &Self) -> Vec<String> {
        let (before, after) = (&old.boot, &new.boot);
        let (sent, sends) = (&old.telemetry, &new.telemetry);
        let changes = [
            ("target.kind", before.kind != after.kind),
            ("target.admin", before.admin != after.admin),
            ("listen.http", before.listen != after.listen),
            ("probe.name", before.name != after.name),
            ("telemetry.otlp_endpoint", sent.otlp_endpoint != sends.otlp_endpoint),
            ("telemetry.sample_ratio", sent.sample_ratio.to_bits() != sends.sample_ratio.to_bits()),
        ];
        changes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key.to_owned()).collect()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        reader.belongs_to("settled", &OF_THE_DAEMON);
        let kinds = [("settle", Kind::Settle)];
        let kind = reader.choice("target.kind", "settle", &kinds, "The kind of store that is probed.");
        let admin = read_admin(reader);
        let listen_doc = "Where the status page, metrics and state are served.";
        let listen = reader.address("listen.http", "127.0.0.1:7410", listen_doc);
        let name = read_name(reader);
        let probe = read_probe(reader);
        let thresholds = Thresholds::read(reader);
        let telemetry = telemetry::Settings::read(reader);
        let boot = Boot { kind, admin: admin?, listen, name };
        Some(Self { boot, probe, thresholds, telemetry })
    }
}

// === impl Probe ===

impl Probe {
    fn changes(&self, new: &Self) -> Vec<String> {
        // Taken apart in full, so that a new field cannot be forgotten here.
        let Self { interval, deadline, keys, budget_per_second, peers_per_cycle, window } = *self;
        let same = [
            ("probe.interval", interval == new.interval),
            ("probe.deadline", deadline == new.deadline),
            ("probe.keys", keys == new.keys),
            ("probe.budget_per_second", budget_per_second == new.budget_per_second),
            ("probe.peers_per_cycle", peers_per_cycle == new.peers_per_cycle),
            ("probe.window", window == new.window),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(key, _)| key.to_owned()).collect()
    }
}

/// Nothing when it is wrong, which is then an error of the reader's.
fn read_admin(reader: &mut Reader) -> Option<Base> {
    let default = "http://127.0.0.1:7402";
    let url = reader.string("target.admin", default, "Admin URL of the own replica; peers are found there.");
    let problem = |error: &BadBase| format!("{}: {}; expected http://host:port", shown(&url), error.reason);
    url.parse().map_err(|error| reader.reject("target.admin", problem(&error))).ok()
}

fn read_name(reader: &mut Reader) -> Option<ProberName> {
    let doc = "Name of this prober's ring of canary keys, used by no other; by default the host's name \
               and a number that is new at every start.";
    let name = reader.optional_string("probe.name", "probe-1", doc)?;
    ProberName::parse(&name).map_err(|problem| reader.reject("probe.name", problem)).ok()
}

fn read_probe(reader: &mut Reader) -> Probe {
    let probe = Probe {
        interval: reader.duration("probe.interval", "1s", "From one canary to the next."),
        deadline: reader.duration("probe.deadline", "10s", "A canary not seen by then counts as expired."),
        keys: u32::try_from(reader.integer(
            "probe.keys",
            16,
            1..=100_000,
            "Canary keys, overwritten in turn; at least deadline / interval.",
        ))
        .unwrap_or(u32::MAX),
        budget_per_second: u32::try_from(reader.integer(
            "probe.budget_per_second",
            50,
            1..=1_000_000,
            "Requests per second that the prober allows itself, over all peers.",
        ))
        .unwrap_or(u32::MAX),
        peers_per_cycle: usize::try_from(reader.integer(
            "probe.peers_per_cycle",
            5,
            1..=10_000,
            "Peers looked at for one canary, in rotation, besides those that are behind.",
        ))
        .unwrap_or(usize::MAX),
        window: reader.duration("probe.window", "5m", "How far ratios and quantiles look back."),
    };
    if probe.interval < Duration::from_millis(10) {
        reader.reject("probe.interval", "must be at least 10ms");
    }
    if probe.interval.saturating_mul(probe.keys) < probe.deadline {
        let problem = format!(
            "{} keys at an interval of {:?} last {:?}, less than the deadline of {:?}: a canary would be \
             overwritten while it is awaited; raise keys or interval, or lower probe.deadline",
            probe.keys,
            probe.interval,
            probe.interval.saturating_mul(probe.keys),
            probe.deadline,
        );
        reader.reject("probe.keys", problem);
    }
    if probe.window < probe.interval {
        reader.reject("probe.window", "must be at least probe.interval");
    }
    probe
}

#[cfg(test)]
mod tests;
