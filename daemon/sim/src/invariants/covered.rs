//! The clock covers every sibling's dot: a value that can be read is one that the replica says it has, and one that
//! somebody wrote.

use crate::bits::Bits;
use crate::broken::Broken;

use super::Look;

/// Checks one replica.
///
/// # Errors
/// [`Broken`] with the value in question.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    for key in &look.now.keys {
        if let Some(stranger) = key.strangers.first() {
            let text = format!("node {} shows {stranger} of key {}, never written so", look.place, key.key);
            return Err(Broken::new("covered", text));
        }
        let bare = key.siblings.minus(key.clocked);
        if bare != Bits::default() {
            let dot = super::dot(look, key.key, bare);
            let text = format!("node {} shows {dot} of key {}, which its clock lacks", look.place, key.key);
            return Err(Broken::new("covered", text));
        }
    }
    Ok(())
}
