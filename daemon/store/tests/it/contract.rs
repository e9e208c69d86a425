//! What both disks promise; every test runs on the engine and on the simulated disk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use settle_core::storage::Batch;
use settle_store::{Disk, Engine, SimDisk};
use tempfile::TempDir;

use crate::support::{self, Random, batch, rows};

/// A disk that can be opened anew.
trait Subject {
    fn new() -> Self;
    fn disk(&self) -> &dyn Disk;
    fn reopen(self) -> Self;
}

struct OnEngine {
    engine: Engine,
    directory: TempDir,
}

impl Subject for OnEngine {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (engine, _) = support::open(directory.path()).unwrap();
        Self { engine, directory }
    }

    fn disk(&self) -> &dyn Disk {
        &self.engine
    }

    fn reopen(self) -> Self {
        let Self { engine, directory } = self;
        drop(engine);
        let (engine, _) = support::open(directory.path()).unwrap();
        Self { engine, directory }
    }
}

impl Subject for SimDisk {
    fn new() -> Self {
        Self::new()
    }

    fn disk(&self) -> &dyn Disk {
        self
    }

    fn reopen(self) -> Self {
        self.crash(0);
        self
    }
}

macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod engine {
            $(#[test] fn $test() { super::$test::<super::OnEngine>(); })*
        }
        mod sim_disk {
            $(#[test] fn $test() { super::$test::<super::SimDisk>(); })*
        }
    };
}

on_both!(
    rows_are_read_back_and_absent_ones_are_absent,
    scans_are_ordered_bounded_and_can_stop,
    a_scan_may_read_the_disk,
    later_changes_win_within_a_commit,
    names_and_values_are_any_bytes,
    a_name_that_cannot_be_stored_fails_the_whole_commit,
    synced_rows_are_there_after_reopening,
    an_empty_commit_syncs_what_came_before,
    large_values_and_many_rows_come_back,
    random_histories_read_like_a_map,
);

fn rows_are_read_back_and_absent_ones_are_absent<S: Subject>() {
    let subject = S::new();
    let disk = subject.disk();
    assert_eq!(disk.get(b"xa"), Ok(None));
    disk.commit(&[batch(&[(b"xa", Some(b"1")), (b"xb", Some(b""))])], false).unwrap();
    assert_eq!(disk.get(b"xa"), Ok(Some(Bytes::from_static(b"1"))));
    assert_eq!(disk.get(b"xb"), Ok(Some(Bytes::new())), "an empty value is a value");
    assert_eq!(disk.get(b"x"), Ok(None), "a prefix of a name is another name");
    disk.commit(&[batch(&[(b"xa", None), (b"missing", None)])], true).unwrap();
    assert_eq!(disk.get(b"xa"), Ok(None));
    assert_eq!(rows(disk, b"x", b"y").len(), 1);
    assert!(disk.size_bytes() > 0);
}

fn scans_are_ordered_bounded_and_can_stop<S: Subject>() {
    let subject = S::new();
    let disk = subject.disk();
    let names: [&[u8]; 5] = [b"xc", b"xa", b"xb", b"xa\0", b"xd"];
    let batches = names.map(|name| batch(&[(name, Some(name))]));
    disk.commit(&batches, true).unwrap();
    let found: Vec<_> = rows(disk, b"xa", b"xd").into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, [&b"xa"[..], b"xa\0", b"xb", b"xc"], "from is included, to is not");
    assert!(rows(disk, b"xa", b"xa").is_empty());
    assert!(rows(disk, b"xd", b"xa").is_empty(), "a range the wrong way round is empty");
    let mut seen = 0;
    let scanned = disk.scan(b"xa", b"y", &mut |_, _| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((scanned, seen), (Ok(()), 2));
}

fn a_scan_may_read_the_disk<S: Subject>() {
    let subject = S::new();
    let disk = subject.disk();
    disk.commit(&[batch(&[(b"xa", Some(b"1")), (b"xb", Some(b"2"))])], true).unwrap();
    let scanned = disk.scan(b"x", b"y", &mut |name, value| {
        assert_eq!(disk.get(name), Ok(Some(value)));
        ControlFlow::Continue(())
    });
    scanned.unwrap();
}

fn later_changes_win_within_a_commit<S: Subject>() {
    let subject = S::new();
    let put_remove = batch(&[(b"xa", Some(b"1")), (b"xa", None), (b"xb", None), (b"xb", Some(b"1"))]);
    let overwrite = batch(&[(b"xb", Some(b"2")), (b"xc", Some(b"1"))]);
    let again = batch(&[(b"xc", None), (b"xc", Some(b"3"))]);
    subject.disk().commit(&[put_remove, overwrite, again], true).unwrap();
    let check = |disk: &dyn Disk| {
        assert_eq!(disk.get(b"xa"), Ok(None));
        assert_eq!(disk.get(b"xb"), Ok(Some(Bytes::from_static(b"2"))));
        assert_eq!(disk.get(b"xc"), Ok(Some(Bytes::from_static(b"3"))));
        assert_eq!(rows(disk, b"x", b"y").len(), 2);
    };
    check(subject.disk());
    check(subject.reopen().disk());
}

fn names_and_values_are_any_bytes<S: Subject>() {
    let subject = S::new();
    let all: Vec<u8> = (0..=255).collect();
    let long = vec![0xff_u8; 65_535];
    let names: [&[u8]; 5] = [b"\0", b"\0\0", &all, &[0xff], &long];
    let batches = names.map(|name| batch(&[(name, Some(&all))]));
    subject.disk().commit(&batches, true).unwrap();
    let subject = subject.reopen();
    for name in names {
        assert_eq!(subject.disk().get(name), Ok(Some(Bytes::from(all.clone()))), "{} bytes", name.len());
    }
}

fn a_name_that_cannot_be_stored_fails_the_whole_commit<S: Subject>() {
    let subject = S::new();
    let disk = subject.disk();
    let long = vec![1; 65_536];
    for name in [&b""[..], &long] {
        let refused = disk.commit(&[batch(&[(b"xa", Some(b"1"))]), batch(&[(name, Some(b"1"))])], true);
        assert!(refused.is_err());
    }
    assert_eq!(disk.get(b"xa"), Ok(None));
    disk.commit(&[batch(&[(b"xa", Some(b"1"))])], true).unwrap();
}

fn synced_rows_are_there_after_reopening<S: Subject>() {
    let subject = S::new();
    subject.disk().commit(&[batch(&[(b"xa", Some(b"1")), (b"xb", Some(b"1"))])], false).unwrap();
    subject.disk().commit(&[batch(&[(b"xa", None), (b"xc", Some(b"1"))])], false).unwrap();
    subject.disk().sync().unwrap();
    let subject = subject.reopen();
    let names: Vec<_> = rows(subject.disk(), b"x", b"y").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [b"xb", b"xc"]);
    subject.disk().commit(&[batch(&[(b"xd", Some(b"1"))])], true).unwrap();
    assert_eq!(rows(subject.reopen().disk(), b"x", b"y").len(), 3);
}

fn an_empty_commit_syncs_what_came_before<S: Subject>() {
    let subject = S::new();
    subject.disk().commit(&[batch(&[(b"xa", Some(b"1"))])], false).unwrap();
    subject.disk().commit(&[], true).unwrap();
    subject.disk().commit(&[Batch::default()], false).unwrap();
    assert!(subject.reopen().disk().get(b"xa").unwrap().is_some());
}

fn large_values_and_many_rows_come_back<S: Subject>() {
    let subject = S::new();
    // More than several memtables hold, so that the engine writes tables and merges them.
    let value = |index: u32| -> Vec<u8> { index.to_be_bytes().repeat(64 << 10) };
    for index in 0..48_u32 {
        let name = [b"x", &index.to_be_bytes()[..]].concat();
        subject.disk().commit(&[batch(&[(&name, Some(&value(index)))])], index == 47).unwrap();
    }
    let check = |disk: &dyn Disk| {
        let found = rows(disk, b"x", b"y");
        assert_eq!(found.len(), 48);
        assert!((0..).zip(&found).all(|(index, (_, stored))| *stored == value(index)));
    };
    check(subject.disk());
    check(subject.reopen().disk());
}

fn random_histories_read_like_a_map<S: Subject>() {
    let mut random = Random(42);
    let mut subject = S::new();
    let mut model = BTreeMap::new();
    for step in 0..300_u32 {
        let mut batches = Vec::new();
        for _ in 0..random.below(4) {
            let mut batch = Batch::default();
            for _ in 0..random.below(6) {
                let name = vec![b'x', random.below(40) as u8];
                if random.below(3) == 0 {
                    model.remove(&name);
                    batch.remove(Bytes::from(name));
                } else {
                    let value = Bytes::from(step.to_string());
                    model.insert(name.clone(), value.clone());
                    batch.put(Bytes::from(name), value);
                }
            }
            batches.push(batch);
        }
        subject.disk().commit(&batches, random.below(2) == 0).unwrap();
        if random.below(60) == 0 {
            subject.disk().sync().unwrap();
            subject = subject.reopen();
        }
        let found = rows(subject.disk(), b"x", b"y");
        assert!(found.iter().map(|(name, value)| (name, value)).eq(&model), "step {step}");
    }
}
