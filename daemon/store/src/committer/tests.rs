//! The committer over the simulated disk, and over one that can be held up.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, Sender};

use bytes::Bytes;
use settle_core::storage::Rows;

use super::*;
use crate::sim_disk::SimDisk;

/// A disk whose every commit waits for a permit, and which counts its syncs.
struct GatedDisk {
    inner: SimDisk,
    permits: Mutex<Receiver<()>>,
    entered: Mutex<Sender<usize>>,
    syncs: Mutex<Sender<bool>>,
}

impl Rows for GatedDisk {
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.inner.get(row)
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        self.inner.scan(from, to, visit)
    }
}

impl Disk for GatedDisk {
    fn commit(&self, batches: &[Batch], sync: bool) -> Result<(), StorageError> {
        let _ = self.entered.lock().unwrap().send(batches.len());
        self.permits.lock().unwrap().recv().unwrap();
        let _ = self.syncs.lock().unwrap().send(sync);
        self.inner.commit(batches, sync)
    }

    fn sync(&self) -> Result<(), StorageError> {
        let _ = self.syncs.lock().unwrap().send(true);
        self.inner.sync()
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
}

fn no_segments() -> Segments {
    Segments::recover(&SimDisk::new()).unwrap().0
}

struct Gate {
    disk: Arc<GatedDisk>,
    permits: Sender<()>,
    entered: Receiver<usize>,
    syncs: Receiver<bool>,
}

fn gate() -> Gate {
    let (permits, permitted) = mpsc::channel();
    let (entering, entered) = mpsc::channel();
    let (syncing, syncs) = mpsc::channel();
    let disk = GatedDisk {
        inner: SimDisk::new(),
        permits: Mutex::new(permitted),
        entered: Mutex::new(entering),
        syncs: Mutex::new(syncing),
    };
    Gate { disk: Arc::new(disk), permits, entered, syncs }
}

fn batch(name: &str) -> Batch {
    let mut batch = Batch::default();
    batch.put(Bytes::copy_from_slice(name.as_bytes()), Bytes::from_static(b"value"));
    batch
}

/// A committer whose groups and failure arrive in channels.
fn start<D: Disk + 'static>(
    disk: &Arc<D>,
    durability: Durability,
    queue_bytes_max: usize,
) -> (Committer<u32>, Receiver<Committed<u32>>, Receiver<StorageError>) {
    let (commits, committed) = mpsc::channel();
    let (failures, failed) = mpsc::channel();
    let on_commit = move |group| commits.send(group).unwrap();
    let on_failure = move |error| failures.send(error).unwrap();
    let committer = Committer::start(
        Arc::clone(disk),
        no_segments(),
        || 0,
        durability,
        queue_bytes_max,
        on_commit,
        on_failure,
    )
    .unwrap();
    (committer, committed, failed)
}

#[test]
fn batches_that_arrive_during_a_commit_make_one_group_in_order() {
    let Gate { disk, permits, entered, .. } = gate();
    let (committer, committed, _) = start(&disk, Durability::Always, usize::MAX);
    committer.submit(batch("a"), 0).unwrap();
    assert_eq!(entered.recv(), Ok(1));
    for tag in 1..=3 {
        committer.submit(batch("bc"), tag).unwrap();
    }
    permits.send(()).unwrap();
    permits.send(()).unwrap();
    let (first, second) = (committed.recv().unwrap(), committed.recv().unwrap());
    assert_eq!((first.tags, first.rows, first.bytes), (vec![0], 1, 6));
    assert_eq!((second.tags, second.rows, second.bytes), (vec![1, 2, 3], 3, 21));
    assert_eq!(entered.recv(), Ok(3));
    assert_eq!(disk.inner.unsynced_commits(), 0);
}

#[test]
fn a_full_queue_refuses_and_recovers() {
    let Gate { disk, permits, entered, .. } = gate();
    let (committer, committed, _) = start(&disk, Durability::Always, 10);
    committer.submit(batch("a"), 0).unwrap();
    entered.recv().unwrap();
    committer.submit(batch("b"), 1).unwrap();
    committer.submit(batch("c"), 2).unwrap();
    assert_eq!(committer.ready(), Err(Refused::Overloaded));
    // Whoever asked a moment earlier has staged a change by now: dropping it would leave it in memory only.
    assert_eq!(committer.submit(batch("d"), 3), Ok(()));
    permits.send(()).unwrap();
    permits.send(()).unwrap();
    committed.recv().unwrap();
    committed.recv().unwrap();
    assert_eq!(committer.ready(), Ok(()));
    assert!(disk.get(b"d").unwrap().is_some());
}

#[test]
fn a_failure_is_told_once_and_refuses_everything_after_it() {
    let disk = Arc::new(SimDisk::new());
    let (committer, committed, failed) = start(&disk, Durability::Always, usize::MAX);
    let full = StorageError::Full("test".to_owned());
    disk.fail_next(full.clone());
    committer.submit(batch("a"), 0).unwrap();
    assert_eq!(failed.recv(), Ok(full.clone()));
    assert_eq!(committer.submit(batch("b"), 1), Err(Refused::Failed(full.clone())));
    assert_eq!(committer.close(), Err(full));
    assert!(failed.recv().is_err(), "the callback is gone");
    assert!(committed.recv().is_err(), "nothing was reported as committed");
}

#[test]
fn a_panic_in_a_callback_is_a_failure_too() {
    let disk = Arc::new(SimDisk::new());
    let (failures, failed) = mpsc::channel();
    let on_commit = |_: Committed<u32>| panic!("expected by this test");
    let on_failure = move |error| failures.send(error).unwrap();
    let committer =
        Committer::start(disk, no_segments(), || 0, Durability::Always, usize::MAX, on_commit, on_failure)
            .unwrap();
    committer.submit(batch("a"), 0).unwrap();
    assert!(matches!(failed.recv(), Ok(StorageError::Io(_))));
    assert!(matches!(committer.submit(batch("b"), 1), Err(Refused::Failed(_))));
}

#[test]
fn closing_commits_and_syncs_what_is_queued() {
    for durability in [Durability::Always, Durability::Interval(Duration::MAX), Durability::Never] {
        let disk = Arc::new(SimDisk::new());
        let (committer, committed, _) = start(&disk, durability, usize::MAX);
        for tag in 0..100 {
            committer.submit(batch(&tag.to_string()), tag).unwrap();
        }
        committer.close().unwrap();
        disk.crash(0);
        let tags: Vec<u32> = committed.iter().flat_map(|group| group.tags).collect();
        assert_eq!(tags, (0..100).collect::<Vec<_>>(), "{durability:?}");
        assert!(tags.iter().all(|tag| disk.get(tag.to_string().as_bytes()).unwrap().is_some()));
        assert_eq!(committer.submit(batch("late"), 100), Err(Refused::Closed));
    }
}

#[test]
fn an_interval_syncs_without_further_writes() {
    let Gate { disk, permits, syncs, .. } = gate();
    let (committer, committed, _) = start(&disk, Durability::Interval(Duration::from_millis(5)), usize::MAX);
    permits.send(()).unwrap();
    committer.submit(batch("a"), 0).unwrap();
    committed.recv().unwrap();
    assert_eq!((syncs.recv(), syncs.recv()), (Ok(false), Ok(true)));
}

#[test]
fn a_stricter_durability_reaches_back_and_forward() {
    let Gate { disk, permits, syncs, .. } = gate();
    let (committer, committed, _) = start(&disk, Durability::Never, usize::MAX);
    permits.send(()).unwrap();
    committer.submit(batch("a"), 0).unwrap();
    committed.recv().unwrap();
    assert_eq!(syncs.recv(), Ok(false));
    committer.set_durability(Durability::Always);
    assert_eq!(syncs.recv(), Ok(true), "what was committed before is synced at once");
    permits.send(()).unwrap();
    committer.submit(batch("b"), 1).unwrap();
    assert_eq!(syncs.recv(), Ok(true));
}
