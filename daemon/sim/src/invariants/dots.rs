//! No dot is minted twice, whatever was lost in a crash: a name that two writes share makes one of them invisible to
//! every replica that has seen the other.

use settle_core::dot::Dot;

use crate::broken::Broken;

/// Checks a dot that was just minted; `fresh`: no write had it before.
///
/// # Errors
/// [`Broken`] when it is not fresh.
pub fn check(fresh: bool, dot: Dot, place: usize) -> Result<(), Broken> {
    if fresh {
        return Ok(());
    }
    Err(Broken::new("dots", format!("node {place} minted {dot}, which is another write's name")))
}
