//! What waits to be written to a connection: one buffer of frames that senders encode into, and one task that writes.
//!
//! Senders append under a lock, without allocating per message. The task takes the whole buffer at once; while it
//! writes, the next one fills. So an idle connection sends a message at once, and a busy one sends long frames.

use std::sync::Mutex;
use std::time::Duration;

use settle_core::codec::Encode;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::ended::Ended;
use crate::frame::{FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, HEADER_BYTES};
use crate::lock;
use crate::message::Reply;

/// A frame this long takes no further messages, so that the receiver can begin with it.
const BATCH_BYTES: usize = 256 << 10;

/// A buffer larger than this is given back after a burst.
const KEPT_BYTES: usize = 1 << 20;

/// Why a message was not queued. Nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Too much waits already; the peer takes it more slowly than it comes.
    #[error("the queue to the peer is full")]
    Full,
    /// No frame can hold it.
    #[error("a message of {0} bytes exceeds the longest frame ({FRAME_BYTES_MAX} bytes)")]
    TooLong(usize),
    /// The connection ended.
    #[error("the connection is closed")]
    Closed,
}

/// The messages that wait for one connection.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    /// Wakes the task amid a write that makes no progress.
    ended: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    frames: Frames,
    /// Bytes that the task is writing.
    in_flight: usize,
    /// The highest sequence to acknowledge, and the highest put into a frame.
    ack: u64,
    ack_queued: u64,
    closed: Option<Ended>,
}

/// Whole frames; the last may still take messages.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Where the last frame's header begins.
    start: usize,
    /// Messages in the last frame; 0 if there is none.
    messages: usize,
}

impl Outbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), filled: Notify::new(), ended: Notify::new(), bytes_max }
    }

    /// Queues the message that `encode` appends.
    pub(crate) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), PushError> {
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            return Err(PushError::Closed);
        }
        if state.frames.bytes.len() + state.in_flight >= self.bytes_max {
            return Err(PushError::Full);
        }
        let idle = state.is_idle();
        state.frames.append(encode)?;
        drop(state);
        if idle {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Acknowledges all deltas up to `upto`; any number of calls become one message.
    pub(crate) fn ack(&self, upto: u64) {
        let mut state = lock(&self.state);
        let idle = state.is_idle();
        state.ack = state.ack.max(upto);
        let wake = idle && !state.is_idle();
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// The highest sequence acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        lock(&self.state).ack
    }

    /// Why the connection ended, if it has.
    pub(crate) fn closed(&self) -> Option<Ended> {
        lock(&self.state).closed.clone()
    }

    /// Ends the connection; what waits is dropped. The first reason counts.
    pub(crate) fn close(&self, reason: Ended) {
        let mut state = lock(&self.state);
        if state.closed.is_none() {
            state.closed = Some(reason);
            state.frames = Frames::default();
        }
        drop(state);
        self.filled.notify_one();
        self.ended.notify_one();
    }

    /// Writes what is queued until the connection ends, and says why it did. A peer that takes no byte for `stall`
    /// ends it.
    pub(crate) async fn write(&self, stream: &mut (impl AsyncWrite + Unpin), stall: Duration) -> Ended {
        let mut buffer = Vec::new();
        loop {
            if let Err(reason) = self.take(&mut buffer).await {
                return reason;
            }
            tokio::select! {
                biased;
                written = write_all(stream, &buffer, stall) => if let Err(reason) = written {
                    return reason;
                },
                () = self.ended.notified() => {}
            }
            buffer.clear();
            if buffer.capacity() > KEPT_BYTES {
                buffer = Vec::new();
            }
        }
    }

    /// Waits until something is queued, and swaps it for `buffer`, which must be empty.
    async fn take(&self, buffer: &mut Vec<u8>) -> Result<(), Ended> {
        loop {
            {
                let mut state = lock(&self.state);
                if let Some(reason) = &state.closed {
                    return Err(reason.clone());
                }
                state.queue_ack();
                state.frames.swap(buffer);
                state.in_flight = buffer.len();
                if !buffer.is_empty() {
                    return Ok(());
                }
            }
            self.filled.notified().await;
            // Senders that are ready to run add to this batch, instead of to one more write.
            tokio::task::yield_now().await;
        }
    }
}

async fn write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    stall: Duration,
) -> Result<(), Ended> {
    while !bytes.is_empty() {
        let written = tokio::time::timeout(stall, stream.write(bytes)).await;
        match written.map_err(|_| Ended::Stalled(stall))?? {
            0 => return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into()),
            count => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

impl State {
    /// Whether the writing task may be waiting.
    const fn is_idle(&self) -> bool {
        self.frames.bytes.is_empty() && self.ack == self.ack_queued
    }

    fn queue_ack(&mut self) {
        if self.ack > self.ack_queued {
            self.ack_queued = self.ack;
            let ack = Reply::Ack { upto: self.ack };
            // A dozen bytes always fit a frame.
            let _ = self.frames.append(|out| ack.encode(out));
        }
    }
}

impl Frames {
    fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), PushError> {
        let begin = self.bytes.len();
        let open =
            self.messages > 0 && self.messages < FRAME_MESSAGES_MAX && begin - self.start < BATCH_BYTES;
        if !open {
            self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        }
        let message_start = self.bytes.len();
        encode(&mut self.bytes);
        let message_bytes = self.bytes.len() - message_start;
        if message_bytes > FRAME_BYTES_MAX {
            self.bytes.truncate(begin);
            return Err(PushError::TooLong(message_bytes));
        }
        if !open {
            (self.start, self.messages) = (begin, 0);
        } else if self.bytes.len() - self.start - HEADER_BYTES > FRAME_BYTES_MAX {
            // Rare: a huge message behind others. It moves by a header's length into a frame of its own.
            self.bytes.splice(begin..begin, [0; HEADER_BYTES]);
            (self.start, self.messages) = (begin, 0);
        }
        self.messages += 1;
        self.patch();
        Ok(())
    }

    /// Writes the last frame's length into its header.
    fn patch(&mut self) {
        let length = (self.bytes.len() - self.start - HEADER_BYTES) as u32;
        if let Some(header) = self.bytes.get_mut(self.start..self.start + HEADER_BYTES) {
            header.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Hands out the frames and goes on in `buffer`.
    fn swap(&mut self, buffer: &mut Vec<u8>) {
        std::mem::swap(&mut self.bytes, buffer);
        (self.start, self.messages) = (0, 0);
    }
}

#[cfg(test)]
mod tests;
