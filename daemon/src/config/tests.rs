//! Tests of the daemon's configuration: errors together, defaults, and what a reload may change.

use std::time::Duration;

use settle_core::level::Level;
use settle_core::value::register::Resolver;
use settle_store::Durability;

use super::*;

/// What every configuration needs.
const NEEDED: &str = "[node]\nname = \"n1\"\ndata_dir = \"/data\"\n";

fn load(text: &str) -> Result<Config, Vec<String>> {
    load_with(text, &[])
}

/// Loads `text` from a file; in the errors the file is called by its name only.
fn load_with(text: &str, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settled.toml");
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let place = format!("{}/", directory.path().display());
    Config::load_with(Some(&path), env)
        .map_err(|errors| errors.0.iter().map(|error| error.to_string().replace(&place, "")).collect())
}

fn good(rest: &str) -> Config {
    load(&format!("{NEEDED}{rest}")).unwrap()
}

#[test]
fn defaults_are_those_documented() {
    let Config { boot, live } = good("");
    assert_eq!((boot.node.datacenter.as_str(), boot.node.zone.as_str()), ("default", "default"));
    assert_eq!(boot.listen.api, "0.0.0.0:7400".parse().unwrap());
    assert_eq!((boot.cluster.expect, boot.cluster.partitions, boot.cluster.replication), (3, 128, 3));
    assert_eq!((boot.cache_bytes, boot.otlp_endpoint, boot.sample_ratio), (64 << 20, None, 1.0));
    let names: Vec<&str> = boot.buckets.iter().map(|bucket| bucket.name.as_str()).collect();
    assert_eq!(names, ["_canary", "default"]);
    assert_eq!((live.consistency.read, live.consistency.write), (Level::One, Level::One));
    assert_eq!(
        (live.consistency.timeout, live.echo_interval),
        (Duration::from_secs(2), Duration::from_millis(100))
    );
    assert_eq!(live.durability, Durability::Always);
    let hints =
        Hints { max_bytes: 1 << 30, max_age: Duration::from_secs(86_400), bytes_per_second: 16 << 20 };
    assert_eq!(live.hints, hints);
    let limits = Limits { key_bytes: 1024, value_bytes: 1 << 20, concurrent_requests: 1024 };
    assert_eq!((live.limits, live.log.as_str()), (limits, "info"));
}

#[test]
fn the_printed_default_loads_as_the_default() {
    let text = Config::default_text();
    let env = [("SETTLE_NODE__NAME", "n1"), ("SETTLE_NODE__DATA_DIR", "/data")];
    assert_eq!(load_with(&text, &env).unwrap(), good(""), "{text}");
    for line in ["# name = \"node-1\"\n", "\ncache = \"64MiB\"\n", "\n# [[bucket]]\n", "\n# expect = 3\n"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert_eq!(text.matches("[telemetry]").count(), 1, "{text}");
}

#[test]
fn all_errors_come_at_once() {
    let text = "[node]\nname = \"a b\"\n[listen]\npeer = \"here\"\n[advertise]\napi = \"0.0.0.0:1\"\nadmin = \"[::]:0\"\n\
                [cluster]\npartitions = 100\nexpect = 0\nseed = []\n[consistency]\nread = \"most\"\n\
                [storage]\ndurability = \"sometimes\"\n[limits]\nvalue_bytes = \"1GiB\"\n\
                [telemetry]\nlog = \"loud=very\"\notlp_endpoint = \"there\"\n\
                [[bucket]]\nname = \"Big\"\nread = \"some\"\n[[bucket]]\nname = \"_own\"\ntype = \"heap\"\n\
                [[bucket]]\nresolver = \"dice\"\n[[bucket]]\nname = \"x\"\n[[bucket]]\nname = \"x\"\n";
    let errors = load(text).unwrap_err();
    let expected = [
        "node.name: must be 1 to 63 of",
        "node.data_dir: is required",
        "listen.peer: expected an IP address and port",
        "advertise.api: nobody can connect to 0.0.0.0",
        "advertise.admin: nobody can connect to [::]",
        "advertise.admin: nobody can connect to port 0",
        "cluster.expect: 0 is not from 1",
        "cluster.partitions: 100 is no power of two; use 64 or 128",
        "consistency.read: expected one of \"one\", \"quorum\", \"all\"",
        "storage.durability: expected one of \"always\", \"interval\", \"never\"",
        "limits.value_bytes: 1073741824 bytes is not from 1 to 4194304",
        "bucket[0].read: expected one of \"one\", \"quorum\", \"all\"",
        "bucket[0].name: must be 1 to 64 of",
        "bucket[1].type: expected one of \"register\"",
        "bucket[1].name: must not begin with \"_\"",
        "bucket[2].name: is required",
        "bucket[2].resolver: expected one of \"lww\", \"siblings\"",
        "bucket[4].name: is the name of an earlier bucket",
        "telemetry.otlp_endpoint: expected a URL",
        "telemetry.log: log level not understood",
        "cluster.seed: unknown key; did you mean cluster.seeds?",
    ];
    for error in expected {
        assert!(
            errors.iter().any(|found| found.starts_with(&format!("settled.toml: {error}"))),
            "no {error}: {errors:#?}"
        );
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

#[test]
fn sections_of_later_versions_are_unknown() {
    for section in ["tls", "auth"] {
        let errors = load(&format!("{NEEDED}[{section}]\nx = 1\n")).unwrap_err();
        assert!(errors[0].contains(&format!("{section}: unknown section")), "{errors:?}");
    }
}

#[test]
fn listeners_do_not_share_a_port() {
    let errors = |rest: &str| load(&format!("{NEEDED}[listen]\n{rest}")).unwrap_err();
    let found = errors("api = \"127.0.0.1:9\"\npeer = \"127.0.0.2:9\"\nadmin = \"[::]:9\"\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("listen.admin: [::]:9 is on the port of listen.api (127.0.0.1:9)"),
        "{found:?}"
    );
    assert!(
        errors("api = \"0.0.0.0:7401\"\n")[0]
            .contains("listen.peer: 0.0.0.0:7401 is on the port of listen.api")
    );
    good("[listen]\napi = \"127.0.0.1:0\"\npeer = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n");
}

#[test]
fn a_cache_without_a_unit_is_suspicious() {
    for cache in ["64", "\"512KiB\""] {
        let errors = load(&format!("{NEEDED}[storage]\ncache = {cache}\n")).unwrap_err();
        assert!(
            errors[0].contains("storage.cache: ") && errors[0].contains("is a unit missing"),
            "{errors:?}"
        );
    }
    good("[storage]\ncache = \"1MiB\"\n");
}

#[test]
fn a_bucket_too_many_is_refused() {
    let buckets = |count: usize| -> String {
        (0..count).map(|number| format!("[[bucket]]\nname = \"b{number}\"\n")).collect()
    };
    good(&buckets(254));
    let errors = load(&format!("{NEEDED}{}", buckets(255))).unwrap_err();
    assert!(errors[0].contains("bucket: 257 buckets with Settle's own; at most 256"), "{errors:?}");
}

#[test]
fn joining_needs_an_address_that_others_can_use() {
    let seeds = "[cluster]\nseeds = [\"seed:7401\"]\n";
    let errors = load(&format!("{NEEDED}{seeds}")).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("advertise.peer: must be set when cluster.seeds is"), "{errors:?}");
    good(&format!("{seeds}[advertise]\npeer = \"n1.example:7401\"\n"));
    good(&format!("{seeds}[listen]\npeer = \"127.0.0.1:0\"\n"));
}

#[test]
fn what_is_advertised_follows_the_peer_address() {
    let bound = |ip: &str| Listen {
        api: format!("{ip}:1").parse().unwrap(),
        peer: format!("{ip}:2").parse().unwrap(),
        admin: format!("{ip}:3").parse().unwrap(),
    };
    let told = |rest: &str, ip: &str| {
        let Advertised { api, peer, admin } = good(rest).boot.advertised(&bound(ip));
        [api, peer, admin].join(" ")
    };
    assert_eq!(told("", "0.0.0.0"), "127.0.0.1:1 127.0.0.1:2 127.0.0.1:3");
    assert_eq!(told("", "10.0.0.7"), "10.0.0.7:1 10.0.0.7:2 10.0.0.7:3");
    let peer = "[advertise]\npeer = \"n1:9\"\nadmin = \"ops:8\"\n";
    assert_eq!(told(peer, "[::]"), "n1:1 n1:9 ops:8");
}

#[test]
fn buckets_and_their_levels() {
    let rest = "[consistency]\nwrite = \"quorum\"\n[[bucket]]\nname = \"default\"\nresolver = \"siblings\"\n\
                [[bucket]]\nname = \"orders\"\nread = \"all\"\n";
    let Config { boot, live } = good(rest);
    let found: Vec<(&str, Resolver)> = boot.buckets.iter().map(|b| (b.name.as_str(), b.resolver)).collect();
    let expected = [("_canary", Resolver::Lww), ("default", Resolver::Siblings), ("orders", Resolver::Lww)];
    assert_eq!(found, expected);
    assert!(boot.buckets[0].is_reserved() && !boot.buckets[1].is_reserved());
    assert_eq!((live.read_level("orders"), live.write_level("orders")), (Level::All, Level::Quorum));
    assert_eq!((live.read_level("default"), live.write_level("_canary")), (Level::One, Level::Quorum));
}

#[test]
fn a_reload_may_change_the_live_part_only() {
    let running = good("[[bucket]]\nname = \"orders\"\n");
    let live = "[consistency]\nread = \"all\"\n[storage]\ndurability = \"interval\"\ninterval = \"1s\"\n\
                [echo]\ninterval = \"1s\"\n[limits]\nkey_bytes = 9\n[telemetry]\nlog = \"debug\"\n\
                [[bucket]]\nname = \"orders\"\nread = \"quorum\"\n";
    let new = good(live);
    let expected = [
        "consistency.read",
        "storage.durability or storage.interval",
        "echo.interval",
        "limits.key_bytes",
        "telemetry.log",
        "bucket \"orders\"",
    ];
    let Changes { live, boot } = running.changes(&new);
    assert_eq!((live, boot), (expected.map(str::to_owned).to_vec(), vec![]));
    assert_eq!(running.changes(&running), Changes::default());
    assert_eq!(running.boot, new.boot);
    assert_ne!(running.live, new.live);
    assert_eq!(new.live.durability, Durability::Interval(Duration::from_secs(1)));
}

#[test]
fn a_refused_reload_names_every_key() {
    let running = good("[[bucket]]\nname = \"orders\"\n[[bucket]]\nname = \"gone\"\n");
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef").unwrap();
    let cluster = format!("[cluster]\nsecret_file = \"{}\"\n", secret.display());
    let text = "[node]\nname = \"n2\"\ndata_dir = \"/d\"\ndatacenter = \"e\"\nzone = \"z\"\n\
                [listen]\napi = \"1.1.1.1:1\"\npeer = \"1.1.1.1:2\"\nadmin = \"1.1.1.1:3\"\n\
                [advertise]\napi = \"a:1\"\npeer = \"a:2\"\nadmin = \"a:3\"\n\
                [cluster]\nname = \"c\"\nseeds = [\"s:1\"]\nexpect = 5\npartitions = 8\nreplication = 2\n\
                [storage]\ncache = \"1MiB\"\n[telemetry]\notlp_endpoint = \"http://c:4318\"\nsample_ratio = 0.5\n\
                [[bucket]]\nname = \"orders\"\nresolver = \"siblings\"\n[[bucket]]\nname = \"new\"\n";
    let expected = [
        "node.name",
        "node.data_dir",
        "node.datacenter",
        "node.zone",
        "listen.api",
        "listen.peer",
        "listen.admin",
        "advertise.api",
        "advertise.peer",
        "advertise.admin",
        "cluster.name",
        "cluster.seeds",
        "cluster.expect",
        "cluster.partitions",
        "cluster.replication",
        "cluster.secret_file",
        "storage.cache",
        "telemetry.otlp_endpoint",
        "telemetry.sample_ratio",
        "bucket \"gone\"",
        "bucket \"new\"",
        "bucket \"orders\"",
    ];
    let text = text.replace("[cluster]\n", &cluster);
    assert_eq!(running.changes(&load(&text).unwrap()).boot, expected);
}
