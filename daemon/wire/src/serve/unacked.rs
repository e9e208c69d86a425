//! How much of what a connection has brought is not durable yet.

use std::collections::VecDeque;

/// Frames with deltas that are not acknowledged. They bound what a peer can make this node hold in memory.
#[derive(Debug)]
pub(super) struct Unacked {
    /// The last sequence of each frame, and its bytes.
    frames: VecDeque<(u64, usize)>,
    bytes: usize,
    bytes_max: usize,
}

impl Unacked {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Adds a frame whose last delta is `last`.
    pub(super) fn add(&mut self, last: u64, bytes: usize) {
        self.frames.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Whether more than the allowed bytes are left once everything up to `acked` is gone.
    pub(super) fn is_full(&mut self, acked: u64) -> bool {
        while let Some((_, bytes)) = self.frames.pop_front_if(|(last, _)| *last <= acked) {
            self.bytes -= bytes;
        }
        self.bytes > self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_their_last_delta_is_acknowledged() {
        let mut unacked = Unacked::new(100);
        unacked.add(3, 60);
        unacked.add(5, 60);
        assert!(unacked.is_full(0));
        assert!(unacked.is_full(2));
        assert!(!unacked.is_full(3));
        unacked.add(6, 100);
        assert!(unacked.is_full(4));
        assert!(!unacked.is_full(5));
    }
}
