//! A bounded read never breaks its bound: what a replica can prove of its freshness is true for every write that was
//! acknowledged through any replica; and a healthy cluster can prove something.

use std::ops::Range;

use crate::broken::Broken;
use crate::oracle::Oracle;
use crate::view::View;

/// Checks that a replica reflects every write acknowledged within `proven`.
///
/// # Errors
/// [`Broken`] with the first write that is not reflected.
pub fn check(oracle: &Oracle, view: &View, place: usize, proven: Range<u64>) -> Result<(), Broken> {
    let start = oracle.acknowledged.partition_point(|acknowledged| acknowledged.at < proven.start);
    for acknowledged in oracle.acknowledged.iter().skip(start) {
        if acknowledged.at >= proven.end {
            break;
        }
        let Some(key) = view.key(acknowledged.key) else { continue };
        if !key.seen.has(acknowledged.write) {
            let dot = oracle.keys.get(acknowledged.key).map(|history| history.dot(acknowledged.write));
            let text = format!(
                "node {place} proved to have everything acknowledged before {}, but lacks {} of key {} of {}",
                proven.end,
                dot.unwrap_or_default(),
                acknowledged.key,
                acknowledged.at
            );
            return Err(Broken::new("bound", text));
        }
    }
    Ok(())
}

/// Checks that a replica of a healthy cluster can prove a bound of at most `longest`.
///
/// # Errors
/// [`Broken`] otherwise.
pub fn check_provable(bound: Option<u64>, longest: u64, place: usize) -> Result<(), Broken> {
    match bound {
        Some(bound) if bound <= longest => Ok(()),
        other => {
            let text = format!("all is well, but node {place} can prove {other:?}, not {longest}");
            Err(Broken::new("bound", text))
        }
    }
}
