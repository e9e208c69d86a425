//! Logs, contexts and entries shrink back: once all replicas have everything and know it, no log record is left, a
//! deleted key has no row, and no entry has a context of its own, except for writes that no replica will ever have.

use settle_core::clock::Clock;
use settle_core::key::Key;
use settle_core::partition::Partition;

use crate::broken::Broken;

/// What a key keeps besides its values.
#[derive(Debug)]
pub struct Leftover {
    /// The key.
    pub key: Key,
    /// Whether it has a row.
    pub row: bool,
    /// Whether it has a value.
    pub value: bool,
    /// What its explicit context covers beyond the clock: writes lost in a crash that others had heard of. They can be
    /// forgotten when the epoch that minted them is closed.
    pub context: Clock,
    /// Whether any replica has one of those writes.
    pub held: bool,
    /// Whether the node that minted one of them still is in that life.
    pub living: bool,
}

/// Checks one replica of a cluster at rest.
///
/// # Errors
/// [`Broken`] with what is left over.
pub fn check(partition: &Partition, place: usize, leftovers: &[Leftover]) -> Result<(), Broken> {
    let broken = |text: String| Err(Broken::new("residue", format!("node {place}: {text}")));
    if partition.log_records() != 0 {
        return broken(format!("{} log records, which all replicas have", partition.log_records()));
    }
    for left in leftovers {
        let key = String::from_utf8_lossy(left.key.user_key());
        if left.held || left.living {
            return broken(format!("key {key} has a context of writes that are not lost"));
        }
        if left.row && !left.value && left.context.is_empty() {
            return broken(format!("key {key} has a row and nothing in it"));
        }
    }
    let lost = leftovers.iter().filter(|left| !left.context.is_empty()).count();
    if partition.residue() != lost {
        return broken(format!("{} entries with a context, {lost} need one", partition.residue()));
    }
    Ok(())
}

/// Checks the disk of a node of a cluster at rest, which has been through two rounds of cleaning since.
///
/// # Errors
/// [`Broken`] when log segments are left: they hold keys, maybe of deleted data.
pub fn check_segments(stored: usize, place: usize) -> Result<(), Broken> {
    if stored == 0 {
        return Ok(());
    }
    Err(Broken::new("residue", format!("node {place}: {stored} log segments are left at rest")))
}
