//! Nothing is dropped in silence: a replica that lacks a write whose log record another has dropped is said by it to have
//! diverged, until it has the write; and at rest nobody has.

use settle_core::clock::Clock;
use settle_core::partition::Partition;

use crate::broken::Broken;

/// Checks one replica's word about another, which lacks `lacks` of what was dropped.
///
/// # Errors
/// [`Broken`] when it is not marked although it lacks something.
pub fn check(lacks: &Clock, marked: bool, place: usize, other: usize) -> Result<(), Broken> {
    match lacks.ranges().next() {
        Some(range) if !marked => {
            let text =
                format!("node {place} has dropped the record of {range:?}, and not marked node {other}");
            Err(Broken::new("diverged", text))
        }
        _ => Ok(()),
    }
}

/// Checks one replica of a cluster at rest.
///
/// # Errors
/// [`Broken`] when it says that another has diverged.
pub fn check_rest(partition: &Partition, place: usize) -> Result<(), Broken> {
    match partition.diverged().next() {
        Some(node) => {
            Err(Broken::new("diverged", format!("node {place} still says that {node} has diverged")))
        }
        None => Ok(()),
    }
}
