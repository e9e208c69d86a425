//! Reads at quorum are monotonic, and see what a quorum acknowledged: each has seen, as shown or as superseded, every write
//! of its key that such a read had seen which was answered before it began, or that was acknowledged at quorum before. What
//! was shown deleted is not shown again. And none shows what it has itself seen superseded.

use crate::bits::Bits;
use crate::broken::Broken;
use crate::oracle::History;

/// Checks what a read at quorum shows, and has seen in clocks and in all, of the writes that it had to see.
///
/// # Errors
/// [`Broken`] with a write that it has not seen, or should not show.
pub fn check(
    history: &History,
    shown: Bits,
    (clocked, seen): (Bits, Bits),
    expected: Bits,
) -> Result<(), Broken> {
    let broken = |what: &str, writes: Bits| {
        let dot = writes.first().map(|write| history.dot(write)).unwrap_or_default();
        let key = String::from_utf8_lossy(history.key.user_key());
        Err(Broken::new("monotonic", format!("a read at quorum of {key} {what} {dot}")))
    };
    let missed = expected.minus(seen);
    if missed != Bits::default() {
        return broken("has not seen, though an earlier one had, or a quorum acknowledged it,", missed);
    }
    let back = shown.minus(history.visible(shown, clocked));
    if back != Bits::default() {
        return broken("shows, though it has seen it superseded,", back);
    }
    Ok(())
}
