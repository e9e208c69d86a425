//! A log record is kept while some replica may lack its write: under `always`, what is pruned is durable everywhere.
//! Otherwise catching up would need full exchanges.

use settle_core::dot::Dot;

use crate::broken::Broken;
use crate::view::View;

/// Checks a log record that is about to go; `replicas`: what each replica of the partition has.
///
/// # Errors
/// [`Broken`] when one of them lacks the write.
pub fn check<'a>(
    dot: Dot,
    place: usize,
    replicas: impl Iterator<Item = (usize, &'a View)>,
) -> Result<(), Broken> {
    for (other, view) in replicas {
        if !view.clock.has(dot) {
            let text = format!("node {place} prunes the record of {dot}, which node {other} lacks");
            return Err(Broken::new("log", text));
        }
    }
    Ok(())
}
