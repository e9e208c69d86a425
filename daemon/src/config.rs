//! Configuration of `settled`: what it starts with ([`Boot`]) and what may change while it runs ([`LiveConfig`]).
//!
//! One function reads every key, so values, defaults, the printed default configuration and the list of known keys
//! cannot drift apart; all errors come out at once.

mod boot;
mod bucket;
mod hints;
mod live;
mod secret;

use std::path::Path;

use settle_service::config::{ConfigErrors, Reader, environment};
use settle_service::reload::Changes;
use settle_service::telemetry::Settings;

pub use boot::{Advertise, Advertised, Boot, Cluster, Listen, Node};
pub use bucket::{Bucket, CANARY_BUCKET, DEFAULT_BUCKET};
pub use hints::Hints;
pub use live::{Consistency, Levels, Limits, LiveConfig};
pub use secret::ClusterSecret;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What only a restart can change.
    pub boot: Boot,
    /// What a reload may change.
    pub live: LiveConfig,
}

// === impl Config ===

impl Config {
    /// Reads the file, if any, and the environment of this process over it.
    ///
    /// # Errors
    /// Everything that is wrong, each with file or variable and key.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::load_with(path, environment())
    }

    /// [`Config::load`] with an environment of the caller's.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn load_with(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::load(path, env)?;
        let config = Self::read(&mut reader);
        reader.finish().map(|()| config)
    }

    /// Every key with its default and what it means, as a TOML file; what must be set is commented out.
    #[must_use]
    pub fn default_text() -> String {
        let mut reader = Reader::empty();
        Self::read(&mut reader);
        reader.default_config()
    }

    /// The keys in which `new` differs from this configuration.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Changes {
        Changes { live: self.live.changes(&new.live), boot: self.boot.changes(&new.boot) }
    }

    /// What to log and where to send traces; of these only the log level is live.
    #[must_use]
    pub fn telemetry(&self) -> Settings {
        Settings {
            log: self.live.log.clone(),
            otlp_endpoint: self.boot.otlp_endpoint.clone(),
            sample_ratio: self.boot.sample_ratio,
        }
    }

    fn read(reader: &mut Reader) -> Self {
        reader.belongs_to("settle-sidecar", &["target", "probe", "thresholds", "listen.http"]);
        let mut boot = Boot::read(reader);
        let mut live = LiveConfig::read(reader);
        (boot.buckets, live.buckets) = bucket::read(reader);
        let telemetry = Settings::read(reader);
        live.log = telemetry.log;
        (boot.otlp_endpoint, boot.sample_ratio) = (telemetry.otlp_endpoint, telemetry.sample_ratio);
        Self { boot, live }
    }
}

#[cfg(test)]
mod tests;
