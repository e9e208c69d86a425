//! Seen means kept: a value that a replica says it has seen is shown there, unless something that it has seen too
//! supersedes it. Otherwise a clock could cover a write that nobody has any more.

use crate::broken::Broken;

use super::Look;

/// Checks one replica.
///
/// # Errors
/// [`Broken`] with the value that is missing.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    for key in &look.now.keys {
        let Some(history) = look.oracle.keys.get(key.key) else { continue };
        let missing = history.visible(key.seen, key.seen).minus(key.siblings);
        if let Some(number) = missing.first() {
            let dot = history.dot(number);
            let text = format!("node {} has seen {dot} of key {} but does not show it", look.place, key.key);
            return Err(Broken::new("kept", text));
        }
    }
    Ok(())
}
