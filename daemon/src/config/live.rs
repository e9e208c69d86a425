//! What may change while the daemon runs.

use std::collections::BTreeMap;
use std::time::Duration;

use settle_core::level::Level;
use settle_service::config::Reader;
use settle_store::Durability;

use super::hints::Hints;

/// The longest key that can be allowed, in bytes.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// The largest value that can be allowed, in bytes: one travels in one frame between nodes.
const VALUE_BYTES_MAX: u64 = 4 << 20;

/// The live part; taken as a whole, so that one decision sees one configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveConfig {
    /// `[consistency]`.
    pub consistency: Consistency,
    /// When writes reach the device, from `storage.durability` and `storage.interval`.
    pub durability: Durability,
    /// Whether a node that joins gets its share of the data by itself.
    pub auto_grow: bool,
    /// How often clocks are exchanged with a peer.
    pub anti_entropy_interval: Duration,
    /// How often each partition is verified with each peer, and read again from the disk.
    pub merkle_interval: Duration,
    /// How often a peer is asked for a proof of freshness.
    pub echo_interval: Duration,
    /// Which part of the reads at one replica is compared with the others afterwards, 0 to 1.
    pub repair_chance: f64,
    /// `[hints]`.
    pub hints: Hints,
    /// `[limits]`.
    pub limits: Limits,
    /// Log directives such as `info`.
    pub log: String,
    /// Levels that differ from [`LiveConfig::consistency`], by bucket; see [`LiveConfig::read_level`].
    pub(super) buckets: BTreeMap<String, Levels>,
}

/// What requests get that do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// Level of reads.
    pub read: Level,
    /// Level of writes.
    pub write: Level,
    /// Deadline of a request.
    pub timeout: Duration,
}

/// Levels that a bucket sets for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Levels {
    /// Level of reads, if set.
    pub read: Option<Level>,
    /// Level of writes, if set.
    pub write: Option<Level>,
}

/// What a client may ask of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest key, in bytes.
    pub key_bytes: usize,
    /// The largest value, in bytes.
    pub value_bytes: usize,
    /// Data calls served at once; further ones are turned away.
    pub concurrent_requests: usize,
}

/// `storage.durability` as written; the interval is a key of its own.
#[derive(Debug, Clone, Copy, Default)]
enum SyncWhen {
    #[default]
    Always,
    Interval,
    Never,
}

// === impl LiveConfig ===

impl LiveConfig {
    /// The level of reads of a bucket that do not ask for one.
    #[must_use]
    pub fn read_level(&self, bucket: &str) -> Level {
        self.buckets.get(bucket).and_then(|levels| levels.read).unwrap_or(self.consistency.read)
    }

    /// The level of writes to a bucket that do not ask for one.
    #[must_use]
    pub fn write_level(&self, bucket: &str) -> Level {
        self.buckets.get(bucket).and_then(|levels| levels.write).unwrap_or(self.consistency.write)
    }

    /// The keys in which `new` differs.
    pub(super) fn changes(&self, new: &Self) -> Vec<String> {
        // Taken apart in full, so that a new field cannot be forgotten here.
        let Self {
            consistency,
            durability,
            auto_grow,
            anti_entropy_interval,
            merkle_interval,
            echo_interval,
            repair_chance,
            hints,
            limits,
            log,
            buckets,
        } = self;
        let Consistency { read, write, timeout } = consistency;
        let Hints { max_bytes, max_age, bytes_per_second } = hints;
        let Limits { key_bytes, value_bytes, concurrent_requests } = limits;
        let same = [
            ("consistency.read", *read == new.consistency.read),
            ("consistency.write", *write == new.consistency.write),
            ("consistency.timeout", *timeout == new.consistency.timeout),
            ("storage.durability or storage.interval", *durability == new.durability),
            ("cluster.auto_grow", *auto_grow == new.auto_grow),
            ("anti_entropy.interval", *anti_entropy_interval == new.anti_entropy_interval),
            ("anti_entropy.merkle_interval", *merkle_interval == new.merkle_interval),
            ("echo.interval", *echo_interval == new.echo_interval),
            ("read_repair.chance", *repair_chance == new.repair_chance),
            ("hints.max_bytes", *max_bytes == new.hints.max_bytes),
            ("hints.max_age", *max_age == new.hints.max_age),
            ("hints.bytes_per_second", *bytes_per_second == new.hints.bytes_per_second),
            ("limits.key_bytes", *key_bytes == new.limits.key_bytes),
            ("limits.value_bytes", *value_bytes == new.limits.value_bytes),
            ("limits.concurrent_requests", *concurrent_requests == new.limits.concurrent_requests),
            ("telemetry.log", *log == new.log),
        ];
        let changed = same.into_iter().filter(|(_, same)| !same).map(|(key, _)| key.to_owned());
        let levels = |all: &BTreeMap<String, Levels>, name| all.get(name).copied().unwrap_or_default();
        let mut names: Vec<&String> = buckets.keys().chain(new.buckets.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.into_iter().filter(|name| levels(buckets, *name) != levels(&new.buckets, *name));
        changed.chain(names.map(|name| format!("bucket {name:?}"))).collect()
    }

    /// Everything but buckets and telemetry, which follow in the printed configuration.
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            consistency: read_consistency(reader),
            durability: read_durability(reader),
            auto_grow: reader.boolean(
                "cluster.auto_grow",
                true,
                "Whether a node that joins gets its share of the data by itself; else by POST /v1/layout.",
            ),
            anti_entropy_interval: reader.duration(
                "anti_entropy.interval",
                "1s",
                "Time between two exchanges of clocks with a peer, which find what got lost.",
            ),
            merkle_interval: reader.duration(
                "anti_entropy.merkle_interval",
                "1h",
                "Time in which every partition is compared with each of its other replicas, and read again from the disk, \
                 to find what disks have lost.",
            ),
            echo_interval: reader.duration(
                "echo.interval",
                "100ms",
                "Time between two proofs of freshness from a peer; measured lag is at least this old.",
            ),
            repair_chance: reader.ratio(
                "read_repair.chance",
                0.1,
                "Part of the reads at one replica after which the others are compared and repaired, 0 to 1.",
            ),
            hints: Hints::read(reader),
            limits: read_limits(reader),
            log: String::new(),
            buckets: BTreeMap::new(),
        }
    }
}

fn read_consistency(reader: &mut Reader) -> Consistency {
    let levels = Level::EVERY.map(|level| (level.name(), Some(level)));
    let read = "Level of reads that do not ask for one: \"one\", \"quorum\" or \"all\".";
    let write = "Level of writes that do not ask for one: \"one\", \"quorum\" or \"all\".";
    Consistency {
        read: reader.choice("consistency.read", "one", &levels, read).unwrap_or(Level::One),
        write: reader.choice("consistency.write", "one", &levels, write).unwrap_or(Level::One),
        timeout: reader.duration("consistency.timeout", "2s", "Deadline of requests that do not set one."),
    }
}

fn read_durability(reader: &mut Reader) -> Durability {
    let words = [("always", SyncWhen::Always), ("interval", SyncWhen::Interval), ("never", SyncWhen::Never)];
    let doc = "When writes reach the disk: \"always\" before they are confirmed, \"interval\" a little later (a \
               crash of the machine can lose that much), \"never\" when the system sees fit.";
    let sync = reader.choice("storage.durability", "always", &words, doc);
    let interval = reader.duration(
        "storage.interval",
        "100ms",
        "The \"interval\" of storage.durability; unused otherwise.",
    );
    match sync {
        SyncWhen::Always => Durability::Always,
        SyncWhen::Interval => Durability::Interval(interval),
        SyncWhen::Never => Durability::Never,
    }
}

fn read_limits(reader: &mut Reader) -> Limits {
    let key = size_within(reader, "limits.key_bytes", "1KiB", KEY_BYTES_MAX, "The longest key.");
    let value = size_within(reader, "limits.value_bytes", "1MiB", VALUE_BYTES_MAX, "The largest value.");
    let doc = "Data calls served at once; further ones are answered with 503.";
    let requests = reader.integer("limits.concurrent_requests", 1024, 1..=65_536, doc);
    Limits { key_bytes: key, value_bytes: value, concurrent_requests: count(requests) }
}

/// A size from 1 to `max` bytes.
fn size_within(reader: &mut Reader, key: &str, default: &str, max: u64, doc: &'static str) -> usize {
    let bytes = reader.size(key, default, doc);
    if !(1..=max).contains(&bytes) {
        reader.reject(key, format!("{bytes} bytes is not from 1 to {max} bytes"));
    }
    count(bytes)
}

/// `number` was checked to be far below any `usize`, or has its error.
pub(super) fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
