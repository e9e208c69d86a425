//! How Settle's nodes talk to each other, and the HTTP client of their public interface.
//!
//! Between two nodes run two TCP connections, one opened by each. Whoever opened it *asks* ([`link`]): it sends deltas
//! and questions; the other side *answers* ([`serve`]). Each direction starts with a handshake ([`hello`]), then
//! carries frames: a length, and several messages ([`message`]) back to back. Whatever gathers while one frame is being
//! written leaves in the next, so load makes frames longer instead of more frequent.
//!
//! Nothing here grows without bound: frames, queues, open questions and unacknowledged deltas have limits
//! ([`Limits`]), and every wait on the network has a deadline or ends with the connection.

mod ended;
mod frame;
pub mod hello;
pub mod http;
mod limits;
pub mod link;
pub mod message;
mod outbox;
pub mod serve;
#[cfg(test)]
mod testing;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use ended::Ended;
pub use frame::{BadMessage, FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, FrameError, Messages};
pub use limits::Limits;
pub use outbox::PushError;

/// Locks; a panic elsewhere while it was held does not matter, since every critical section here leaves its data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
