//! The properties of DESIGN.md section 12 that exist so far, one file each. Sessions, lost disks and
//! closed epochs will bring theirs.

pub mod acknowledged;
pub mod bound;
pub mod convergence;
pub mod covered;
pub mod diverged;
pub mod dots;
pub mod durable;
pub mod kept;
pub mod layouts;
pub mod log;
pub mod monotonic;
pub mod overwritten;
pub mod residue;
pub mod superseded;
pub mod trees;
pub mod verified;

use crate::bits::Bits;
use crate::broken::Broken;
use crate::node::Touch;
use crate::oracle::Oracle;
use crate::view::View;

/// One replica after a step.
#[derive(Debug)]
pub struct Look<'a> {
    /// The node.
    pub place: usize,
    /// The partition's index.
    pub partition: usize,
    /// Whether it answers reads, and so has what was acknowledged through it.
    pub answers: bool,
    /// What was readable before.
    pub before: &'a View,
    /// What is readable now.
    pub now: &'a View,
    /// What happened in between.
    pub touched: Touch,
    /// Whether [`crate::shape::Durability::Always`] holds.
    pub always: bool,
    /// What clients were told.
    pub oracle: &'a Oracle,
}

/// Checks everything that must hold of one replica at any time.
///
/// # Errors
/// [`Broken`], the first property that does not hold.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    covered::check(look)?;
    superseded::check(look)?;
    kept::check(look)?;
    durable::check(look)?;
    if look.always && look.answers {
        let own = |coordinator| coordinator == look.place;
        acknowledged::check(look.oracle, look.now, look.place, own)?;
    }
    Ok(())
}

/// The first of some writes of a key, for a message.
fn dot(look: &Look<'_>, key: usize, writes: Bits) -> String {
    let history = look.oracle.keys.get(key);
    history.zip(writes.first()).map(|(history, write)| history.dot(write)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
