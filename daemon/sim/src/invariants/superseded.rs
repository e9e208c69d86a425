//! Deletes stay deleted: a replica that has seen a write shows nothing of what that write superseded, not even when an
//! old copy comes back.

use crate::bits::Bits;
use crate::broken::Broken;

use super::Look;

/// Checks one replica.
///
/// # Errors
/// [`Broken`] with the value that is back.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    for key in &look.now.keys {
        let Some(history) = look.oracle.keys.get(key.key) else { continue };
        let back = key.siblings.minus(history.visible(key.siblings, key.clocked));
        if back != Bits::default() {
            let dot = super::dot(look, key.key, back);
            let text =
                format!("node {} shows {dot} of key {}, superseded by what it has seen", look.place, key.key);
            return Err(Broken::new("superseded", text));
        }
    }
    Ok(())
}
