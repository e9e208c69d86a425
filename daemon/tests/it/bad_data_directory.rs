//! Data directories that are not this node's, or not whole: refused with what to do, and nothing is lost by it.

use std::fs;
use std::path::PathBuf;

use crate::support::node::flip_byte;
use crate::support::{Node, turn};

/// Where the format's version stands in the identity: after its first line.
const FORMAT_AT: usize = "settle data directory\n".len();

/// A stopped node that holds a value.
fn with_a_value() -> (Node, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Node::single(directory.path(), "n1");
    node.start_ready();
    node.client().put("/v1/kv/default/k", "kept").expect(204);
    node.terminate();
    (node, directory)
}

/// Starts the node, whose value must be there, and stops it.
fn assert_kept(node: &mut Node) {
    node.start_ready();
    assert_eq!(node.client().get("/v1/kv/default/k").expect(200).text(), "kept");
    node.terminate();
}

#[test]
fn a_directory_of_another_node_or_cluster_is_refused() {
    let _turn = turn::shared();
    let (mut node, _directory) = with_a_value();
    let right = node.configuration.clone();
    for (key, literal, shown) in [
        ("node.name", "\"n2\"", "\"n1\""),
        ("cluster.name", "\"other\"", "\"settle\""),
        ("cluster.partitions", "64", "128"),
    ] {
        node.configuration.literal(key, literal);
        let said = node.refused();
        assert!(said.contains(key) && said.contains(literal) && said.contains(shown), "{said}");
        assert!(said.contains(node.data_directory().to_str().unwrap()), "{said}");
        node.configuration = right.clone();
    }
    assert_kept(&mut node);
}

#[test]
fn a_directory_of_a_newer_format_is_refused() {
    let _turn = turn::shared();
    let (mut node, _directory) = with_a_value();
    let identity = node.data_directory().join("identity");
    let mut bytes = fs::read(&identity).unwrap();
    let format = std::mem::replace(&mut bytes[FORMAT_AT], 9);
    fs::write(&identity, &bytes).unwrap();
    let said = node.refused();
    assert!(said.contains("has format 9") && said.contains(&format!("reads up to {format}")), "{said}");
    bytes[FORMAT_AT] = format;
    fs::write(&identity, &bytes).unwrap();
    assert_kept(&mut node);
}

#[test]
fn a_damaged_identity_is_refused() {
    let _turn = turn::shared();
    let (mut node, _directory) = with_a_value();
    let identity = node.data_directory().join("identity");
    let whole = fs::read(&identity).unwrap();
    for damaged in [Vec::new(), b"garbage".to_vec(), whole[..whole.len() - 1].to_vec()] {
        fs::write(&identity, damaged).unwrap();
        let said = node.refused();
        assert!(said.contains("is damaged") && said.contains(identity.to_str().unwrap()), "{said}");
    }
    fs::write(&identity, &whole).unwrap();
    flip_byte(&identity, whole.len() / 2);
    assert!(node.refused().contains("is damaged"));
    flip_byte(&identity, whole.len() / 2);
    assert_kept(&mut node);
}

/// The journal files of a node's engine.
fn journals(node: &Node) -> Vec<PathBuf> {
    let entries = fs::read_dir(node.data_directory().join("engine")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).collect()
}

#[test]
fn a_damaged_or_incomplete_engine_is_refused() {
    let _turn = turn::shared();
    let (mut node, _directory) = with_a_value();
    let journal = journals(&node).pop().expect("a journal");
    let whole = fs::read(&journal).unwrap();
    let written = whole.iter().rposition(|byte| *byte != 0).expect("a journal that was written to");
    flip_byte(&journal, written / 2);
    let said = node.refused();
    assert!(said.contains("is damaged"), "{said}");
    fs::write(&journal, whole).unwrap();

    let engine = node.data_directory().join("engine");
    let aside = node.directory.join("aside");
    fs::rename(&engine, &aside).unwrap();
    let said = node.refused();
    assert!(said.contains("is damaged") && said.contains("missing"), "{said}");
    fs::rename(&aside, &engine).unwrap();
    assert_kept(&mut node);
}

#[test]
fn what_is_no_data_directory_is_left_alone() {
    let _turn = turn::shared();
    let directory = tempfile::tempdir().unwrap();
    let mut node = Node::single(directory.path(), "n1");
    fs::create_dir(node.data_directory()).unwrap();
    let stranger = node.data_directory().join("holiday.jpg");
    fs::write(&stranger, "a picture").unwrap();
    let said = node.refused();
    assert!(said.contains("holiday.jpg") && said.contains("nothing was changed"), "{said}");
    assert_eq!(fs::read_to_string(&stranger).unwrap(), "a picture");
    assert_eq!(fs::read_dir(node.data_directory()).unwrap().count(), 1);

    fs::remove_dir_all(node.data_directory()).unwrap();
    fs::write(node.data_directory(), "a file").unwrap();
    let said = node.refused();
    assert!(said.contains("is not a directory"), "{said}");
    assert_eq!(fs::read_to_string(node.data_directory()).unwrap(), "a file");
}

#[test]
fn a_directory_in_use_is_refused_and_its_user_goes_on() {
    let _turn = turn::shared();
    let directory = tempfile::tempdir().unwrap();
    let mut first = Node::single(directory.path(), "n1");
    first.start_ready();
    // The same node once more, on other ports.
    let mut second = Node::single(&directory.path().join("second"), "n1");
    second.configuration.text("node.data_dir", first.data_directory().to_str().unwrap());
    let said = second.refused();
    assert!(said.contains("in use by another process"), "{said}");
    first.client().put("/v1/kv/default/k", "kept").expect(204);
    first.terminate();
    assert_kept(&mut first);
}
