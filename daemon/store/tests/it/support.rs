//! What the tests share.

use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use settle_core::storage::{Batch, Rows};
use settle_store::{DataDir, Engine, Expected, Identity, OpenError, Start};

pub(crate) const CACHE_BYTES: u64 = 8 << 20;

pub(crate) fn expected() -> Expected {
    Expected { name: "n1".to_owned(), cluster: "test".to_owned(), partitions: 128 }
}

pub(crate) fn start_at(wall_ms: u64) -> Start {
    Start { wall_ms, random_node: 7, random_epoch: 1 }
}

pub(crate) fn open(path: &Path) -> Result<(Engine, Identity), OpenError> {
    DataDir::open(path, &expected(), start_at(1_000), CACHE_BYTES)
}

/// A batch of puts, and of removals where there is no value.
pub(crate) fn batch(rows: &[(&[u8], Option<&[u8]>)]) -> Batch {
    let mut batch = Batch::default();
    for (name, value) in rows {
        let name = Bytes::copy_from_slice(name);
        match value {
            Some(value) => batch.put(name, Bytes::copy_from_slice(value)),
            None => batch.remove(name),
        }
    }
    batch
}

/// All rows from `from` to `to`.
pub(crate) fn rows(disk: &dyn Rows, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Bytes)> {
    let mut found = Vec::new();
    let scanned = disk.scan(from, to, &mut |name, value| {
        found.push((name.to_vec(), value));
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    found
}

/// A small generator of numbers (splitmix64): a test's randomness is its seed's.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
