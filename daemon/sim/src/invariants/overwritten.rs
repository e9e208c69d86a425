//! What a quorum acknowledged is overwritten by what a quorum acknowledges later, whatever wall clocks say: once an `lww`
//! write or delete is acknowledged at quorum, no majority shows anything any more that was acknowledged at quorum before
//! it began, and every majority shows its own value until something supersedes that.
//! Two writers that overwrite each other must never make the last value vanish.
//!
//! What was overwritten must not be among the siblings at all, so it does not matter which of them stamps choose.

use crate::bits::Bits;
use crate::broken::Broken;
use crate::oracle::{History, Oracle};
use crate::view::{KeyView, View};

/// Checks what a majority of the replicas, given by place, would answer together.
///
/// # Errors
/// [`Broken`] with what is shown although it was overwritten, or missing although nothing supersedes it.
pub fn check(oracle: &Oracle, majority: &[(usize, &View)]) -> Result<(), Broken> {
    for (key, history) in oracle.keys.iter().enumerate() {
        let views: Vec<&KeyView> = majority.iter().filter_map(|(_, view)| view.key(key)).collect();
        if views.is_empty() {
            continue;
        }
        let shown = shown(&views);
        let broken = |what: &str, writes: Bits| {
            let places: Vec<usize> = majority.iter().map(|(place, _)| *place).collect();
            let dot = writes.first().map(|write| history.dot(write)).unwrap_or_default();
            Err(Broken::new("overwritten", format!("nodes {places:?} {what} {dot} of key {key}")))
        };
        let back = shown.and(history.overwritten);
        if back != Bits::default() {
            return broken("show, acknowledged at quorum before what a later quorum acknowledged,", back);
        }
        let missing = history.stated.minus(history.beaten).minus(shown);
        if missing != Bits::default() {
            return broken("do not show, acknowledged at quorum and never superseded,", missing);
        }
    }
    Ok(())
}

/// What the entries of several replicas show when they are merged, each under its own clock and explicit context: what
/// one of them shows and none of them has seen superseded.
fn shown(views: &[&KeyView]) -> Bits {
    let none = Bits::default();
    let shown = views.iter().fold(none, |shown, view| shown.or(view.siblings));
    views.iter().fold(shown, |shown, view| shown.minus(view.seen.minus(view.siblings)))
}

/// Checks a replica of a cluster at rest: a key whose last delete is older than some put that a quorum acknowledged has
/// a value.
///
/// # Errors
/// [`Broken`] when all values have vanished.
pub fn check_rest(oracle: &Oracle, view: &View, place: usize) -> Result<(), Broken> {
    for key in &view.keys {
        let Some(history) = oracle.keys.get(key.key) else { continue };
        if key.siblings == Bits::default() && has_value(history) {
            let text =
                format!("node {place}: every value of key {} has vanished, but nobody deleted it", key.key);
            return Err(Broken::new("overwritten", text));
        }
    }
    Ok(())
}

/// Whether a put was acknowledged at quorum that began after the last delete had been made, and restated, for good.
fn has_value(history: &History) -> bool {
    let deleted = (0..history.writes.len()).rev().find(|write| !history.is_put(*write));
    history.operations.iter().any(|operation| {
        let first = operation.writes.first();
        let settled = operation.writes.and(history.settled) != Bits::default();
        settled && first.is_some_and(|first| history.is_put(first)) && first > deleted
    })
}
