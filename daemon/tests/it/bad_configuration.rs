//! Wrong configurations: the process refuses to start, names file and key, says what to do, and says it all at once.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use crate::support::spawn::{close, spawn};
use crate::support::{Node, turn};

fn node() -> (Node, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Node::single(directory.path(), "n1"), directory)
}

/// What `settled` prints and its exit code, with arguments and environment of the caller's.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_settled"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let process = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let output = process.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_nearest_known_one() {
    let _turn = turn::shared();
    let (mut node, _directory) = node();
    node.configuration.literal("limits.value_byte", "\"1MiB\"");
    let said = node.refused();
    let file = node.configuration_file().display().to_string();
    assert!(said.contains(&file) && said.contains("limits.value_byte: "), "{said}");
    assert!(said.contains("did you mean limits.value_bytes?"), "{said}");
    assert!(!node.data_directory().exists(), "nothing may be made for a configuration that is refused");
}

#[test]
fn all_errors_come_at_once() {
    let _turn = turn::shared();
    let (mut node, _directory) = node();
    node.configuration
        .literal("cluster.partitions", "100")
        .text("echo.interval", "soon")
        .text("consistency.write", "most")
        .text("listen.api", "nowhere")
        .literal("storage.durabilty", "\"always\"")
        .bucket("_mine", "lww");
    let said = node.refused();
    assert!(said.contains("6 configuration errors"), "{said}");
    for key in [
        "cluster.partitions: 100 is no power of two",
        "echo.interval: ",
        "consistency.write: ",
        "listen.api: ",
        "storage.durability",
        "bucket[0].name: ",
    ] {
        assert!(said.contains(key), "{key} is not in\n{said}");
    }
    // The same without starting.
    let file = node.configuration_file();
    let (code, checked) = run(&["--config", file.to_str().unwrap(), "--check-config"], &[]);
    assert_eq!(code, Some(1), "{checked}");
    assert!(checked.contains("6 configuration errors"), "{checked}");
}

#[test]
fn a_good_configuration_is_called_good_and_nothing_is_started() {
    let _turn = turn::shared();
    let (node, _directory) = node();
    node.write_configuration();
    let file = node.configuration_file();
    let (code, said) = run(&["--config", file.to_str().unwrap(), "--check-config"], &[]);
    assert_eq!((code, said.as_str()), (Some(0), "the configuration is valid\n"));
    assert!(!node.data_directory().exists());
}

#[test]
fn the_environment_overrides_the_file_and_its_errors_name_the_variable() {
    let _turn = turn::shared();
    let (node, _directory) = node();
    node.write_configuration();
    let file = node.configuration_file();
    let arguments = ["--config", file.to_str().unwrap(), "--check-config"];
    let (code, said) = run(&arguments, &[("SETTLE_ECHO__INTERVAL", "soon")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("SETTLE_ECHO__INTERVAL"), "{said}");
    // Kubernetes injects such variables for every service.
    let (code, said) = run(&arguments, &[("SETTLE_PORT", "tcp://10.0.0.1:7400")]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_missing_file_and_one_that_cannot_be_read_are_named() {
    let _turn = turn::shared();
    let (mut node, directory) = node();
    let missing = directory.path().join("nobody.toml");
    let (code, said) = run(&["--config", missing.to_str().unwrap()], &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(missing.to_str().unwrap()), "{said}");
    node.configuration.extra = "[limits\n".to_owned();
    let said = node.refused();
    assert!(said.contains(node.configuration_file().to_str().unwrap()), "{said}");
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let _turn = turn::shared();
    for (key, protocol) in
        [("listen.api", "tcp"), ("listen.admin", "tcp"), ("listen.peer", "tcp"), ("listen.peer", "udp")]
    {
        let (mut node, _directory) = node();
        let address: SocketAddr = match key {
            "listen.api" => node.api,
            "listen.admin" => node.admin,
            _ => node.peer,
        };
        let tcp = (protocol == "tcp").then(|| TcpListener::bind(address).unwrap());
        let udp = (protocol == "udp").then(|| UdpSocket::bind(address).unwrap());
        let said = node.refused();
        assert!(said.contains(key) && said.contains(&address.to_string()), "{said}");
        assert!(said.contains("in use"), "{said}");
        // Nothing of the refused start is in the way of the next one.
        close((tcp, udp));
        node.start_ready();
        node.terminate();
    }
}
