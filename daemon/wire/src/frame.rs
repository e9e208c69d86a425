//! Frames: four bytes of length, little endian, then messages back to back.

use std::io;
use std::marker::PhantomData;

use bytes::{Buf, Bytes, BytesMut};
use settle_core::codec::{Decode, DecodeError, Reader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf, WriteHalf, split};

/// The longest frame, in bytes without its length.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// The most messages in one frame: a decoded message is far larger than the shortest encoded one.
pub const FRAME_MESSAGES_MAX: usize = 8_192;

/// The length before a frame, in bytes.
pub(crate) const HEADER_BYTES: usize = 4;

/// What is read from the socket at once, at least.
const READ_BYTES: usize = 32 << 10;

/// A buffer that held a longer frame is given back.
const KEPT_BYTES: usize = 1 << 20;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length exceeds what is allowed at this point; most likely the peer does not speak this protocol.
    #[error("a frame of {length} bytes is announced, at most {max} are allowed")]
    TooLong {
        /// The length announced.
        length: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A frame without a message.
    #[error("an empty frame")]
    Empty,
    /// The stream ended within a frame.
    #[error("the connection ended within a frame")]
    Cut,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
}

/// A message that could not be decoded, or one too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {index} at byte {offset} of the frame: {error}")]
pub struct BadMessage {
    /// Its number in the frame, from 0.
    pub index: usize,
    /// Where in the frame it begins.
    pub offset: usize,
    /// What is wrong with it.
    pub error: DecodeError,
}

/// Reads frames from a stream.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    /// Bytes of the frames handed out, headers included.
    consumed: u64,
}

/// The messages of a frame. Ends after the first that cannot be decoded.
#[derive(Debug)]
pub struct Messages<T> {
    reader: Reader,
    frame_bytes: usize,
    index: usize,
    failed: bool,
    kind: PhantomData<fn() -> T>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new(), consumed: 0 }
    }

    pub(crate) fn stream_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// Where the next frame begins, in bytes since the beginning of the stream.
    pub(crate) const fn offset(&self) -> u64 {
        self.consumed
    }

    /// The next frame without its length; `None` when the stream ended before one began. May be cancelled: what was
    /// read stays for the next call.
    ///
    /// Memory is taken as bytes arrive, never because a length was announced.
    pub(crate) async fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.split(bytes_max)? {
                return Ok(Some(frame));
            }
            let spare = self.buffer.capacity() - self.buffer.len();
            if spare < READ_BYTES / 4 {
                self.buffer.reserve(self.buffer.len().max(READ_BYTES));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Cut) };
            }
        }
    }

    /// Takes a whole frame off the buffer, if there is one.
    fn split(&mut self, bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*header) as usize;
        if length > bytes_max {
            return Err(FrameError::TooLong { length, max: bytes_max });
        }
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if self.buffer.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        self.consumed += (HEADER_BYTES + length) as u64;
        let frame = self.buffer.split_to(length).freeze();
        if length > KEPT_BYTES {
            self.buffer = BytesMut::from(&*self.buffer);
        }
        Ok(Some(frame))
    }
}

impl<S: AsyncRead + AsyncWrite> FrameReader<S> {
    /// Parts with the writing half; counting of the stream's bytes starts anew.
    pub(crate) fn split_stream(self) -> (FrameReader<ReadHalf<S>>, WriteHalf<S>) {
        let (stream, writer) = split(self.stream);
        (FrameReader { stream, buffer: self.buffer, consumed: 0 }, writer)
    }
}

impl<T: Decode> Messages<T> {
    /// The messages of `frame`.
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        let frame_bytes = frame.len();
        Self { reader: Reader::new(frame), frame_bytes, index: 0, failed: false, kind: PhantomData }
    }
}

impl<T: Decode> Iterator for Messages<T> {
    type Item = Result<T, BadMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.remaining() == 0 {
            return None;
        }
        let offset = self.frame_bytes - self.reader.remaining();
        let decoded = if self.index < FRAME_MESSAGES_MAX {
            T::decode(&mut self.reader)
        } else {
            Err(DecodeError::Invalid("frame: too many messages"))
        };
        self.failed = decoded.is_err();
        let index = self.index;
        self.index += 1;
        Some(decoded.map_err(|error| BadMessage { index, offset, error }))
    }
}

#[cfg(test)]
mod tests;
