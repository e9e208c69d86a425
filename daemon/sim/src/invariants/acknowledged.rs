//! No acknowledged write is lost: under `always`, a write that its client was told to be kept is reflected at its
//! coordinator from then on, whatever crashes, and at every replica once the cluster has healed.

use crate::broken::Broken;
use crate::oracle::Oracle;
use crate::view::View;

/// Checks one replica's view for the acknowledged writes of the coordinators chosen by `through`.
///
/// # Errors
/// [`Broken`] with the first write that is not reflected.
pub fn check(
    oracle: &Oracle,
    view: &View,
    place: usize,
    through: impl Fn(usize) -> bool,
) -> Result<(), Broken> {
    for acknowledged in &oracle.acknowledged {
        let Some(key) = view.key(acknowledged.key) else { continue };
        let Some(history) = oracle.keys.get(acknowledged.key) else { continue };
        let Some(write) = history.writes.get(acknowledged.write) else { continue };
        if through(write.coordinator) && !key.seen.has(acknowledged.write) {
            let (number, dot) = (acknowledged.key, write.dot);
            let text =
                format!("node {place} lacks {dot} of key {number}, acknowledged at {}", acknowledged.at);
            return Err(Broken::new("acknowledged", text));
        }
    }
    Ok(())
}
