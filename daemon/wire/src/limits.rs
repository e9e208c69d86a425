//! What bounds a connection between two nodes.

use std::time::Duration;

/// Bounds of one connection. The defaults suit nodes of one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long connecting and shaking hands may take.
    pub handshake: Duration,
    /// How long one write to the socket may make no progress; a peer that stops reading is cut off after it.
    pub stall: Duration,
    /// Answering side: how long the asking side may send nothing whole. Far above the echo interval.
    pub idle: Duration,
    /// Bytes that wait to be written, or are being written; one message may exceed it.
    pub queued_bytes: usize,
    /// Asking side: deltas sent and not acknowledged.
    pub unacked_deltas: usize,
    /// Answering side: bytes of frames with deltas that are not acknowledged; reading pauses above it.
    pub unacked_bytes: usize,
    /// Asking side: questions without an answer.
    pub questions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            stall: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            queued_bytes: 32 << 20,
            unacked_deltas: 65_536,
            unacked_bytes: 32 << 20,
            questions: 4_096,
        }
    }
}
