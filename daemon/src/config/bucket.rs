//! The declared buckets, `[[bucket]]`.

use std::collections::BTreeMap;

use settle_core::level::Level;
use settle_core::value::register::Resolver;
use settle_service::config::Reader;
use settle_wire::hello::BUCKETS_MAX;

use super::live::Levels;

/// The bucket that exists also when nobody declares it.
pub const DEFAULT_BUCKET: &str = "default";

/// The bucket of the sidecar's canaries: every daemon has it, nobody may declare it.
pub const CANARY_BUCKET: &str = "_canary";

/// What keys of a bucket hold: the only type there is.
const REGISTER: &str = "register";

/// The longest name of a bucket, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What a bucket is for as long as the node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// How concurrent writes of a key are settled.
    pub resolver: Resolver,
}

/// One `[[bucket]]` as written.
struct Declared {
    bucket: Bucket,
    levels: Levels,
}

// === impl Bucket ===

impl Bucket {
    /// What its keys hold, as the configuration calls it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        REGISTER
    }

    /// Whether it is Settle's own, and not to be counted among the users' buckets.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.name.starts_with('_')
    }
}

/// All buckets sorted by name, with those that always exist, and the levels of those that set any.
pub(super) fn read(reader: &mut Reader) -> (Vec<Bucket>, BTreeMap<String, Levels>) {
    let doc = "A bucket; \"default\" exists always and may be declared to change it.";
    let declared = reader.tables("bucket", doc, read_one);
    let mut buckets: Vec<Bucket> = Vec::with_capacity(declared.len() + 2);
    let mut levels = BTreeMap::new();
    for (index, Declared { bucket, levels: own }) in declared.into_iter().enumerate() {
        // An empty name has its own error already.
        if !bucket.name.is_empty() && buckets.iter().any(|known| known.name == bucket.name) {
            reader
                .reject(&format!("bucket[{index}].name"), "is the name of an earlier bucket; name each once");
            continue;
        }
        levels.insert(bucket.name.clone(), own);
        buckets.push(bucket);
    }
    for name in [DEFAULT_BUCKET, CANARY_BUCKET] {
        if !buckets.iter().any(|known| known.name == name) {
            buckets.push(Bucket { name: name.to_owned(), resolver: Resolver::Lww });
        }
    }
    if buckets.len() > BUCKETS_MAX {
        let problem =
            format!("{} buckets with Settle's own; at most {BUCKETS_MAX} can be declared", buckets.len());
        reader.reject("bucket", problem);
    }
    buckets.sort_by(|a, b| a.name.cmp(&b.name));
    (buckets, levels)
}

fn read_one(reader: &mut Reader) -> Declared {
    let resolvers = [Resolver::Lww, Resolver::Siblings].map(|resolver| (resolver.name(), resolver));
    let name = reader.required_string("name", "orders", "Its name: a-z, 0-9, \"_\", \".\" and \"-\".");
    reader.choice("type", "register", &[(REGISTER, ())], "What its keys hold; only \"register\".");
    let doc = "\"lww\": the last write wins; \"siblings\": clients see and settle concurrent writes.";
    let resolver = reader.choice("resolver", "lww", &resolvers, doc);
    let levels = Levels {
        read: level(reader, "read", "Level of its reads; without it that of [consistency]."),
        write: level(reader, "write", "Level of its writes; without it that of [consistency]."),
    };
    if reader.is_set("name") {
        check_name(reader, &name);
    }
    Declared { bucket: Bucket { name, resolver }, levels }
}

fn level(reader: &mut Reader, key: &str, doc: &'static str) -> Option<Level> {
    let name = reader.optional_string(key, Level::Quorum.name(), doc)?;
    let level = name.parse().ok();
    if level.is_none() {
        let known = Level::EVERY.map(|level| format!("\"{level}\"")).join(", ");
        reader.reject(key, format!("expected one of {known}"));
    }
    level
}

fn check_name(reader: &mut Reader, name: &str) {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) {
        reader.reject("name", "must be 1 to 64 of a-z, 0-9, \"_\", \".\" and \"-\"");
    } else if name.starts_with('_') {
        reader.reject("name", "must not begin with \"_\": such buckets are Settle's own");
    }
}
