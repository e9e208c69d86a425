//! The simulator's disk: rows in memory, and a memory of what was not synced, so that a crash can take it back.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use settle_core::storage::{Batch, Rows, StorageError};

use crate::disk::{Disk, check_batches};

/// A disk without a device. Deterministic: what a crash keeps is the caller's choice.
///
/// A clone is an independent copy with its own future, as a cloned or restored data directory is. Meant for one
/// thread; the lock inside is there because [`Disk`] asks for it.
#[derive(Debug, Default)]
pub struct SimDisk {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// What readers see: everything that was committed.
    rows: BTreeMap<Bytes, Bytes>,
    /// For each commit that was not synced, in order, what its rows were before.
    unsynced: Vec<Undo>,
    /// The next commit fails with this.
    fault: Option<StorageError>,
    /// A commit or sync failed; the batches in it may turn out to be on the disk after a crash.
    failed: Option<Vec<Batch>>,
}

type Undo = Vec<(Bytes, Option<Bytes>)>;

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commits a crash could take back.
    #[must_use]
    pub fn unsynced_commits(&self) -> usize {
        self.state().unsynced.len()
    }

    /// Ends the machine and starts it again: of the commits that were not synced the first `keep` are left, as a
    /// journal would leave them, and are on the device from then on. A commit that failed counts as the last of
    /// them: it may have reached the device all the same. The disk works again afterwards.
    pub fn crash(&self, keep: usize) {
        let mut state = self.state();
        let mut survivors = state.unsynced.len();
        while survivors > keep {
            survivors -= 1;
            let undo = state.unsynced.pop().unwrap_or_default();
            for (name, before) in undo.into_iter().rev() {
                state.set(name, before);
            }
        }
        if let Some(batches) = state.failed.take()
            && keep > survivors
        {
            state.apply(&batches);
        }
        state.unsynced.clear();
        state.fault = None;
    }

    /// Makes the next commit or sync fail with `error`, and everything after it until [`SimDisk::crash`].
    pub fn fail_next(&self, error: StorageError) {
        self.state().fault = Some(error);
    }
}

impl Clone for SimDisk {
    fn clone(&self) -> Self {
        Self { state: Mutex::new(self.state().clone()) }
    }
}

impl State {
    /// Sets or removes a row, and returns what it was.
    fn set(&mut self, name: Bytes, value: Option<Bytes>) -> Option<Bytes> {
        match value {
            Some(value) => self.rows.insert(name, value),
            None => self.rows.remove(&name),
        }
    }

    fn apply(&mut self, batches: &[Batch]) -> Undo {
        let mut undo = Undo::with_capacity(batches.iter().map(|batch| batch.rows.len()).sum());
        for (name, value) in batches.iter().flat_map(|batch| &batch.rows) {
            let before = self.set(name.clone(), value.clone());
            undo.push((name.clone(), before));
        }
        undo
    }

    /// Fails if a fault is due or one has struck already.
    fn check(&mut self, batches: &[Batch]) -> Result<(), StorageError> {
        if self.failed.is_some() {
            return Err(StorageError::Io("an earlier write failed; the disk must be opened anew".to_owned()));
        }
        if let Some(error) = self.fault.take() {
            self.failed = Some(batches.to_vec());
            return Err(error);
        }
        Ok(())
    }
}

impl Rows for SimDisk {
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.state().rows.get(row).cloned())
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        if from >= to {
            return Ok(());
        }
        let mut name = Bytes::copy_from_slice(from);
        let mut visited = false;
        loop {
            let start = if visited { Bound::Excluded(&name[..]) } else { Bound::Included(&name[..]) };
            // Looked up one by one, so that `visit` may read this disk too and pages cost what they hold.
            let row = {
                let state = self.state();
                let next = state.rows.range::<[u8], _>((start, Bound::Excluded(to))).next();
                next.map(|(name, value)| (name.clone(), value.clone()))
            };
            let Some((next, value)) = row else { break };
            if visit(&next, value).is_break() {
                break;
            }
            (name, visited) = (next, true);
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    fn commit(&self, batches: &[Batch], sync: bool) -> Result<(), StorageError> {
        check_batches(batches)?;
        let mut state = self.state();
        state.check(batches)?;
        let undo = state.apply(batches);
        if sync {
            state.unsynced.clear();
        } else if !undo.is_empty() {
            state.unsynced.push(undo);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        let mut state = self.state();
        state.check(&[])?;
        state.unsynced.clear();
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.state().rows.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(name: &'static str, value: &'static str) -> [Batch; 1] {
        let mut batch = Batch::default();
        batch.put(Bytes::from_static(name.as_bytes()), Bytes::from_static(value.as_bytes()));
        [batch]
    }

    fn value(disk: &SimDisk, name: &str) -> Option<Bytes> {
        disk.get(name.as_bytes()).unwrap()
    }

    #[test]
    fn a_crash_keeps_a_prefix_of_what_was_not_synced() {
        for keep in 0..4 {
            let disk = SimDisk::new();
            disk.commit(&put("a", "0"), true).unwrap();
            for next in ["1", "2", "3"] {
                disk.commit(&put("a", next), false).unwrap();
            }
            assert_eq!(disk.unsynced_commits(), 3);
            disk.crash(keep);
            assert_eq!(value(&disk, "a").unwrap(), keep.to_string());
            assert_eq!(disk.unsynced_commits(), 0, "what survived is on the device");
            disk.crash(0);
            assert_eq!(value(&disk, "a").unwrap(), keep.to_string());
        }
    }

    #[test]
    fn a_sync_covers_everything_before_it() {
        let disk = SimDisk::new();
        disk.commit(&put("a", "1"), false).unwrap();
        disk.commit(&put("b", "1"), true).unwrap();
        disk.commit(&put("c", "1"), false).unwrap();
        disk.sync().unwrap();
        disk.crash(0);
        assert!(["a", "b", "c"].iter().all(|name| value(&disk, name).is_some()));
    }

    #[test]
    fn after_a_fault_nothing_works_until_the_crash_and_the_failed_commit_may_be_there() {
        for (keep, survives) in [(0, false), (1, false), (2, true)] {
            let disk = SimDisk::new();
            disk.commit(&put("a", "1"), false).unwrap();
            disk.fail_next(StorageError::Full("test".to_owned()));
            assert_eq!(disk.commit(&put("b", "1"), true), Err(StorageError::Full("test".to_owned())));
            assert_eq!(value(&disk, "b"), None, "not readable while it runs");
            assert!(matches!(disk.commit(&put("c", "1"), true), Err(StorageError::Io(_))));
            assert!(disk.sync().is_err());
            disk.crash(keep);
            assert_eq!(value(&disk, "b").is_some(), survives);
            assert_eq!(value(&disk, "c"), None);
            disk.commit(&put("c", "1"), true).unwrap();
        }
    }

    #[test]
    fn a_clone_has_its_own_future() {
        let disk = SimDisk::new();
        disk.commit(&put("a", "1"), false).unwrap();
        let copy = disk.clone();
        disk.crash(0);
        copy.sync().unwrap();
        assert_eq!((value(&disk, "a"), value(&copy, "a")), (None, Some(Bytes::from_static(b"1"))));
    }
}
