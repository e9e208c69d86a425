//! Tests of reading configuration: values, every error at once, and the printed default.

use std::path::PathBuf;
use std::time::Duration;

use super::*;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Durability {
    #[default]
    Always,
    Never,
}

#[derive(Debug, PartialEq)]
struct Bucket {
    name: String,
    ttl: Option<Duration>,
    keys: u64,
}

#[derive(Debug, PartialEq)]
struct Settings {
    name: String,
    secret_file: Option<String>,
    api: std::net::SocketAddr,
    seeds: Vec<String>,
    interval: Duration,
    cache: u64,
    chance: f64,
    adaptive: bool,
    durability: Durability,
    buckets: Vec<Bucket>,
}

/// What a program's own function looks like.
fn read(reader: &mut Reader) -> Settings {
    let durabilities = [("always", Durability::Always), ("never", Durability::Never)];
    let settings = Settings {
        name: reader.string("node.name", "node \"1\"", "Name of this node."),
        secret_file: reader.optional_string("cluster.secret_file", "/etc/settle/secret", "Shared secret."),
        api: reader.address("listen.api", "127.0.0.1:7400", "Clients."),
        seeds: reader.host_ports("cluster.seeds", &[], "Nodes to join."),
        interval: reader.duration("echo.interval", "100ms", "Time between echoes."),
        cache: reader.size("storage.cache", "64MiB", "Block cache."),
        chance: reader.ratio("read_repair.chance", 0.1, "Reads that repair."),
        adaptive: reader.boolean("consistency.adaptive", false, "Adapt."),
        durability: reader.choice("storage.durability", "always", &durabilities, "When to sync."),
        buckets: reader.tables("bucket", "A bucket.", |bucket| Bucket {
            name: bucket.required_string("name", "orders", "Its name."),
            ttl: bucket.optional_duration("ttl", "1h", "Life of a key."),
            keys: bucket.integer("keys", 10, 1..=100, "Most keys."),
        }),
    };
    if settings.name == settings.secret_file.clone().unwrap_or_default() {
        reader.reject("node.name", "must differ from cluster.secret_file");
    }
    settings
}

struct Load {
    settings: Settings,
    errors: Vec<String>,
}

/// Loads `text` from a file with this name; in the errors the file is called by its name only.
fn load(file: &str, text: &str, env: &[(&str, &str)]) -> Load {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join(file);
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let (settings, outcome) = match Reader::load(Some(&path), env) {
        Ok(mut reader) => (read(&mut reader), reader.finish()),
        Err(errors) => (read(&mut Reader::empty()), Err(errors)),
    };
    let place = format!("{}/", directory.path().display());
    let errors = outcome.err().unwrap_or_default();
    Load { settings, errors: errors.0.iter().map(|error| error.to_string().replace(&place, "")).collect() }
}

fn defaults() -> Settings {
    read(&mut Reader::empty())
}

#[test]
fn toml_and_yaml_give_the_same() {
    let toml = load(
        "a.toml",
        "[node]\nname = \"n\"\n[echo]\ninterval = \"1m30s\"\n[storage]\ncache = 4096\ndurability = \"never\"\n\
         [cluster]\nseeds = [\"a:1\", \"b:2\"]\n[[bucket]]\nname = \"x\"\nttl = \"2h\"\n[[bucket]]\nname = \"y\"\nkeys = 7\n",
        &[],
    );
    let yaml = load(
        "a.yml",
        "node:\n  name: n\necho: {interval: 1m30s}\nstorage: {cache: 4096, durability: never}\nlisten:\n\
         cluster:\n  seeds: [\"a:1\", \"b:2\"]\nbucket:\n  - {name: x, ttl: 2h}\n  - {name: y, keys: 7}\n",
        &[],
    );
    assert!(toml.errors.is_empty() && yaml.errors.is_empty(), "{:?} {:?}", toml.errors, yaml.errors);
    assert_eq!(toml.settings, yaml.settings);
    assert_eq!(toml.settings.interval, Duration::from_secs(90));
    assert_eq!(toml.settings.durability, Durability::Never);
    assert_eq!(toml.settings.buckets.len(), 2);
    assert_eq!(toml.settings.buckets[0].ttl, Some(Duration::from_secs(7200)));
}

#[test]
fn environment_overrides_the_file() {
    let env = [
        ("SETTLE_NODE__NAME", "from-env"),
        ("SETTLE_CLUSTER__SEEDS", "a:1, b:2"),
        ("SETTLE_READ_REPAIR__CHANCE", "1"),
        ("SETTLE_CONSISTENCY__ADAPTIVE", "true"),
        // What Kubernetes injects for a service called settle.
        ("SETTLE_PORT", "tcp://10.0.0.1:7400"),
        ("SETTLE_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let loaded = load("a.toml", "[node]\nname = \"from-file\"\n", &env);
    assert_eq!(loaded.errors, Vec::<String>::new());
    assert_eq!(loaded.settings.name, "from-env");
    assert_eq!(loaded.settings.seeds, ["a:1", "b:2"]);
    assert_eq!((loaded.settings.chance, loaded.settings.adaptive), (1.0, true));
}

#[test]
fn all_errors_come_at_once_with_place_and_key() {
    let text = "[node]\nname = 5\n[echo]\nintervall = \"1s\"\ninterval = \"soon\"\n[listen]\napi = \"nowhere\"\n\
                [storage]\ndurability = \"maybe\"\ncache = -1\n[read_repair]\nchance = 1.5\n\
                [[bucket]]\nkeys = 0\n[[bucket]]\nname = \"b\"\nnmae = \"c\"\n[colours]\nred = 1\n[noed]\nname = 1\n[consistency.adaptive]\n";
    let env = [("SETTLE_CLUSTER__SEEDS", "no-port"), ("SETTLE_ECHOO__INTERVAL", "1s")];
    let loaded = load("bad.toml", text, &env);
    let expected = [
        "bad.toml: node.name: expected a text in quotes, found 5",
        "bad.toml: listen.api: expected an IP address and port such as \"127.0.0.1:7400\"",
        "SETTLE_CLUSTER__SEEDS: cluster.seeds: entry 1, \"no-port\": expected \"host:port\" such as \"10.0.0.7:7401\" or \"[::1]:7401\"",
        "bad.toml: echo.interval: expected a duration such as \"250ms\", \"5s\" or \"1m30s\"",
        "bad.toml: storage.cache: expected a size such as \"64MiB\", found -1",
        "bad.toml: read_repair.chance: expected a number from 0 to 1, found 1.5",
        "bad.toml: consistency.adaptive: expected true or false, found a section",
        "bad.toml: storage.durability: expected one of \"always\", \"never\"",
        "bad.toml: bucket[0].name: is required",
        "bad.toml: bucket[0].keys: 0 is not from 1 to 100",
        "bad.toml: bucket[1].nmae: unknown key; did you mean name?",
        "bad.toml: colours: unknown section",
        "bad.toml: echo.intervall: unknown key; did you mean echo.interval?",
        "SETTLE_ECHOO__INTERVAL: echoo.interval: unknown key; did you mean echo.interval?",
        "bad.toml: noed: unknown section; did you mean node?",
    ];
    assert_eq!(loaded.errors, expected);
    let all = ConfigErrors(vec![ConfigError::default_for_test("a"), ConfigError::default_for_test("b")]);
    assert_eq!(all.to_string(), "2 configuration errors:\n  - f: a: bad\n  - f: b: bad");
}

impl ConfigError {
    fn default_for_test(key: &str) -> Self {
        Self { place: "f".to_owned(), key: key.to_owned(), problem: "bad".to_owned() }
    }
}

#[test]
fn a_list_in_the_environment_may_be_written_as_in_a_file() {
    for text in ["a:1,b:2", " a:1 , b:2, ", "[\"a:1\", \"b:2\"]", " ['a:1', 'b:2',] "] {
        let loaded = load("a.toml", "", &[("SETTLE_CLUSTER__SEEDS", text)]);
        assert_eq!(
            (loaded.errors, loaded.settings.seeds),
            (vec![], vec!["a:1".to_owned(), "b:2".to_owned()]),
            "{text}"
        );
    }
    for wrong in ["[\"a:1\"", "[a:1]", "[1, 2]", "[\"a:1\"]\nlist = 1", "[[\"a:1\"]]"] {
        assert_eq!(
            load("a.toml", "", &[("SETTLE_CLUSTER__SEEDS", wrong)]).errors.len(),
            1,
            "{wrong} was taken"
        );
    }
}

#[test]
fn a_wrong_address_is_shown_with_its_place_unless_it_may_be_a_secret() {
    let seeds = |list: &str| load("a.toml", &format!("[cluster]\nseeds = {list}\n"), &[]).errors.concat();
    let error = seeds("[\"a:1\", \"b\", \"c\"]");
    assert!(error.contains("cluster.seeds: entry 2, \"b\": expected \"host:port\""), "{error}");
    let error = seeds("[\"user:hunter2@a:1\"]");
    assert!(
        error.contains("entry 1, a text with an \"@\": expected") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn what_another_program_reads_is_called_that() {
    let read = |text: &str, env: &[(&str, &str)]| {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut reader = Reader::load(Some(file.path()), env).unwrap();
        reader.belongs_to("the-other", &["probe", "listen.http"]);
        reader.string("listen.api", "", "A.");
        reader.string("prober.interval", "", "B.");
        let errors = reader.finish().unwrap_err().0;
        errors.into_iter().map(|error| format!("{}: {}", error.key, error.problem)).collect::<Vec<_>>()
    };
    let belongs = "it belongs to the-other; give each program a configuration of its own";
    let errors = read("[probe]\ninterval = \"1s\"\n[listen]\nhttp = \"h\"\nhttpx = \"h\"\n", &[]);
    assert_eq!(
        errors[..2],
        [
            format!("listen.http: unknown key: {belongs}"),
            "listen.httpx: unknown key; [listen] has api".to_owned()
        ]
    );
    assert_eq!(errors[2..], [format!("probe: unknown section: {belongs}")]);
    let errors = read("", &[("SETTLE_PROBE__INTERVAL", "1s")]);
    assert_eq!(errors, [format!("probe.interval: unknown key: {belongs}")]);
}

#[test]
fn what_is_required_says_where_it_can_be_set() {
    let mut reader = Reader::load(None, std::iter::empty()).unwrap();
    reader.required_string("node.data_dir", "/data", "Where.");
    let error = reader.finish().unwrap_err().to_string();
    let expected = "without --config: node.data_dir: is required; set it in the file of --config, or by SETTLE_NODE__DATA_DIR";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn relations_are_reported_where_the_key_was_set() {
    let text = "[node]\nname = \"same\"\n[cluster]\nsecret_file = \"same\"\n";
    let problem = "node.name: must differ from cluster.secret_file";
    assert_eq!(load("a.toml", text, &[]).errors, [format!("a.toml: {problem}")]);
    let loaded = load("a.toml", text, &[("SETTLE_NODE__NAME", "same")]);
    assert_eq!(loaded.errors, [format!("SETTLE_NODE__NAME: {problem}")]);
}

#[test]
fn a_section_is_no_value_and_a_value_no_section() {
    let loaded = load("a.yaml", "echo: 5\nbucket: {name: x}\nnode: {name: {first: a}}\n", &[]);
    let expected = [
        "a.yaml: node.name: expected a text in quotes, found a section",
        "a.yaml: bucket: expected a list of tables, which only a file can hold, found a section",
        "a.yaml: echo: is a section, not a value",
    ];
    assert_eq!(loaded.errors, expected);
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    assert_eq!(load("a.json", "{}", &[]).errors, ["a.json: the file name must end in .toml, .yaml or .yml"]);
    let loaded = load("a.toml", "[node]\nname = \"x\"\n[node]\n", &[]);
    assert_eq!(loaded.errors.len(), 1);
    assert!(
        loaded.errors[0].starts_with("a.toml: ") && loaded.errors[0].contains("line 3"),
        "{:?}",
        loaded.errors
    );
    let missing = Reader::load(Some("/nowhere/settle.toml".as_ref()), std::iter::empty()).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/settle.toml: cannot read the file"), "{missing}");
    let loaded = load("a.toml", "", &[("SETTLE_NODE__", "x")]);
    assert_eq!(loaded.errors, ["SETTLE_NODE__: expected a name of the form SETTLE_<SECTION>__<KEY>"]);
}

#[test]
fn no_error_shows_a_text_of_the_configuration() {
    let cases = [
        ("a.toml", "[cluster]\nsecret = \"hunter2\"\n"),
        ("a.toml", "[cluster]\nsecret_file = \"hunter2\n"),
        ("a.toml", "[cluster]\nsecret_file = [\"hunter2\"]\n"),
        (
            "a.toml",
            "[echo]\ninterval = \"hunter2\"\n[listen]\napi = \"hunter2\"\n[storage]\ndurability = \"hunter2\"\n",
        ),
        ("a.yaml", "cluster:\n  secret: hunter2\n"),
        ("a.yaml", "cluster:\n  secret_file: \"hunter2\n  : {hunter2\n"),
    ];
    for (file, text) in cases {
        let errors = load(file, text, &[]).errors;
        assert!(!errors.is_empty(), "{text} was taken");
        assert!(!errors.concat().contains("hunter2"), "{errors:?}");
    }
}

#[test]
fn the_printed_default_loads_as_the_default() {
    let mut reader = Reader::empty();
    read(&mut reader);
    let text = reader.default_config();
    let loaded = load("default.toml", &text, &[]);
    assert_eq!(loaded.errors, Vec::<String>::new(), "{text}");
    assert_eq!(loaded.settings, defaults());
    assert!(text.contains("[echo]\n# Time between echoes.\ninterval = \"100ms\"\n"), "{text}");
    assert!(text.contains("# secret_file = \"/etc/settle/secret\"\n"), "{text}");
    assert!(text.contains("# [[bucket]]\n# # Its name.\n# # name = \"orders\"\n"), "{text}");
}

#[test]
fn a_wrong_built_in_default_is_an_error() {
    let mut reader = Reader::empty();
    reader.duration("echo.interval", "fast", "Wrong.");
    reader.size("storage.cache", "big", "Wrong.");
    reader.integer("limits.keys", 0, 1..=2, "Wrong.");
    let errors = reader.finish().unwrap_err();
    assert_eq!(errors.0.len(), 3);
    assert!(errors.0.iter().all(|error| error.problem.starts_with("built-in default:")), "{errors}");
}
