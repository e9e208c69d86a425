//! What the configuration takes, and what it says when it does not.

use std::collections::BTreeMap;

use super::*;

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load_with(Some(file.path()), env).map_err(|errors| errors.to_string())
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.boot.admin.to_string(), "http://127.0.0.1:7402");
    assert_eq!(config.boot.listen.port(), 7410);
    assert_eq!(config.boot.name, None);
    let expected = Probe {
        interval: Duration::from_secs(1),
        deadline: Duration::from_secs(10),
        keys: 16,
        budget_per_second: 50,
        peers_per_cycle: 5,
        window: Duration::from_secs(300),
    };
    assert_eq!(config.probe, expected);
    let thresholds: BTreeMap<&str, f64> =
        Objective::ALL.map(|objective| (objective.name(), config.thresholds.of(objective))).into();
    let expected = [
        ("replication_lag", 5.0),
        ("conflict_rate", 0.01),
        ("stale_read_rate", 0.1),
        ("convergence_p99", 1.0),
        ("read_inconsistency_rate", 0.01),
        ("clock_offset", 0.25),
    ];
    assert_eq!(thresholds, expected.into());
}

#[test]
fn printed_defaults_load_as_the_defaults() {
    assert_eq!(load(&Config::default_text(), &[]).unwrap(), load("", &[]).unwrap());
}

#[test]
fn all_errors_at_once_with_the_nearest_key() {
    let text = r#"
        [target]
        kind = "riak"
        admin = "https://127.0.0.1:1"
        [probe]
        intervall = "1s"
        deadline = "soon"
        name = "with space"
        [thresholds]
        conflict_rate = 2
        [telemetry]
        otlp_endpoint = "nowhere"
    "#;
    let errors = load(text, &[]).unwrap_err();
    for expected in [
        "target.kind: expected one of \"settle\"",
        "target.admin: \"https://127.0.0.1:1\": TLS is not supported; expected http://host:port",
        "probe.intervall: unknown key; did you mean probe.interval?",
        "probe.deadline: expected a duration",
        "probe.name: expected 1 to 63 characters",
        "thresholds.conflict_rate: expected a number from 0 to 1",
        "telemetry.otlp_endpoint",
    ] {
        assert!(errors.contains(expected), "{expected} is not in {errors}");
    }
    assert!(errors.contains("7 configuration errors"), "{errors}");
}

#[test]
fn keys_must_outlast_the_deadline() {
    let errors = load("[probe]\nkeys = 9\n", &[]).unwrap_err();
    assert!(errors.contains("probe.keys: 9 keys at an interval of 1s last 9s"), "{errors}");
    load("[probe]\nkeys = 10\n", &[]).unwrap();
    load("[probe]\nkeys = 9\n", &[("SETTLE_PROBE__DEADLINE", "9s")]).unwrap();
    let errors = load("[probe]\ninterval = \"1ms\"\nwindow = \"1us\"\n", &[]).unwrap_err();
    for key in ["probe.interval", "probe.keys", "probe.window"] {
        assert!(errors.contains(key), "{errors}");
    }
}

#[test]
fn what_needs_a_restart_is_named() {
    let old = load("", &[]).unwrap();
    let new = load(
        "[target]\nadmin = \"127.0.0.1:1\"\n[probe]\nname = \"x\"\ninterval = \"2s\"\n[thresholds]\nclock_offset = \"1s\"\n",
        &[],
    );
    let Changes { live, boot } = Config::changes(&old, &new.unwrap());
    assert_eq!(boot, ["target.admin", "probe.name"]);
    assert_eq!(live, ["probe.interval", "thresholds.clock_offset"]);
    let new = load("[probe]\ninterval = \"2s\"\n[telemetry]\nlog = \"debug\"\n", &[]).unwrap();
    let Changes { live, boot } = Config::changes(&old, &new);
    assert_eq!((live, boot), (vec!["probe.interval".to_owned(), "telemetry.log".to_owned()], vec![]));
    assert_eq!(Config::changes(&new, &new), Changes::default());
}

#[test]
fn minted_names_are_valid_and_differ() {
    let (one, other) = (ProberName::mint(1), ProberName::mint(2));
    assert_ne!(one, other);
    assert_eq!(ProberName::parse(one.as_str()), Ok(one));
}
