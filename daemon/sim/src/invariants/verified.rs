//! Replicas that believe they are equal are: what a disk loses or garbles without a word is found by the next
//! verification, nothing else is, and when what was found is settled, all hold the same again and nothing is lost that
//! any of them still had.

use std::collections::BTreeSet;

use bytes::Bytes;
use settle_core::partition::{Scrubbed, Verdict};

use crate::broken::Broken;

/// Checks what a verification said of two replicas that have lost nothing.
///
/// # Errors
/// [`Broken`] when it found a contradiction.
pub fn check_sound(verdict: &Verdict, places: [usize; 2]) -> Result<(), Broken> {
    let Verdict::Contradicted(found) = verdict else { return Ok(()) };
    let keys: Vec<_> = found.iter().map(|contradiction| &contradiction.key).collect();
    let text = format!("nodes {places:?} have lost nothing and are said to contradict each other: {keys:?}");
    Err(Broken::new("verified", text))
}

/// Checks what a scrub said of rows that nobody but their node has changed.
///
/// # Errors
/// [`Broken`] when it found some rotten.
pub fn check_rows(scrubbed: Scrubbed, place: usize) -> Result<(), Broken> {
    let Scrubbed::Rotten(leaves) = scrubbed else { return Ok(()) };
    Err(Broken::new("verified", format!("node {place}: {leaves} leaves are said to be rotten")))
}

/// Checks what a verification said of two replicas at rest; `same`: what they hold is.
///
/// # Errors
/// [`Broken`] when it overlooked a difference, or made one up.
pub fn check_rest(verdict: &Verdict, same: bool, places: [usize; 2]) -> Result<(), Broken> {
    let right = match verdict {
        Verdict::Equal => same,
        Verdict::Contradicted(_) => !same,
        _ => false,
    };
    if right {
        return Ok(());
    }
    Err(Broken::new("verified", format!("nodes {places:?} hold the same: {same}; it is said: {verdict:?}")))
}

/// Checks what a replica shows of a key after all was settled: each value that some replica showed before.
///
/// # Errors
/// [`Broken`] when it is something else.
pub fn check_mended(
    before: &BTreeSet<Bytes>,
    after: &BTreeSet<Bytes>,
    place: usize,
    key: usize,
) -> Result<(), Broken> {
    if before == after {
        return Ok(());
    }
    let text = format!("node {place}, key {key}: {before:?} was held, {after:?} is after the repair");
    Err(Broken::new("verified", text))
}
