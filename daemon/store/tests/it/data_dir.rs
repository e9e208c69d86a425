//! What a data directory refuses, and that refusing changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use settle_core::dot::{Epoch, NodeId};
use settle_core::storage::Rows;
use settle_store::{DataDir, Disk, Expected, OpenError};
use tempfile::TempDir;

use crate::support::{self, CACHE_BYTES, batch, expected, start_at};

/// A directory with some rows in it, closed.
fn used() -> TempDir {
    let directory = TempDir::new().unwrap();
    let (engine, _) = support::open(directory.path()).unwrap();
    for index in 0..50_u8 {
        engine.commit(&[batch(&[(&[b'x', index], Some(&[index; 200]))])], true).unwrap();
    }
    drop(engine);
    directory
}

/// Every file below `path` with its bytes, without the zeros at its end.
fn contents(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(contents(&entry.path()));
        } else {
            let mut bytes = fs::read(entry.path()).unwrap();
            let used = bytes.chunks(4096).rposition(|chunk| chunk != &[0; 4096][..chunk.len()]);
            bytes.truncate(used.map_or(0, |last| (last + 1) * 4096));
            found.push((entry.path(), bytes));
        }
    }
    found.sort();
    found
}

/// Opens, expects a refusal that changes nothing, and returns it.
fn refused(directory: &Path, expected: &Expected) -> OpenError {
    let before = contents(directory);
    let error = DataDir::open(directory, expected, start_at(1_000), CACHE_BYTES).unwrap_err();
    let (before, after) = (before.into_iter(), contents(directory));
    let changed: Vec<_> = before.filter(|file| !after.contains(file)).map(|(path, _)| path).collect();
    assert!(changed.is_empty(), "{changed:?} changed by a refusal: {error}");
    assert!(error.to_string().contains(directory.to_str().unwrap()), "no path: {error}");
    error
}

fn engine_file(directory: &TempDir, name: &str) -> PathBuf {
    directory.path().join("engine").join(name)
}

#[test]
fn a_new_directory_gets_an_identity_that_stays() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("a/b");
    let (engine, first) = support::open(&path).unwrap();
    assert_eq!((first.node_id, first.name.as_str(), first.partitions), (NodeId(7), "n1", 128));
    drop(engine);
    let again = settle_store::Start { random_node: 8, ..start_at(1_000) };
    let (_engine, second) = DataDir::open(&path, &expected(), again, CACHE_BYTES).unwrap();
    assert_eq!(second.node_id, first.node_id);
}

#[test]
fn every_start_has_a_greater_epoch_whatever_the_wall_clock_does() {
    let directory = TempDir::new().unwrap();
    let mut last = Epoch(0);
    for wall_ms in [5_000, 5_000, 1, 9_000, 0] {
        let (_, identity) =
            DataDir::open(directory.path(), &expected(), start_at(wall_ms), CACHE_BYTES).unwrap();
        assert!(identity.epoch > last && identity.epoch.0 >> 16 >= wall_ms);
        last = identity.epoch;
    }
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_free() {
    let directory = TempDir::new().unwrap();
    let (engine, _) = support::open(directory.path()).unwrap();
    let error = support::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    engine.commit(&[batch(&[(b"xa", Some(b"1"))])], true).unwrap();
    drop(engine);
    let (engine, _) = support::open(directory.path()).unwrap();
    assert!(engine.get(b"xa").unwrap().is_some());
}

#[test]
fn a_directory_of_another_node_cluster_or_partitioning_is_refused() {
    let directory = used();
    let others = [
        ("node.name", "\"n1\"", "\"n2\"", Expected { name: "n2".to_owned(), ..expected() }),
        ("cluster.name", "\"test\"", "\"prod\"", Expected { cluster: "prod".to_owned(), ..expected() }),
        ("cluster.partitions", "128", "256", Expected { partitions: 256, ..expected() }),
    ];
    for (field, found, wanted, expected) in others {
        let error = refused(directory.path(), &expected).to_string();
        assert!([field, found, wanted].iter().all(|text| error.contains(text)), "{error}");
    }
    support::open(directory.path()).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let directory = used();
    let file = directory.path().join("identity");
    let mut bytes = fs::read(&file).unwrap();
    let version = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[version] = 2;
    fs::write(&file, bytes).unwrap();
    let error = refused(directory.path(), &expected());
    assert!(matches!(error, OpenError::NewerFormat { found: 2, newest: 1, .. }), "{error}");
}

#[test]
fn a_path_that_is_no_directory_or_cannot_be_one_is_refused() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "mine").unwrap();
    let error = support::open(&file).unwrap_err();
    assert!(matches!(error, OpenError::NotADirectory { .. }), "{error}");
    let error = support::open(&file.join("below")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_directory_with_other_things_in_it_is_left_alone() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("photo.jpg"), "mine").unwrap();
    let error = refused(directory.path(), &expected());
    assert!(matches!(&error, OpenError::NotOurs { found, .. } if found == "photo.jpg"), "{error}");
}

#[test]
fn an_engine_without_its_identity_is_left_alone() {
    let directory = used();
    fs::remove_file(directory.path().join("identity")).unwrap();
    let error = refused(directory.path(), &expected());
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
}

#[test]
fn garbage_in_a_file_is_damage() {
    let files = ["identity", "engine/version", "engine/keyspaces/0/current", "engine/keyspaces/1/current"];
    for file in files.into_iter().chain(["engine/keyspaces/0/v", "engine/keyspaces/1/v"]) {
        let directory = used();
        let file = newest_manifest(directory.path(), file);
        fs::write(directory.path().join(&file), [0xa5; 300]).unwrap();
        let error = refused(directory.path(), &expected());
        assert!(matches!(error, OpenError::Damaged { .. }), "{file}: {error}");
    }
}

/// `file`, or the manifest of a tree if it names one without its number.
fn newest_manifest(directory: &Path, file: &str) -> String {
    let numbered = (0..9).map(|number| format!("{file}{number}"));
    numbered.rev().find(|name| directory.join(name).exists()).unwrap_or(file.to_owned())
}

#[test]
fn a_missing_file_is_damage_and_nothing_is_made_in_its_place() {
    let files = [
        "engine/version",
        "engine/keyspaces/0/current",
        "engine/keyspaces/1/current",
        "engine/0.jnl",
        "engine",
    ];
    for file in files {
        let directory = used();
        let path = directory.path().join(file);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        let error = refused(directory.path(), &expected());
        assert!(matches!(error, OpenError::Damaged { .. }), "{file}: {error}");
    }
}

#[test]
fn damage_inside_the_journal_is_refused_rather_than_cut_off() {
    let directory = used();
    let journal = engine_file(&directory, "0.jnl");
    let whole = fs::read(&journal).unwrap();
    // A start, an item, lengths, an end: wherever it strikes, batches follow it.
    for at in [0, 1, 13, 24, 30, 2_000, 5_000] {
        let mut damaged = whole.clone();
        damaged[at..at + 40].fill(0xa5);
        fs::write(&journal, &damaged).unwrap();
        let error = support::open(directory.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "at {at}: {error}");
        assert!(fs::read(&journal).unwrap() == damaged, "at {at}: the journal was changed");
    }
    fs::write(&journal, &whole).unwrap();
    let (engine, _) = support::open(directory.path()).unwrap();
    assert_eq!(support::rows(&engine, b"x", b"y").len(), 50);
}

#[test]
fn a_torn_end_of_the_journal_is_cut_off() {
    let directory = used();
    let journal = engine_file(&directory, "0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(used - 5);
    fs::write(&journal, &bytes).unwrap();
    let (engine, _) = support::open(directory.path()).unwrap();
    assert_eq!(support::rows(&engine, b"x", b"y").len(), 49);
    engine.commit(&[batch(&[(b"xz", Some(b"1"))])], true).unwrap();
    drop(engine);
    let (engine, _) = support::open(directory.path()).unwrap();
    assert_eq!(support::rows(&engine, b"x", b"y").len(), 50);
}

#[test]
fn an_engine_that_lost_its_newest_writes_is_refused() {
    let directory = used();
    let engine = directory.path().join("engine");
    let copy = TempDir::new().unwrap();
    copy_tree(&engine, copy.path());
    drop(support::open(directory.path()).unwrap());
    fs::remove_dir_all(&engine).unwrap();
    copy_tree(copy.path(), &engine);
    let error = support::open(directory.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { what, .. } if what.contains("older")), "{error}");
}

#[test]
fn an_interrupted_birth_is_taken_up_again() {
    let directory = TempDir::new().unwrap();
    let (engine, born) = support::open(directory.path()).unwrap();
    drop(engine);
    // As it is before the engine's files are complete: an identity without an epoch.
    fs::remove_file(engine_file(&directory, "version")).unwrap();
    rewrite_identity_without_epoch(directory.path());
    let again = settle_store::Start { random_node: 99, ..start_at(1_000) };
    let (_engine, identity) = DataDir::open(directory.path(), &expected(), again, CACHE_BYTES).unwrap();
    assert_eq!(identity.node_id, born.node_id);
}

fn rewrite_identity_without_epoch(directory: &Path) {
    let file = directory.join("identity");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len() - 8;
    bytes[end - 8..end].fill(0);
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&file, bytes).unwrap();
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
